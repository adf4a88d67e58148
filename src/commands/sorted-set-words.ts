/** Scores, ranges of scores and ranges of strings as words of commands. */

import type { Args } from './args.ts';
import { CommandError, NOT_A_FLOAT } from './errors.ts';

/** Scores between two; `min` may be above `max`. */
export interface ScoreRange {
  readonly min: number;
  readonly max: number;
  readonly minExclusive: boolean;
  readonly maxExclusive: boolean;
}

/** Strings between two, or from the first or to the last there is. */
export interface LexRange {
  readonly min: Uint8Array | 'first' | 'last';
  readonly max: Uint8Array | 'first' | 'last';
  readonly minExclusive: boolean;
  readonly maxExclusive: boolean;
}

const NOT_A_SCORE_RANGE = 'ERR min or max is not a float';
const NOT_A_LEX_RANGE = 'ERR min or max not valid string range item';

/** Longest text of a score that is read. */
const MAX_SCORE_LENGTH = 1024;

/** Below this a number that is not 0 has lost digits, which strtod says as it says that one is too great. */
const LEAST_NORMAL = 2 ** -1022;

const DECIMAL = /^[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?$/i;
const HEXADECIMAL = /^([+-]?)0x(?:([\da-f]+)\.?([\da-f]*)|\.([\da-f]+))(?:p([+-]?\d+))?$/i;
const NAMED = /^([+-]?)(?:(inf(?:inity)?)|nan(?:\([a-z\d_]*\))?)$/i;

const OPEN = 0x28;
const BRACKET = 0x5b;
const PLUS = 0x2b;
const MINUS = 0x2d;

/** The number that all of `text` spells as C's strtod reads it (NaN too), else undefined. */
export function numberOfText(text: string): number | undefined {
  if (text.length > MAX_SCORE_LENGTH) return undefined;
  if (DECIMAL.test(text)) return Number(text);
  const named = NAMED.exec(text);
  if (named !== null) return named[2] === undefined ? Number.NaN : named[1] === '-' ? -Infinity : Infinity;
  const hexadecimal = HEXADECIMAL.exec(text);
  if (hexadecimal === null) return undefined;
  const [, sign, whole = '', fraction = '', onlyFraction = '', exponent = '0'] = hexadecimal;
  const digits = whole + fraction + onlyFraction;
  // Beyond 2^53 the digits are rounded one after another: a score with so many hexadecimal digits may be off by one bit.
  let value = 0;
  for (const digit of digits) value = value * 16 + Number.parseInt(digit, 16);
  value *= 2 ** (Number(exponent) - 4 * (fraction + onlyFraction).length);
  return sign === '-' ? -value : value;
}

/** Word i as a score. Throws `CommandError`. */
export function scoreAt(args: Args, i: number, message = NOT_A_FLOAT): number {
  const plain = smallIntegerAt(args, i);
  if (plain !== undefined) return plain;
  const text = args.text(i);
  const value = numberOfText(text);
  if (value === undefined || Number.isNaN(value)) throw new CommandError(message);
  const isNamed = /n/i.test(text);
  if (!isNamed && !Number.isFinite(value)) throw new CommandError(message);
  // What is too small to be written as a normal number is out of range as well, unless it is 0.
  if (Math.abs(value) < LEAST_NORMAL && /[1-9a-f]/i.test(text.replace(/[ep].*$/i, '').replace(/^[+-]?0x/i, ''))) {
    throw new CommandError(message);
  }
  return value;
}

/** Word i when it is a whole number of few digits, which most scores are. */
function smallIntegerAt({ bytes, starts, ends }: Args, i: number): number | undefined {
  const start = starts[i] as number;
  const end = ends[i] as number;
  if (end === start || end - start > 15) return undefined;
  let value = 0;
  for (let at = start; at < end; at++) {
    const digit = (bytes[at] as number) - 0x30;
    if (digit < 0 || digit > 9) return undefined;
    value = value * 10 + digit;
  }
  return value;
}

/** Words `min` and `max` as a range of scores. Throws `CommandError`. */
export function scoreRangeAt(args: Args, min: number, max: number): ScoreRange {
  const minExclusive = args.bytes[args.starts[min] as number] === OPEN && args.length(min) > 0;
  const maxExclusive = args.bytes[args.starts[max] as number] === OPEN && args.length(max) > 0;
  return { min: boundAt(args, min, minExclusive), max: boundAt(args, max, maxExclusive), minExclusive, maxExclusive };
}

/** As C reads a number in the middle of a text: blanks before it, nothing at all is 0, and a zero byte ends it. */
function boundAt(args: Args, i: number, exclusive: boolean): number {
  const [text = ''] = args
    .text(i)
    .slice(exclusive ? 1 : 0)
    .split('\0', 1);
  if (text === '') return 0;
  const value = numberOfText(text.replace(/^[ \t-\r]+/, ''));
  if (value === undefined || Number.isNaN(value)) throw new CommandError(NOT_A_SCORE_RANGE);
  return value;
}

/** Words `min` and `max` as a range of strings, whose bytes are the request's. Throws `CommandError`. */
export function lexRangeAt(args: Args, min: number, max: number): LexRange {
  const from = lexBoundAt(args, min);
  const to = lexBoundAt(args, max);
  return { min: from.bound, max: to.bound, minExclusive: from.exclusive, maxExclusive: to.exclusive };
}

function lexBoundAt(args: Args, i: number): { bound: Uint8Array | 'first' | 'last'; exclusive: boolean } {
  const word = args.at(i);
  const [first] = word;
  if (first === BRACKET || first === OPEN) return { bound: word.subarray(1), exclusive: first === OPEN };
  if (word.length === 1 && first === MINUS) return { bound: 'first', exclusive: true };
  if (word.length === 1 && first === PLUS) return { bound: 'last', exclusive: true };
  throw new CommandError(NOT_A_LEX_RANGE);
}
