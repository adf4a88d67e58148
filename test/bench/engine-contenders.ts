/**
 * What the engine's benches drive: stores behind one face. All get the same write buffer and the same block cache, 10
 * bits of filter a key and no compression, as far as they have such things.
 */

export const KEY_BYTES = 16;

export interface Sizes {
  readonly writeBufferBytes: number;
  readonly blockCacheBytes: number;
}

/** Keys are numbers in 16 decimal digits. */
export interface Contender {
  readonly name: string;
  open(directory: string, sizes: Sizes): Promise<void>;
  close(): Promise<void>;
  /** One atomic batch. */
  putBatch(keys: Uint32Array, from: number, to: number, value: Uint8Array): Promise<void>;
  /** `to - from` separate writes, as many at a time as one turn of a server brings. */
  putSingles(keys: Uint32Array, from: number, to: number, value: Uint8Array): Promise<void>;
  /** To be called once before `putDurably`. */
  becomeDurable(): Promise<void>;
  /** Resolves when the write is on the disk. */
  putDurably(key: number, value: Uint8Array): Promise<void>;
  /** Number of keys that were there. */
  getAll(keys: Uint32Array, from: number, to: number): Promise<number>;
  /** Number of pairs seen. */
  scan(from: number, count: number, reverse: boolean): Promise<number>;
  /** Waits until nothing is compacted any more. */
  settle(): Promise<void>;
}

/** Writes `number` as 16 digits at target[at…]. */
export function writeKey(target: Uint8Array, at: number, number: number): void {
  let rest = number;
  for (let i = at + KEY_BYTES - 1; i >= at; i--) {
    // A division of small integers is quicker than one of doubles, and numbers are below 2^32.
    const tens = Math.floor(rest / 10);
    target[i] = 48 + (rest - tens * 10);
    rest = tens;
  }
}

export function keyOf(number: number): Uint8Array {
  const key = new Uint8Array(KEY_BYTES);
  writeKey(key, 0, number);
  return key;
}

/** The next turn of the event loop. */
export const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** xorshift32: numbers in [0, 1) from a seed, which is mixed first (murmur3) so that neighbouring seeds are unlike each other. */
export function generator(seed: number): () => number {
  let state = seed + 1;
  state = Math.imul(state ^ (state >>> 16), 0x85ebca6b);
  state = Math.imul(state ^ (state >>> 13), 0xc2b2ae35);
  state ^= state >>> 16;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32;
  };
}

/** `count` numbers below `below`, drawn at random. */
export function drawn(count: number, below: number, random: () => number): Uint32Array {
  return Uint32Array.from({ length: count }, () => Math.floor(random() * below));
}

/** Numbers below `count`, each once, in an order drawn from `random`. */
export function shuffled(count: number, random: () => number): Uint32Array {
  const numbers = Uint32Array.from({ length: count }, (_, i) => i);
  for (let i = count - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    const other = numbers[j] as number;
    numbers[j] = numbers[i] as number;
    numbers[i] = other;
  }
  return numbers;
}

/** Runs `run` over [0, count) in parts. */
export async function inParts(
  count: number,
  part: number,
  run: (from: number, to: number) => Promise<unknown>,
): Promise<void> {
  for (let from = 0; from < count; from += part) await run(from, Math.min(from + part, count));
}
