/** Looks for a mutant, in a process of its own whose modules are patched: see mutants.ts. */

import { spawn } from 'node:child_process';
import { register } from 'node:module';
import type { Patch } from './mutant-loader.ts';

/** Breaks the product in one place. Must be called before anything of `src/` is loaded. */
export function applyMutant(name: string, among: Readonly<Record<string, Patch>>): void {
  const mutant = among[name];
  if (mutant === undefined) throw new Error(`no mutant ${name}; there are ${Object.keys(among).join(', ')}`);
  const { file, find, replace, also } = mutant;
  const data: Patch = { file, find, replace, ...(also === undefined ? {} : { also }) };
  register<Patch>(new URL('mutant-loader.js', import.meta.url), { data });
}

/**
 * Runs the simulation with one mutant in a process of its own; what it printed, and whether it was caught. `words`: more
 * of the command line.
 */
export function hunt(
  name: string,
  options: { readonly seed: number; readonly seeds: number; readonly words?: readonly string[] },
): Promise<{ caught: boolean; output: string }> {
  const main = new URL('../main.js', import.meta.url).pathname;
  const words = ['--mutant', name, '--seed', String(options.seed), '--seeds', String(options.seeds)];
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [main, ...words, ...(options.words ?? [])], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let output = '';
    child.stdout.on('data', (bytes: Buffer) => {
      output += bytes.toString();
    });
    child.on('error', reject);
    child.on('close', () => resolve({ caught: /^caught by seed/m.test(output), output }));
  });
}
