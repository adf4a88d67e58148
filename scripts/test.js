/**
 * Runs every compiled test: dist/test and dist/redis-compat-tests, two files at a time, so that a machine with two
 * cores is not overrun. Names after `npm test --` choose files whose path contains one of them.
 */

import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const source = { 'dist/test': 'test', 'dist/redis-compat-tests': 'redis-compat-tests' };

/** Compiled tests whose source is still there: a test that was removed must not run on. */
function testsUnder(folder) {
  const absolute = join(root, folder);
  if (!existsSync(absolute)) return [];
  return readdirSync(absolute, { recursive: true })
    .map(String)
    .filter((name) => name.endsWith('.test.js'))
    .filter((name) => existsSync(join(root, source[folder], name.replace(/\.js$/, '.ts'))))
    .map((name) => join(absolute, name))
    .sort();
}

const chosen = process.argv.slice(2);
const files = Object.keys(source)
  .flatMap(testsUnder)
  .filter((file) => chosen.length === 0 || chosen.some((part) => relative(root, file).includes(part)));
if (files.length === 0) {
  console.error(chosen.length === 0 ? 'no tests: run npm run build first' : `no test matches ${chosen.join(' ')}`);
  process.exit(1);
}
const flags = ['--test', '--test-concurrency=2', '--test-reporter=spec'];
const { status } = spawnSync(process.execPath, [...flags, ...files], { cwd: root, stdio: 'inherit' });
process.exit(status ?? 1);
