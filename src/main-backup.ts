/** Runs `kvorum backup` and `kvorum restore` on the real disk and network. */

import { LmdbManifest } from './engine/manifest-lmdb.ts';
import { lockDirectory } from './env-node-lock.ts';
import { createNodeEnv } from './env-node.ts';
import type { Log } from './env.ts';
import { noProgress, terminalProgress } from './tools/progress.ts';
import { runBackup } from './tools/run-backup.ts';

const silent: Log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };

/** The exit code of `kvorum <argv>`. */
export function runBackupHere(argv: readonly string[]): Promise<number> {
  const { disk, network, timers } = createNodeEnv({ log: silent });
  return runBackup(argv, {
    disk,
    network,
    timers,
    openManifest: (directory) => LmdbManifest.open(disk, directory),
    print: (line) => console.log(line),
    printError: (line) => console.error(line),
    progress: process.stderr.isTTY ? terminalProgress() : noProgress,
    lock: lockDirectory,
    password: process.env['KVORUM_AUTH'],
  });
}
