/**
 * The configuration of a node: the values of all options, where they came from, and how they change while it runs.
 *
 * Invariants: every value was accepted by its option's `parse`; a CONFIG SET changes all of its options or none;
 * whoever keeps a copy of a value hears of its change through `onChange`.
 */

import type { Disk } from './env.ts';
import {
  ConfigError,
  type ConfigProblem,
  type Directive,
  directivesOfArguments,
  readConfigFile,
  readText,
} from './config-file.ts';
import { type Option, OptionError } from './config-option.ts';
import { ALIASES, REFUSED_DIRECTIVES, redisOptions } from './config-redis.ts';
import { rewriteText } from './config-rewrite.ts';
import { type OptionName, options, type OptionValue, type Values } from './config-table.ts';
import { globMatches } from './config-glob.ts';
import { nearestName } from './config-nearest-name.ts';

export { ConfigError } from './config-file.ts';

/** A failed CONFIG SET; the message is Redis's, ready to be the reply. */
export class ConfigSetError extends Error {
  override readonly name = 'ConfigSetError';
}

/** A listener may refuse a new value by throwing `OptionError`: then the whole CONFIG SET is undone. */
export type ChangeListener<T> = (value: T) => void | Promise<void>;

const ALL: ReadonlyMap<string, Option<unknown>> = new Map<string, Option<unknown>>(
  Object.entries({ ...options, ...redisOptions } as Readonly<Record<string, Option<unknown>>>),
);

const ALL_NAMES: readonly string[] = [...ALL.keys(), ...Object.keys(ALIASES), ...Object.keys(REFUSED_DIRECTIVES)];

/** Options whose change while running needs `enable-protected-configs`; they are fixed at the start here. */
const PROTECTED = new Set(['dir', 'dbfilename', 'enable-debug-command', 'enable-protected-configs']);

export class Config {
  /** Path of the file, when there is one. */
  readonly path: string | undefined;
  /** Warnings about directives that were taken and do nothing, for the log. */
  readonly warnings: readonly string[];
  private readonly current = new Map<string, unknown>();
  private readonly listeners = new Map<string, ChangeListener<unknown>[]>();

  private constructor(path: string | undefined, directives: readonly Directive[], problems: ConfigProblem[]) {
    this.path = path;
    for (const [name, option] of ALL) this.current.set(name, option.initial);
    const seen = new Set<string>();
    const warnings: string[] = [];
    for (const directive of directives) this.apply(directive, seen, problems, warnings);
    if (problems.length > 0) throw new ConfigError(problems);
    this.warnings = warnings;
  }

  /** Reads the file, then the `--directive word …` arguments on top. Throws `ConfigError` with all that is wrong. */
  static load(disk: Disk, options: { path?: string | undefined; args?: readonly string[] }): Config {
    const problems: ConfigProblem[] = [];
    const directives = options.path === undefined ? [] : readConfigFile(disk, options.path, problems);
    const flags = directivesOfArguments(options.args ?? [], problems);
    const flagNames = new Set(flags.map((flag) => flag.name));
    // A flag replaces what the file says; only flags of one name add up among themselves.
    const fromFile = directives.filter((directive) => !flagNames.has(directive.name));
    return new Config(options.path, [...fromFile, ...flags], problems);
  }

  /** Nothing but initial values: for tests and tools. */
  static initial(): Config {
    return new Config(undefined, [], []);
  }

  get<Name extends OptionName>(name: Name): OptionValue<Name> {
    return this.current.get(name) as Values[Name];
  }

  /** Calls `listener` after each change of the option, until the node ends. */
  onChange<Name extends OptionName>(name: Name, listener: ChangeListener<OptionValue<Name>>): void {
    const list = this.listeners.get(name) ?? [];
    list.push(listener as ChangeListener<unknown>);
    this.listeners.set(name, list);
  }

  /** Calls `listener` with the value now and after each change. */
  follow<Name extends OptionName>(name: Name, listener: (value: OptionValue<Name>) => void): void {
    listener(this.get(name));
    this.onChange(name, listener);
  }

