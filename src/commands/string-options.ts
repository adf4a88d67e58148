/** The options of SET, GETEX and MSETEX. */

import type { View } from '../repl/view.ts';
import type { Args } from './args.ts';
import { type ExpiryUnit, expiryUnit, optionName, positiveDeadlineOf, syntaxError } from './options.ts';
import { type Comparison, isComparison } from './string-compare.ts';

export interface StringOptions {
  /** NX and XX. */
  readonly existence: 'any' | 'absent' | 'present';
  /** IFEQ and the like; `comparisonAt` is the word that it compares with. */
  readonly comparison: Comparison | undefined;
  readonly comparisonAt: number;
  readonly get: boolean;
  /** How the row expires afterwards; `timed`: word `timeAt` says when, in `unit`. */
  readonly expiry: 'none' | 'timed' | 'keep' | 'persist';
  readonly unit: ExpiryUnit | undefined;
  readonly timeAt: number;
}

type Writable<T> = { -readonly [K in keyof T]: T[K] };

/**
 * The options from word `from` on. One condition and one expiry at most; naming the same again is allowed, as in
 * Redis, and the last one counts. Throws `CommandError`.
 */
export function stringOptions(args: Args, from: number, command: 'set' | 'getex' | 'msetex'): StringOptions {
  const options: Writable<StringOptions> = {
    existence: 'any',
    comparison: undefined,
    comparisonAt: 0,
    get: false,
    expiry: 'none',
    unit: undefined,
    timeAt: 0,
  };
  for (let i = from; i < args.count; i++) i = readOption(options, args, i, command);
  return options;
}

/** Reads the option at word i; returns the last word that belongs to it. */
function readOption(options: Writable<StringOptions>, args: Args, i: number, command: string): number {
  const name = optionName(args, i);
  if (command !== 'getex' && (name === 'NX' || name === 'XX')) {
    setExistence(options, name === 'NX' ? 'absent' : 'present');
    return i;
  }
  if (command === 'set' && name === 'GET') {
    options.get = true;
    return i;
  }
  if (command === 'set' && isComparison(name)) return setComparison(options, args, i, name);
  if ((command !== 'getex' && name === 'KEEPTTL') || (command === 'getex' && name === 'PERSIST')) {
    const expiry = name === 'KEEPTTL' ? 'keep' : 'persist';
    if (options.expiry !== 'none' && options.expiry !== expiry) throw syntaxError();
    options.expiry = expiry;
    return i;
  }
  const unit = expiryUnit(name);
  if (unit === undefined || i + 1 >= args.count) throw syntaxError();
  if (options.expiry !== 'none' && options.unit !== unit) throw syntaxError();
  options.expiry = 'timed';
  options.unit = unit;
  options.timeAt = i + 1;
  return i + 1;
}

function setExistence(options: Writable<StringOptions>, existence: 'absent' | 'present'): void {
  if (options.comparison !== undefined) throw syntaxError();
  if (options.existence !== 'any' && options.existence !== existence) throw syntaxError();
  options.existence = existence;
}

function setComparison(options: Writable<StringOptions>, args: Args, i: number, name: Comparison): number {
  if (options.existence !== 'any' || options.comparison !== undefined || i + 1 >= args.count) throw syntaxError();
  options.comparison = name;
  options.comparisonAt = i + 1;
  return i + 1;
}

/** The deadline that the options ask for in ms since 1970, 0 for none. Throws `CommandError`. */
export function deadlineOfOptions(view: View, args: Args, options: StringOptions, command: string): number {
  if (options.unit === undefined) return 0;
  return positiveDeadlineOf(args, options.timeAt, options.unit, view.nowMs, command);
}
