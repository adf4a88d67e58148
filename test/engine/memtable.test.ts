import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { compareBytes, concatBytes, utf8 } from '../../src/bytes.ts';
import { Arena } from '../../src/engine/arena.ts';
import { MergeCursor } from '../../src/engine/cursor.ts';
import { ExpectedHashes } from '../../src/engine/expected-hashes.ts';
import { answer, MAX_RANGE_DELETES, Memtable, prefixOf } from '../../src/engine/memtable.ts';
import { MemtableSource } from '../../src/engine/memtable-source.ts';
import { Found, lookup } from '../../src/engine/store.ts';
import { WriteBatch } from '../../src/engine/write-batch.ts';

const secret = { seed: 0x1234_5678, multiplier: 0x9abc_def1 };
const FIRST_SEQUENCE = 1000;
const timers = { after: never, every: never, atTurnEnd: (callback: () => void) => queueMicrotask(callback) };

function never(): never {
  throw new Error('nothing here takes time');
}

function newMemtable(softBytes = 1 << 16): Memtable {
  return new Memtable(new Arena(softBytes, 1, 1, FIRST_SEQUENCE), softBytes, secret);
}

type Change =
  | { readonly what: 'put'; readonly key: Uint8Array; readonly value: Uint8Array }
  | { readonly what: 'delete'; readonly key: Uint8Array }
  | { readonly what: 'range'; readonly key: Uint8Array; readonly to: Uint8Array };

/** Few keys, so that they meet; the prefixes are those of two slots. */
const key = fc
  .tuple(fc.constantFrom(0, 1), fc.uint8Array({ minLength: 0, maxLength: 3, max: 2 }))
  .map(([slot, rest]) => concatBytes(Uint8Array.of(0, slot, 7), rest));
const change: fc.Arbitrary<Change> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({ what: fc.constant('put' as const), key, value: fc.uint8Array({ maxLength: 40 }) }),
  },
  { weight: 2, arbitrary: fc.record({ what: fc.constant('delete' as const), key }) },
  { weight: 1, arbitrary: fc.record({ what: fc.constant('range' as const), key, to: key }) },
);

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

/** The map after each record: a change is one record, an empty range none. */
class Model {
  readonly states: Map<string, string>[] = [new Map()];
  readonly touched = new Set<string>();

  apply(each: Change): void {
    const next = new Map(this.states.at(-1));
    if (each.what === 'range') {
      if (compareBytes(each.key, each.to) >= 0) return;
      for (const name of next.keys()) {
        if (name >= hex(each.key) && name < hex(each.to)) next.delete(name);
      }
    } else {
      this.touched.add(hex(each.key));
      if (each.what === 'put') next.set(hex(each.key), hex(each.value));
      else next.delete(hex(each.key));
    }
    this.states.push(next);
  }
}

function addTo(batch: WriteBatch, each: Change): void {
  if (each.what === 'put') batch.put(each.key, each.value);
  else if (each.what === 'delete') batch.delete(each.key);
  else batch.deleteRange(each.key, each.to);
}

async function walk(memtable: Memtable, limit: number, reverse: boolean): Promise<[string, string][]> {
  const bounds = { lower: undefined, upper: undefined };
  const source = new MemtableSource({ memtable, timers, limit, reverse, ...bounds });
  const cursor = new MergeCursor({
    sources: [source],
    covering: [memtable],
    limit,
    reverse,
    ...bounds,
    mostPassed: Infinity,
    rest: () => Promise.resolve(),
    onClose: () => {},
  });
  const pairs: [string, string][] = [];
  for (let said = cursor.next(); said !== lookup.ABSENT; said = cursor.next()) {
    if (said === lookup.MISS) await cursor.load();
    else pairs.push([hex(cursor.key), hex(cursor.value)]);
  }
  cursor.close();
  return pairs;
}

/** What one turn does: it looks a key up, then writes a batch. */
const turn = fc.record({ looksUp: key, changes: fc.array(change, { minLength: 1, maxLength: 5 }) });

