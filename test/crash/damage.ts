/**
 * What damage to files does: between a crash and the restart a file is truncated, or a bit of it flipped, or a page of
 * it zeroed. Allowed are a start that is refused with the file's name, a cut that the log reports (the keys are then as
 * they were a moment earlier), and reads that answer with an error. Never a wrong value, never a loss without a word.
 */

import {
  cpSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readSync,
  rmSync,
  statSync,
  truncateSync,
  writeSync,
  closeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';

import { TestConnection } from '../../redis-compat-tests/harness/connection.ts';
import { leafBytes, show, type Tree } from '../../redis-compat-tests/harness/tree.ts';
import { type ServerProcess, startKvorum } from '../support/server-process.ts';
import { SeededRandom } from './seeded-random.ts';

const KEYS = 3_000;
const PAGE_BYTES = 4_096;
const PIPELINE = 500;
/** A damaged server that is neither ready nor gone by then hangs. */
const HANG_MS = 30_000;

/** One write in the order acknowledged; no value: deleted. */
interface Write {
  readonly key: string;
  readonly value: string | undefined;
}

export type DamageKind = 'bit' | 'truncate' | 'page';

export interface Trial {
  /** File, kind and place. */
  readonly what: string;
  readonly verdict: 'refused' | 'unchanged' | 'cut' | 'read errors' | 'DIED' | 'WRONG';
  readonly detail: string;
}

export interface DamageOptions {
  readonly trials: number;
  readonly seed: number;
  readonly writes: number;
  /** How the server ends before the damage. */
  readonly ending: 'kill' | 'stop';
  readonly flags: readonly string[];
  report(line: string): void;
}

export async function damageTest(options: DamageOptions): Promise<Trial[]> {
  const random = new SeededRandom(options.seed);
  const parent = mkdtempSync(join(tmpdir(), 'kvorum-damage-'));
  const intact = join(parent, 'intact');
  const flags = ['--appendfsync', 'always', ...options.flags];
  const server = await startKvorum({ directory: intact, flags });
  const history = await write(server.port, options.writes, random);
  if (options.ending === 'kill') await server.kill();
  else await server.stop();
  const trials: Trial[] = [];
  for (let number = 0; number < options.trials; number++) {
    const directory = join(parent, `trial-${number}`);
    // The lock of a killed server is a socket, which cannot be copied.
    cpSync(intact, directory, { recursive: true, filter: (path) => !statSync(path).isSocket() });
    const what = damage(directory, random);
    const trial = { what, ...(await restart(directory, flags, history, what.split(' ')[0] as string)) };
    trials.push(trial);
    options.report(`${trial.what}: ${trial.verdict}${trial.detail === '' ? '' : `: ${trial.detail}`}`);
    if (!isBad(trial)) rmSync(directory, { recursive: true, force: true });
  }
  if (!trials.some(isBad)) rmSync(parent, { recursive: true, force: true });
  return trials;
}

/** Upper-case verdicts are faults of the server. */
export function isBad(trial: Trial): boolean {
  return trial.verdict === 'WRONG' || trial.verdict === 'DIED';
}

/** Sets and deletes over one connection; all are acknowledged when it returns. */
async function write(port: number, count: number, random: SeededRandom): Promise<Write[]> {
  const connection = await TestConnection.open(port);
  const history: Write[] = [];
  let pending: Promise<Tree>[] = [];
  for (let i = 0; i < count; i++) {
    const key = `key:${random.below(KEYS)}`;
    const value = random.next() < 0.1 ? undefined : `${key}/${i}/${'v'.repeat(random.below(600))}`;
    history.push({ key, value });
    pending.push(value === undefined ? connection.send('DEL', key) : connection.send('SET', key, value));
    if (pending.length < PIPELINE) continue;
    await Promise.all(pending);
    pending = [];
  }
  const last = await Promise.all(pending);
  connection.close();
  if (last.some((reply) => reply.kind === 'error')) throw new Error(`a write failed: ${last.map(show).join(' ')}`);
  return history;
}

/** Damages one file; returns its name relative to the directory, and what was done. */
function damage(directory: string, random: SeededRandom): string {
  const files = readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && !entry.name.endsWith('-lock') && !entry.name.endsWith('.lock'))
    .map((entry) => join(entry.parentPath, entry.name))
    .filter((path) => statSync(path).size > 0)
    .sort();
  const path = random.pick(files);
  const name = relative(directory, path);
  const { size } = statSync(path);
  const at = random.below(size);
  const kind = random.pick<DamageKind>(['bit', 'bit', 'truncate', 'page']);
  if (kind === 'truncate') {
    truncateSync(path, at);
    return `${name} truncated from ${size} to ${at}`;
  }
  const file = openSync(path, 'r+');
  try {
    const from = kind === 'bit' ? at : at - (at % PAGE_BYTES);
    const bytes = Buffer.alloc(kind === 'bit' ? 1 : Math.min(PAGE_BYTES, size - from));
    readSync(file, bytes, 0, bytes.length, from);
    const bit = random.below(8);
    if (kind === 'bit') bytes[0] = (bytes[0] as number) ^ (1 << bit);
    else bytes.fill(0);
    writeSync(file, bytes, 0, bytes.length, from);
    return kind === 'bit' ? `${name} bit ${bit} of byte ${from} of ${size}` : `${name} zeroed at ${from} of ${size}`;
  } finally {
    closeSync(file);
  }
}

