/**
 * What a coordinator asks an owner about one row, and what the owner answers. `V` is the row's state as a whole; a
 * row that was never written, or that was purged, has the state `undefined`.
 */

import type { Version } from './version.ts';

/** Names a row: its physical head key, one character a byte (latin1). Its first two characters are the slot. */
export type RowName = string;

export function slotOfRow(row: RowName): number {
  return (row.charCodeAt(0) << 8) | row.charCodeAt(1);
}

/** What stands behind the slot in the name of a slot's flush mark: database 255, then the key. */
const MARK_SUFFIX = '\u00ffflush\u0000';

/** The row that keeps the flush marks of a slot. */
export function markRowOf(slot: number): RowName {
  return String.fromCharCode(slot >>> 8, slot & 0xff) + MARK_SUFFIX;
}

export function isMarkRow(row: RowName): boolean {
  // Most rows differ in the database already.
  return row.charCodeAt(2) === 0xff && row.length === 2 + MARK_SUFFIX.length && row.endsWith(MARK_SUFFIX);
}

export interface PrepareRequest {
  readonly kind: 'prepare';
  readonly row: RowName;
  readonly ballot: Version;
  /** The version that the asker holds itself: an owner that holds the same sends no state. */
  readonly have: Version;
}

export interface AcceptRequest<V> {
  readonly kind: 'accept';
  readonly row: RowName;
  readonly ballot: Version;
  readonly value: V | undefined;
  /** Promised along with the acceptance: the sender's next ballot, or `ballot` itself. */
  readonly next: Version;
}

export interface ReadRequest {
  readonly kind: 'read';
  readonly row: RowName;
  /** Only the version is wanted: one version has one state. */
  readonly digest: boolean;
  /** A large collection may be told against itself, without its elements (row-delta.ts). */
  readonly light?: boolean;
}

export type OwnerRequest<V> = PrepareRequest | AcceptRequest<V> | ReadRequest;

/** An owner's refusal that holds for ever: this very request will never be taken, however often it arrives. */
export type FinalRefusal =
  /** A ballot at least as high stands in the way: `max`, promised or held. `held`: the version that the owner has. */
  | { readonly kind: 'conflict'; readonly max: Version; readonly held: Version }
  /** The owner knows a newer epoch in which the slot's owners are others. */
  | { readonly kind: 'stale'; readonly epoch: number }
  /** Said by the sender's own bus: the request never left this node. */
  | { readonly kind: 'unsent' };

/**
 * A refusal for now. The same request may be taken when it arrives again (a duplicate, a frame held up), so that an
 * ACCEPT refused this way has an unknown outcome.
 */
export interface PassingRefusal {
  readonly kind: 'unable';
  /** The ballot is too far ahead of the owner's clock; the owner may have lost what it promised; writes are refused. */
  readonly reason: 'ahead' | 'amnesia' | 'refused';
}

/** The state was told against a version that the owner does not hold: nothing has changed, and it wants the state whole. */
export interface NeedsWhole {
  readonly kind: 'need';
}

export type OwnerAnswer<V> =
  | {
      readonly kind: 'promised';
      readonly version: Version;
      /** Left out when the asker holds this version itself. */
      readonly value: V | undefined;
    }
  | { readonly kind: 'accepted' }
  | { readonly kind: 'held'; readonly version: Version; readonly value: V | undefined }
  | NeedsWhole
  | FinalRefusal
  | PassingRefusal;
