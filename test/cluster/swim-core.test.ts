import assert from 'node:assert/strict';
import { test } from 'node:test';
import { NewsQueue } from '../../src/cluster/news-queue.ts';
import { LAN, shortestSuspicionMs, suspicionMs, tellings } from '../../src/cluster/swim-config.ts';
import { SwimScene } from '../sim/cluster/swim-scene.ts';

const SEEDS = [1, 2, 3, 4, 5, 6];

void test('members that know one seed come to know all', () => {
  for (const members of [2, 3, 5, 20]) {
    const scene = new SwimScene({ seed: 1, members });
    const took = scene.runUntil(() => scene.agrees, 20_000);
    assert.ok(took !== undefined && took < 5_000, `${members} members: ${took} ms`);
    scene.runFor(60_000);
    assert.equal(scene.suspicions, 0);
  }
});

void test('a crash is known to all within the longest suspicion, usually sooner', () => {
  const times: number[] = [];
  for (const seed of SEEDS) {
    const scene = new SwimScene({ seed, members: 5 });
    scene.runFor(10_000);
    scene.crash(2);
    const took = scene.runUntil(() => scene.agrees, 60_000);
    assert.ok(took !== undefined, `seed ${seed}`);
    times.push(took);
    assert.equal(scene.falseDeaths, 0);
  }
  times.sort((a, b) => a - b);
  assert.ok((times[2] as number) < 2.5 * shortestSuspicionMs(LAN, 5) + 5_000, `${times.join()} ms`);
  assert.ok((times.at(-1) as number) < suspicionMs(LAN, 5, 0, 2) + 10_000, `${times.join()} ms`);
});

void test('two of three crash: the last one calls both dead; a restart is alive again at once', () => {
  for (const seed of SEEDS) {
    const scene = new SwimScene({ seed, members: 3 });
    scene.runFor(5_000);
    scene.crash(1);
    assert.ok(scene.runUntil(() => scene.agrees, 60_000) !== undefined);
    scene.crash(2);
    assert.ok(scene.runUntil(() => scene.agrees, 60_000) !== undefined);
    scene.restart(2, 0);
    assert.ok((scene.runUntil(() => scene.agrees, 5_000) ?? Infinity) < 1_000);
  }
});

void test('a short pause is suspected at most; a member that goes on refutes', () => {
  for (const seed of SEEDS) {
    const scene = new SwimScene({ seed, members: 5 });
    scene.runFor(5_000);
    scene.pause(3, 3_000);
    scene.runFor(3_000);
    assert.ok((scene.runUntil(() => scene.agrees, 20_000) ?? Infinity) < 10_000, `seed ${seed}`);
    assert.equal(scene.falseDeaths, 0);
    for (let observer = 0; observer < 5; observer++) assert.notEqual(scene.statusOf(observer, 3), 'dead');
  }
});

void test('a pause longer than any suspicion ends in death, and going on in life', () => {
  const scene = new SwimScene({ seed: 1, members: 5 });
  scene.runFor(5_000);
  scene.pause(3, 60_000);
  assert.ok(scene.runUntil(() => scene.statusOf(0, 3) === 'dead', 60_000) !== undefined);
  scene.runFor(60_000);
  assert.ok(scene.runUntil(() => scene.agrees, 30_000) !== undefined);
});

void test('one member that hears nobody calls nobody dead and lowers its own health', () => {
  for (const seed of SEEDS) {
    const scene = new SwimScene({ seed, members: 5 });
    scene.runFor(5_000);
    scene.cut([0, 1, 2, 3], [4]);
    scene.runFor(120_000);
    for (let subject = 0; subject < 4; subject++) assert.notEqual(scene.statusOf(4, subject), 'dead');
    assert.ok(scene.healthOf(4) > 3, `health ${scene.healthOf(4)}`);
    scene.heal();
    assert.ok(scene.runUntil(() => scene.agrees, 60_000) !== undefined, `seed ${seed}`);
  }
});

void test('a link that is cut one way or both ways between two members kills nobody', () => {
  for (const seed of SEEDS) {
    const scene = new SwimScene({ seed, members: 5 });
    scene.runFor(5_000);
    scene.cut([0], [1]);
    if (seed % 2 === 0) scene.cut([1], [0]);
    scene.runFor(300_000);
    assert.equal(scene.falseDeaths, 0, `seed ${seed}`);
    assert.ok(scene.agrees, `seed ${seed}`);
  }
});

void test('after a cut in two the sides find one another again', () => {
  for (const seed of SEEDS) {
    const scene = new SwimScene({ seed, members: 5 });
    scene.runFor(5_000);
    scene.cut([0, 1], [2, 3, 4]);
    scene.cut([2, 3, 4], [0, 1]);
    scene.runFor(60_000);
    assert.equal(scene.statusOf(2, 0), 'dead', 'three members are enough to say so');
    scene.heal();
    const took = scene.runUntil(() => scene.agrees, 60_000);
    assert.ok(took !== undefined, `seed ${seed}`);
  }
});

void test('who leaves is gone at once and for good; nobody suspects it', () => {
  const scene = new SwimScene({ seed: 1, members: 5 });
  scene.runFor(5_000);
  scene.leave(4);
  scene.runFor(1_000);
  scene.crash(4);
  scene.runFor(30_000);
  for (let observer = 0; observer < 4; observer++) assert.equal(scene.statusOf(observer, 4), 'left');
  assert.equal(scene.suspicions, 0);
});

void test('false deaths stay rare: none in an hour of ten members under 5 % loss, delays, duplicates and short pauses', () => {
  let falseDeaths = 0;
  let suspicions = 0;
  for (const seed of SEEDS) {
    const scene = new SwimScene({
      seed,
      members: 10,
      faults: { loss: 0.05, duplication: 0.05, slow: 0.1, late: 0.01, lateMs: 800 },
    });
    for (let minute = 0; minute < 10; minute++) {
      scene.runFor(60_000);
      scene.pause(minute, 1_500);
    }
    falseDeaths += scene.falseDeaths;
    suspicions += scene.suspicions;
    scene.heal();
    assert.ok(scene.runUntil(() => scene.agrees, 60_000) !== undefined, `seed ${seed}`);
  }
  assert.equal(falseDeaths, 0);
  assert.ok(suspicions > 0, 'there was something to refute');
});

void test('suspicion shortens with each confirmation, and is shortest when there is nobody to confirm', () => {
  const [none, one, both] = [0, 1, 2].map((confirmations) => suspicionMs(LAN, 5, confirmations, 2)) as [
    number,
    number,
    number,
  ];
  assert.ok(none > one && one > both);
  assert.equal(both, shortestSuspicionMs(LAN, 5));
  assert.equal(none, 6 * both);
  assert.equal(suspicionMs(LAN, 2, 0, 0), shortestSuspicionMs(LAN, 2));
  assert.equal(tellings(LAN, 9), 4);
});

void test('news that was told least goes first and is forgotten after its tellings; newer news replaces older', () => {
  const queue = new NewsQueue<string>();
  queue.add('a', 'a1');
  queue.add('b', 'b1');
  assert.deepEqual(queue.take(1, 2), ['b1']);
  queue.add('a', 'a2');
  assert.deepEqual(queue.take(1, 2), ['a2']);
  assert.deepEqual(queue.take(5, 2).sort(), ['a2', 'b1']);
  assert.equal(queue.size, 0);
});
