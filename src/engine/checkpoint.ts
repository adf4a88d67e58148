/**
 * Checkpoints: a directory with hard links to all tables and a manifest of its own, which opens as a store.
 *
 * Requires: the version is retained until this resolves, so that no table is unlinked meanwhile. A checkpoint that failed
 * leaves a directory without a manifest, which is no store.
 */

import type { Disk } from '../env.ts';
import type { ManifestState, ManifestStore } from './manifest.ts';
import { tablePath } from './sstable-format.ts';
import type { Version } from './version.ts';

export type CheckpointOptions = {
  readonly disk: Disk;
  readonly directory: string;
  /** Made when it is not there; it must not hold a store. */
  readonly target: string;
  readonly version: Version;
  readonly state: Pick<ManifestState, 'nextFileNumber' | 'oldestWal' | 'flushedSequence'>;
  readonly openManifest: (directory: string) => ManifestStore | Promise<ManifestStore>;
};

export async function writeCheckpoint(options: CheckpointOptions): Promise<void> {
  const { disk, directory, target, version, state } = options;
  disk.makeDirectory(target);
  const placed = version.placed();
  for (const { table } of placed) disk.link(tablePath(directory, table.number), tablePath(target, table.number));
  disk.syncDirectory(target);
  const manifest = await options.openManifest(target);
  try {
    await manifest.commit({ added: placed, removed: [], ...state });
  } finally {
    await manifest.close();
  }
}
