/**
 * The denominator: every command of the real server's COMMAND DOCS, and every option that has a word of its own (EX, NX,
 * LIMIT, …), is compared in some case, or is listed in not-served.ts with the reason.
 *
 *     node dist/redis-compat-tests/coverage.js       what is compared nowhere; also a test, coverage.test.ts
 */

import { fileURLToPath } from 'node:url';

import { startRedis } from '../test/support/redis-process.ts';
import type { Step } from './harness/case-file.ts';
import { TestConnection } from './harness/connection.ts';
import { loadCases } from './harness/load-cases.ts';
import { leafBytes, type Tree } from './harness/tree.ts';
import { NOT_SERVED } from './not-served.ts';

export interface Coverage {
  /** Commands and subcommands, as `XGROUP CREATE`. */
  readonly commands: number;
  /** Pairs of a command and an option word. */
  readonly options: number;
  readonly notServed: readonly string[];
  /** What is compared nowhere: `COMMAND` or `COMMAND OPTION`. */
  readonly missing: readonly string[];
  /** Listed as not served, and not in COMMAND DOCS, or compared after all. */
  readonly stale: readonly string[];
}

function text(tree: Tree | undefined): string {
  return tree === undefined ? '' : leafBytes(tree).toString();
}

/** The pairs of a map, which RESP2 writes as a flat array. */
function field(tree: Tree, name: string): Tree | undefined {
  if (tree.kind !== 'array') return undefined;
  for (let i = 0; i + 1 < tree.items.length; i += 2) {
    if (text(tree.items[i]) === name) return tree.items[i + 1];
  }
  return undefined;
}

function itemsOf(tree: Tree | undefined): readonly Tree[] {
  return tree !== undefined && tree.kind === 'array' ? tree.items : [];
}

/** Every word that an argument, or one within it, begins with. */
function tokensOf(argument: Tree): string[] {
  const token = text(field(argument, 'token')).toUpperCase();
  const inner = itemsOf(field(argument, 'arguments')).flatMap(tokensOf);
  // An empty token in quotes stands for an empty word.
  return token === '' || token === '""' ? inner : [token, ...inner];
}

/** Option words by command. */
export function optionsOf(docs: Tree): Map<string, Set<string>> {
  const options = new Map<string, Set<string>>();
  const rows = itemsOf(docs);
  for (let i = 0; i + 1 < rows.length; i += 2) {
    const name = text(rows[i]).toUpperCase().replace('|', ' ');
    const doc = rows[i + 1] as Tree;
    const subcommands = field(doc, 'subcommands');
    if (subcommands !== undefined) {
      for (const [sub, words] of optionsOf(subcommands)) options.set(sub, words);
      continue;
    }
    options.set(name, new Set(itemsOf(field(doc, 'arguments')).flatMap(tokensOf)));
  }
  return options;
}

/** The commands of a step as words in upper case; raw bytes may hold several, as lines. */
function commandsOf(step: Step): string[][] {
  if (step.kind === 'raw') {
    const lines = (step.words[0] as Buffer).toString('latin1').split('\r\n');
    return lines.map((line) => line.toUpperCase().split(' '));
  }
  const words = step.words.map((word) => word.toString('latin1').toUpperCase());
  return words[0] === 'KV.WITH' ? [] : [words];
}

/** The words that are compared with each command: in cases that ask the real server, in replies that are looked at. */
function comparedWords(names: ReadonlySet<string>): Map<string, Set<string>> {
  const compared = new Map<string, Set<string>>();
  for (const cases of loadCases().values()) {
    for (const { from, steps } of cases) {
      if (from !== undefined) continue;
      for (const step of steps.filter(({ comparison }) => comparison.how !== 'ignore')) {
        for (const words of commandsOf(step)) {
          const name = names.has(`${words[0]} ${words[1]}`) ? `${words[0]} ${words[1]}` : (words[0] ?? '');
          const seen = compared.get(name) ?? new Set();
          compared.set(name, seen);
          for (const word of words.slice(1)) seen.add(word);
        }
      }
    }
  }
  return compared;
}

/** Asks a redis-server of its own. */
export async function measureCoverage(): Promise<Coverage> {
  const server = await startRedis({ flags: [] });
  try {
    const connection = await TestConnection.open(server.port);
    const options = optionsOf(await connection.send('COMMAND', 'DOCS'));
    connection.close();
    const compared = comparedWords(new Set(options.keys()));
    const all = new Set<string>();
    const missing: string[] = [];
    let count = 0;
    for (const [name, words] of options) {
      const seen = compared.get(name);
      const here = [name, ...[...words].map((word) => `${name} ${word}`)];
      count += words.size;
      for (const each of here) all.add(each);
      if (seen === undefined) missing.push(name);
      else missing.push(...[...words].filter((word) => !seen.has(word)).map((word) => `${name} ${word}`));
    }
    const isListed = (each: string): boolean =>
      [...NOT_SERVED.keys()].some((listed) => each === listed || each.startsWith(`${listed} `));
    return {
      commands: options.size,
      options: count,
      notServed: [...NOT_SERVED.keys()],
      missing: missing.filter((each) => !isListed(each)).sort(),
      stale: [...NOT_SERVED.keys()].filter((each) => !all.has(each)),
    };
  } finally {
    await server.stop();
  }
}

async function main(): Promise<void> {
  const { commands, options, notServed, missing, stale } = await measureCoverage();
  for (const each of missing) console.log(`compared nowhere: ${each}`);
  for (const each of stale) console.log(`not in COMMAND DOCS: ${each}`);
  for (const each of notServed) console.log(`not served: ${each}: ${NOT_SERVED.get(each)}`);
  console.log(`${commands} commands, ${options} options, ${missing.length} compared nowhere`);
  process.exitCode = missing.length + stale.length === 0 ? 0 : 1;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main();
