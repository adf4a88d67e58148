/**
 * One life of a simulated process: an open engine under work, checked at every answer against the history. Three tasks
 * run side by side on the virtual event loop: one writes, one reads, one administers.
 */

import { must } from '../../src/assert.ts';
import { compareBytes } from '../../src/bytes.ts';
import { Found, lookup, type Cursor, type Snapshot, type Store } from '../../src/engine/store.ts';
import { printable, rangeOf, textKey, type BatchHistory, type Change, type Pair, type State } from './batch-history.ts';
import type { EngineProfile } from './engine-profile.ts';
import { drawChanges, drawValue } from './engine-profile.ts';
import type { EventLoop, Life } from './event-loop.ts';
import type { Prng } from './prng.ts';

/** The engine did what it never may. */
export class Violation extends Error {
  override readonly name = 'Violation';
}

/** How long a durable write may take in virtual time before it counts as forgotten: slow disks included. */
const ACKNOWLEDGE_WITHIN_MS = 120_000;

/** Keys that are written again and again within a turn. */
const REWRITTEN_KEYS = 3;

/** What the world around a life knows and the life has to ask. */
export interface Surroundings {
  readonly loop: EventLoop;
  readonly life: Life;
  readonly random: Prng;
  readonly profile: EngineProfile;
  readonly history: BatchHistory;
  readonly nextSerial: () => number;
  /** True once the power has gone: what is answered from then on does not count. */
  readonly powerIsOff: () => boolean;
  /** True once the engine has reported that its disk failed for good. */
  readonly hasFailed: () => boolean;
  /** Throws a `Violation` unless the disk was made to do something that explains the error. */
  readonly excuse: (error: unknown, what: string) => void;
  /** Opens a second engine on a checkpoint of the first. */
  readonly openCheckpoint: (directory: string) => Promise<Store>;
  /** Notes an event for the run's digest and for the report of a failure. */
  readonly note: (event: string) => void;
}

interface PinnedState {
  readonly snapshot: Snapshot;
  readonly state: State;
}

export class EngineLife {
  readonly #engine: Store;
  readonly #around: Surroundings;
  readonly #random: Prng;
  readonly #pinned: PinnedState[] = [];
  #durable: number;
  #policy: EngineProfile['policy'];
  /** Batches before this were acknowledged under another policy than the present one. */
  #policySince = 0;
  #writing = true;

  constructor(engine: Store, around: Surroundings) {
    this.#engine = engine;
    this.#around = around;
    this.#random = around.random;
    this.#policy = around.profile.policy;
    this.#durable = engine.durableSequence;
    engine.onDurable(() => this.noteDurable());
  }

  get policy(): EngineProfile['policy'] {
    return this.#policy;
  }

