import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { MemberId } from '../../src/cluster/member.ts';
import { applyChanges, checkTopology, foundTopology, planMoves, type Topology } from '../../src/cluster/topology.ts';
import { applyPlans } from '../../src/repl/topology-register.ts';
import { Steward } from '../../src/repl/topology-steward.ts';
import {
  stewardOf,
  StewardCore,
  type StewardEffect,
  type StewardLimits,
} from '../../src/repl/topology-steward-core.ts';
import { identityOf, TopologyNet } from './topology-net.ts';

function entryOf(number: number, weight = 1) {
  const identity = identityOf(number);
  return { identity, host: 'h', port: number, busPort: number, weight, rack: '', dataCentre: '' };
}

function founded(members: number): Topology {
  let topology = foundTopology('0'.repeat(32), entryOf(1), 3);
  for (let i = 2; i <= members; i++) {
    topology = applyChanges(topology, [{ kind: 'add-member', member: entryOf(i) }]);
  }
  return topology;
}

/** Cores of several members over one document, with moves that last one round. */
class Scene {
  topology: Topology;
  nowMs = 0;
  down = new Set<MemberId>();
  readonly cores = new Map<MemberId, StewardCore>();
  /** How often each slot was run. */
  readonly runs = new Map<number, number>();
  mostMoving = 0;
  mostRunning = 0;
  private readonly limits: Partial<StewardLimits>;
  private pending: { readonly id: MemberId; readonly effect: StewardEffect }[] = [];

  constructor(topology: Topology, limits: Partial<StewardLimits> = {}) {
    this.topology = topology;
    this.limits = limits;
  }

  isHealthy = (id: MemberId): boolean => !this.down.has(id);

  look(id: MemberId): void {
    const core = this.cores.get(id) ?? new StewardCore(this.limits);
    this.cores.set(id, core);
    // Its own health nobody doubts.
    const isHealthy = (other: MemberId): boolean => other === id || this.isHealthy(other);
    this.take(id, core.step({ kind: 'look', view: { topology: this.topology, self: id, isHealthy } }, this.nowMs));
  }

  private take(id: MemberId, effects: readonly StewardEffect[]): void {
    for (const effect of effects) this.pending.push({ id, effect });
  }

  /** All that was begun ends, then all look again. */
  round(): void {
    this.nowMs += 100;
    const { pending } = this;
    this.pending = [];
    this.mostRunning = Math.max(this.mostRunning, pending.filter(({ effect }) => effect.kind === 'run').length);
    for (const { id, effect } of pending) {
      const core = this.cores.get(id) as StewardCore;
      if (this.down.has(id)) {
        this.cores.delete(id);
        continue;
      }
      if (effect.kind === 'change') {
        this.topology = applyPlans(this.topology, [effect.plan]).next;
        checkTopology(this.topology);
        const moving = this.topology.slots.filter(({ owners }) => owners.incoming.length > 0).length;
        this.mostMoving = Math.max(this.mostMoving, moving);
        this.look(id);
        this.take(id, core.step({ kind: 'changed' }, this.nowMs));
      } else {
        const { slot, since } = effect;
        const owners = this.topology.slots[slot]?.owners;
        const done = owners?.incoming.every((each) => this.isHealthy(each)) === true;
        if (done) this.runs.set(slot, (this.runs.get(slot) ?? 0) + 1);
        this.take(id, core.step({ kind: 'moved', slot, since, done }, this.nowMs));
      }
    }
    for (const member of this.topology.members) if (this.isHealthy(member.id)) this.look(member.id);
  }

  /** Rounds until nothing is left to do; how many. */
  settle(most = 400): number {
    for (let rounds = 1; rounds <= most; rounds++) {
      this.round();
      const isIdle = this.pending.length === 0 && this.nowMs > 1_000 && !this.isMoving;
      if (isIdle && planMoves(this.topology).length === 0) return rounds;
    }
    throw new Error('the steward does not come to an end');
  }

  get isMoving(): boolean {
    return this.topology.slots.some(({ owners }) => owners.incoming.length > 0);
  }

  ownersOf(id: MemberId): number {
    return this.topology.slots.filter(({ owners }) => owners.current.includes(id)).length;
  }
}

