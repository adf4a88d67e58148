/** A bench in a process of its own, for what is counted by process: bytes written, memory, the time of an open. */

import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const MAIN = fileURLToPath(new URL('main.js', import.meta.url));
const MARK = 'result ';

/** In the child: hands the result to the parent. */
export function giveResult(result: unknown): void {
  process.stdout.write(`${MARK}${JSON.stringify(result)}\n`);
}

/**
 * Runs `main.js WORDS` and resolves with what it gave by `giveResult`; its other output is passed on to stderr. Rejects
 * when it fails or gives nothing.
 */
export async function runChild<Result>(words: readonly string[]): Promise<Result> {
  const child = spawn(process.execPath, [...process.execArgv, MAIN, ...words], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let text = '';
  child.stdout.setEncoding('utf8');
  child.stdout.on('data', (chunk: string) => {
    text += chunk;
  });
  const code = await new Promise<number | null>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', resolve);
  });
  const lines = text.split('\n');
  for (const line of lines) if (line !== '' && !line.startsWith(MARK)) process.stderr.write(`${line}\n`);
  const given = lines.findLast((line) => line.startsWith(MARK));
  if (code !== 0 || given === undefined) throw new Error(`bench ${words.join(' ')} ended with code ${code}`);
  return JSON.parse(given.slice(MARK.length)) as Result;
}

/** Bytes that this process has caused to be written to the disk (`write_bytes` of /proc/self/io: dirtied pages). */
export function writtenBytes(): number {
  const text = readFileSync('/proc/self/io', 'latin1');
  return Number(/^write_bytes: (\d+)$/m.exec(text)?.[1]);
}

/** The most memory that was resident at once, and what is now, in bytes. */
export function resident(): { readonly now: number; readonly peak: number } {
  const text = readFileSync('/proc/self/status', 'latin1');
  const of = (name: string): number => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(text)?.[1]) * 1024;
  return { now: of('VmRSS'), peak: of('VmHWM') };
}

/** Prints how far a long phase has come, every few seconds. */
export function progress(what: string, total: number): (done: number) => void {
  const every = 10_000;
  let next = performance.now() + every;
  return (done) => {
    if (performance.now() < next) return;
    next = performance.now() + every;
    process.stderr.write(`${new Date().toISOString().slice(11, 19)} ${what}: ${((done / total) * 100).toFixed(1)} %\n`);
  };
}
