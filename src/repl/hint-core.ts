/**
 * Hinted handoff: a write for an owner that is out of reach is kept here, and delivered when it is back, as an ACCEPT
 * under the one rule of the owner (design, section 6; Dynamo, section 4.6).
 *
 * The hints themselves are rows of the engine, keyed by target and row, so that a newer one takes the place of the
 * older; this core knows which there are and decides what is kept, dropped and delivered.
 *
 * Invariants:
 * - For each target and row there is one hint at most, the newest version.
 * - The bytes kept are bounded, in all and for each target. Beyond it hints are refused and the target is marked
 *   incomplete: only anti-entropy can then tell that it has everything. At every level but `available` a hint counted
 *   towards no W, so that dropping one loses nothing.
 * - Hints are delivered only to a target that is reachable, a bounded number at a time, in the order they were kept.
 * - A hint goes away only when the target has it or something newer, or does not own the row any more. What is known to be
 *   chosen then stands at the owners that took the target's place; a loose hint, which may have counted towards a W, goes
 *   to them first.
 *
 * A pure state machine: `step(event, nowMs)` returns effects.
 */

import { DueHeap } from '../cluster/due-heap.ts';
import type { MemberId } from '../cluster/member.ts';
import type { OwnerAnswer, RowName } from './owner-message.ts';
import { compareVersions, equalVersions, type Version } from './version.ts';

/** Bytes of hints kept in all and for one target: ten minutes of 2,000 writes a second over 100,000 keys fit. */
export const MAX_HINT_BYTES = 1024 * 1024 * 1024;
export const MAX_TARGET_BYTES = 256 * 1024 * 1024;

/** What a hint costs besides its value: its key, version and place in this core's tables. */
export const HINT_OVERHEAD_BYTES = 200;

/** Hints on their way to one target at a time: fills a LAN's round trip, and leaves room for clients. */
export const DELIVERY_WINDOW = 64;

/** Delivered places of a queue that are kept before it is moved up. */
const QUEUE_SLACK = 8_192;

/** Wait before a hint that was refused for now is tried again. */
export const HINT_RETRY_MS = 1_000;

export type HintEvent =
  /** A write that `target` did not get. `bytes`: of the row's state. */
  | {
      readonly kind: 'keep';
      readonly target: MemberId;
      readonly row: RowName;
      readonly version: Version;
      readonly bytes: number;
      /** It is not known to be chosen. */
      readonly loose: boolean;
    }
  /** As `keep`, of a hint that is stored already: said for each when the node starts. */
  | {
      readonly kind: 'found';
      readonly target: MemberId;
      readonly row: RowName;
      readonly version: Version;
      readonly bytes: number;
      readonly loose: boolean;
    }
  | { readonly kind: 'reachable'; readonly target: MemberId }
  | { readonly kind: 'unreachable'; readonly target: MemberId }
  /** It is no member any more. Requires: no loose hints are kept for it, they are displaced first. */
  | { readonly kind: 'gone'; readonly target: MemberId }
  /** Others own slots now that the target has owned. `owns`: whether the target still owns a row. */
  | { readonly kind: 'displaced'; readonly target: MemberId; readonly owns: (row: RowName) => boolean }
  | {
      readonly kind: 'answer';
      readonly target: MemberId;
      readonly row: RowName;
      readonly version: Version;
      readonly answer: OwnerAnswer<unknown>;
    }
  /** Anti-entropy has brought the target up to date. */
  | { readonly kind: 'repaired'; readonly target: MemberId }
  | { readonly kind: 'wake' };

export type HintEffect =
  /** Put the row's state, in this version, under (target, row). */
  | { readonly kind: 'store'; readonly target: MemberId; readonly row: RowName; readonly version: Version }
  /** Remove what stands under (target, row). */
  | { readonly kind: 'remove'; readonly target: MemberId; readonly row: RowName }
  /** Send the stored state to the target as ACCEPT(version, …, version), then say `answer`: `unable` if none came. */
  | { readonly kind: 'deliver'; readonly target: MemberId; readonly row: RowName; readonly version: Version }
  /** Keep the stored state for the row's present owners, then say `answer`: `accepted`, or `unable` if that cannot be. */
  | { readonly kind: 'redirect'; readonly target: MemberId; readonly row: RowName; readonly version: Version }
  /**
   * The target has promised a higher ballot and so refuses what it lacks: a change that changes nothing brings it up.
   * The hint goes away: its version stands at a majority, or the change decides what does.
   */
  | { readonly kind: 'settle'; readonly row: RowName }
  /** Hints for the target had to be refused: it needs anti-entropy when it is back. */
  | { readonly kind: 'incomplete'; readonly target: MemberId };

