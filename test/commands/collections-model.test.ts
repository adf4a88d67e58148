/**
 * Random commands on hashes and sets against plain maps: packed and in cells, from memory and with reads that miss, one by
 * one and in transactions, with fields that end and the sweep that removes them.
 */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hashCommands } from '../../src/commands/hash.ts';
import { setCommands } from '../../src/commands/set.ts';
import { Prng } from '../sim/prng.ts';
import { CommandRunner, START_MS } from '../support/command-runner.ts';

const SEEDS = Number(process.env['KVORUM_SIM_SEEDS'] ?? 40);
const COMMANDS = 150;
const HASHES = ['h1', 'h2', 'h3'];
const SETS = ['s1', 's2', 's3', 's4'];

interface Field {
  readonly value: string;
  /** 0: none. */
  readonly endsMs: number;
}

class Model {
  nowMs = START_MS;
  readonly hashes = new Map<string, Map<string, Field>>();
  readonly sets = new Map<string, Set<string>>();

  fields(key: string): Map<string, Field> {
    let fields = this.hashes.get(key);
    if (fields === undefined) this.hashes.set(key, (fields = new Map()));
    for (const [name, { endsMs }] of fields) if (endsMs !== 0 && endsMs <= this.nowMs) fields.delete(name);
    return fields;
  }

  members(key: string): Set<string> {
    let members = this.sets.get(key);
    if (members === undefined) this.sets.set(key, (members = new Set()));
    return members;
  }

  /** What a command should answer; what it answers with all fields or members is sorted. */
  run([name = '', key = '', ...rest]: readonly string[]): unknown {
    const [a = '', b = ''] = rest;
    const fields = this.fields(key);
    const members = this.members(key);
    switch (name) {
      case 'HSET': {
        const before = fields.size;
        for (let i = 0; i < rest.length; i += 2)
          fields.set(rest[i] as string, { value: rest[i + 1] as string, endsMs: 0 });
        return fields.size - before;
      }
      case 'HSETNX':
        if (fields.has(a)) return 0;
        fields.set(a, { value: b, endsMs: 0 });
        return 1;
      case 'HMGET':
        return rest.map((each) => fields.get(each)?.value ?? null);
      case 'HDEL':
        return rest.filter((each) => fields.delete(each)).length;
      case 'HGETALL':
        return [...fields].map(([field, { value }]) => [field, value]).sort();
      case 'HINCRBY':
        return this.add(fields, a, Number(b));
      case 'HPEXPIRE':
        return this.expire(fields, Number(a), rest.slice(1));
      case 'HPTTL':
        return rest.slice(2).map((each) => {
          const field = fields.get(each);
          if (field === undefined) return -2;
          return field.endsMs === 0 ? -1 : field.endsMs - this.nowMs;
        });
      case 'HPERSIST':
        return rest.slice(2).map((each) => {
          const field = fields.get(each);
          if (field === undefined || field.endsMs === 0) return field === undefined ? -2 : -1;
          fields.set(each, { value: field.value, endsMs: 0 });
          return 1;
        });
      case 'HGETDEL':
        return rest.slice(2).map((each) => {
          const value = fields.get(each)?.value ?? null;
          fields.delete(each);
          return value;
        });
      case 'RENAME':
        return this.copy(key, a, true);
      case 'COPY':
        return this.copy(key, a, false);
      case 'SADD':
        return rest.filter((each) => !members.has(each) && members.add(each)).length;
      case 'SREM':
        return rest.filter((each) => members.delete(each)).length;
      case 'SMISMEMBER':
        return rest.map((each) => Number(members.has(each)));
      case 'SMEMBERS':
        return [...members].sort();
      case 'SMOVE':
        if (!members.has(b)) return 0;
        members.delete(b);
        this.members(a).add(b);
        return 1;
      default:
        return this.algebra(name, [key, ...rest]);
    }
  }

