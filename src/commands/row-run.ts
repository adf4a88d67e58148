/**
 * One command on one row, from a client of this node, while it is under way in the cluster.
 *
 * ```
 * read       quorum read here → handler → reply          (a row past its deadline: as a change)
 * change     at the row's coordinator: here, or forwarded → reply
 * overwrite  below quorum: handler → to the owners at once → reply
 * ```
 *
 * At other levels than `quorum` reads go through level-run.ts; a level above it is waited for after the change.
 *
 * Invariants: a run ends once, by `finish`; it is then given back to be used again, and nobody holds on to it.
 */

import { copyOf } from '../bytes.ts';
import { DamagedError } from '../cluster/byte-cursor.ts';
import type { Coordinator, ReadTask, RowTask } from '../repl/coordinator.ts';
import type { Forwarder, ForwardTask } from '../repl/forward.ts';
import { modifiedOf } from '../repl/given-rows.ts';
import { type Level, levelOfCounts, levelText, QUORUM } from '../repl/level.ts';
import type { LevelRun, WriteTask } from '../repl/level-run.ts';
import { slotOfRow, type RowName } from '../repl/owner-message.ts';
import type { ChangeOutcome } from '../repl/register-core.ts';
import { deletedRowState, isDelta, isLockedState } from '../repl/row-state.ts';
import { type Version, ZERO_VERSION } from '../repl/version.ts';
import { Args } from './args.ts';
import type { Client } from './client.ts';
import type { ClusterTransactions } from './cluster-transactions.ts';
import type { Command } from './command.ts';
import { failureText, notEverywhere, type Failure } from './errors-cluster.ts';
import { decodeForwardAnswer, encodeForward } from './forward-codec.ts';
import { NO_NOTES, type Note } from './notify-events.ts';
import { PendingReply } from './pending-reply.ts';
import { ErrorReply, ownBytes, type Reply, SimpleString } from './reply.ts';
import type { RowHandler } from './row-handler.ts';

/** Memory that a run keeps for its words, in bytes; longer ones are copied into memory of their own. */
const KEPT_WORD_BYTES = 512;

/** So often a large collection is read anew before its coordinator is asked, when it changes meanwhile. */
const MAX_PASSED = 3;

/** What runs share. */
export interface RunHost {
  readonly coordinator: Coordinator;
  readonly forwarder: Forwarder;
  readonly handler: RowHandler;
  readonly levels: LevelRun;
  readonly transactions: ClusterTransactions;
  readonly self: number;
  /** The rows that the handler looked at count as hits and misses. */
  countHits(): void;
  /** A change of the client was acknowledged with this version. */
  /** `isWeak`: fewer owners than a majority may have it. */
  noteChange(client: Client, row: RowName, version: Version, isWeak: boolean): void;
  /** Whether the command's level asks for more owners than a majority. */
  waitsForMore(run: RowRun): boolean;
  /** Owners of the row. */
  ownerCount(row: RowName): number;
  observe(run: RowRun, reply: Reply): void;
  release(run: RowRun): void;
}

export class RowRun implements ReadTask, RowTask, ForwardTask, WriteTask {
  readonly takesDelta = true;
  client!: Client;
  command!: Command;
  readonly args = new Args(new Uint8Array(0), 8);
  database = 0;
  level: Level = QUORUM;
  row: RowName = '';
  deadlineMs = 0;
  startUs = 0;
  /** Microseconds in which the handler ran here. */
  workUs = 0;
  /** False: a part of another command, which is counted as a whole. */
  isWhole = true;
  pending!: PendingReply;
  private readonly host: RunHost;
  private readonly memory = new Uint8Array(KEPT_WORD_BYTES);
  private reply: Reply = null;
  /** The last reply of the handler is in memory of its own. */
  private isOwned = false;
  private modified: Version = ZERO_VERSION;
  /** Events of the last run. */
  private notes: readonly Note[] = NO_NOTES;
  /** A read at level `session`, whatever level it is at by now. */
  private isOfSession = false;
  /** The row as the last run of a change has found it, when the lock of a transaction was on it. */
  private locked: Uint8Array | undefined = undefined;

  /** As itself: a read that is content with this node's copy of a large collection. */
  private readonly here: ReadTask;
  /** How often another version was found than this node's. */
  private passed = 0;

