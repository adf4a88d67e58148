/**
 * Collections over the real engine on the simulated disk, against plain maps: elements set, added, deleted and walked over
 * with bounds, both ways, packed and in cells; several commands in a view, keys deleted, made anew, replaced by strings,
 * copied, expired and flushed, with memtables so small that they are frozen all the time, through clean ends, kills and
 * power cuts. The garbage collector leaves no cell that nothing names, and an owner of rows reads what was written.
 */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { compareBytes, copyOf } from '../../src/bytes.ts';
import type { Engine } from '../../src/engine/engine.ts';
import { lookup } from '../../src/engine/store.ts';
import type { CellsAhead } from '../../src/repl/cells-ahead.ts';
import { readCollectionHead, type PackedElement, PackedElements } from '../../src/repl/element-pack.ts';
import { type Elements, ELEMENT, keyAfter, keyPastPrefix, type TagRange } from '../../src/repl/elements.ts';
import { headFlag, rowType } from '../../src/repl/head.ts';
import { Hlc } from '../../src/repl/hlc.ts';
import { Keyspace, KeyspaceState } from '../../src/repl/keyspace.ts';
import { LongChange, LongRun, type Slices } from '../../src/repl/long-change.ts';
import { Miss } from '../../src/repl/miss.ts';
import { OwnerRows } from '../../src/repl/owner-rows.ts';
import { PromiseTable } from '../../src/repl/promise-table.ts';
import { EXPIRY_PREFIX, headEnd, headKey, localKey, slotOfHead } from '../../src/repl/row-key.ts';
import { decodeRowState } from '../../src/repl/row-state.ts';
import { ZERO_VERSION } from '../../src/repl/version.ts';
import type { Row, View } from '../../src/repl/view.ts';
import { SimDisk } from '../sim/disk.ts';
import { openSimEngine } from '../sim/engine-open.ts';
import { EventLoop, Life } from '../sim/event-loop.ts';
import { Prng } from '../sim/prng.ts';

/** A seed takes some 0.3 s. */
const SEEDS = Number(process.env['KVORUM_SIM_SEEDS'] ?? 12);
const LIVES = 4;
const COMMANDS = 60;
const KEYS = ['a', 'b', 'c', 'd'];
const TAGS = [ELEMENT, 0x20, 0x21];

/** The module that flushes and compacts, as the node has it. */
const ROW_THREAD = new URL('../../src/repl/row-thread.js', import.meta.url).href;

/** Elements by `tag key` with a byte a character, and what else there is of a row. */
interface Expected {
  readonly elements: Map<string, string>;
  meta: string;
  expiresAtMs: number;
  /** A string's value. */
  readonly text: string | undefined;
}

type Rows = Map<string, Expected>;

/** What went on, so that a run that met nothing is seen. */
interface Met {
  cells: number;
  packed: number;
  left: number;
  shrunk: number;
  /** Over several turns. */
  copied: number;
  /** Such copies that the end of a life cut short. */
  cutShort: number;
}

class Run {
  readonly #loop = new EventLoop();
  readonly #random: Prng;
  readonly #sim: SimDisk;
  readonly #met: Met;
  #rows: Rows = new Map();
  #ceiling = 0;

  constructor(seed: number, met: Met) {
    this.#random = new Prng(seed);
    this.#sim = new SimDisk({ loop: this.#loop, random: this.#random.split('disk') });
    this.#met = met;
  }

