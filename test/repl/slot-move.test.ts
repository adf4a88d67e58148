/** Batches of slots that move between whole owners: all of 16,384 empty slots, full slots under changes, and what is left. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SLOT_COUNT } from '../../src/cluster/slot.ts';
import { applyChanges, type SlotEntry, type Topology } from '../../src/cluster/topology.ts';
import { rowType } from '../../src/repl/head.ts';
import { decodeRowState, encodeRowState } from '../../src/repl/row-state.ts';
import { batchesOf, decodeMoveRequest, encodeMoveRequest, MOVE_METHOD, SlotMove } from '../../src/repl/slot-move.ts';
import { Prng } from '../sim/prng.ts';
import { rowOf, stringState, threeMembers } from './owner-bench.ts';
import { TestCluster } from './owner-cluster.ts';

/** Moves everything from member 1 to 1, 2 and 3, batch by batch; returns the settled rows. */
async function moveAll(cluster: TestCluster, before: Topology): Promise<{ topology: Topology; settled: number }> {
  const moves = before.slots.map((_entry, slot) => ({ slot, to: [1, 2, 3] }));
  let topology = applyChanges(before, [{ kind: 'start-moves', moves }]);
  cluster.tell(topology);
  const driver = cluster.node(1);
  driver.hear(topology);
  const batches = batchesOf(topology.slots.entries(), topology.epoch);
  assert.equal(batches.length, SLOT_COUNT / 1024);
  let settled = 0;
  const running = batches.map((batch) => {
    const move = new SlotMove(
      {
        env: driver.env,
        ask: (to, request, answered) => driver.askMember(to, request, answered),
        settle: (row, _epoch, done) => {
          settled++;
          const deadlineMs = cluster.kernel.nowMs + 1_000;
          driver.coordinator.change(
            row,
            (state) => ({ state, reply: 0 }),
            deadlineMs,
            (outcome) => done(outcome.kind === 'done'),
          );
        },
      },
      batch,
      () => {
        topology = applyChanges(topology, [{ kind: 'finish-moves', slots: batch.slots }]);
        cluster.tell(topology);
      },
    );
    move.start();
    return move;
  });
  const isDone = (): boolean => topology.slots.every(({ owners }) => owners.incoming.length === 0);
  await cluster.run(60_000, isDone);
  assert.ok(isDone());
  for (const move of running) assert.deepEqual(move.progress.settled, move.progress.found);
  await cluster.run(cluster.kernel.nowMs + 100);
  return { topology, settled };
}

void test('16,384 empty slots cost a few messages and a few round trips', async () => {
  const topology = threeMembers();
  const cluster = new TestCluster({ members: 3, topology, random: new Prng(1) });
  const { settled } = await moveAll(cluster, topology);
  assert.equal(settled, 0);
  assert.ok(cluster.messages < 200, `${cluster.messages} messages`);
  assert.ok(cluster.kernel.nowMs < 1_000, `${cluster.kernel.nowMs} ms`);
  cluster.close();
});

void test('full slots arrive whole while they are written, and leavers keep nothing', async () => {
  const first = threeMembers();
  const cluster = new TestCluster({ members: 3, topology: first, random: new Prng(2) });
  const { kernel } = cluster;
  const rows = Array.from({ length: 600 }, (_, i) => rowOf(`key:${i}`));
  for (const [i, row] of rows.entries()) {
    cluster.node(1).coordinator.change(
      row,
      (_s, ballot) => ({ state: stringState('0', ballot), reply: i }),
      500,
      () => 0,
    );
  }
  await cluster.run(50);
  let counted = 0;
  let uncertain = 0;
  const count = (): void => {
    const row = cluster.random.pick(rows);
    cluster.node(cluster.random.pick([1, 2, 3])).coordinator.change(
      row,
      (state, ballot) => {
        const { value } = decodeRowState(state as Uint8Array);
        const next = Buffer.from(String(Number(Buffer.from(value).toString()) + 1));
        return {
          state: encodeRowState({ type: rowType.STRING, expiresAtMs: 0, modified: ballot, value: next }),
          reply: 0,
        };
      },
      kernel.nowMs + 5_000,
      (outcome) => {
        if (outcome.kind === 'done') counted++;
        else uncertain++;
      },
    );
    if (kernel.nowMs < 90) kernel.after(0.2, count);
  };
  kernel.after(1, count);
  const { topology } = await moveAll(cluster, first);
  assert.ok(counted > 50);
  for (const node of cluster.nodes) assert.equal(node.state.counts.total(0), rows.length);
  let sum = 0;
  for (const row of rows) {
    cluster.node(2).coordinator.read(row, kernel.nowMs + 1_000, (outcome) => {
      assert.ok(outcome.kind === 'done' && outcome.state !== undefined);
      sum += Number(Buffer.from(decodeRowState(outcome.state).value).toString());
    });
  }
  await cluster.run(kernel.nowMs + 100);
  assert.ok(sum >= counted && sum <= counted + uncertain, `${sum} of ${counted} and ${uncertain}`);
  // Member 1 leaves all of them.
  const moves = topology.slots.map((_entry, slot) => ({ slot, to: [2, 3] }));
  const leaving = applyChanges(topology, [{ kind: 'start-moves', moves }]);
  const left = applyChanges(leaving, [{ kind: 'finish-moves', slots: moves.map(({ slot }) => slot) }]);
  const leaver = cluster.node(1);
  leaver.hear(leaving);
  leaver.hear(left);
  await cluster.run(kernel.nowMs + 1_000, () => leaver.owner.slotsToDrop === 0);
  assert.equal(leaver.state.counts.total(0), 0);
  assert.equal(leaver.owner.held(rows[0] as string), undefined);
  cluster.close();
});