  private add(fields: Map<string, Field>, name: string, by: number): unknown {
    const field = fields.get(name);
    if (field !== undefined && !/^-?\d{1,9}$/.test(field.value)) return '-ERR hash value is not an integer';
    const sum = Number(field?.value ?? 0) + by;
    fields.set(name, { value: String(sum), endsMs: field?.endsMs ?? 0 });
    return sum;
  }

  private expire(fields: Map<string, Field>, ms: number, [condition = '', , ...rest]: readonly string[]): number[] {
    const names = condition === 'FIELDS' ? rest : rest.slice(1);
    const endsMs = this.nowMs + ms;
    return names.map((name) => {
      const field = fields.get(name);
      if (field === undefined) return -2;
      const old = field.endsMs === 0 ? Infinity : field.endsMs;
      if (condition === 'NX' && field.endsMs !== 0) return 0;
      if (condition === 'XX' && field.endsMs === 0) return 0;
      if (condition === 'GT' && endsMs <= old) return 0;
      if (condition === 'LT' && endsMs >= old) return 0;
      if (ms === 0) fields.delete(name);
      else fields.set(name, { value: field.value, endsMs });
      return ms === 0 ? 2 : 1;
    });
  }

  /** Of a hash that has fields without an end. */
  private copy(from: string, to: string, moves: boolean): unknown {
    const fields = this.fields(from);
    if (from === to) return moves ? 'OK' : '-ERR source and destination objects are the same';
    this.hashes.set(to, new Map(fields));
    if (moves) this.hashes.delete(from);
    return moves ? 'OK' : 1;
  }

  private algebra(name: string, keys: readonly string[]): unknown {
    const isStore = name.endsWith('STORE');
    const [first = new Set<string>(), ...others] = (isStore ? keys.slice(1) : keys).map((key) => this.members(key));
    let made: Set<string>;
    if (name.startsWith('SUNION')) made = new Set([...first, ...others.flatMap((each) => [...each])]);
    else if (name.startsWith('SINTER'))
      made = new Set([...first].filter((each) => others.every((set) => set.has(each))));
    else made = new Set([...first].filter((each) => !others.some((set) => set.has(each))));
    if (!isStore) return [...made].sort();
    this.sets.set(keys[0] as string, made);
    return made.size;
  }
}

function commandOf(random: Prng, model: Model): string[] {
  const field = (): string => `field:${random.below(random.chance(0.2) ? 90 : 8)}`;
  const some = (): string[] => Array.from({ length: 1 + random.below(4) }, field);
  const value = (): string => (random.chance(0.3) ? String(random.below(1000)) : 'v'.repeat(random.below(30)));
  const h = random.pick(HASHES);
  const s = random.pick(SETS);
  const dice = random.below(24);
  const listed = (names: string[]): string[] => ['FIELDS', String(names.length), ...names];
  if (dice < 5) {
    const count = random.chance(0.15) ? 60 : 1 + random.below(3);
    return ['HSET', h, ...Array.from({ length: count }, () => [field(), value()]).flat()];
  }
  if (dice < 6) return ['HSETNX', h, field(), value()];
  if (dice < 7) return ['HMGET', h, ...some()];
  if (dice < 8) return ['HDEL', h, ...some()];
  if (dice < 9) return ['HGETALL', h];
  if (dice < 10) return ['HINCRBY', h, field(), String(random.below(50))];
  if (dice < 13) {
    const condition = random.chance(0.4) ? [random.pick(['NX', 'XX', 'GT', 'LT'])] : [];
    return ['HPEXPIRE', h, String(random.chance(0.1) ? 0 : 1 + random.below(300)), ...condition, ...listed(some())];
  }
  if (dice < 14) return ['HPTTL', h, ...listed(some())];
  if (dice < 15) return ['HPERSIST', h, ...listed(some())];
  if (dice < 16) return ['HGETDEL', h, ...listed(some())];
  if (dice < 17 && [...model.fields(h).values()].some(({ endsMs }) => endsMs === 0)) {
    const to = random.pick(HASHES);
    return random.chance(0.5) ? ['RENAME', h, to] : ['COPY', h, to, 'REPLACE'];
  }
  if (dice < 20)
    return ['SADD', s, ...Array.from({ length: random.chance(0.2) ? 80 : 3 }, () => `m${random.below(150)}`)];
  if (dice < 21) return ['SREM', s, ...some().map((each) => each.replace('field:', 'm'))];
  if (dice < 22) return random.chance(0.5) ? ['SMEMBERS', s] : ['SMISMEMBER', s, 'm1', 'm2', 'm149'];
  if (dice < 23) return ['SMOVE', s, random.pick(SETS), `m${random.below(150)}`];
  const name = random.pick(['SINTER', 'SUNION', 'SDIFF']);
  const keys = Array.from({ length: 1 + random.below(4) }, () => random.pick(SETS));
  return random.chance(0.5) ? [name, ...keys] : [`${name}STORE`, s, ...keys];
}