const seldom = fc.nat({ max: 5 }).map((drawn) => drawn === 0);

/** Each batch puts a key that no other change of it touches, over its older record where it may. */
const rewriting = fc.array(
  fc.record({
    key: fc.constantFrom(...[0, 1].map((last) => Uint8Array.of(0, 0, 7, last))),
    value: fc.uint8Array({ minLength: 2, maxLength: 7 }),
    others: fc.oneof(
      { weight: 4, arbitrary: fc.constant([]) },
      { weight: 1, arbitrary: fc.constant([{ what: 'range', key: Uint8Array.of(0), to: Uint8Array.of(1) } as const]) },
      { weight: 1, arbitrary: fc.array(change, { maxLength: 2 }) },
    ),
    looksUp: fc.boolean(),
    staysApart: seldom,
    /** A snapshot is taken before it. */
    isPinned: seldom,
    endsGroup: seldom,
  }),
  { maxLength: 30 },
);

test('a put over an older record changes nothing for who looks at an earlier state, nor for a replay', () => {
  let replaced = 0;
  fc.assert(
    fc.property(rewriting, (writes) => {
      const memtable = newMemtable();
      const model = new Model();
      const batch = new WriteBatch();
      const found = new Found();
      const pins: { limit: number; state: Map<string, string> }[] = [];
      let last = FIRST_SEQUENCE - 1;
      let written = new Uint8Array(0);
      for (const { key: own, value, others, looksUp, staysApart, isPinned, endsGroup } of writes) {
        if (isPinned) pins.push({ limit: last, state: model.states.at(-1) as Map<string, string> });
        if (looksUp) memtable.get(own, own.length, found);
        batch.clear();
        for (const each of others) {
          if (each.what !== 'range' && compareBytes(each.key, own) === 0) continue;
          addTo(batch, each);
          model.apply(each);
        }
        addTo(batch, { what: 'put', key: own, value });
        model.apply({ what: 'put', key: own, value });
        if (!staysApart) batch.replaceLast();
        const appended = memtable.append(batch, pins.at(-1)?.limit ?? -1);
        replaced += batch.count - appended;
        last += appended;
        assert.equal(memtable.arena.lastSequence, last);
        if (endsGroup && memtable.arena.groupStart !== 0) {
          memtable.arena.closeGroup(0, 0);
          written = memtable.arena.bytes.slice(0, memtable.arena.end);
        }
        assertState(memtable, model, Infinity, model.states.at(-1) as Map<string, string>);
        for (const { limit, state } of pins) assertState(memtable, model, limit, state);
      }
      if (memtable.arena.groupStart !== 0) memtable.arena.closeGroup(0, 0);
      const { arena } = memtable;
      assert.equal(compareBytes(arena.bytes.subarray(0, written.length), written), 0, 'what the log may have stays');
      const copy = new Memtable(new Arena(arena.buffer.slice(0), 1, 1, FIRST_SEQUENCE), 1 << 16, secret);
      copy.arena.end = arena.end;
      copy.indexReplayed(() => {});
      assertState(copy, model, Infinity, model.states.at(-1) as Map<string, string>);
    }),
    { numRuns: 500 },
  );
  assert.ok(replaced > 100, `only ${replaced} records were written over`);
});

test('an older record is not written over once a newer one has come, whichever key was looked up last', () => {
  const [one, two] = [Uint8Array.of(0, 0, 7, 0), Uint8Array.of(0, 0, 7, 1)];
  for (const looksUp of [one, two]) {
    const memtable = newMemtable();
    const found = new Found();
    const put = (key: Uint8Array, value: number, mayReplace: boolean): number => {
      memtable.get(looksUp, looksUp.length, found);
      const batch = new WriteBatch();
      batch.put(key, Uint8Array.of(value));
      if (mayReplace) batch.replaceLast();
      return memtable.append(batch);
    };
    assert.deepEqual([put(two, 1, false), put(one, 2, true), put(one, 3, true), put(one, 4, false)], [1, 1, 0, 1]);
    put(one, 5, true);
    assert.equal(memtable.get(one, one.length, found), answer.FOUND);
    assert.equal(found.bytes[found.start], 5);
  }
});

