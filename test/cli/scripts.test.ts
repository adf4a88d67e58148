/** The simulators, benches and long tests say what they take, and refuse in one line what they do not understand. */

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

interface Ended {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

function run(script: string, words: readonly string[]): Promise<Ended> {
  const path = fileURLToPath(new URL(`../../${script}`, import.meta.url));
  return new Promise((resolve) => {
    execFile(process.execPath, [path, ...words], (error, out, err) => {
      resolve({ code: Number(error?.code ?? 0), out, err });
    });
  });
}

const SCRIPTS = [
  ['test/sim/main.js', 'npm run sim'],
  ['test/sim/cluster/main.js', 'npm run sim:cluster'],
  ['test/nemesis/main.js', 'npm run nemesis'],
  ['test/nemesis/absence.js', 'npm run absence'],
  ['test/crash/main.js', 'npm run crash'],
  ['test/fuzz/main.js', 'npm run fuzz'],
  ['test/bench/main.js', 'npm run bench'],
  ['redis-compat-tests/table.js', 'npm run compat'],
] as const;

for (const [script, name] of SCRIPTS) {
  void test(`${name}: help, and an option that there is not`, async () => {
    const [help, unknown] = await Promise.all([run(script, ['--help']), run(script, ['--nosuchoption', '3'])]);
    assert.equal(help.code, 0);
    assert.ok(help.out.startsWith(`${name} -- [`), help.out);
    assert.equal(help.err, '');
    assert.equal(unknown.code, 2);
    assert.match(unknown.err, /^[^\n]*'?--nosuchoption'?[^\n]*--help tells what there is\n$/);
  });
}

void test('what is no number, no mutant or no bench is refused in the same way', async () => {
  const refused = [
    ['test/sim/main.js', '--seeds', 'many'],
    ['test/sim/main.js', '--mutant', 'nosuchmutant'],
    ['test/sim/cluster/main.js', '--mutant', 'nosuchmutant'],
    ['test/bench/main.js', 'nosuchbench'],
    ['test/bench/main.js', 'engine', '--nosuchoption'],
    ['test/sim/main.js', '--seed'],
    ['test/sim/main.js', 'word'],
  ] as const;
  for (const [script, ...words] of refused) {
    const { code, err } = await run(script, words);
    assert.equal(code, 2, words.join(' '));
    assert.match(err, /^[^\n]+; --help tells what there is\n$/);
  }
});
