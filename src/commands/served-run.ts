/** A change that another node has forwarded to this one, while it is under way here. */

import type { RowTask } from '../repl/coordinator.ts';
import { modifiedOf } from '../repl/given-rows.ts';
import type { RowName } from '../repl/owner-message.ts';
import { isDelta, isLockedState } from '../repl/row-state.ts';
import type { ChangeOutcome } from '../repl/register-core.ts';
import { type Version, ZERO_VERSION } from '../repl/version.ts';
import type { RowMark } from '../repl/view.ts';
import type { ClusterTransactions } from './cluster-transactions.ts';
import type { Context } from './command.ts';
import { encodeForwardAnswer } from './forward-codec.ts';
import { NO_NOTES, type Note } from './notify-events.ts';
import { ownBytes, type Reply } from './reply.ts';
import type { RowCommand, RowHandler } from './row-handler.ts';

export class ServedRun implements RowTask {
  readonly takesDelta = true;
  private readonly handler: RowHandler;
  private readonly context: Context;
  private readonly row: RowName;
  private readonly calls: readonly RowCommand[];
  /** undefined: no EXEC. */
  private readonly marks: readonly RowMark[] | undefined;
  private readonly answer: (payload: Uint8Array) => void;
  private readonly transactions: ClusterTransactions;
  private readonly again: () => void;
  private readonly deadlineMs: number;
  /** The row as the last run has found it, when the lock of a transaction was on it. */
  private locked: Uint8Array | undefined = undefined;
  private reply: Reply = null;
  private modified: Version = ZERO_VERSION;
  /** Events of the last run. */
  private notes: readonly Note[] = NO_NOTES;

  /** `calls`: in memory that stays as it is until the answer. */
  constructor(options: {
    handler: RowHandler;
    context: Context;
    row: RowName;
    calls: readonly RowCommand[];
    marks: readonly RowMark[] | undefined;
    answer: (payload: Uint8Array) => void;
    transactions: ClusterTransactions;
    deadlineMs: number;
    /** Begins the change anew. */
    again(task: ServedRun): void;
  }) {
    this.handler = options.handler;
    this.context = options.context;
    this.row = options.row;
    this.calls = options.calls;
    this.marks = options.marks;
    this.answer = options.answer;
    this.transactions = options.transactions;
    this.deadlineMs = options.deadlineMs;
    this.again = () => options.again(this);
  }

  run(state: Uint8Array | undefined, ballot: Version): Uint8Array | undefined {
    const { handler, context, row, calls, marks } = this;
    this.locked = isLockedState(state) ? state : undefined;
    if (this.locked !== undefined) return state;
    const reply =
      marks === undefined
        ? handler.run(calls[0] as RowCommand, context, row, state, ballot)
        : handler.runAll(calls, marks, context, row, state, ballot);
    // The elements of a large collection are the engine's, and valid until the turn ends.
    this.reply = isDelta(state) ? ownBytes(reply) : reply;
    this.modified = modifiedOf(handler.state);
    this.notes = handler.notes;
    return handler.state;
  }

  done(outcome: ChangeOutcome<undefined>): void {
    const { locked } = this;
    if (outcome.kind !== 'done') this.answer(encodeForwardAnswer(outcome));
    else if (locked !== undefined) {
      this.transactions.whenUnlocked(this.row, locked, this.deadlineMs, this.again, (kind) => {
        this.answer(encodeForwardAnswer({ kind }));
      });
    } else {
      this.context.server.notify.publish(this.notes);
      this.answer(encodeForwardAnswer({ kind: 'done', version: this.modified, reply: this.reply }));
    }
  }
}
