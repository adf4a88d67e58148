/**
 * Wrong transactions, as patches of compiled files (../node/mutant-loader.ts): the simulation must catch each.
 * `npm run sim -- --transactions --mutant NAME --seeds 500`. A reader that does not look again when a lane has gone on is
 * wrong too, but only when that happens between its two reads; so is one that asks again for a lock that it may still be taking
 * away: test/repl/transaction.test.ts brings both about.
 */

import type { Patch } from '../node/mutant-loader.ts';

export interface TransactionMutant extends Patch {
  readonly why: string;
  /** The first seed from 1 on that catches it. */
  readonly seed: number;
}

export const transactionMutants = {
  locksAnyway: {
    why: 'a lock is put over the lock of another transaction',
    file: 'repl/row-op.js',
    find: 'if (!isSameLock(holder, wanted))',
    replace: 'if (holder === undefined)',
    seed: 1,
  },
  changesUnderLock: {
    why: 'a single change does not look for a lock',
    file: 'commands/row-run.js',
    find: 'this.locked = isLockedState(state) ? state : undefined;',
    replace: 'this.locked = undefined;',
    seed: 5,
  },
  servesUnderLock: {
    why: 'a forwarded change does not look for a lock',
    file: 'commands/served-run.js',
    find: 'this.locked = isLockedState(state) ? state : undefined;',
    replace: 'this.locked = undefined;',
    seed: 1,
  },
  readsUnderLock: {
    why: 'a reader shows the old value although the transaction may be committed',
    file: 'commands/row-run.js',
    find: "if (!isLockedState(state) || name === 'one' || name === 'available')",
    replace: 'if (name !== undefined)',
    seed: 67,
  },
  doesNotDecideReads: {
    why: 'a transaction that only reads is not decided: others may have ended it between two of its locks',
    file: 'repl/transaction.js',
    find: "if (!('missed' in writes))",
    replace:
      "if (!('missed' in writes) && writes.size === 0) {\n                this.inBackground(this.unlock(locked, lock, lane), leave);\n" +
      "                return 'committed';\n            }\n            if (!('missed' in writes))",
    seed: 458,
  },
  absentIsAborted: {
    why: 'whoever meets a lock takes an undecided transaction for aborted',
    file: 'repl/transaction.js',
    find: "if (decision === 'undecided')\n            return 'standing';",
    replace:
      "if (decision === 'undecided')\n            return (await this.apply(row, lock, ABORTED, deadlineMs)) ? 'gone' : 'failed';",
    seed: 3,
  },
  decidesOver: {
    why: 'a decision is written over the one that stands',
    file: 'repl/row-op.js',
    find: "if (standing !== 'undecided')",
    replace: "if (standing === 'over')",
    seed: 7,
  },
  unlocksWhatIsUncertain: {
    why: 'an uncertain decision counts as none',
    file: 'repl/transaction.js',
    find: "if (outcome.kind !== 'uncertain') {",
    replace: 'if (outcome !== undefined) {',
    seed: 205,
  },
  freesLaneEarly: {
    why: 'a lane goes to the next transaction before every row of the last one is written',
    file: 'repl/transaction.js',
    find: 'await Promise.all(names.map((row) => this.applyUntilDone(row, lock, decision)));',
    replace: 'void Promise.all(names.map((row) => this.applyUntilDone(row, lock, decision)));',
    seed: 22,
  },
  appliesAnyway: {
    why: 'what was decided is written whether its lock stands or not',
    file: 'repl/row-op.js',
    find: 'if (!isLockedState(state) || !isSameLock(lockOfState(state), op.lock))',
    replace: 'if (!isLockedState(state) && op.write === undefined)',
    seed: 3,
  },
  ignoresMarks: {
    why: 'the marks of WATCH are not looked at',
    file: 'repl/row-op.js',
    find: 'if (marks.length > 0) {',
    replace: 'if (marks.length > 1_000) {',
    seed: 3,
  },
  runsBeforeAllLocks: {
    why: 'a row whose lock is busy is read instead',
    file: 'repl/row-locking.js',
    find: 'const failure = await this.lockBusy(',
    replace:
      'const plain = await this.world.read(batch[busyAt], deadlineMs);\n' +
      "        if (plain.kind === 'done') {\n" +
      '            locked.set(batch[busyAt], isLockedState(plain.state) ? unlockedState(plain.state) : plain.state, plain.version);\n' +
      '            return busyAt + 1;\n        }\n        const failure = await this.lockBusy(',
    seed: 1,
  },
  keepsWhatIsGivenUp: {
    why: 'rows behind one that is busy are given up, but taken for locked',
    file: 'repl/row-locking.js',
    find: 'return failure ?? busyAt + 1;',
    replace:
      'for (const [i, outcome] of outcomes.entries()) {\n' +
      "            if (i > busyAt && outcome.reply.kind === 'locked') locked.set(batch[i], outcome.reply.state, outcome.version);\n" +
      '            else if (i > busyAt) return failure ?? i;\n        }\n        return failure ?? batch.length;',
    seed: 3,
  },
  forgetsForwardedMarks: {
    why: 'the node that coordinates a slot does not look at the marks of WATCH of a transaction that is forwarded to it',
    file: 'commands/several-rows.js',
    find: 'void this.transactHere(stranger, rows, calls, deadlineMs, told)',
    replace: 'void this.transactHere(stranger, new Map([...rows.keys()].map(unmarked)), calls, deadlineMs, told)',
    seed: 9,
  },
  runsUncertainHere: {
    why: 'a forwarded transaction whose outcome is unknown is run by the node of the client',
    file: 'commands/several-rows.js',
    find: 'forwarder.forward(target, row, payload, { answered, runHere, failed }, deadlineMs);',
    replace: 'forwarder.forward(target, row, payload, { answered, runHere, failed: runHere }, deadlineMs);',
    seed: 18,
  },
} as const satisfies Readonly<Record<string, TransactionMutant>>;
