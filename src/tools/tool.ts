/**
 * What the tools for a data directory share: `kvorum check`, `kvorum repair` and `kvorum dump`. They are functions over
 * a disk that print lines; nothing here knows a terminal or ends a process.
 *
 * Requires: no server has the directory open; whoever calls a tool holds the directory's lock.
 */

import type { Disk } from '../env.ts';
import { tableNumber } from '../engine/sstable-format.ts';
import type { ManifestStore } from '../engine/manifest.ts';
import { isWalName } from '../engine/wal.ts';

/** Where damaged files go, inside the data directory. */
export const LOST_DIRECTORY = 'lost';

/** A bar on a terminal, or nothing. */
export interface Progress {
  begin(what: string, totalBytes: number): void;
  advance(bytes: number): void;
  end(): void;
}

export interface ToolParts {
  readonly disk: Disk;
  readonly openManifest: (directory: string) => ManifestStore | Promise<ManifestStore>;
  readonly print: (line: string) => void;
  readonly progress: Progress;
}

export interface DataFiles {
  /** Numbers of the tables, ascending. */
  readonly tables: readonly number[];
  readonly wals: readonly string[];
  readonly manifests: readonly string[];
  /** Half-written tables, which the next start removes. */
  readonly halfWritten: readonly string[];
}

/** The engine's files in a directory. Throws a `DiskError` when there is no such directory. */
export function dataFiles(disk: Disk, directory: string): DataFiles {
  const names = disk.list(directory);
  return {
    tables: names
      .map(tableNumber)
      .filter((number) => number !== undefined)
      .sort((a, b) => a - b),
    wals: names.filter(isWalName),
    manifests: names.filter((name) => name.startsWith('manifest') && !name.endsWith('-lock')),
    halfWritten: names.filter((name) => name.endsWith('.sst.tmp')),
  };
}

const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];

/** `bytes` for people: `3.4 MiB`. */
export function bytesText(bytes: number): string {
  let value = bytes;
  let unit = 0;
  for (; value >= 1024 && unit < units.length - 1; unit++) value /= 1024;
  return `${unit === 0 ? value : value.toFixed(1)} ${units[unit]}`;
}

/** `1 table`, `2 tables`. */
export function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}

/** Longest key or value that is printed whole. */
const SHOWN_BYTES = 64;

/** Bytes for people: printable ASCII as it is, the rest as `\x00`; the beginning of long ones. */
export function printable(bytes: Uint8Array, limit = SHOWN_BYTES): string {
  let text = '';
  for (const byte of bytes.subarray(0, limit)) {
    if (byte === 0x22 || byte === 0x5c) text += `\\${String.fromCharCode(byte)}`;
    else if (byte >= 0x20 && byte < 0x7f) text += String.fromCharCode(byte);
    else text += `\\x${byte.toString(16).padStart(2, '0')}`;
  }
  return bytes.length > limit ? `"${text}"… (${bytes.length} bytes)` : `"${text}"`;
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
