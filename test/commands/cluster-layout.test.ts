import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  rangesByFirst,
  rangesOf,
  shardsOf,
  slotsByOwner,
  slotsInReach,
  weightShare,
} from '../../src/commands/cluster-layout.ts';
import type { MemberId } from '../../src/cluster/member.ts';
import type { Owners } from '../../src/cluster/owners.ts';
import { SLOT_COUNT } from '../../src/cluster/slot.ts';
import { applyChanges, foundTopology, planMoves, type Topology } from '../../src/cluster/topology.ts';

function entryOf(number: number, weight = 1) {
  const identity = number.toString(16).padStart(40, '0');
  return { identity, host: '10.0.0.1', port: number, busPort: number, weight, rack: '', dataCentre: '' };
}

/** A topology whose slots have these owners, by the slot they begin at. */
function topologyOf(members: number, owners: readonly (readonly [from: number, owners: Owners])[]): Topology {
  let topology = foundTopology('0'.repeat(32), entryOf(1), 3);
  for (let i = 2; i <= members; i++) topology = applyChanges(topology, [{ kind: 'add-member', member: entryOf(i) }]);
  const slots = topology.slots.map((_, slot) => {
    const [, found] = owners.findLast(([from]) => from <= slot) as readonly [number, Owners];
    return { owners: found, since: 1 };
  });
  return { ...topology, slots };
}

const all = (): boolean => true;
const without =
  (...ids: readonly MemberId[]) =>
  (id: MemberId): boolean =>
    !ids.includes(id);

void test('ranges: the first owner in reach, then the others in reach, by number', () => {
  const topology = topologyOf(4, [
    [0, { current: [1, 2, 3], incoming: [] }],
    // The same servers from another object: one range.
    [100, { current: [1, 3, 2], incoming: [] }],
    [200, { current: [2, 1, 3], incoming: [3, 4, 1] }],
  ]);
  assert.deepEqual(rangesOf(topology, all), [
    { from: 0, to: 199, servers: [1, 2, 3] },
    { from: 200, to: SLOT_COUNT - 1, servers: [2, 1, 3] },
  ]);
  // Without the first one the next stands in, and what then looks alike is one range.
  assert.deepEqual(rangesOf(topology, without(1)), [
    { from: 0, to: 99, servers: [2, 3] },
    { from: 100, to: 199, servers: [3, 2] },
    { from: 200, to: SLOT_COUNT - 1, servers: [2, 3] },
  ]);
  // Nobody in reach: those who should be.
  assert.deepEqual(rangesOf(topology, without(1, 2, 3))[0]?.servers, [1, 2, 3]);
});

void test('shards and the lines of CLUSTER NODES put ranges together', () => {
  const topology = topologyOf(3, [
    [0, { current: [1, 2], incoming: [] }],
    [10, { current: [1, 3], incoming: [] }],
    [20, { current: [2, 1], incoming: [] }],
    [30, { current: [1, 2], incoming: [] }],
  ]);
  const ranges = rangesOf(topology, all);
  const shards = [...shardsOf(ranges)].map(([servers, own]) => [servers, own.map(({ from, to }) => [from, to])]);
  assert.deepEqual(shards, [
    [
      [1, 2],
      [
        [0, 9],
        [30, SLOT_COUNT - 1],
      ],
    ],
    [[1, 3], [[10, 19]]],
    [[2, 1], [[20, 29]]],
  ]);
  assert.deepEqual(rangesByFirst(ranges).get(1), [
    { from: 0, to: 19 },
    { from: 30, to: SLOT_COUNT - 1 },
  ]);
  assert.equal(rangesByFirst(ranges).get(3), undefined);
});

void test('a slot is in reach with a majority of its owners, of both sets while it moves', () => {
  const topology = topologyOf(5, [
    [0, { current: [1, 2, 3], incoming: [] }],
    [1_000, { current: [1, 2, 3], incoming: [3, 4, 5] }],
  ]);
  assert.equal(slotsInReach(topology, all), SLOT_COUNT);
  assert.equal(slotsInReach(topology, without(1)), SLOT_COUNT);
  assert.equal(slotsInReach(topology, without(4, 5)), 1_000);
  assert.equal(slotsInReach(topology, without(1, 2)), 0);
  assert.deepEqual(
    [...slotsByOwner(topology)],
    [
      [1, SLOT_COUNT],
      [2, SLOT_COUNT],
      [3, SLOT_COUNT],
      [4, 0],
      [5, 0],
    ],
  );
});

void test('a planned cluster of three: all slots once, and each member by its weight', () => {
  let topology = foundTopology('0'.repeat(32), entryOf(1, 2), 3);
  topology = applyChanges(
    topology,
    [2, 3].map((i) => ({ kind: 'add-member', member: entryOf(i) })),
  );
  topology = applyChanges(topology, [{ kind: 'start-moves', moves: planMoves(topology) }]);
  const moving = topology.slots.flatMap(({ owners }, slot) => (owners.incoming.length > 0 ? [slot] : []));
  topology = applyChanges(topology, [{ kind: 'finish-moves', slots: moving }]);
  const ranges = rangesOf(topology, all);
  let next = 0;
  for (const { from, to, servers } of ranges) {
    assert.equal(from, next);
    assert.deepEqual([...servers].sort(), [1, 2, 3]);
    next = to + 1;
  }
  assert.equal(next, SLOT_COUNT);
  assert.ok(ranges.length < 500, `${ranges.length} ranges`);
  assert.deepEqual(
    topology.members.map((member) => weightShare(topology, member)),
    [0.5, 0.25, 0.25],
  );
});
