/** Deadlines of single fields (Redis 7.4): HEXPIRE, HTTL, HPERSIST and their kin. Where they stand: repl/field-deadlines.ts. */

import { rowType } from '../repl/head.ts';
import type { View } from '../repl/view.ts';
import type { Args } from './args.ts';
import { removeIfEmpty, typedRowAt } from './collection-row.ts';
import type { Command } from './command.ts';
import { CommandError, invalidExpire } from './errors.ts';
import { fieldKeyAt, fieldsAt, fieldsOf, type HashFields } from './hash-fields.ts';
import { hashCommand, hashDoc } from './hash-plain.ts';
import { int64Of, parseInt64 } from './number.ts';
import { EX, EXAT, type ExpiryUnit, optionName, PX, PXAT } from './options.ts';
import type { Reply } from './reply.ts';

/** Latest deadline of a field, in ms since 1970, as in Redis. */
const DEADLINE_MAX_MS = 2 ** 46 - 1;

/** What the commands answer for each field. */
const answer = { NO_FIELD: -2, NO_DEADLINE: -1, NOT_MET: 0, SET: 1, DELETED: 2 } as const;

export const NUMBER_OF_FIELDS = 'ERR Number of fields must be a positive integer';

export const expiryHashCommands: readonly Command[] = [
  expire('hexpire', 'Sets how long fields live, in seconds.', EX),
  expire('hpexpire', 'Sets how long fields live, in milliseconds.', PX),
  expire('hexpireat', 'Sets when fields end, in seconds since 1970.', EXAT),
  expire('hpexpireat', 'Sets when fields end, in milliseconds since 1970.', PXAT),
  ttl('httl', 'Returns how long fields have to live, in seconds.', EX),
  ttl('hpttl', 'Returns how long fields have to live, in milliseconds.', PX),
  ttl('hexpiretime', 'Returns when fields end, in seconds since 1970.', EXAT),
  ttl('hpexpiretime', 'Returns when fields end, in milliseconds since 1970.', PXAT),
  hashCommand({
    name: 'hpersist',
    arity: -5,
    flags: ['write', 'fast'],
    access: 'update',
    doc: hashDoc('Removes the deadlines of fields.', '7.4.0', 'O(N) for N fields'),
    run: persist,
  }),
];

function expire(name: string, summary: string, unit: ExpiryUnit): Command {
  return hashCommand({
    name,
    arity: -6,
    flags: ['write', 'denyoom', 'fast'],
    access: 'update',
    doc: hashDoc(summary, '7.4.0', 'O(N) for N fields'),
    run: (view, args) => setDeadlines(view, args, name, unit),
  });
}

function ttl(name: string, summary: string, unit: ExpiryUnit): Command {
  return hashCommand({
    name,
    arity: -5,
    flags: ['readonly', 'fast'],
    access: 'read',
    doc: hashDoc(summary, '7.4.0', 'O(N) for N fields'),
    run: (view, args) => readDeadlines(view, args, unit),
  });
}

/** The deadline that word i asks for, in ms since 1970. Throws `CommandError`. */
export function fieldDeadlineOf(args: Args, i: number, unit: ExpiryUnit, nowMs: number, command: string): number {
  const time = int64Of(args, i);
  if (time < 0) throw new CommandError('ERR invalid expire time, must be >= 0');
  const baseMs = unit.absolute ? 0 : nowMs;
  const ms = Number(time) * (unit.seconds ? 1000 : 1);
  if (ms > DEADLINE_MAX_MS - baseMs) throw new CommandError(invalidExpire(command));
  return ms + baseMs;
}

/**
 * The word of the first field, where FIELDS must stand at word `at`, then their number, and then as many
 * words up to the end. Throws `CommandError`, with `numberError` for a number that is none.
 */
