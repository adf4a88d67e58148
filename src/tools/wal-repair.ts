/** Which WALs a repaired store keeps, and cutting a damaged one. */

import { GROUP_HEADER_BYTES } from '../engine/arena.ts';
import type { FileHeader } from '../engine/arena.ts';
import type { Disk } from '../env.ts';
import { counted, dataFiles, LOST_DIRECTORY } from './tool.ts';
import { readWalFile, type WalFileContent } from './wal-file.ts';

/** Bytes copied or overwritten at a time. */
const CHUNK_BYTES = 1 << 20;

export type LiveWal = WalFileContent & { readonly header: FileHeader };

/** The WAL files with a valid header, by number. */
export function liveWals(disk: Disk, directory: string): LiveWal[] {
  return dataFiles(disk, directory)
    .wals.map((name) => readWalFile(disk, `${directory}/${name}`))
    .filter((wal): wal is LiveWal => wal.header !== undefined)
    .sort((a, b) => a.header.number - b.header.number);
}

/**
 * Without a manifest: the newest WAL and those before it that its records follow on. `flushed` is the largest sequence
 * in a table.
 */
export function walsToKeep(
  disk: Disk,
  directory: string,
  flushed: number,
): { oldestWal: number; flushedSequence: number } {
  const wals = liveWals(disk, directory);
  const newest = wals.pop();
  if (newest === undefined) return { oldestWal: 1, flushedSequence: flushed };
  if (newest.lastSequence < flushed) return { oldestWal: newest.header.number + 1, flushedSequence: flushed };
  let first = newest;
  for (let before = wals.pop(); before !== undefined; before = wals.pop()) {
    const { header } = first;
    if (before.header.number !== header.number - 1 || before.lastSequence !== header.firstSequence - 1) break;
    first = before;
  }
  return { oldestWal: first.header.number, flushedSequence: first.header.firstSequence - 1 };
}

export interface WalRepairOptions {
  readonly disk: Disk;
  readonly print: (line: string) => void;
  readonly directory: string;
  readonly oldestWal: number;
  readonly flushedSequence: number;
}

/** Cuts the live WALs where their records stop to follow each other; names of the files that are to be taken out. */
export function repairWals(options: WalRepairOptions): string[] {
  const { disk, print, directory, oldestWal, flushedSequence } = options;
  const out: string[] = [];
  for (const name of dataFiles(disk, directory).wals) {
    const { header, bytes } = readWalFile(disk, `${directory}/${name}`);
    if (header === undefined && bytes.some((byte) => byte !== 0)) {
      print(`lost: ${name}, everything: its header is damaged`);
      out.push(name);
    }
  }
  let expected = flushedSequence + 1;
  for (const wal of liveWals(disk, directory)) {
    if (wal.header.number < oldestWal) continue;
    const name = wal.path.slice(wal.path.lastIndexOf('/') + 1);
    if (wal.header.firstSequence !== expected) {
      const what = wal.groups.length === 0 ? 'no record' : `records ${wal.header.firstSequence} to ${wal.lastSequence}`;
      print(`lost: ${name}, ${what}: records ${expected} to ${wal.header.firstSequence - 1} before it are gone`);
      out.push(name);
      continue;
    }
    expected = wal.lastSequence + 1;
    if (!hasMoreGroups(wal)) continue;
    print(`lost: ${name}, what stands behind record ${wal.lastSequence} (offset ${wal.end})`);
    print(`kept: ${counted(wal.lastSequence - wal.header.firstSequence + 1, 'record')} of ${name}`);
    cut(disk, directory, name, wal);
  }
  return out;
}

/** Whether anything behind the valid groups was a group of this life of the file. */
function hasMoreGroups({ bytes, header, end }: LiveWal): boolean {
  const words = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  for (let at = end; at + GROUP_HEADER_BYTES <= bytes.length; at += 4) {
    if (words.getUint32(at + 8, true) === header.generation || words.getUint32(at + 12, true) === at) return true;
  }
  return false;
}

/** Copies the file to the directory for lost ones, then overwrites what stands behind its valid groups. */
function cut(disk: Disk, directory: string, name: string, wal: LiveWal): void {
  const lost = `${directory}/${LOST_DIRECTORY}`;
  disk.makeDirectory(lost);
  let target = `${lost}/${name}`;
  for (let copy = 2; disk.exists(target); copy++) target = `${lost}/${name}.${copy}`;
  const copy = disk.open(target, 'create');
  copy.writeSync(wal.bytes, 0);
  copy.syncSync();
  copy.close();
  disk.syncDirectory(lost);
  const file = disk.open(wal.path, 'write');
  const zeros = new Uint8Array(CHUNK_BYTES);
  for (let at = wal.end; at < wal.bytes.length; at += zeros.length) {
    file.writeSync(zeros.subarray(0, Math.min(zeros.length, wal.bytes.length - at)), at);
  }
  file.syncSync();
  file.close();
}
