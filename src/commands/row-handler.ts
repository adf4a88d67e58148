/**
 * Runs handlers on states that were given to it, instead of rows in the store: what a coordinator does with the state of
 * a row that its owners have told, and the node of a client with what it has read.
 *
 * Invariant: handlers are synchronous, so that one view serves all; what it was filled with is gone with the next run.
 */

import { latin1 } from '../bytes.ts';
import { DamagedError } from '../cluster/byte-cursor.ts';
import { EngineError } from '../engine/engine-error.ts';
import type { Clock } from '../env.ts';
import { expiredState, GivenRows, markOfState, stateAfter } from '../repl/given-rows.ts';
import type { Keyspace } from '../repl/keyspace.ts';
import { Miss } from '../repl/miss.ts';
import type { RowName } from '../repl/owner-message.ts';
import type { Writes } from '../repl/row-op.ts';
import { wholeLength } from '../repl/row-delta.ts';
import { MAX_STATE_BYTES } from '../repl/row-state.ts';
import type { Lacking } from '../repl/transaction.ts';
import type { Version } from '../repl/version.ts';
import { isRowChanged, type Row, type RowMark, View, WholeDatabase } from '../repl/view.ts';
import type { Args } from './args.ts';
import type { Command, Context } from './command.ts';
import { CommandError } from './errors.ts';
import { DAMAGED_ROW, NO_QUORUM, NOT_WHOLE, notAtomic, OTHER_ROWS, TOO_LARGE } from './errors-cluster.ts';
import { ErrorReply, NULL_ARRAY, ownBytes, type Reply } from './reply.ts';
import { NO_NOTES, type Note } from './notify-events.ts';
import { WholeWanted } from './script-wholes.ts';
import { inOneGo } from './sliced.ts';

/** A command with its words and the logical database that it runs in. */
export interface RowCommand {
  readonly command: Command;
  readonly args: Args;
  readonly database: number;
}

export class RowHandler {
  readonly view: View;
  readonly given = new GivenRows();
  /** What the last run asked about a whole database, which is not here. */
  wanted: WholeWanted | undefined = undefined;
  /** After a run with a ballot: what the row is now. */
  state: Uint8Array | undefined = undefined;
  /** For how long, in ms, a row lives that is written without a deadline; 0: for ever. */
  ttlMsOf: ((row: RowName) => number) | undefined = undefined;
  /** A new dot when the row's policy keeps siblings. */
  dotOf: ((row: RowName) => Version | undefined) | undefined = undefined;
  /** Events of what ran since `begin`, to be published when it is done. */
  notes: readonly Note[] = NO_NOTES;
  /** Rows that were given stay as they are until the next run. */
  private isLocked = false;
  /** The last command threw: nothing of it holds. What a script returns as an error, after it has written, is no such thing. */
  private threw = false;
  private readonly clock: Clock;

  constructor(keyspace: Keyspace, clock: Clock) {
    this.view = new View(keyspace, keyspace.store, this.given);
    this.clock = clock;
  }

  /** The last run met a row whose deadline has passed. */
  get metExpired(): boolean {
    const { rows, rowCount } = this.view;
    for (let i = 0; i < rowCount; i++) if ((rows[i] as Row).expired) return true;
    return false;
  }

  /** Begins a run over several rows: `given` is then filled, and the handler called with `reply`. */
  begin(database: number): void {
    this.given.clear();
    this.isLocked = false;
    this.wanted = undefined;
    this.notes = NO_NOTES;
    this.view.begin(database, this.clock.wallMs());
  }

  /** What the handler answers, over the rows that were given. An error is a reply; when a row was missing, `given.missed`. */
  reply(command: Command, args: Args, context: Context): Reply {
    const { notify } = context.server;
    // Of a run that came to nothing.
    notify.clear();
    const before = notify.isActive ? notify.mark(this.view) : undefined;
    const reply = this.replyOf(command, args, context);
    if (before !== undefined) notify.collect(this.view, command, args, before);
    const told = notify.take();
    const { notes } = this;
    // It will run again, with other rows.
    if (this.given.missed !== undefined || this.wanted !== undefined) this.notes = NO_NOTES;
    else if (told.length > 0) this.notes = notes.length === 0 ? told : [...notes, ...told];
    return reply;
  }

