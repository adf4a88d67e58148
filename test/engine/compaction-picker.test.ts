import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { compareBytes, utf8 } from '../../src/bytes.ts';
import {
  deadTables,
  debtBytes,
  defaultPickerOptions,
  level0Backlog,
  pickCompaction,
  pickWholeLevel,
  score,
  type Choice,
  type PickerInput,
} from '../../src/engine/compaction-picker.ts';
import { RangeTombstones } from '../../src/engine/range-tombstones.ts';
import type { TableMeta } from '../../src/engine/sstable-format.ts';
import { LEVELS, overlaps, Version } from '../../src/engine/version.ts';
import { tableMeta } from './manifest-contract.ts';
import { rangeDelete } from './table-fixture.ts';

const options = { ...defaultPickerOptions, level0Tables: 3, level1Bytes: 3000, levelFactor: 3, tableBytes: 1000 };

function keyAt(position: number): Uint8Array {
  return utf8(String(position).padStart(4, '0'));
}

let nextNumber = 1;

function tableAt(from: number, to: number, changed: Partial<TableMeta> = {}): TableMeta {
  const number = nextNumber++;
  return tableMeta(number, {
    lower: keyAt(from),
    upper: keyAt(to),
    bytes: 1000,
    records: 100,
    tombstones: 0,
    minSequence: number,
    maxSequence: number,
    rangeTombstones: RangeTombstones.NONE,
    ...changed,
  });
}

function inputOf(version: Version, changed: Partial<PickerInput> = {}): PickerInput {
  return {
    version,
    options,
    cursors: [],
    excluded: new Set(),
    nowMs: 1_700_000_000_000,
    oldestSnapshot: undefined,
    ...changed,
  };
}

/** What must be true of every choice. */
function checkChoice(input: PickerInput, choice: Choice): void {
  const { version } = input;
  const chosen = choice.runs.flat();
  const numbers = new Set(chosen.map((table) => table.number));
  assert.equal(numbers.size, chosen.length);
  for (const number of numbers) assert.ok(!input.excluded.has(number), 'no excluded table is named');
  const lower = chosen.map((table) => table.lower).sort(compareBytes)[0] ?? assert.fail('something is chosen');
  const upper =
    chosen
      .map((table) => table.upper)
      .sort(compareBytes)
      .at(-1) ?? assert.fail('something is chosen');
  if (choice.reason === 'within-level-0') {
    const ages = chosen.map((table) => (version.levels[0] ?? []).indexOf(table));
    assert.deepEqual(
      ages,
      ages.map((_, i) => (ages[0] as number) + i),
      'neighbours in age',
    );
    assert.deepEqual([choice.inputLevel, choice.outputLevel, choice.move, choice.bottommost], [0, 0, false, false]);
    return;
  }
  for (const table of version.levels[choice.outputLevel] ?? []) {
    if (overlaps(table, lower, upper)) assert.ok(numbers.has(table.number), 'all it overlaps below is taken along');
  }
  if (choice.inputLevel === 0) {
    const level0 = version.levels[0] ?? [];
    const fromLevel0 = level0.filter((table) => numbers.has(table.number));
    for (const [age, table] of level0.entries()) {
      if (numbers.has(table.number)) continue;
      const overtaken = fromLevel0.some(
        (each) => level0.indexOf(each) < age && overlaps(table, each.lower, each.upper),
      );
      assert.ok(!overtaken, 'no older table of level 0 is overtaken');
    }
  }
  for (const run of choice.runs) {
    for (let i = 1; i < run.length; i++) {
      assert.ok(compareBytes((run[i - 1] as TableMeta).upper, (run[i] as TableMeta).lower) <= 0, 'runs ascend');
    }
  }
  let below = false;
  for (let level = choice.outputLevel + 1; level < LEVELS; level++) {
    below ||= (version.levels[level] ?? []).some((table) => overlaps(table, lower, upper));
  }
  assert.equal(choice.bottommost, !below);
  if (choice.move) assert.equal(chosen.length, 1);
}

/** Carries a choice out without files: what comes out covers what went in, a little smaller. */
function carryOut(version: Version, choice: Choice): Version {
  const chosen = choice.runs.flat();
  const removed = chosen.map((table) => table.number);
  if (choice.move) {
    return version.with({ added: [{ level: choice.outputLevel, table: chosen[0] as TableMeta }], removed });
  }
  // Cut where the inputs begin, so that tables keep their size.
  const cuts = chosen.map((table) => table.lower).sort(compareBytes);
  const last = chosen
    .map((table) => table.upper)
    .sort(compareBytes)
    .at(-1) as Uint8Array;
  const added = cuts
    .map((lower, i) => ({ lower, upper: cuts[i + 1] ?? last }))
    .filter(({ lower, upper }) => compareBytes(lower, upper) < 0)
    .map((bounds) => ({
      level: choice.outputLevel,
      table: tableAt(0, 1, { ...bounds, bytes: 900, maxSequence: Math.max(...chosen.map((each) => each.maxSequence)) }),
    }));
  return version.with({ added, removed });
}

