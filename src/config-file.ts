/**
 * Text of a redis.conf and arguments of the command line → directives with their place.
 *
 * A line is blank, a comment (its first character is `#`), or a name and its words, split at blanks; "double quotes"
 * understand `\n \r \t \b \a \xHH \"`, 'single quotes' only `\'`. `include` takes a path, whose last part may have `*`
 * and `?`. On the command line `--name` begins a directive and what follows up to the next `--` are its words.
 */

import { basename, dirname, join } from 'node:path';
import type { Disk } from './env.ts';
import { DiskError } from './env.ts';
import { globMatches } from './config-glob.ts';

/** A file larger than this is no configuration. */
export const CONFIG_FILE_MAX_BYTES = 4 * 1024 * 1024;
/** An include inside an include, and so on, to this depth: more is a circle. */
export const INCLUDE_MAX_DEPTH = 16;

/** Where a directive stands: `kvorum.conf:12`, or `command line`. */
export interface Directive {
  readonly place: string;
  /** Lower case. */
  readonly name: string;
  readonly words: readonly string[];
}

/** What is wrong with a configuration: where, and what would be right. */
export interface ConfigProblem {
  readonly place: string;
  readonly message: string;
}

/** The configuration cannot be used. `problems` has all of what is wrong with it, not only the first. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  readonly problems: readonly ConfigProblem[];
  constructor(problems: readonly ConfigProblem[]) {
    super(problems.map(({ place, message }) => `${place}: ${message}`).join('\n'));
    this.problems = problems;
  }
}

const ESCAPES: Readonly<Record<string, string>> = { n: '\n', r: '\r', t: '\t', b: '\b', a: '\u0007' };

function isBlank(character: string | undefined): boolean {
  return character !== undefined && /\s/.test(character);
}

/** One quoted or bare word of `line` from `start`, and where it ends. */
function readWord(line: string, start: number): { word: string; end: number } | undefined {
  let at = start;
  let word = '';
  while (at < line.length && !isBlank(line[at])) {
    const quote = line[at] as string;
    if (quote !== '"' && quote !== "'") {
      word += quote;
      at++;
      continue;
    }
    const quoted = readQuoted(line, at + 1, quote);
    if (quoted === undefined || (quoted.end < line.length && !isBlank(line[quoted.end]))) return undefined;
    word += quoted.text;
    at = quoted.end;
  }
  return { word, end: at };
}

function readQuoted(line: string, start: number, quote: string): { text: string; end: number } | undefined {
  let text = '';
  for (let at = start; at < line.length; at++) {
    const character = line[at] as string;
    if (character === quote) return { text, end: at + 1 };
    const next = line[at + 1];
    if (character !== '\\' || next === undefined || (quote === "'" && next !== "'")) {
      text += character;
      continue;
    }
    const hex = quote === '"' ? /^x([0-9a-fA-F]{2})/.exec(line.slice(at + 1, at + 4)) : null;
    text +=
      hex === null ? (quote === '"' ? (ESCAPES[next] ?? next) : next) : String.fromCharCode(Number(`0x${hex[1]}`));
    at += hex === null ? 1 : 3;
  }
  return undefined;
}

/** The words of one line, or undefined when its quotes are unbalanced. Characters are bytes (latin1). */
export function splitWords(line: string): string[] | undefined {
  const words: string[] = [];
  for (let at = 0; ;) {
    while (isBlank(line[at])) at++;
    if (at >= line.length) return words;
    const read = readWord(line, at);
    if (read === undefined) return undefined;
    words.push(read.word);
    at = read.end;
  }
}

/** `word` as it has to stand in a line to be read back the same. */
export function quoteWord(word: string): string {
  if (/^[\w./:@%+,*<>=!?~^|&;()[\]{}$-]+$/.test(word)) return word;
  let quoted = '';
  for (const byte of Buffer.from(word)) {
    if (byte === 0x22 || byte === 0x5c) quoted += `\\${String.fromCharCode(byte)}`;
    else if (byte < 0x20 || byte === 0x7f) quoted += `\\x${byte.toString(16).padStart(2, '0')}`;
    else quoted += String.fromCharCode(byte);
  }
  return `"${Buffer.from(quoted, 'latin1').toString('utf8')}"`;
}

