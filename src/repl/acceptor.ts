/**
 * The one rule at an owner, for every write wherever it comes from: client, hint, read repair, anti-entropy, handoff
 * (design, section 6; CASPaxos, Rystsov 2018, with the next ballot promised along).
 *
 * ```
 * an owner's state of a row: p (highest ballot promised), b (version held), its cells
 * PREPARE(B)           B > p and B > b  → p := B, answer (b, cells)                              else CONFLICT(max)
 * ACCEPT(B, cells, q)  B = b            → p := max(p, q), OK       (a repetition, or repair came first)
 *                      B ≥ p and B > b  → b := B, apply cells (durable), p := q ≥ B, OK          else CONFLICT(max)
 *                      cells against the base m (row-delta.ts), B ≥ p and B > b, but b ≠ m     → NEED, nothing changes
 * READ                 → (b, cells)
 * ```
 *
 * Invariants:
 * - p ≥ every ballot ever promised for the row, by this life or an earlier one: promises live in memory, and a new
 *   life counts everything up to the clock ceiling that the last one persisted as promised. So no promise above the
 *   persisted ceiling is ever made: `clock.observe` persists a higher one before it says yes.
 * - b never goes down. A row without a record has b = its slot's floor: what was purged at or below the floor is never
 *   taken again.
 *
 * This class decides; its caller reads the version held from the engine before it asks and, on `apply`, writes the
 * cells in the same turn. An answer that lets anyone see the version held (promised, held, accepted) must not leave
 * before that version is durable.
 */

import type { FinalRefusal, NeedsWhole, PassingRefusal, RowName } from './owner-message.ts';
import type { PromiseTable } from './promise-table.ts';
import { compareVersions, equalVersions, maxVersion, type Version } from './version.ts';

/** What the rule needs of the node's hybrid logical clock. */
export interface BallotClock {
  /**
   * Takes note of a stamp given elsewhere: later stamps of this node will be above it, and the persisted ceiling is
   * at or above it when this returns true. False: it is too far ahead of the wall clock and must be refused.
   */
  observe(stamp: number): boolean;
}

export type PrepareVerdict = { readonly kind: 'promise' } | FinalRefusal | PassingRefusal;

/**
 * `apply`: write the cells under this ballot, then answer accepted once durable. `repeat`: they are there already;
 * answer accepted once durable.
 */
export type AcceptVerdict =
  | { readonly kind: 'apply' }
  | { readonly kind: 'repeat' }
  | NeedsWhole
  | FinalRefusal
  | PassingRefusal;

const PROMISE = { kind: 'promise' } as const;
const APPLY = { kind: 'apply' } as const;
const REPEAT = { kind: 'repeat' } as const;
const NEED = { kind: 'need' } as const;
const AHEAD = { kind: 'unable', reason: 'ahead' } as const;

export class Acceptor {
  private readonly promises: PromiseTable;
  private readonly clock: BallotClock;

  constructor(options: { promises: PromiseTable; clock: BallotClock }) {
    this.promises = options.promises;
    this.clock = options.clock;
  }

  /** `held`: the version of the row's record, or the slot's floor when there is none. */
  prepare(row: RowName, ballot: Version, held: Version): PrepareVerdict {
    const promised = this.promises.of(row);
    if (compareVersions(ballot, promised) <= 0 || compareVersions(ballot, held) <= 0) {
      return { kind: 'conflict', max: maxVersion(promised, held), held };
    }
    if (!this.clock.observe(ballot.stamp)) return AHEAD;
    this.promises.raise(row, ballot);
    return PROMISE;
  }

  /** Requires: next ≥ ballot. `held` as in `prepare`. `base`: the state is told against this version; undefined: whole. */
  accept(row: RowName, ballot: Version, next: Version, held: Version, base?: Version): AcceptVerdict {
    if (equalVersions(ballot, held)) {
      if (!this.clock.observe(next.stamp)) return AHEAD;
      this.promises.raise(row, next);
      return REPEAT;
    }
    if (this.promises.isAbove(row, ballot) || compareVersions(ballot, held) <= 0) {
      return { kind: 'conflict', max: maxVersion(this.promises.of(row), held), held };
    }
    if (base !== undefined && !this.hasBase(base, held)) return NEED;
    if (!this.clock.observe(next.stamp)) return AHEAD;
    this.promises.raise(row, next);
    return APPLY;
  }

  /** Whether changes of this base may be applied to what is held. Broken by a mutant of test/sim/cluster/mutants.ts. */
  protected hasBase(base: Version, held: Version): boolean {
    return equalVersions(base, held);
  }
}
