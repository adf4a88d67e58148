/** `npm run fuzz -- [options]`: the tests that draw bytes and streams at random, with many more runs than in `npm test`. */

import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { commandLine } from '../support/command-line.ts';

const HELP = `npm run fuzz -- [options]
  --runs N         of each test (default 20000); fast-check prints the seed of a failure
`;

const { values } = commandLine(HELP, { options: { runs: { type: 'string', default: '20000' } } }, ['runs']);

const tests = join(dirname(fileURLToPath(import.meta.url)), '..');
const files = ['fuzz', 'resp'].flatMap((folder) =>
  readdirSync(join(tests, folder))
    .filter((name) => name.endsWith('.test.js'))
    .map((name) => join(tests, folder, name)),
);
const { status } = spawnSync(process.execPath, ['--test', ...files], {
  stdio: 'inherit',
  env: { ...process.env, KVORUM_FUZZ_RUNS: values.runs },
});
process.exitCode = status ?? 1;
