/**
 * Bytes from a client → commands, one at a time, into one reused `Args`.
 *
 * A request is an array of bulk strings (`*2\r\n$3\r\nGET\r\n$1\r\nk\r\n`) or, if it does not begin with `*`, a line of
 * words. Texts, limits and leniency are those of Redis 7.0: the byte after a CR is skipped unseen, the two bytes after
 * a bulk string too, arrays of length ≤ 0 are ignored, a NUL hides the rest of a line. One difference: Redis looks at
 * the 64 KiB limit of a line only when a read has not brought the line's end; here the limit does not depend on where
 * reads end.
 *
 * Use: `feed` what was read; `next` until it says NEED_MORE (or the caller cannot run more now); then `keep`, since
 * what was fed belongs to somebody else.
 *
 * Invariants
 * - All that is not parsed is bytes[at, end). `bytes` is what was fed, or `own` with what was kept from earlier feeds.
 * - wordsLeft > 0: inside an array; `args` has its finished words as ranges of `bytes`.
 * - No byte is looked at twice because of how reads end (`scannedTo`, `bulkLength`), and `own` grows by doubling with
 *   bytes that have come, never with a length that was announced: parsing is linear in time and space.
 * - After BROKEN nothing is parsed any more.
 */

import { assert } from '../assert.ts';
import { Args } from '../commands/args.ts';
import type { BufferPool } from './buffer-pool.ts';
import { splitInline } from './inline-words.ts';
import { scoutKeys } from './key-scout.ts';
import {
  LINE_MAX_BYTES,
  MULTIBULK_MAX_COUNT,
  UNAUTHENTICATED_MAX_BULK_BYTES,
  UNAUTHENTICATED_MAX_COUNT,
} from './limits.ts';

export const parsed = { NEED_MORE: 0, COMMAND: 1, BROKEN: 2 } as const;
export type Parsed = (typeof parsed)[keyof typeof parsed];

const NUL = 0;
const LF = 10;
const CR = 13;
const DOLLAR = 36;
const STAR = 42;
const MINUS = 45;
const ZERO = 48;

/** Digits that the fast path takes: every value is a 32-bit integer. */
const FAST_DIGITS = 9;
/** What `readLength` says besides a length. */
const INCOMPLETE = -1;
const REFUSED = -2;
const NOTHING = new Uint8Array(0);

let lastFed: Uint8Array = NOTHING;
let lastView: Uint8Array = NOTHING;

/**
 * `bytes` as no Buffer: words are views of it, and `slice` of a Buffer is not the copy that the type promises. Sockets
 * share one read buffer, so the view is made once.
 */
function plainView(bytes: Uint8Array): Uint8Array {
  if (bytes !== lastFed) {
    lastFed = bytes;
    lastView = new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length);
  }
  return lastView;
}

export class RequestParser {
  readonly args = new Args();
  /** Why the stream is BROKEN: the text after `ERR Protocol error: `, a byte a character. */
  error = '';
  /** See `ClientConnection.authenticated`. */
  authenticated = false;
  private readonly limits: { readonly protoMaxBulkBytes: number };
  private readonly pool: BufferPool;
  private bytes: Uint8Array = NOTHING;
  private at = 0;
  private end = 0;
  private wordsLeft = 0;
  /** Length of the bulk string whose header has been read, or -1. */
  private bulkLength = -1;
  /** The unfinished line that begins at `at` has no end before this offset. */
  private scannedTo = 0;
  private own: Buffer | undefined;

  constructor(limits: { readonly protoMaxBulkBytes: number }, pool: BufferPool) {
    this.limits = limits;
    this.pool = pool;
  }

  /** Bytes that wait to be parsed, the finished words of an unfinished command included. */
  get heldBytes(): number {
    return this.end - this.heldFrom();
  }

  /** Room left in the buffer that keeps them. */
  get freeBytes(): number {
    return this.own === undefined ? 0 : this.own.length - this.heldBytes;
  }

  /** Takes bytes[0, end), which the caller may reuse after the next `keep`. */
  feed(bytes: Uint8Array, end: number): void {
    if (this.own === undefined) {
      assert(this.at === this.end && this.wordsLeft === 0, 'what was fed before has been parsed or kept');
      this.bytes = plainView(bytes);
      this.at = 0;
      this.end = end;
      this.scannedTo = 0;
      return;
    }
    this.makeRoom(this.own, end);
    this.own.set(end === bytes.length ? bytes : bytes.subarray(0, end), this.end);
    this.end += end;
  }

