/**
 * Directed schedules on a cluster of three: what goes wrong when is written down, so that one run tells. Each is a test of
 * the product (schedules.test.ts); a wrong product may name one that notices it (mutants.ts).
 */

import { must } from '../../../src/assert.ts';
import { noFaults } from '../disk.ts';
import { machineName } from './setting.ts';
import { Stage } from './stage.ts';

/** What is wrong; undefined: nothing. */
export type Schedule = (seed: number) => Promise<string | undefined>;

/** Until who is out of reach is known to be. */
const NOTICED_MS = 1_500;

const HEALED_MS = 4_000;

/** Until the last owner has a write that two have acknowledged. */
const WRITTEN_MS = 100;

/** Until a change is made whose answer is held back: much less than until a silent node counts as gone. */
const LOST_AFTER_MS = 30;

/** Enough for each to be in a slot of its own. */
const KEYS = Array.from({ length: 8 }, (_, i) => `k${i}`);

async function open(seed: number, appendfsync = 'always'): Promise<Stage> {
  return Stage.open({ nodes: 3, seed, appendfsync });
}

/** The first thing that is wrong, of what the machines themselves complain of and what the schedule saw. */
function verdict(stage: Stage, ...wrongs: (string | false | undefined)[]): string | undefined {
  return stage.violations[0] ?? wrongs.find((wrong) => typeof wrong === 'string');
}

/** One owner that reaches nobody acknowledges nothing. */
async function lonelyWriter(seed: number): Promise<string | undefined> {
  const stage = await open(seed);
  const [alone, other] = stage.ownersOf('k') as [number, number];
  stage.isolate(alone, 'both');
  await stage.loop.advance(NOTICED_MS);
  const reply = await stage.ask(alone, 'SET', 'k', 'v');
  const seen = await stage.ask(other, 'GET', 'k');
  return verdict(stage, reply === '+OK' && `acknowledged by one of three owners; the others say ${seen ?? 'nothing'}`);
}

/** Both other owners have died: the last one acknowledges nothing, whatever hints it keeps for them. */
async function desertedWriter(seed: number): Promise<string | undefined> {
  const stage = await open(seed);
  const [alone, ...others] = stage.ownersOf('n') as [number, number, number];
  // With a ballot that was promised before, one question would be enough.
  const before = await stage.ask(alone, 'INCR', 'n');
  for (const other of others) stage.machines[other]?.end('killed');
  await stage.loop.advance(NOTICED_MS);
  const reply = (await stage.ask(alone, 'INCR', 'n')) ?? 'no answer';
  return verdict(
    stage,
    before !== ':1' && `INCR of nothing is ${before ?? 'no answer'}`,
    reply.startsWith(':') && `one of three owners answered ${reply}`,
  );
}

/** An owner that is cut off does not answer from what it has. */
async function cutOffReader(seed: number): Promise<string | undefined> {
  const stage = await open(seed);
  const [writer, , reader] = stage.ownersOf('k') as [number, number, number];
  const before = await stage.ask(writer, 'SET', 'k', 'old');
  await stage.loop.advance(WRITTEN_MS);
  stage.isolate(reader, 'both');
  await stage.loop.advance(NOTICED_MS);
  const written = await stage.ask(writer, 'SET', 'k', 'new');
  const seen = await stage.ask(reader, 'GET', 'k');
  const isStale = before === '+OK' && written === '+OK' && seen === '$old';
  return verdict(stage, isStale && 'an owner that is cut off answers what was overwritten');
}

/** The owners have taken a change, and their answers are lost: the client must not be told that nothing happened. */
async function lostAnswers(seed: number): Promise<string | undefined> {
  const stage = await open(seed);
  const { network, loop } = stage;
  const owners = stage.ownersOf('n') as [number, number, number];
  const [first, ...others] = owners.map((index) => machineName(index)) as [string, string, string];
  // The second one goes with the ballot of the first: one question, whose answers do not come.
  const before = await stage.ask(owners[0], 'INCR', 'n');
  for (const other of others) network.cut(other, first);
  const reply = (await stage.ask(owners[0], 'INCR', 'n')) ?? 'no answer';
  network.mendAll();
  await loop.advance(HEALED_MS);
  const after = await stage.ask(owners[1], 'GET', 'n');
  if (before !== ':1') return `INCR of nothing is ${before ?? 'no answer'}`;
  return verdict(
    stage,
    reply.startsWith('-NOQUORUM') && after !== '$1' && `INCR was answered ${reply}, and the number is ${after ?? '?'}`,
    reply === ':2' && after !== '$2' && `INCR was answered :2, and the number is ${after ?? '?'}`,
    after !== '$1' && after !== '$2' && `two INCR make ${after ?? '?'}`,
  );
}