  /** CONFIG GET: names that match any of the patterns, each once, and their values. */
  matching(patterns: readonly string[]): [name: string, value: string][] {
    const names = [...ALL.keys(), ...Object.keys(ALIASES)];
    const found = new Set<string>();
    for (const pattern of patterns) {
      // A plain name comes back as it was written, in whatever case.
      if (/[*?[\\]/.test(pattern)) {
        for (const name of names) if (globMatches(pattern, name, true)) found.add(name);
      } else if (optionOf(pattern) !== undefined) found.add(pattern);
    }
    return [...found].map((name) => [name, this.shown(name)]);
  }

  /** CONFIG SET: all of the pairs, or none. Rejects with `ConfigSetError`. */
  async set(pairs: readonly (readonly [name: string, value: string])[]): Promise<void> {
    const changes = this.plan(pairs);
    const before = new Map([...changes.keys()].map((name) => [name, this.current.get(name)]));
    for (const [name, value] of changes) this.current.set(name, value);
    for (const [name, value] of changes) {
      try {
        for (const listener of this.listeners.get(name) ?? []) await listener(value);
      } catch (error) {
        if (!(error instanceof OptionError)) throw error;
        await this.restore(before);
        throw setError(name, error.message);
      }
    }
  }

  /** CONFIG REWRITE: writes the values into the file, which keeps its comments and its order. */
  rewrite(disk: Disk): void {
    if (this.path === undefined) throw new ConfigSetError('ERR The server is running without a config file');
    const text = rewriteText(readText(disk, this.path, this.path), ALL, this.current, ALIASES);
    const temporary = `${this.path}.rewrite-tmp`;
    if (disk.exists(temporary)) disk.unlink(temporary);
    const file = disk.open(temporary, 'create');
    try {
      file.writeSync(Buffer.from(text), 0);
      file.syncSync();
    } finally {
      file.close();
    }
    disk.rename(temporary, this.path);
    const slash = this.path.lastIndexOf('/');
    disk.syncDirectory(slash < 0 ? '.' : this.path.slice(0, Math.max(slash, 1)));
  }

  /** The values that a CONFIG SET would give, by name; throws without changing anything. */
  private plan(pairs: readonly (readonly [string, string])[]): Map<string, unknown> {
    const changes = new Map<string, unknown>();
    for (const [given] of pairs) {
      if (optionOf(given) !== undefined) continue;
      throw new ConfigSetError(`ERR Unknown option or number of arguments for CONFIG SET - '${given}'`);
    }
    for (const [given, value] of pairs) {
      const { name, option } = optionOf(given) as NamedOption;
      if (PROTECTED.has(name)) throw setError(given, "can't set protected config");
      if (option.change === 'start') throw setError(given, "can't set immutable config");
      if (changes.has(name)) throw setError(given, 'duplicate parameter');
      const words = option.manyWords ? value.split(/\s+/).filter((word) => word !== '') : [value];
      try {
        changes.set(name, option.parse(words, this.current.get(name), false));
      } catch (error) {
        if (error instanceof OptionError) throw setError(given, error.message);
        throw error;
      }
    }
    return changes;
  }

  private async restore(before: ReadonlyMap<string, unknown>): Promise<void> {
    for (const [name, value] of before) this.current.set(name, value);
    for (const [name, value] of before) {
      for (const listener of this.listeners.get(name) ?? []) await listener(value);
    }
  }

  private apply(directive: Directive, seen: Set<string>, problems: ConfigProblem[], warnings: string[]): void {
    const { place } = directive;
    const refused = REFUSED_DIRECTIVES[directive.name];
    const found = optionOf(directive.name);
    if (refused !== undefined || found === undefined) {
      problems.push({
        place,
        message: refused === undefined ? unknown(directive.name) : `'${directive.name}': ${refused}`,
      });
      return;
    }
    const { name, option } = found;
    try {
      this.current.set(name, option.parse(directive.words, this.current.get(name), seen.has(name)));
    } catch (error) {
      if (!(error instanceof OptionError)) throw error;
      const given = [directive.name, ...directive.words].join(' ');
      problems.push({ place, message: `'${given}': ${error.message} (initially: ${option.format(option.initial)})` });
      return;
    }
    seen.add(name);
    if (option.warning !== undefined && this.shown(name) !== option.format(option.initial)) {
      warnings.push(`${place}: ${option.warning}`);
    }
  }

  private shown(name: string): string {
    const { name: real, option } = optionOf(name) as NamedOption;
    return option.format(this.current.get(real));
  }
}

interface NamedOption {
  readonly name: string;
  readonly option: Option<unknown>;
}

/** The option of this name or alias, in any case. */
function optionOf(given: string): NamedOption | undefined {
  const lower = given.toLowerCase();
  const name = ALIASES[lower] ?? lower;
  const option = ALL.get(name);
  return option === undefined ? undefined : { name, option };
}

function setError(name: string, message: string): ConfigSetError {
  return new ConfigSetError(`ERR CONFIG SET failed (possibly related to argument '${name}') - ${message}`);
}

function unknown(name: string): string {
  const near = nearestName(name, ALL_NAMES);
  return `unknown directive '${name}'${near === undefined ? '; see --help' : `: did you mean '${near}'?`}`;
}
