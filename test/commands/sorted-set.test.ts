/**
 * Random commands on sorted sets against a map that is sorted anew each time: small and large ones, one by one and in
 * transactions, with reads that miss. The large ones keep the places of their members.
 */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { setCommands } from '../../src/commands/set.ts';
import { numberOfText } from '../../src/commands/sorted-set-words.ts';
import { sortedSetCommands } from '../../src/commands/sorted-set.ts';
import { SeededRandom } from '../crash/seeded-random.ts';
import { CommandRunner } from '../support/command-runner.ts';

type Words = readonly string[];

class Model {
  readonly scores = new Map<string, number>();

  get sorted(): string[] {
    const { scores } = this;
    return [...scores.keys()].sort((a, b) => {
      const [x, y] = [scores.get(a) as number, scores.get(b) as number];
      return x === y ? (a < b ? -1 : 1) : x - y;
    });
  }

  run([name, , ...rest]: Words): unknown {
    const [first = '', second = ''] = rest;
    const { scores } = this;
    switch (name) {
      case 'ZADD':
        return this.add(rest);
      case 'ZINCRBY': {
        const score = (scores.get(second) ?? 0) + Number(first);
        scores.set(second, score);
        return score;
      }
      case 'ZREM':
        return rest.filter((member) => scores.delete(member)).length;
      case 'ZSCORE':
        return scores.get(first) ?? null;
      case 'ZCARD':
        return scores.size;
      case 'ZRANK':
        return scores.has(first) ? this.sorted.indexOf(first) : null;
      case 'ZREVRANK':
        return scores.has(first) ? this.sorted.toReversed().indexOf(first) : null;
      case 'ZCOUNT':
        return this.between(Number(first), Number(second)).length;
      case 'ZRANGEBYSCORE':
        return this.between(Number(first), Number(second));
      case 'ZRANGE':
        return this.range(this.sorted, Number(first), Number(second));
      case 'ZREVRANGE':
        return this.range(this.sorted.reverse(), Number(first), Number(second));
      case 'ZPOPMIN':
        return this.take(this.sorted.slice(0, Number(first)));
      case 'ZPOPMAX':
        return this.take(this.sorted.reverse().slice(0, Number(first)));
      case 'ZREMRANGEBYRANK':
        return this.take(this.range(this.sorted, Number(first), Number(second))).length;
      case 'ZREMRANGEBYSCORE':
        return this.take(this.between(Number(first), Number(second))).length;
      default:
        throw new Error(`no model of ${name}`);
    }
  }

  private add(rest: Words): number {
    let added = 0;
    for (let i = 0; i < rest.length; i += 2) {
      const member = rest[i + 1] as string;
      if (!this.scores.has(member)) added++;
      this.scores.set(member, Number(rest[i]));
    }
    return added;
  }

  private between(min: number, max: number): string[] {
    return this.sorted.filter((member) => {
      const score = this.scores.get(member) as number;
      return score >= min && score <= max;
    });
  }

  private range(sorted: string[], start: number, stop: number): string[] {
    const from = start < 0 ? Math.max(start + sorted.length, 0) : start;
    return sorted.slice(from, Math.max((stop < 0 ? stop + sorted.length : stop) + 1, 0));
  }

  private take(members: string[]): [string, number][] {
    return members.map((member) => {
      const score = this.scores.get(member) as number;
      this.scores.delete(member);
      return [member, score];
    });
  }
}

class Source {
  private readonly random: SeededRandom;
  private readonly size: number;

  constructor(random: SeededRandom, size: number) {
    this.random = random;
    this.size = size;
  }

  next(count: number): Words {
    const { random, size } = this;
    const draw = random.below(100);
    if (count < size / 2) return ['ZADD', 'z', ...this.pairs(random.below(size) + 1)];
    if (draw < 20) return ['ZADD', 'z', ...this.pairs(random.below(4) + 1)];
    if (draw < 25) return ['ZINCRBY', 'z', this.score(), this.member()];
    if (draw < 35) return ['ZREM', 'z', this.member(), this.member()];
    if (draw < 45) return [random.pick(['ZRANK', 'ZREVRANK']), 'z', this.member()];
    if (draw < 55) return [random.pick(['ZRANGE', 'ZREVRANGE']), 'z', this.index(), this.index()];
    if (draw < 62) return [random.pick(['ZRANGE', 'ZREVRANGE']), 'z', '0', String(random.below(10))];
    if (draw < 72) return [random.pick(['ZCOUNT', 'ZRANGEBYSCORE']), 'z', this.score(), this.score()];
    if (draw < 76) return ['ZRANGEBYSCORE', 'z', '-Infinity', this.score()];
    if (draw < 88) return [random.pick(['ZPOPMIN', 'ZPOPMAX']), 'z', String(random.below(4))];
    if (draw < 91) return ['ZREMRANGEBYRANK', 'z', String(random.below(size)), String(random.below(size))];
    if (draw < 94) return ['ZREMRANGEBYSCORE', 'z', this.score(), this.score()];
    return random.pick([
      ['ZCARD', 'z'],
      ['ZSCORE', 'z', this.member()],
    ]);
  }