const flush = fc.record({ from: fc.nat(200), length: fc.integer({ min: 1, max: 60 }), deletes: fc.nat(100) });

test('every choice keeps the order of ages, and choices come to an end with no level over its target', () => {
  fc.assert(
    fc.property(fc.array(flush, { minLength: 1, maxLength: 40 }), fc.array(fc.nat(3)), (flushes, excluding) => {
      let version = Version.EMPTY;
      const cursors: (Uint8Array | undefined)[] = Array.from({ length: LEVELS });
      let choices = 0;
      const pick = (excluded: ReadonlySet<number>): boolean => {
        const input = inputOf(version, { cursors, excluded });
        const choice = pickCompaction(input);
        if (choice === undefined) return false;
        checkChoice(input, choice);
        cursors[choice.inputLevel] = choice.runs[0]?.at(-1)?.upper;
        version = carryOut(version, choice);
        choices++;
        assert.ok(choices < 5000, 'choices come to an end');
        return true;
      };
      for (const [i, { from, length, deletes }] of flushes.entries()) {
        version = version.with({
          added: [{ level: 0, table: tableAt(from, from + length, { tombstones: deletes }) }],
          removed: [],
        });
        const tables = version.placed();
        const excluded = new Set(excluding.map((each) => tables[(each * 7 + i) % tables.length]?.table.number ?? 0));
        if (i % 3 === 0) pick(excluded);
      }
      while (pick(new Set()));
      for (let level = 0; level < LEVELS - 1; level++) assert.ok(score(version, level, options) < 1);
      assert.equal(debtBytes(version, options), 0);
    }),
    { numRuns: 200 },
  );
});

test('level 0 stays small around a damaged table, wherever that is, and nothing else stands still', () => {
  for (const level of [0, 1, 2]) {
    const damaged = tableAt(40, 60);
    let version = Version.of([{ level, table: damaged }]);
    const excluded = new Set([damaged.number]);
    const cursors: (Uint8Array | undefined)[] = Array.from({ length: LEVELS });
    const longest = { level0: 0, backlog: 0 };
    const reasons = new Set<string>();
    for (let round = 0; round < 600; round++) {
      // Half of what comes lies beside the damaged table.
      const table = round % 2 === 0 ? tableAt(0, 100) : tableAt(70, 100);
      version = version.with({ added: [{ level: 0, table }], removed: [] });
      for (let choices = 0; ; choices++) {
        assert.ok(choices < 100, 'choices come to an end');
        const input = inputOf(version, { cursors, excluded });
        const choice = pickCompaction(input);
        if (choice === undefined) break;
        checkChoice(input, choice);
        reasons.add(choice.reason);
        cursors[choice.inputLevel] = choice.runs[0]?.at(-1)?.upper;
        version = choice.reason === 'within-level-0' ? mergedWithin(version, choice) : carryOut(version, choice);
      }
      longest.level0 = Math.max(longest.level0, (version.levels[0] ?? []).length);
      longest.backlog = Math.max(longest.backlog, level0Backlog(version, excluded));
    }
    assert.ok(longest.level0 <= 14 && longest.backlog < 8, `level ${level}: ${JSON.stringify(longest)}`);
    assert.ok(reasons.has('within-level-0') || level === 2, [...reasons].join());
    // Once it is repaired, everything goes down.
    const left = (version.levels[0] ?? []).length;
    const rest = pickWholeLevel(inputOf(version), 0);
    assert.ok(left === 0 || (rest !== undefined && rest.outputLevel > 0 && rest.runs.length >= left));
  }
});

/** What a merge within level 0 makes: one table as large as all of them. */
function mergedWithin(version: Version, choice: Choice): Version {
  const chosen = choice.runs.flat();
  const bytes = chosen.reduce((sum, table) => sum + table.bytes, 0);
  const maxSequence = Math.max(...chosen.map((table) => table.maxSequence));
  return version.with({
    added: [{ level: 0, table: tableAt(0, 100, { bytes, maxSequence }) }],
    removed: chosen.map((table) => table.number),
  });
}

