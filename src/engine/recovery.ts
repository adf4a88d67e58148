/**
 * Recovery: reads the WALs back into memtables and decides what a bad group means.
 *
 * The groups of a file are read up to the first one that is not valid (arena.ts says what valid is). That place is
 *
 * - the end of the file, if no valid group of this generation stands behind it;
 * - damage, if a group behind it, or in a later WAL, says that bytes behind it were durable: the open stops with an
 *   error that names file and offset, since cutting would drop acknowledged writes in silence;
 * - a torn tail otherwise: bytes that no sync had covered and that a crash kept in part. It is cut and reported, and
 *   later WALs, which nobody can have relied on either, are cut whole.
 *
 * What was torn is overwritten with zeros before the file is written to again, so that a remaining group behind a
 * shorter new one cannot come back to life. What was read but not known durable is written again and synced: after a
 * failed sync the operating system may show bytes that it will never write ("fsyncgate"), and everything from here on
 * counts as durable. A group that fails is read again before anything is decided, so that one bad transfer cuts nothing.
 */

import { crc32c } from '@node-rs/crc32';
import { must } from '../assert.ts';
import type { Disk, DiskFile, Log } from '../env.ts';
import { Arena, FILE_HEADER_BYTES, GROUP_HEADER_BYTES, groupFlag, readFileHeader, wideWord } from './arena.ts';
import type { FileHeader } from './arena.ts';
import { EngineError } from './engine-error.ts';
import { kind, KEY_LENGTH_MASK, KIND_SHIFT, RECORD_HEADER_BYTES, recordBytes } from './record.ts';
import { isWalName } from './wal.ts';

/** Zeros written at a time over a torn tail. */
const ERASE_BYTES = 1 << 20;

/** How often bytes that look damaged are read before they count as damaged. */
const READ_ATTEMPTS = 3;

/** A WAL that holds live records, read whole; `arena.end` is where its valid groups end. */
export type ReplayedWal = { readonly file: DiskFile; readonly arena: Arena };

export type Replayed = { readonly wals: readonly ReplayedWal[]; readonly free: readonly DiskFile[] };

export type ReplayOptions = {
  readonly disk: Disk;
  readonly log: Log;
  readonly directory: string;
  /** WALs with smaller numbers are in tables already. */
  readonly oldestNumber: number;
  /** Sequence of the first record that is in no table. */
  readonly firstSequence: number;
  /** Least capacity of an arena. */
  readonly arenaBytes: number;
};

type Opened = { readonly file: DiskFile; readonly header: FileHeader };

/** A place to be overwritten with zeros once everything has been checked. */
type Torn = { readonly file: DiskFile; readonly from: number; readonly to: number };

/** Opens every WAL file of the directory and checks the groups of those that are live. */
export async function readWals(options: ReplayOptions): Promise<Replayed> {
  const { disk, directory } = options;
  const opened: DiskFile[] = [];
  try {
    for (const name of disk.list(directory)) {
      if (isWalName(name)) opened.push(disk.open(`${directory}/${name}`, 'write'));
    }
    return await readOpened(options, opened);
  } catch (error) {
    for (const file of opened) file.close();
    throw error;
  }
}

async function readOpened(options: ReplayOptions, opened: readonly DiskFile[]): Promise<Replayed> {
  const live: Opened[] = [];
  const free: DiskFile[] = [];
  for (const file of opened) {
    const header = await readHeader(file);
    if (header === undefined) await refuseLostHeader(file, options);
    if (header === undefined || header.number < options.oldestNumber) free.push(file);
    else live.push({ file, header });
  }
  live.sort((a, b) => a.header.number - b.header.number);
  const wals: ReplayedWal[] = [];
  const torn: Torn[] = [];
  let expected = options.firstSequence;
  for (let i = 0; i < live.length; i++) {
    const { file, header } = live[i] as Opened;
    if (header.firstSequence !== expected) {
      for (const later of live.slice(i)) {
        torn.push(await checkDroppable(later, expected, options));
        free.push(later.file);
      }
      break;
    }
    const { arena, tail } = await readArena(file, header, options);
    if (tail !== undefined) {
      torn.push(tail);
      options.log.warn('a torn tail of the WAL was cut: bytes that were never synced', {
        path: file.path,
        offset: arena.end,
        lastSequence: arena.lastSequence,
      });
    }
    expected = arena.lastSequence + 1;
    wals.push({ file, arena });
  }
  for (const tail of torn) await erase(tail);
  for (const wal of wals) await makeDurable(wal);
  if (wals.length > 0) options.disk.syncDirectory(options.directory);
  return { wals, free };
}