  private replyOf(command: Command, args: Args, context: Context): Reply {
    this.threw = false;
    try {
      if (command.run !== undefined) return command.run(this.view, args, context) as Reply;
      const slices = command.runSliced?.(this.view, args, context);
      return slices === undefined ? new ErrorReply(notAtomic(command.name)) : inOneGo(slices);
    } catch (thrown) {
      this.threw = true;
      if (thrown instanceof CommandError) return thrown.reply;
      if (thrown instanceof WholeDatabase) return new ErrorReply(NOT_WHOLE);
      if (thrown instanceof WholeWanted) {
        this.wanted = thrown;
        return new ErrorReply(NOT_WHOLE);
      }
      if (thrown instanceof DamagedError) return new ErrorReply(DAMAGED_ROW);
      if (isWithoutStamps(thrown)) return new ErrorReply(NO_QUORUM);
      // The elements of a large collection stand in this node's store.
      if (thrown instanceof EngineError && thrown.code === 'corruption') return new ErrorReply(DAMAGED_ROW);
      if (this.given.missed !== undefined) return new ErrorReply(OTHER_ROWS);
      // The row may be another one when the script runs again, if it is not locked.
      if (!this.isLocked) context.client.scriptMemo = undefined;
      throw thrown;
    }
  }

  /**
   * Runs one command on one row. Of a large collection the state may be this node's own copy, told against itself
   * (repl/row-delta.ts): then it throws `Miss`, and is to be run again. With a ballot, `state` is then what the row becomes under it. */
  run(call: RowCommand, context: Context, row: RowName, state: Uint8Array | undefined, ballot?: Version): Reply {
    this.begin(call.database);
    this.given.give(row, state);
    const reply = this.reply(call.command, call.args, context);
    // Where a row is missing it will not run again here.
    context.client.scriptMemo = undefined;
    this.state = state;
    if (this.wanted !== undefined) return new ErrorReply(OTHER_ROWS);
    return ballot === undefined || this.threw ? reply : this.become(row, state, ballot, reply);
  }

  /** Sets `state` to what the row is after what was staged; the reply, or why it cannot become that. */
  private become(row: RowName, state: Uint8Array | undefined, ballot: Version, reply: Reply): Reply {
    let after: Uint8Array | undefined;
    try {
      after = this.after(row, state, ballot);
    } catch (thrown) {
      if (isWithoutStamps(thrown)) return new ErrorReply(NO_QUORUM);
      throw thrown;
    }
    if (after !== undefined && after !== state && wholeLength(after) > MAX_STATE_BYTES)
      return new ErrorReply(TOO_LARGE);
    this.state = after;
    return reply;
  }

  /**
   * Runs the commands of an EXEC on their one row; a null array when a mark of WATCH no longer holds, the error OTHER_ROWS
   * when one of them needs other rows, and nothing changes.
   */
  runAll(
    calls: readonly RowCommand[],
    marks: readonly RowMark[],
    context: Context,
    row: RowName,
    state: Uint8Array | undefined,
    ballot: Version,
  ): Reply {
    this.begin(calls[0]?.database ?? 0);
    this.given.give(row, state);
    this.state = state;
    const { view } = this;
    if (marks.length > 0) {
      const now = markOfState(state, view.nowMs);
      if (marks.some((then) => isRowChanged(then, now))) return NULL_ARRAY;
    }
    const replies = calls.map((call) => {
      view.database = call.database;
      return this.reply(call.command, call.args, context);
    });
    context.client.scriptMemo = undefined;
    if (this.wanted !== undefined || this.given.missed !== undefined) {
      this.notes = NO_NOTES;
      return new ErrorReply(OTHER_ROWS);
    }
    return this.become(row, state, ballot, replies);
  }

