/** The table of waiters: whose turn it is, in whatever order rows change, waiters come and go, and rows are held. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import fc from 'fast-check';

import { WaitTable } from '../../src/commands/wait-table.ts';

function drain(table: WaitTable<string>): string[] {
  const taken: string[] = [];
  for (let row = table.nextReady(); row !== undefined; row = table.nextReady()) taken.push(row);
  return taken;
}

void test('waiters of a row stand in the order in which they came', () => {
  const table = new WaitTable<string>();
  table.add('one', ['a', 'b']);
  table.add('two', ['b']);
  table.add('three', ['a']);
  assert.deepEqual([...table.waitersOf('a')], ['one', 'three']);
  assert.deepEqual([...table.waitersOf('b')], ['one', 'two']);
  assert.ok(table.remove('one'));
  assert.ok(!table.remove('one'));
  assert.deepEqual([...table.waitersOf('a')], ['three']);
  assert.equal(table.count, 2);
});

void test('rows are taken in the order of their first change, each once, and only where somebody waits', () => {
  const table = new WaitTable<string>();
  table.add('one', ['a', 'b']);
  for (const row of ['b', 'x', 'a', 'b']) table.changed(row);
  assert.deepEqual(drain(table), ['b', 'a']);
  assert.deepEqual(drain(table), []);
});

void test('a row that is held is taken when it is let go, if it changed meanwhile', () => {
  const table = new WaitTable<string>();
  table.add('one', ['a']);
  table.add('two', ['b']);
  table.hold('a');
  table.changed('a');
  table.changed('b');
  assert.deepEqual(drain(table), ['b']);
  table.release('a');
  assert.deepEqual(drain(table), ['a']);
  table.hold('a');
  table.release('a');
  assert.deepEqual(drain(table), []);
});

void test('rows that have other names are all ready', () => {
  const table = new WaitTable<string>();
  table.add('one', ['0:a']);
  table.add('two', ['0:a', '1:a']);
  table.rename((waiter) => (waiter === 'one' ? ['1:a'] : ['1:a', '0:a']));
  assert.deepEqual([...table.waitersOf('1:a')], ['one', 'two']);
  assert.deepEqual(drain(table).toSorted(), ['0:a', '1:a']);
});

/** One step of a schedule: numbers are folded onto the rows and waiters that there are. */
type Step =
  | { readonly kind: 'wait'; readonly rows: readonly number[] }
  | { readonly kind: 'push'; readonly row: number; readonly elements: number }
  | { readonly kind: 'leave'; readonly waiter: number }
  | { readonly kind: 'hold'; readonly row: number }
  | { readonly kind: 'release' };

const ROWS = 4;

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({ kind: fc.constant('wait'), rows: fc.array(fc.nat(ROWS - 1), { minLength: 1 }) }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('push'),
      row: fc.nat(ROWS - 1),
      elements: fc.integer({ min: 1, max: 3 }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('leave'), waiter: fc.nat(100) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('hold'), row: fc.nat(ROWS - 1) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('release') }) },
) as fc.Arbitrary<Step>;

/**
 * Queues and their waiters, served through the table: what BLPOP is made of. A row that is held is being looked at
 * elsewhere (a block is loaded), so nobody is served from it until it is let go.
 */
class Queues {
  readonly table = new WaitTable<number>();
  readonly elements = Array.from({ length: ROWS }, () => 0);
  readonly held = new Set<number>();
  /** Rows of those who wait, by their number, in the order in which they came. */
  readonly waiting = new Map<number, readonly number[]>();
  readonly served: { readonly waiter: number; readonly row: number }[] = [];
  private last = 0;

  run(each: Step): void {
    switch (each.kind) {
      case 'wait': {
        const found = each.rows.find((row) => (this.elements[row] as number) > 0 && !this.held.has(row));
        if (found !== undefined) this.take(found);
        else {
          const waiter = ++this.last;
          this.waiting.set(waiter, each.rows);
          this.table.add(waiter, each.rows.map(String));
        }
        break;
      }
      case 'push':
        this.elements[each.row] = (this.elements[each.row] as number) + each.elements;
        this.table.changed(String(each.row));
        break;
      case 'leave': {
        const waiter = [...this.waiting.keys()][each.waiter % Math.max(this.waiting.size, 1)];
        if (waiter === undefined) break;
        this.waiting.delete(waiter);
        this.table.remove(waiter);
        break;
      }
      case 'hold':
        this.held.add(each.row);
        this.table.hold(String(each.row));
        break;
      case 'release':
        for (const row of this.held) {
          this.table.release(String(row));
          this.table.changed(String(row));
        }
        this.held.clear();
        break;
    }
    this.serve();
  }

  private take(row: number): void {
    this.elements[row] = (this.elements[row] as number) - 1;
  }

  private serve(): void {
    const { table } = this;
    for (let name = table.nextReady(); name !== undefined; name = table.nextReady()) {
      const row = Number(name);
      assert.ok(!this.held.has(row), 'a row that is held is not taken');
      for (const waiter of table.waitersOf(name)) {
        if ((this.elements[row] as number) === 0) break;
        const first = [...this.waiting].find(([, rows]) => rows.includes(row))?.[0];
        assert.equal(waiter, first, 'who came first is served first');
        this.take(row);
        this.served.push({ waiter, row });
        this.waiting.delete(waiter);
        table.remove(waiter);
      }
    }
  }
}

void test('no wake-up is lost and nobody is overtaken, whatever happens in whatever order', () => {
  let served = 0;
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (schedule) => {
      const queues = new Queues();
      for (const each of schedule) {
        queues.run(each);
        for (const [waiter, rows] of queues.waiting) {
          for (const row of rows) {
            const isStuck = (queues.elements[row] as number) > 0 && !queues.held.has(row);
            assert.ok(!isStuck, `waiter ${waiter} waits for row ${row}, which has elements`);
          }
        }
      }
      queues.run({ kind: 'release' });
      assert.equal(queues.table.count, queues.waiting.size);
      assert.equal(new Set(queues.served.map(({ waiter }) => waiter)).size, queues.served.length);
      served += queues.served.length;
    }),
    { numRuns: 500 },
  );
  assert.ok(served > 100, `the schedules serve waiters: ${served}`);
});