/**
 * What was read may so far be in the cache of the operating system only, and the next group will call it durable. A
 * sync alone is not enough: after one that failed, Linux shows pages as clean that never reached the disk
 * ("fsyncgate"), so everything beyond what is known to be durable is written again.
 */
async function makeDurable({ file, arena }: ReplayedWal): Promise<void> {
  const from = arena.lastGroup === 0 ? 0 : (arena.words[(arena.lastGroup >> 2) + 4] as number);
  await file.write(arena.bytes.subarray(from, arena.end), from);
  await file.sync();
}

async function readHeader(file: DiskFile): Promise<FileHeader | undefined> {
  const memory = new ArrayBuffer(FILE_HEADER_BYTES);
  const bytes = new Uint8Array(memory);
  for (let attempt = 0; attempt < READ_ATTEMPTS; attempt++) {
    const length = await file.read(bytes, 0);
    const header = length < bytes.length ? undefined : readFileHeader(bytes, new Uint32Array(memory));
    if (header !== undefined) return header;
  }
  return undefined;
}

/**
 * A file without a valid header is one that was never used, or whose first write was torn; unless a group in it holds
 * records that are in no table, and either says that bytes before it were durable or is the first one, which begins in
 * the header's sector: what is written of a sector is written as a whole, so the header was there once.
 */
async function refuseLostHeader(file: DiskFile, options: ReplayOptions): Promise<void> {
  const arena = await readWhole(file, 0, 0, 0, 0);
  const end = arena.bytes.length;
  for (let at = FILE_HEADER_BYTES; at + GROUP_HEADER_BYTES <= end; at += 4) {
    if (arena.words[(at >> 2) + 3] !== at || !hasChecksum(arena, at, end)) continue;
    if (wideWord(arena.words, (at >> 2) + 6) < options.firstSequence) continue;
    const claimsHeader = at === FILE_HEADER_BYTES || arena.words[(at >> 2) + 4] !== 0;
    if (claimsHeader) throw damage(file, 0, `the header is damaged, a group at ${at} is live`);
  }
}

/** A gap before this file: either a crash left it of files that were never synced, or durable records are missing. */
async function checkDroppable(later: Opened, expected: number, options: ReplayOptions): Promise<Torn> {
  const { file, header } = later;
  const arena = await readWhole(file, 0, header.number, header.generation, header.firstSequence);
  const claim = strongestClaim(arena, FILE_HEADER_BYTES, arena.bytes.length);
  if (claim !== undefined && (claim.olderDurable || claim.durableOffset > 0)) {
    const gap = `records ${expected} to ${header.firstSequence - 1} were durable and are missing before it`;
    throw damage(file, 0, gap);
  }
  options.log.warn('a WAL was cut whole: what came before it was never synced', {
    path: file.path,
    firstSequence: header.firstSequence,
    expected,
  });
  return { file, from: 0, to: arena.bytes.length };
}

async function readWhole(
  file: DiskFile,
  leastBytes: number,
  number: number,
  generation: number,
  firstSequence: number,
): Promise<Arena> {
  const size = file.size() & ~3;
  const arena = new Arena(Math.max(size, leastBytes, FILE_HEADER_BYTES), number, generation, firstSequence);
  await file.read(arena.bytes.subarray(0, size), 0);
  return arena;
}

type ReadWal = { readonly arena: Arena; readonly tail: Torn | undefined };

/** Reads a live file, again if something in it is bad; the reading that gets furthest counts. */
async function readArena(file: DiskFile, header: FileHeader, options: ReplayOptions): Promise<ReadWal> {
  let best: Arena | undefined;
  for (let attempt = 0; attempt < READ_ATTEMPTS; attempt++) {
    const arena = await readWhole(file, options.arenaBytes, header.number, header.generation, header.firstSequence);
    walkGroups(file, arena);
    if (best === undefined || arena.end > best.end) best = arena;
    if (endsCleanly(file, best)) return { arena: best, tail: undefined };
  }
  const arena = must(best, 'a reading');
  return { arena, tail: tornTail(file, arena) };
}

/** Finds how far the groups are valid: `end`, `lastGroup` and `recordCount` of the arena. */
function walkGroups(file: DiskFile, arena: Arena): void {
  const fileEnd = file.size() & ~3;
  let at = FILE_HEADER_BYTES;
  while (isGroup(arena, at, fileEnd) && wideWord(arena.words, (at >> 2) + 6) === arena.lastSequence + 1) {
    const end = at + GROUP_HEADER_BYTES + (arena.words[(at >> 2) + 1] as number);
    arena.recordCount += countRecords(file, arena, at + GROUP_HEADER_BYTES, end);
    arena.lastGroup = at;
    at = end;
  }
  arena.end = at;
}

