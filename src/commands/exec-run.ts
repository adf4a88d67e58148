/**
 * EXEC in a cluster: the queued commands of one client whose keys are one row (those of WATCH included), as one change of
 * that row; with several rows they are a transaction (cluster-run.ts). Commands that touch no row run at the client's node
 * once that is done, and so do those on whole databases (KEYS, DBSIZE, FLUSHDB), which are no part of what is atomic: what
 * stands behind one of them is a change of its own, made when it is done. Replies stand in their places.
 */

import type { RowTask } from '../repl/coordinator.ts';
import type { ForwardTask } from '../repl/forward.ts';
import { modifiedOf } from '../repl/given-rows.ts';
import { slotOfRow, type RowName } from '../repl/owner-message.ts';
import type { ChangeOutcome } from '../repl/register-core.ts';
import { isDelta, isLockedState } from '../repl/row-state.ts';
import { rowNameOf } from '../repl/row-namer.ts';
import { type Version, ZERO_VERSION } from '../repl/version.ts';
import type { RowMark } from '../repl/view.ts';
import type { Client, QueuedCommand, WatchedKey } from './client.ts';
import { plan, Planned, planOf } from './cluster-plan.ts';
import { failureText, notAtomic, NO_SWAP, type Failure } from './errors-cluster.ts';
import { encodeForward, MAX_FORWARDED_COMMANDS } from './forward-codec.ts';
import { databaseAt } from './key-row.ts';
import { NO_NOTES, type Note } from './notify-events.ts';
import { ErrorReply, ownBytes, type Reply } from './reply.ts';
import type { RowCommand } from './row-handler.ts';
import { outcomeOf, type RunHost } from './row-run.ts';
import { keyIndexes } from './table.ts';

/** A command that touches no row: at the client's node. One on whole databases: when the rows are changed. */
export const HERE = -1;
export const AFTERWARDS = -2;

/** Commands that follow one another in a queue, sorted by where they run: first those on rows, as one change. */
export interface ExecPart {
  /** The rows that commands and WATCH name, with the marks of WATCH. */
  readonly rows: ReadonlyMap<RowName, readonly RowMark[]>;
  readonly calls: readonly RowCommand[];
  /** For each queued command its place in `calls`, or where it runs instead: HERE or AFTERWARDS. */
  readonly places: readonly number[];
}

/**
 * Sorts the queue of a client; an error when it cannot run in a cluster. Parts run one after the other; the first has the
 * marks of WATCH.
 */
export function planExec(
  queue: readonly QueuedCommand[],
  watched: readonly WatchedKey[],
  options: { database: number; databases: number; physicalDatabase(logical: number): number },
): readonly ExecPart[] | ErrorReply {
  let part = newPart();
  const parts = [part];
  const planned = new Planned();
  let calls = 0;
  let { database } = options;
  for (const { key, database: of, mark } of watched) {
    const row = rowNameOf(options.physicalDatabase(of), key, 0, key.length);
    const marks = part.rows.get(row);
    if (marks === undefined) part.rows.set(row, [mark]);
    else marks.push(mark);
  }
  for (const { command, args } of queue) {
    planOf(command, args, planned);
    if (planned.kind === plan.LOCAL) {
      if (command.name === 'select') database = databaseAfter(args, database, options.databases);
      part.places.push(HERE);
      continue;
    }
    if (planned.kind === plan.KEYSPACE) {
      if (command.name === 'swapdb') return new ErrorReply(NO_SWAP);
      part.places.push(AFTERWARDS);
      continue;
    }
    if (part.places.includes(AFTERWARDS)) parts.push((part = newPart()));
    for (const i of keyIndexes(command, args)) {
      const physical = options.physicalDatabase(database);
      const row = rowNameOf(physical, args.bytes, args.starts[i] as number, args.ends[i] as number);
      if (!part.rows.has(row)) part.rows.set(row, []);
    }
    part.places.push(part.calls.length);
    part.calls.push({ command, args, database });
    calls++;
  }
  return calls > MAX_FORWARDED_COMMANDS ? new ErrorReply(notAtomic('exec')) : parts;
}

