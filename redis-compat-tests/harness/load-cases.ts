/** Finds and reads the case files: they stay in the source tree, wherever the compiled harness lies. */

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { type Case, parseCases } from './case-file.ts';

/** The folder of package.json. */
export function repositoryRoot(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, 'package.json'))) folder = dirname(folder);
  return folder;
}

/** File name → its cases, sorted by name. */
export function loadCases(): Map<string, Case[]> {
  const folder = join(repositoryRoot(), 'redis-compat-tests', 'cases');
  const files = readdirSync(folder).filter((name) => name.endsWith('.txt'));
  return new Map(files.sort().map((name) => [name, parseCases(name, readFileSync(join(folder, name), 'utf8'))]));
}
