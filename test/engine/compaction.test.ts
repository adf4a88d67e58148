import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { compareBytes, latin1, utf8 } from '../../src/bytes.ts';
import {
  defaultPickerOptions,
  pickCompaction,
  pickWholeLevel,
  type PickerInput,
} from '../../src/engine/compaction-picker.ts';
import { kind } from '../../src/engine/record.ts';
import { Found, lookup } from '../../src/engine/store.ts';
import { VersionReader } from '../../src/engine/version-reader.ts';
import { LevelStore, slashPrefix } from './level-model.ts';
import { del, openCache, put, rangeDelete, walk, type TestRecord } from './table-fixture.ts';

const pickerOptions = { ...defaultPickerOptions, level0Tables: 2, level1Bytes: 3000, levelFactor: 2, tableBytes: 1500 };

function pickerInput(store: LevelStore, snapshots: readonly number[] = []): PickerInput {
  return {
    version: store.version,
    options: pickerOptions,
    cursors: [],
    excluded: new Set(),
    nowMs: 0,
    oldestSnapshot: snapshots[0],
  };
}

function pairsBelow(pairs: readonly [string, string][], upper: Uint8Array): [string, string][] {
  return pairs.filter(([key]) => compareBytes(Buffer.from(key, 'latin1'), upper) < 0);
}

/** Compares every look-up and walk of the store with its model. */
async function checkAgainstModel(store: LevelStore, sequences: readonly number[]): Promise<void> {
  const { cache, turns } = openCache(store.disk, { blocks: 4000, tails: 3000, files: 3, prefix: slashPrefix });
  const reader = new VersionReader(store.version, cache);
  const found = new Found();
  for (const sequence of sequences) {
    for (const key of [...store.model.keys(), utf8('nothing'), utf8('\x00')]) {
      await reader.fetch(key, sequence);
      const answer = reader.get(key, key.length, sequence, found);
      const expected = store.model.get(key, sequence);
      const got = answer === lookup.FOUND ? found.bytes.slice(found.start, found.end) : undefined;
      assert.deepEqual(got, expected, `get ${Buffer.from(key).toString()} at ${sequence}`);
      turns.end();
    }
    const pairs = store.model.pairs(sequence);
    const forth = reader.source({ sequence, reverse: false, lower: undefined, upper: undefined });
    assert.deepEqual(await walk(forth), pairs, `walk at ${sequence}`);
    const back = reader.source({ sequence, reverse: true, lower: undefined, upper: undefined });
    assert.deepEqual(await walk(back), pairs.toReversed(), `walk backwards at ${sequence}`);
    for (const prefix of ['key/', 'key//', 'key/x/', 'key/xxxx/', 'key/y/', 'key/xxxxxx/']) {
      const lower = utf8(prefix);
      const upper = utf8(`${prefix.slice(0, -1)}0`);
      const expected = store.model.pairs(sequence, lower, upper);
      const within = reader.source({ sequence, reverse: false, lower, upper });
      assert.deepEqual(pairsBelow(await walk(within, lower), upper), expected, `walk within ${prefix} at ${sequence}`);
      const withinBack = await walk(reader.source({ sequence, reverse: true, lower, upper }), upper);
      const notBelow = withinBack.filter(([key]) => compareBytes(Buffer.from(key, 'latin1'), lower) >= 0);
      assert.deepEqual(pairsBelow(notBelow, upper), expected.toReversed(), `back within ${prefix} at ${sequence}`);
    }
    const from = store.model.keys()[Math.floor(store.model.keys().length / 2)];
    if (from !== undefined) {
      const fromText = Buffer.from(from).toString('latin1');
      assert.deepEqual(
        await walk(reader.source({ sequence, reverse: false, lower: undefined, upper: undefined }), from),
        pairs.filter(([key]) => compareBytes(Buffer.from(key, 'latin1'), from) >= 0),
        `walk from ${fromText} at ${sequence}`,
      );
      assert.deepEqual(
        await walk(reader.source({ sequence, reverse: true, lower: undefined, upper: undefined }), from),
        pairs.filter(([key]) => compareBytes(Buffer.from(key, 'latin1'), from) <= 0).toReversed(),
        `walk backwards from ${fromText} at ${sequence}`,
      );
    }
  }
  cache.close();
  assert.equal(store.disk.openFiles, 0);
}

function unique(sequences: readonly number[]): number[] {
  return [...new Set(sequences)];
}

type Step =
  | { readonly do: 'put' | 'delete'; readonly key: number; readonly size: number }
  | { readonly do: 'delete-range'; readonly key: number; readonly size: number }
  | { readonly do: 'flush' | 'compact' | 'snapshot' };

const stepArbitrary: fc.Arbitrary<Step> = fc.oneof(
  { weight: 20, arbitrary: fc.record({ do: fc.constant('put' as const), key: fc.nat(40), size: fc.nat(60) }) },
  { weight: 6, arbitrary: fc.record({ do: fc.constant('delete' as const), key: fc.nat(40), size: fc.constant(0) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('delete-range' as const), key: fc.nat(40), size: fc.nat(20) }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('flush' as const) }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('compact' as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('snapshot' as const) }) },
);

function keyName(key: number): string {
  return `key/${'x'.repeat(key % 7)}/${key}`;
}

