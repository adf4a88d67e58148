/**
 * What an owner may have forgotten: its suspect slots, how it takes back what other owners hold, and what it tells those
 * that have forgotten something themselves. See slot-recovery.ts.
 *
 * Invariant: a suspect slot is owned, and stays suspect until it is trusted or owned no longer.
 */

import { SLOT_COUNT } from '../cluster/slot.ts';
import { lookup } from '../engine/store.ts';
import type { Acceptor } from './acceptor.ts';
import type { MarkApply } from './mark-apply.ts';
import { isMarkRow, slotOfRow, type OwnerAnswer, type RowName } from './owner-message.ts';
import type { OwnerRows } from './owner-rows.ts';
import { decodeRowState } from './row-state.ts';
import { compareVersions, type Version } from './version.ts';

/** Of the owner. */
export interface RecallParts {
  readonly rows: OwnerRows;
  readonly marks: MarkApply;
  readonly acceptor: Acceptor;
  /** The owner writes nothing: the engine refuses, or it is closed. */
  isStopped(): boolean;
  /** Whether it owns the slot and has emptied it of what stood there before, suspect or not. */
  isThere(slot: number): boolean;
  whenDurable(sequence: number, run: () => void): void;
  /** The answer for what the engine threw. Throws on what is a bug. */
  unableFor(error: unknown): OwnerAnswer<Uint8Array>;
}

export class OwnerRecall {
  private readonly parts: RecallParts;
  private readonly suspect = new Uint8Array(SLOT_COUNT);
  private count = 0;

  constructor(parts: RecallParts) {
    this.parts = parts;
  }

  /** Suspect slots. */
  get suspectSlots(): number {
    return this.count;
  }

  isSuspect(slot: number): boolean {
    return this.suspect[slot] === 1;
  }

  /** Something of these slots may have been forgotten; `owned`: 1 for each. */
  suspectAll(owned: Uint8Array): void {
    this.suspect.set(owned);
    this.count = owned.reduce((sum, one) => sum + one, 0);
  }

  /** Nothing that their quorums need is missing any more, or they are owned no longer. */
  trust(slots: readonly number[]): void {
    for (const slot of slots) {
      this.count -= this.suspect[slot] as number;
      this.suspect[slot] = 0;
    }
  }

  /** What is held of a row, and whether a part of it stands in other records; undefined: it cannot be told. */
  async held(row: RowName): Promise<{ readonly version: Version; readonly standsApart: boolean } | undefined> {
    const { rows } = this.parts;
    try {
      while (rows.lookUp(row) === lookup.MISS) await rows.fetch(row);
    } catch (error) {
      this.parts.unableFor(error);
      return undefined;
    }
    return { version: rows.held, standsApart: rows.standsApart || isMarkRow(row) };
  }

  /**
   * Takes what another owner holds, if it is newer, whatever was promised: slot-recovery.ts says why it may. `anew`: also
   * if it is the version that is held. True: it is durable here. Requires: the slot is suspect.
   */
  async restore(row: RowName, version: Version, value: Uint8Array | undefined, anew = false): Promise<boolean> {
    const { rows, marks, acceptor } = this.parts;
    const isMark = isMarkRow(row);
    try {
      const state = value === undefined ? undefined : decodeRowState(value);
      for (;;) {
        if (this.parts.isStopped()) return false;
        if (rows.lookUp(row) === lookup.MISS) await rows.fetch(row);
        else if (compareVersions(rows.floor, version) >= (anew ? 1 : 0)) return true;
        else if (isMark && !marks.prepare(slotOfRow(row), state)) await marks.load();
        else break;
      }
      const { kind } = acceptor.accept(row, version, version, rows.floor);
      if (kind !== 'apply' && kind !== 'conflict' && kind !== 'repeat') return false;
      const sequence = isMark ? marks.apply(version, state) : rows.apply(version, state);
      await new Promise<void>((resolve) => this.parts.whenDurable(sequence, resolve));
      return true;
    } catch (error) {
      this.parts.unableFor(error);
      return false;
    }
  }

  /** What is held of a row, for an owner that has forgotten it; told once it is durable, also of a suspect slot. */
  tell(row: RowName, answer: (told: OwnerAnswer<Uint8Array>) => void): void {
    const { rows } = this.parts;
    if (!this.parts.isThere(slotOfRow(row))) {
      answer({ kind: 'unable', reason: 'refused' });
      return;
    }
    try {
      if (rows.lookUp(row) !== lookup.MISS && rows.readState()) {
        const told: OwnerAnswer<Uint8Array> = { kind: 'held', version: rows.held, value: rows.stateRead };
        this.parts.whenDurable(rows.sequence, () => answer(told));
        return;
      }
      rows.fetch(row).then(
        () => this.tell(row, answer),
        (error: unknown) => answer(this.parts.unableFor(error)),
      );
    } catch (error) {
      answer(this.parts.unableFor(error));
    }
  }
}
