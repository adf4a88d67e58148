/** Runs `kvorum check`, `kvorum dump` and `kvorum repair` on the real disk, with the directory's lock held. */

import { resolve } from 'node:path';
import { LmdbManifest } from './engine/manifest-lmdb.ts';
import { DirectoryInUse, lockDirectory } from './env-node-lock.ts';
import { createNodeEnv } from './env-node.ts';
import type { Log } from './env.ts';
import { noProgress, terminalProgress } from './tools/progress.ts';
import { exitCode, runTool } from './tools/run-tool.ts';

const silent: Log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };

/** The exit code of `kvorum <argv>`. */
export async function runToolHere(argv: readonly string[]): Promise<number> {
  const { disk, clock } = createNodeEnv({ log: silent });
  const directory = argv.slice(1).find((word) => !word.startsWith('--'));
  const parts = {
    disk,
    openManifest: (directory: string) => LmdbManifest.open(disk, directory),
    print: (line: string) => console.log(line),
    progress: process.stderr.isTTY ? terminalProgress() : noProgress,
  };
  const path = directory === undefined ? undefined : resolve(directory);
  const words = argv.map((word) => (word === directory && path !== undefined ? path : word));
  if (path === undefined || !disk.exists(path)) return runTool(words, parts, clock.wallMs());
  try {
    const lock = await lockDirectory(path);
    try {
      return await runTool(words, parts, clock.wallMs());
    } finally {
      lock?.release();
    }
  } catch (error) {
    if (!(error instanceof DirectoryInUse)) throw error;
    console.error(`kvorum: ${error.message}`);
    return exitCode.PROBLEMS;
  }
}
