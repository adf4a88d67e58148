/** Options that several commands share: expiry, and the names of options in any case. */

import type { Args } from './args.ts';
import { CommandError, invalidExpire, SYNTAX_ERROR } from './errors.ts';
import { clampToSafe, INT64_MAX, INT64_MIN, int64Of } from './number.ts';

/** How an expiry is written: seconds or milliseconds, from now or since 1970. */
export interface ExpiryUnit {
  readonly seconds: boolean;
  readonly absolute: boolean;
}

export const EX: ExpiryUnit = { seconds: true, absolute: false };
export const PX: ExpiryUnit = { seconds: false, absolute: false };
export const EXAT: ExpiryUnit = { seconds: true, absolute: true };
export const PXAT: ExpiryUnit = { seconds: false, absolute: true };

/** The unit of the option EX, PX, EXAT or PXAT; `name` in upper case. */
export function expiryUnit(name: string): ExpiryUnit | undefined {
  switch (name) {
    case 'EX':
      return EX;
    case 'PX':
      return PX;
    case 'EXAT':
      return EXAT;
    case 'PXAT':
      return PXAT;
    default:
      return undefined;
  }
}

/**
 * The deadline that word `at` asks for, in ms since 1970, clamped to safe integers (years beyond 285,000).
 * Throws `CommandError` when the word is no integer or the deadline does not fit into 64 bits.
 */
export function deadlineOf(args: Args, at: number, unit: ExpiryUnit, nowMs: number, command: string): number {
  const time = int64Of(args, at);
  if (typeof time === 'number') {
    const deadline = (unit.seconds ? time * 1000 : time) + (unit.absolute ? 0 : nowMs);
    if (Number.isSafeInteger(deadline)) return deadline;
  }
  let deadline = BigInt(time);
  if (unit.seconds) deadline *= 1000n;
  if (deadline > INT64_MAX || deadline < INT64_MIN) throw new CommandError(invalidExpire(command));
  if (!unit.absolute) deadline += BigInt(nowMs);
  if (deadline > INT64_MAX) throw new CommandError(invalidExpire(command));
  const safe = Number(deadline);
  return Number.isSafeInteger(safe) ? safe : clampToSafe(deadline);
}

/** As `deadlineOf`, for commands that take only times above 0 (SET, GETEX, SETEX, …). */
export function positiveDeadlineOf(args: Args, at: number, unit: ExpiryUnit, nowMs: number, command: string): number {
  if (int64Of(args, at) <= 0) throw new CommandError(invalidExpire(command));
  return deadlineOf(args, at, unit, nowMs, command);
}

export function syntaxError(): CommandError {
  return new CommandError(SYNTAX_ERROR);
}

/** Longest option name of any command; a longer word is none. */
const MAX_OPTION_LENGTH = 16;

/** Word i in upper case if it can be the name of an option, else the empty string. */
export function optionName(args: Args, i: number): string {
  return args.length(i) > MAX_OPTION_LENGTH ? '' : args.upper(i);
}
