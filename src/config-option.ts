/**
 * What an option of the configuration is: how its words are read, how its value is shown, and when it may change.
 * The constructors below make the kinds that the table (`config-table.ts`) is written with. Error texts are those of
 * Redis 7.0's CONFIG SET.
 */

/** A value that an option refuses; the message is what CONFIG SET says after the dash. */
export class OptionError extends Error {
  override readonly name = 'OptionError';
}

/** `live`: CONFIG SET may change it. `start`: only the file or the command line. */
export type ChangeTime = 'live' | 'start';

export interface Option<T> {
  readonly initial: T;
  readonly change: ChangeTime;
  /** One line for `--help`; empty: not listed there. */
  readonly summary: string;
  /** Shown in the log when the option is set to something else than its initial value. */
  readonly warning?: string;
  /** True: CONFIG SET splits its value at blanks, a line of the file may have any number of words. */
  readonly manyWords: boolean;
  /**
   * The value that `words` mean; throws `OptionError`. `current` is the value so far, `repeated` says that this file or
   * command line has set the option before (lines of `save` add up).
   */
  parse(words: readonly string[], current: T, repeated: boolean): T;
  /** As CONFIG GET shows it. */
  format(value: T): string;
  /** As lines of words that `parse` reads back: what CONFIG REWRITE writes. None: nothing to write. */
  lines(value: T): readonly (readonly string[])[];
}

interface Common {
  readonly change?: ChangeTime;
  readonly summary?: string;
  readonly warning?: string;
}

export function single<T>(
  common: Common & { initial: T; parse(word: string, current: T): T; format(value: T): string },
): Option<T> {
  return {
    initial: common.initial,
    change: common.change ?? 'live',
    summary: common.summary ?? '',
    ...(common.warning === undefined ? {} : { warning: common.warning }),
    manyWords: false,
    parse(words, current) {
      const [word] = words;
      if (word === undefined || words.length !== 1) throw new OptionError('wrong number of arguments');
      return common.parse(word, current);
    },
    format: (value) => common.format(value),
    lines: (value) => [[common.format(value)]],
  };
}

/** Redis shows 64-bit limits; what lies above 2^53 is taken as 2^53 - 1. */
const INT64_MAX_TEXT = '9223372036854775807';
export const UNBOUNDED = Number.MAX_SAFE_INTEGER;

function range(min: number, max: number): string {
  const high = max === UNBOUNDED ? INT64_MAX_TEXT : String(max);
  return `argument must be between ${min} and ${high} inclusive`;
}

function inRange(value: number, min: number, max: number): number {
  if (value < min || value > max) throw new OptionError(range(min, max));
  return value;
}

function wholeNumber(word: string): number {
  if (!/^-?\d{1,19}$/.test(word)) throw new OptionError("argument couldn't be parsed into an integer");
  return Math.min(Number(word), UNBOUNDED);
}

export function integer(common: Common & { initial: number; min: number; max?: number }): Option<number> {
  const max = common.max ?? UNBOUNDED;
  return single({
    ...common,
    parse: (word) => inRange(wholeNumber(word), common.min, max),
    format: String,
  });
}

const UNIT_BYTES: Readonly<Record<string, number>> = {
  '': 1,
  b: 1,
  k: 1000,
  kb: 1024,
  m: 1000 ** 2,
  mb: 1024 ** 2,
  g: 1000 ** 3,
  gb: 1024 ** 3,
};

/** Bytes that a memory value such as `64mb` means (1k is 1000, 1kb is 1024, as in redis.conf), or undefined. */
export function memoryBytes(word: string): number | undefined {
  const match = /^(\d{1,19})([a-z]*)$/i.exec(word);
  const unit = UNIT_BYTES[(match?.[2] ?? '').toLowerCase()];
  if (match === null || unit === undefined) return undefined;
  return Math.min(Number(match[1]) * unit, UNBOUNDED);
}

export function memory(common: Common & { initial: number; min?: number; max?: number }): Option<number> {
  return single({
    ...common,
    parse(word) {
      const bytes = memoryBytes(word);
      if (bytes === undefined) throw new OptionError('argument must be a memory value');
      return inRange(bytes, common.min ?? 0, common.max ?? UNBOUNDED);
    },
    format: String,
  });
}

export function yesNo(common: Common & { initial: boolean }): Option<boolean> {
  return single({
    ...common,
    parse(word) {
      const lower = word.toLowerCase();
      if (lower !== 'yes' && lower !== 'no') throw new OptionError("argument must be 'yes' or 'no'");
      return lower === 'yes';
    },
    format: (value) => (value ? 'yes' : 'no'),
  });
}

export function choice<const T extends string>(
  common: Common & { initial: NoInfer<T>; choices: readonly T[] },
): Option<T> {
  return single<T>({
    ...common,
    parse(word) {
      const found = common.choices.find((choice) => choice === word.toLowerCase());
      if (found !== undefined) return found;
      throw new OptionError(`argument(s) must be one of the following: ${common.choices.join(', ')}`);
    },
    format: (value) => value,
  });
}

export function text(common: Common & { initial: string; check?(word: string): void }): Option<string> {
  return single({
    ...common,
    parse(word) {
      common.check?.(word);
      return word;
    },
    format: (value) => value,
  });
}

/** A value made of several words. */
export function words<T>(
  common: Common & {
    initial: T;
    parse(words: readonly string[], current: T, repeated: boolean): T;
    format(value: T): string;
    lines?(value: T): readonly (readonly string[])[];
  },
): Option<T> {
  return {
    initial: common.initial,
    change: common.change ?? 'live',
    summary: common.summary ?? '',
    ...(common.warning === undefined ? {} : { warning: common.warning }),
    manyWords: true,
    parse: (given, current, repeated) => common.parse(given, current, repeated),
    format: (value) => common.format(value),
    lines: (value) => common.lines?.(value) ?? [common.format(value).split(' ')],
  };
}

/**
 * A directive of Redis that has nothing to act on here: any value is taken, shown by CONFIG GET and written by CONFIG
 * REWRITE, so that existing files and test suites pass.
 */
export function inert(initial: string): Option<string> {
  return words({
    initial,
    parse: (given) => given.join(' '),
    format: (value) => value,
    lines: (value) => [value === '' ? [''] : value.split(' ')],
  });
}

/** A directive of Redis that can only have the values named here; any other is refused with the reason. */
export function fixed(initial: string, reason: string, also: readonly string[] = []): Option<string> {
  return words({
    initial,
    parse(given) {
      const value = given.join(' ');
      const allowed = [initial, ...also].some((one) => one.toLowerCase() === value.toLowerCase());
      if (!allowed) throw new OptionError(reason);
      return value;
    },
    format: (value) => value,
    lines: (value) => [value === '' ? [''] : value.split(' ')],
  });
}