test('in level 0 what is older than a damaged table goes down, what is newer does not', () => {
  const tables = [0, 1, 2, 3, 4, 5].map(() => ({ level: 0, table: tableAt(0, 50) }));
  const version = Version.of(tables);
  const [newest, , , damaged, older, oldest] = version.levels[0] ?? [];
  const input = inputOf(version, { excluded: new Set([damaged?.number ?? 0]) });
  const choice = pickCompaction(input) ?? assert.fail('the older ones can go');
  checkChoice(input, choice);
  assert.equal(choice.outputLevel, 1);
  assert.deepEqual(
    choice.runs.flat().map((table) => table.number),
    [older?.number, oldest?.number],
  );
  const rest = version.with({ added: [], removed: [older?.number ?? 0, oldest?.number ?? 0] });
  const within = pickCompaction(inputOf(rest, { excluded: new Set([damaged?.number ?? 0]) }));
  assert.deepEqual([within?.reason, within?.runs.length], ['within-level-0', 3]);
  const fewer = rest.with({ added: [], removed: [newest?.number ?? 0] });
  assert.equal(pickCompaction(inputOf(fewer, { excluded: new Set([damaged?.number ?? 0]) })), undefined);
});

test('the level that is most over its target comes first', () => {
  const level1 = Array.from({ length: 12 }, (_, i) => ({ level: 1, table: tableAt(i * 10, i * 10 + 9) }));
  const version = Version.of([...level1, ...[1, 2, 3].map(() => ({ level: 0, table: tableAt(0, 300) }))]);
  assert.equal(pickCompaction(inputOf(version))?.inputLevel, 1);
  const more = version.with({
    added: Array.from({ length: 12 }, () => ({ level: 0, table: tableAt(0, 300) })),
    removed: [],
  });
  const choice = pickCompaction(inputOf(more));
  assert.equal(choice?.inputLevel, 0);
  assert.equal(choice?.runs.length, 16, 'a run for each table of level 0 and one for level 1');
});

test('a level is gone through table by table, round robin', () => {
  const version = Version.of(Array.from({ length: 6 }, (_, i) => ({ level: 1, table: tableAt(i * 10, i * 10 + 5) })));
  const first = pickCompaction(inputOf(version));
  assert.deepEqual(first?.runs[0]?.[0]?.lower, keyAt(0));
  const cursors = [undefined, keyAt(25)];
  assert.deepEqual(pickCompaction(inputOf(version, { cursors }))?.runs[0]?.[0]?.lower, keyAt(30));
  assert.deepEqual(
    pickCompaction(inputOf(version, { cursors: [undefined, keyAt(999)] }))?.runs[0]?.[0]?.lower,
    keyAt(0),
  );
});

test('a table that overlaps nothing moves down unread, unless it overlaps too much two levels down', () => {
  const level1 = [0, 100, 200, 300].map((from) => ({ level: 1, table: tableAt(from, from + 99) }));
  assert.equal(pickCompaction(inputOf(Version.of(level1)))?.move, true);
  const below = Version.of([...level1, { level: 2, table: tableAt(50, 60) }]);
  assert.equal(pickCompaction(inputOf(below))?.move, false);
  const far = Array.from({ length: 11 }, (_, i) => ({ level: 3, table: tableAt(i * 9, i * 9 + 9) }));
  assert.equal(pickCompaction(inputOf(Version.of([...level1, ...far])))?.move, false);
});

test('tables full of tombstones and tables grown old are rewritten when nothing else is due', () => {
  const full = tableAt(0, 10, { tombstones: 60 });
  const other = tableAt(10, 20);
  const version = Version.of([
    { level: 2, table: full },
    { level: 2, table: other },
    { level: 3, table: tableAt(5, 6) },
  ]);
  const choice = pickCompaction(inputOf(version));
  assert.deepEqual(
    [choice?.reason, choice?.inputLevel, choice?.outputLevel, choice?.move],
    ['tombstones', 2, 3, false],
  );
  assert.equal(pickCompaction(inputOf(version, { oldestSnapshot: 1 })), undefined, 'a snapshot needs the tombstones');
  assert.equal(pickCompaction(inputOf(version, { excluded: new Set([full.number]) })), undefined);
  const aged = inputOf(version, {
    options: { ...options, maxAgeMs: 1000, tombstonePart: 2 },
    nowMs: other.createdMs + 1000,
    excluded: new Set([full.number]),
  });
  assert.equal(pickCompaction(aged)?.reason, 'age');
});

