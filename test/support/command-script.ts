/**
 * Scripts of commands and their replies, in text files, so that a reader sees the behaviour.
 *
 * ```
 * # a comment
 * == a title               a new block: nothing is stored, database 0
 * SET a 1 => +OK           words separated by blanks (`""` is the empty word), then the reply
 * GET a => "1"             + simple string, - error, "bulk string" as JSON, integer, null, [array, of, replies]
 * ~ 5000                   time passes, in milliseconds (a block with this is not run against a real server)
 * ```
 */

import { readFileSync } from 'node:fs';
import { ErrorReply, MapReply, NullArray, PairsReply, type Reply, SimpleString } from '../../src/commands/reply.ts';
import type { CommandRunner } from './command-runner.ts';
import type { RawClient } from './raw-client.ts';
import { RespError, RespMap, RespNullArray, RespSimple, type RespValue } from './resp-decoder.ts';

export interface ScriptStep {
  readonly line: number;
  readonly words: readonly string[];
  readonly expected: string;
}

export interface ScriptBlock {
  readonly title: string;
  /** A number: time passes. */
  readonly steps: readonly (ScriptStep | number)[];
}

/** The blocks of test/commands/scripts/<name>.txt. */
export function loadScript(name: string): ScriptBlock[] {
  return parseScript(readFileSync(new URL(`../../../test/commands/scripts/${name}.txt`, import.meta.url), 'utf8'));
}

export function parseScript(text: string): ScriptBlock[] {
  const blocks: { title: string; steps: (ScriptStep | number)[] }[] = [];
  for (const [i, line] of text.split('\n').entries()) {
    if (line === '' || line.startsWith('#')) continue;
    if (line.startsWith('== ')) {
      blocks.push({ title: line.slice(3), steps: [] });
      continue;
    }
    const block = blocks.at(-1);
    if (block === undefined) throw new Error(`line ${i + 1} stands before the first title`);
    if (line.startsWith('~ ')) block.steps.push(Number(line.slice(2)));
    else block.steps.push(parseStep(line, i + 1));
  }
  if (blocks.length === 0) throw new Error('a script has blocks');
  return blocks;
}

function parseStep(line: string, number: number): ScriptStep {
  const at = line.indexOf(' => ');
  if (at < 0) throw new Error(`line ${number} has no reply`);
  const words = line.slice(0, at).split(' ');
  return { line: number, words: words.map((word) => (word === '""' ? '' : word)), expected: line.slice(at + 4) };
}

/** Runs a block; returns what was not as written. `cold`: before each command everything is on disk. */
export async function runBlock(runner: CommandRunner, block: ScriptBlock, cold: boolean): Promise<string[]> {
  const differences: string[] = [];
  for (const step of block.steps) {
    if (typeof step === 'number') {
      runner.nowMs += step;
      continue;
    }
    if (cold) runner.store.chill();
    const reply = renderReply(await runner.reply(...step.words));
    if (reply !== step.expected) differences.push(difference(step, reply));
  }
  return differences;
}

/** As `runBlock`, against a server; blocks in which time passes are left out. */
export async function runBlockOn(client: RawClient, block: ScriptBlock): Promise<string[]> {
  const steps = block.steps.filter((step) => typeof step !== 'number');
  if (steps.length < block.steps.length) return [];
  await client.call('FLUSHALL');
  const replies = await client.pipeline(steps.map((step) => step.words));
  return steps.flatMap((step, i) => {
    const reply = renderValue(replies[i] as RespValue);
    return reply === step.expected ? [] : [difference(step, reply)];
  });
}

function difference(step: ScriptStep, reply: string): string {
  return `line ${step.line}: ${step.words.join(' ')} => ${reply}, not ${step.expected}`;
}

/** A reply as scripts write it, in RESP2's terms. */
export function renderReply(reply: Reply): string {
  if (reply instanceof SimpleString) return `+${reply.text}`;
  if (reply instanceof ErrorReply) return `-${reply.message}`;
  if (reply instanceof Uint8Array) return JSON.stringify(Buffer.from(reply).toString('latin1'));
  if (Array.isArray(reply)) return `[${(reply as readonly Reply[]).map(renderReply).join(', ')}]`;
  if (reply instanceof PairsReply) return `[${reply.pairs.flat().map(renderReply).join(', ')}]`;
  if (reply instanceof MapReply) return `[${reply.entries.flat().map(renderReply).join(', ')}]`;
  if (reply === null || reply instanceof NullArray) return 'null';
  return typeof reply === 'string' ? JSON.stringify(reply) : String(reply);
}

function renderValue(value: RespValue): string {
  if (value instanceof RespSimple) return `+${value.text}`;
  if (value instanceof RespError) return `-${value.message}`;
  if (Array.isArray(value)) return `[${value.map(renderValue).join(', ')}]`;
  if (value instanceof RespMap) return `[${value.entries.flat().map(renderValue).join(', ')}]`;
  if (value === null || value instanceof RespNullArray) return 'null';
  return typeof value === 'string' ? JSON.stringify(value) : String(value);
}