/**
 * Of the owners that are asked to accept, one has promised a higher ballot, one is gone and the third one accepts, but its
 * connection breaks before the answer: it may stand there, so that it must not be made again.
 */
async function lostAcceptance(seed: number): Promise<string | undefined> {
  const stage = await open(seed);
  const { network, loop, machines } = stage;
  const [first, rival, last] = stage.ownersOf('n') as [number, number, number];
  const [a, b, c] = [first, rival, last].map((index) => machineName(index)) as [string, string, string];
  const before = await stage.ask(first, 'INCR', 'n');
  // The rival hears nobody, so it coordinates; the first one hears it and promises.
  for (const [from, to] of [
    [a, b],
    [c, b],
    [b, c],
  ] as const) {
    network.cut(from, to);
  }
  await loop.advance(NOTICED_MS);
  const failed = (await stage.ask(rival, 'INCRBY', 'n', '100')) ?? 'no answer';
  machines[rival]?.end('power cut');
  await loop.advance(NOTICED_MS);
  network.cut(c, a);
  loop.post(LOST_AFTER_MS * 1000, () => {
    const hosts = [machines[first]?.host, machines[last]?.host] as const;
    if (hosts[0] !== undefined && hosts[1] !== undefined) network.resetBetween(hosts[0], hosts[1]);
    network.mend(c, a);
  });
  const reply = (await stage.ask(first, 'INCR', 'n')) ?? 'no answer';
  network.mendAll();
  machines[rival]?.start();
  await loop.advance(HEALED_MS);
  const after = (await stage.ask(last, 'GET', 'n')) ?? '?';
  if (before !== ':1' || failed.startsWith(':')) return `INCR is ${before ?? 'no answer'}, INCRBY ${failed}`;
  const isNothing = reply.startsWith('-NOQUORUM');
  const isWrong = Number(after.slice(1)) % 100 > (isNothing ? 1 : 2);
  return verdict(stage, isWrong && `INCR was answered ${reply}, and the number is ${after}`);
}

/**
 * An owner has promised the rival's ballot, but not seen its ACCEPT, and dies: in its next life it must not take a lower
 * ballot that was promised before, or what is acknowledged so is lost to the rival's value.
 */
async function forgottenPromise(seed: number): Promise<string | undefined> {
  const stage = await open(seed);
  const { network, loop, machines } = stage;
  const [first, rival, last] = stage.ownersOf('n') as [number, number, number];
  const [a, b, c] = [first, rival, last].map((index) => machineName(index)) as [string, string, string];
  const before = await stage.ask(first, 'INCR', 'n');
  network.cut(a, b);
  network.cut(b, a);
  await loop.advance(NOTICED_MS);
  const { prepares } = stage.ownerCounts(last);
  const failing = stage.begin(rival, 'INCRBY', 'n', '100');
  await stage.until(() => stage.ownerCounts(last).prepares > prepares, 'the last owner promises');
  network.cut(b, c);
  const failed = (await loop.settle(failing)) ?? 'no answer';
  machines[last]?.end('killed');
  machines[rival]?.end('power cut');
  machines[last]?.start();
  await loop.advance(NOTICED_MS);
  const reply = (await stage.ask(first, 'INCR', 'n')) ?? 'no answer';
  await loop.advance(WRITTEN_MS);
  machines[first]?.end('power cut');
  network.mendAll();
  machines[rival]?.start();
  await loop.advance(HEALED_MS);
  const after = (await stage.ask(rival, 'GET', 'n')) ?? '?';
  if (before !== ':1' || failed.startsWith(':')) return `INCR is ${before ?? 'no answer'}, INCRBY ${failed}`;
  const isLost = reply.startsWith(':') && Number(after.slice(1)) % 100 !== 2;
  return verdict(stage, isLost && `INCR was answered ${reply}, and the number is ${after}`);
}

/**
 * Two owners refuse a change for good and the third one is away: nothing has happened, and the one that comes back must
 * not be given the change as a hint.
 */
