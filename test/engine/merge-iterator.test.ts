import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { compareBytes } from '../../src/bytes.ts';
import { MergeIterator } from '../../src/engine/merge-iterator.ts';
import { RangeTombstones } from '../../src/engine/range-tombstones.ts';
import { kind, type Kind } from '../../src/engine/record.ts';
import type { Source } from '../../src/engine/source.ts';
import { lookup, type Lookup } from '../../src/engine/store.ts';
import { settled, walk } from './table-fixture.ts';

interface Item {
  readonly key: number;
  readonly dead: boolean;
}

const keyBytes = (key: number): Uint8Array => Uint8Array.from([key >> 8, key]);

/** A source over sorted keys that misses as often as its list says, each time before it does anything. */
class ListSource implements Source {
  readonly #items: readonly (Item & { readonly bytes: Uint8Array })[];
  readonly #age: number;
  readonly #sequence: number;
  readonly #misses: boolean[];
  readonly #reverse: boolean;
  #at = -1;
  #loaded = false;

  constructor(items: readonly Item[], age: number, sequence: number, reverse: boolean, misses: readonly boolean[]) {
    const sorted = items.toSorted((a, b) => a.key - b.key).map((item) => ({ ...item, bytes: keyBytes(item.key) }));
    this.#items = reverse ? sorted.reverse() : sorted;
    this.#age = age;
    this.#sequence = sequence;
    this.#misses = [...misses];
    this.#reverse = reverse;
  }

  get #item(): Item & { readonly bytes: Uint8Array } {
    return this.#items[this.#at] ?? assert.fail('it stands on a record');
  }
  get keyBytes(): Uint8Array {
    return this.#item.bytes;
  }
  readonly keyStart = 0;
  get keyEnd(): number {
    return this.#item.bytes.length;
  }
  get kind(): Kind {
    return this.#item.dead ? kind.DELETE : kind.PUT;
  }
  get sequence(): number {
    return this.#sequence;
  }
  get valueBytes(): Uint8Array {
    return Uint8Array.from([65 + this.#age]);
  }
  readonly valueStart = 0;
  readonly valueEnd = 1;

  #missesNow(): boolean {
    if (this.#loaded) {
      this.#loaded = false;
      return false;
    }
    return this.#misses.shift() === true;
  }

  seek(key: Uint8Array | undefined): Lookup {
    if (this.#missesNow()) return lookup.MISS;
    this.#at = 0;
    if (key !== undefined) {
      const at = this.#items.findIndex(({ bytes }) => {
        const order = compareBytes(bytes, key);
        return this.#reverse ? order <= 0 : order >= 0;
      });
      this.#at = at < 0 ? this.#items.length : at;
    }
    return this.#at < this.#items.length ? lookup.FOUND : lookup.ABSENT;
  }

  step(): Lookup {
    if (this.#missesNow()) return lookup.MISS;
    this.#at++;
    return this.#at < this.#items.length ? lookup.FOUND : lookup.ABSENT;
  }

  async load(): Promise<void> {
    this.#loaded = true;
  }

  close(): void {}
}

const LEVELS = 4;
const SPAN = 40;

interface Input {
  readonly items: Item[];
  readonly ranges: { readonly from: number; readonly length: number; readonly newer: boolean }[];
  readonly misses: boolean[];
}

const input: fc.Arbitrary<Input> = fc.record({
  items: fc.uniqueArray(fc.record({ key: fc.nat(SPAN), dead: fc.boolean() }), {
    maxLength: 25,
    selector: (item) => item.key,
  }),
  ranges: fc.array(fc.record({ from: fc.nat(SPAN), length: fc.nat(15), newer: fc.boolean() }), { maxLength: 2 }),
  misses: fc.array(fc.boolean(), { maxLength: 12 }),
});

/**
 * Sequences: the records of the input of age a have 100 × (10 − a); its range tombstones come shortly before or after
 * them. So every input is newer than the ones behind it.
 */