  /** Sets `keys` to the keys, as far as can be told at a glance, of the commands that come next. */
  scout(keys: Args): void {
    keys.count = 0;
    if (this.wordsLeft === 0) scoutKeys(this.bytes, this.at, this.end, keys);
  }

  /** Moves what is not parsed into memory of our own, or lets that go when there is nothing. */
  keep(): void {
    if (this.at === this.end && this.wordsLeft === 0) {
      this.letGo();
      return;
    }
    if (this.own !== undefined) return;
    const from = this.heldFrom();
    const own = this.pool.take(this.end - from);
    own.set(this.bytes.subarray(from, this.end));
    this.adopt(own, from);
  }

  /** Forgets everything: the connection is gone. */
  letGo(): void {
    if (this.own !== undefined) this.pool.give(this.own);
    this.own = undefined;
    this.bytes = NOTHING;
    this.at = this.end = this.scannedTo = this.wordsLeft = 0;
    this.bulkLength = -1;
  }

  /** The next command is in `args` (COMMAND), or not all of it has come (NEED_MORE), or see `error` (BROKEN). */
  next(): Parsed {
    if (this.error !== '') return parsed.BROKEN;
    while (this.wordsLeft === 0) {
      if (this.at >= this.end) return parsed.NEED_MORE;
      if (this.bytes[this.at] !== STAR) {
        const line = this.inline();
        if (line !== parsed.COMMAND || this.args.count > 0) return line;
        continue;
      }
      const count = this.readLength();
      if (count === INCOMPLETE) return parsed.NEED_MORE;
      if (count === REFUSED) return parsed.BROKEN;
      this.args.count = 0;
      this.wordsLeft = count;
    }
    return this.words();
  }

  private words(): Parsed {
    const bytes = this.bytes;
    const end = this.end;
    const args = this.args;
    do {
      let length = this.bulkLength;
      if (length < 0) {
        length = this.readLength();
        if (length === INCOMPLETE) return parsed.NEED_MORE;
        if (length === REFUSED) return parsed.BROKEN;
      }
      const at = this.at;
      if (end - at < length + 2) {
        this.bulkLength = length;
        return parsed.NEED_MORE;
      }
      args.push(at, at + length);
      this.at = at + length + 2;
      this.bulkLength = -1;
    } while (--this.wordsLeft > 0);
    args.bytes = bytes;
    return parsed.COMMAND;
  }

  /**
   * Reads the header at `at`: `*count` between commands, else `$length`. A count ≤ 0 is read as 0. What is plain and
   * short is read here; the rest, and every error, is `readUnusualLength`'s.
   */
  private readLength(): number {
    const bytes = this.bytes;
    const start = this.at + 1;
    const last = Math.min(this.end - 1, start + FAST_DIGITS);
    let at = start;
    let value = 0;
    while (at < last) {
      const digit = (bytes[at] as number) - ZERO;
      if (digit < 0 || digit > 9) break;
      value = value * 10 + digit;
      at++;
    }
    const plain =
      at < this.end - 1 &&
      bytes[at] === CR &&
      at > start &&
      (bytes[start] !== ZERO || at === start + 1) &&
      (this.wordsLeft === 0 || bytes[start - 1] === DOLLAR);
    const allowed =
      value <= UNAUTHENTICATED_MAX_COUNT || (this.authenticated && value <= this.limits.protoMaxBulkBytes);
    if (!plain || !allowed) return this.readUnusualLength();
    this.at = at + 2;
    return value;
  }

  private readUnusualLength(): number {
    const isCount = this.wordsLeft === 0;
    const lineEnd = this.findInLine(CR);
    if (lineEnd < 0 || lineEnd - this.at > LINE_MAX_BYTES) {
      if (this.end - this.at <= LINE_MAX_BYTES) return INCOMPLETE;
      return this.refuse(isCount ? 'too big mbulk count string' : 'too big bulk count string');
    }
    if (lineEnd + 1 >= this.end) return INCOMPLETE;
    if (!isCount && this.bytes[this.at] !== DOLLAR) return this.refuse(unexpected(this.bytes[this.at] as number));
    const value = strictInteger(this.bytes, this.at + 1, lineEnd);
    const refusal = isCount ? this.refusalOfCount(value) : this.refusalOfLength(value);
    if (refusal !== undefined) return this.refuse(refusal);
    this.at = lineEnd + 2;
    this.scannedTo = this.at;
    return Math.max(value, 0);
  }

