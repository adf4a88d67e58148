/**
 * LCS: the longest common subsequence of two strings, by dynamic programming over all pairs of prefixes.
 *
 * Only two rows of lengths are kept; for the way back one bit a pair says which neighbour is longer. So 64 KiB by
 * 64 KiB takes half a gigabyte in Redis and 512 MiB / 32 = 16 MiB here. Where several subsequences are longest, the
 * choice is Redis's: on the way back from the ends, the first string gives way only if that is strictly better.
 */

import { copyOf, EMPTY } from '../bytes.ts';
import { rowType } from '../repl/head.ts';
import { Miss } from '../repl/miss.ts';
import type { View } from '../repl/view.ts';
import type { Args } from './args.ts';
import type { Command, Context } from './command.ts';
import { CommandError } from './errors.ts';
import { clampedIntegerOf } from './number.ts';
import { optionName, syntaxError } from './options.ts';
import { MapReply, type Reply } from './reply.ts';
import type { Sliced } from './sliced.ts';
import { rowAt, stringCommand, stringDoc } from './string-row.ts';

/** Pairs of prefixes after which the computation lets others run: a few milliseconds. */
const SLICE_PAIRS = 1 << 20;

/** Bytes that Redis needs for a pair: what proto-max-bulk-len is compared with. */
const BYTES_PER_PAIR = 4;

export const lcsCommands: readonly Command[] = [
  stringCommand({
    name: 'lcs',
    arity: -3,
    flags: ['readonly'],
    keys: { first: 1, last: 2, step: 1 },
    access: 'read',
    doc: stringDoc('Finds the longest common subsequence of two strings.', '7.0.0', 'O(N*M) for N and M bytes'),
    runSliced: lcs,
  }),
];

interface LcsOptions {
  readonly wantsLength: boolean;
  readonly wantsMatches: boolean;
  readonly withMatchLength: boolean;
  readonly minMatchLength: number;
}

/** A run that both strings have: a[aStart, aStart + length) and b[bStart, bStart + length). */
interface Match {
  aStart: number;
  bStart: number;
  length: number;
}

function* lcs(view: View, args: Args, { server }: Context): Sliced<Reply> {
  const { a, b } = yield* bothStrings(view, args);
  const options = lcsOptions(args);
  const pairs = (a.length + 1) * (b.length + 1);
  if (pairs * BYTES_PER_PAIR > server.settings.maxBulkBytes) {
    throw new CommandError('ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len');
  }
  const table = yield* prefixTable(a, b);
  if (options.wantsLength) return table.length;
  const matches = wayBack(a, b, table);
  if (!options.wantsMatches) return subsequence(a, matches, table.length);
  return matchesReply(matches, table.length, options);
}

/** Copies of both values; a missing key counts as empty. */
function* bothStrings(view: View, args: Args): Sliced<{ a: Uint8Array; b: Uint8Array }> {
  for (;;) {
    try {
      return { a: valueAt(view, args, 1), b: valueAt(view, args, 2) };
    } catch (thrown) {
      if (!(thrown instanceof Miss)) throw thrown;
      yield thrown.load();
    }
  }
}

function valueAt(view: View, args: Args, i: number): Uint8Array {
  const row = rowAt(view, args, i);
  if (!row.live) return EMPTY;
  if (row.type !== rowType.STRING) throw new CommandError('ERR The specified keys must contain string values');
  return copyOf(view.string(row));
}

function lcsOptions(args: Args): LcsOptions {
  let wantsLength = false;
  let wantsMatches = false;
  let withMatchLength = false;
  let minMatchLength = 0;
  for (let i = 3; i < args.count; i++) {
    const name = optionName(args, i);
    if (name === 'LEN') wantsLength = true;
    else if (name === 'IDX') wantsMatches = true;
    else if (name === 'WITHMATCHLEN') withMatchLength = true;
    else if (name === 'MINMATCHLEN' && i + 1 < args.count) minMatchLength = Math.max(clampedIntegerOf(args, ++i), 0);
    else throw syntaxError();
  }
  if (wantsLength && wantsMatches) {
    throw new CommandError('ERR If you want both the length and indexes, please just use IDX.');
  }
  return { wantsLength, wantsMatches, withMatchLength, minMatchLength };
}

/** Length of the longest common subsequence, and for each pair (i, j), at bit i × width + j, whether to shorten a. */
interface PrefixTable {
  readonly length: number;
  readonly width: number;
  readonly shortenA: Uint8Array;
}

function* prefixTable(a: Uint8Array, b: Uint8Array): Sliced<PrefixTable> {
  const width = b.length + 1;
  const shortenA = new Uint8Array(Math.ceil(((a.length + 1) * width) / 8));
  let above = new Uint32Array(width);
  let here = new Uint32Array(width);
  let pairs = 0;
  for (let i = 1; i <= a.length; i++) {
    fillRow(a[i - 1] as number, b, above, here, shortenA, i * width);
    [above, here] = [here, above];
    pairs += width;
    if (pairs >= SLICE_PAIRS) {
      pairs = 0;
      yield undefined;
    }
  }
  return { length: above[b.length] as number, width, shortenA };
}

function fillRow(
  byte: number,
  b: Uint8Array,
  above: Uint32Array,
  here: Uint32Array,
  shortenA: Uint8Array,
  firstBit: number,
): void {
  let left = 0;
  for (let j = 1; j <= b.length; j++) {
    if (b[j - 1] === byte) left = (above[j - 1] as number) + 1;
    else {
      const up = above[j] as number;
      if (up > left) {
        left = up;
        const bit = firstBit + j;
        // Not `bit >>> 3`: there may be more than 2^32 bits.
        const at = Math.floor(bit / 8);
        shortenA[at] = (shortenA[at] as number) | (1 << (bit & 7));
      }
    }
    here[j] = left;
  }
}

/** The runs of the subsequence, last first. */
function wayBack(a: Uint8Array, b: Uint8Array, { width, shortenA }: PrefixTable): Match[] {
  const matches: Match[] = [];
  let open: Match | undefined;
  let i = a.length;
  let j = b.length;
  while (i > 0 && j > 0) {
    if (a[i - 1] === b[j - 1]) {
      i--;
      j--;
      if (open === undefined) matches.push((open = { aStart: i, bStart: j, length: 0 }));
      open.aStart = i;
      open.bStart = j;
      open.length++;
      continue;
    }
    open = undefined;
    const bit = i * width + j;
    if (((shortenA[Math.floor(bit / 8)] as number) & (1 << (bit & 7))) !== 0) i--;
    else j--;
  }
  return matches;
}

function subsequence(a: Uint8Array, matches: readonly Match[], length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  let at = length;
  for (const match of matches) {
    at -= match.length;
    bytes.set(a.subarray(match.aStart, match.aStart + match.length), at);
  }
  return bytes;
}

function matchesReply(matches: readonly Match[], length: number, options: LcsOptions): Reply {
  const shown = matches.filter((match) => match.length >= options.minMatchLength);
  const rows = shown.map((match): Reply => {
    const inA = [match.aStart, match.aStart + match.length - 1];
    const inB = [match.bStart, match.bStart + match.length - 1];
    return options.withMatchLength ? [inA, inB, match.length] : [inA, inB];
  });
  return new MapReply([
    ['matches', rows],
    ['len', length],
  ]);
}