void test('three members: each slot is moved once, in batches, and three vote', () => {
  const scene = new Scene(founded(3), { movingSlots: 1_024, concurrency: 100 });
  scene.settle();
  assert.deepEqual([...scene.topology.voters.current].sort(), [1, 2, 3]);
  assert.equal(scene.topology.slots.filter(({ owners }) => owners.current.length === 3).length, 16_384);
  assert.equal(scene.runs.size, 16_384);
  assert.ok([...scene.runs.values()].every((times) => times === 1));
  assert.ok(scene.mostMoving <= 1_024 && scene.mostRunning <= 101, `${scene.mostMoving} ${scene.mostRunning}`);
  assert.ok(scene.topology.epoch < 60, `${scene.topology.epoch} epochs`);
  // Firsts are shared out.
  for (const id of [1, 2, 3]) {
    const firsts = scene.topology.slots.filter(({ owners }) => owners.current[0] === id).length;
    assert.ok(Math.abs(firsts - 16_384 / 3) < 400, `${firsts} firsts`);
  }
});

void test('a second voter is taken only when a third is there too: two must both be there, one need only be itself', () => {
  const scene = new Scene(founded(3));
  scene.down.add(3);
  for (let i = 0; i < 40; i++) scene.round();
  assert.deepEqual(scene.topology.voters, { current: [1], incoming: [] });
  scene.down.clear();
  let rounds = 0;
  let two = 0;
  for (; scene.topology.voters.current.length < 3 && rounds < 100; rounds++) {
    scene.round();
    two += Number(scene.topology.voters.current.length === 2);
  }
  assert.ok(rounds < 20 && two <= 4, `${rounds} rounds, ${two} with two voters`);
});

void test('a steward that goes is followed by another, who finishes what it began', () => {
  const scene = new Scene(founded(5), { movingSlots: 2_000, concurrency: 500 });
  while (scene.topology.voters.current.length < 3 || !scene.isMoving) scene.round();
  scene.down.add(1);
  assert.equal(stewardOf(scene.topology, scene.isHealthy), 2);
  for (let i = 0; i < 60; i++) scene.round();
  // What needs the one that is down waits for it; all else goes on.
  assert.ok(scene.ownersOf(5) > 1_000);
  scene.down.clear();
  scene.settle();
  assert.equal(scene.topology.voters.current.length, 3);
});

void test('two stewards at once do each move, and no harm', () => {
  const scene = new Scene(founded(3), { movingSlots: 4_096, concurrency: 2_000 });
  // Member 2 takes itself for the steward: it does not see member 1.
  const blind = new StewardCore({ movingSlots: 4_096, concurrency: 2_000 });
  scene.cores.set(99, blind);
  const isHealthy = (id: MemberId): boolean => id !== 1;
  for (let i = 0; i < 30; i++) {
    scene.round();
    if (scene.topology.voters.current.includes(2)) {
      const effects = blind.step({ kind: 'look', view: { topology: scene.topology, self: 2, isHealthy } }, scene.nowMs);
      for (const effect of effects) {
        if (effect.kind === 'run') continue;
        scene.topology = applyPlans(scene.topology, [effect.plan]).next;
        blind.step({ kind: 'changed' }, scene.nowMs);
      }
      for (const effect of effects) {
        if (effect.kind === 'run') blind.step({ ...effect, kind: 'moved', done: true }, scene.nowMs);
      }
    }
  }
  scene.settle();
  assert.equal(scene.ownersOf(3), 16_384);
});

void test('moves that somebody else has cancelled are planned again, the last ones too', () => {
  // All slots at once, so that nothing is left to plan when they vanish from the document.
  const scene = new Scene(founded(2), { firstSlots: 16_384, movingSlots: 16_384 });
  while (!scene.isMoving) scene.round();
  const slots = [...scene.topology.slots.keys()].slice(8_192);
  scene.topology = applyChanges(scene.topology, [{ kind: 'cancel-moves', slots }]);
  scene.settle();
  assert.equal(scene.ownersOf(2), 16_384);
});

void test('nothing moves to a member that is not there; when it goes under way, its moves are cancelled', () => {
  const scene = new Scene(founded(2), { movingSlots: 1_000, concurrency: 10 });
  scene.down.add(2);
  for (let i = 0; i < 30; i++) scene.round();
  assert.equal(scene.ownersOf(2), 0);
  assert.equal(scene.isMoving, false);
  scene.down.clear();
  while (!scene.isMoving) scene.round();
  scene.down.add(2);
  for (let i = 0; i < 60; i++) scene.round();
  assert.equal(scene.isMoving, false, 'slots that cannot be written are given back');
  scene.down.clear();
  scene.settle(2_000);
  assert.equal(scene.ownersOf(2), 16_384);
});

