/** What a coordinator is given to do with a row: changes and reads, and how several changes become one. */

import type { ChangeOutcome } from './register-core.ts';
import { isDelta } from './row-state.ts';
import type { Version } from './version.ts';

/** The whole state of one that is told against this node's own copy. Throws `Miss`. */
export type Whole = (state: Uint8Array) => Uint8Array;

/**
 * A change of one row. `run` may be called several times, on what the row is found to be; it keeps its reply itself.
 * `ballot` is the version that the result will have.
 */
export interface RowTask {
  /** It may be given a large collection as this node's own copy, told against itself (row-delta.ts); else states are whole. */
  readonly takesDelta?: boolean;
  /**
   * The new state; the same bytes: nothing changes. `whole`: the whole state of one against this node's copy. Throws `Miss`
   * when it takes states against this node's copy: it is run again.
   */
  run(state: Uint8Array | undefined, ballot: Version, whole: Whole): Uint8Array | undefined;
  /** Once. Of outcome `done` the reply is that of the last `run`; `version` is what the row has now. */
  done(outcome: ChangeOutcome<undefined>): void;
}

export interface LightReader {
  readonly anyCopy?: boolean;
  again(): void;
  elsewhere(): void;
}

/** A read of one row. One of the two is called, once. */
export interface ReadTask {
  /**
   * Where it is given a large collection as this node's own copy (row-delta.ts): `found` may then throw `Miss`, and `again`
   * is called when what it missed is there. `elsewhere` is called instead where this node does not have that version;
   * `anyCopy`: it only wants to know that it is large.
   */
  readonly light?: LightReader;
  found(version: Version, state: Uint8Array | undefined): void;
  failed(reason: ReadFailure): void;
}

export type ReadFailure = 'no-quorum' | 'overloaded';

export type RowChange<R> = (
  state: Uint8Array | undefined,
  ballot: Version,
) => { readonly state: Uint8Array | undefined; readonly reply: R };

export type ReadOutcome =
  | { readonly kind: 'done'; readonly version: Version; readonly state: Uint8Array | undefined }
  | { readonly kind: ReadFailure };

/** Tasks keep their replies themselves. */
const ONE_REPLY = [undefined] as const;

/** Runs tasks one after another. Throws `Miss`. */
export function runTasks(
  tasks: readonly RowTask[],
  value: Uint8Array | undefined,
  ballot: Version,
  whole: Whole,
): { value: Uint8Array | undefined; replies: readonly undefined[] } {
  let state = value;
  if (tasks.length === 1) return { value: runTask(tasks[0] as RowTask, value, ballot, whole), replies: ONE_REPLY };
  const replies: undefined[] = [];
  for (let i = 0; i < tasks.length; i++) {
    state = runTask(tasks[i] as RowTask, state, ballot, whole);
    replies.push(undefined);
  }
  return { value: state, replies };
}

function runTask(task: RowTask, state: Uint8Array | undefined, ballot: Version, whole: Whole): Uint8Array | undefined {
  if (task.takesDelta === true || !isDelta(state)) return task.run(state, ballot, whole);
  const given = whole(state);
  const after = task.run(given, ballot, whole);
  return after === given ? state : after;
}

/** A change that changes nothing, so that a read learns what the row is. */
export class Settle implements RowTask {
  readonly takesDelta = true;
  private readonly reader: ReadTask;
  /** Reads once more; false when it is too late. */
  private readonly again: () => boolean;
  private state: Uint8Array | undefined = undefined;

  constructor(reader: ReadTask, again: () => boolean) {
    this.reader = reader;
    this.again = again;
  }

  run(state: Uint8Array | undefined): Uint8Array | undefined {
    this.state = state;
    return state;
  }

  done(outcome: ChangeOutcome<undefined>): void {
    // Of a large collection the copy here may be changed by now; but owners agree on it again.
    const isTold = outcome.kind === 'done' && !isDelta(this.state);
    if (isTold) this.reader.found(outcome.version, this.state);
    else if ((outcome.kind !== 'uncertain' && outcome.kind !== 'done') || !this.again())
      this.reader.failed(outcome.kind === 'overloaded' ? 'overloaded' : 'no-quorum');
  }
}

export class ChangeOf<R> implements RowTask {
  readonly takesDelta: boolean;
  private readonly change: RowChange<R>;
  private readonly answer: (outcome: ChangeOutcome<R>) => void;
  private reply: R | undefined = undefined;

  constructor(change: RowChange<R>, answer: (outcome: ChangeOutcome<R>) => void, takesDelta: boolean) {
    this.takesDelta = takesDelta;
    this.change = change;
    this.answer = answer;
  }

  run(state: Uint8Array | undefined, ballot: Version): Uint8Array | undefined {
    const result = this.change(state, ballot);
    this.reply = result.reply;
    return result.state;
  }

  done(outcome: ChangeOutcome<undefined>): void {
    if (outcome.kind !== 'done') this.answer(outcome);
    else this.answer({ kind: 'done', reply: this.reply as R, version: outcome.version });
  }
}

export class ReadOf implements ReadTask {
  private readonly answer: (outcome: ReadOutcome) => void;

  constructor(answer: (outcome: ReadOutcome) => void) {
    this.answer = answer;
  }

  found(version: Version, state: Uint8Array | undefined): void {
    this.answer({ kind: 'done', version, state });
  }

  failed(reason: ReadFailure): void {
    this.answer({ kind: reason });
  }
}

/** As `ReadOf`; of a large collection the state is one without its elements, which only says that it is one. */
export class NameOf extends ReadOf {
  readonly light: LightReader;

  constructor(answer: (outcome: ReadOutcome) => void) {
    super(answer);
    const elsewhere = (): void => this.failed('no-quorum');
    this.light = { anyCopy: true, again: elsewhere, elsewhere };
  }
}