  /** Works until all steps are done or the engine has failed. */
  async work(): Promise<void> {
    await Promise.all([this.#writeAll(), this.#readAll(), this.#administer()]);
    for (const { snapshot } of this.#pinned.splice(0)) snapshot.release();
  }

  /** Takes note of what the engine promises at this moment. */
  noteDurable(): void {
    const { history, powerIsOff, hasFailed } = this.#around;
    if (powerIsOff() || hasFailed()) return;
    const { durableSequence, lastSequence } = this.#engine;
    check(durableSequence >= this.#durable, `durableSequence went back from ${this.#durable} to ${durableSequence}`);
    check(durableSequence <= lastSequence, `durableSequence ${durableSequence} is beyond ${lastSequence}`);
    this.#durable = durableSequence;
    const count = history.countUpTo(durableSequence);
    history.promise(count, this.#policy === 'always' && count > this.#policySince);
  }

  /** Waits until everything written so far is acknowledgeable. */
  async settleWrites(): Promise<void> {
    const { loop, life, hasFailed } = this.#around;
    const wanted = this.#engine.lastSequence;
    const giveUpUs = loop.nowUs + ACKNOWLEDGE_WITHIN_MS * 1000;
    while (this.#engine.durableSequence < wanted && !hasFailed()) {
      check(loop.nowUs < giveUpUs, `sequence ${wanted} is still not durable after ${ACKNOWLEDGE_WITHIN_MS} ms`);
      await pause(life, 5);
    }
    this.noteDurable();
  }

  /** Everything that a cursor shows. */
  scan(): Promise<State> {
    return scanAll(this.#engine);
  }

  /** Looks one key up, fetching what is not in memory. */
  async get(key: Uint8Array, snapshot?: Snapshot): Promise<Uint8Array | undefined> {
    const found = new Found();
    for (let tries = 0; ; tries++) {
      const answer =
        snapshot === undefined
          ? this.#engine.get(key, key.length, found)
          : this.#engine.getAt(snapshot, key, key.length, found);
      if (answer === lookup.FOUND) return found.bytes.slice(found.start, found.end);
      if (answer === lookup.ABSENT) return undefined;
      check(tries < 100, `a get of ${printable(key)} misses for ever`);
      await this.#engine.fetch(key);
    }
  }

  /** Space is back on the disk: before long writes are taken again. */
  async takesWritesAgain(): Promise<void> {
    const { loop, life, hasFailed } = this.#around;
    const giveUpUs = loop.nowUs + ACKNOWLEDGE_WITHIN_MS * 1000;
    while (this.#engine.refusal !== undefined && !hasFailed()) {
      check(loop.nowUs < giveUpUs, `writes are still refused: ${this.#engine.refusal.message}`);
      await pause(life, 100);
    }
  }

  async #writeAll(): Promise<void> {
    const { profile, life, hasFailed } = this.#around;
    for (let step = 0; step < profile.stepsPerLife && !hasFailed(); step++) {
      if (this.#random.chance(profile.longPauseChance)) await pause(life, this.#random.between(500, 3_000));
      else if (profile.pauseUs > 0) await pause(life, (this.#random.next() * 2 * profile.pauseUs) / 1000);
      const delayMs = this.#engine.writeDelayMs;
      check(delayMs >= 0 && Number.isFinite(delayMs), `writeDelayMs is ${delayMs}`);
      if (delayMs > 0 && this.#random.chance(0.8)) await pause(life, Math.min(delayMs, 1_000));
      this.#writeOne();
      while (this.#random.chance(profile.rewriteChance)) this.#rewrite();
      if (this.#random.chance(0.1)) await this.settleWrites();
    }
    this.#writing = false;
  }

  #writeOne(): void {
    const { profile, nextSerial } = this.#around;
    this.#write(drawChanges(this.#random, profile, nextSerial));
  }

  /** A put that may take the place of an older one, in a turn in which more is written; sometimes somebody looks first. */
  #rewrite(): void {
    const random = this.#random;
    const { profile, nextSerial, history } = this.#around;
    const key = random.pick(profile.keys.slice(0, REWRITTEN_KEYS));
    const others = random.chance(0.5) ? drawChanges(random, profile, nextSerial) : [];
    const alone = others.filter((change) => change.kind !== 'deleteRange' && compareBytes(change.key, key) !== 0);
    const old = history.current.get(textKey(key))?.value;
    const value = drawValue(random, [old?.length ?? random.below(100)], nextSerial());
    if (random.chance(0.1)) this.#pinned.push({ snapshot: this.#engine.snapshot(), state: new Map(history.current) });
    // Whoever writes a key over has mostly just looked it up.
    try {
      if (random.chance(0.7)) this.#engine.get(key, key.length, new Found());
    } catch (error) {
      this.#around.excuse(error, 'look before a write');
    }
    this.#write([...alone, { kind: 'put', key, value }], true);
  }

  #write(changes: readonly Change[], mayReplace = false): void {
    const { profile, history, loop, excuse, hasFailed } = this.#around;
    if (hasFailed()) return;
    const engine = this.#engine;
    const batch = engine.newBatch();
    for (const change of changes) addTo(batch, change);
    if (mayReplace) batch.replaceLast();
    const before = engine.lastSequence;
    const { count } = batch;
    if (count === 0) return;
    let sequence;
    try {
      sequence = engine.write(
        batch,
        changes.every((change) => change.kind !== 'put'),
      );
    } catch (error) {
      check(engine.lastSequence === before, 'a refused write has changed lastSequence');
      // A writer that does not wait as asked is refused in the end, and so is one on a disk that is nearly full.
      const code = engine.refusal?.code;
      if (code !== 'overloaded' && !(code === 'disk-full' && profile.fullDisk)) excuse(error, 'write');
      return;
    }
    check(
      sequence === engine.lastSequence && sequence >= before + count - Number(mayReplace),
      `write of ${count} from ${before}: ${sequence}`,
    );
    history.append(changes, sequence, loop.nowUs);
    this.#around.note(`write ${sequence}`);
    this.noteDurable();
  }

  async #readAll(): Promise<void> {
    const { profile, life, hasFailed, excuse } = this.#around;
    for (let step = 0; step < profile.stepsPerLife && !hasFailed(); step++) {
      await pause(life, (this.#random.next() * 2 * profile.pauseUs) / 1000 + 0.01);
      try {
        if (this.#random.chance(0.85)) await this.#readOne();
        else await this.#walk();
      } catch (error) {
        excuse(error, 'read');
      }
    }
  }

  async #readOne(): Promise<void> {
    const key = this.#random.pick(this.#around.profile.keys);
    const pinned = this.#random.chance(0.3) && this.#pinned.length > 0 ? this.#random.pick(this.#pinned) : undefined;
    const value = await this.get(key, pinned?.snapshot);
    // The answer was given in this turn, so the state of this turn is what it has to match.
    const wanted = (pinned?.state ?? this.#around.history.current).get(textKey(key))?.value;
    const same = value === undefined ? wanted === undefined : wanted !== undefined && compareBytes(value, wanted) === 0;
    check(same, `get of ${printable(key)}: ${shown(value)} where ${shown(wanted)} was written`);
  }

  /** A cursor over a random range, with writes going on meanwhile: it shows the state at its opening. */
  async #walk(): Promise<void> {
    const { profile, history, life } = this.#around;
    const random = this.#random;
    const bounds = [random.pick(profile.keys), random.pick(profile.keys)].sort(compareBytes);
    const pinned = random.chance(0.3) && this.#pinned.length > 0 ? random.pick(this.#pinned) : undefined;
    const range = {
      ...(random.chance(0.5) ? { lower: must(bounds[0], 'a bound') } : {}),
      ...(random.chance(0.5) ? { upper: must(bounds[1], 'a bound') } : {}),
      reverse: random.chance(0.5),
    };
    const expected = rangeOf(pinned?.state ?? history.current, range);
    const cursor = this.#engine.cursor(pinned === undefined ? range : { ...range, snapshot: pinned.snapshot });
    try {
      let at = 0;
      for (let steps = random.between(1, 60); steps > 0; steps--) {
        if (random.chance(0.1)) await pause(life, 1);
        if (random.chance(0.15)) {
          const target = random.pick(profile.keys);
          at = expected.findIndex(({ key }) => compareBytes(key, target) * (range.reverse ? -1 : 1) >= 0);
          if (at < 0) at = expected.length;
          showsAt(cursor, expected, at, await stepped(cursor, () => cursor.seek(target)));
        } else {
          showsAt(cursor, expected, at, await stepped(cursor, () => cursor.next()));
        }
        if (at >= expected.length) break;
        at++;
      }
    } finally {
      cursor.close();
    }
  }

  async #administer(): Promise<void> {
    const { profile, life, hasFailed, excuse } = this.#around;
    while (this.#writing && !hasFailed()) {
      await pause(life, this.#random.between(1, 20));
      try {
        await this.#administerOnce(profile);
      } catch (error) {
        excuse(error, 'administration');
      }
    }
  }

  /** A copy of a state between call and answer, which opens as a store of its own. */
  async #checkpoint(): Promise<void> {
    const { history, openCheckpoint, note } = this.#around;
    const directory = `/checkpoint-${this.#around.nextSerial()}`;
    const least = history.batchCount;
    await this.#engine.checkpoint(directory);
    const most = history.batchCount;
    const copy = await openCheckpoint(directory);
    const state = await scanAll(copy);
    await copy.close();
    check(history.find(state, least, most) >= 0, `a checkpoint is no state after ${least} to ${most} batches`);
    note('checkpoint');
  }

  async #administerOnce(profile: EngineProfile): Promise<void> {
    const engine = this.#engine;
    const random = this.#random;
    if (random.chance(profile.policyChangeChance)) {
      this.noteDurable();
      this.#policy = random.pick(['always', 'everysec', 'no'] as const);
      this.#policySince = this.#around.history.batchCount;
      engine.setFsyncPolicy(this.#policy);
      return;
    }
    const choice = random.below(11);
    if (choice === 10) {
      if (random.chance(0.3)) await this.#checkpoint();
    } else if (choice < 4) {
      this.#pinned.push({ snapshot: engine.snapshot(), state: new Map(this.#around.history.current) });
    } else if (choice < 7) {
      const index = random.below(this.#pinned.length + 1);
      for (const { snapshot } of this.#pinned.splice(index, 1)) snapshot.release();
    } else if (choice < 8) {
      await engine.flush();
      this.#around.note('flushed');
    } else if (choice < 9) {
      await engine.compact();
      this.#around.note('compacted');
    } else {
      for (const [name, value] of Object.entries(engine.metrics())) {
        check(Number.isFinite(value) && value >= 0, `metric ${name} is ${value}`);
      }
    }
  }
}

function shown(bytes: Uint8Array | undefined): string {
  return bytes === undefined ? 'nothing' : printable(bytes);
}

export function check(condition: boolean, what: string): asserts condition {
  if (!condition) throw new Violation(what);
}

async function scanAll(engine: Store): Promise<State> {
  const cursor = engine.cursor({});
  const state: State = new Map();
  try {
    for (;;) {
      const answer = await stepped(cursor, () => cursor.next());
      if (answer === lookup.ABSENT) return state;
      const pair = { key: cursor.key.slice(), value: cursor.value.slice() };
      check(!state.has(textKey(pair.key)), `a scan shows ${printable(pair.key)} twice`);
      state.set(textKey(pair.key), pair);
    }
  } finally {
    cursor.close();
  }
}

function addTo(batch: ReturnType<Store['newBatch']>, change: Change): void {
  if (change.kind === 'put') {
    batch.put(change.key, change.value);
  } else if (change.kind === 'delete') {
    batch.delete(change.key);
  } else {
    batch.deleteRange(change.from, change.to);
  }
}

function pause(life: Life, ms: number): Promise<void> {
  return new Promise((resolve) => life.after(ms, resolve));
}

/** Repeats a step of a cursor until it does not miss. */
async function stepped(cursor: Cursor, step: () => number): Promise<number> {
  for (let tries = 0; ; tries++) {
    const answer = step();
    if (answer !== lookup.MISS) return answer;
    check(tries < 1000, 'a cursor misses for ever');
    await cursor.load();
  }
}

function showsAt(cursor: Cursor, expected: readonly Pair[], at: number, answer: number): void {
  const pair = expected[at];
  if (answer === lookup.ABSENT) {
    check(pair === undefined, `a cursor ends before ${pair === undefined ? '' : printable(pair.key)}`);
    return;
  }
  check(pair !== undefined, `a cursor shows ${printable(cursor.key)} beyond the end`);
  const sameKey = compareBytes(cursor.key, pair.key) === 0;
  check(sameKey, `a cursor shows ${printable(cursor.key)} where ${printable(pair.key)} comes next`);
  const sameValue = compareBytes(cursor.value, pair.value) === 0;
  check(sameValue, `a cursor shows ${printable(cursor.value)} for ${printable(pair.key)}: ${printable(pair.value)}`);
}
