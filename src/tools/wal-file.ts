/** Reading a WAL file group by group, whatever state it is in; the format is specified in engine/arena.ts. */

import { crc32c } from '@node-rs/crc32';
import { FILE_HEADER_BYTES, GROUP_HEADER_BYTES, groupFlag, readFileHeader, wideWord } from '../engine/arena.ts';
import type { FileHeader } from '../engine/arena.ts';
import { recordAt, type RecordPlace } from '../engine/record.ts';
import type { Disk } from '../env.ts';

export interface WalGroup {
  readonly offset: number;
  /** Length with its header. */
  readonly bytes: number;
  readonly firstSequence: number;
  readonly durableOffset: number;
  readonly olderDurable: boolean;
  readonly isCleanClose: boolean;
  readonly records: readonly RecordPlace[];
}

export interface WalFileContent {
  readonly path: string;
  readonly bytes: Uint8Array;
  /** Undefined: the file was never used, or its header is damaged. */
  readonly header: FileHeader | undefined;
  /** The valid groups from the beginning, up to the first that is not. */
  readonly groups: readonly WalGroup[];
  /** Where they end. */
  readonly end: number;
  /** Sequence of the last record in them. */
  readonly lastSequence: number;
}

/** Reads the file into memory. Throws a `DiskError`. */
export function readWalFile(disk: Disk, path: string): WalFileContent {
  const file = disk.open(path, 'read');
  let size: number;
  const memory = new ArrayBuffer((file.size() + 7) & ~7);
  try {
    size = file.readSync(new Uint8Array(memory, 0, file.size()), 0) & ~3;
  } finally {
    file.close();
  }
  const bytes = new Uint8Array(memory, 0, size);
  const words = new Uint32Array(memory);
  const header = readFileHeader(bytes, words);
  if (header === undefined) return { path, bytes, header, groups: [], end: 0, lastSequence: 0 };
  const groups: WalGroup[] = [];
  let at = FILE_HEADER_BYTES;
  let next = header.firstSequence;
  while (isGroup(bytes, words, at, header.generation) && wideWord(words, (at >> 2) + 6) === next) {
    const end = at + GROUP_HEADER_BYTES + (words[(at >> 2) + 1] as number);
    const records = recordsBetween(words, at + GROUP_HEADER_BYTES, end);
    if (records === undefined) break;
    const flags = words[(at >> 2) + 5] as number;
    groups.push({
      offset: at,
      bytes: end - at,
      firstSequence: next,
      durableOffset: words[(at >> 2) + 4] as number,
      olderDurable: (flags & groupFlag.OLDER_DURABLE) !== 0,
      isCleanClose: (flags & groupFlag.CLEAN_CLOSE) !== 0,
      records,
    });
    next += records.length;
    at = end;
  }
  return { path, bytes, header, groups, end: at, lastSequence: next - 1 };
}

function isGroup(bytes: Uint8Array, words: Uint32Array, at: number, generation: number): boolean {
  if (at + GROUP_HEADER_BYTES > bytes.length) return false;
  const word = at >> 2;
  const length = words[word + 1] as number;
  const end = at + GROUP_HEADER_BYTES + length;
  if (words[word + 2] !== generation || words[word + 3] !== at || length % 4 !== 0 || end > bytes.length) return false;
  return words[word] === crc32c(bytes.subarray(at + 4, end));
}

/** The records that fill [start, end), or undefined when they do not. */
function recordsBetween(words: Uint32Array, start: number, end: number): RecordPlace[] | undefined {
  const records: RecordPlace[] = [];
  let at = start;
  while (at < end) {
    const record = recordAt(words, at);
    records.push(record);
    at = record.end;
  }
  return at === end ? records : undefined;
}
