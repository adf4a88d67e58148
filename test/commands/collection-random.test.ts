/** Random picks: each element alike, without repetition where that is asked for, and not those in memory more often. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hashCommands } from '../../src/commands/hash.ts';
import { memberKey, scatterOf } from '../../src/commands/member-key.ts';
import { setCommands } from '../../src/commands/set.ts';
import { Prng } from '../sim/prng.ts';
import { CommandRunner } from '../support/command-runner.ts';

function runnerWith(seed: number): CommandRunner {
  const runner = new CommandRunner([...hashCommands, ...setCommands]);
  const random = new Prng(seed);
  runner.randoms.shift = () => random.next();
  return runner;
}

function names(count: number): string[] {
  return Array.from({ length: count }, (_, i) => `member:${i}`);
}

/** Pearson's statistic of how often each of `count` came; about `count` where all are alike, with deviation √(2·count). */
function chiSquare(times: ReadonlyMap<string, number>, count: number, draws: number): number {
  const expected = draws / count;
  let sum = (count - times.size) * expected;
  for (const time of times.values()) sum += (time - expected) ** 2 / expected;
  return sum;
}

function assertAlike(times: ReadonlyMap<string, number>, count: number, draws: number): void {
  const sum = chiSquare(times, count, draws);
  const room = 5 * Math.sqrt(2 * count);
  assert.ok(Math.abs(sum - count) < room, `chi-square ${sum} of ${count} elements`);
}

for (const count of [5, 60, 70, 1000]) {
  test(`each of ${count} members comes as often`, async () => {
    const runner = runnerWith(count);
    await runner.run('SADD', 's', ...names(count));
    const times = new Map<string, number>();
    const draws = 20 * count;
    for (let i = 0; i < draws; i++) {
      const member = (await runner.run('SRANDMEMBER', 's')) as string;
      times.set(member, (times.get(member) ?? 0) + 1);
    }
    assertAlike(times, count, draws);
  });
}

// Of a set that is drawn from often the members are kept in memory.
test('fields whose blocks are on disk come as often as others', async () => {
  const count = 200;
  const runner = runnerWith(1);
  await runner.run('HSET', 'h', ...names(count).flatMap((name) => [name, 'v']));
  const times = new Map<string, number>();
  const draws = 4000;
  for (let i = 0; i < draws; i++) {
    runner.store.chill((key) => key.length > 12 && (key.at(-1) as number) % 2 === 0);
    const member = (await runner.run('HRANDFIELD', 'h')) as string;
    times.set(member, (times.get(member) ?? 0) + 1);
  }
  assert.ok(runner.store.misses > draws / 4, `${runner.store.misses} reads have missed`);
  assertAlike(times, count, draws);
});

test('several members are different ones, each as often', async () => {
  const count = 1000;
  const runner = runnerWith(2);
  await runner.run('SADD', 's', ...names(count));
  for (const size of [3, 500]) {
    const times = new Map<string, number>();
    const rounds = size === 3 ? 3000 : 40;
    for (let i = 0; i < rounds; i++) {
      const members = (await runner.run('SRANDMEMBER', 's', size)) as string[];
      assert.equal(new Set(members).size, size);
      for (const member of members) times.set(member, (times.get(member) ?? 0) + 1);
    }
    const sum = chiSquare(times, count, rounds * size);
    // Drawing without putting back varies less.
    assert.ok(sum < count + 5 * Math.sqrt(2 * count), `chi-square ${sum}`);
  }
  assert.equal(((await runner.run('SRANDMEMBER', 's', 2 * count)) as string[]).length, count);
  assert.equal(((await runner.run('SRANDMEMBER', 's', -3 * count)) as string[]).length, 3 * count);
});

test('popping takes members out until none is left', async () => {
  const runner = runnerWith(3);
  await runner.run('SADD', 's', ...names(400));
  const popped = new Set<string>();
  for (let left = 400; left > 0; left--) {
    popped.add((await runner.run('SPOP', 's')) as string);
    assert.equal(await runner.run('SCARD', 's'), left - 1);
  }
  assert.equal(popped.size, 400);
  assert.equal(await runner.run('EXISTS', 's'), 0);
});

test('fields past their deadlines are never picked', async () => {
  const runner = runnerWith(4);
  await runner.run('HSET', 'h', ...names(300).flatMap((name) => [name, name]));
  await runner.run('HPEXPIRE', 'h', 10, 'FIELDS', 290, ...names(290));
  runner.nowMs += 11;
  const times = new Map<string, number>();
  for (let i = 0; i < 500; i++) {
    const field = (await runner.run('HRANDFIELD', 'h')) as string;
    times.set(field, (times.get(field) ?? 0) + 1);
  }
  assert.deepEqual([...times.keys()].sort(), names(300).slice(290).sort());
  assertAlike(times, 10, 500);
  assert.equal(((await runner.run('HRANDFIELD', 'h', 100)) as string[]).length, 10);
  await runner.run('HPEXPIRE', 'h', 10, 'FIELDS', 10, ...names(300).slice(290));
  runner.nowMs += 11;
  assert.equal(await runner.run('HRANDFIELD', 'h'), null);
  assert.deepEqual(await runner.run('HRANDFIELD', 'h', -5), []);
});

test('members are scattered evenly, whatever they are called', () => {
  const parts = new Map<string, number>();
  const count = 64_000;
  for (let i = 0; i < count; i++) {
    const part = String(scatterOf(memberKey(Buffer.from(`user:${1000 + i}`))) >> 14);
    parts.set(part, (parts.get(part) ?? 0) + 1);
  }
  assertAlike(parts, 1024, count);
});

test('the scatter of a member never changes', () => {
  const hex = (text: string): string => Buffer.from(memberKey(Buffer.from(text))).toString('hex');
  assert.deepEqual(['', 'a', 'field', 'member:12345'].map(hex), SCATTERED);
});

/** Keys as they stand in what is stored. */
const SCATTERED = ['ab3e7c', '1a80b161', '493e4b6669656c64', '31f3806d656d6265723a3132333435'];
