/**
 * Flush marks of slots among changes of the slot's rows, moves, cuts and late hints, over whole owners and coordinators:
 * every row's history is linearizable when a flush is a deletion of each row.
 */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { applyChanges, type Topology } from '../../src/cluster/topology.ts';
import { raiseMarks } from '../../src/repl/flush-core.ts';
import { rowType } from '../../src/repl/head.ts';
import { markRowOf, slotOfRow, type RowName } from '../../src/repl/owner-message.ts';
import { decodeRowState, deletedRowState, encodeRowState } from '../../src/repl/row-state.ts';
import { SlotMove } from '../../src/repl/slot-move.ts';
import { EVERY_DATABASE } from '../../src/repl/slot-marks.ts';
import type { Version } from '../../src/repl/version.ts';
import { linearizable, type Observed } from '../sim/cluster/linearizable.ts';
import { applyOperation, INCREMENT, type Operation } from '../sim/cluster/operation.ts';
import { Prng } from '../sim/prng.ts';
import { rowOf, threeMembers, memberOf } from './owner-bench.ts';
import { TestCluster, type TestNode } from './owner-cluster.ts';

const SEEDS = Number(process.env['FLUSH_SEEDS'] ?? 12);
const FIRST_SEED = Number(process.env['FLUSH_FIRST_SEED'] ?? 1);
const OPERATIONS = 120;
const RUN_MS = 4_000;

interface Done {
  readonly operation: Operation | { readonly kind: 'flush' };
  /** undefined: not told. */
  reply: number | undefined;
}

const ROWS = [rowOf('{t}a'), rowOf('{t}b'), rowOf('{t}c', 1)];
const SLOT = slotOfRow(ROWS[0] as RowName);

/** Members 1 to 3 own everything; 4 and 5 own nothing yet. */
function fiveMembers(): Topology {
  const topology = applyChanges(threeMembers(), [
    { kind: 'add-member', member: memberOf(4) },
    { kind: 'add-member', member: memberOf(5) },
  ]);
  const owners = { current: [1, 2, 3], incoming: [] };
  return { ...topology, slots: topology.slots.map(({ since }) => ({ owners, since })) };
}

function numberOf(state: Uint8Array | undefined): number | undefined {
  if (state === undefined) return undefined;
  const told = decodeRowState(state);
  return told.type === rowType.DELETED ? undefined : Number(Buffer.from(told.value).toString());
}

function stateOf(value: number | undefined, modified: Version): Uint8Array {
  if (value === undefined) return deletedRowState(modified);
  return encodeRowState({ type: rowType.STRING, expiresAtMs: 0, modified, value: Buffer.from(String(value)) });
}

class Scene {
  readonly random: Prng;
  readonly cluster: TestCluster;
  readonly history = new Map<RowName, (Observed<Done> & { returnMs: number })[]>(ROWS.map((row) => [row, []]));
  topology = fiveMembers();
  flushed = 0;
  moved = 0;
  private values = 0;
  private move: SlotMove | undefined;

  constructor(seed: number) {
    this.random = new Prng(seed);
    this.cluster = new TestCluster({
      members: 5,
      topology: this.topology,
      random: this.random.split('cluster'),
      skewMs: this.random.chance(0.5) ? 40 : 0,
    });
  }

  async run(): Promise<void> {
    const { kernel } = this.cluster;
    for (let i = 0; i < OPERATIONS; i++) {
      kernel.after(this.random.next() * RUN_MS * 0.6, () => this.operate());
    }
    for (let i = 0; i < 8; i++) kernel.after(this.random.next() * RUN_MS * 0.6, () => this.flush());
    for (let i = 0; i < 3; i++) kernel.after(this.random.next() * RUN_MS * 0.5, () => this.beginMove());
    for (let i = 0; i < 2; i++) kernel.after(this.random.next() * RUN_MS * 0.5, () => this.cut());
    await this.cluster.run(RUN_MS);
    for (const node of this.cluster.nodes) node.up = true;
    await this.cluster.run(RUN_MS * 2);
    this.cluster.close();
  }

  private anyNode(): TestNode {
    return this.random.pick(this.cluster.nodes);
  }

