/**
 * FLUSHDB and FLUSHALL in a cluster: one mark for each slot, in a register of its own (`markRowOf`).
 *
 * A mark M is a change of every row of the slot at once, with the ballot M, that deletes and does not look. So the
 * register of the mark has the promises of all of them: an owner promises M only above every promise of the slot, and by
 * it promises M for each row; it takes M only if no row was promised more meanwhile (promise-table.ts). From then on a row
 * of the slot with a version below M has the version M and is deleted, whether it has a record or not (owner-rows.ts).
 *
 * Why that is right: for each row it is the rule of acceptor.ts, letter by letter, with one ballot for all. A state of the
 * mark's register that is repaired, hinted or moved carries its older marks under a ballot that was promised by the slot
 * as a whole too; a row's change that was prepared before can therefore not be accepted after.
 *
 * Who asks for M competes with all who write in the slot. So its ballot goes ahead of the clock after a refusal
 * (register-core.ts), and an owner that has promised it lets changes of the slot wait a little for it (owner.ts).
 *
 * Pure: states in, states out.
 */

import { rowType } from './head.ts';
import { decodeRowState, encodeRowState } from './row-state.ts';
import { decodeMarks, encodeMarks, EVERY_DATABASE, type DatabaseMark } from './slot-marks.ts';
import type { Version } from './version.ts';

/** The marks in the state of a mark's row. Throws `DamagedError`. */
export function marksOf(state: Uint8Array | undefined): DatabaseMark[] {
  if (state === undefined) return [];
  const { type, value } = decodeRowState(state);
  return type === rowType.DELETED ? [] : decodeMarks(value);
}

/**
 * The state after a flush of this database, or of every one (`EVERY_DATABASE`), by the change with this ballot. Requires:
 * the ballot was promised for the mark's row, so that it is above every mark there is.
 */
export function raiseMarks(state: Uint8Array | undefined, database: number, ballot: Version): Uint8Array {
  // A mark for every database says all that older ones said.
  const kept = database === EVERY_DATABASE ? [] : marksOf(state).filter((each) => each.database !== database);
  const value = encodeMarks([...kept, { database, mark: ballot }]);
  return encodeRowState({ type: rowType.STRING, expiresAtMs: 0, modified: ballot, value });
}