  private refusalOfCount(count: number): string | undefined {
    if (Number.isNaN(count) || count > MULTIBULK_MAX_COUNT) return 'invalid multibulk length';
    if (!this.authenticated && count > UNAUTHENTICATED_MAX_COUNT) return 'unauthenticated multibulk length';
    return undefined;
  }

  private refusalOfLength(length: number): string | undefined {
    if (Number.isNaN(length) || length < 0 || length > this.limits.protoMaxBulkBytes) return 'invalid bulk length';
    if (!this.authenticated && length > UNAUTHENTICATED_MAX_BULK_BYTES) return 'unauthenticated bulk length';
    return undefined;
  }

  private inline(): Parsed {
    const lineFeed = this.findInLine(LF);
    if (lineFeed < 0 || lineFeed - this.at > LINE_MAX_BYTES) {
      if (this.end - this.at <= LINE_MAX_BYTES) return parsed.NEED_MORE;
      this.refuse('too big inline request');
      return parsed.BROKEN;
    }
    const hasCr = lineFeed > this.at && this.bytes[lineFeed - 1] === CR;
    const line = this.bytes.subarray(this.at, hasCr ? lineFeed - 1 : lineFeed);
    this.at = lineFeed + 1;
    if (splitInline(line, this.args)) return parsed.COMMAND;
    this.refuse('unbalanced quotes in request');
    return parsed.BROKEN;
  }

  /** Offset of `needle` in the line that begins at `at`, -1 if it is not there or a NUL comes first. */
  private findInLine(needle: number): number {
    const bytes = this.bytes;
    for (let i = Math.max(this.at, this.scannedTo); i < this.end; i++) {
      const byte = bytes[i];
      if (byte === needle) {
        this.scannedTo = i;
        return i;
      }
      if (byte === NUL) {
        this.scannedTo = i;
        return -1;
      }
    }
    this.scannedTo = this.end;
    return -1;
  }

  private refuse(error: string): typeof REFUSED {
    this.error = error;
    return REFUSED;
  }

  /** Where what must be kept begins: at the first word of an unfinished command. */
  private heldFrom(): number {
    return this.wordsLeft > 0 && this.args.count > 0 ? (this.args.starts[0] as number) : this.at;
  }

  /** Makes `own` fit for `more` bytes: by moving its contents to its start if that gives enough, else by growing. */
  private makeRoom(own: Buffer, more: number): void {
    if (this.end + more <= own.length) return;
    const from = this.heldFrom();
    const needed = this.end - from + more;
    if (needed <= own.length && from >= this.end - from) {
      own.copyWithin(0, from, this.end);
      this.adopt(own, from);
      return;
    }
    const grown = this.pool.take(Math.max(needed, this.grownSize(own.length, from)));
    grown.set(own.subarray(from, this.end));
    this.pool.give(own);
    this.adopt(grown, from);
  }

  /** Twice the size, but not more than a last big word asks for. */
  private grownSize(size: number, from: number): number {
    if (this.wordsLeft !== 1 || this.bulkLength < 0) return size * 2;
    return Math.min(size * 2, this.at - from + this.bulkLength + 2);
  }

  /** What was at offset `from` of `bytes` is now at 0 of `own`. */
  private adopt(own: Buffer, from: number): void {
    if (own !== this.own) this.bytes = new Uint8Array(own.buffer, own.byteOffset, own.length);
    this.own = own;
    this.at -= from;
    this.end -= from;
    this.scannedTo = Math.max(this.scannedTo - from, 0);
    if (this.wordsLeft === 0) return;
    const { starts, ends, count } = this.args;
    for (let i = 0; i < count; i++) {
      starts[i] = (starts[i] as number) - from;
      ends[i] = (ends[i] as number) - from;
    }
  }
}

/** A decimal integer as Redis takes it: no blanks, no plus sign, no leading zeros. NaN for anything else. */
function strictInteger(bytes: Uint8Array, start: number, end: number): number {
  const isNegative = bytes[start] === MINUS;
  const first = isNegative ? start + 1 : start;
  const digits = end - first;
  if (digits < 1 || digits > 19 || (bytes[first] === ZERO && (digits > 1 || isNegative))) return NaN;
  let value = 0;
  for (let i = first; i < end; i++) {
    const digit = (bytes[i] as number) - ZERO;
    if (digit < 0 || digit > 9) return NaN;
    value = value * 10 + digit;
  }
  if (value >= 2 ** 63) return NaN;
  return isNegative ? -value : value;
}

function unexpected(byte: number): string {
  const shown = byte === CR || byte === LF ? ' ' : String.fromCharCode(byte);
  return `expected '$', got '${shown}'`;
}
