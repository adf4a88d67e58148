/**
 * Wrong products: the wiring of a whole node broken in one place, as a patch of a compiled file of `src/` that is made
 * when the file is loaded (mutant-loader.ts). The simulation must catch each of them. Nothing of this is in the product.
 */

import { transactionMutants } from '../transaction/mutants.ts';
import type { Patch } from './mutant-loader.ts';
import { calmNetwork } from './network-faults.ts';
import type { ScheduleName } from './schedules.ts';
import type { Swarm } from './swarm.ts';

/** Path below `src/`, compiled; `find` stands exactly once in the compiled file. */
export interface Mutant extends Patch {
  /** What is broken, and what it costs whom. */
  readonly why: string;
  /** Nodes of the runs that look for it. */
  readonly nodes: number;
  /** Faults to look for it with, on top of what the seed draws. */
  readonly swarm: Partial<Swarm>;
  /** A directed schedule that catches it, instead of runs with faults drawn from seeds. */
  readonly schedule?: ScheduleName;
  /** The first seed from 1 on that catches it; found anew with `npm run sim -- --mutant all --seeds 200`. */
  readonly seed: number;
}

const crashing = { appendfsync: 'always', powerCuts: true, kills: true, fullDisks: false, joins: false } as const;
const cutting = { cuts: true, cutMs: 200, troubleMs: 30, joins: false } as const;
const busy = { keys: ['counter', 'log', 'register'], companies: [], thinkMs: 2, clients: 8 } as const;

/** What clients do together on several keys, and little else. */
const together = {
  companies: ['marks', 'accounts', 'tokens'],
  padding: 0,
  keys: ['register'],
  sessions: 0,
  clients: 3,
  thinkMs: 3,
  joins: false,
} as const;

const alone = { padding: 0, keys: ['register'], sessions: 0, clients: 2, joins: false } as const;

/** A wrong transaction, with whole nodes. */
function ofTransactions(name: keyof typeof transactionMutants, seed: number): Mutant {
  const { why, file, find, replace } = transactionMutants[name];
  return { why, file, find, replace, nodes: 3, swarm: together, seed };
}