function assertState(memtable: Memtable, model: Model, limit: number, state: Map<string, string>): void {
  const found = new Found();
  for (const name of model.touched) {
    const bytes = Buffer.from(name, 'hex');
    const isThere = memtable.getAt(limit, bytes, bytes.length, found) === answer.FOUND;
    assert.equal(isThere ? hex(found.bytes.subarray(found.start, found.end)) : undefined, state.get(name));
  }
}

test('look-ups and walks at any sequence are those of a map at that time', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(turn, { maxLength: 20 }), async (turns) => {
      const memtable = newMemtable();
      const model = new Model();
      const batch = new WriteBatch();
      const found = new Found();
      for (const { looksUp, changes } of turns) {
        const isThere = memtable.get(looksUp, looksUp.length, found) === answer.FOUND;
        const now = isThere ? hex(found.bytes.subarray(found.start, found.end)) : undefined;
        assert.equal(now, model.states.at(-1)?.get(hex(looksUp)));
        batch.clear();
        for (const each of changes) {
          addTo(batch, each);
          model.apply(each);
        }
        if (batch.count === 0) continue;
        memtable.append(batch);
        memtable.arena.closeGroup(0, 0);
      }
      for (const [records, state] of model.states.entries()) {
        const limit = FIRST_SEQUENCE + records - 1;
        for (const name of model.touched) {
          const bytes = Buffer.from(name, 'hex');
          const said = memtable.getAt(limit, bytes, bytes.length, found);
          const value = said === answer.FOUND ? hex(found.bytes.subarray(found.start, found.end)) : undefined;
          assert.equal(value, state.get(name), `at ${limit}`);
          if (said !== answer.UNKNOWN) assert.ok(found.sequence >= FIRST_SEQUENCE && found.sequence <= limit);
        }
      }
      const last = model.states.length - 1;
      for (const records of [last, Math.floor(last / 2)]) {
        const pairs = [...(model.states[records] as Map<string, string>)].sort(([a], [b]) => (a < b ? -1 : 1));
        assert.deepEqual(await walk(memtable, FIRST_SEQUENCE + records - 1, false), pairs);
        assert.deepEqual(await walk(memtable, FIRST_SEQUENCE + records - 1, true), pairs.reverse());
      }
    }),
    { numRuns: 60 },
  );
});

test('a key that nothing is known of is unknown, one that was deleted is deleted', () => {
  const memtable = newMemtable();
  const batch = new WriteBatch();
  batch.delete(utf8('gone'));
  batch.put(utf8('there'), utf8('value'));
  memtable.append(batch);
  const found = new Found();
  assert.equal(memtable.get(utf8('gone'), 4, found), answer.DELETED);
  assert.equal(found.sequence, FIRST_SEQUENCE);
  assert.equal(memtable.get(utf8('other'), 5, found), answer.UNKNOWN);
  assert.equal(memtable.get(utf8('there...'), 5, found), answer.FOUND, 'only so many bytes of the key count');
  assert.equal(found.sequence, FIRST_SEQUENCE + 1);
});

test('a batch larger than the memtable makes it grow, in bytes and in keys', () => {
  const memtable = newMemtable(4096);
  const batch = new WriteBatch();
  const keys = Array.from({ length: 5000 }, (_, i) => utf8(`key ${i}`));
  for (const each of keys) batch.put(each, each);
  memtable.append(batch);
  const found = new Found();
  for (const each of keys) {
    assert.equal(memtable.get(each, each.length, found), answer.FOUND);
    assert.deepEqual(found.bytes.slice(found.start, found.end), each);
  }
  assert.equal(memtable.keyCount, keys.length);
  assert.equal(memtable.hasRoom(100, 1), false);
  assert.ok(memtable.sortPending(0, 0xffff, Infinity));
});