  async live(number: number): Promise<void> {
    const random = this.#random.split(`life ${number}`);
    this.#loop.restart();
    const life = this.#loop.life();
    const { engine, keyspace, state } = await this.#open(life, random);
    await this.#check(keyspace);
    for (let i = 0; i < COMMANDS; i++) {
      while (engine.writeDelayMs > 0 || engine.refusal !== undefined) {
        await this.#loop.settle(new Promise<void>((resolve) => life.after(10, resolve)));
      }
      await this.#transaction(keyspace, random);
      if (random.chance(0.05)) await this.#longCopy(keyspace, life, random);
      if (random.chance(0.1)) await this.#loop.settle(keyspace.collectGarbage());
      if (random.chance(0.05)) await this.#loop.settle(keyspace.sweepExpired(this.#loop.clock.wallMs()));
      if (random.chance(0.1)) await this.#check(keyspace);
    }
    await this.#check(keyspace);
    await this.#checkOwner(engine, state);
    await this.#checkGarbage(engine, keyspace);
    if (random.chance(0.4)) await this.#loop.settle(engine.close());
    else {
      await this.#loop.settle(untilDurable(engine));
      const stopAfter = 1 + random.below(6);
      // What was written of it may be lost, unless it has come to its end.
      const isDone = random.chance(0.5) && (await this.#longCopy(keyspace, life, random, stopAfter));
      if (isDone) await this.#loop.settle(untilDurable(engine));
    }
    life.kill();
    if (random.chance(0.5)) this.#sim.powerCut();
    else this.#sim.kill();
  }

  async #open(life: Life, random: Prng): Promise<{ engine: Engine; keyspace: Keyspace; state: KeyspaceState }> {
    const disk = this.#sim.mount(life);
    const state = new KeyspaceState();
    const opening = openSimEngine({
      loop: this.#loop,
      life,
      disk,
      random,
      engine: { memtableBytes: 8192, blockCacheBytes: 4096, tailCacheBytes: 4096, fsync: 'always' },
      hooks: state.hooks,
      rules: {
        moduleUrl: ROW_THREAD,
        filterState: () => ({ flushMarks: state.durableFlushMarks(), floor: Number.MAX_SAFE_INTEGER }),
      },
    });
    const engine = await this.#loop.settle(opening);
    await this.#loop.settle(state.load(engine));
    const hlc = new Hlc({
      wallMs: () => this.#loop.clock.wallMs(),
      ceiling: this.#ceiling,
      persist: (ceiling) => {
        this.#ceiling = ceiling;
      },
    });
    return { engine, keyspace: new Keyspace({ store: engine, state, hlc, actor: 1 }), state };
  }

  /** Some commands in one view, as EXEC runs them: again from the first after a miss. */
  async #transaction(keyspace: Keyspace, random: Prng): Promise<void> {
    if (random.chance(0.1)) this.#loop.elapse(random.below(300_000));
    const seed = random.below(2 ** 31);
    const now = this.#loop.clock.wallMs();
    for (const [key, row] of this.#rows) if (row.expiresAtMs !== 0 && row.expiresAtMs <= now) this.#rows.delete(key);
    const view = keyspace.newView();
    for (;;) {
      const again = new Prng(seed);
      const rows: Rows = new Map([...this.#rows].map(([key, row]) => [key, copyOfExpected(row)]));
      view.begin(0, now);
      try {
        const count = again.chance(0.5) ? 1 : 1 + again.below(6);
        for (let i = 0; i < count; i++) this.#command(view, again, rows, now);
        view.showsBytes = again.chance(0.5);
        keyspace.commit(view);
        this.#rows = rows;
        return;
      } catch (thrown) {
        if (!(thrown instanceof Miss)) throw thrown;
        await this.#loop.settle(thrown.load());
      }
    }
  }

  /** A copy over several turns, with the collector at work between them; with `stopAfter` it goes no further. True: it is done. */
  async #longCopy(keyspace: Keyspace, life: Life, random: Prng, stopAfter = Infinity): Promise<boolean> {
    const now = this.#loop.clock.wallMs();
    const [from, to] = [random.pick(KEYS), random.pick(KEYS)];
    const source = this.#rows.get(from);
    if (source === undefined || source.text !== undefined || source.elements.size === 0 || from === to) return false;
    let run: LongRun | undefined;
    let stop: () => void = () => {};
    const stopped = new Promise<void>((resolve) => {
      stop = resolve;
    });
    let slices = 0;
    const rest = async (): Promise<void> => {
      await new Promise<void>((resolve) => life.atTurnEnd(resolve));
      await keyspace.collectGarbage();
      if (++slices < stopAfter) return;
      stop();
      await new Promise(() => {});
    };
    for (;;) {
      const view = keyspace.newView();
      view.long = run;
      view.begin(0, now);
      try {
        const [source, target] = [view.row(Buffer.from(from)), view.row(Buffer.from(to))];
        const made = view.made(target);
        if (made !== undefined) {
          view.setWritten(target, rowType.SORTED_SET, made.cells, 0);
          keyspace.commit(view);
          run?.end();
          break;
        }
        if (!source.live) return false;
        const elements = view.elements(source);
        const all = elements.merged().map(({ tag, key, value }) => ({ tag, key: copyOf(key), value: copyOf(value) }));
        run = new LongRun(keyspace, view, new LongChange(target, (cells) => pour(all, copyOf(elements.meta), cells)));
        await this.#loop.settle(Promise.race([run.run({ rest }), stopped]));
        if (slices >= stopAfter) {
          this.#met.cutShort++;
          return false;
        }
      } catch (thrown) {
        if (!(thrown instanceof Miss)) throw thrown;
        await this.#loop.settle(thrown.load());
      }
    }
    this.#met.copied++;
    this.#rows.set(to, { ...copyOfExpected(source), expiresAtMs: 0 });
    await this.#check(keyspace);
    return true;
  }

  #command(view: View, random: Prng, rows: Rows, now: number): void {
    const key = random.pick(KEYS);
    const row = view.row(Buffer.from(key));
    const expected = rows.get(key);
    assert.equal(row.live, expected !== undefined, `whether ${key} is there`);
    const dice = random.next();
    if (dice < 0.05) {
      view.remove(row);
      rows.delete(key);
    } else if (dice < 0.08) {
      const text = 's'.repeat(random.below(20));
      view.setString(row, Buffer.from(text), 0);
      rows.set(key, { elements: new Map(), meta: '', expiresAtMs: 0, text });
    } else if (dice < 0.12) {
      const from = random.pick(KEYS);
      const source = rows.get(from);
      if (source === undefined || from === key) return;
      const to = view.row(Buffer.from(key));
      view.copyRow(view.row(Buffer.from(from)), to);
      rows.set(key, copyOfExpected(source));
    } else if (dice < 0.15) {
      if (expected === undefined) return;
      expected.expiresAtMs = random.chance(0.5) ? 0 : now + 1 + random.below(400);
      view.setExpiry(row, expected.expiresAtMs);
    } else if (dice < 0.17) {
      view.flush(0);
      rows.clear();
    } else this.#onElements(view, row, key, random, rows);
  }

