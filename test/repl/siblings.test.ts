import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { utf8 } from '../../src/bytes.ts';
import { decodeContext, encodeContext } from '../../src/repl/causal-context.ts';
import {
  areConcurrent,
  descends,
  EMPTY_ROW,
  hasSeen,
  highestDot,
  joinVectors,
  liveValues,
  mergeRows,
  removeSiblings,
  visible,
  writeSibling,
  type SiblingRow,
  type VersionVector,
} from '../../src/repl/siblings.ts';
import { versionText } from '../../src/repl/version.ts';
import { Prng } from '../sim/prng.ts';

function put(
  row: SiblingRow,
  context: VersionVector,
  stamp: number,
  actor: number,
  text = `${stamp}.${actor}`,
): SiblingRow {
  return writeSibling(row, context, { dot: { stamp, actor }, value: utf8(text), expiresAtMs: 0 });
}

function shown(row: SiblingRow): string[] {
  return row.values.map((sibling) => Buffer.from(sibling.value).toString());
}

/** A row as text, to compare. */
function textOf(row: SiblingRow): string {
  return `${row.vector.map(versionText).join()}|${row.values.map((sibling) => versionText(sibling.dot)).join()}`;
}

void test('a write that has read replaces what it read; two that have not stand side by side until one has', () => {
  const first = put(EMPTY_ROW, [], 1, 1);
  const second = put(first, first.vector, 2, 1);
  assert.deepEqual(shown(second), ['2.1']);
  const concurrent = put(second, first.vector, 3, 2);
  assert.deepEqual(shown(concurrent), ['2.1', '3.2']);
  assert.deepEqual(shown(put(concurrent, concurrent.vector, 4, 1)), ['4.1']);
});

void test('no sibling explosion: two clients that each write over what they read last leave two values, not all', () => {
  // The example of the paper: interleaved clients through one coordinator.
  let row = EMPTY_ROW;
  let mine: VersionVector = [];
  let yours: VersionVector = [];
  for (let stamp = 1; stamp < 40; stamp += 2) {
    row = put(row, mine, stamp, 1);
    mine = joinVectors(mine, [{ stamp, actor: 1 }]);
    row = put(row, yours, stamp + 1, 2);
    yours = joinVectors(yours, [{ stamp: stamp + 1, actor: 2 }]);
  }
  assert.equal(row.values.length, 2);
});

void test('a removal removes what it has seen; what is concurrent to it stays, what it removed does not come back', () => {
  const first = put(EMPTY_ROW, [], 1, 1);
  const both = put(first, [], 2, 2);
  const removed = removeSiblings(both, first.vector);
  assert.deepEqual(shown(removed), ['2.2']);
  const gone = removeSiblings(both, both.vector);
  assert.deepEqual(shown(gone), []);
  assert.deepEqual(shown(mergeRows(gone, first)), [], 'an old copy changes nothing');
  assert.deepEqual(highestDot(gone), { stamp: 2, actor: 2 }, 'a tombstone still knows what it has seen');
});

void test('GET shows the newest dot that has not expired; the expired one stays seen', () => {
  const row = writeSibling(put(EMPTY_ROW, [], 1, 1), [], {
    dot: { stamp: 2, actor: 2 },
    value: utf8('b'),
    expiresAtMs: 100,
  });
  assert.deepEqual(visible(row, 99)?.dot, { stamp: 2, actor: 2 });
  assert.deepEqual(visible(row, 100)?.dot, { stamp: 1, actor: 1 });
  assert.equal(liveValues(row, 100).length, 1);
  assert.ok(hasSeen(row.vector, { stamp: 2, actor: 2 }));
});

/** Rows as they come about: three owners, writes and removals with the contexts of earlier reads, partial merges. */
function rowsOf(seed: number, steps: number): SiblingRow[] {
  const random = new Prng(seed);
  const owners = [EMPTY_ROW, EMPTY_ROW, EMPTY_ROW];
  const contexts: VersionVector[] = [[]];
  for (let stamp = 1; stamp <= steps; stamp++) {
    const at = random.below(3);
    const row = owners[at] as SiblingRow;
    const dice = random.next();
    if (dice < 0.5) owners[at] = put(row, random.pick(contexts), stamp, at + 1);
    else if (dice < 0.6) owners[at] = removeSiblings(row, random.pick(contexts));
    else if (dice < 0.8) owners[at] = mergeRows(row, random.pick(owners));
    else contexts.push(row.vector);
  }
  return owners;
}