type Result = Omit<Trial, 'what'>;

async function restart(
  directory: string,
  flags: readonly string[],
  history: readonly Write[],
  file: string,
): Promise<Result> {
  let server: ServerProcess;
  try {
    server = await startKvorum({ directory, flags, killAfterMs: HANG_MS });
  } catch (error) {
    const text = String(error);
    // Repairing what the manifest says is about its file; anything else must name the damaged one.
    if (text.includes(file)) return { verdict: 'refused', detail: lastLine(text) };
    return { verdict: 'WRONG', detail: `refused without naming ${file}: ${lastLine(text)}` };
  }
  try {
    return await compare(server, history);
  } finally {
    await server.kill();
  }
}

function lastLine(text: string): string {
  const lines = text.split('\n').filter((line) => line.trim() !== '' && !/^\s+at /.test(line));
  return (lines.at(-1) ?? '').slice(0, 300);
}

async function compare(server: ServerProcess, history: readonly Write[]): Promise<Result> {
  const held = new Map<string, string>();
  const unreadable = new Map<string, string>();
  const connection = await TestConnection.open(server.port);
  try {
    for (let from = 0; from < KEYS; from += PIPELINE) {
      const keys = Array.from({ length: Math.min(PIPELINE, KEYS - from) }, (_, i) => `key:${from + i}`);
      const replies = await Promise.all(keys.map((key) => connection.send('GET', key)));
      for (const [i, reply] of replies.entries()) {
        const key = keys[i] as string;
        if (reply.kind === 'bulk') held.set(key, leafBytes(reply).toString());
        else if (reply.kind !== 'null-bulk') unreadable.set(key, show(reply));
      }
    }
  } finally {
    connection.close();
  }
  return judge(history, held, unreadable, server.output);
}

function judge(
  history: readonly Write[],
  held: ReadonlyMap<string, string>,
  unreadable: ReadonlyMap<string, string>,
  output: string,
): Result {
  if ([...unreadable.values()].includes('(closed)'))
    return { verdict: 'DIED', detail: `while it was read: ${lastLine(output)}` };
  const prefix = explainingPrefix(history, held, unreadable);
  const errors = [...unreadable.values()][0] ?? '';
  if (prefix === history.length)
    return unreadable.size === 0
      ? { verdict: 'unchanged', detail: '' }
      : { verdict: 'read errors', detail: `${unreadable.size} keys, such as ${errors}` };
  const reported = /torn|damage|corrupt|quarantine|cut/i.exec(output);
  if (prefix !== undefined && reported !== null)
    return { verdict: 'cut', detail: `${history.length - prefix} of ${history.length} writes cut, reported` };
  if (prefix !== undefined)
    return { verdict: 'WRONG', detail: `${history.length - prefix} acknowledged writes are gone without a word` };
  return { verdict: 'WRONG', detail: 'no earlier state explains what is there' };
}

/** The length of the longest prefix of the history after which the readable keys hold just what they hold. */
function explainingPrefix(
  history: readonly Write[],
  held: ReadonlyMap<string, string>,
  unreadable: ReadonlyMap<string, string>,
): number | undefined {
  const state = new Map<string, string>();
  const different = new Set(held.keys());
  let longest: number | undefined = different.size === 0 ? 0 : undefined;
  for (const [i, { key, value }] of history.entries()) {
    if (value === undefined) state.delete(key);
    else state.set(key, value);
    if (!unreadable.has(key)) {
      if (state.get(key) === held.get(key)) different.delete(key);
      else different.add(key);
    }
    if (different.size === 0) longest = i + 1;
  }
  return longest;
}