export function firstFieldAfter(args: Args, at: number, numberError: string): number {
  if (at + 1 >= args.count || optionName(args, at) !== 'FIELDS') {
    throw new CommandError('ERR Mandatory argument FIELDS is missing or not at the right position');
  }
  const count = parseInt64(args.bytes, args.starts[at + 1] as number, args.ends[at + 1] as number);
  if (count === undefined || count < 1) throw new CommandError(numberError);
  if (count !== args.count - at - 2) {
    throw new CommandError('ERR The `numfields` parameter must match the number of arguments');
  }
  return at + 2;
}

type Condition = 'NX' | 'XX' | 'GT' | 'LT';

function conditionOf(args: Args, i: number): Condition | undefined {
  const name = optionName(args, i);
  return name === 'NX' || name === 'XX' || name === 'GT' || name === 'LT' ? name : undefined;
}

function isMet(condition: Condition | undefined, deadlineMs: number, newMs: number): boolean {
  if (condition === undefined) return true;
  if (deadlineMs === 0) return condition === 'NX' || condition === 'LT';
  if (condition === 'GT') return newMs > deadlineMs;
  if (condition === 'LT') return newMs < deadlineMs;
  return condition === 'XX';
}

function setDeadlines(view: View, args: Args, name: string, unit: ExpiryUnit): Reply {
  const row = typedRowAt(view, args, 1, rowType.HASH);
  const deadlineMs = fieldDeadlineOf(args, 2, unit, view.nowMs, name);
  const condition = conditionOf(args, 3);
  const first = firstFieldAfter(
    args,
    condition === undefined ? 3 : 4,
    'ERR Parameter `numFields` should be greater than 0',
  );
  const fields = row.live ? fieldsOf(view, row) : undefined;
  const answers: Reply[] = [];
  for (let i = first; i < args.count; i++) {
    const key = fieldKeyAt(args, i);
    if (fields?.get(key) === undefined) answers.push(answer.NO_FIELD);
    else if (!isMet(condition, fields.deadline(key), deadlineMs)) answers.push(answer.NOT_MET);
    else answers.push(endAt(fields, key, deadlineMs, view.nowMs) ? answer.SET : answer.DELETED);
  }
  removeIfEmpty(view, row);
  return answers;
}

/** Gives a field that is there a deadline; one that has passed deletes it, and the answer is false. Throws `Miss`. */
export function endAt(fields: HashFields, key: Uint8Array, deadlineMs: number, nowMs: number): boolean {
  if (deadlineMs > nowMs) fields.setDeadline(key, deadlineMs);
  else fields.delete(key);
  return deadlineMs > nowMs;
}

function readDeadlines(view: View, args: Args, unit: ExpiryUnit): Reply {
  const fields = fieldsAt(view, args);
  const answers: Reply[] = [];
  for (let i = firstFieldAfter(args, 2, NUMBER_OF_FIELDS); i < args.count; i++) {
    const key = fieldKeyAt(args, i);
    if (fields?.get(key) === undefined) answers.push(answer.NO_FIELD);
    else answers.push(shown(fields.deadline(key), unit, view.nowMs));
  }
  return answers;
}

function shown(deadlineMs: number, unit: ExpiryUnit, nowMs: number): number {
  if (deadlineMs === 0) return answer.NO_DEADLINE;
  const ms = unit.absolute ? deadlineMs : deadlineMs - nowMs;
  return unit.seconds ? Math.floor((ms + 999) / 1000) : ms;
}

function persist(view: View, args: Args): Reply {
  const row = typedRowAt(view, args, 1, rowType.HASH);
  const first = firstFieldAfter(args, 2, NUMBER_OF_FIELDS);
  const fields = row.live ? fieldsOf(view, row) : undefined;
  const answers: Reply[] = [];
  for (let i = first; i < args.count; i++) {
    const key = fieldKeyAt(args, i);
    if (fields?.get(key) === undefined) answers.push(answer.NO_FIELD);
    else if (fields.deadline(key) === 0) answers.push(answer.NO_DEADLINE);
    else {
      fields.setDeadline(key, 0);
      answers.push(answer.SET);
    }
  }
  removeIfEmpty(view, row);
  return answers;
}
