/** Byte strings: compare, copy, and the text conversions that Redis's protocol needs. */

export const EMPTY = new Uint8Array(0);

const encoder = new TextEncoder();

/** UTF-8 bytes of `text`. */
export function utf8(text: string): Uint8Array {
  return encoder.encode(text);
}

/** `bytes` as UTF-8 text; invalid sequences become U+FFFD. */
export function textOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('utf8');
}

/** Up to this length bytes are moved one by one, which is quicker than a view on them. */
const SHORT = 64;

const short = Buffer.allocUnsafeSlow(SHORT);

/** One character per byte. */
export function latin1(bytes: Uint8Array, start = 0, end = bytes.length): string {
  if (end - start <= SHORT && !(bytes instanceof Buffer)) {
    for (let i = start; i < end; i++) short[i - start] = bytes[i] as number;
    return short.toString('latin1', 0, end - start);
  }
  const buffer = bytes instanceof Buffer ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  return buffer.toString('latin1', start, end);
}

/** A copy that owns its memory. */
export function copyOf(bytes: Uint8Array): Uint8Array {
  const copy = new Uint8Array(bytes.length);
  copy.set(bytes);
  return copy;
}

/** Order of unsigned bytes, a prefix before what it begins: negative, 0 or positive. */
export function compareBytes(a: Uint8Array, b: Uint8Array): number {
  return compareRanges(a, 0, a.length, b, 0, b.length);
}

export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && compareRanges(a, 0, a.length, b, 0, b.length) === 0;
}

/** `compareBytes` of a[aStart, aEnd) and b[bStart, bEnd). */
export function compareRanges(
  a: Uint8Array,
  aStart: number,
  aEnd: number,
  b: Uint8Array,
  bStart: number,
  bEnd: number,
): number {
  const length = Math.min(aEnd - aStart, bEnd - bStart);
  for (let i = 0; i < length; i++) {
    const difference = (a[aStart + i] as number) - (b[bStart + i] as number);
    if (difference !== 0) return difference;
  }
  return aEnd - aStart - (bEnd - bStart);
}

export function concatBytes(...parts: readonly Uint8Array[]): Uint8Array {
  let length = 0;
  for (const part of parts) length += part.length;
  const whole = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** Index of `needle` in `bytes[from, end)`, or -1. */
export function indexOfByte(bytes: Uint8Array, needle: number, from: number, end: number): number {
  const at = bytes.indexOf(needle, from);
  return at >= 0 && at < end ? at : -1;
}
