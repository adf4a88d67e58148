/** Expiry of keys: EXPIRE and its kin, TTL and its kin, PERSIST. */

import type { Row, View } from '../repl/view.ts';
import type { Args } from './args.ts';
import type { Command } from './command.ts';
import { CommandError } from './errors.ts';
import { FIRST_KEY, keyCommand, keyDoc, rowAt } from './key-row.ts';
import { deadlineOf, EX, EXAT, type ExpiryUnit, optionName, PX, PXAT } from './options.ts';
import type { Reply } from './reply.ts';

const NO_KEY = -2;
const NO_DEADLINE = -1;

export const expiryCommands: readonly Command[] = [
  expireCommand('expire', EX, 'Makes a key expire after some seconds.', '1.0.0'),
  expireCommand('pexpire', PX, 'Makes a key expire after some milliseconds.', '2.6.0'),
  expireCommand('expireat', EXAT, 'Makes a key expire at a Unix time in seconds.', '1.2.0'),
  expireCommand('pexpireat', PXAT, 'Makes a key expire at a Unix time in milliseconds.', '2.6.0'),
  timeCommand('ttl', 'Returns the seconds until a key expires.', '1.0.0', (ms, nowMs) =>
    Math.floor((ms - nowMs + 500) / 1000),
  ),
  timeCommand('pttl', 'Returns the milliseconds until a key expires.', '2.6.0', (ms, nowMs) => ms - nowMs),
  timeCommand('expiretime', 'Returns the Unix time in seconds when a key expires.', '7.0.0', (ms) =>
    Math.floor((ms + 500) / 1000),
  ),
  timeCommand('pexpiretime', 'Returns the Unix time in milliseconds when a key expires.', '7.0.0', (ms) => ms),
  keyCommand({
    name: 'persist',
    arity: 2,
    flags: ['write', 'fast'],
    keys: FIRST_KEY,
    access: 'update',
    doc: keyDoc('Takes the expiry from a key.', '2.2.0'),
    run: persist,
  }),
];

function expireCommand(name: string, unit: ExpiryUnit, summary: string, since: string): Command {
  return keyCommand({
    name,
    arity: -3,
    flags: ['write', 'fast'],
    keys: FIRST_KEY,
    access: 'update',
    doc: keyDoc(summary, since),
    run: (view, args) => expire(view, args, unit, name),
  });
}

function timeCommand(
  name: string,
  summary: string,
  since: string,
  show: (deadlineMs: number, nowMs: number) => number,
): Command {
  return keyCommand({
    name,
    arity: 2,
    flags: ['readonly', 'fast'],
    keys: FIRST_KEY,
    access: 'read',
    doc: keyDoc(summary, since),
    run: (view, args) => {
      const row = rowAt(view, args, 1);
      if (!row.live) return NO_KEY;
      return row.expiresAtMs === 0 ? NO_DEADLINE : show(row.expiresAtMs, view.nowMs);
    },
  });
}

/** Conditions of EXPIRE. */
interface ExpireConditions {
  nx: boolean;
  xx: boolean;
  gt: boolean;
  lt: boolean;
}

function expire(view: View, args: Args, unit: ExpiryUnit, command: string): Reply {
  const conditions = expireConditions(args);
  const deadlineMs = deadlineOf(args, 2, unit, view.nowMs, command);
  const row = rowAt(view, args, 1);
  if (!row.live || !mayExpire(row, deadlineMs, conditions)) return 0;
  if (deadlineMs <= view.nowMs) view.remove(row);
  else view.setExpiry(row, deadlineMs);
  return 1;
}

function expireConditions(args: Args): ExpireConditions {
  const conditions = { nx: false, xx: false, gt: false, lt: false };
  for (let i = 3; i < args.count; i++) {
    const name = optionName(args, i);
    if (name === 'NX') conditions.nx = true;
    else if (name === 'XX') conditions.xx = true;
    else if (name === 'GT') conditions.gt = true;
    else if (name === 'LT') conditions.lt = true;
    else throw new CommandError(`ERR Unsupported option ${args.text(i)}`);
  }
  const { nx, xx, gt, lt } = conditions;
  if (nx && (xx || gt || lt)) {
    throw new CommandError('ERR NX and XX, GT or LT options at the same time are not compatible');
  }
  if (gt && lt) throw new CommandError('ERR GT and LT options at the same time are not compatible');
  return conditions;
}

/** A key without a deadline counts as one that expires last of all. */
function mayExpire(row: Row, deadlineMs: number, { nx, xx, gt, lt }: ExpireConditions): boolean {
  const current = row.expiresAtMs;
  if (nx && current !== 0) return false;
  if (xx && current === 0) return false;
  if (gt && (current === 0 || deadlineMs <= current)) return false;
  return !(lt && current !== 0 && deadlineMs >= current);
}

function persist(view: View, args: Args): Reply {
  const row = rowAt(view, args, 1);
  if (!row.live || row.expiresAtMs === 0) return 0;
  view.setExpiry(row, 0);
  return 1;
}