async function lateHint(seed: number): Promise<string | undefined> {
  const stage = await open(seed);
  const { network, loop, machines } = stage;
  const [first, rival, last] = stage.ownersOf('n') as [number, number, number];
  const [a, b, c] = [first, rival, last].map((index) => machineName(index)) as [string, string, string];
  const before = await stage.ask(first, 'INCR', 'n');
  await loop.advance(WRITTEN_MS);
  stage.isolate(last, 'both');
  network.cut(a, b);
  await loop.advance(NOTICED_MS);
  // The first one promises this ballot, and its rival does not hear so.
  const failed = (await stage.ask(rival, 'INCRBY', 'n', '100')) ?? 'no answer';
  network.mend(a, b);
  await loop.advance(NOTICED_MS);
  const { conflicts } = stage.ownerCounts(rival);
  const failing = stage.begin(first, 'INCR', 'n');
  await stage.until(() => stage.ownerCounts(rival).conflicts > conflicts, 'the rival refuses');
  network.cut(a, b);
  const reply = (await loop.settle(failing)) ?? 'no answer';
  machines[rival]?.end('power cut');
  network.mend(a, c);
  network.mend(c, a);
  await loop.advance(2 * HEALED_MS);
  const after = (await stage.ask(last, 'GET', 'n')) ?? '?';
  if (before !== ':1' || failed.startsWith(':')) return `INCR is ${before ?? 'no answer'}, INCRBY ${failed}`;
  const isWrong = reply.startsWith('-NOQUORUM') && after !== '$1';
  return verdict(stage, isWrong && `INCR was answered ${reply}, and the number is ${after}`);
}

/**
 * One of three owners is cut off while a fourth node joins and takes slots over from it. When it is back it coordinates by
 * the document that it knows: an owner that stayed must tell it so, not take its changes, which the new one misses.
 */
async function staleCoordinator(seed: number): Promise<string | undefined> {
  const stage = await Stage.open({ nodes: 3, seed, later: 1 });
  const { network, loop, machines } = stage;
  const [stays, other, leaves, joins] = [0, 1, 2, 3] as const;
  const before = await Promise.all(KEYS.map((key) => stage.ask(stays, 'INCR', key)));
  machines[joins]?.start();
  await stage.until(() => stage.members(stays) === 4 && stage.members(leaves) === 4, 'it is a member');
  stage.isolate(leaves, 'both');
  await stage.settled([stays, other, joins], 4);
  const key = KEYS.find((each) => !stage.ownersOf(each).includes(leaves));
  if (key === undefined || before.some((reply) => reply !== ':1')) return 'no key has left its owner';
  const changing = stage.begin(leaves, 'INCR', key);
  await loop.advance(LOST_AFTER_MS);
  network.mend(machineName(leaves), machineName(stays));
  network.mend(machineName(stays), machineName(leaves));
  const reply = (await loop.settle(changing)) ?? 'no answer';
  stage.isolate(stays, 'both');
  await loop.advance(NOTICED_MS);
  const after = await stage.ask(other, 'GET', key);
  return verdict(
    stage,
    reply === ':2' && after !== '$2' && `INCR was answered ${reply}, and the number is ${after ?? '?'}`,
  );
}

/** The clock is set back while the process is down: what is written then is newer than the flush before, all the same. */
async function clockSetBack(seed: number): Promise<string | undefined> {
  const stage = await Stage.open({ nodes: 1, seed });
  const { loop, machines } = stage;
  await loop.advance(NOTICED_MS);
  const before = await stage.ask(0, 'SET', 'k', 'old');
  const flushed = await stage.ask(0, 'FLUSHALL');
  machines[0]?.end('killed');
  machines[0]?.clock.jump(-NOTICED_MS);
  machines[0]?.start();
  await stage.until(() => machines[0]?.node !== undefined, 'it serves again');
  const reply = await stage.ask(0, 'SET', 'k', 'new');
  const after = await stage.ask(0, 'GET', 'k');
  if (before !== '+OK' || flushed !== '+OK' || reply !== '+OK') return `not everything was answered OK`;
  return verdict(stage, after !== '$new' && `an acknowledged write is not there: ${after ?? '?'}`);
}

/** As `lostForward`, and the connection breaks before the node counts as gone. */
async function brokenForward(seed: number): Promise<string | undefined> {
  const stage = await open(seed);
  const { network, loop, machines } = stage;
  const [first, second, last] = stage.ownersOf('n') as [number, number, number];
  const before = await stage.ask(last, 'INCR', 'n');
  network.cut(machineName(first), machineName(last));
  loop.post(LOST_AFTER_MS * 1000, () => {
    const hosts = [machines[first]?.host, machines[last]?.host] as const;
    if (hosts[0] !== undefined && hosts[1] !== undefined) network.resetBetween(hosts[0], hosts[1]);
  });
  const reply = (await stage.ask(last, 'INCR', 'n')) ?? 'no answer';
  network.mendAll();
  await loop.advance(HEALED_MS);
  const after = await stage.ask(second, 'GET', 'n');
  const isTwice = before === ':1' && after !== '$1' && after !== '$2';
  return verdict(stage, isTwice && `INCR was answered ${reply}, and the number is ${after ?? '?'}`);
}