test('flushes and compactions against a model answer every look-up and walk at every live snapshot', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(stepArbitrary, { minLength: 20, maxLength: 150 }), async (steps) => {
      const store = new LevelStore();
      const snapshots: number[] = [];
      let sequence = 0;
      let records: TestRecord[] = [];
      let tombstones: ReturnType<typeof rangeDelete>[] = [];
      for (const step of steps) {
        switch (step.do) {
          case 'put':
            records.push(put(keyName(step.key), ++sequence, `${sequence}:${'v'.repeat(step.size)}`));
            break;
          case 'delete':
            records.push(del(keyName(step.key), ++sequence));
            break;
          case 'delete-range': {
            const [from, to] = [keyName(step.key), keyName(step.key + step.size)].sort();
            if (from !== undefined && to !== undefined && from !== to)
              tombstones.push(rangeDelete(from, to, ++sequence));
            break;
          }
          case 'snapshot':
            snapshots.push(sequence);
            break;
          case 'flush':
            if (records.length + tombstones.length > 0) store.flush(records, tombstones);
            records = [];
            tombstones = [];
            break;
          case 'compact': {
            const live = unique(snapshots);
            const choice = pickCompaction(pickerInput(store, live));
            if (choice === undefined) break;
            assert.equal(store.compact(choice, { snapshots: live }).outcome, 'done');
            break;
          }
        }
      }
      if (records.length + tombstones.length > 0) store.flush(records, tombstones);
      await checkAgainstModel(store, unique([...snapshots, sequence]));
      for (let level = 0; level < 3; level++) {
        const choice = pickWholeLevel(pickerInput(store), level);
        if (choice !== undefined) store.compact(choice);
      }
      await checkAgainstModel(store, [sequence]);
      for (const { table } of store.version.placed()) {
        assert.equal(table.tombstones, 0, 'no tombstone is left at the bottom');
        assert.equal(table.rangeTombstones.count, 0, 'no range tombstone is left at the bottom');
        assert.equal(table.maxSequence, 0, 'sequences at the bottom are 0');
      }
    }),
    { numRuns: 60 },
  );
});

test('a compaction lets the filter drop what no snapshot sees, and lets nothing older come back', async () => {
  const store = new LevelStore();
  store.flush([put('a', 1, 'old'), put('b', 2, 'old')], []);
  store.compact(pickWholeLevel(pickerInput(store), 0) ?? assert.fail());
  store.flush([put('a', 3, 'drop me'), put('b', 4, 'new')], []);
  const choice = pickWholeLevel(pickerInput(store), 0) ?? assert.fail();
  const result = store.compact(
    { ...choice, runs: choice.runs.slice(0, 1), bottommost: false, outputLevel: 0 },
    { filter: (_key, _from, _to, value, start, end) => (latin1(value, start, end) === 'drop me' ? 'drop' : 'keep') },
  );
  assert.equal(result.recordsFiltered, 1);
  store.model.records.push({ key: utf8('a'), kind: kind.DELETE, sequence: 5, value: new Uint8Array(0) });
  await checkAgainstModel(store, [5]);
});

test('a compaction leaves nothing behind when it is stopped', () => {
  const store = new LevelStore();
  store.flush(
    Array.from({ length: 9000 }, (_, i) => put(`key${i}`, i + 1, 'value')),
    [],
  );
  const files = store.disk.list('/store');
  let asked = 0;
  const choice = pickWholeLevel(pickerInput(store), 0) ?? assert.fail();
  const result = store.compact(choice, { stopped: () => ++asked > 1 });
  assert.equal(result.outcome, 'stopped');
  assert.deepEqual(store.disk.list('/store'), files);
  assert.equal(store.disk.openFiles, 0);
});

test('a compaction names the input that is damaged and writes nothing', () => {
  const store = new LevelStore();
  store.flush([put('a', 1, 'x')], []);
  store.flush([put('b', 2, 'x')], []);
  const bytes = store.disk.bytes('/store/000002.sst');
  bytes[3] = (bytes[3] as number) ^ 1;
  const choice = pickWholeLevel(pickerInput(store), 0) ?? assert.fail();
  const result = store.compact(choice);
  assert.equal(result.outcome, 'damaged');
  assert.equal(result.damagedTable, 2);
  assert.match(result.message, /000002\.sst is damaged at offset 0/);
  assert.deepEqual(store.disk.list('/store'), ['000001.sst', '000002.sst']);
});

test('the filter does not touch what a live snapshot sees', async () => {
  const store = new LevelStore();
  store.flush([put('a', 1, 'x'), put('a', 3, 'y'), put('b', 2, 'x')], []);
  const dropAll = (): 'drop' => 'drop';
  const filtered = store.compact(pickWholeLevel(pickerInput(store), 0) ?? assert.fail(), {
    snapshots: [2],
    filter: dropAll,
  });
  assert.equal(filtered.recordsFiltered, 1);
  const { cache } = openCache(store.disk);
  const reader = new VersionReader(store.version, cache);
  const pairsAt = (sequence: number): Promise<[string, string][]> =>
    walk(reader.source({ sequence, reverse: false, lower: undefined, upper: undefined }));
  const seenBySnapshot = [
    ['a', 'x'],
    ['b', 'x'],
  ];
  assert.deepEqual(await pairsAt(2), seenBySnapshot);
  assert.deepEqual(await pairsAt(9), [['b', 'x']]);
});
