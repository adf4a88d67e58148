/** The contract of a manifest on a full disk, for LMDB: argv[2] is a small file system of its own. */

import { closeSync, openSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { NodeDisk } from '../../src/env-node-disk.ts';
import { LmdbManifest } from '../../src/engine/manifest-lmdb.ts';
import { fullDiskContract } from './manifest-contract.ts';

const place = process.argv[2];
if (place === undefined) throw new Error('say where');
const disk = new NodeDisk();
const ballast = join(place, 'ballast');

function fill(): void {
  const file = openSync(ballast, 'w');
  const chunk = Buffer.alloc(4096);
  try {
    for (;;) writeSync(file, chunk);
  } catch (error) {
    if (!(error instanceof Error) || !('code' in error) || error.code !== 'ENOSPC') throw error;
  } finally {
    closeSync(file);
  }
}

fullDiskContract('manifest in LMDB', async () => ({
  open: async () => LmdbManifest.open(disk, place),
  remove: async () => {},
  setFull: (isFull) => {
    if (isFull) fill();
    else rmSync(ballast);
  },
}));