void test('batches are of slots with the same owners', () => {
  const owners = { current: [1], incoming: [2] };
  const others = { current: [1], incoming: [3] };
  const stays = { current: [1], incoming: [] };
  const slots = [owners, others, stays, { ...owners }, owners].map((each): SlotEntry => ({ owners: each, since: 1 }));
  assert.deepEqual(batchesOf(slots.entries(), 7, 2), [
    { owners, slots: [0, 3], epoch: 7 },
    { owners: others, slots: [1], epoch: 7 },
    { owners, slots: [4], epoch: 7 },
  ]);
});

void test('incoming owners promise no less than those that were fenced before the move is done', async () => {
  const first = threeMembers();
  const cluster = new TestCluster({ members: 3, topology: first, random: new Prng(3) });
  const slot = 42;
  const moving = applyChanges(first, [{ kind: 'start-moves', moves: [{ slot, to: [2, 3] }] }]);
  // An owner promised a ballot, ahead of the others' clocks, to a coordinator of before the move.
  const high = { stamp: cluster.node(1).hlc.next() + 2048 * 200, actor: 99 };
  const row = `\0\u002a\0late\0`;
  cluster.node(1).owner.ask({ kind: 'prepare', row, ballot: high, have: { stamp: 0, actor: 0 } }, first.epoch, () => 0);
  for (const node of cluster.nodes) node.hear(moving);
  const driver = cluster.node(3);
  let done = false;
  const { owners } = moving.slots[slot] as SlotEntry;
  const move = new SlotMove(
    {
      env: driver.env,
      ask: (to, request, answered) => driver.askMember(to, request, answered),
      settle: (_row, _epoch, settled) => settled(true),
    },
    { slots: [slot], owners, epoch: moving.epoch },
    () => {
      done = true;
    },
  );
  move.start();
  await cluster.run(1_000, () => done);
  assert.ok(done);
  const raised = [2, 3].filter((id) => {
    const { owner } = cluster.node(id);
    const told: string[] = [];
    const below = { stamp: high.stamp - 1, actor: 7 };
    owner.ask({ kind: 'prepare', row, ballot: below, have: { stamp: 0, actor: 0 } }, moving.epoch, (answer) => {
      told.push(answer.kind);
    });
    return told[0] === 'conflict';
  });
  assert.ok(raised.length >= 2);
  cluster.close();
});

void test('owners out of reach, which answer in the same moment, are asked again no more often than others', async () => {
  const first = threeMembers();
  const cluster = new TestCluster({ members: 3, topology: first, random: new Prng(4) });
  const slot = 42;
  const moving = applyChanges(first, [{ kind: 'start-moves', moves: [{ slot, to: [1, 2, 3] }] }]);
  const driver = cluster.node(1);
  for (const node of cluster.nodes) node.hear(moving);
  const { owners } = moving.slots[slot] as SlotEntry;
  let raises = 0;
  const move = new SlotMove(
    {
      env: driver.env,
      ask: (to, request, answered) => {
        const isRaise = request.method === MOVE_METHOD && decodeMoveRequest(request.payload).kind === 'raise';
        if (!isRaise) driver.askMember(to, request, answered);
        else {
          raises++;
          if (to === 2) driver.env.timers.after(5, () => answered(Uint8Array.of(0)));
          else answered(undefined);
        }
      },
      settle: (_row, _epoch, settled) => settled(true),
    },
    { slots: [slot], owners, epoch: moving.epoch },
    () => assert.fail('nobody has promised'),
  );
  // Time goes on by itself while answers of this node are on their way in promises.
  const goOn = (): void => cluster.kernel.after(1, goOn);
  goOn();
  move.start();
  await cluster.run(1_000);
  assert.ok(raises > 30 && raises <= 3 * 20, `${raises} questions in a second, one round each 50 ms`);
  move.cancel();
  cluster.close();
});

void test('the bytes of MOVE', () => {
  const slots = [{ from: 3, end: 9 }];
  const version = { stamp: 77, actor: 5 };
  assert.deepEqual(decodeMoveRequest(encodeMoveRequest({ kind: 'fence', slots })), { kind: 'fence', slots });
  assert.deepEqual(decodeMoveRequest(encodeMoveRequest({ kind: 'raise', slots, version })), {
    kind: 'raise',
    slots,
    version,
  });
  for (const bytes of [[], [3], [1, 0], [2, 0, 0]]) {
    assert.throws(() => decodeMoveRequest(Uint8Array.from(bytes)), { name: 'DamagedError' });
  }
});
