/**
 * What a command does to each of its keys, in the words of Redis's key specifications: RO, RW, OW (overwrites), RM
 * (removes), and access, update, insert, delete for the value.
 */

import type { Args } from './args.ts';
import type { Command } from './command.ts';

const BY_FLAGS: readonly (readonly [flags: string, names: string])[] = [
  [
    'RO',
    'llen zcard xlen strlen exists touch type object|encoding object|freq object|idletime object|refcount memory|usage watch',
  ],
  ['RW access update variable_flags', 'set bitfield'],
  ['RW access', 'pfcount'],
  ['RW access insert', 'pfmerge'],
  ['OW insert', 'setnx msetnx'],
  ['OW update', 'mset msetex psetex restore setex zrangestore zunionstore zinterstore zdiffstore geosearchstore bitop'],
  ['RW insert', 'append lpush rpush lpushx rpushx linsert pfadd xgroup|create xgroup|createconsumer'],
  [
    'RW update',
    'setrange expire expireat persist pexpire pexpireat lset zadd geoadd xadd xsetid xgroup|setid xack xclaim',
  ],
  [
    'RW delete',
    'lrem ltrim zrem zremrangebyrank zremrangebyscore zremrangebylex xdel xdelex xackdel xtrim xautoclaim xgroup|destroy xgroup|delconsumer',
  ],
  ['RW access delete', 'getdel rename renamenx lpop rpop lmpop lmove rpoplpush zpopmin zpopmax zmpop'],
  ['RM delete', 'del unlink delex delifeq'],
  ['RO access', 'copy sort xreadgroup georadius georadiusbymember'],
  ['not_key', 'ssubscribe sunsubscribe spublish'],
];

/** Commands whose second key is treated in another way than the first. */
const OF_SECOND: Readonly<Record<string, string>> = {
  rename: 'OW update',
  renamenx: 'OW insert',
  copy: 'OW update',
  lmove: 'RW insert',
  rpoplpush: 'RW insert',
  zrangestore: 'RO access',
  zunionstore: 'RO access',
  zinterstore: 'RO access',
  zdiffstore: 'RO access',
  geosearchstore: 'RO access',
  bitop: 'RO access',
  pfmerge: 'RO access',
  sort: 'OW update',
  georadius: 'OW update',
  georadiusbymember: 'OW update',
};

const BY_NAME: ReadonlyMap<string, readonly string[]> = new Map(
  BY_FLAGS.flatMap(([flags, names]) => names.split(' ').map((name) => [name, flags.split(' ')])),
);

/** Whether the second key has a specification of its own. */
export function differsForSecond(fullName: string): boolean {
  return OF_SECOND[fullName] !== undefined;
}

/** `position`: 0 for the first key. */
export function keyFlags(fullName: string, command: Command, position: number): readonly string[] {
  const ofSecond = OF_SECOND[fullName];
  if (position > 0 && ofSecond !== undefined) return ofSecond.split(' ');
  const known = BY_NAME.get(fullName);
  if (known !== undefined) return known;
  return command.flags.includes('readonly') ? ['RO', 'access'] : ['RW', 'access', 'update'];
}

/** As `keyFlags`, of one call: where the options decide (SET with GET reads too), they are looked at. */
export function keyFlagsOfCall(fullName: string, command: Command, words: Args, position: number): readonly string[] {
  if (fullName === 'set') return hasWord(words, 3, ['GET']) ? ['RW', 'access', 'update'] : ['OW', 'update'];
  if (fullName === 'bitfield' && !hasWord(words, 2, ['SET', 'INCRBY'])) return ['RO', 'access'];
  if (fullName === 'bitfield') return ['RW', 'access', 'update'];
  return keyFlags(fullName, command, position);
}

function hasWord(words: Args, from: number, names: readonly string[]): boolean {
  for (let i = from; i < words.count; i++) if (names.includes(words.upper(i))) return true;
  return false;
}
