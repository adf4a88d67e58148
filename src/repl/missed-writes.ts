/**
 * Writes that an owner did not get although they were chosen: what becomes hints.
 *
 * A hint is delivered as ACCEPT later, when nobody knows of the attempt any more; so only what is known to be chosen may
 * become one. A write that an owner missed is kept back until its attempt has succeeded; if it turns out to be missed
 * only after that, the row is read again at a quorum, and what is chosen now becomes the hint.
 *
 * Of a large collection a hint keeps only the name and the version (row-delta.ts): what is chosen by then is delivered.
 *
 * Invariants: no hint carries a version that was not seen chosen; what is kept back is bounded and forgotten after
 * `FORGET_MS` (then only anti-entropy brings the owner up to date).
 */

import type { MemberId } from '../cluster/member.ts';
import type { AcceptRequest, RowName } from './owner-message.ts';
import { isDelta } from './row-state.ts';
import { markerOf } from './row-whole.ts';
import type { Version } from './version.ts';

/** Attempts that are kept back at most, and bytes of their names and states. */
const MAX_KEPT = 20_000;
export const MAX_KEPT_BYTES = 64 * 1024 * 1024;

/** Rows read again for a hint at a time. */
const MAX_READS = 64;

/** An attempt is decided within a phase or two. */
const FORGET_MS = 5_000;

/**
 * Keeps a write for an owner that is out of reach. The state is in memory that nobody changes. `loose`: it is not known to
 * be chosen. False: it cannot be kept.
 */
export type KeepHint = (
  target: MemberId,
  row: RowName,
  version: Version,
  state: Uint8Array | undefined,
  loose?: boolean,
) => boolean;

interface Missed {
  readonly request: AcceptRequest<Uint8Array>;
  readonly targets: MemberId[];
  readonly sinceMs: number;
}

export class MissedWrites {
  private readonly keepHint: KeepHint;
  /** A quorum read; `found` is called only when there is an answer. */
  private readonly read: (
    row: RowName,
    found: (version: Version, state: Uint8Array | undefined) => void,
    over: () => void,
  ) => void;
  /** By the ballot's object: an attempt has one, and its outcome tells the same. In the order they came. */
  private readonly kept = new Map<Version, Missed>();
  private keptBytes = 0;
  private reads = 0;

  constructor(options: { keepHint: KeepHint; read: MissedWrites['read'] }) {
    this.keepHint = options.keepHint;
    this.read = options.read;
  }

  /** `target` did not get this ACCEPT, whose attempt is not decided. */
  undecided(target: MemberId, request: AcceptRequest<Uint8Array>, nowMs: number): void {
    const missed = this.kept.get(request.ballot);
    if (missed !== undefined) {
      missed.targets.push(target);
      return;
    }
    const bytes = bytesOf(request);
    if (this.kept.size >= MAX_KEPT || this.keptBytes + bytes > MAX_KEPT_BYTES) return;
    this.keptBytes += bytes;
    this.kept.set(request.ballot, { request, targets: [target], sinceMs: nowMs });
  }

  /** What was proposed under this ballot is chosen. */
  chosen(ballot: Version): void {
    if (this.kept.size === 0) return;
    const missed = this.kept.get(ballot);
    if (missed === undefined) return;
    this.drop(ballot, missed);
    const { row, value } = missed.request;
    for (const target of missed.targets) this.keepHint(target, row, ballot, kept(value));
  }

  /** `target` did not get an ACCEPT of the row, whose attempt is over. */
  late(target: MemberId, row: RowName): void {
    if (this.reads >= MAX_READS) return;
    this.reads++;
    this.read(
      row,
      (version, state) => this.keepHint(target, row, version, kept(state)),
      () => this.reads--,
    );
  }

  /** `target` has an older version than this one, of a large collection, which is chosen. */
  repair(target: MemberId, { row, ballot, value }: AcceptRequest<Uint8Array>): void {
    this.keepHint(target, row, ballot, kept(value));
  }

  /** Forgets what was never decided. */
  sweep(nowMs: number): void {
    for (const [ballot, missed] of this.kept) {
      if (nowMs - missed.sinceMs < FORGET_MS) return;
      this.drop(ballot, missed);
    }
  }

  private drop(ballot: Version, missed: Missed): void {
    this.kept.delete(ballot);
    this.keptBytes -= bytesOf(missed.request);
  }
}

/** What a hint keeps: of a large collection only that it is one, since its changes are told against a version. */
function kept(state: Uint8Array | undefined): Uint8Array | undefined {
  return isDelta(state) ? markerOf(state) : state;
}

function bytesOf(request: AcceptRequest<Uint8Array>): number {
  return request.row.length + (request.value?.length ?? 0);
}