test('a range tombstone in level 0 is compacted at once if it kills more than that costs', () => {
  const killer = (to: string): TableMeta =>
    tableAt(0, 95, {
      bytes: 50,
      rangeTombstones: RangeTombstones.of([rangeDelete('0000', to, 1e9)]),
      maxSequence: 1e9,
    });
  // The last table of each level has a key behind what was deleted, so none of them is dead.
  const levels = [1, 2].map((level) => ({ level, table: tableAt(10, 95) }));
  const all = Version.of([{ level: 0, table: killer('0090') }, ...levels]);
  assert.deepEqual(deadTables(inputOf(all)), []);
  const choice = pickCompaction(inputOf(all)) ?? assert.fail('it is worth it');
  checkChoice(inputOf(all), choice);
  assert.deepEqual([choice.reason, choice.inputLevel, choice.outputLevel], ['tombstones', 0, 1]);
  assert.equal(pickCompaction(inputOf(all, { oldestSnapshot: 5 })), undefined, 'a snapshot needs what is deleted');
  const few = Version.of([{ level: 0, table: killer('0005') }, ...levels]);
  assert.equal(pickCompaction(inputOf(few)), undefined);
  const costly = all.with({ added: [{ level: 1, table: tableAt(96, 99, { bytes: 2500 }) }], removed: [] });
  assert.equal(score(costly, 1, options) >= 1, true);
  const cheap = { ...options, level1Bytes: 100_000 };
  assert.equal(pickCompaction(inputOf(costly, { options: cheap })), undefined);
});

test('what stands at the bottom is rewritten where it is', () => {
  const version = Version.of([{ level: 4, table: tableAt(0, 10, { tombstones: 100 }) }]);
  const choice = pickCompaction(inputOf(version));
  assert.deepEqual([choice?.inputLevel, choice?.outputLevel, choice?.bottommost], [4, 4, true]);
});

test('compacting a whole level by hand takes all of it, and of level 0 nothing that would overtake', () => {
  const level0 = [1, 2, 3].map(() => ({ level: 0, table: tableAt(0, 50) }));
  const version = Version.of([...level0, { level: 1, table: tableAt(0, 10) }]);
  const all = pickWholeLevel(inputOf(version), 0);
  assert.equal(all?.runs.flat().length, 4);
  const middle = level0[1]?.table.number ?? 0;
  const input = inputOf(version, { excluded: new Set([middle]) });
  const some = pickWholeLevel(input, 0) ?? assert.fail('the oldest can go');
  checkChoice(input, some);
  assert.deepEqual(
    some.runs[0]?.map((table) => table.number),
    [level0[0]?.table.number],
  );
  assert.equal(pickWholeLevel(inputOf(version), 5), undefined);
});

test('tables that newer range tombstones cover whole are dead, if every snapshot sees the tombstones', () => {
  const killer = (sequence: number): TableMeta =>
    tableAt(10, 90, {
      rangeTombstones: RangeTombstones.of([
        rangeDelete('0010', '0050', sequence),
        rangeDelete('0050', '0090', sequence),
      ]),
      maxSequence: sequence,
    });
  const inside = tableAt(20, 80, { maxSequence: 500 });
  const across = tableAt(85, 95, { maxSequence: 500 });
  const newer = tableAt(20, 30, { maxSequence: 1001 });
  const version = Version.of([
    { level: 1, table: killer(1000) },
    { level: 2, table: inside },
    { level: 2, table: across },
    { level: 3, table: newer },
  ]);
  assert.deepEqual(deadTables(inputOf(version)), [inside.number]);
  assert.deepEqual(deadTables(inputOf(version, { oldestSnapshot: 1000 })), [inside.number]);
  assert.deepEqual(deadTables(inputOf(version, { oldestSnapshot: 999 })), []);
  assert.deepEqual(deadTables(inputOf(version, { excluded: new Set([inside.number]) })), []);
});

test('a version refuses what breaks its invariants', () => {
  const table = tableAt(0, 10);
  const version = Version.of([{ level: 1, table }]);
  assert.throws(() => version.with({ added: [{ level: 1, table: tableAt(9, 12) }], removed: [] }), /do not overlap/);
  assert.throws(() => version.with({ added: [{ level: 2, table }], removed: [] }), /stands in one place/);
  assert.throws(() => version.with({ added: [], removed: [table.number + 1] }), /was in it/);
  const moved = version.with({ added: [{ level: 2, table }], removed: [table.number] });
  assert.deepEqual(moved.placed(), [{ level: 2, table }]);
  assert.equal(version.levels[1]?.length, 1, 'a version does not change');
});