  private operate(): void {
    const row = this.random.pick(ROWS);
    const dice = this.random.next();
    const value = ++this.values;
    const operation: Operation =
      dice < 0.3
        ? { kind: 'get' }
        : dice < 0.6
          ? { kind: 'incr' }
          : dice < 0.9
            ? { kind: 'set', value }
            : { kind: 'del' };
    const done: Done = { operation, reply: undefined };
    const observed = { op: done, callMs: this.cluster.kernel.nowMs, returnMs: Number.POSITIVE_INFINITY };
    const { coordinator } = this.anyNode();
    const deadlineMs = this.cluster.kernel.nowMs + 500;
    if (operation.kind === 'get') {
      coordinator.read(row, deadlineMs, (outcome) => {
        if (outcome.kind !== 'done') return;
        done.reply = numberOf(outcome.state) ?? 0;
        observed.returnMs = this.cluster.kernel.nowMs;
        this.history.get(row)?.push(observed);
      });
      return;
    }
    coordinator.change(
      row,
      (state, ballot) => {
        const { state: next, reply } = applyOperation(numberOf(state), operation);
        return { state: stateOf(next, ballot), reply };
      },
      deadlineMs,
      (outcome) => {
        if (outcome.kind === 'no-quorum' || outcome.kind === 'overloaded') return;
        if (outcome.kind === 'done') {
          done.reply = outcome.reply;
          observed.returnMs = this.cluster.kernel.nowMs;
        }
        this.history.get(row)?.push(observed);
      },
    );
  }

  private flush(): void {
    const database = this.random.chance(0.6) ? EVERY_DATABASE : 0;
    const observed = {
      op: { operation: { kind: 'flush' }, reply: undefined } as const,
      callMs: this.cluster.kernel.nowMs,
      returnMs: Number.POSITIVE_INFINITY,
    };
    this.anyNode().coordinator.change(
      markRowOf(SLOT),
      (state, ballot) => ({ state: raiseMarks(state, database, ballot), reply: 0 }),
      this.cluster.kernel.nowMs + 500,
      (outcome) => {
        if (outcome.kind === 'no-quorum' || outcome.kind === 'overloaded') return;
        const told = { ...observed, returnMs: outcome.kind === 'done' ? this.cluster.kernel.nowMs : Infinity };
        if (outcome.kind === 'done') this.flushed++;
        for (const row of ROWS) {
          if (database === EVERY_DATABASE || row.charCodeAt(2) === database) this.history.get(row)?.push(told);
        }
      },
    );
  }

  private cut(): void {
    const node = this.anyNode();
    node.up = false;
    this.cluster.kernel.after(this.random.next() * 800, () => {
      node.up = true;
    });
  }

  private beginMove(): void {
    if (this.move !== undefined) return;
    const { current } = (this.topology.slots[SLOT] as Topology['slots'][number]).owners;
    const to = this.random.shuffle([1, 2, 3, 4, 5]).slice(0, 3);
    if (to.every((id) => current.includes(id))) return;
    this.topology = applyChanges(this.topology, [{ kind: 'start-moves', moves: [{ slot: SLOT, to }] }]);
    this.cluster.tell(this.topology, 30);
    const driver = this.anyNode();
    driver.hear(this.topology);
    const { owners } = this.topology.slots[SLOT] as Topology['slots'][number];
    const { epoch } = this.topology;
    this.move = new SlotMove(
      {
        env: driver.env,
        ask: (to_, request, answered) => driver.askMember(to_, request, answered),
        settle: (row, _epoch, done) =>
          driver.coordinator.change(
            row,
            (state) => ({ state, reply: 0 }),
            this.cluster.kernel.nowMs + 300,
            (outcome) => done(outcome.kind === 'done'),
          ),
        limits: { listLimit: 2, settleWindow: 2, timeoutMs: 50, retryMs: 10 },
      },
      { slots: [SLOT], owners, epoch },
      () => {
        this.moved++;
        this.topology = applyChanges(this.topology, [{ kind: 'finish-moves', slots: [SLOT] }]);
        this.cluster.tell(this.topology, 30);
        this.move = undefined;
      },
    );
    this.move.start();
  }
}

function step(state: number, { op }: Observed<Done>): number | undefined {
  if (op.operation.kind === 'flush') return 0;
  const result = applyOperation(state === 0 ? undefined : state, op.operation);
  return op.reply === undefined || op.reply === result.reply ? (result.state ?? 0) : undefined;
}

void test(`flush marks among changes and moves, seeds ${FIRST_SEED} to ${FIRST_SEED + SEEDS - 1}`, async () => {
  let flushed = 0;
  let moved = 0;
  let answered = 0;
  for (let seed = FIRST_SEED; seed < FIRST_SEED + SEEDS; seed++) {
    const scene = new Scene(seed);
    await scene.run();
    flushed += scene.flushed;
    moved += scene.moved;
    for (const [row, history] of scene.history) {
      answered += history.filter(({ returnMs }) => returnMs < Infinity).length;
      const verdict = linearizable(history, 0, step, ({ operation }) => JSON.stringify(operation));
      assert.notEqual(verdict, 'no', `seed ${seed}: the history of ${JSON.stringify(row)} is not linearizable`);
    }
  }
  assert.ok(INCREMENT > OPERATIONS);
  assert.ok(flushed > 4 * SEEDS && moved > SEEDS && answered > 60 * SEEDS, `${flushed} ${moved} ${answered}`);
});