  /**
   * Runs the commands of a transaction on several rows: their replies in memory of their own, and what the rows become; or
   * what they lack: a row that was not among them, or what is not in memory of this node's copies. Throws `WholeWanted`.
   * Versions are those of `ballot`: whoever writes the rows puts its own in their place.
   */
  runRows(
    calls: readonly RowCommand[],
    context: Context,
    states: ReadonlyMap<RowName, Uint8Array | undefined>,
    ballot: Version,
  ): { readonly replies: readonly Reply[]; readonly writes: Writes } | Lacking {
    try {
      return this.ranRows(calls, context, states, ballot);
    } catch (thrown) {
      if (thrown instanceof EngineError && thrown.code === 'corruption') {
        return { replies: calls.map(() => new ErrorReply(DAMAGED_ROW)), writes: new Map() };
      }
      if (!(thrown instanceof Miss)) throw thrown;
      const { load } = thrown;
      // What cannot be read is found again by the next run.
      return { load: () => load().catch(() => undefined) };
    }
  }

  private ranRows(
    calls: readonly RowCommand[],
    context: Context,
    states: ReadonlyMap<RowName, Uint8Array | undefined>,
    ballot: Version,
  ): { readonly replies: readonly Reply[]; readonly writes: Writes } | { readonly missed: RowName } {
    this.begin(calls[0]?.database ?? 0);
    this.isLocked = true;
    const { view, given } = this;
    for (const [row, state] of states) given.give(row, state);
    const replies: Reply[] = [];
    for (const call of calls) {
      view.database = call.database;
      replies.push(this.reply(call.command, call.args, context));
      if (this.wanted !== undefined) throw this.wanted;
      if (given.missed !== undefined) return { missed: given.missed };
    }
    const writes = new Map<RowName, Uint8Array | undefined>();
    if (calls.length === 1 && this.threw) return { replies: replies.map(ownBytes), writes };
    let bytes = 0;
    let isTooLarge = false;
    for (let i = 0; i < view.rowCount; i++) {
      const row = view.rows[i] as Row;
      const name = latin1(row.head, 0, row.headLength);
      const before = states.get(name);
      const after = this.afterRow(row, name, before, ballot);
      if (after === before) continue;
      writes.set(name, after);
      bytes += after?.length ?? 0;
      isTooLarge ||= after !== undefined && wholeLength(after) > MAX_STATE_BYTES;
    }
    if (isTooLarge || bytes > MAX_STATE_BYTES)
      return { replies: calls.map(() => new ErrorReply(TOO_LARGE)), writes: new Map() };
    return { replies: replies.map(ownBytes), writes };
  }

  /** The state of the one row that was given, after what was staged. */
  private after(name: RowName, state: Uint8Array | undefined, ballot: Version): Uint8Array | undefined {
    const { rows, rowCount } = this.view;
    for (let i = 0; i < rowCount; i++) {
      const after = this.afterRow(rows[i] as Row, name, state, ballot);
      if (after !== state) return after;
    }
    return state;
  }

  /** The state of a row after what was staged. Whoever meets a row past its deadline ends it. */
  private afterRow(row: Row, name: RowName, state: Uint8Array | undefined, ballot: Version): Uint8Array | undefined {
    const { view, ttlMsOf } = this;
    if (!row.dirty) return row.expired && state !== undefined ? expiredState(state) : state;
    if (ttlMsOf !== undefined && row.live && row.replaced && row.expiresAtMs === 0) {
      const ttlMs = ttlMsOf(name);
      if (ttlMs > 0) row.expiresAtMs = view.nowMs + ttlMs;
    }
    return stateAfter(view, row, state, ballot, this.dotOf?.(name));
  }
}

/** A new dot could not be given: the disk does not take the clock's next ceiling. */
function isWithoutStamps(thrown: unknown): boolean {
  return thrown instanceof EngineError && thrown.code === 'refused';
}
