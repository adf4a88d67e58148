/**
 * What a connection keeps for a node of a cluster.
 *
 * Invariants:
 * - `underWay` holds the rows of the connection's commands that were started and are not answered, so that no two commands
 *   of one connection are under way on one row: their order would be anybody's guess.
 * - What the session has seen is in its token, or, before there is one, at most `highest`; what fewer owners than a
 *   majority may have of it is at most `highestWeak`.
 */

import type { Level } from '../repl/level.ts';
import type { RowName } from '../repl/owner-message.ts';
import { SessionToken } from '../repl/session-token.ts';
import { compareVersions, maxVersion, type Version, ZERO_VERSION } from '../repl/version.ts';

/** Rows whose last write WAIT asks for: those written last. */
const WRITES_KEPT = 16;

export class ClientCluster {
  /** By KV.LEVEL; undefined: what the key's policy or the server says. */
  level: Level | undefined = undefined;
  /** By KV.WITH, for the command that is being started. */
  once: Level | undefined = undefined;
  private readonly underWay: RowName[] = [];
  private token: SessionToken | undefined = undefined;
  /** Highest version that was read or written, while there is no token. */
  private highest: Version = ZERO_VERSION;
  private highestWeak: Version = ZERO_VERSION;
  private writes: { row: RowName; version: Version }[] | undefined = undefined;
  private lastWrite = 0;

  /** Commands on single rows that are under way. */
  get count(): number {
    return this.underWay.length;
  }

  has(row: RowName): boolean {
    return this.underWay.includes(row);
  }

  begin(row: RowName): void {
    this.underWay.push(row);
  }

  end(row: RowName): void {
    const { underWay } = this;
    const at = underWay.indexOf(row);
    const last = underWay.pop();
    if (at < underWay.length && at >= 0) underWay[at] = last as RowName;
  }

  /** The connection is as good as new; what is under way stays. */
  reset(): void {
    this.level = undefined;
    this.token = undefined;
    this.highest = ZERO_VERSION;
    this.highestWeak = ZERO_VERSION;
    this.writes = undefined;
  }

  /** The session's token, which is kept from now on. */
  get session(): SessionToken {
    if (this.token === undefined) {
      this.token = new SessionToken();
      this.token.raiseFloor(this.highestWeak, true);
      this.token.raiseFloor(this.highest, false);
    }
    return this.token;
  }

  /** A state of the row with this modification version was read. `isWeak`: fewer owners than a majority may have it. */
  noteRead(row: RowName, version: Version, isWeak: boolean): void {
    if (this.token !== undefined) this.token.note(row, version);
    else {
      if (compareVersions(version, this.highest) > 0) this.highest = version;
      if (isWeak && compareVersions(version, this.highestWeak) > 0) this.highestWeak = version;
    }
  }

  noteWrite(row: RowName, version: Version, isWeak: boolean): void {
    this.noteRead(row, version, isWeak);
    const writes = (this.writes ??= []);
    if (writes.length < WRITES_KEPT) {
      writes.push({ row, version });
      return;
    }
    this.lastWrite = (this.lastWrite + 1) % WRITES_KEPT;
    const write = writes[this.lastWrite] as { row: RowName; version: Version };
    write.row = row;
    write.version = version;
  }

  /** The last writes, the highest version of each row. */
  lastWrites(): ReadonlyMap<RowName, Version> {
    const rows = new Map<RowName, Version>();
    for (const { row, version } of this.writes ?? []) rows.set(row, maxVersion(version, rows.get(row) ?? ZERO_VERSION));
    return rows;
  }
}