export const mutants = {
  answersClientsBeforeDurable: {
    why: 'a client is answered before its write, or what it read, is on the disk',
    file: 'node.js',
    find: 'durableSequence: () => engine.durableSequence,',
    replace: 'durableSequence: () => Number.MAX_SAFE_INTEGER,',
    nodes: 1,
    swarm: { ...crashing, ...busy },
    seed: 1,
  },
  ownersAnswerBeforeDurable: {
    why: 'an owner answers before what it shows is on its disk',
    file: 'repl/owner.js',
    find: 'if (sequence <= this.store.durableSequence)\n            answer(told);',
    replace: 'if (sequence >= 0)\n            answer(told);',
    nodes: 3,
    swarm: { ...crashing, ...busy, blackouts: true },
    seed: 2,
  },
  takesStaleEpochs: {
    why: 'an owner takes requests that were addressed by an older document to other owners',
    file: 'repl/owner.js',
    find: 'if (epoch < entry.since) {',
    replace: 'if (epoch < 0) {',
    nodes: 5,
    swarm: {},
    schedule: 'staleCoordinator',
    seed: 7,
  },
  hintsCountTowardsW: {
    why: 'an owner out of reach counts as having taken the write, since a hint is kept for it',
    file: 'repl/owner-asks.js',
    find: "if (outcome.kind === 'unsent')\n            return UNSENT;",
    replace: "if (outcome.kind === 'unsent')\n            return { kind: 'accepted' };",
    nodes: 3,
    swarm: {},
    schedule: 'desertedWriter',
    seed: 7,
  },
  resendsWhatIsUncertain: {
    why: 'a forwarded change whose outcome is unknown is sent to the next owner',
    file: 'repl/forward.js',
    find: '        else\n            this.giveUp(change);',
    replace: '        else\n            this.declined(change);',
    nodes: 3,
    swarm: {},
    schedule: 'brokenForward',
    seed: 7,
  },
  takesUnknownForUnsent: {
    why: 'a request whose connection broke counts as never sent, so that it is made again',
    file: 'repl/owner-asks.js',
    find: "if (outcome.kind === 'unsent')",
    replace: "if (outcome.kind === 'unsent' || outcome.kind === 'unknown')",
    nodes: 3,
    swarm: {},
    schedule: 'lostAcceptance',
    seed: 7,
  },
  votesThoughItForgot: {
    why: 'an owner whose machine lost power under everysec votes on what it may have forgotten',
    file: 'repl/owner-recall.js',
    find: 'isSuspect(slot) {\n        return this.suspect[slot] === 1;',
    replace: 'isSuspect(slot) {\n        return this.suspect[slot] === 2;',
    nodes: 3,
    swarm: {},
    schedule: 'forgottenWrites',
    seed: 7,
  },
  forgetsPromises: {
    why: 'promises of earlier lives count for nothing, and ballots are kept when an owner comes back',
    file: 'repl/promise-table.js',
    find: 'if (isHigher(this.promisedBefore.stamp, this.promisedBefore.actor, stamp, actor))\n            return true;',
    replace: '',
    also: { file: 'node-cluster.js', find: 'coordinator.forgetBallots();', replace: ';' },
    nodes: 3,
    swarm: {},
    schedule: 'forgottenPromise',
    seed: 7,
  },
  readsOwnCopy: {
    why: 'a node that owns the row answers reads from its own copy',
    file: 'repl/coordinator.js',
    find: 'readRow(row, task, deadlineMs) {\n',
    replace:
      'readRow(row, task, deadlineMs) {\n        const own = this.owner.held(row);\n' +
      '        if (own !== undefined) { task.found(own.version, own.value); return; }\n',
    nodes: 3,
    swarm: { ...cutting, ...busy },
    seed: 1,
  },
  hintsWhatIsNotChosen: {
    why: 'a write that an owner missed becomes a hint before it is known to be chosen',
    file: 'repl/missed-writes.js',
    find: 'undecided(target, request, nowMs) {\n',
    replace:
      'undecided(target, request, nowMs) {\n        this.keepHint(target, request.row, request.ballot, request.value);\n',
    nodes: 3,
    swarm: {},
    schedule: 'lateHint',
    seed: 7,
  },
  trustsFrames: {
    why: 'the checksum of a frame is not looked at',
    file: 'cluster/frame.js',
    find: 'if (crc32c(messages) !== readU32(bytes, start + 12))',
    replace: 'if (crc32c(messages) < 0)',
    nodes: 3,
    swarm: { ...busy, joins: false, network: { ...calmNetwork(), flipChance: 0.01 } },
    seed: 2,
  },
  ignoresWatch: {
    why: 'EXEC on a shared row does not look whether the row has changed',
    file: 'commands/row-handler.js',
    find: 'if (marks.length > 0) {',
    replace: 'if (marks.length > 1_000) {',
    nodes: 3,
    swarm: { keys: ['register', 'register'], companies: [], thinkMs: 2, clients: 8, joins: false },
    seed: 3,
  },
  forgetsCeiling: {
    why: 'the ceiling of the clock is not made durable: the next life gives stamps that were given',
    file: 'node-identity.js',
    find: "persist: (stamp) => values.setValue(CLOCK_CEILING, Buffer.from(String(stamp), 'latin1')),",
    replace: 'persist: () => Promise.resolve(),',
    nodes: 1,
    swarm: {},
    schedule: 'clockSetBack',
    seed: 7,
  },
  locksAnyway: ofTransactions('locksAnyway', 1),
  changesUnderLock: ofTransactions('changesUnderLock', 8),
  absentIsAborted: ofTransactions('absentIsAborted', 7),
  appliesAnyway: ofTransactions('appliesAnyway', 4),
  ignoresMarks: ofTransactions('ignoresMarks', 4),
  movesOnToTheFirst: {
    why: 'a group that delivers several entries moves on to the first of them only: the others are delivered again',
    file: 'commands/stream-read.js',
    find: 'moveOn(group, id);',
    replace: 'if (id === delivered[0])\n            moveOn(group, id);',
    nodes: 3,
    swarm: { ...alone, companies: ['streams'] },
    seed: 3,
  },
  claimsWithoutTaking: {
    why: 'an entry that is claimed stays in the hands of the consumer that had it as well',
    file: 'commands/stream-group.js',
    find: 'this.leave(id, before.consumer);',
    replace: '',
    nodes: 3,
    swarm: { ...alone, companies: ['streams'] },
    seed: 3,
  },
  scriptsReadOneByOne: {
    why: 'a script that only reads sees its rows at several moments',
    file: 'commands/several-rows.js',
    find: 'if (isScript(command) && rows.size > 1)',
    replace: 'if (isScript(command) && rows.size > 1_000)',
    nodes: 3,
    swarm: { ...alone, companies: ['scripts'] },
    seed: 5,
  },
  retriesUncertainPops: {
    why: 'a pop for a waiter whose outcome is unknown is made again, and what the first one took is lost',
    file: 'commands/blocked-far.js',
    find: 'return PASSING.has(reply.message);',
    replace: 'return true;',
    nodes: 3,
    swarm: {},
    schedule: 'lostPop',
    seed: 7,
  },
  goesOnWithoutManifest: {
    why: 'a node whose disk has refused a named value for good goes on, and never learns a topology again',
    file: 'engine/engine.js',
    find: 'if (!isFull && this.#closing === undefined)',
    replace: 'if (false)',
    nodes: 3,
    swarm: {},
    schedule: 'refusedTopology',
    seed: 7,
  },
} as const satisfies Readonly<Record<string, Mutant>>;

export type MutantName = keyof typeof mutants;

export function mutantOf(name: string): Mutant | undefined {
  return (mutants as Readonly<Record<string, Mutant>>)[name];
}
