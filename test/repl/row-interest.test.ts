/** Who hears of changes of rows: owners are asked, for a time, and tell what the row has become. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { busMethod } from '../../src/cluster/bus-method.ts';
import { DamagedError } from '../../src/cluster/byte-cursor.ts';
import type { RowTask } from '../../src/repl/coordinator.ts';
import { rowType, type RowType } from '../../src/repl/head.ts';
import { RowInterest } from '../../src/repl/row-interest.ts';
import { rowNameOf } from '../../src/repl/row-namer.ts';
import { newRowState } from '../../src/repl/row-state.ts';
import type { ChangeOutcome } from '../../src/repl/register-core.ts';
import { ZERO_VERSION } from '../../src/repl/version.ts';

const ROW = rowNameOf(0, Buffer.from('queue\0\xff', 'latin1'), 0, 7);

const DONE: ChangeOutcome<undefined> = { kind: 'done', reply: undefined, version: ZERO_VERSION };

/** Three nodes, each with its table; notices arrive at once. */
class Nodes {
  nowMs = 0;
  readonly notices: string[] = [];
  readonly heard: string[] = [];
  readonly tables = [1, 2, 3].map((self) => this.table(self));

  private table(self: number): RowInterest {
    return new RowInterest({
      self,
      owners: () => ({ current: [1, 2, 3], incoming: undefined, since: 0 }) as never,
      nameOf: (id) => `n${id}`,
      nowMs: () => this.nowMs,
      tell: (name, method, payload) => {
        this.notices.push(`n${self} > ${name} ${method === busMethod.WANT_ROWS ? 'want' : 'changed'}`);
        const to = this.tables[Number(name.slice(1)) - 1] as RowInterest;
        if (method === busMethod.WANT_ROWS) to.onWant(`n${self}`, payload);
        else to.onChanged(payload);
      },
      heard: (row, type) => this.heard.push(`n${self} ${row === ROW ? 'queue' : 'another'} ${type}`),
    });
  }

  /** Node `at` coordinates a change that leaves this state. */
  change(at: number, state: Uint8Array | undefined, outcome = DONE): void {
    const task: RowTask = { run: () => state, done: () => undefined };
    const watched = (this.tables[at - 1] as RowInterest).watched(ROW, task);
    watched.run(undefined, ZERO_VERSION, (whole) => whole);
    watched.done(outcome);
  }
}

function stateOf(type: RowType): Uint8Array {
  return newRowState({ type, expiresAtMs: 0, modified: ZERO_VERSION }, 0);
}

void test('whoever wants to hear of a row hears what it has become, from whichever owner coordinates', () => {
  const nodes = new Nodes();
  nodes.change(1, stateOf(rowType.LIST));
  (nodes.tables[0] as RowInterest).want([ROW], 1000);
  assert.deepEqual(nodes.notices, ['n1 > n2 want', 'n1 > n3 want']);
  nodes.change(2, stateOf(rowType.LIST));
  nodes.change(1, stateOf(rowType.STREAM));
  assert.deepEqual(nodes.heard, [`n1 queue ${rowType.LIST}`, `n1 queue ${rowType.STREAM}`]);
});

void test('nothing is told of a change that changes nothing or certainly has not happened, nor when the time is over', () => {
  const nodes = new Nodes();
  (nodes.tables[0] as RowInterest).want([ROW], 1000);
  nodes.change(3, undefined);
  nodes.change(3, stateOf(rowType.LIST), { kind: 'no-quorum' });
  assert.deepEqual(nodes.heard, []);
  nodes.change(3, stateOf(rowType.LIST), { kind: 'uncertain' });
  assert.deepEqual(nodes.heard, [`n1 queue ${rowType.LIST}`]);
  nodes.nowMs = 1000;
  nodes.change(3, stateOf(rowType.LIST));
  assert.equal(nodes.heard.length, 1);
});

void test('bytes that are no notice are refused', () => {
  const table = new Nodes().tables[0] as RowInterest;
  assert.throws(() => table.onWant('n2', Uint8Array.of(1, 2)), DamagedError);
  assert.throws(() => table.onWant('n2', Uint8Array.of(0, 0, 0, 1, 0, 0, 0, 9, 1)), DamagedError);
  assert.throws(() => table.onChanged(Uint8Array.of(77, 1)), DamagedError);
  assert.throws(() => table.onChanged(new Uint8Array(0)), DamagedError);
});
