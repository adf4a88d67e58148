/**
 * Makes a fresh clone ready: installs what package-lock.json names when node_modules is missing or older, then
 * builds. `npm start`, `npm test` and `npm run bench` begin with it.
 */

import { spawnSync } from 'node:child_process';
import { existsSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
/** npm writes it at the end of an install. */
const installed = join(root, 'node_modules', '.package-lock.json');
const wanted = join(root, 'package-lock.json');

function run(command, args) {
  const { status } = spawnSync(command, args, { cwd: root, stdio: 'inherit', shell: process.platform === 'win32' });
  if (status !== 0) {
    console.error(`setup: ${[command, ...args].join(' ')} failed`);
    process.exit(1);
  }
}

if (!existsSync(installed) || statSync(installed).mtimeMs < statSync(wanted).mtimeMs) {
  // Not `npm ci`: it refuses a lock file that a registry without the packages of other platforms has written.
  run('npm', ['install', '--no-save', '--no-audit', '--no-fund', '--loglevel=error']);
}
if (process.argv[2] !== '--install-only') run(process.execPath, [join(root, 'node_modules/typescript/bin/tsc')]);