/** Whether nothing behind the last valid group hints at another one. */
function endsCleanly(file: DiskFile, arena: Arena): boolean {
  const from = arena.end;
  const to = file.size() & ~3;
  const lastFlags = arena.lastGroup === 0 ? 0 : (arena.words[(arena.lastGroup >> 2) + 5] as number);
  const closed = (lastFlags & groupFlag.CLEAN_CLOSE) !== 0;
  // A file in use has blocks beyond its groups, so one that ends with a group was closed, or cut by somebody.
  if (!closed && to - from < GROUP_HEADER_BYTES) return false;
  return !looksBegun(arena, from, to) && strongestClaim(arena, from, to) === undefined;
}

/** What stands behind the last valid group, unless it was durable. */
function tornTail(file: DiskFile, arena: Arena): Torn {
  const from = arena.end;
  const to = file.size() & ~3;
  const claim = strongestClaim(arena, from, to);
  if (claim !== undefined && claim.durableOffset > from) {
    throw damage(file, from, `a later group says that bytes up to ${claim.durableOffset} were durable`);
  }
  return { file, from, to };
}

/** Whether the bytes at `at` are likely the damaged beginning of a group rather than zeros or an earlier life's group. */
function looksBegun(arena: Arena, at: number, end: number): boolean {
  if (at + GROUP_HEADER_BYTES > end) return false;
  const word = at >> 2;
  if (arena.words[word + 2] === arena.generation) return true;
  const next = wideWord(arena.words, word + 6) === arena.lastSequence + 1;
  return (next || arena.words[word + 3] === at) && !hasChecksum(arena, at, end);
}

type Claim = { durableOffset: number; olderDurable: boolean };

/** What the valid groups that start in [from, end) say about durability; undefined: there are none. */
function strongestClaim(arena: Arena, from: number, end: number): Claim | undefined {
  let claim: Claim | undefined;
  const { words, generation } = arena;
  for (let at = from; at + GROUP_HEADER_BYTES <= end; at += 4) {
    // As `claimsToBeGroup`, which is asked for every word of a file here.
    if (words[(at >> 2) + 3] !== at || words[(at >> 2) + 2] !== generation || !hasChecksum(arena, at, end)) continue;
    const word = at >> 2;
    claim ??= { durableOffset: 0, olderDurable: false };
    claim.durableOffset = Math.max(claim.durableOffset, arena.words[word + 4] as number);
    if (((arena.words[word + 5] as number) & groupFlag.OLDER_DURABLE) !== 0) claim.olderDurable = true;
  }
  return claim;
}

function claimsToBeGroup(arena: Arena, at: number): boolean {
  const word = at >> 2;
  return arena.words[word + 3] === at && arena.words[word + 2] === arena.generation;
}

function isGroup(arena: Arena, at: number, end: number): boolean {
  return at + GROUP_HEADER_BYTES <= end && claimsToBeGroup(arena, at) && hasChecksum(arena, at, end);
}

function hasChecksum(arena: Arena, at: number, end: number): boolean {
  const word = at >> 2;
  const length = arena.words[word + 1] as number;
  const groupEnd = at + GROUP_HEADER_BYTES + length;
  if (length % 4 !== 0 || groupEnd > end) return false;
  return arena.words[word] === crc32c(arena.bytes.subarray(at + 4, groupEnd));
}

/** Number of records in a group whose checksum holds; they must fill it. */
function countRecords(file: DiskFile, arena: Arena, start: number, end: number): number {
  let count = 0;
  let at = start;
  while (at + RECORD_HEADER_BYTES <= end) {
    const first = arena.words[at >> 2] as number;
    const keyLength = first & KEY_LENGTH_MASK;
    const valueLength = arena.words[(at >> 2) + 1] as number;
    if (first >>> KIND_SHIFT > kind.DELETE_RANGE || keyLength + valueLength > end - at) break;
    at += recordBytes(keyLength, valueLength);
    count++;
  }
  if (at !== end) throw damage(file, at, 'a record does not fit into its group, whose checksum holds');
  return count;
}

async function erase({ file, from, to }: Torn): Promise<void> {
  const zeros = new Uint8Array(Math.min(ERASE_BYTES, to - from));
  for (let at = from; at < to; at += zeros.length) {
    await file.write(zeros.subarray(0, Math.min(zeros.length, to - at)), at);
  }
  await file.sync();
}

function damage(file: DiskFile, offset: number, what: string): EngineError {
  return new EngineError('corruption', `${file.path} is damaged at offset ${offset}: ${what}`);
}
