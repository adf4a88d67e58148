/**
 * LZF, the compression of strings in RDB (Marc Lehmann's LibLZF; written from the description of the format):
 *
 * ```
 * 000LLLLL                      L + 1 literal bytes follow
 * LLLooooo oooooooo             copy L + 2 bytes (L from 1 to 6) from o + 1 bytes back
 * 111ooooo LLLLLLLL oooooooo    copy L + 9 bytes from o + 1 bytes back
 * ```
 *
 * A copy may overlap what it writes. The stream is valid if its parts fill the announced length exactly and no copy
 * reaches before the start.
 */

const MAX_LITERALS = 32;
const MAX_OFFSET = 8192;
const MIN_MATCH = 3;
const MAX_MATCH = 264;
const HASH_BITS = 14;

/** Bytes that one byte of a stream can stand for at most: 3 bytes for 264. */
const MAX_RATIO = 88;

/**
 * Where a sequence of three bytes was last seen, by its hash: `base` + the place. What is below `base` is of strings
 * before, so that a short string does not pay for emptying the table.
 */
const seen = new Int32Array(1 << HASH_BITS);
let base = 1;

/** `base` starts over before places beyond the table's integers. */
const MAX_BASE = 2 ** 30;

/** The compressed form of `bytes` when it has at most `limit` bytes, else undefined. */
export function compressLzf(bytes: Uint8Array, limit: number): Uint8Array | undefined {
  if (base > MAX_BASE) {
    seen.fill(0);
    base = 1;
  }
  const found = compress(bytes, limit);
  base += bytes.length;
  return found;
}

function compress(bytes: Uint8Array, limit: number): Uint8Array | undefined {
  const out = new Uint8Array(limit + MAX_LITERALS + 4);
  let end = 0;
  let literals = 0;
  for (let at = 0; at < bytes.length;) {
    const match = findMatch(bytes, at);
    if (match === undefined) {
      at++;
      literals++;
      if (literals === MAX_LITERALS || at === bytes.length) {
        end = writeLiterals(out, end, bytes, at - literals, literals);
        literals = 0;
      }
    } else {
      if (literals > 0) end = writeLiterals(out, end, bytes, at - literals, literals);
      literals = 0;
      end = writeCopy(out, end, match.offset, match.length);
      const next = at + match.length;
      // The sequences inside the copy can be found too; the first few suffice.
      for (let i = at + 1; i < Math.min(at + 4, next, bytes.length - 2); i++) remember(bytes, i);
      at = next;
    }
    if (end > limit) return undefined;
  }
  return out.slice(0, end);
}

/** The `length` bytes that the stream stands for; undefined when it is not valid. */
export function decompressLzf(stream: Uint8Array, length: number): Uint8Array | undefined {
  // Memory must not follow a length that was only announced.
  if (length > stream.length * MAX_RATIO) return undefined;
  const out = new Uint8Array(length);
  let end = 0;
  for (let at = 0; at < stream.length;) {
    const control = stream[at++] as number;
    if (control < MAX_LITERALS) {
      const count = control + 1;
      if (at + count > stream.length || end + count > length) return undefined;
      out.set(stream.subarray(at, at + count), end);
      at += count;
      end += count;
      continue;
    }
    let count = (control >> 5) + 2;
    if (count === 9) count += stream[at++] ?? length;
    const low = stream[at++];
    if (low === undefined) return undefined;
    const from = end - (((control & 0x1f) << 8) | low) - 1;
    if (from < 0 || end + count > length) return undefined;
    for (let i = 0; i < count; i++) out[end + i] = out[from + i] as number;
    end += count;
  }
  return end === length ? out : undefined;
}

function findMatch(bytes: Uint8Array, at: number): { offset: number; length: number } | undefined {
  if (at + MIN_MATCH > bytes.length) return undefined;
  const from = remember(bytes, at);
  if (from < 0 || at - from > MAX_OFFSET) return undefined;
  const longest = Math.min(bytes.length - at, MAX_MATCH);
  let length = 0;
  while (length < longest && bytes[from + length] === bytes[at + length]) length++;
  return length < MIN_MATCH ? undefined : { offset: at - from, length };
}

/** Notes where the three bytes at `at` are, and returns where such were before, or −1. */
function remember(bytes: Uint8Array, at: number): number {
  const key = ((bytes[at] as number) << 16) | ((bytes[at + 1] as number) << 8) | (bytes[at + 2] as number);
  const hash = Math.imul(key, 0x9e37_79b1) >>> (32 - HASH_BITS);
  const before = (seen[hash] as number) - base;
  seen[hash] = base + at;
  return before < 0 ? -1 : before;
}

function writeLiterals(out: Uint8Array, end: number, bytes: Uint8Array, from: number, count: number): number {
  if (end + 1 + count > out.length) return out.length;
  out[end] = count - 1;
  out.set(bytes.subarray(from, from + count), end + 1);
  return end + 1 + count;
}

function writeCopy(out: Uint8Array, end: number, offset: number, length: number): number {
  const back = offset - 1;
  const count = length - 2;
  let at = end;
  if (count < 7) out[at++] = (count << 5) | (back >> 8);
  else {
    out[at++] = 0xe0 | (back >> 8);
    out[at++] = count - 7;
  }
  out[at++] = back & 0xff;
  return at;
}
