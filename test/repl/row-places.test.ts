import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { BallotCache } from '../../src/repl/ballot-cache.ts';
import { FIRST_PLACES, RowPlaces, withPlace } from '../../src/repl/row-places.ts';

void test('a row keeps its place until it is the oldest of too many', () => {
  const places = new RowPlaces(3);
  assert.deepEqual(
    ['a', 'b', 'c'].map((row) => places.add(row)),
    [0, 1, 2],
  );
  assert.equal(places.evicted, undefined);
  assert.equal(places.find('a'), 0);
  assert.equal(places.add('d'), 0);
  assert.equal(places.evicted, 'a');
  assert.deepEqual(
    ['a', 'b', 'c', 'd'].map((row) => places.find(row)),
    [-1, 1, 2, 0],
  );
  assert.equal(places.add('a'), 1);
  assert.equal(places.evicted, 'b');
  assert.equal(places.size, 3);
  places.clear();
  assert.equal(places.find('a'), -1);
  assert.equal(places.add('e'), 0);
});

void test('places against a model', () => {
  const name = fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f');
  fc.assert(
    fc.property(fc.array(name, { maxLength: 40 }), fc.integer({ min: 1, max: 5 }), (names, limit) => {
      const places = new RowPlaces(limit);
      const model = new Map<string, number>();
      for (const row of names) {
        assert.equal(places.find(row), model.get(row) ?? -1);
        if (model.has(row)) continue;
        const oldest = model.size < limit ? undefined : [...model.keys()][0];
        const place = oldest === undefined ? model.size : (model.get(oldest) as number);
        if (oldest !== undefined) model.delete(oldest);
        model.set(row, place);
        assert.equal(places.add(row), place);
        assert.equal(places.evicted, oldest);
      }
      for (const row of 'abcdef') assert.equal(places.find(row), model.get(row) ?? -1);
    }),
  );
});

void test('arrays grow with their places and keep what they have', () => {
  let numbers = withPlace(new Float64Array(0), 0);
  assert.equal(numbers.length, FIRST_PLACES);
  numbers[7] = 1.5;
  assert.equal(withPlace(numbers, FIRST_PLACES - 1), numbers);
  numbers = withPlace(numbers, FIRST_PLACES);
  assert.equal(numbers.length, 2 * FIRST_PLACES);
  assert.equal(numbers[7], 1.5);
});

void test('a ballot is handed out once, to the same owners, before it is too old', () => {
  const owners = { current: [1, 2, 3], incoming: [] };
  const others = { current: [1, 2, 3], incoming: [] };
  const entry = { ballot: { stamp: 9, actor: 4 }, version: { stamp: 8, actor: 3 }, owners, sinceMs: 100 };
  const ballots = new BallotCache({ limit: 2, maxAgeMs: 50 });
  ballots.put('a', entry);
  assert.deepEqual(ballots.take('a', owners, 149), entry);
  assert.equal(ballots.take('a', owners, 149), undefined);
  ballots.put('a', entry);
  assert.equal(ballots.take('a', others, 149), undefined);
  assert.equal(ballots.take('a', owners, 149), undefined, 'it is gone, whoever asked');
  ballots.put('a', entry);
  assert.equal(ballots.take('a', owners, 150), undefined);
  ballots.put('a', entry);
  ballots.put('b', entry);
  ballots.put('c', { ...entry, version: { stamp: 7, actor: 7 } });
  assert.equal(ballots.take('a', owners, 149), undefined, 'the oldest is dropped');
  assert.deepEqual(ballots.take('b', owners, 149), entry);
  assert.deepEqual(ballots.take('c', owners, 149)?.version, { stamp: 7, actor: 7 });
  ballots.put('c', entry);
  ballots.clear();
  assert.equal(ballots.take('c', owners, 149), undefined);
});