  #onElements(view: View, row: Row, key: string, random: Prng, rows: Rows): void {
    let expected = rows.get(key);
    let elements: Elements;
    if (expected === undefined || expected.text !== undefined) {
      elements = view.create(row, rowType.SORTED_SET);
      rows.set(key, (expected = { elements: new Map(), meta: '', expiresAtMs: 0, text: undefined }));
      put(elements, expected, ELEMENT, 'first', 'v');
    } else elements = view.elements(row);
    const changes = random.chance(0.1) ? random.below(120) : random.below(8);
    for (let i = 0; i < changes; i++) change(elements, expected, random);
    if (random.chance(0.04)) shrink(elements, expected);
    if (random.chance(0.1)) {
      expected.meta = 'm'.repeat(random.below(12));
      elements.meta = Buffer.from(expected.meta);
    }
    checkWalk(elements, expected, random);
    checkCount(elements, expected);
    if (expected.elements.size > 0 && elements.count > 0) return;
    view.remove(row);
    rows.delete(key);
  }

  /** What a new view sees is what is expected. */
  async #check(keyspace: Keyspace): Promise<void> {
    const now = this.#loop.clock.wallMs();
    const view = keyspace.newView();
    for (const key of KEYS) {
      const expected = this.#rows.get(key);
      const isThere = expected !== undefined && (expected.expiresAtMs === 0 || expected.expiresAtMs > now);
      for (;;) {
        view.begin(0, now);
        try {
          const row = view.row(Buffer.from(key));
          assert.equal(row.live, isThere, `whether ${key} is there`);
          if (isThere) this.#checkRow(view, row, expected);
          break;
        } catch (thrown) {
          if (!(thrown instanceof Miss)) throw thrown;
          await this.#loop.settle(thrown.load());
        }
      }
    }
  }

  #checkRow(view: View, row: Row, expected: Expected): void {
    assert.equal(row.expiresAtMs, expected.expiresAtMs);
    if (expected.text !== undefined) {
      assert.equal(text(view.string(row)), expected.text);
      return;
    }
    const isInCells = (row.before.flags & headFlag.CELLS) !== 0;
    this.#met[isInCells ? 'cells' : 'packed']++;
    const elements = view.elements(row);
    checkCount(elements, expected);
    assert.equal(text(elements.meta), expected.meta);
    for (const tag of TAGS) assert.deepEqual(walked(elements, tag, {}), inRange(expected, tag, {}));
    if (isInCells && expected.elements.size < 10) this.#met.shrunk++;
  }

  /** An owner reads each collection as one packed state. */
  async #checkOwner(engine: Engine, state: KeyspaceState): Promise<void> {
    const owner = new OwnerRows({
      store: engine,
      state,
      records: new PromiseTable({ promisedBefore: ZERO_VERSION }).rows,
      newGeneration: () => 1,
    });
    for (const [key, expected] of this.#rows) {
      if (expected.text !== undefined) continue;
      const name = Buffer.from(headKey(0, Buffer.from(key))).toString('latin1');
      for (;;) {
        if (owner.lookUp(name) !== lookup.MISS && owner.readState()) break;
        await this.#loop.settle(owner.fetch(name));
      }
      const { value, type } = decodeRowState(owner.stateRead as Uint8Array);
      assert.equal(type, rowType.SORTED_SET);
      const { count, meta, end } = readCollectionHead(value);
      const packed = [...new PackedElements(value, end).all()];
      const found = packed.map(({ tag, key, value }) => [`${tag} ${text(key)}`, text(value)] as const);
      assert.deepEqual(new Map(found), expected.elements, `the state of ${key}`);
      assert.equal(count, packed.filter(({ tag }) => tag === ELEMENT).length);
      assert.equal(text(meta), expected.meta);
    }
  }

  /** With the collector at its end, every cell is of a collection that is there. */
  async #checkGarbage(engine: Engine, keyspace: Keyspace): Promise<void> {
    const now = this.#loop.clock.wallMs();
    while (await this.#loop.settle(keyspace.sweepExpired(now)));
    for (const [key, row] of this.#rows) if (row.expiresAtMs !== 0 && row.expiresAtMs <= now) this.#rows.delete(key);
    while (await this.#loop.settle(keyspace.collectGarbage())) this.#met.left++;
    const garbage = localKey('cells');
    const live = new Set([...this.#rows.keys()].map((key) => text(headKey(0, Buffer.from(key)))));
    // Cells under a flush mark go with compaction.
    await this.#loop.settle(engine.flush());
    await this.#loop.settle(engine.compact());
    const cursor = engine.cursor({});
    try {
      for (;;) {
        const step = cursor.next();
        if (step === lookup.ABSENT) return;
        if (step === lookup.MISS) {
          await this.#loop.settle(cursor.load());
          continue;
        }
        const { key } = cursor;
        assert.notEqual(compareBytes(key.subarray(0, garbage.length), garbage), 0, 'a record of cells left behind');
        if (!isRow(key) || key.length === headEnd(key)) continue;
        const head = text(key.subarray(0, headEnd(key)));
        assert.ok(live.has(head), `a cell of ${head}, which is not there`);
      }
    } finally {
      cursor.close();
    }
  }
}

function* pour(all: readonly PackedElement[], meta: Uint8Array, cells: CellsAhead): Slices<void> {
  cells.meta = meta;
  for (const [i, { tag, key, value }] of all.entries()) {
    cells.add(tag, key, value);
    if (i % 7 === 6) yield undefined;
  }
}

/** Rows stand before the expiry index and the records of this node. */
function isRow(key: Uint8Array): boolean {
  return slotOfHead(key) < EXPIRY_PREFIX;
}

function change(elements: Elements, expected: Expected, random: Prng): void {
  const tag = random.chance(0.6) ? ELEMENT : random.pick(TAGS);
  const key = keyOf(random);
  const value = 'v'.repeat(random.chance(0.05) ? random.below(400) : random.below(20));
  const name = `${tag} ${key}`;
  const isThere = expected.elements.has(name);
  const bytes = Buffer.from(key, 'latin1');
  const dice = random.next();
  if (dice < 0.45) put(elements, expected, tag, key, value);
  else if (dice < 0.55) {
    if (isThere) elements.replace(tag, bytes, Buffer.from(value));
    else elements.add(tag, bytes, Buffer.from(value));
    expected.elements.set(name, value);
  } else if (dice < 0.75) {
    assert.equal(elements.delete(tag, bytes), isThere);
    expected.elements.delete(name);
  } else if (dice < 0.85) {
    const taken = elements.take(tag, bytes);
    assert.equal(taken === undefined ? undefined : text(taken), expected.elements.get(name));
    expected.elements.delete(name);
  } else {
    const found = elements.get(tag, bytes);
    assert.equal(found === undefined ? undefined : text(found), expected.elements.get(name));
    assert.equal(elements.has(tag, bytes), isThere);
  }
}

/** Leaves but a few elements. */
function shrink(elements: Elements, expected: Expected): void {
  for (const name of [...expected.elements.keys()].slice(3)) {
    const at = name.indexOf(' ');
    elements.drop(Number(name.slice(0, at)), Buffer.from(name.slice(at + 1), 'latin1'));
    expected.elements.delete(name);
  }
}

function put(elements: Elements, expected: Expected, tag: number, key: string, value: string): void {
  const name = `${tag} ${key}`;
  assert.equal(elements.set(tag, Buffer.from(key, 'latin1'), Buffer.from(value)), !expected.elements.has(name));
  expected.elements.set(name, value);
}

function checkCount(elements: Elements, expected: Expected): void {
  const count = [...expected.elements.keys()].filter((name) => name.startsWith(`${ELEMENT} `)).length;
  assert.equal(elements.count, count, 'the number of elements');
}

function checkWalk(elements: Elements, expected: Expected, random: Prng): void {
  const tag = random.chance(0.7) ? ELEMENT : random.pick(TAGS);
  const range = rangeOf(random);
  assert.deepEqual(walked(elements, tag, range), inRange(expected, tag, range));
}

function walked(elements: Elements, tag: number, range: TagRange): [string, string][] {
  const found: [string, string][] = [];
  elements.each(tag, range, (key, value) => void found.push([text(key), text(value)]));
  return found;
}

function rangeOf(random: Prng): TagRange {
  const lower = random.chance(0.5) ? bound(random) : undefined;
  const upper = random.chance(0.5) ? bound(random) : undefined;
  return {
    ...(lower === undefined ? {} : { lower }),
    ...(upper === undefined ? {} : { upper }),
    reverse: random.chance(0.5),
  };
}

function bound(random: Prng): Uint8Array | undefined {
  const key = Buffer.from(keyOf(random), 'latin1');
  if (random.chance(0.3)) return keyAfter(key);
  return random.chance(0.3) ? keyPastPrefix(key) : key;
}

function inRange(expected: Expected, tag: number, { lower, upper, reverse = false }: TagRange): [string, string][] {
  const entries = [...expected.elements]
    .filter(([name]) => name.startsWith(`${tag} `))
    .map(([name, value]): [Buffer, string] => [Buffer.from(name.slice(String(tag).length + 1), 'latin1'), value])
    .filter(([key]) => lower === undefined || compareBytes(key, lower) >= 0)
    .filter(([key]) => upper === undefined || compareBytes(key, upper) < 0)
    .sort(([a], [b]) => compareBytes(a, b));
  if (reverse) entries.reverse();
  return entries.map(([key, value]) => [text(key), value]);
}

/** Names of like beginnings and of any bytes, the empty one among them. */
function keyOf(random: Prng): string {
  if (random.chance(0.05)) return '';
  if (random.chance(0.2))
    return String.fromCharCode(...Array.from({ length: 1 + random.below(3) }, () => random.pick([0, 1, 127, 255])));
  return `element:${random.below(60)}`;
}

function copyOfExpected(row: Expected): Expected {
  return { ...row, elements: new Map(row.elements) };
}

function text(bytes: Uint8Array): string {
  return Buffer.from(copyOf(bytes)).toString('latin1');
}

async function untilDurable(engine: Engine): Promise<void> {
  while (engine.durableSequence < engine.lastSequence) {
    await new Promise<void>((resolve) => {
      const stop = engine.onDurable(() => {
        stop();
        resolve();
      });
    });
  }
}

test('collections are what a plain map is, through restarts', async () => {
  const met: Met = { cells: 0, packed: 0, left: 0, shrunk: 0, copied: 0, cutShort: 0 };
  for (let seed = 1; seed <= SEEDS; seed++) {
    const run = new Run(seed, met);
    for (let life = 0; life < LIVES; life++) {
      try {
        await run.live(life);
      } catch (error) {
        throw new Error(`seed ${seed}, life ${life}: ${String(error)}`, { cause: error });
      }
    }
  }
  for (const [name, times] of Object.entries(met)) assert.ok(times > 0, `the runs met ${name}`);
});
