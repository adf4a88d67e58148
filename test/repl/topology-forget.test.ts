import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { MemberId } from '../../src/cluster/member.ts';
import { applyChanges, foundTopology, planMoves, type Topology } from '../../src/cluster/topology.ts';
import { forgetMember, removing, slotsOf } from '../../src/repl/topology-forget.ts';
import { applyPlans, TopologyError, type TopologyPlan } from '../../src/repl/topology-register.ts';
import type { TopologyListener } from '../../src/repl/topology-keeper.ts';
import { identityOf } from './topology-net.ts';

function entryOf(number: number, weight = 1) {
  const identity = identityOf(number);
  return { identity, host: 'h', port: number, busPort: number, weight, rack: '', dataCentre: '' };
}

/** All moves that are wanted, at once. */
function moved(topology: Topology): Topology {
  const started = applyChanges(topology, [{ kind: 'start-moves', moves: planMoves(topology) }]);
  const moving = started.slots.flatMap(({ owners }, slot) => (owners.incoming.length > 0 ? [slot] : []));
  return moving.length === 0 ? started : applyChanges(started, [{ kind: 'finish-moves', slots: moving }]);
}

function clusterOf(members: number): Topology {
  let topology = foundTopology('0'.repeat(32), entryOf(1), 3);
  for (let i = 2; i <= members; i++) topology = applyChanges(topology, [{ kind: 'add-member', member: entryOf(i) }]);
  topology = moved(topology);
  for (const to of [
    [1, 2],
    [1, 2, 3],
  ]) {
    topology = applyChanges(topology, [{ kind: 'start-voters', to }]);
    topology = applyChanges(topology, [{ kind: 'finish-voters' }]);
  }
  return topology;
}

/** A keeper and a register over one document; the steward is at hand, or not. */
class Desk {
  topology: Topology;
  readonly gone = new Set<MemberId>();
  hasSteward = true;
  private readonly listeners = new Set<TopologyListener>();

  constructor(topology: Topology) {
    this.topology = topology;
  }

  isHealthy(id: MemberId): boolean {
    return !this.gone.has(id);
  }

  onTopology(listener: TopologyListener): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  async change(plan: TopologyPlan): Promise<Topology> {
    const { next, refusals } = applyPlans(this.topology, [plan]);
    if (refusals[0] !== undefined) throw refusals[0];
    this.topology = next;
    if (this.hasSteward) {
      void Promise.resolve().then(() => {
        this.topology = moved(this.topology);
        for (const listener of this.listeners) listener(this.topology, undefined);
      });
    }
    return Promise.resolve(next);
  }

  forget(number: number, timeUp = new Promise<void>(() => {})): Promise<void> {
    return forgetMember({
      keeper: this,
      register: this,
      name: identityOf(number),
      deadlineMs: Infinity,
      timeUp: () => timeUp,
    });
  }

  get members(): readonly MemberId[] {
    return this.topology.members.map((member) => member.id);
  }
}

void test('a member that is gone gives its slots to the others, stops voting and is no more', async () => {
  const desk = new Desk(clusterOf(4));
  desk.gone.add(2);
  await desk.forget(2);
  assert.deepEqual(desk.members, [1, 3, 4]);
  assert.deepEqual(desk.topology.voters, { current: [1, 3], incoming: [] });
  assert.ok(desk.topology.slots.every(({ owners }) => owners.current.length === 3));
  // Once more: it is done.
  await desk.forget(2);
  assert.deepEqual(desk.members, [1, 3, 4]);
});

void test('one that is there is refused while it owns slots, and let go when it is drained', async () => {
  const desk = new Desk(clusterOf(4));
  await assert.rejects(desk.forget(3), (error: unknown) => {
    assert.ok(error instanceof TopologyError && error.code === 'refused');
    assert.match(error.message, /^the node is there and owns \d+ slots/);
    return true;
  });
  assert.deepEqual(desk.members, [1, 2, 3, 4]);
  const member = desk.topology.members[2];
  assert.ok(member !== undefined);
  desk.topology = moved(applyChanges(desk.topology, [{ kind: 'change-member', member: { ...member, weight: 0 } }]));
  assert.equal(slotsOf(desk.topology, 3), 0);
  await desk.forget(3);
  assert.deepEqual(desk.members, [1, 2, 4]);
});

void test('when the time is up it says how far it has come, and goes on when it is asked again', async () => {
  const desk = new Desk(clusterOf(4));
  desk.gone.add(4);
  desk.hasSteward = false;
  await assert.rejects(desk.forget(4, Promise.resolve()), /its slots go to other members, \d+ are left/);
  assert.equal(desk.topology.members[3]?.weight, 0);
  desk.hasSteward = true;
  desk.topology = moved(desk.topology);
  await desk.forget(4);
  assert.deepEqual(desk.members, [1, 2, 3]);
});

void test('the last one stays; the only voter hands over first', () => {
  const alone = foundTopology('0'.repeat(32), entryOf(1), 3);
  assert.throws(() => removing(identityOf(1))(alone), TopologyError);
  let two = applyChanges(alone, [{ kind: 'add-member', member: entryOf(2) }]);
  const drained = two.members[0];
  assert.ok(drained !== undefined);
  two = moved(applyChanges(two, [{ kind: 'change-member', member: { ...drained, weight: 0 } }]));
  const voters: string[] = [];
  while (two.members.length === 2) {
    two = applyPlans(two, [removing(identityOf(1))]).next;
    voters.push(`${two.voters.current.join()}>${two.voters.incoming.join()}`);
  }
  assert.deepEqual(voters, ['1>1,2', '1,2>', '1,2>2', '2>']);
  assert.deepEqual(
    two.members.map((member) => member.id),
    [2],
  );
});
