/** Places of elements against a sorted array, through random changes, builds in slices and changes while they run. */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { compareBytes, EMPTY } from '../../src/bytes.ts';
import { ElementRanks } from '../../src/repl/element-ranks.ts';
import type { ElementSteps, TagRange } from '../../src/repl/elements.ts';
import { Miss } from '../../src/repl/miss.ts';
import { SeededRandom } from '../crash/seeded-random.ts';

/** Keys in order, walked over as they were when the walk began. */
class SortedKeys {
  keys: Uint8Array[] = [];
  /** Blocks of keys that are in memory; undefined: all are. */
  warm: Set<number> | undefined = undefined;

  add(key: Uint8Array): boolean {
    const at = this.placeOf(key);
    const there = this.keys[at];
    if (there !== undefined && compareBytes(there, key) === 0) return false;
    this.keys = [...this.keys.slice(0, at), key, ...this.keys.slice(at)];
    return true;
  }

  removeAt(at: number): Uint8Array {
    const [key] = this.keys.slice(at, at + 1);
    this.keys = this.keys.filter((_, i) => i !== at);
    return key as Uint8Array;
  }

  /** Number of keys before this one. */
  placeOf(key: Uint8Array): number {
    let low = 0;
    let high = this.keys.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (compareBytes(this.keys[middle] as Uint8Array, key) < 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  readonly walk = (range: TagRange): ElementSteps => {
    const { lower, upper, reverse } = range;
    const inside = this.keys.slice(
      lower === undefined ? 0 : this.placeOf(lower),
      upper === undefined ? this.keys.length : this.placeOf(upper),
    );
    if (reverse === true) inside.reverse();
    let at = -1;
    return {
      get key() {
        return inside[at] as Uint8Array;
      },
      value: EMPTY,
      next: () => {
        const next = inside[at + 1];
        const block = next === undefined ? 0 : Math.floor(Number(Buffer.from(next).toString()) / 20_000);
        if (this.warm?.has(block) === false) {
          throw new Miss(async () => {
            this.warm?.add(block);
          });
        }
        at++;
        return at < inside.length;
      },
      close: () => {},
    };
  };
}

function keyOf(number: number): Uint8Array {
  const key = Buffer.from(String(number).padStart(8, '0'));
  return new Uint8Array(key);
}

async function whole<T>(run: () => T): Promise<T> {
  for (let round = 0; round < 10_000; round++) {
    try {
      return run();
    } catch (thrown) {
      if (!(thrown instanceof Miss)) throw thrown;
      await thrown.load();
    }
  }
  throw new Error('no rest');
}

async function check(ranks: ElementRanks, sorted: SortedKeys, random: SeededRandom, tries: number): Promise<void> {
  assert.equal(ranks.total, sorted.keys.length);
  for (let i = 0; i < tries && sorted.keys.length > 0; i++) {
    const asked = keyOf(random.below(1_000_000));
    assert.equal(await whole(() => ranks.rankOf(asked, sorted.walk)), sorted.placeOf(asked));
    const place = random.below(sorted.keys.length);
    for (const reverse of [false, true]) {
      const { range, skip } = ranks.startAt(place, reverse);
      const steps = sorted.walk(range);
      const found = await whole(() => {
        const again = sorted.walk(range);
        for (let at = 0; at <= skip; at++) assert.ok(again.next());
        return again.key;
      });
      steps.close();
      assert.deepEqual(found, sorted.keys[place]);
      assert.ok(skip < 1100, `a walk over ${skip} elements`);
    }
  }
}

const NO_REST = (): Promise<void> => Promise.resolve();

describe('places of elements', () => {
  for (const [seed, size, isCold] of [
    [1, 300, false],
    [2, 3000, false],
    [3, 9000, false],
    [4, 3000, true],
    [5, 9000, true],
  ] as const) {
    test(`${size} elements${isCold ? ' on disk' : ''} and random changes, seed ${seed}`, async () => {
      const random = new SeededRandom(seed);
      const sorted = new SortedKeys();
      const numbers = new Set<number>();
      while (numbers.size < size) numbers.add(random.below(1_000_000));
      sorted.keys = [...numbers].sort((a, b) => a - b).map(keyOf);
      if (isCold) sorted.warm = new Set();
      const ranks = new ElementRanks();
      await whole(() => ranks.build(sorted.walk, NO_REST));
      assert.ok(ranks.built);
      await check(ranks, sorted, random, 100);
      for (let round = 0; round < 600; round++) {
        const draw = random.below(10);
        if (draw < 5) {
          const key = keyOf(random.below(1_000_000));
          if (sorted.add(key)) ranks.changed(key, 1);
        } else if (draw < 7) ranks.changed(sorted.removeAt(random.below(sorted.keys.length)), -1);
        else if (draw < 8) ranks.changed(sorted.removeAt(0), -1);
        else ranks.changed(sorted.removeAt(sorted.keys.length - 1), -1);
        if (sorted.keys.length === 0) break;
        if (round % 60 === 0) await check(ranks, sorted, random, 5);
      }
      if (ranks.built) await check(ranks, sorted, random, 50);
    });
  }

  test('changes while it is made are made up for', async () => {
    const random = new SeededRandom(7);
    const sorted = new SortedKeys();
    sorted.keys = Array.from({ length: 20_000 }, (_, i) => keyOf(2 * i));
    const ranks = new ElementRanks();
    let rests = 0;
    const rest = async (): Promise<void> => {
      rests++;
      for (let i = 0; i < 20; i++) {
        const key = keyOf(random.below(60_000));
        if (sorted.add(key)) ranks.changed(key, 1);
        ranks.changed(sorted.removeAt(random.below(sorted.keys.length)), -1);
      }
    };
    await whole(() => ranks.build(sorted.walk, rest));
    assert.ok(rests >= 4, `it rested ${rests} times`);
    await check(ranks, sorted, random, 200);
  });

  test('two who ask while it is made wait for the same', async () => {
    const sorted = new SortedKeys();
    sorted.keys = Array.from({ length: 9000 }, (_, i) => keyOf(i));
    const ranks = new ElementRanks();
    let walks = 0;
    const walk = (range: TagRange): ElementSteps => {
      walks++;
      return sorted.walk(range);
    };
    const ask = (): Promise<void> => whole(() => ranks.build(walk, NO_REST));
    await Promise.all([ask(), ask(), ask()]);
    assert.ok(ranks.built);
    assert.equal(walks, 2);
    assert.equal(ranks.total, 9000);
  });

  for (const end of ['first', 'last'] as const) {
    test(`a queue that is filled at the ${end === 'first' ? 'last' : 'first'} and emptied at the ${end} stays quick`, async () => {
      const random = new SeededRandom(11);
      const sorted = new SortedKeys();
      sorted.keys = Array.from({ length: 1000 }, (_, i) => keyOf(500_000 + i));
      const ranks = new ElementRanks();
      await whole(() => ranks.build(sorted.walk, NO_REST));
      for (let i = 0; i < 5000; i++) {
        const key = keyOf(end === 'first' ? 600_000 + i : 400_000 - i);
        sorted.keys = end === 'first' ? [...sorted.keys, key] : [key, ...sorted.keys];
        ranks.changed(key, 1);
        ranks.changed(sorted.removeAt(end === 'first' ? 0 : sorted.keys.length - 1), -1);
      }
      assert.ok(ranks.built);
      assert.ok(ranks.bytes < 20 * 300, `${ranks.bytes} bytes for a thousand elements`);
      await check(ranks, sorted, random, 100);
    });
  }

  test('what was not followed is found out and forgotten', async () => {
    const sorted = new SortedKeys();
    sorted.keys = [keyOf(1)];
    const ranks = new ElementRanks();
    await whole(() => ranks.build(sorted.walk, NO_REST));
    ranks.changed(keyOf(1), -1);
    ranks.changed(keyOf(1), -1);
    assert.equal(ranks.built, false);
  });
});