test('many range deletes fill a memtable: each look-up compares with all of them', () => {
  const memtable = newMemtable();
  const batch = new WriteBatch();
  for (let i = 0; i < MAX_RANGE_DELETES; i++) batch.deleteRange(utf8(`a${i}`), utf8(`b${i}`));
  assert.equal(memtable.hasRoom(10, 1), true);
  memtable.append(batch);
  assert.equal(memtable.hasRoom(10, 1), false);
});

test('sorting goes in slices, and only through the prefixes that are asked for', () => {
  const memtable = newMemtable();
  const batch = new WriteBatch();
  for (let i = 0; i < 300; i++) batch.put(Uint8Array.of(i % 3, 0, i >> 8, i & 0xff), utf8('v'));
  memtable.append(batch);
  assert.equal(memtable.pendingCount, 300);
  assert.equal(memtable.sortPending(0x0100, 0x01ff, 60), false);
  assert.equal(memtable.pendingCount, 240);
  assert.equal(memtable.sortPending(0x0100, 0x01ff, 60), true);
  assert.equal(memtable.pendingCount, 200, 'other prefixes stay unsorted');
  assert.equal(prefixOf(Uint8Array.of(1), 0, 1), 0x0100);
});

test('replayed records are indexed as they were', () => {
  const memtable = newMemtable();
  const batch = new WriteBatch();
  for (let i = 0; i < 100; i++) {
    batch.clear();
    batch.put(utf8(`key ${i % 30}`), utf8(`value ${i}`));
    if (i % 7 === 0) batch.deleteRange(utf8('key 1'), utf8('key 2'));
    memtable.append(batch);
    memtable.arena.closeGroup(0, 0);
  }
  const replayed = new Memtable(memtable.arena, 1 << 16, { seed: 99, multiplier: 5 });
  const before = memtable.arena.bytes.slice(0, memtable.arena.end);
  const offsets: number[] = [];
  replayed.indexReplayed((offset) => offsets.push(offset));
  assert.equal(offsets.length, 115);
  assert.deepEqual(memtable.arena.bytes.slice(0, memtable.arena.end), before, 'indexing again changes no byte');
  const found = new Found();
  const other = new Found();
  for (let i = 0; i < 30; i++) {
    const bytes = utf8(`key ${i}`);
    assert.equal(replayed.get(bytes, bytes.length, found), memtable.get(bytes, bytes.length, other));
    assert.deepEqual([found.start, found.end, found.sequence], [other.start, other.end, other.sequence]);
  }
});

test('touching what will be looked up changes nothing, and tells what is not here', () => {
  const memtable = newMemtable();
  const batch = new WriteBatch();
  for (let i = 0; i < 20; i++) batch.put(utf8(`key-${i}`), utf8(`value-${i}`));
  memtable.append(batch);
  const expected = new ExpectedHashes();
  const expect = (key: string): void => expected.add(memtable.hash(utf8(key), 0, key.length));
  for (let i = 0; i < 20; i++) expect(`key-${i}`);
  assert.equal(memtable.touch(expected), false);
  assert.equal(expected.count, 0);
  for (const key of ['key-3', 'absent', 'key-19']) expect(key);
  const absent = memtable.hash(utf8('absent'), 0, 6);
  assert.equal(memtable.touch(expected), true);
  assert.equal(expected.count, 1);
  assert.equal(expected.hashes[0], absent);
  const found = new Found();
  for (let i = 0; i < 20; i++) assert.equal(memtable.get(utf8(`key-${i}`), `key-${i}`.length, found), answer.FOUND);
  assert.equal(memtable.get(utf8('absent'), 6, found), answer.UNKNOWN);
});

test('more keys than fit are not expected', () => {
  const expected = new ExpectedHashes();
  for (let i = 0; i < 2000; i++) expected.add(i);
  assert.equal(expected.count, expected.hashes.length);
});
