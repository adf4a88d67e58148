/**
 * MurmurHash64A (Austin Appleby, public domain) with the seed that Redis gives it, as register and rank of an element. In
 * halves of 32 bits: BigInts would cost more than the rest of PFADD.
 */

const SEED = 0xadc83b19;

/** The multiplier 0xc6a4a7935bd1e995 in halves. */
const MULTIPLIER_HIGH = 0xc6a4a793;
const MULTIPLIER_LOW = 0x5bd1e995;

/** Shift by 47 bits: what the high half loses to the low one. */
const FOLD = 15;

/** Bits of a hash that name the register; the rest is its rank. */
export const REGISTER_BITS = 14;

let high = 0;
let low = 0;

/** (high, low) of the product with the multiplier, modulo 2^64. */
function multiply(h: number, l: number): void {
  const a = l >>> 16;
  const b = l & 0xffff;
  const c = MULTIPLIER_LOW >>> 16;
  const d = MULTIPLIER_LOW & 0xffff;
  const middle = a * d + Math.floor((b * d) / 0x10000);
  const carried = b * c + (middle & 0xffff);
  const upper = a * c + Math.floor(middle / 0x10000) + Math.floor(carried / 0x10000);
  high = (upper + Math.imul(h, MULTIPLIER_LOW) + Math.imul(l, MULTIPLIER_HIGH)) >>> 0;
  low = Math.imul(l, MULTIPLIER_LOW) >>> 0;
}

function wordAt(bytes: Uint8Array, at: number): number {
  return (
    ((bytes[at] as number) |
      ((bytes[at + 1] as number) << 8) |
      ((bytes[at + 2] as number) << 16) |
      ((bytes[at + 3] as number) << 24)) >>>
    0
  );
}

function hash(bytes: Uint8Array): void {
  const { length } = bytes;
  multiply(0, length);
  let h = high;
  let l = (low ^ SEED) >>> 0;
  const whole = length & ~7;
  for (let at = 0; at < whole; at += 8) {
    multiply(wordAt(bytes, at + 4), wordAt(bytes, at));
    multiply(high, (low ^ (high >>> FOLD)) >>> 0);
    multiply(h ^ high, l ^ low);
    h = high;
    l = low;
  }
  if (whole < length) {
    for (let i = length - 1; i >= whole; i--) {
      const byte = bytes[i] as number;
      if (i - whole >= 4) h ^= byte << (8 * (i - whole - 4));
      else l ^= byte << (8 * (i - whole));
    }
    multiply(h >>> 0, l >>> 0);
    h = high;
    l = low;
  }
  multiply(h >>> 0, (l ^ (h >>> FOLD)) >>> 0);
  low = (low ^ (high >>> FOLD)) >>> 0;
}

/** The hash of the bytes in hexadecimal: for tests. */
export function murmur64(bytes: Uint8Array): string {
  hash(bytes);
  return high.toString(16).padStart(8, '0') + low.toString(16).padStart(8, '0');
}

/** Of the element that was hashed last. */
export let register = 0;
/** 1 to 51: one more than the zeros at the low end of the hash's other 50 bits. */
export let rank = 0;

/** Tells `register` and `rank` of an element. */
export function place(element: Uint8Array): void {
  hash(element);
  register = low & ((1 << REGISTER_BITS) - 1);
  const rest = (low >>> REGISTER_BITS) | (high << (32 - REGISTER_BITS));
  if (rest !== 0) rank = 32 - Math.clz32(rest & -rest);
  else {
    // A one above the last bit ends the count.
    const upper = (high >>> REGISTER_BITS) | (1 << (32 - REGISTER_BITS));
    rank = 64 - Math.clz32(upper & -upper);
  }
}