function newPart(): { rows: Map<RowName, RowMark[]>; calls: RowCommand[]; places: number[] } {
  return { rows: new Map(), calls: [], places: [] };
}

function databaseAfter(args: QueuedCommand['args'], before: number, databases: number): number {
  try {
    return databaseAt(args, 1, databases);
  } catch {
    // SELECT will say so itself; the client stays where it is.
    return before;
  }
}

/** The change of one EXEC while it is under way. `ended` is called once, with the replies of `calls` or an error. */
export class ExecRun implements RowTask, ForwardTask {
  readonly takesDelta = true;
  private readonly host: RunHost;
  private readonly client: Client;
  private readonly plan: ExecPart;
  private readonly row: RowName;
  private readonly marks: readonly RowMark[];
  /** The row as the last run has found it, when the lock of a transaction was on it. */
  private locked: Uint8Array | undefined = undefined;
  private readonly deadlineMs: number;
  private readonly ended: (reply: Reply) => void;
  private reply: Reply = null;
  private modified: Version = ZERO_VERSION;
  /** Events of the last run. */
  private notes: readonly Note[] = NO_NOTES;

  constructor(options: {
    host: RunHost;
    client: Client;
    plan: ExecPart;
    row: RowName;
    deadlineMs: number;
    ended(reply: Reply): void;
  }) {
    this.host = options.host;
    this.client = options.client;
    this.plan = options.plan;
    this.row = options.row;
    this.marks = this.plan.rows.get(this.row) ?? [];
    this.deadlineMs = options.deadlineMs;
    this.ended = (reply) => options.ended(reply);
  }

  start(): void {
    const { host, plan: queue, row, marks } = this;
    const target = host.forwarder.coordinatorOf(slotOfRow(row));
    if (target === host.self) {
      this.runHere();
      return;
    }
    const payload = encodeForward({
      isResp3: this.client.protocol === 3,
      isExec: true,
      leftMs: this.deadlineMs - host.coordinator.nowMs(),
      row,
      marks,
      commands: queue.calls,
    });
    host.forwarder.forward(target, row, payload, this, this.deadlineMs);
  }

  run(state: Uint8Array | undefined, ballot: Version): Uint8Array | undefined {
    const { handler } = this.host;
    const { calls } = this.plan;
    this.locked = isLockedState(state) ? state : undefined;
    if (this.locked !== undefined) return state;
    const reply = handler.runAll(calls, this.marks, this.client.context, this.row, state, ballot);
    // The elements of a large collection are the engine's, and valid until the turn ends.
    this.reply = isDelta(state) ? ownBytes(reply) : reply;
    this.modified = modifiedOf(handler.state);
    this.notes = handler.notes;
    return handler.state;
  }

  done(outcome: ChangeOutcome<undefined>): void {
    const { locked } = this;
    if (outcome.kind !== 'done') this.failed(outcome.kind);
    else if (locked === undefined) {
      this.client.context.server.notify.publish(this.notes);
      this.succeed(this.modified, ownBytes(this.reply));
    } else {
      const again = (): void => this.start();
      this.host.transactions.whenUnlocked(this.row, locked, this.deadlineMs, again, (reason) => this.failed(reason));
    }
  }

  runHere(): void {
    this.host.coordinator.submit(this.row, this, this.deadlineMs);
  }

  answered(payload: Uint8Array): void {
    const outcome = outcomeOf(payload);
    if (outcome.kind === 'done') this.succeed(outcome.version, outcome.reply);
    else this.failed(outcome.kind);
  }

  failed(reason: Failure): void {
    this.ended(new ErrorReply(failureText(reason)));
  }

  private succeed(version: Version, reply: Reply): void {
    this.host.noteChange(this.client, this.row, version, false);
    this.ended(reply);
  }
}