/** Whole text of a file. Throws `ConfigError`. */
export function readText(disk: Disk, path: string, place: string): string {
  try {
    const file = disk.open(path, 'read');
    try {
      const size = file.size();
      if (size > CONFIG_FILE_MAX_BYTES) {
        throw new ConfigError([{ place, message: `'${path}' is larger than ${CONFIG_FILE_MAX_BYTES} bytes` }]);
      }
      const bytes = Buffer.alloc(size);
      return bytes.toString('utf8', 0, file.readSync(bytes, 0));
    } finally {
      file.close();
    }
  } catch (error) {
    if (!(error instanceof DiskError)) throw error;
    throw new ConfigError([{ place, message: `cannot read '${path}': ${error.message}` }]);
  }
}

/** Directives of one text; problems of lines that cannot be split are added to `problems`. */
export function directivesOf(text: string, source: string, problems: ConfigProblem[]): Directive[] {
  const directives: Directive[] = [];
  text.split('\n').forEach((raw, index) => {
    const line = raw.trim();
    if (line === '' || line.startsWith('#')) return;
    const place = `${source}:${index + 1}`;
    const words = splitWords(Buffer.from(line, 'utf8').toString('latin1'));
    const [name, ...rest] = (words ?? []).map((word) => Buffer.from(word, 'latin1').toString('utf8'));
    if (name === undefined) problems.push({ place, message: 'unbalanced quotes' });
    else directives.push({ place, name: name.toLowerCase(), words: rest });
  });
  return directives;
}

/** Directives of a file, with those of the files it includes in their place. Throws `ConfigError`. */
export function readConfigFile(disk: Disk, path: string, problems: ConfigProblem[]): Directive[] {
  return readNested(disk, path, path, problems, 0);
}

function readNested(disk: Disk, path: string, place: string, problems: ConfigProblem[], depth: number): Directive[] {
  const directives = directivesOf(readText(disk, path, place), path, problems);
  return directives.flatMap((directive) => {
    if (directive.name !== 'include') return [directive];
    const pattern = directive.words[0];
    if (pattern === undefined || directive.words.length !== 1) {
      problems.push({ place: directive.place, message: 'include takes one path' });
      return [];
    }
    if (depth + 1 > INCLUDE_MAX_DEPTH) {
      problems.push({ place: directive.place, message: `more than ${INCLUDE_MAX_DEPTH} files include each other` });
      return [];
    }
    return matchingFiles(disk, pattern).flatMap((file) => readNested(disk, file, directive.place, problems, depth + 1));
  });
}

/** Files that an include names, in alphabetical order; a path without wildcards is itself. */
function matchingFiles(disk: Disk, pattern: string): string[] {
  if (!/[*?[]/.test(pattern)) return [pattern];
  const directory = dirname(pattern);
  if (!disk.exists(directory)) return [];
  return disk
    .list(directory)
    .filter((name) => globMatches(basename(pattern), name))
    .map((name) => join(directory, name));
}

/** Directives of `--name word …` arguments; words before the first `--name` are a problem. */
export function directivesOfArguments(args: readonly string[], problems: ConfigProblem[]): Directive[] {
  const directives: { place: string; name: string; words: string[] }[] = [];
  for (const arg of args) {
    const last = directives.at(-1);
    // `--name=value` is not Redis's, but what most people try first.
    const match = /^--([A-Za-z][\w-]*)(?:=(.*))?$/s.exec(arg);
    if (match !== null) {
      const name = (match[1] as string).toLowerCase();
      directives.push({ place: `--${name}`, name, words: match[2] === undefined ? [] : [match[2]] });
    } else if (last === undefined) problems.push({ place: 'command line', message: `'${arg}' is no --directive` });
    else last.words.push(arg);
  }
  return directives;
}
