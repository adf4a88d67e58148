/**
 * XXH3, 64 bits, seed 0 (Yann Collet; specification: github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md), as
 * Redis's DIGEST shows it: 16 hexadecimal digits.
 *
 * Written from the specification. Values up to 240 bytes go through BigInt arithmetic, a few dozen operations. Longer
 * ones are taken in stripes of 64 bytes over eight 64-bit accumulators, kept as pairs of 32-bit halves, so that a
 * megabyte takes milliseconds.
 */

const U64 = 0xffff_ffff_ffff_ffffn;
const PRIME32_1 = 0x9e37_79b1;
const P32_1 = BigInt(PRIME32_1);
const P32_2 = 0x85eb_ca77n;
const P32_3 = 0xc2b2_ae3dn;
const P64_1 = 0x9e37_79b1_85eb_ca87n;
const P64_2 = 0xc2b2_ae3d_27d4_eb4fn;
const P64_3 = 0x1656_67b1_9e37_79f9n;
const P64_4 = 0x85eb_ca77_c2b2_ae63n;
const P64_5 = 0x27d4_eb2f_1656_67c5n;
const PRIME_MX1 = 0x1656_6791_9e37_79f9n;
const PRIME_MX2 = 0x9fb2_1c65_1e98_df25n;

/** The default secret of the specification: 192 bytes. */
const SECRET = Uint8Array.from(
  Buffer.from(
    'b8fe6c3923a44bbe7c01812cf721ad1cded46de9839097db7240a4a4b7b3671fcb79e64eccc0e578825ad07dccff7221b8084674f743248e' +
      'e03590e6813a264c3c2852bb91c300cb88d0658b1b532ea371644897a20df94e3819ef46a9deacd8a8fa763fe39c343ff9dcbbc7c70b4f1d8a' +
      '51e04bcdb45931c89f7ec9d9787364eac5ac8334d3ebc3c581a0fffa1363eb170ddd51b7f0da49d316552629d4689e2b16be587d47a1fc8f' +
      'f8b8d17ad031ce45cb3a8f95160428afd7fbcabb4b407e',
    'hex',
  ),
);

const STRIPE_BYTES = 64;
const SECRET_STEP = 8;
const STRIPES_PER_BLOCK = (SECRET.length - STRIPE_BYTES) / SECRET_STEP;
const BLOCK_BYTES = STRIPE_BYTES * STRIPES_PER_BLOCK;
/** Where the last stripe and the final merge take their part of the secret. */
const LAST_STRIPE_SECRET = SECRET.length - STRIPE_BYTES - 7;
const MERGE_SECRET = 11;

/** The XXH3 hash of the bytes as 16 lower-case hexadecimal digits. */
export function xxh3(bytes: Uint8Array): string {
  return hash(bytes).toString(16).padStart(16, '0');
}

function hash(bytes: Uint8Array): bigint {
  const { length } = bytes;
  if (length > 240) return hashLong(bytes);
  if (length > 128) return hashUpTo240(bytes);
  if (length > 16) return hashUpTo128(bytes);
  if (length > 8) return hashUpTo16(bytes);
  if (length >= 4) return hashUpTo8(bytes);
  if (length > 0) return hashUpTo3(bytes);
  return avalanche64(read64(SECRET, 56) ^ read64(SECRET, 64));
}

function hashUpTo3(bytes: Uint8Array): bigint {
  const { length } = bytes;
  const first = bytes[0] as number;
  const middle = bytes[length >> 1] as number;
  const last = bytes[length - 1] as number;
  const combined = BigInt(((first << 16) | (middle << 24) | last | (length << 8)) >>> 0);
  return avalanche64(combined ^ (read32(SECRET, 0) ^ read32(SECRET, 4)));
}

function hashUpTo8(bytes: Uint8Array): bigint {
  const length = BigInt(bytes.length);
  const combined = read32(bytes, bytes.length - 4) | (read32(bytes, 0) << 32n);
  let h = read64(SECRET, 8) ^ read64(SECRET, 16) ^ combined;
  h ^= rotate(h, 49n) ^ rotate(h, 24n);
  h = (h * PRIME_MX2) & U64;
  h ^= (h >> 35n) + length;
  h = (h * PRIME_MX2) & U64;
  return h ^ (h >> 28n);
}

function hashUpTo16(bytes: Uint8Array): bigint {
  const low = read64(SECRET, 24) ^ read64(SECRET, 32) ^ read64(bytes, 0);
  const high = read64(SECRET, 40) ^ read64(SECRET, 48) ^ read64(bytes, bytes.length - 8);
  return avalanche((BigInt(bytes.length) + swapBytes(low) + high + foldedProduct(low, high)) & U64);
}

function hashUpTo128(bytes: Uint8Array): bigint {
  const { length } = bytes;
  let sum = BigInt(length) * P64_1;
  for (let i = (length - 1) >> 5; i >= 0; i--) {
    sum += mix16(bytes, i * 16, i * 32) + mix16(bytes, length - (i + 1) * 16, i * 32 + 16);
  }
  return avalanche(sum & U64);
}

function hashUpTo240(bytes: Uint8Array): bigint {
  const { length } = bytes;
  let sum = BigInt(length) * P64_1;
  for (let i = 0; i < 8; i++) sum += mix16(bytes, i * 16, i * 16);
  sum = avalanche(sum & U64);
  for (let i = 8; i < length >> 4; i++) sum += mix16(bytes, i * 16, (i - 8) * 16 + 3);
  sum += mix16(bytes, length - 16, 136 - 17);
  return avalanche(sum & U64);
}

function mix16(bytes: Uint8Array, at: number, secretAt: number): bigint {
  return foldedProduct(
    read64(bytes, at) ^ read64(SECRET, secretAt),
    read64(bytes, at + 8) ^ read64(SECRET, secretAt + 8),
  );
}

