/**
 * Random commands on strings and keys against a plain map: from memory, with reads that miss, one by one and in
 * transactions, over two databases, with time passing and the sweeper at work.
 */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { CommandRunner, START_MS } from '../support/command-runner.ts';

interface Entry {
  value: string;
  /** 0 = never. */
  deadlineMs: number;
}

/** What the commands should do, in the simplest words. */
class Model {
  nowMs = START_MS;
  database = 0;
  databases: Map<string, Entry>[] = [new Map(), new Map()];

  get rows(): Map<string, Entry> {
    return this.databases[this.database] as Map<string, Entry>;
  }

  live(key: string, rows = this.rows): Entry | undefined {
    const entry = rows.get(key);
    return entry !== undefined && (entry.deadlineMs === 0 || entry.deadlineMs > this.nowMs) ? entry : undefined;
  }

  put(key: string, value: string, deadlineMs = 0, rows = this.rows): void {
    rows.set(key, { value, deadlineMs });
  }

  count(rows = this.rows): number {
    return [...rows.keys()].filter((key) => this.live(key, rows) !== undefined).length;
  }

  run([name, ...rest]: readonly string[]): unknown {
    const [key = '', word = '', third = ''] = rest;
    const entry = this.live(key);
    const deadlineMs = entry?.deadlineMs ?? 0;
    switch (name) {
      case 'SET':
        return this.set(key, word, rest.slice(2));
      case 'GET':
        return entry?.value ?? null;
      case 'MGET':
        return rest.map((each) => this.live(each)?.value ?? null);
      case 'MSETNX':
        if (entry !== undefined || this.live(third) !== undefined) return 0;
        this.put(key, word);
        this.put(third, rest[3] as string);
        return 1;
      case 'STRLEN':
        return entry?.value.length ?? 0;
      case 'APPEND':
        this.put(key, (entry?.value ?? '') + word, deadlineMs);
        return (entry?.value.length ?? 0) + word.length;
      case 'SETRANGE': {
        const padded = (entry?.value ?? '').padEnd(Number(word), '\0');
        const value = padded.slice(0, Number(word)) + third + padded.slice(Number(word) + third.length);
        this.put(key, value, deadlineMs);
        return value.length;
      }
      case 'INCRBY': {
        const before = entry?.value ?? '0';
        if (!/^(?:0|-?[1-9][0-9]{0,10})$/.test(before)) return '-ERR value is not an integer or out of range';
        this.put(key, String(Number(before) + Number(word)), deadlineMs);
        return Number(before) + Number(word);
      }
      case 'GETDEL':
        this.rows.delete(key);
        return entry?.value ?? null;
      case 'DEL':
        return rest.reduce((removed, each) => {
          const was = this.live(each) === undefined ? 0 : 1;
          this.rows.delete(each);
          return removed + was;
        }, 0);
      case 'EXISTS':
        return rest.filter((each) => this.live(each) !== undefined).length;
      case 'PEXPIRE':
        return this.expire(key, Number(word));
      case 'PERSIST':
        if (entry !== undefined) entry.deadlineMs = 0;
        return deadlineMs === 0 ? 0 : 1;
      case 'PTTL':
        if (entry === undefined) return -2;
        return deadlineMs === 0 ? -1 : deadlineMs - this.nowMs;
      case 'RENAME':
        if (entry === undefined) return '-ERR no such key';
        this.rows.delete(key);
        this.put(word, entry.value, deadlineMs);
        return 'OK';
      case 'COPY':
        return this.copy(key, word, Number(rest[3]), rest.includes('REPLACE'));
      case 'SWAPDB':
        this.databases.reverse();
        return 'OK';
      case 'FLUSHDB':
        this.rows.clear();
        return 'OK';
      case 'DBSIZE':
        return this.count();
      default:
        return [...this.rows.keys()].filter((each) => this.live(each) !== undefined).sort();
    }
  }

  private set(key: string, value: string, options: readonly string[]): unknown {
    const entry = this.live(key);
    const get = options.includes('GET');
    const old = get ? (entry?.value ?? null) : null;
    if (options.includes('NX') && entry !== undefined) return old;
    if (options.includes('XX') && entry === undefined) return old;
    const px = options.indexOf('PX');
    let deadlineMs = px < 0 ? 0 : this.nowMs + Number(options[px + 1]);
    if (options.includes('KEEPTTL')) deadlineMs = entry?.deadlineMs ?? 0;
    this.put(key, value, deadlineMs);
    return get ? old : 'OK';
  }

  private expire(key: string, ms: number): number {
    const entry = this.live(key);
    if (entry === undefined) return 0;
    if (ms <= 0) this.rows.delete(key);
    else entry.deadlineMs = this.nowMs + ms;
    return 1;
  }

  private copy(from: string, to: string, database: number, replace: boolean): unknown {
    const target = this.databases[database] as Map<string, Entry>;
    if (from === to && database === this.database) return '-ERR source and destination objects are the same';
    const entry = this.live(from);
    if (entry === undefined || (this.live(to, target) !== undefined && !replace)) return 0;
    this.put(to, entry.value, entry.deadlineMs, target);
    return 1;
  }
}