void test('merge is commutative, associative and idempotent; dots are seen and distinct', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 1_000_000 }), fc.integer({ min: 1, max: 60 }), (seed, steps) => {
      const [a, b, c] = rowsOf(seed, steps) as [SiblingRow, SiblingRow, SiblingRow];
      assert.equal(textOf(mergeRows(a, b)), textOf(mergeRows(b, a)));
      assert.equal(textOf(mergeRows(mergeRows(a, b), c)), textOf(mergeRows(a, mergeRows(b, c))));
      assert.equal(textOf(mergeRows(a, a)), textOf(a));
      const all = mergeRows(mergeRows(a, b), c);
      assert.equal(textOf(mergeRows(all, b)), textOf(all));
      assert.ok(all.values.every((sibling) => hasSeen(all.vector, sibling.dot)));
      assert.equal(new Set(all.values.map((sibling) => versionText(sibling.dot))).size, all.values.length);
      assert.ok(descends(all.vector, a.vector) && descends(all.vector, c.vector));
    }),
  );
});

void test('against a model of sets: a value is there until somebody who has seen it replaces or removes it', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 1_000_000 }), (seed) => {
      const random = new Prng(seed);
      const owners = [EMPTY_ROW, EMPTY_ROW, EMPTY_ROW];
      /** Of each owner: dots it has heard of, and those of them that are dead. */
      const heard = owners.map(() => new Set<string>());
      const dead = owners.map(() => new Set<string>());
      const contexts: { vector: VersionVector; seen: Set<string> }[] = [{ vector: [], seen: new Set() }];
      for (let stamp = 1; stamp < 60; stamp++) {
        const at = random.below(3);
        const other = random.below(3);
        const context = random.pick(contexts);
        const dice = random.next();
        if (dice < 0.55) {
          const removes = dice > 0.45;
          const row = owners[at] as SiblingRow;
          owners[at] = removes ? removeSiblings(row, context.vector) : put(row, context.vector, stamp, at + 1);
          for (const dot of context.seen) {
            heard[at]?.add(dot);
            dead[at]?.add(dot);
          }
          if (!removes) heard[at]?.add(`${stamp}.${at + 1}`);
        } else if (dice < 0.8) {
          owners[at] = mergeRows(owners[at] as SiblingRow, owners[other] as SiblingRow);
          for (const dot of heard[other] ?? []) heard[at]?.add(dot);
          for (const dot of dead[other] ?? []) dead[at]?.add(dot);
        } else contexts.push({ vector: (owners[at] as SiblingRow).vector, seen: new Set(heard[at]) });
        const alive = [...(heard[at] ?? [])].filter((dot) => dead[at]?.has(dot) === false);
        assert.deepEqual(shown(owners[at] as SiblingRow).sort(), alive.sort());
      }
    }),
    { numRuns: 200 },
  );
});

void test('vectors: descends, concurrent, join', () => {
  const a = [{ stamp: 3, actor: 1 }];
  const b = [
    { stamp: 2, actor: 1 },
    { stamp: 1, actor: 2 },
  ];
  assert.ok(areConcurrent(a, b));
  assert.ok(descends(joinVectors(a, b), a) && descends(joinVectors(a, b), b));
  assert.ok(descends(a, []) && !descends([], a) && descends(a, a));
});

void test('a context comes back for its own row only; damage and other rows are refused', () => {
  const row = utf8('row');
  fc.assert(
    fc.property(fc.uniqueArray(fc.integer({ min: 0, max: 0xffff_ffff }), { maxLength: 6 }), fc.nat(), (actors, at) => {
      const vector = actors.sort((a, b) => a - b).map((actor) => ({ stamp: actor * 3 + 1, actor }));
      const text = encodeContext(vector, row);
      assert.deepEqual(decodeContext(text, row), vector);
      assert.equal(decodeContext(text, utf8('other')), undefined);
      const place = at % text.length;
      const flipped = `${text.slice(0, place)}${text[place] === 'A' ? 'B' : 'A'}${text.slice(place + 1)}`;
      assert.equal(decodeContext(flipped, row), undefined);
      assert.equal(decodeContext(text.slice(0, place), row)?.length ?? 0, 0);
    }),
  );
  assert.deepEqual(decodeContext('', row), []);
});
