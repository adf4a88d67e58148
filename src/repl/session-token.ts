/**
 * What a session has seen: the highest modification version of the rows that it has read and written, for the level
 * `session` (Terry et al., "Session Guarantees for Weakly Consistent Replicated Data", 1994). As text, URL-safe base64 of,
 * big-endian:
 *
 * ```
 * u8 format (1) | u32 CRC32C of the rest | u64 stamp, u32 actor: floor | u16 rows
 * each: u16 length | name of the row | u64 stamp, u32 actor
 * ```
 *
 * Valid if and only if format and checksum fit, names have at most 65,535 bytes and nothing is left.
 *
 * Invariant: for every row that the session has seen in some version, either the row is kept with at least this version,
 * or the floor is at least this version, and if fewer owners than a majority may have it, the weak floor too. So a row that
 * is not kept and is older than the floor may have been seen newer: what a majority shows of it is all, unless it is older
 * than the weak floor; what all owners show is all in any case.
 */

import { crc32c } from '@node-rs/crc32';
import { ByteReader, ByteWriter, DamagedError } from '../cluster/byte-cursor.ts';
import { latin1 } from '../bytes.ts';
import type { RowName } from './owner-message.ts';
import {
  compareVersions,
  maxVersion,
  readVersion,
  VERSION_BYTES,
  writeVersion,
  type Version,
  ZERO_VERSION,
} from './version.ts';

const FORMAT = 1;
const BODY_AT = 5;

/** Rows kept for one session; the one noted longest ago goes into the floor. */
export const MAX_SESSION_ROWS = 512;

/** How many owners were asked for a row: fewer than a majority, a majority, all. */
export type Reach = 'few' | 'majority' | 'all';

/** Longest name of a row that is kept by itself. */
const MAX_NAME_BYTES = 1_024;

export class SessionToken {
  private floor: Version = ZERO_VERSION;
  private weakFloor: Version = ZERO_VERSION;
  /** Of all that the session has seen: what it writes must be above it. */
  highest: Version = ZERO_VERSION;
  private readonly rows = new Map<RowName, Version>();

  /** The session has seen the row in this version. */
  note(row: RowName, version: Version): void {
    const known = this.rows.get(row);
    if (known !== undefined && compareVersions(known, version) >= 0) return;
    this.highest = maxVersion(this.highest, version);
    if (row.length > MAX_NAME_BYTES) {
      this.raiseFloor(version, true);
      return;
    }
    if (known !== undefined) this.rows.delete(row);
    this.rows.set(row, version);
    if (this.rows.size > MAX_SESSION_ROWS) this.forgetOldest();
  }

  /** Whether a state of the row with this modification version shows all that the session has seen of it. */
  isCovered(row: RowName, version: Version, reach: Reach = 'few'): boolean {
    const known = this.rows.get(row);
    if (known !== undefined) return compareVersions(version, known) >= 0;
    if (reach === 'all') return true;
    return compareVersions(version, reach === 'few' ? this.floor : this.weakFloor) >= 0;
  }

  /** Takes in what another token has seen. */
  join(other: SessionToken): void {
    this.raiseFloor(other.floor, true);
    for (const [row, version] of other.rows) this.note(row, version);
  }

  /** Everything seen so far counts into the floor: for what was seen before the rows were kept. */
  raiseFloor(version: Version, isWeak: boolean): void {
    this.floor = maxVersion(this.floor, version);
    if (isWeak) this.weakFloor = maxVersion(this.weakFloor, version);
    this.highest = maxVersion(this.highest, version);
  }

  encode(): string {
    const out = new ByteWriter();
    const version = new Uint8Array(VERSION_BYTES);
    writeVersion(version, 0, this.floor);
    out.u8(FORMAT).u32(0).raw(version).u16(this.rows.size);
    for (const [row, seen] of this.rows) {
      writeVersion(version, 0, seen);
      out.u16(row.length).raw(Buffer.from(row, 'latin1')).raw(version);
    }
    out.patchU32(1, crc32c(Buffer.from(out.written(BODY_AT))));
    return Buffer.from(out.finish()).toString('base64url');
  }

  /** undefined: the text is no token. */
  static decode(text: string): SessionToken | undefined {
    const bytes = Buffer.from(text, 'base64url');
    if (bytes.length < BODY_AT || bytes.toString('base64url') !== text) return undefined;
    if (bytes[0] !== FORMAT || bytes.readUInt32BE(1) !== crc32c(bytes.subarray(BODY_AT))) return undefined;
    const token = new SessionToken();
    try {
      const from = new ByteReader(bytes, BODY_AT);
      token.raiseFloor(readVersion(from.raw(VERSION_BYTES), 0), true);
      for (let left = from.u16(); left > 0; left--) {
        const row = latin1(from.raw(from.u16()));
        token.note(row, readVersion(from.raw(VERSION_BYTES), 0));
      }
      from.finish();
      return token;
    } catch (thrown) {
      if (thrown instanceof DamagedError) return undefined;
      throw thrown;
    }
  }

  private forgetOldest(): void {
    for (const [row, version] of this.rows) {
      this.rows.delete(row);
      this.raiseFloor(version, true);
      return;
    }
  }
}
