/** Shapes that the rows of connection and server commands share. */

import { CommandError, SYNTAX_ERROR } from './errors.ts';
import type { Args } from './args.ts';
import type { Command, CommandFlag, KeyRange, Run } from './command.ts';
import { clampToSafe, parseInt64 } from './number.ts';
import { type Reply, SimpleString } from './reply.ts';

export interface PlainRow {
  readonly name: string;
  readonly arity: number;
  readonly flags: readonly CommandFlag[];
  readonly summary: string;
  readonly since: string;
  readonly complexity?: string;
  readonly categories?: readonly string[];
  readonly keys?: KeyRange;
  readonly run: Run;
}

/** A command that touches no row (or only looks, with `access`). */
export function plainRow(group: string, row: PlainRow, access: Command['access'] = 'none'): Command {
  const { summary, since, complexity = 'O(1)', categories = [], keys, ...rest } = row;
  return {
    ...rest,
    ...(keys === undefined ? {} : { keys }),
    access,
    categories,
    doc: { summary, since, group, complexity },
  };
}

export const FAST: readonly CommandFlag[] = ['loading', 'stale', 'fast'];
export const ADMIN: readonly CommandFlag[] = ['admin', 'noscript', 'loading', 'stale'];
export const OPEN: readonly CommandFlag[] = ['noscript', 'loading', 'stale'];
export const EARLY: readonly CommandFlag[] = ['noscript', 'loading', 'stale', 'fast', 'no_auth', 'allow_busy'];

/** A command that only groups others: CONFIG, CLIENT. */
export function container(options: {
  name: string;
  group: string;
  since: string;
  summary: string;
  categories?: readonly string[];
  subcommands: readonly Command[];
  help: readonly string[];
}): Command {
  const { name, group, since, summary, categories = [] } = options;
  const upper = name.toUpperCase();
  const lines = [
    `${upper} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:`,
    ...options.help,
    'HELP',
    '    Prints this help.',
  ].map((line) => new SimpleString(line));
  const help = plainRow(group, {
    name: 'help',
    arity: 2,
    flags: ['loading', 'stale'],
    categories,
    since,
    summary: `Lists the subcommands of ${upper}.`,
    run: () => lines,
  });
  return {
    name,
    arity: -2,
    flags: [],
    access: 'none',
    categories: [],
    doc: { summary, since, group, complexity: 'Depends on the subcommand.' },
    subcommands: [...options.subcommands, help],
  };
}

/** Word i as an integer between the limits, or the error; what is beyond 2^53 counts as 2^53 − 1. */
export function integerOf(
  args: Args,
  i: number,
  message: string,
  min: number | bigint = 0,
  max = Number.MAX_SAFE_INTEGER,
): number {
  const value = parseInt64(args.bytes, args.starts[i] as number, args.ends[i] as number);
  if (value === undefined || value < min) throw new CommandError(message);
  const clamped = clampToSafe(value);
  if (clamped > max) throw new CommandError(message);
  return clamped;
}

export function syntaxError(): CommandError {
  return new CommandError(SYNTAX_ERROR);
}

/** Too many words of a subcommand, where Redis has no more to say than this. */
export function wrongSubcommand(args: Args): CommandError {
  return new CommandError(
    `ERR unknown subcommand or wrong number of arguments for '${args.text(1).slice(0, 128)}'. Try ${args.upper(0)} HELP.`,
  );
}

/** Refuses every call with the same error. */
export function refusing(message: string): Run {
  return (): Reply => {
    throw new CommandError(message);
  };
}