interface Hint {
  readonly row: RowName;
  version: Version;
  bytes: number;
  loose: boolean;
  state: 'waits' | 'sent' | 'rests';
}

interface Target {
  readonly hints: Map<RowName, Hint>;
  /** Those that wait to be delivered, in order, from `first` on; may name hints that are gone. */
  queue: RowName[];
  first: number;
  bytes: number;
  /** Hints that are loose. */
  loose: number;
  sent: number;
  reachable: boolean;
  incomplete: boolean;
}

export interface HintLimits {
  readonly maxBytes: number;
  readonly maxTargetBytes: number;
  readonly window: number;
  readonly retryMs: number;
}

const DEFAULT_LIMITS: HintLimits = {
  maxBytes: MAX_HINT_BYTES,
  maxTargetBytes: MAX_TARGET_BYTES,
  window: DELIVERY_WINDOW,
  retryMs: HINT_RETRY_MS,
};

export class HintCore {
  private readonly limits: HintLimits;
  private readonly targets = new Map<MemberId, Target>();
  private readonly alarms = new DueHeap<{ target: MemberId; row: RowName }>();
  private allBytes = 0;
  private effects: HintEffect[] = [];

  constructor(limits: Partial<HintLimits> = {}) {
    this.limits = { ...DEFAULT_LIMITS, ...limits };
  }

  get wakeAtMs(): number {
    return this.alarms.nextMs;
  }

  get bytes(): number {
    return this.allBytes;
  }

  /** Hints kept for a target. */
  count(target: MemberId): number {
    return this.targets.get(target)?.hints.size ?? 0;
  }

  /** Loose ones among them. */
  looseCount(target: MemberId): number {
    return this.targets.get(target)?.loose ?? 0;
  }

  /** Hints that are being delivered or redirected. */
  onTheWay(target: MemberId): number {
    return this.targets.get(target)?.sent ?? 0;
  }

  /** Whether this version of the row, or a newer one, is kept for a target. */
  isKept(target: MemberId, row: RowName, version: Version): boolean {
    const hint = this.targets.get(target)?.hints.get(row);
    return hint !== undefined && compareVersions(hint.version, version) >= 0;
  }

  /** Whether the target has everything that was meant for it once no hints are left. */
  isComplete(target: MemberId): boolean {
    return this.targets.get(target)?.incomplete !== true;
  }

  step(event: HintEvent, nowMs: number): HintEffect[] {
    switch (event.kind) {
      case 'keep':
      case 'found':
        this.keep(event.target, event, event.kind === 'keep');
        break;
      case 'reachable':
        this.targetOf(event.target).reachable = true;
        this.deliver(event.target);
        break;
      case 'unreachable':
        this.targetOf(event.target).reachable = false;
        break;
      case 'gone':
        this.forget(event.target);
        break;
      case 'displaced':
        this.displace(event.target, event.owns);
        break;
      case 'answer':
        this.answered(event.target, event.row, event.version, event.answer, nowMs);
        break;
      case 'repaired':
        this.targetOf(event.target).incomplete = false;
        break;
      case 'wake':
        this.wake(nowMs);
        break;
    }
    const effects = this.effects;
    this.effects = [];
    return effects;
  }

