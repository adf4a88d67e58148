/**
 * A checkpoint: a directory with hard links to all tables and a manifest of its own, which opens as a store. Of the
 * named values it has only those that are handed in: what opens on a copy is another owner than the one that wrote it.
 *
 * Requires: the version is retained until this resolves, so that no table is unlinked meanwhile. A checkpoint that failed
 * leaves a directory without a manifest, which is no store.
 */

import type { Disk, Timers } from '../env.ts';
import type { ManifestState, ManifestStore } from './manifest.ts';
import { tablePath } from './sstable-format.ts';
import type { Version } from './version.ts';

/** Links made in one turn; each may take the file system some 50 microseconds. */
const LINKS_A_TURN = 32;

export type CheckpointOptions = {
  readonly disk: Disk;
  readonly timers: Timers;
  readonly directory: string;
  /** Made when it is not there; it must not hold a store. */
  readonly target: string;
  readonly version: Version;
  readonly state: Pick<ManifestState, 'nextFileNumber' | 'oldestWal' | 'flushedSequence'>;
  readonly values: ReadonlyMap<string, Uint8Array>;
  readonly openManifest: (directory: string) => ManifestStore | Promise<ManifestStore>;
};

export async function writeCheckpoint(options: CheckpointOptions): Promise<void> {
  const { disk, timers, directory, target, version, state } = options;
  disk.makeDirectory(target);
  const placed = version.placed();
  for (const [i, { table }] of placed.entries()) {
    if (i % LINKS_A_TURN === LINKS_A_TURN - 1) await new Promise<void>((resolve) => timers.atTurnEnd(resolve));
    disk.link(tablePath(directory, table.number), tablePath(target, table.number));
  }
  disk.syncDirectory(target);
  const manifest = await options.openManifest(target);
  try {
    for (const [name, value] of options.values) await manifest.setValue(name, value);
    await manifest.commit({ added: placed, removed: [], ...state });
  } finally {
    await manifest.close();
  }
  disk.syncDirectory(target);
}