/** The node that a change was forwarded to makes it, and cannot say so: nobody may make it again. */
async function lostForward(seed: number): Promise<string | undefined> {
  const stage = await open(seed);
  const { network, loop } = stage;
  const owners = stage.ownersOf('n') as [number, number, number];
  const before = await stage.ask(owners[2], 'INCR', 'n');
  network.cut(machineName(owners[0]), machineName(owners[2]));
  const reply = (await stage.ask(owners[2], 'INCR', 'n')) ?? 'no answer';
  network.mendAll();
  await loop.advance(HEALED_MS);
  const after = await stage.ask(owners[1], 'GET', 'n');
  const isTwice = before === ':1' && after !== '$1' && after !== '$2';
  return verdict(stage, isTwice && `INCR was answered ${reply}, and the number is ${after ?? '?'}`);
}

/** What was taken for a client that waits does not come back with its answer: the client must not be given another one. */
async function lostPop(seed: number): Promise<string | undefined> {
  const stage = await open(seed);
  const { network, loop } = stage;
  const [first, second, last] = stage.ownersOf('q') as [number, number, number];
  const waiting = stage.begin(last, 'BLPOP', 'q', '6');
  await loop.advance(WRITTEN_MS);
  const pushing = stage.begin(second, 'RPUSH', 'q', 'a');
  await stage.forwards(last);
  network.cut(machineName(first), machineName(last));
  const pushed = await loop.settle(pushing);
  await loop.advance(2 * NOTICED_MS);
  network.mendAll();
  await loop.advance(NOTICED_MS);
  await stage.ask(second, 'RPUSH', 'q', 'b');
  const told = (await loop.settle(waiting)) ?? 'no answer';
  const left = await stage.ask(second, 'LRANGE', 'q', '0', '-1');
  const isLost = pushed === ':1' && told === '[$q $b]' && left === '[]';
  return verdict(stage, isLost && `the waiter was answered ${told}, and of a and b there is ${left ?? '?'}`);
}

/**
 * Of the two owners that have taken writes one forgets them with its power, under `everysec`: with the third one it must
 * not say that they are not there.
 */
async function forgottenWrites(seed: number): Promise<string | undefined> {
  const stage = await open(seed, 'everysec');
  const { loop, network, machines } = stage;
  const [writer, forgets, late] = [0, 1, 2];
  stage.isolate(late, 'both');
  await loop.advance(NOTICED_MS);
  const written: string[] = [];
  for (const key of KEYS) if ((await stage.ask(writer, 'SET', key, 'v')) === '+OK') written.push(key);
  machines[forgets]?.end('power cut');
  network.mendAll();
  stage.isolate(writer, 'both');
  machines[forgets]?.start();
  await loop.advance(2 * NOTICED_MS);
  const early = await answers(stage, late, written);
  network.mendAll();
  await loop.advance(2 * HEALED_MS);
  stage.isolate(writer, 'both');
  await loop.advance(NOTICED_MS);
  const after = await answers(stage, late, written);
  return verdict(
    stage,
    written.length < KEYS.length && `only ${written.join(' ')} were acknowledged by two of three owners`,
    early.includes('nil') && `acknowledged writes are not there: ${early.join(' ')}`,
    after.some((reply) => reply !== '$v') && `acknowledged writes did not come back: ${after.join(' ')}`,
  );
}

/**
 * A disk refuses a new topology once, and nothing but a new life can change that manifest any more: the node must not go
 * on with the topology that it had.
 */
async function refusedTopology(seed: number): Promise<string | undefined> {
  const stage = await Stage.open({ nodes: 3, seed, later: 1 });
  const [refusing, joins] = [1, 3];
  const machine = must(stage.machines[refusing], 'a machine');
  machine.disk.faults.nameErrorChance = 1;
  stage.machines[joins]?.start();
  await stage.until(() => machine.disk.injected.nameError > 0, 'the disk refuses something');
  machine.disk.faults = noFaults();
  await stage.loop.advance(HEALED_MS);
  const members = stage.members(refusing);
  const reply = (await stage.ask(refusing, 'SET', 'k', 'v')) ?? 'no answer';
  return verdict(
    stage,
    members !== 4 && `it knows of ${members} members of 4`,
    reply !== '+OK' && `its clients are told ${reply}`,
  );
}

async function answers(stage: Stage, index: number, keys: readonly string[]): Promise<string[]> {
  const replies: string[] = [];
  for (const key of keys) replies.push((await stage.ask(index, 'GET', key)) ?? 'no answer');
  return replies;
}

export const schedules = {
  lonelyWriter,
  desertedWriter,
  cutOffReader,
  lostAnswers,
  lostAcceptance,
  forgottenPromise,
  lateHint,
  staleCoordinator,
  clockSetBack,
  lostForward,
  brokenForward,
  lostPop,
  forgottenWrites,
  refusedTopology,
} as const satisfies Readonly<Record<string, Schedule>>;

export type ScheduleName = keyof typeof schedules;