const key = fc.constantFrom('a', 'b', 'c', '{t}1', '{t}2', '');
/** Short values, numbers, and values that stand apart from their heads. */
const value = fc.oneof(
  fc.string({ unit: fc.constantFrom('x', 'y', '\0'), maxLength: 5 }),
  fc.integer({ min: -99, max: 99 }).map(String),
  fc.integer({ min: 1000, max: 3000 }).map((length) => 'z'.repeat(length)),
);
const ms = fc.constantFrom('-1', '5', '50', '500');
const setOptions = fc.oneof(
  fc.constant([]),
  fc.tuple(
    fc.constantFrom([], ['NX'], ['XX']),
    fc.constantFrom([], ['GET']),
    fc.constantFrom([], ['PX', '50'], ['KEEPTTL']),
  ),
);

const command: fc.Arbitrary<readonly string[]> = fc.oneof(
  { weight: 4, arbitrary: fc.tuple(key, value, setOptions).map(([k, v, options]) => ['SET', k, v, ...options.flat()]) },
  { weight: 2, arbitrary: key.map((k) => ['GET', k]) },
  fc.tuple(key, key, key).map((keys) => ['MGET', ...keys]),
  fc.tuple(key, value, key, value).map((words) => ['MSETNX', ...words]),
  key.map((k) => ['STRLEN', k]),
  fc.tuple(key, value).map((words) => ['APPEND', ...words]),
  fc.tuple(key, fc.constantFrom('0', '3', '1100'), fc.constantFrom('q', 'rst')).map((words) => ['SETRANGE', ...words]),
  fc.tuple(key, fc.integer({ min: -9, max: 9 }).map(String)).map((words) => ['INCRBY', ...words]),
  key.map((k) => ['GETDEL', k]),
  fc.tuple(key, key).map((keys) => ['DEL', ...keys]),
  fc.tuple(key, key).map((keys) => ['EXISTS', ...keys]),
  fc.tuple(key, ms).map((words) => ['PEXPIRE', ...words]),
  key.map((k) => ['PERSIST', k]),
  key.map((k) => ['PTTL', k]),
  fc.tuple(key, key).map((keys) => ['RENAME', ...keys]),
  fc
    .tuple(key, key, fc.constantFrom('0', '1'), fc.constantFrom([], ['REPLACE']))
    .map(([from, to, db, options]) => ['COPY', from, to, 'DB', db, ...options]),
  fc.constantFrom(['SWAPDB', '0', '1'], ['FLUSHDB'], ['KEYS', '*'], ['KEYS', '*']),
);

type Event =
  | { readonly kind: 'commands'; readonly commands: readonly (readonly string[])[] }
  | { readonly kind: 'time'; readonly ms: number }
  | { readonly kind: 'chill' }
  | { readonly kind: 'sweep' }
  | { readonly kind: 'select' };

const event: fc.Arbitrary<Event> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc
      .array(command, { minLength: 1, maxLength: 4 })
      .map((commands): Event => ({ kind: 'commands', commands })),
  },
  fc.constantFrom(1, 5, 45, 500).map((time): Event => ({ kind: 'time', ms: time })),
  fc.constantFrom<Event>({ kind: 'chill' }, { kind: 'sweep' }, { kind: 'select' }),
);

function sorted(reply: unknown): unknown {
  return Array.isArray(reply) ? [...(reply as string[])].sort() : reply;
}

async function check(events: readonly Event[], inTransactions: boolean): Promise<void> {
  const runner = new CommandRunner();
  const model = new Model();
  for (const each of events) {
    if (each.kind === 'time') model.nowMs = runner.nowMs += each.ms;
    else if (each.kind === 'chill') runner.store.chill();
    else if (each.kind === 'sweep') await runner.keyspace.sweepExpired(runner.nowMs);
    else if (each.kind === 'select') runner.client.database = model.database = 1 - model.database;
    else {
      const groups = inTransactions ? [each.commands] : each.commands.map((one) => [one]);
      for (const group of groups) {
        const replies = await runner.together(...group);
        for (const [i, words] of group.entries()) {
          const expected = model.run(words);
          const reply = words[0] === 'KEYS' ? sorted(replies[i]) : replies[i];
          assert.deepEqual(reply, expected, words.join(' ').slice(0, 80));
        }
      }
    }
  }
  await compareAtEnd(runner, model);
}

async function compareAtEnd(runner: CommandRunner, model: Model): Promise<void> {
  await runner.keyspace.sweepExpired(runner.nowMs);
  for (const database of [0, 1]) {
    runner.client.database = model.database = database;
    assert.equal(await runner.run('DBSIZE'), model.count());
    assert.deepEqual(sorted(await runner.run('KEYS', '*')), model.run(['KEYS', '*']));
    for (const k of model.rows.keys()) assert.equal(await runner.run('GET', k), model.run(['GET', k]));
  }
  assert.equal(runner.store.openCursors, 0);
}

test('commands one by one do what the model does', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(event, { maxLength: 60 }), (events) => check(events, false)),
    { numRuns: 300 },
  );
});

test('commands in transactions do what the model does', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(event, { maxLength: 60 }), (events) => check(events, true)),
    { numRuns: 300 },
  );
});
