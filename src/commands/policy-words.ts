/** Policies of key prefixes as words and as replies. */

import type { ConsistencyLevel, Policy } from '../cluster/policy.ts';
import type { Args } from './args.ts';
import { CommandError } from './errors.ts';
import { levelAt } from './level-words.ts';
import { clampedIntegerOf } from './number.ts';
import { optionName, syntaxError } from './options.ts';
import { MapReply, type Reply } from './reply.ts';

/** Longest prefix, in bytes: it stands in the topology document with a length of one byte. */
const MAX_PREFIX_BYTES = 120;

type Writable<T> = { -readonly [K in keyof T]: T[K] };

/** The policy of word `at` (the prefix) and the options after it. Throws `CommandError`. */
export function policyAt(args: Args, at: number): Policy {
  if (args.length(at) > MAX_PREFIX_BYTES) throw new CommandError(`ERR a prefix has at most ${MAX_PREFIX_BYTES} bytes`);
  const policy: Writable<Policy> = { prefix: args.text(at) };
  for (let i = at + 1; i < args.count;) i = optionAt(args, i, policy);
  return policy;
}

/** Reads the option at word i; returns the word after it. */
function optionAt(args: Args, i: number, policy: Writable<Policy>): number {
  const name = optionName(args, i);
  if (name === 'R' || name === 'W') {
    const { level, next } = levelAt(args, i);
    if (level.r > 0) policy.r = level.r;
    if (level.w > 0) policy.w = level.w;
    return next;
  }
  if (i + 1 >= args.count) throw syntaxError();
  switch (name) {
    case 'LEVEL': {
      const { level, next } = levelAt(args, i + 1);
      if (level.name === 'counts') throw syntaxError();
      policy.level = level.name satisfies ConsistencyLevel;
      return next;
    }
    case 'CONFLICT': {
      const conflict = args.text(i + 1).toLowerCase();
      if (conflict === 'crdt') throw new CommandError('ERR the policy crdt is not available yet');
      if (conflict !== 'register' && conflict !== 'siblings') throw syntaxError();
      policy.conflict = conflict;
      return i + 2;
    }
    case 'TTL':
      policy.ttlMs = clampedIntegerOf(args, i + 1);
      if (policy.ttlMs < 1) throw new CommandError('ERR a ttl is a number of milliseconds above 0');
      return i + 2;
    default:
      throw syntaxError();
  }
}

export function policyReply(policy: Policy): Reply {
  const entries: [string, Reply][] = [['prefix', Buffer.from(policy.prefix, 'latin1')]];
  if (policy.level !== undefined) entries.push(['level', policy.level]);
  if (policy.r !== undefined) entries.push(['r', policy.r]);
  if (policy.w !== undefined) entries.push(['w', policy.w]);
  if (policy.conflict !== undefined) entries.push(['conflict', policy.conflict]);
  if (policy.ttlMs !== undefined) entries.push(['ttl', policy.ttlMs]);
  return new MapReply(entries);
}