void test('a member that comes while slots move has its share in the end', () => {
  for (const after of [5, 9, 14]) {
    const scene = new Scene(founded(2), { firstSlots: 4_096, movingSlots: 4_096, concurrency: 1_000 });
    for (let i = 0; i < after || !scene.isMoving; i++) scene.round();
    scene.topology = applyChanges(scene.topology, [{ kind: 'add-member', member: entryOf(3) }]);
    scene.settle();
    assert.equal(scene.ownersOf(3), 16_384, `after ${after} rounds`);
    assert.equal(scene.topology.voters.current.length, 3);
  }
});

void test('a member without weight gives all away', () => {
  const scene = new Scene(founded(4), { movingSlots: 16_384, concurrency: 16_384 });
  scene.settle();
  const member = scene.topology.members[0];
  assert.ok(member !== undefined && scene.ownersOf(1) > 10_000);
  scene.topology = applyChanges(scene.topology, [{ kind: 'change-member', member: { ...member, weight: 0 } }]);
  scene.settle();
  assert.equal(scene.ownersOf(1), 0);
  assert.deepEqual([...scene.topology.voters.current].sort(), [2, 3, 4]);
});

void test('voters never change in a way that needs those who are gone', () => {
  const scene = new Scene(founded(3), { movingSlots: 16_384, concurrency: 16_384 });
  scene.settle();
  scene.down.add(3);
  const gone = scene.topology.members[2];
  assert.ok(gone !== undefined);
  // It is about to be forgotten: it has no weight and is not there.
  scene.topology = applyChanges(scene.topology, [{ kind: 'change-member', member: { ...gone, weight: 0 } }]);
  const steps: string[] = [];
  for (let i = 0; i < 30; i++) {
    scene.round();
    const { current, incoming } = scene.topology.voters;
    const step = `${current.join()}>${incoming.join()}`;
    if (steps.at(-1) !== step) steps.push(step);
    for (const set of [current, incoming])
      assert.ok(set.length === 0 || 2 * set.filter((id) => id !== 3).length > set.length);
  }
  assert.ok(!scene.topology.voters.current.includes(3), steps.join(' '));
  assert.equal(scene.ownersOf(3), 0);
});

void test('nodes that join over a bus come to own their shares; a steward that crashes is followed', async () => {
  const net = new TopologyNet(7);
  const moved: number[] = [];
  const nodes = Array.from({ length: 3 }, () => net.add());
  const [first, second, third] = nodes as [(typeof nodes)[0], (typeof nodes)[0], (typeof nodes)[0]];
  const stewards = nodes.map(
    ({ keeper, register }) =>
      new Steward({
        env: { clock: net.loop.clock, timers: net.loop.life(), log: net.log },
        keeper,
        register,
        runMove: (slot) =>
          new Promise((resolve) => {
            net.loop.post(300, () => {
              moved.push(slot);
              resolve();
            });
          }),
        limits: { movingSlots: 4_096, concurrency: 4_096 },
      }),
  );
  // As membership does: each hears of the others' epochs.
  const hear = net.loop.life().every(200, () => {
    for (const a of nodes) for (const b of nodes) if (b.up) a.keeper.heard(b.entry.identity, b.keeper.epoch);
  });
  await net.loop.settle(first.enrolment.enter([]));
  await net.loop.settle(second.enrolment.enter([first.address]));
  await net.loop.settle(third.enrolment.enter([first.address]));
  await net.loop.advance(6_000);
  for (const node of nodes) {
    assert.ok(node.topology.slots.every(({ owners }) => owners.current.length === 3 && owners.incoming.length === 0));
    assert.deepEqual([...node.topology.voters.current].sort(), [1, 2, 3]);
  }
  assert.equal(moved.length, 16_384);
  stewards[0]?.close();
  first.crash();
  const fourth = net.add();
  nodes.push(fourth);
  await net.loop.settle(fourth.enrolment.enter([second.address]));
  await net.loop.advance(4_000);
  const owned = second.topology.slots.filter(({ owners }) => owners.current.includes(4)).length;
  assert.ok(owned > 3_000, `${owned} slots are the fourth member's`);
  hear.cancel();
  for (const steward of stewards) steward.close();
});
