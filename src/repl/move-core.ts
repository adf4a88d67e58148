/**
 * Moves one slot from its current owners O to the incoming ones O' (design, section 9), while everything goes on.
 *
 * ```
 * 1  the document says {O → O'}: from here every quorum is a majority of O and of O'           (before this core begins)
 * 2  FENCE  a majority of O knows that epoch and so refuses requests of before
 * 3  COPY   each row that a majority of O lists is settled: changed, under the joint quorum, by a change that changes
 *           nothing, so that a majority of O' holds its last chosen version
 * 4  the document says O'                                                                      (effect `done`)
 * 5  leavers delete once they know                                                             (the owners' own business)
 * ```
 *
 * Why it loses nothing: what was chosen before the fence stands at a majority of O, so one of any majority of fenced
 * owners lists it; what is chosen after it was chosen by a majority of O' too, since a quorum of O alone would need an
 * owner that refuses. So no row is settled before the fence is complete, and none is listed by an owner before that
 * owner is fenced. One source is not enough, nor is a list of before the fence (mutants copiesFromOne, noFence).
 *
 * A pure state machine. All it knows can be found out again: whoever drives the move may crash, and another one starts
 * from the document.
 */

import { DueHeap } from '../cluster/due-heap.ts';
import type { MemberId } from '../cluster/member.ts';
import type { Owners } from '../cluster/owners.ts';
import type { RowName } from './owner-message.ts';

/** Rows asked for at a time. */
export const LIST_LIMIT = 256;

/** Rows being settled at a time: what a move may cost those who use the cluster. */
export const SETTLE_WINDOW = 16;

/** Wait for an answer of an owner, and before what failed is tried again. */
export const MOVE_TIMEOUT_MS = 1_000;
export const MOVE_RETRY_MS = 50;

export type MoveRequest =
  /** Learn the epoch that this message carries, durably, then answer. */
  | { readonly kind: 'fence'; readonly slot: number }
  /** Names of rows after `after`, in their order, tombstones too. */
  | { readonly kind: 'list'; readonly slot: number; readonly after: RowName | undefined; readonly limit: number };

export type MoveAnswer =
  | { readonly kind: 'fenced' }
  | { readonly kind: 'rows'; readonly rows: readonly RowName[]; readonly complete: boolean }
  | { readonly kind: 'failed' };

export type MoveEvent =
  | { readonly kind: 'start' }
  | { readonly kind: 'answer'; readonly id: number; readonly answer: MoveAnswer }
  | { readonly kind: 'settled'; readonly row: RowName; readonly done: boolean }
  | { readonly kind: 'wake' };

export type MoveEffect =
  | { readonly kind: 'ask'; readonly id: number; readonly to: MemberId; readonly request: MoveRequest }
  /** Change the row by a change that changes nothing, in an epoch not before the move's; then say `settled`. */
  | { readonly kind: 'settle'; readonly row: RowName }
  /** The document may say O'. */
  | { readonly kind: 'done' };

export interface MoveLimits {
  readonly listLimit: number;
  readonly settleWindow: number;
  readonly timeoutMs: number;
  readonly retryMs: number;
}

const DEFAULT_LIMITS: MoveLimits = {
  listLimit: LIST_LIMIT,
  settleWindow: SETTLE_WINDOW,
  timeoutMs: MOVE_TIMEOUT_MS,
  retryMs: MOVE_RETRY_MS,
};

/** What is known of one current owner. */
interface Source {
  readonly member: MemberId;
  state: 'unknown' | 'fenced' | 'listed';
  /** The last row it has listed. */
  after: RowName | undefined;
  /** Number of the question that it has been asked; 0: none is open. */
  asked: number;
}

