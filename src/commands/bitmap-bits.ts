/** Bits of a string: bit 0 is the highest of the first byte, as Redis counts them. Pure functions over bytes. */

/** Number of ones in each byte. */
const ONES = Uint8Array.from({ length: 256 }, (_, byte) => {
  let ones = 0;
  for (let rest = byte; rest !== 0; rest &= rest - 1) ones++;
  return ones;
});

/** Below so many bytes a loop over bytes is quicker than making a view of words. */
const WORDS_FROM_BYTES = 64;

/** The bit at `offset`; beyond the end: 0. */
export function bitAt(bytes: Uint8Array, offset: number): 0 | 1 {
  const byte = bytes[Math.floor(offset / 8)] ?? 0;
  return ((byte >> (7 - (offset % 8))) & 1) as 0 | 1;
}

/** Number of ones in bytes[start, end). */
export function countOnes(bytes: Uint8Array, start: number, end: number): number {
  let ones = 0;
  let at = start;
  if (end - start >= WORDS_FROM_BYTES) {
    const aligned = start + ((4 - ((bytes.byteOffset + start) & 3)) & 3);
    for (; at < aligned; at++) ones += ONES[bytes[at] as number] as number;
    const words = new Int32Array(bytes.buffer, bytes.byteOffset + aligned, (end - aligned) >> 2);
    for (let i = 0; i < words.length; i++) ones += onesOfWord(words[i] as number);
    at = aligned + 4 * words.length;
  }
  for (; at < end; at++) ones += ONES[bytes[at] as number] as number;
  return ones;
}

/** Ones of 32 bits, counted in pairs, fours, bytes (Hacker's Delight, section 5-1). */
function onesOfWord(word: number): number {
  const pairs = word - ((word >>> 1) & 0x55555555);
  const fours = (pairs & 0x33333333) + ((pairs >>> 2) & 0x33333333);
  return Math.imul((fours + (fours >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24;
}

/** Number of ones among the bits [first, last]. Requires: 0 ≤ first ≤ last < 8 × length. */
export function countOnesOfBits(bytes: Uint8Array, first: number, last: number): number {
  const start = Math.floor(first / 8);
  const end = Math.floor(last / 8);
  const before = (bytes[start] as number) & ~(0xff >> (first % 8));
  const after = (bytes[end] as number) & (0xff >> ((last % 8) + 1));
  return countOnes(bytes, start, end + 1) - (ONES[before & 0xff] as number) - (ONES[after] as number);
}

/** Place of the first bit that is `bit` among the bits [first, last]; -1: there is none. Requires as above. */
export function findBit(bytes: Uint8Array, bit: 0 | 1, first: number, last: number): number {
  const passed = bit === 1 ? 0 : 0xff;
  const end = Math.floor(last / 8);
  for (let at = Math.floor(first / 8); at <= end; at++) {
    if (bytes[at] === passed) continue;
    const from = Math.max(first, at * 8);
    const to = Math.min(last, at * 8 + 7);
    for (let offset = from; offset <= to; offset++) if (bitAt(bytes, offset) === bit) return offset;
  }
  return -1;
}

/**
 * `DIFF`: in the first and in no other; `DIFF1`: in others and not in the first; `ANDOR`: in the first and in others; `ONE`: in
 * exactly one (Redis 8.2).
 */
export type BitOperation = 'AND' | 'OR' | 'XOR' | 'NOT' | 'DIFF' | 'DIFF1' | 'ANDOR' | 'ONE';

/** The sources combined bit by bit, shorter ones followed by zeros; NOT takes one source. Requires: at least one. */
export function combineBits(operation: BitOperation, sources: readonly Uint8Array[]): Uint8Array {
  const first = sources[0] as Uint8Array;
  const result = new Uint8Array(Math.max(...sources.map((source) => source.length)));
  if (operation === 'NOT') {
    for (let i = 0; i < result.length; i++) result[i] = ~(first[i] as number);
    return result;
  }
  result.set(first);
  const others = sources.slice(1);
  if (operation === 'AND' || operation === 'OR' || operation === 'XOR') {
    for (const source of others) combineInto(operation, result, source);
  } else if (operation === 'ONE') keepSingle(result, others);
  else compareWithOthers(operation, result, others);
  return result;
}

/** The bits that exactly one of the strings has; `result` has those of the first. */
function keepSingle(result: Uint8Array, others: readonly Uint8Array[]): void {
  const several = new Uint8Array(result.length);
  for (const source of others) {
    for (let i = 0; i < source.length; i++) {
      several[i] = (several[i] as number) | ((result[i] as number) & (source[i] as number));
      result[i] = (result[i] as number) | (source[i] as number);
    }
  }
  for (let i = 0; i < result.length; i++) result[i] = (result[i] as number) & ~(several[i] as number);
}

/** `result` has the bits of the first string. */
function compareWithOthers(
  operation: 'DIFF' | 'DIFF1' | 'ANDOR',
  result: Uint8Array,
  others: readonly Uint8Array[],
): void {
  const united = new Uint8Array(result.length);
  for (const source of others) combineInto('OR', united, source);
  for (let i = 0; i < result.length; i++) {
    const mine = result[i] as number;
    const theirs = united[i] as number;
    result[i] = operation === 'DIFF' ? mine & ~theirs : operation === 'DIFF1' ? theirs & ~mine : mine & theirs;
  }
}

function combineInto(operation: 'AND' | 'OR' | 'XOR', result: Uint8Array, source: Uint8Array): void {
  const { length } = source;
  if (operation === 'AND') {
    for (let i = 0; i < length; i++) result[i] = (result[i] as number) & (source[i] as number);
    result.fill(0, length);
  } else if (operation === 'OR') {
    for (let i = 0; i < length; i++) result[i] = (result[i] as number) | (source[i] as number);
  } else {
    for (let i = 0; i < length; i++) result[i] = (result[i] as number) ^ (source[i] as number);
  }
}