/** The eight accumulators as 32-bit halves, the low half first. */
const accumulators = new Uint32Array(16);
const START = [P32_3, P64_1, P64_2, P64_3, P64_4, P32_2, P64_5, P32_1];

function hashLong(bytes: Uint8Array): bigint {
  const { length } = bytes;
  START.forEach((value, i) => {
    accumulators[2 * i] = Number(value & 0xffff_ffffn);
    accumulators[2 * i + 1] = Number(value >> 32n);
  });
  const blocks = Math.floor((length - 1) / BLOCK_BYTES);
  for (let block = 0; block < blocks; block++) {
    for (let i = 0; i < STRIPES_PER_BLOCK; i++) {
      addStripe(bytes, block * BLOCK_BYTES + i * STRIPE_BYTES, i * SECRET_STEP);
    }
    scramble();
  }
  const rest = blocks * BLOCK_BYTES;
  const stripes = Math.floor((length - 1 - rest) / STRIPE_BYTES);
  for (let i = 0; i < stripes; i++) addStripe(bytes, rest + i * STRIPE_BYTES, i * SECRET_STEP);
  addStripe(bytes, length - STRIPE_BYTES, LAST_STRIPE_SECRET);
  return mergeAccumulators(BigInt(length) * P64_1);
}

/** Adds one stripe: each lane gets its neighbour's bytes and the product of the halves of its own, keyed bytes. */
function addStripe(bytes: Uint8Array, at: number, secretAt: number): void {
  const acc = accumulators;
  for (let lane = 0; lane < 16; lane += 2) {
    const from = at + lane * 4;
    const key = secretAt + lane * 4;
    const low = word(bytes, from);
    const high = word(bytes, from + 4);
    add64(acc, lane ^ 2, low, high);
    addProduct(acc, lane, (low ^ word(SECRET, key)) >>> 0, (high ^ word(SECRET, key + 4)) >>> 0);
  }
}

/** Each lane: x ^= x >> 47, x ^= secret, x *= PRIME32_1. */
function scramble(): void {
  const acc = accumulators;
  const secretAt = SECRET.length - STRIPE_BYTES;
  for (let lane = 0; lane < 16; lane += 2) {
    const high = acc[lane + 1] as number;
    const low = (acc[lane] as number) ^ (high >>> 15) ^ word(SECRET, secretAt + lane * 4);
    acc[lane] = 0;
    acc[lane + 1] = Math.imul(high ^ word(SECRET, secretAt + lane * 4 + 4), PRIME32_1);
    addProduct(acc, lane, low >>> 0, PRIME32_1);
  }
}

function mergeAccumulators(start: bigint): bigint {
  let sum = start;
  for (let i = 0; i < 4; i++) {
    const first = accumulator(2 * i) ^ read64(SECRET, MERGE_SECRET + 16 * i);
    const second = accumulator(2 * i + 1) ^ read64(SECRET, MERGE_SECRET + 16 * i + 8);
    sum += foldedProduct(first, second);
  }
  return avalanche(sum & U64);
}

function accumulator(lane: number): bigint {
  return BigInt(accumulators[2 * lane] as number) | (BigInt(accumulators[2 * lane + 1] as number) << 32n);
}

function add64(acc: Uint32Array, at: number, low: number, high: number): void {
  const sum = (acc[at] as number) + low;
  acc[at] = sum;
  acc[at + 1] = (acc[at + 1] as number) + high + (sum > 0xffff_ffff ? 1 : 0);
}

/** acc += a × b, both u32. No partial sum reaches 2^32. */
function addProduct(acc: Uint32Array, at: number, a: number, b: number): void {
  const aLow = a & 0xffff;
  const aHigh = a >>> 16;
  const bLow = b & 0xffff;
  const bHigh = b >>> 16;
  const middle = aHigh * bLow + ((aLow * bLow) >>> 16);
  const cross = aLow * bHigh + (middle & 0xffff);
  add64(acc, at, Math.imul(a, b) >>> 0, aHigh * bHigh + (middle >>> 16) + (cross >>> 16));
}

function word(bytes: Uint8Array, at: number): number {
  return (
    ((bytes[at] as number) |
      ((bytes[at + 1] as number) << 8) |
      ((bytes[at + 2] as number) << 16) |
      ((bytes[at + 3] as number) << 24)) >>>
    0
  );
}

function read32(bytes: Uint8Array, at: number): bigint {
  return BigInt(word(bytes, at));
}

function read64(bytes: Uint8Array, at: number): bigint {
  return BigInt(word(bytes, at)) | (BigInt(word(bytes, at + 4)) << 32n);
}

function rotate(value: bigint, bits: bigint): bigint {
  return ((value << bits) | (value >> (64n - bits))) & U64;
}

function swapBytes(value: bigint): bigint {
  let swapped = 0n;
  for (let i = 0n; i < 64n; i += 8n) swapped = (swapped << 8n) | ((value >> i) & 0xffn);
  return swapped;
}

/** The high and low half of the 128-bit product, combined by exclusive or. */
function foldedProduct(a: bigint, b: bigint): bigint {
  const product = a * b;
  return (product & U64) ^ (product >> 64n);
}

/** The finish of XXH3. */
function avalanche(value: bigint): bigint {
  let h = value ^ (value >> 37n);
  h = (h * PRIME_MX1) & U64;
  return h ^ (h >> 32n);
}

/** The finish of XXH64. */
function avalanche64(value: bigint): bigint {
  let h = value ^ (value >> 33n);
  h = (h * P64_2) & U64;
  h ^= h >> 29n;
  h = (h * P64_3) & U64;
  return h ^ (h >> 32n);
}
