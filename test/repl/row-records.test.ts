import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { BallotCache } from '../../src/repl/ballot-cache.ts';
import { FIRST_FIELD, FIRST_RECORDS, RowRecords } from '../../src/repl/row-records.ts';

/** Names of rows in the slots of the letters that they begin with. */
const slotOf = (letter: string): number => letter.charCodeAt(0);
const rowOf = (letter: string): string => `\u0000${letter}\u0000key`;

void test('a row keeps its record until it is the oldest of too many', () => {
  const records = new RowRecords({ limit: 3, fields: 1 });
  const width = FIRST_FIELD + 1;
  const find = (letters: readonly string[]): number[] => letters.map((letter) => records.find(rowOf(letter)));
  assert.deepEqual(
    ['a', 'b', 'c'].map((letter) => records.add(rowOf(letter))),
    [0, width, 2 * width],
  );
  assert.equal(records.evictedSlot, -1);
  records.numbers[FIRST_FIELD] = 7;
  assert.equal(records.find(rowOf('a')), 0);
  assert.equal(records.add(rowOf('d')), 0);
  assert.equal(records.evictedSlot, slotOf('a'));
  assert.equal(records.numbers[FIRST_FIELD], 7, 'what was remembered of the evicted row');
  assert.deepEqual(find(['a', 'b', 'c', 'd']), [-1, width, 2 * width, 0]);
  assert.equal(records.add(rowOf('a')), width);
  assert.equal(records.evictedSlot, slotOf('b'));
  assert.equal(records.size, 3);
  records.clear();
  assert.deepEqual(find(['a', 'b', 'c', 'd']), [-1, -1, -1, -1]);
  assert.equal(records.add(rowOf('e')), 0);
});

void test('records against a model', () => {
  const letter = fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f');
  fc.assert(
    fc.property(fc.array(letter, { maxLength: 40 }), fc.integer({ min: 1, max: 5 }), (letters, limit) => {
      const records = new RowRecords({ limit, fields: 1 });
      const width = FIRST_FIELD + 1;
      const model = new Map<string, number>();
      for (const each of letters) {
        assert.equal(records.find(rowOf(each)), model.get(each) ?? -1);
        if (model.has(each)) continue;
        const oldest = model.size < limit ? undefined : [...model.keys()][0];
        const at = oldest === undefined ? model.size * width : (model.get(oldest) as number);
        if (oldest !== undefined) model.delete(oldest);
        model.set(each, at);
        assert.equal(records.add(rowOf(each)), at);
        assert.equal(records.evictedSlot, oldest === undefined ? -1 : slotOf(oldest));
      }
      for (const each of ['a', 'b', 'c', 'd', 'e', 'f']) assert.equal(records.find(rowOf(each)), model.get(each) ?? -1);
    }),
  );
});

void test('tables grow and keep what they have; many rows come and go', () => {
  const limit = 3 * FIRST_RECORDS;
  const records = new RowRecords({ limit, fields: 1 });
  const nameOf = (i: number): string => String.fromCharCode(i & 0x3f, i & 0xff) + `\u0000row ${i}`;
  for (let i = 0; i < 4 * limit; i++) {
    assert.equal(records.find(nameOf(i)), -1);
    const at = records.add(nameOf(i));
    if (i >= limit) assert.equal(records.numbers[at + FIRST_FIELD], i - limit, 'the oldest goes');
    records.numbers[at + FIRST_FIELD] = i;
    if (i % 97 !== 0) continue;
    for (let j = Math.max(0, i - limit - 50); j <= i; j += 31) {
      const found = records.find(nameOf(j));
      if (j <= i - limit) assert.equal(found, -1);
      else assert.equal(records.numbers[found + FIRST_FIELD], j);
    }
  }
});

void test('a ballot is handed out once, to the same owners, before it is too old', () => {
  const owners = { current: [1, 2, 3], incoming: [] };
  const others = { current: [1, 2, 3], incoming: [] };
  const entry = { ballot: { stamp: 9, actor: 4 }, version: { stamp: 8, actor: 3 }, owners, sinceMs: 100 };
  const ballots = new BallotCache({ limit: 2, maxAgeMs: 50 });
  ballots.put(rowOf('a'), entry);
  assert.deepEqual(ballots.take(rowOf('a'), owners, 149), entry);
  assert.equal(ballots.take(rowOf('a'), owners, 149), undefined);
  ballots.put(rowOf('a'), entry);
  assert.equal(ballots.take(rowOf('a'), others, 149), undefined);
  assert.equal(ballots.take(rowOf('a'), owners, 149), undefined, 'it is gone, whoever asked');
  ballots.put(rowOf('a'), entry);
  assert.equal(ballots.take(rowOf('a'), owners, 150), undefined);
  ballots.put(rowOf('a'), entry);
  ballots.put(rowOf('b'), entry);
  ballots.put(rowOf('c'), { ...entry, version: { stamp: 7, actor: 7 } });
  assert.equal(ballots.take(rowOf('a'), owners, 149), undefined, 'the oldest is dropped');
  assert.deepEqual(ballots.take(rowOf('b'), owners, 149), entry);
  assert.deepEqual(ballots.take(rowOf('c'), owners, 149)?.version, { stamp: 7, actor: 7 });
  ballots.put(rowOf('c'), entry);
  ballots.clear();
  assert.equal(ballots.take(rowOf('c'), owners, 149), undefined);
});
