/**
 * What an engine was told, as an ordered map with its past: the yardstick of the engine's simulation.
 *
 * Invariants: `current` is `base` after all `batches`; a crash may take it back to `base` after the first k of them,
 * where k is at least `powerSafe` when the power went, and at least `killSafe` when only the process died.
 */

import { compareBytes } from '../../src/bytes.ts';

export type Change =
  | { readonly kind: 'put'; readonly key: Uint8Array; readonly value: Uint8Array }
  | { readonly kind: 'delete'; readonly key: Uint8Array }
  | { readonly kind: 'deleteRange'; readonly from: Uint8Array; readonly to: Uint8Array };

export interface Pair {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
}

/** Keys by their bytes as text: one character a byte. */
export type State = Map<string, Pair>;

interface Batch {
  readonly changes: readonly Change[];
  readonly lastSequence: number;
  readonly writtenAtUs: number;
  /** Fingerprint of the state after this batch. */
  readonly fingerprint: string;
}

export function textKey(key: Uint8Array): string {
  return Buffer.from(key.buffer, key.byteOffset, key.length).toString('latin1');
}

/** A sum over the pairs that does not depend on their order. */
class Fingerprint {
  #low = 0;
  #high = 0;

  static of(state: State): string {
    const sum = new Fingerprint();
    for (const pair of state.values()) sum.toggle(pair);
    return sum.text;
  }

  toggle(pair: Pair): void {
    let low = 0x811c9dc5 ^ pair.key.length;
    let high = 0x9747b28c ^ pair.value.length;
    for (const bytes of [pair.key, pair.value]) {
      for (const byte of bytes) {
        low = Math.imul(low ^ byte, 0x01000193);
        high = Math.imul((high << 5) ^ (high >>> 27) ^ byte, 0x85ebca6b);
      }
    }
    this.#low ^= low;
    this.#high ^= high;
  }

  get text(): string {
    return `${(this.#low >>> 0).toString(16)}.${(this.#high >>> 0).toString(16)}`;
  }
}

function apply(state: State, change: Change, toggled: (pair: Pair) => void): void {
  if (change.kind === 'deleteRange') {
    for (const [text, pair] of state) {
      if (compareBytes(pair.key, change.from) < 0 || compareBytes(pair.key, change.to) >= 0) continue;
      toggled(pair);
      state.delete(text);
    }
    return;
  }
  const text = textKey(change.key);
  const old = state.get(text);
  if (old !== undefined) toggled(old);
  if (change.kind === 'delete') {
    state.delete(text);
    return;
  }
  const pair = { key: change.key, value: change.value };
  toggled(pair);
  state.set(text, pair);
}

export class BatchHistory {
  readonly current: State = new Map();
  readonly #fingerprint = new Fingerprint();
  #base: State = new Map();
  #batches: Batch[] = [];
  #powerSafe = 0;
  #killSafe = 0;

  get batchCount(): number {
    return this.#batches.length;
  }

  get powerSafe(): number {
    return this.#powerSafe;
  }

  get killSafe(): number {
    return this.#killSafe;
  }

  append(changes: readonly Change[], lastSequence: number, writtenAtUs: number): void {
    for (const change of changes) apply(this.current, change, (pair) => this.#fingerprint.toggle(pair));
    this.#batches.push({ changes, lastSequence, writtenAtUs, fingerprint: this.#fingerprint.text });
  }

  /** Number of batches up to this sequence. */
  countUpTo(sequence: number): number {
    let count = this.#killSafe;
    while (count < this.#batches.length && (this.#batches[count] as Batch).lastSequence <= sequence) count++;
    return count;
  }

  /** Number of batches written no later than this. */
  countWrittenBy(us: number): number {
    let count = 0;
    while (count < this.#batches.length && (this.#batches[count] as Batch).writtenAtUs <= us) count++;
    return count;
  }

  /** The first `count` batches survive the end of the process, and with `power` of the machine. */
  promise(count: number, power: boolean): void {
    this.#killSafe = Math.max(this.#killSafe, count);
    if (power) this.#powerSafe = Math.max(this.#powerSafe, count);
  }

  /** Promises that rest on the operating system's cache are void once the power has gone. */
  powerLost(): void {
    this.#killSafe = this.#powerSafe;
  }

  /** A failed sync voids what only the cache held; so does damage, for all promises. */
  voidPromises(): void {
    this.#killSafe = 0;
    this.#powerSafe = 0;
  }

  /** State after the first `count` batches. */
  stateAfter(count: number): State {
    const state = new Map(this.#base);
    for (const batch of this.#batches.slice(0, count)) {
      for (const change of batch.changes) apply(state, change, () => {});
    }
    return state;
  }

  /**
   * Looks for the number of batches, from `least` to `most`, whose state this is; -1: it is none. The largest wins, since
   * equal states cannot be told apart.
   */
  find(state: State, least: number, most = this.#batches.length): number {
    const wanted = Fingerprint.of(state);
    for (let count = most; count >= least; count--) {
      const fingerprint = count === 0 ? Fingerprint.of(this.#base) : (this.#batches[count - 1] as Batch).fingerprint;
      if (fingerprint === wanted && difference(this.stateAfter(count), state) === undefined) return count;
    }
    return -1;
  }

  /** The engine was opened and has the first `count` batches, all of them durable from now on. */
  rebase(count: number): void {
    const state = this.stateAfter(count);
    for (const pair of this.current.values()) this.#fingerprint.toggle(pair);
    this.current.clear();
    for (const [text, pair] of state) {
      this.current.set(text, pair);
      this.#fingerprint.toggle(pair);
    }
    this.#base = state;
    this.#batches = [];
    this.#powerSafe = 0;
    this.#killSafe = 0;
  }
}

/** What tells two states apart, in words; undefined: they are equal. */
export function difference(expected: State, actual: State): string | undefined {
  for (const [text, pair] of expected) {
    const other = actual.get(text);
    if (other === undefined) return `key ${printable(pair.key)} is missing`;
    if (compareBytes(pair.value, other.value) !== 0) {
      return `key ${printable(pair.key)} has ${printable(other.value)} where ${printable(pair.value)} was written`;
    }
  }
  for (const [text, pair] of actual) {
    if (!expected.has(text)) return `key ${printable(pair.key)} = ${printable(pair.value)} should not be there`;
  }
  return undefined;
}

/** Bytes for a message: the beginning as hexadecimal, and the length. */
export function printable(bytes: Uint8Array): string {
  const head = Buffer.from(bytes.subarray(0, 24)).toString('hex');
  return bytes.length > 24 ? `${head}… (${bytes.length} bytes)` : `${head} (${bytes.length} bytes)`;
}

/** The pairs in [lower, upper) in the order of a cursor. */
export function rangeOf(
  state: State,
  range: { readonly lower?: Uint8Array; readonly upper?: Uint8Array; readonly reverse?: boolean },
): Pair[] {
  const pairs = [...state.values()].filter(
    ({ key }) =>
      (range.lower === undefined || compareBytes(key, range.lower) >= 0) &&
      (range.upper === undefined || compareBytes(key, range.upper) < 0),
  );
  pairs.sort((a, b) => compareBytes(a.key, b.key));
  return range.reverse === true ? pairs.reverse() : pairs;
}