  constructor(host: RunHost) {
    this.host = host;
    this.here = {
      light: { again: () => this.read(), elsewhere: () => this.readElsewhere() },
      found: (version, state) => this.found(version, state),
      failed: (reason) => this.failed(reason),
    };
  }

  /** Takes a copy of the words. */
  setWords(words: Args): void {
    const { args } = this;
    const from = words.starts[0] as number;
    const end = words.ends[words.count - 1] as number;
    const length = end - from;
    const memory = length <= KEPT_WORD_BYTES ? this.memory : new Uint8Array(length);
    const bytes = words.bytes;
    if (length <= 64) for (let i = 0; i < length; i++) memory[i] = bytes[from + i] as number;
    else memory.set(bytes.subarray(from, end));
    args.bytes = memory;
    args.count = 0;
    for (let i = 0; i < words.count; i++) {
      args.push((words.starts[i] as number) - from, (words.ends[i] as number) - from);
    }
  }

  read(): void {
    const { host, level } = this;
    if (level.name === 'session') this.isOfSession = true;
    if (level === QUORUM) host.coordinator.readRow(this.row, this.here, this.deadlineMs);
    else host.levels.read(this.row, level, this.here, this.deadlineMs);
  }

  /** Runs a command that does not look at the old value, at a level below quorum. */
  overwrite(): void {
    const { host } = this;
    // What is wrong with its words shows itself before anything is sent.
    const reply = host.handler.run(this, this.client.context, this.row, undefined, ZERO_VERSION);
    const { level, client } = this;
    if (reply instanceof ErrorReply) this.finish(reply);
    // By another node's clock the session may have seen more than this one has given: its write would come before that.
    else if (level.name === 'session' && !host.levels.follow(client.cluster.session.highest)) this.failed('no-quorum');
    else host.levels.write(this.row, this.level, this, this.deadlineMs);
  }

  /** Runs the command as a change, at whoever coordinates the row. */
  change(): void {
    const { host } = this;
    const target = host.forwarder.coordinatorOf(slotOfRow(this.row));
    if (target === host.self) {
      this.runHere();
      return;
    }
    const payload = encodeForward({
      isResp3: this.client.protocol === 3,
      isExec: false,
      leftMs: this.deadlineMs - host.coordinator.nowMs(),
      row: this.row,
      marks: [],
      commands: [this],
    });
    host.forwarder.forward(target, this.row, payload, this, this.deadlineMs);
  }

  // --- ReadTask ----------------------------------------------------------------------------------------------------

  found(version: Version, state: Uint8Array | undefined): void {
    const { name } = this.level;
    // Weak levels show what there was before a transaction that is under way.
    if (!isLockedState(state) || name === 'one' || name === 'available') this.show(state);
    else {
      const { protocol } = this.host.transactions;
      void protocol.readLocked(this.row, version, state, this.deadlineMs).then((outcome) => {
        if (outcome.kind === 'done') this.show(outcome.state);
        else this.failed(outcome.kind);
      });
    }
  }

  private show(state: Uint8Array | undefined): void {
    const { host } = this;
    const { handler } = host;
    const modified = modifiedOf(state);
    const { name } = this.level;
    const reach = name === 'counts' ? 'all' : name === 'quorum' ? 'majority' : 'few';
    if (this.isOfSession && !this.client.cluster.session.isCovered(this.row, modified, reach)) {
      this.readMore();
      return;
    }
    const reply = this.timed(state);
    if (handler.metExpired && (this.level === QUORUM || this.level.name === 'all')) {
      this.change();
      return;
    }
    if (this.isWhole) host.countHits();
    this.publish(handler.notes);
    this.client.cluster.noteRead(this.row, modified, name === 'counts' || reach === 'few');
    this.finish(this.own(reply));
  }

  /** A large collection that is not here as it was found: it is under way, or this node is no owner. */
  private readElsewhere(): void {
    if (++this.passed <= MAX_PASSED && this.host.coordinator.nowMs() < this.deadlineMs) this.read();
    else this.change();
  }

  private publish(notes: readonly Note[]): void {
    if (notes.length > 0) this.client.context.server.notify.publish(notes);
  }

  /** Runs the handler. */
  private timed(state: Uint8Array | undefined, ballot?: Version): Reply {
    const { coordinator, handler } = this.host;
    const startMs = coordinator.nowMs();
    const reply = handler.run(this, this.client.context, this.row, state, ballot);
    this.workUs += (coordinator.nowMs() - startMs) * 1000;
    // The elements of a large collection are the engine's, and valid until the turn ends.
    this.isOwned = isDelta(state);
    return this.isOwned ? ownBytes(reply) : reply;
  }

