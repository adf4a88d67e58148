/**
 * Which records survive a flush or a compaction.
 *
 * Live snapshots cut the sequences into stripes: two records of a key in one stripe are seen by the same snapshots, so
 * only the newer one can ever be read. Stripe i ends at the i-th smallest snapshot; the last stripe has no end, it is
 * what reads of the present see.
 *
 * A record is dropped if and only if a newer record of its key, or a range tombstone over it, stands in its stripe; or if
 * it is a tombstone in the first stripe and nothing older can stand below ("bottommost"). There the first stripe's
 * sequences become 0, which all may see, and which costs no bytes. The filter of the owner may turn puts that no
 * snapshot sees into tombstones, never drop them at once: an older record further down must not come back to life.
 */

import { RangeTombstones, type TombstoneFragment } from './range-tombstones.ts';
import { kind, type Kind } from './record.ts';

/** The owner's rule about a live record, key[keyStart, keyEnd) and value[valueStart, valueEnd). */
export type Filter = (
  key: Uint8Array,
  keyStart: number,
  keyEnd: number,
  value: Uint8Array,
  valueStart: number,
  valueEnd: number,
  bottommost: boolean,
) => 'keep' | 'drop';

/** A record in the order of tables. */
export interface SievedRecord {
  readonly keyBytes: Uint8Array;
  readonly keyStart: number;
  readonly keyEnd: number;
  readonly kind: Kind;
  readonly sequence: number;
  readonly valueBytes: Uint8Array;
  readonly valueStart: number;
  readonly valueEnd: number;
}

export interface SieveOptions {
  /** Sequences of live snapshots, ascending. */
  readonly snapshots: readonly number[];
  /** All range tombstones among the records, and those that are known to be newer. */
  readonly tombstones: RangeTombstones;
  /** Nothing older than the records stands anywhere for any of their keys. */
  readonly bottommost: boolean;
  readonly filter: Filter | undefined;
}

export class RecordSieve {
  /** What a kept record is written as. */
  kind: Kind = kind.DELETE;
  sequence = 0;
  /** The filter has turned the record into a tombstone; its value goes. */
  filtered = false;
  /** Counts of what was dropped and why. */
  shadowed = 0;
  filteredCount = 0;
  readonly #options: SieveOptions;
  readonly #hasTombstones: boolean;
  /** Stripe of the newer record of the same key. */
  #stripe = -1;

  constructor(options: SieveOptions) {
    this.#options = options;
    this.#hasTombstones = options.tombstones.count > 0;
  }

  /** Whether a record survives; then `kind`, `sequence` and `filtered` say as what. Records come in order. */
  keeps(record: SievedRecord, sameKey: boolean): boolean {
    const { snapshots, bottommost, filter, tombstones } = this.#options;
    const stripe = stripeOf(snapshots, record.sequence);
    const newer = sameKey ? this.#stripe : -1;
    this.#stripe = stripe;
    if (newer === stripe) return this.#drop();
    if (this.#hasTombstones) {
      const limit = snapshots[stripe] ?? Number.MAX_SAFE_INTEGER;
      const { keyBytes, keyStart, keyEnd } = record;
      if (tombstones.coveringSequence(keyBytes, keyStart, keyEnd, limit) > record.sequence) return this.#drop();
    }
    this.kind = record.kind;
    this.sequence = record.sequence;
    this.filtered = false;
    if (filter !== undefined && this.kind === kind.PUT && stripe === snapshots.length) {
      const { keyBytes, keyStart, keyEnd, valueBytes, valueStart, valueEnd } = record;
      if (filter(keyBytes, keyStart, keyEnd, valueBytes, valueStart, valueEnd, bottommost) === 'drop') {
        this.kind = kind.DELETE;
        this.filtered = true;
        this.filteredCount++;
      }
    }
    if (bottommost && stripe === 0) {
      if (this.kind === kind.DELETE) return this.#drop();
      this.sequence = 0;
    }
    return true;
  }

  #drop(): boolean {
    this.shadowed++;
    return false;
  }
}

/** Index of the stripe that a sequence belongs to. */
export function stripeOf(snapshots: readonly number[], sequence: number): number {
  let low = 0;
  let high = snapshots.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((snapshots[middle] as number) < sequence) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** The range tombstones that survive: of each fragment the newest in each stripe, none of the first at the bottom. */
export function sieveTombstones(options: Omit<SieveOptions, 'filter'>): RangeTombstones {
  const { snapshots, tombstones, bottommost } = options;
  const fragments: TombstoneFragment[] = [];
  for (const { start, end, sequences } of tombstones.fragments) {
    const kept: number[] = [];
    let last = -1;
    for (const sequence of sequences) {
      const stripe = stripeOf(snapshots, sequence);
      if (stripe === last || (bottommost && stripe === 0)) continue;
      last = stripe;
      kept.push(sequence);
    }
    if (kept.length > 0) fragments.push({ start, end, sequences: kept });
  }
  return new RangeTombstones(fragments);
}