export class MoveCore {
  private readonly slot: number;
  private readonly limits: MoveLimits;
  private readonly sources: readonly Source[];
  /** Rows that were listed and are settled or being settled. */
  private readonly known = new Set<RowName>();
  private readonly waiting: RowName[] = [];
  private settling = 0;
  private settledRows = 0;
  private readonly alarms = new DueHeap<number | RowName>();
  private lastId = 0;
  private over = false;
  private effects: MoveEffect[] = [];

  constructor(options: { slot: number; owners: Owners; limits?: Partial<MoveLimits> }) {
    this.slot = options.slot;
    this.limits = { ...DEFAULT_LIMITS, ...options.limits };
    this.sources = options.owners.current.map((member) => ({ member, state: 'unknown', after: undefined, asked: 0 }));
  }

  get wakeAtMs(): number {
    return this.over ? Number.POSITIVE_INFINITY : this.alarms.nextMs;
  }

  /** Rows settled, and rows found so far: what progress is made of. */
  get progress(): { readonly settled: number; readonly found: number } {
    return { settled: this.settledRows, found: this.known.size };
  }

  /** `nowMs`: monotonic milliseconds. */
  step(event: MoveEvent, nowMs: number): MoveEffect[] {
    if (this.over) return [];
    switch (event.kind) {
      case 'start':
        break;
      case 'answer':
        this.take(event.id, event.answer, nowMs);
        break;
      case 'settled':
        this.settling--;
        if (event.done) this.settledRows++;
        else this.alarms.add(nowMs + this.limits.retryMs, event.row);
        break;
      case 'wake':
        this.wake(nowMs);
        break;
    }
    this.goOn(nowMs);
    const effects = this.effects;
    this.effects = [];
    return effects;
  }

  private take(id: number, answer: MoveAnswer, nowMs: number): void {
    const source = this.sources.find((each) => each.asked === id);
    if (source === undefined) return;
    source.asked = 0;
    if (answer.kind === 'fenced') source.state = 'fenced';
    else if (answer.kind === 'failed') {
      source.asked = ++this.lastId;
      this.alarms.add(nowMs + this.limits.retryMs, source.asked);
    } else {
      for (const row of answer.rows) {
        source.after = row;
        if (this.known.has(row)) continue;
        this.known.add(row);
        this.waiting.push(row);
      }
      if (answer.complete) source.state = 'listed';
    }
  }

  private wake(nowMs: number): void {
    for (;;) {
      const due = this.alarms.take(nowMs);
      if (due === undefined) return;
      if (typeof due === 'string') this.waiting.push(due);
      // No answer in time, or time to ask again: whatever comes for this question now is not waited for.
      else for (const source of this.sources) if (source.asked === due) source.asked = 0;
    }
  }

  /** Asks and settles what can be, and ends when nothing is left. */
  private goOn(nowMs: number): void {
    const fenced = this.isMajority((source) => source.state !== 'unknown');
    for (const source of this.sources) {
      if (source.asked !== 0 || source.state === 'listed') continue;
      if (source.state === 'unknown') this.ask(source, { kind: 'fence', slot: this.slot }, nowMs);
      else if (fenced) {
        const { after } = source;
        this.ask(source, { kind: 'list', slot: this.slot, after, limit: this.limits.listLimit }, nowMs);
      }
    }
    while (this.settling < this.limits.settleWindow) {
      const row = this.waiting.shift();
      if (row === undefined) break;
      this.settling++;
      this.effects.push({ kind: 'settle', row });
    }
    const listed = this.isMajority((source) => source.state === 'listed');
    if (!listed || this.settledRows < this.known.size) return;
    this.over = true;
    this.effects.push({ kind: 'done' });
  }

  private ask(source: Source, request: MoveRequest, nowMs: number): void {
    source.asked = ++this.lastId;
    this.alarms.add(nowMs + this.limits.timeoutMs, source.asked);
    this.effects.push({ kind: 'ask', id: source.asked, to: source.member, request });
  }

  private isMajority(is: (source: Source) => boolean): boolean {
    return 2 * this.sources.filter(is).length > this.sources.length;
  }
}
