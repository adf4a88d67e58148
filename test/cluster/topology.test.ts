import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { AssertionError, must } from '../../src/assert.ts';
import { DamagedError } from '../../src/cluster/byte-cursor.ts';
import type { Member } from '../../src/cluster/member.ts';
import { policyOf } from '../../src/cluster/policy.ts';
import { SLOT_COUNT } from '../../src/cluster/slot.ts';
import { decodeTopology, encodeTopology } from '../../src/cluster/topology-codec.ts';
import {
  adoptTopology,
  applyChanges,
  foundTopology,
  isCurrent,
  planMoves,
  planVoters,
  tableOf,
  type Topology,
} from '../../src/cluster/topology.ts';

function node(number: number, rack = `r${number % 3}`): Omit<Member, 'id'> {
  const identity = number.toString(16).padStart(40, '0');
  return { identity, host: `10.0.0.${number}`, port: 7000, busPort: 17_000, weight: 1, rack, dataCentre: 'dc1' };
}

const CLUSTER = '0123456789abcdef0123456789abcdef';

function join(topology: Topology, number: number): Topology {
  return applyChanges(topology, [{ kind: 'add-member', member: node(number) }]);
}

/** Starts and finishes all moves that the plan asks for. */
function settle(topology: Topology): Topology {
  const moves = planMoves(topology);
  const started = applyChanges(topology, [{ kind: 'start-moves', moves }]);
  const running = moves.map((move) => move.slot).filter((slot) => started.slots[slot]?.owners.incoming.length !== 0);
  return applyChanges(started, [{ kind: 'finish-moves', slots: running }]);
}

function cluster(size: number): Topology {
  let topology = foundTopology(CLUSTER, node(1), 3);
  for (let number = 2; number <= size; number++) topology = join(topology, number);
  return settle(topology);
}

void test('a founder owns everything; those who join own their share once the moves are done', () => {
  const topology = cluster(4);
  assert.deepEqual(planMoves(topology), [], 'nothing is left to move');
  assert.ok(topology.slots.every(({ owners }) => owners.current.length === 3 && owners.incoming.length === 0));
  assert.deepEqual(
    topology.members.map((member) => member.id),
    [1, 2, 3, 4],
  );
});

void test('a slot is in two hands while it moves; a request of before is stale, one of a slot that stays is not', () => {
  const before = cluster(3);
  const joined = join(before, 4);
  const moves = planMoves(joined).filter((move) => move.to.includes(4));
  const move = moves[0];
  assert.ok(move !== undefined && moves.length > 1_000);
  const started = applyChanges(joined, [{ kind: 'start-moves', moves: [move] }]);
  const { owners, since } = started.slots[move.slot] as (typeof started.slots)[0];
  assert.deepEqual(owners, { current: before.slots[move.slot]?.owners.current, incoming: move.to });
  assert.equal(since, started.epoch);
  assert.equal(isCurrent(started, move.slot, joined.epoch), false);
  const other = (move.slot + 1) % SLOT_COUNT;
  assert.equal(isCurrent(started, other, joined.epoch), true);
  assert.equal(started.slots[other], joined.slots[other], 'what did not change is the same object');
  assert.ok(!planMoves(started).some(({ slot }) => slot === move.slot), 'what moves is left to finish');
  const cancelled = applyChanges(started, [{ kind: 'cancel-moves', slots: [move.slot] }]);
  assert.deepEqual(cancelled.slots[move.slot]?.owners.current, owners.current);
  assert.equal(cancelled.slots[move.slot]?.since, cancelled.epoch);
  const finished = applyChanges(started, [{ kind: 'finish-moves', slots: [move.slot] }]);
  assert.deepEqual(finished.slots[move.slot]?.owners, { current: move.to, incoming: [] });
});

void test('another order of the same owners moves nothing and makes no request stale', () => {
  const topology = cluster(3);
  const to = [...must(topology.slots[0], 'slot 0').owners.current].reverse();
  const turned = applyChanges(topology, [{ kind: 'start-moves', moves: [{ slot: 0, to }] }]);
  assert.deepEqual(turned.slots[0]?.owners, { current: to, incoming: [] });
  assert.equal(isCurrent(turned, 0, topology.epoch), true);
});

void test('a member leaves once it owns nothing and does not vote; its number is not given again', () => {
  let topology = cluster(4);
  assert.throws(() => applyChanges(topology, [{ kind: 'remove-member', id: 4 }]), AssertionError);
  const leaver = { ...(topology.members[3] as Member), weight: 0 };
  topology = settle(applyChanges(topology, [{ kind: 'change-member', member: leaver }]));
  assert.ok(tableOf(topology).every((owners) => !owners.includes(4)));
  topology = applyChanges(topology, [{ kind: 'remove-member', id: 4 }]);
  topology = join(topology, 9);
  assert.equal(topology.members.at(-1)?.id, 5);
});

void test('voters change one at a time until they are three in three racks, five in a larger cluster', () => {
  for (const { size, wanted } of [
    { size: 2, wanted: 1 },
    { size: 5, wanted: 3 },
    { size: 8, wanted: 5 },
  ]) {
    let topology = cluster(size);
    for (let step = 0; step < 10; step++) {
      const change = planVoters(topology);
      if (change === undefined) break;
      topology = applyChanges(applyChanges(topology, [change]), [{ kind: 'finish-voters' }]);
    }
    assert.equal(topology.voters.current.length, wanted);
    assert.equal(planVoters(topology), undefined);
    const racks = topology.voters.current.map((id) => topology.members.find((member) => member.id === id)?.rack);
    assert.ok(new Set(racks).size >= Math.min(3, wanted));
  }
  assert.throws(() => applyChanges(cluster(5), [{ kind: 'start-voters', to: [2, 3] }]), AssertionError);
});

void test('the document comes back from its bytes, and adopting it keeps the owners that stayed', () => {
  const policies = [{ prefix: 'cart:\u00ff', conflict: 'siblings', n: 2 }] as const;
  const three = cluster(3);
  const topology = applyChanges(join(three, 4), [{ kind: 'set-policies', policies }]);
  const bytes = encodeTopology(topology);
  assert.ok(bytes.length < 110_000, `${bytes.length} bytes`);
  const decoded = decodeTopology(bytes);
  assert.deepEqual(decoded, topology);
  const adopted = adoptTopology(three, decoded);
  assert.ok(adopted.slots.every((entry, slot) => entry === three.slots[slot]));
});

void test('damaged documents are refused, whatever was done to them', () => {
  const bytes = encodeTopology(cluster(3));
  fc.assert(
    fc.property(fc.nat(bytes.length - 1), fc.integer({ min: 1, max: 255 }), (at, flip) => {
      const damaged = bytes.slice();
      damaged[at] = (damaged[at] as number) ^ flip;
      assert.throws(() => decodeTopology(damaged), DamagedError);
    }),
    { numRuns: 50 },
  );
  for (const length of [0, 5, 13, 14, 100, bytes.length - 1]) {
    assert.throws(() => decodeTopology(bytes.subarray(0, length)), DamagedError);
  }
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (noise) => assert.throws(() => decodeTopology(noise), DamagedError)),
  );
});

void test('the longest prefix decides the policy', () => {
  const policies = [{ prefix: '' }, { prefix: 'a:' }, { prefix: 'a:b:' }];
  assert.equal(policyOf(policies, 'a:b:c')?.prefix, 'a:b:');
  assert.equal(policyOf(policies, 'a:c')?.prefix, 'a:');
  assert.equal(policyOf(policies, 'x')?.prefix, '');
  assert.equal(policyOf([], 'x'), undefined);
});