  /**
   * The session has seen more than was found. What it wrote may be on one owner only, which a majority need not know: after
   * a majority every owner is asked, and who still has less does not answer for it.
   */
  private readMore(): void {
    const { host, level, row } = this;
    if (level.name === 'counts') {
      this.failed('no-quorum');
      return;
    }
    this.level = level === QUORUM ? levelOfCounts(host.ownerCount(row), undefined) : QUORUM;
    this.read();
  }

  // --- RowTask -----------------------------------------------------------------------------------------------------

  run(state: Uint8Array | undefined, ballot: Version): Uint8Array | undefined {
    const { handler } = this.host;
    this.locked = isLockedState(state) ? state : undefined;
    if (this.locked !== undefined) return state;
    this.reply = this.timed(state, ballot);
    this.modified = modifiedOf(handler.state);
    this.notes = handler.notes;
    return handler.state;
  }

  done(outcome: ChangeOutcome<undefined>): void {
    const { locked } = this;
    if (outcome.kind !== 'done') this.failed(outcome.kind);
    else if (locked === undefined) {
      this.publish(this.notes);
      this.changed(this.modified, this.own(this.reply));
    } else {
      const again = (): void => this.change();
      this.host.transactions.whenUnlocked(this.row, locked, this.deadlineMs, again, (reason) => this.failed(reason));
    }
  }

  /** A majority has the change. */
  private changed(version: Version, reply: Reply): void {
    const { host, client, row, level } = this;
    host.noteChange(client, row, version, false);
    if (!host.waitsForMore(this)) {
      this.finish(reply);
      return;
    }
    host.levels.confirm(row, level, version, this.deadlineMs, (confirmed) => {
      this.finish(confirmed ? reply : new ErrorReply(notEverywhere(levelText(level))));
    });
  }

  // --- WriteTask ---------------------------------------------------------------------------------------------------

  stateFor(version: Version): Uint8Array | undefined {
    const { handler } = this.host;
    this.reply = handler.run(this, this.client.context, this.row, undefined, version);
    // What expires at once is deleted.
    this.notes = handler.notes;
    return handler.state ?? deletedRowState(version);
  }

  written(version: Version): void {
    this.host.noteChange(this.client, this.row, version, true);
    this.publish(this.notes);
    this.finish(this.own(this.reply));
  }

  // --- ForwardTask -------------------------------------------------------------------------------------------------

  runHere(): void {
    this.host.coordinator.submit(this.row, this, this.deadlineMs);
  }

  answered(payload: Uint8Array): void {
    const outcome = outcomeOf(payload);
    if (outcome.kind !== 'done') {
      this.failed(outcome.kind);
      return;
    }
    this.changed(outcome.version, outcome.reply);
  }

  failed(reason: Failure): void {
    if (reason === 'uncertain' && this.command.access === 'read' && this.host.coordinator.nowMs() < this.deadlineMs) {
      this.passed = 0;
      this.read();
      return;
    }
    this.finish(new ErrorReply(failureText(reason)));
  }

  // --- the end -----------------------------------------------------------------------------------------------------

  private finish(reply: Reply): void {
    const { host, pending } = this;
    if (this.isWhole) host.observe(this, reply);
    this.reply = null;
    this.workUs = 0;
    this.isOfSession = false;
    this.isOwned = false;
    this.passed = 0;
    this.locked = undefined;
    host.release(this);
    pending.settle(reply);
  }

  /** What stands in the words that will be used again is copied; states are in memory of their own. */
  private own(reply: Reply): Reply {
    if (this.isOwned) return reply;
    if (typeof reply !== 'object' || reply === null || reply instanceof SimpleString) return reply;
    if (reply instanceof Uint8Array) return reply.buffer === this.args.bytes.buffer ? copyOf(reply) : reply;
    return ownBytes(reply);
  }
}

/** The outcome that another node told; what cannot be understood is uncertain. */
export function outcomeOf(payload: Uint8Array): ReturnType<typeof decodeForwardAnswer> {
  try {
    return decodeForwardAnswer(payload);
  } catch (thrown) {
    if (thrown instanceof DamagedError) return { kind: 'uncertain' };
    throw thrown;
  }
}