  private keep(
    id: MemberId,
    write: { row: RowName; version: Version; bytes: number; loose: boolean },
    isNew: boolean,
  ): void {
    const target = this.targetOf(id);
    const { row, version, loose } = write;
    const bytes = write.bytes + HINT_OVERHEAD_BYTES;
    const before = target.hints.get(row);
    if (before !== undefined && compareVersions(before.version, version) >= 0) return;
    const more = bytes - (before?.bytes ?? 0);
    if (target.bytes + more > this.limits.maxTargetBytes || this.allBytes + more > this.limits.maxBytes) {
      if (!target.incomplete) this.effects.push({ kind: 'incomplete', target: id });
      target.incomplete = true;
      return;
    }
    target.bytes += more;
    this.allBytes += more;
    target.loose += Number(loose) - Number(before?.loose ?? false);
    if (before === undefined) {
      target.hints.set(row, { row, version, bytes, loose, state: 'waits' });
      target.queue.push(row);
    } else {
      before.version = version;
      before.bytes = bytes;
      before.loose = loose;
    }
    if (isNew) this.effects.push({ kind: 'store', target: id, row, version });
    this.deliver(id);
  }

  private deliver(id: MemberId): void {
    const target = this.targetOf(id);
    while (target.reachable && target.sent < this.limits.window && target.first < target.queue.length) {
      const hint = target.hints.get(target.queue[target.first++] as RowName);
      if (hint?.state !== 'waits') continue;
      hint.state = 'sent';
      target.sent++;
      this.effects.push({ kind: 'deliver', target: id, row: hint.row, version: hint.version });
    }
    // Moved up only now and then: each time would cost as much as the queue is long.
    if (target.first < QUEUE_SLACK && target.first < target.queue.length) return;
    target.queue = target.queue.slice(target.first);
    target.first = 0;
  }

  private displace(id: MemberId, owns: (row: RowName) => boolean): void {
    const target = this.targets.get(id);
    if (target === undefined || target.loose === 0) return;
    for (const hint of target.hints.values()) {
      if (target.sent >= this.limits.window) break;
      if (!hint.loose || hint.state === 'sent' || owns(hint.row)) continue;
      hint.state = 'sent';
      target.sent++;
      this.effects.push({ kind: 'redirect', target: id, row: hint.row, version: hint.version });
    }
  }

  private answered(id: MemberId, row: RowName, version: Version, answer: OwnerAnswer<unknown>, nowMs: number): void {
    const target = this.targetOf(id);
    const hint = target.hints.get(row);
    if (hint?.state !== 'sent') return;
    target.sent--;
    const isSame = equalVersions(hint.version, version);
    if (answer.kind === 'accepted' || answer.kind === 'conflict') {
      if (isSame) {
        const lacks = answer.kind === 'conflict' && compareVersions(answer.held, version) < 0;
        if (lacks) this.effects.push({ kind: 'settle', row });
        this.remove(id, target, hint);
      } else {
        // A newer version has come for the row while the older one was on its way.
        hint.state = 'waits';
        target.queue.push(row);
      }
    } else {
      if (answer.kind === 'unsent') target.reachable = false;
      hint.state = 'rests';
      this.alarms.add(nowMs + this.limits.retryMs, { target: id, row });
    }
    this.deliver(id);
  }

  private wake(nowMs: number): void {
    for (;;) {
      const due = this.alarms.take(nowMs);
      if (due === undefined) return;
      const target = this.targets.get(due.target);
      const hint = target?.hints.get(due.row);
      if (target === undefined || hint?.state !== 'rests') continue;
      hint.state = 'waits';
      target.queue.push(due.row);
      this.deliver(due.target);
    }
  }

  private remove(id: MemberId, target: Target, hint: Hint): void {
    target.hints.delete(hint.row);
    target.loose -= Number(hint.loose);
    target.bytes -= hint.bytes;
    this.allBytes -= hint.bytes;
    this.effects.push({ kind: 'remove', target: id, row: hint.row });
  }

  private forget(id: MemberId): void {
    const target = this.targets.get(id);
    if (target === undefined) return;
    for (const hint of target.hints.values()) this.remove(id, target, hint);
    this.targets.delete(id);
  }

  private targetOf(id: MemberId): Target {
    let target = this.targets.get(id);
    if (target === undefined) {
      target = {
        hints: new Map(),
        queue: [],
        first: 0,
        bytes: 0,
        loose: 0,
        sent: 0,
        reachable: false,
        incomplete: false,
      };
      this.targets.set(id, target);
    }
    return target;
  }
}