function sequenceOf(age: number): number {
  return 100 * (10 - age);
}

/** Range tombstones count from `limit` on down: what a snapshot sees of them. */
function expectedPairs(inputs: readonly Input[], limit: number): [number, string][] {
  const pairs: [number, string][] = [];
  for (let key = 0; key <= SPAN; key++) {
    for (const [age, { items, ranges }] of inputs.entries()) {
      const item = items.find((each) => each.key === key);
      const killers = ranges
        .filter(({ from, length }) => from <= key && key < from + length)
        .map(({ newer }) => sequenceOf(age) + (newer ? 1 : -1))
        .filter((sequence) => sequence <= limit);
      const killed = killers.some((sequence) => item === undefined || sequence > sequenceOf(age));
      if (item !== undefined && !item.dead && !killed) pairs.push([key, String.fromCharCode(65 + age)]);
      if (item !== undefined || killers.length > 0) break;
    }
  }
  return pairs;
}

test('a merge shows what the newest input says of each key, both ways, from everywhere, whatever misses', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(input, { maxLength: LEVELS }),
      fc.boolean(),
      fc.option(fc.nat(SPAN + 2)),
      fc.option(fc.nat(LEVELS)),
      async (inputs, reverse, from, snapshot) => {
        // A snapshot that sees the range tombstones of all inputs or, of the newest ones, only those before their records.
        const limit = snapshot === null ? Number.MAX_SAFE_INTEGER : sequenceOf(snapshot);
        const visible = inputs.map((each, age) => (sequenceOf(age) > limit ? { ...each, items: [] } : each));
        const merge = new MergeIterator({
          inputs: visible.map(({ items, ranges, misses }, age) => ({
            source: new ListSource(items, age, sequenceOf(age), reverse, misses),
            tombstones: RangeTombstones.of(
              ranges.map(({ from: start, length, newer }) => ({
                start: keyBytes(start),
                end: keyBytes(start + length),
                sequence: sequenceOf(age) + (newer ? 1 : -1),
              })),
            ),
          })),
          sequence: limit,
          reverse,
        });
        const all = expectedPairs(visible, limit);
        const within = all.filter(([key]) => from === null || (reverse ? key <= from : key >= from));
        const expected = (reverse ? within.toReversed() : within).map(([key, value]) => [
          Buffer.from(keyBytes(key)).toString('latin1'),
          value,
        ]);
        assert.deepEqual(await walk(merge, from === null ? undefined : keyBytes(from)), expected);
        // Again from the start, after the end.
        const again = (reverse ? all.toReversed() : all).length;
        assert.equal((await walk(merge)).length, again);
      },
    ),
    { numRuns: 500 },
  );
});

test('a range tombstone of a newer input is passed by a seek, not by a walk', async () => {
  const items = Array.from({ length: 5000 }, (_, key) => ({ key, dead: false }));
  const old = new ListSource(items, 1, 1, false, []);
  let steps = 0;
  const step = old.step.bind(old);
  old.step = () => {
    steps++;
    return step();
  };
  const merge = new MergeIterator({
    inputs: [
      {
        source: new ListSource([], 0, 9, false, []),
        tombstones: RangeTombstones.of([{ start: keyBytes(1), end: keyBytes(4999), sequence: 9 }]),
      },
      { source: old, tombstones: RangeTombstones.NONE },
    ],
    sequence: 10,
    reverse: false,
  });
  assert.equal(await settled(merge, () => merge.seek(undefined)), true);
  assert.deepEqual(
    (await walk(merge)).map(([key]) => key),
    ['\x00\x00', '\x13\x87'],
  );
  assert.ok(steps < 10);
});

test('a merge of nothing is empty', async () => {
  const merge = new MergeIterator({ inputs: [], sequence: 1, reverse: false });
  assert.deepEqual(await walk(merge), []);
});
