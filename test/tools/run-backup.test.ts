/** The command lines of backup and restore, as far as no process is needed for them. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FileManifest } from '../../src/engine/manifest-file.ts';
import { noProgress } from '../../src/tools/progress.ts';
import { runBackup, type BackupParts } from '../../src/tools/run-backup.ts';
import { DIRECTORY } from '../sim/engine-open.ts';
import { fill, machine, type Machine } from './tool-fixture.ts';

interface Ended {
  readonly code: number;
  readonly text: string;
  readonly locked: readonly string[];
}

/** Runs the command; the lock of `used` is somebody else's. */
async function run(on: Machine, used: string, ...argv: string[]): Promise<Ended> {
  on.life = on.loop.life();
  const disk = on.sim.mount(on.life);
  const lines: string[] = [];
  const locked: string[] = [];
  const print = (line: string): void => void lines.push(line);
  const nobody = (): never => assert.fail('nothing goes over the network');
  const parts: BackupParts = {
    disk,
    network: { listen: nobody, connect: nobody },
    timers: on.life,
    openManifest: (directory) => FileManifest.open(disk, directory),
    print,
    printError: print,
    progress: noProgress,
    lock: async (directory) => {
      if (directory === used) throw new Error(`${directory} is in use`);
      locked.push(directory);
      return { release: () => void locked.splice(locked.indexOf(directory), 1, `${directory} released`) };
    },
    password: undefined,
  };
  const code = await on.loop.settle(runBackup(argv, parts));
  return { code, text: lines.join('\n'), locked };
}

function putLock(on: Machine): void {
  on.life = on.loop.life();
  on.sim.mount(on.life).open(`${DIRECTORY}/kvorum.lock`, 'create').close();
}

void test('restore refuses the data of a server that runs', async () => {
  const on = machine(1000);
  await fill(on);
  putLock(on);
  const { code, text } = await run(on, DIRECTORY, 'restore', DIRECTORY, '--dir', '/restored');
  assert.equal(code, 1);
  assert.match(text, /\/data is in use/);
  assert.ok(!on.sim.paths.some((path) => path.startsWith('/restored')));
});

void test('restore takes the data of a server that has ended, and backups, which nobody locks', async () => {
  const on = machine(1001);
  await fill(on);
  const first = await run(on, '', 'restore', DIRECTORY, '--dir', '/one');
  assert.equal(first.code, 0, first.text);
  assert.deepEqual(first.locked, ['/one released']);
  putLock(on);
  const second = await run(on, '', 'restore', DIRECTORY, '--dir', '/two');
  assert.equal(second.code, 0, second.text);
  assert.deepEqual(second.locked, [`${DIRECTORY} released`, '/two released']);
});