  private pairs(count: number): string[] {
    return Array.from({ length: count }, () => [this.score(), this.member()]).flat();
  }

  private member(): string {
    return `member-${this.random.below(3 * this.size)}`;
  }

  /** Few enough that many members share one. */
  private score(): string {
    const { random } = this;
    if (random.below(20) === 0) return random.pick(['Infinity', '0', '1e300', '0.1']);
    return String((random.below(4 * this.size) - 2 * this.size) / 4);
  }

  private index(): string {
    return String(this.random.below(2 * this.size) - this.size);
  }
}

describe('sorted sets are what a sorted map is', () => {
  for (const [seed, size, commands] of [
    [1, 8, 1500],
    [2, 60, 1000],
    [3, 600, 300],
    [4, 1500, 120],
  ] as const) {
    test(`about ${size} members, seed ${seed}`, async () => {
      const random = new SeededRandom(seed);
      const runner = new CommandRunner(sortedSetCommands);
      const model = new Model();
      const source = new Source(random, size);
      for (let i = 0; i < commands; i++) {
        if (random.below(40) === 0) runner.store.chill();
        if (random.below(8) > 0) {
          const words = source.next(model.scores.size);
          assert.deepEqual(await runner.run(...words), model.run(words), words.slice(0, 8).join(' '));
        } else {
          const several: Words[] = [];
          const expected: unknown[] = [];
          for (let at = random.below(5); at >= 0; at--) {
            const words = source.next(model.scores.size);
            several.push(words);
            expected.push(model.run(words));
          }
          assert.deepEqual(await runner.together(...several), expected, JSON.stringify(several).slice(0, 300));
        }
      }
      assert.deepEqual(await runner.line('ZRANGE z 0 -1'), model.sorted);
      assert.equal(runner.store.openCursors, 0);
    });
  }
});

test('what is taken at the ends is not passed by walks any more', async () => {
  const runner = new CommandRunner(sortedSetCommands);
  for (let i = 0; i < 400; i++) await runner.run('ZADD', 'z', i, `member-${i}`);
  for (let i = 0; i < 390; i++) assert.deepEqual(await runner.line('ZPOPMIN z'), [`member-${i}`, i]);
  assert.deepEqual(await runner.line('ZADD z -5 lower 1000 upper'), 2);
  assert.deepEqual(await runner.line('ZRANGE z 0 1'), ['lower', 'member-390']);
  assert.deepEqual(await runner.line('ZREVRANGE z 0 1'), ['upper', 'member-399']);
  assert.deepEqual(await runner.line('ZRANGEBYSCORE z -inf 390'), ['lower', 'member-390']);
});

test('a large union is made in slices, and sorted', async () => {
  const runner = new CommandRunner([...sortedSetCommands, ...setCommands]);
  const random = new SeededRandom(5);
  const scores = new Map<string, number>();
  for (let i = 0; i < 3000; i++) {
    const score = random.below(500);
    scores.set(`member-${i}`, score + (i % 2 === 0 ? 1 : 0));
    await runner.run('ZADD', 'a', score, `member-${i}`);
    if (i % 2 === 0) await runner.run('SADD', 's', `member-${i}`);
  }
  const expected = [...scores].sort(([a, x], [b, y]) => (x === y ? (a < b ? -1 : 1) : x - y));
  assert.deepEqual(await runner.line('ZUNION 2 a s WITHSCORES'), expected);
  assert.deepEqual(await runner.line('ZUNION 1 a'), await runner.line('ZRANGE a 0 -1'));
});

test('numbers as strtod reads them', () => {
  const read: readonly (readonly [string, number | undefined])[] = [
    ['1', 1],
    ['-1.5e3', -1500],
    ['.5', 0.5],
    ['5.', 5],
    ['+7', 7],
    ['inf', Infinity],
    ['-Infinity', -Infinity],
    ['0x10', 16],
    ['0x.8p1', 1],
    ['-0x1p-2', -0.25],
    ['', undefined],
    ['.', undefined],
    ['1e', undefined],
    ['0x', undefined],
    ['1 ', undefined],
    ['infi', undefined],
  ];
  for (const [text, value] of read) assert.equal(numberOfText(text), value, text);
  assert.ok(Number.isNaN(numberOfText('nan')));
});
