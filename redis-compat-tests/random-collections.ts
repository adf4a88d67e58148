/** Random commands on hashes and sets, for random-commands.ts. Replies do not depend on chance, but for their order. */

import type { SeededRandom } from '../test/crash/seeded-random.ts';

/** Commands whose replies come in any order. */
export const UNORDERED_REPLIES: ReadonlySet<string> = new Set([
  'HKEYS',
  'HVALS',
  'HRANDFIELD',
  'SMEMBERS',
  'SINTER',
  'SUNION',
  'SDIFF',
  'SPOP',
  'SRANDMEMBER',
]);

const NUMBERS = ['1', '-1', '10', '0', '007', '1.5', 'abc', '', '9223372036854775807', '-9223372036854775808'];
const FLOATS = ['0.1', '-0.5', '3.0e3', '1e17', 'nan', 'inf', 'abc', '5', '0.30000000000000004'];

function field(random: SeededRandom): string {
  const draw = random.below(20);
  if (draw === 0) return random.pick(['', 'a\r\nb', '\0\x7f', 'x'.repeat(100)]);
  return `f${random.below(draw === 1 ? 200 : 10)}`;
}

function value(random: SeededRandom): string {
  return random.pick([
    () => String(random.below(300) - 150),
    () => random.pick(NUMBERS),
    () => random.pick(FLOATS),
    () => 'v'.repeat(random.below(100)),
  ])();
}

function many<T>(random: SeededRandom, draw: () => T): T[] {
  return Array.from({ length: random.next() < 0.1 ? 60 : 1 + random.below(4) }, draw);
}

/** A command on hashes, mostly on three keys of their own; `key` is any other. */
export function drawHash(random: SeededRandom, key: string): string[] {
  const hash = random.next() < 0.93 ? `h${random.below(3)}` : key;
  const name = (): string => field(random);
  return random.pick([
    () => ['HSET', hash, ...many(random, () => [name(), value(random)]).flat()],
    () => ['HSET', hash, ...many(random, () => [name(), value(random)]).flat()],
    () => ['HMSET', hash, ...many(random, () => [name(), value(random)]).flat()],
    () => ['HSETNX', hash, name(), value(random)],
    () => ['HGET', hash, name()],
    () => ['HMGET', hash, ...many(random, name)],
    () => ['HDEL', hash, ...many(random, name)],
    () => ['HLEN', hash],
    () => ['HSTRLEN', hash, name()],
    () => ['HEXISTS', hash, name()],
    () => ['HKEYS', hash],
    () => ['HVALS', hash],
    () => ['HGETALL', hash],
    () => ['HINCRBY', hash, name(), random.pick(NUMBERS)],
    () => ['HINCRBYFLOAT', hash, name(), random.pick(FLOATS)],
    () => ['HRANDFIELD', hash, '100000'],
    () =>
      random.pick([
        ['DEL', hash],
        ['RENAME', hash, `h${random.below(3)}`],
        ['COPY', hash, `h${random.below(3)}`],
      ]),
    () => ['EXPIRE', hash, '1000'],
    () => ['TYPE', hash],
  ])();
}

/** A command on sets, mostly on four keys of their own; `key` is any other. */
export function drawSet(random: SeededRandom, key: string): string[] {
  const set = (): string => (random.next() < 0.95 ? `t${random.below(4)}` : key);
  const member = (): string => (random.next() < 0.5 ? String(random.below(30)) : field(random));
  const sets = (): string[] => Array.from({ length: 1 + random.below(4) }, set);
  const algebra = (): string => random.pick(['SINTER', 'SUNION', 'SDIFF']);
  return random.pick([
    () => ['SADD', set(), ...many(random, member)],
    () => ['SADD', set(), ...many(random, member)],
    () => ['SREM', set(), ...many(random, member)],
    () => ['SISMEMBER', set(), member()],
    () => ['SMISMEMBER', set(), ...many(random, member)],
    () => ['SCARD', set()],
    () => ['SMEMBERS', set()],
    () => ['SMOVE', set(), set(), member()],
    () => [algebra(), ...sets()],
    () => [`${algebra()}STORE`, set(), ...sets()],
    () => [
      'SINTERCARD',
      random.pick(['1', '2', '3', '0', 'x']),
      ...sets(),
      ...random.pick([[], ['LIMIT', '3'], ['LIMIT', '-1']]),
    ],
    () => (random.next() < 0.2 ? ['SPOP', set(), '100000'] : ['SPOP', set(), random.pick(['0', '-1', 'x'])]),
    () => ['SRANDMEMBER', set(), '100000'],
    () => ['TYPE', set()],
  ])();
}
