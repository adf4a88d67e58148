/**
 * What a command does to each of its keys, in the words of Redis's key specifications: RO, RW, OW (overwrites), RM
 * (removes), and access, update, insert, delete for the value.
 */

import type { Args } from './args.ts';
import type { Command } from './command.ts';

const BY_FLAGS: readonly (readonly [flags: string, names: string])[] = [
  [
    'RO',
    'llen zcard strlen exists touch type object|encoding object|freq object|idletime object|refcount memory|usage watch',
  ],
  ['RW access update variable_flags', 'set'],
  ['OW insert', 'setnx msetnx'],
  ['OW update', 'mset msetex psetex restore setex zrangestore zunionstore zinterstore zdiffstore geosearchstore'],
  ['RW insert', 'append lpush rpush lpushx rpushx linsert'],
  ['RW update', 'setrange expire expireat persist pexpire pexpireat lset zadd geoadd'],
  ['RW delete', 'lrem ltrim zrem zremrangebyrank zremrangebyscore zremrangebylex'],
  ['RW access delete', 'getdel rename renamenx lpop rpop lmpop lmove rpoplpush zpopmin zpopmax zmpop'],
  ['RM delete', 'del unlink delex delifeq'],
  ['RO access', 'copy georadius georadiusbymember'],
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
  if (fullName !== 'set') return keyFlags(fullName, command, position);
  for (let i = 3; i < words.count; i++) if (words.upper(i) === 'GET') return ['RW', 'access', 'update'];
  return ['OW', 'update'];
}
