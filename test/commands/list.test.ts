/**
 * Random commands on lists against an array: small and large ones, one by one and in transactions, with reads that miss.
 * Every list is read in parts again and again, so that what is remembered of its cells is compared as well.
 */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { listCommands } from '../../src/commands/list.ts';
import { SeededRandom } from '../crash/seeded-random.ts';
import { CommandRunner } from '../support/command-runner.ts';

type Words = readonly string[];

/** What the commands should do to one list, in the simplest words. */
class Model {
  items: string[] = [];

  run([name, , ...rest]: Words): unknown {
    const { items } = this;
    const [first = '', second = '', third = ''] = rest;
    switch (name) {
      case 'LPUSH':
        for (const item of rest) items.unshift(item);
        return items.length;
      case 'RPUSH':
        items.push(...rest);
        return items.length;
      case 'LPOP':
        return rest.length === 0 ? (items.shift() ?? null) : items.length === 0 ? null : items.splice(0, Number(first));
      case 'RPOP':
        if (rest.length === 0) return items.pop() ?? null;
        return items.length === 0 ? null : items.splice(Math.max(items.length - Number(first), 0)).reverse();
      case 'LLEN':
        return items.length;
      case 'LINDEX':
        return items.at(Number(first)) ?? null;
      case 'LRANGE':
        return this.range(Number(first), Number(second));
      case 'LSET':
        return this.set(Number(first), second);
      case 'LTRIM':
        this.items = this.range(Number(first), Number(second));
        return 'OK';
      case 'LINSERT':
        return this.insert(first === 'AFTER', second, third);
      case 'LREM':
        return this.remove(Number(first), second);
      case 'LPOS': {
        const at = items.indexOf(first);
        return at < 0 ? null : at;
      }
      default:
        throw new Error(`no model of ${name}`);
    }
  }

  private range(start: number, stop: number): string[] {
    const { length } = this.items;
    const from = start < 0 ? Math.max(start + length, 0) : start;
    return this.items.slice(from, Math.max((stop < 0 ? stop + length : stop) + 1, 0));
  }

  private set(index: number, item: string): string {
    const { items } = this;
    if (items.length === 0) return '-ERR no such key';
    const at = index < 0 ? index + items.length : index;
    if (at < 0 || at >= items.length) return '-ERR index out of range';
    items[at] = item;
    return 'OK';
  }

  private insert(isAfter: boolean, pivot: string, item: string): number {
    const { items } = this;
    const at = items.indexOf(pivot);
    if (items.length === 0) return 0;
    if (at < 0) return -1;
    items.splice(isAfter ? at + 1 : at, 0, item);
    return items.length;
  }

  private remove(count: number, item: string): number {
    const { items } = this;
    const order = count < 0 ? items.toReversed() : items;
    let left = count === 0 ? Infinity : Math.abs(count);
    const kept = order.filter((each) => each !== item || left-- <= 0);
    const removed = items.length - kept.length;
    this.items = count < 0 ? kept.reverse() : kept;
    return removed;
  }
}

/** Commands that keep a list at about `size` elements. */
class Source {
  private readonly random: SeededRandom;
  private readonly size: number;
  private made = 0;

  constructor(random: SeededRandom, size: number) {
    this.random = random;
    this.size = size;
  }

  next(length: number): Words {
    const { random, size } = this;
    const draw = random.below(100);
    if (length < size / 4) return [random.pick(['LPUSH', 'RPUSH']), 'l', ...this.items(random.below(size) + 1)];
    if (draw < 15) return [random.pick(['LPUSH', 'RPUSH']), 'l', ...this.items(random.below(4) + 1)];
    if (draw < 25) return [random.pick(['LPOP', 'RPOP']), 'l'];
    if (draw < 30) return [random.pick(['LPOP', 'RPOP']), 'l', String(random.below(12))];
    if (draw < 50) return ['LRANGE', 'l', this.index(), this.index()];
    if (draw < 60) return ['LRANGE', 'l', '0', String(random.below(40))];
    if (draw < 68) return ['LINDEX', 'l', this.index()];
    if (draw < 76) return ['LSET', 'l', this.index(), this.item()];
    if (draw < 82) return ['LINSERT', 'l', random.pick(['BEFORE', 'AFTER']), this.known(), this.item()];
    if (draw < 88) return ['LREM', 'l', String(random.below(5) - 2), this.known()];
    if (draw < 92) return ['LPOS', 'l', this.known()];
    if (draw < 94) return ['LTRIM', 'l', String(random.below(5)), String(-1 - random.below(5))];
    if (draw < 95) return ['LTRIM', 'l', this.index(), this.index()];
    return ['LLEN', 'l'];
  }

  private items(count: number): string[] {
    return Array.from({ length: count }, () => this.item());
  }

  private item(): string {
    return this.random.below(3) === 0 ? this.known() : `item-${this.made++}`;
  }

  /** One that is there several times, or was. */
  private known(): string {
    return this.random.below(2) === 0 ? `same-${this.random.below(4)}` : `item-${this.random.below(this.made + 1)}`;
  }

  private index(): string {
    return String(this.random.below(2 * this.size) - this.size);
  }
}

describe('lists are what an array is', () => {
  for (const [seed, size, commands] of [
    [1, 8, 1500],
    [2, 60, 1200],
    [3, 400, 1000],
    [4, 1500, 400],
  ] as const) {
    test(`about ${size} elements, seed ${seed}`, async () => {
      const random = new SeededRandom(seed);
      const runner = new CommandRunner(listCommands);
      const model = new Model();
      const source = new Source(random, size);
      for (let i = 0; i < commands; i++) {
        if (random.below(50) === 0) runner.store.chill();
        if (random.below(8) > 0) {
          const words = source.next(model.items.length);
          assert.deepEqual(await runner.run(...words), model.run(words), words.join(' '));
        } else {
          const several: Words[] = [];
          const expected: unknown[] = [];
          for (let at = random.below(5); at >= 0; at--) {
            const words = source.next(model.items.length);
            several.push(words);
            expected.push(model.run(words));
          }
          assert.deepEqual(
            await runner.together(...several),
            expected,
            several.map((each) => each.join(' ')).join('; '),
          );
        }
      }
      assert.deepEqual(await runner.line('LRANGE l 0 -1'), model.items);
      assert.equal(runner.store.openCursors, 0);
    });
  }
});

test('a queue costs the same however much has passed through it', async () => {
  const runner = new CommandRunner(listCommands);
  for (let i = 0; i < 200; i++) await runner.run('RPUSH', 'q', `job-${i}`);
  const size = runner.store.size;
  for (let i = 200; i < 1200; i++) {
    await runner.run('RPUSH', 'q', `job-${i}`);
    assert.equal(await runner.run('LPOP', 'q'), `job-${i - 200}`);
  }
  assert.equal(runner.store.size, size);
});

test('an element of a large list is one cell', async () => {
  const runner = new CommandRunner(listCommands);
  for (let i = 0; i < 200; i++) await runner.run('RPUSH', 'l', `element-${i}`);
  const before = runner.store.lastSequence;
  await runner.run('LPUSH', 'l', 'new');
  // The cell and the head.
  assert.equal(runner.store.lastSequence - before, 2);
});