const UNORDERED = new Set(['HGETALL', 'SMEMBERS', 'SINTER', 'SUNION', 'SDIFF']);

function comparable(name: string, reply: unknown): unknown {
  return UNORDERED.has(name) && Array.isArray(reply) ? [...(reply as unknown[])].sort() : reply;
}

async function checkScans(runner: CommandRunner, model: Model): Promise<void> {
  for (const key of HASHES) {
    const found: string[][] = [];
    let cursor = '0';
    do {
      const [next, items] = (await runner.run('HSCAN', key, cursor, 'COUNT', 7)) as [string, string[]];
      for (let i = 0; i < items.length; i += 2) found.push(items.slice(i, i + 2));
      cursor = next;
    } while (cursor !== '0');
    assert.deepEqual(found.sort(), model.run(['HGETALL', key]), `a walk over ${key}`);
  }
}

async function run(seed: number): Promise<number> {
  const random = new Prng(seed);
  const runner = new CommandRunner([...hashCommands, ...setCommands]);
  const model = new Model();
  const step = async (): Promise<void> => {
    if (random.chance(0.3)) runner.store.chill(() => random.chance(0.5));
    const count = random.chance(0.2) ? 1 + random.below(5) : 1;
    const commands = Array.from({ length: count }, () => {
      const words = commandOf(random, model);
      return { words, expected: model.run(words) };
    });
    const replies =
      count === 1
        ? [await runner.run(...(commands[0] as { words: string[] }).words)]
        : await runner.together(...commands.map(({ words }) => words));
    for (const [i, { words, expected }] of commands.entries()) {
      assert.deepEqual(comparable(words[0] as string, replies[i]), expected, words.join(' '));
    }
  };
  for (let i = 0; i < COMMANDS; i++) {
    await step();
    if (random.chance(0.2)) runner.nowMs = model.nowMs += random.below(100);
    if (random.chance(0.1)) while (await runner.keyspace.sweepFields(runner.nowMs));
    if (random.chance(0.05)) await checkScans(runner, model);
  }
  await checkScans(runner, model);
  while (await runner.keyspace.sweepFields(runner.nowMs));
  while (await runner.keyspace.collectGarbage());
  for (const key of HASHES) {
    assert.equal(await runner.run('HLEN', key), model.fields(key).size, `what a sweep has left of ${key}`);
    assert.equal(await runner.run('EXISTS', key), Number(model.fields(key).size > 0), `whether ${key} is there`);
  }
  for (const key of SETS) assert.equal(await runner.run('SCARD', key), model.members(key).size, `members of ${key}`);
  await runner.run('DEL', ...HASHES, ...SETS);
  while (await runner.keyspace.collectGarbage());
  runner.nowMs += 1000;
  while (await runner.keyspace.sweepFields(runner.nowMs));
  assert.equal(runner.store.openCursors, 0, 'no cursor is left open');
  return runner.keyspace.expiredFields;
}

test('hashes and sets are what plain maps are', async () => {
  let expired = 0;
  for (let seed = 1; seed <= SEEDS; seed++) {
    try {
      expired += await run(seed);
    } catch (error) {
      throw new Error(`seed ${seed}: ${String(error)}`, { cause: error });
    }
  }
  assert.ok(expired > SEEDS, `${expired} fields were swept`);
});
