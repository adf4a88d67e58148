/**
 * Reads and writes at other levels than `quorum`.
 *
 * ```
 * read     ask as many owners as the level needs, the others too after the hedging delay; of what answers the highest version
 * write    ACCEPT with a fresh stamp at every owner, nobody asked before; enough have it → done
 *          a promise stands in the way     again with a higher stamp
 *          a newer version stands there    this write is discarded: into the ledger; it counts as written
 *          an owner that cannot be reached a hint; at `available` it counts as written, once the hint is durable
 * confirm  ask the owners until enough hold a version at least this high
 * ```
 *
 * Below `quorum` the last write wins, by the clocks of the nodes (at most 500 ms apart): an acknowledged write may give
 * way to one with a higher stamp, never without a trace in the ledger of its coordinator as far as that is told of it.
 *
 * Invariants: each task ends once, soon after its deadline at the latest; what is under way is bounded; a stamp is used
 * for one ACCEPT at an owner only.
 */

import { priority } from '../cluster/frame.ts';
import type { MemberId } from '../cluster/member.ts';
import { EngineError } from '../engine/engine-error.ts';
import type { Env, Timer } from '../env.ts';
import type { Coordinator, CoordinatorView, ReadFailure, ReadTask } from './coordinator.ts';
import type { Hlc } from './hlc.ts';
import type { Ledger } from './ledger.ts';
import { centresOf, isEnoughToRead, isEnoughToWrite, type Level, levelText } from './level.ts';
import type { KeepHint } from './missed-writes.ts';
import { slotOfRow, type AcceptRequest, type OwnerAnswer, type RowName } from './owner-message.ts';
import { tallyOf, type Tally } from './quorum.ts';
import { isDelta } from './row-state.ts';
import { compareVersions, type Version, ZERO_VERSION } from './version.ts';

/** Reads, writes and confirmations under way; beyond it they are refused before anything is sent. */
export const MAX_LEVEL_RUNS = 100_000;

/** How often it is looked whose time has come, while anything is under way. */
const TICK_MS = 4;

/** Wait before owners are asked again. */
const RETRY_MS = 10;

/** A write that meets promises so often gives up: another coordinator is at work on the row. */
const MAX_TRIES = 8;

/** How long a write waits for an owner before it counts as out of reach. */
const WRITE_PHASE_MS = 1_000;

export interface WriteTask {
  /** The state to write under this version. May be called again, with a higher one. */
  stateFor(version: Version): Uint8Array | undefined;
  written(version: Version): void;
  /** `uncertain`: some owner has it, or may have it. */
  failed(reason: ReadFailure | 'uncertain'): void;
}

/** Something that is looked at from time to time. */
interface Run {
  readonly deadlineMs: number;
  dueMs: number;
  /** Its time has come. */
  wake(nowMs: number): void;
  isOver: boolean;
}

export interface LevelOptions {
  readonly env: Pick<Env, 'clock' | 'timers'>;
  readonly view: CoordinatorView;
  readonly coordinator: Coordinator;
  readonly hlc: Hlc;
  readonly actor: number;
  readonly ledger: Ledger;
  /** Data centre of a member. */
  centreOf(id: MemberId): string;
  readonly keepHint?: KeepHint;
  /** Calls `run` once all hints that were kept are durable. Required with `keepHint`. */
  whenKept?(run: () => void): void;
}

export class LevelRun {
  readonly view: CoordinatorView;
  readonly coordinator: Coordinator;
  readonly hlc: Hlc;
  readonly actor: number;
  readonly ledger: Ledger;
  readonly keepHint: KeepHint | undefined;
  readonly whenKept: (run: () => void) => void;
  private readonly env: LevelOptions['env'];
  private readonly centreOf: (id: MemberId) => string;
  private readonly runs = new Set<Run>();
  private timer: Timer | undefined = undefined;
  /** Since the start. */
  readonly counts = { levelReads: 0, levelWrites: 0, discarded: 0, standIns: 0 };

  constructor(options: LevelOptions) {
    this.env = options.env;
    this.view = options.view;
    this.coordinator = options.coordinator;
    this.hlc = options.hlc;
    this.actor = options.actor;
    this.ledger = options.ledger;
    this.keepHint = options.keepHint;
    this.whenKept = (run) => options.whenKept?.(run);
    this.centreOf = (id) => options.centreOf(id);
  }

  /** Of what the owners that the level needs have answered the highest version. `all`: the same from all, or a quorum read. */
  read(row: RowName, level: Level, task: ReadTask, deadlineMs: number): void {
    if (this.runs.size >= MAX_LEVEL_RUNS) {
      task.failed('overloaded');
      return;
    }
    this.counts.levelReads++;
    new ReadRun(this, row, level, task, deadlineMs).start();
  }

  /** Writes without asking before. Requires: a level below quorum. */
  write(row: RowName, level: Level, task: WriteTask, deadlineMs: number): void {
    if (this.runs.size >= MAX_LEVEL_RUNS) {
      task.failed('overloaded');
      return;
    }
    if (!this.coordinator.isReady) {
      this.coordinator.whenReady(
        deadlineMs,
        () => this.write(row, level, task, deadlineMs),
        () => task.failed('no-quorum'),
      );
      return;
    }
    this.counts.levelWrites++;
    new WriteRun(this, row, level, task, deadlineMs).start();
  }

  /** Asks until enough owners for a write at this level hold `version` or a newer one; false at the deadline. */
  confirm(row: RowName, level: Level, version: Version, deadlineMs: number, done: (confirmed: boolean) => void): void {
    const { view } = this;
    this.holders(row, version, deadlineMs, (mask, isLast) => {
      const tally = tallyOf(view.owners(slotOfRow(row)));
      const enough = isEnoughToWrite(level, tally, mask, this.centres);
      if (!enough && !isLast) return false;
      done(enough);
      return true;
    });
  }

  /**
   * Asks the owners again and again which of them hold `version` or a newer one. `tell` gets their mask after each round;
   * true ends it. The last time, at the deadline, it is told so.
   */
  holders(row: RowName, version: Version, deadlineMs: number, tell: (mask: number, isLast: boolean) => boolean): void {
    new HolderRun(this, row, version, deadlineMs, tell).start();
  }

  close(): void {
    this.timer?.cancel();
    this.timer = undefined;
    this.runs.clear();
  }

  // --- for runs ----------------------------------------------------------------------------------------------------

  nowMs(): number {
    return this.env.clock.monotonicUs() / 1000;
  }

  /** Versions given from now on are above this one. False: it is too far ahead of this node's clock for now. */
  follow(version: Version): boolean {
    return this.hlc.observe(version.stamp);
  }

  /** Of this node, above all that it gave and heard of. */
  newVersion(): Version {
    return { stamp: this.hlc.next(), actor: this.actor };
  }

  /** As `newVersion`; undefined: the disk does not take the clock's next ceiling, and there are no stamps left. */
  tryVersion(): Version | undefined {
    try {
      return this.newVersion();
    } catch (error) {
      if (error instanceof EngineError && error.code === 'refused') return undefined;
      throw error;
    }
  }

  wallMs(): number {
    return this.env.clock.wallMs();
  }

  readonly centres = (tally: Tally): readonly number[] => centresOf(tally, this.view.self, this.centreOf);

  begin(run: Run): void {
    this.runs.add(run);
    this.timer ??= this.env.timers.after(TICK_MS, this.onTimer);
  }

  end(run: Run): void {
    run.isOver = true;
    this.runs.delete(run);
  }

  private readonly onTimer = (): void => {
    this.timer = undefined;
    const nowMs = this.nowMs();
    for (const run of this.runs) if (run.dueMs <= nowMs) run.wake(nowMs);
    if (this.runs.size > 0) this.timer = this.env.timers.after(TICK_MS, this.onTimer);
  };
}

class ReadRun implements Run {
  readonly deadlineMs: number;
  dueMs = Number.POSITIVE_INFINITY;
  isOver = false;
  private readonly host: LevelRun;
  private readonly row: RowName;
  private readonly level: Level;
  private readonly task: ReadTask;
  private tally!: Tally;
  private round = 0;
  private ranked: readonly MemberId[] = [];
  private asked = 0;
  private answered = 0;
  private failed = 0;
  private best: Version = ZERO_VERSION;
  private state: Uint8Array | undefined = undefined;
  /** Owners that hold `best`. */
  private holders = 0;

  /** As in `ReadRequest`. */
  private get isLight(): boolean {
    return this.task.light !== undefined;
  }

  constructor(host: LevelRun, row: RowName, level: Level, task: ReadTask, deadlineMs: number) {
    this.host = host;
    this.row = row;
    this.level = level;
    this.task = task;
    this.deadlineMs = deadlineMs;
  }

  start(): void {
    this.host.begin(this);
    this.ask();
  }

  wake(nowMs: number): void {
    if (nowMs >= this.deadlineMs) {
      this.giveUp();
      return;
    }
    const missing = this.ranked.length - this.asked;
    // What does not answer in time is not waited for where anything will do.
    if (this.level.name === 'available' && this.answered !== 0) this.finish();
    else if (missing > 0) {
      this.askUpTo(this.ranked.length);
      this.dueMs = Math.min(this.deadlineMs, nowMs + WRITE_PHASE_MS);
    } else this.ask();
  }

  private ask(): void {
    const { host } = this;
    this.round++;
    this.tally = tallyOf(host.view.owners(slotOfRow(this.row)));
    this.ranked = host.coordinator.rank(this.tally.members);
    this.asked = 0;
    this.answered = 0;
    this.failed = 0;
    this.best = ZERO_VERSION;
    this.state = undefined;
    this.holders = 0;
    let mask = 0;
    let needed = 0;
    while (needed < this.ranked.length && !isEnoughToRead(this.level, this.tally, mask, host.centres)) {
      mask |= this.tally.bitOf(this.ranked[needed++] as MemberId);
    }
    this.dueMs = Math.min(this.deadlineMs, host.nowMs() + host.coordinator.hedgeAfterMs(this.ranked.slice(0, needed)));
    this.askUpTo(needed);
  }

  private askUpTo(count: number): void {
    const { host, row, round } = this;
    while (this.asked < count && !this.isOver && round === this.round) {
      const to = this.ranked[this.asked++] as MemberId;
      const request = { kind: 'read', row, digest: false, light: this.isLight } as const;
      host.coordinator.deliver(to, request, priority.CLIENT, (answer) => {
        if (!this.isOver && round === this.round) this.take(to, answer);
      });
    }
  }

  private take(from: MemberId, answer: OwnerAnswer<Uint8Array>): void {
    const { host } = this;
    const bit = this.tally.bitOf(from);
    if (answer.kind === 'held') {
      this.answered |= bit;
      const order = compareVersions(answer.version, this.best);
      if (order > 0) this.holders = 0;
      if (order >= 0) {
        this.best = answer.version;
        this.state = answer.value;
        this.holders |= bit;
      }
    } else {
      this.failed |= bit;
      if (answer.kind === 'stale') host.view.learn(from, answer.epoch);
    }
    if (isEnoughToRead(this.level, this.tally, this.answered, host.centres)) this.finish();
    else if (this.failed !== 0 && this.asked < this.ranked.length) this.askUpTo(this.ranked.length);
    else if (this.tally.isAll(this.answered | this.failed)) {
      if (this.level.name === 'available' && this.answered !== 0) this.finish();
      else this.dueMs = Math.min(this.deadlineMs, host.nowMs() + RETRY_MS);
    }
  }

  private finish(): void {
    const { host, tally, task, row } = this;
    host.end(this);
    // All were asked because nobody may be left behind: where they differ, a quorum decides.
    const decides = this.level.name === 'all' && !tally.isAll(this.holders);
    if (decides) host.coordinator.readRow(row, task, this.deadlineMs);
    else if (isDelta(this.state)) {
      // A large collection is read where it stands, if this node has that version; else it comes whole.
      if (host.coordinator.showCopy(row, this.best, task)) return;
      const whole: ReadTask = {
        found: (version, state) => task.found(version, state),
        failed: (reason) => task.failed(reason),
      };
      new ReadRun(host, row, this.level, whole, this.deadlineMs).start();
    } else task.found(this.best, this.state);
  }

  private giveUp(): void {
    this.host.end(this);
    this.task.failed('no-quorum');
  }
}

class WriteRun implements Run {
  readonly deadlineMs: number;
  dueMs = Number.POSITIVE_INFINITY;
  isOver = false;
  private readonly host: LevelRun;
  private readonly row: RowName;
  private readonly level: Level;
  private readonly task: WriteTask;
  private tally!: Tally;
  private request!: AcceptRequest<Uint8Array>;
  private tries = 0;
  private written = 0;
  /** Owners that cannot take this version. */
  private refused = 0;
  private missed = 0;
  /** Owners that may have taken some version of it. */
  private touched = 0;
  private newest: Version = ZERO_VERSION;

  constructor(host: LevelRun, row: RowName, level: Level, task: WriteTask, deadlineMs: number) {
    this.host = host;
    this.row = row;
    this.level = level;
    this.task = task;
    this.deadlineMs = deadlineMs;
  }

  start(): void {
    this.host.begin(this);
    this.ask();
  }

  wake(nowMs: number): void {
    if (this.refused !== 0 && nowMs < this.deadlineMs && this.tries < MAX_TRIES) this.ask();
    else this.judge(true);
  }

  private ask(): void {
    const { host, row } = this;
    const ballot = host.tryVersion();
    if (ballot === undefined) {
      host.end(this);
      this.task.failed(this.touched === 0 ? 'no-quorum' : 'uncertain');
      return;
    }
    this.tries++;
    this.tally = tallyOf(host.view.owners(slotOfRow(row)));
    this.written = 0;
    this.refused = 0;
    this.missed = 0;
    const request: AcceptRequest<Uint8Array> = {
      kind: 'accept',
      row,
      ballot,
      value: this.task.stateFor(ballot),
      next: ballot,
    };
    this.request = request;
    this.dueMs = Math.min(this.deadlineMs, host.nowMs() + WRITE_PHASE_MS);
    for (const to of this.tally.members) {
      if (host.view.isHealthy(to)) {
        host.coordinator.deliver(to, request, priority.CLIENT, (answer) => this.take(to, request, answer));
      } else this.take(to, request, { kind: 'unsent' });
    }
  }

  private take(from: MemberId, request: AcceptRequest<Uint8Array>, answer: OwnerAnswer<Uint8Array>): void {
    const { host } = this;
    if (request !== this.request) return;
    const bit = this.tally.bitOf(from);
    switch (answer.kind) {
      case 'accepted':
        this.written |= bit;
        this.touched |= bit;
        break;
      case 'conflict':
        host.hlc.observe(answer.max.stamp);
        if (compareVersions(answer.held, request.ballot) > 0) {
          this.written |= bit;
          if (compareVersions(answer.held, this.newest) > 0) this.discard(answer.held);
        } else this.refused |= bit;
        break;
      case 'stale':
        host.view.learn(from, answer.epoch);
        this.refused |= bit;
        break;
      case 'unable':
        this.touched |= bit;
        this.miss(from, bit);
        break;
      default:
        this.miss(from, bit);
        break;
    }
    if (!this.isOver) this.judge(false);
  }

  /** An owner that is out of reach gets it later. */
  private miss(target: MemberId, bit: number): void {
    const { host, request, row } = this;
    const isKept = host.keepHint?.(target, row, request.ballot, request.value, true) === true;
    if (!isKept || this.level.name !== 'available') {
      this.missed |= bit;
      return;
    }
    host.whenKept(() => {
      if (this.isOver || request !== this.request) return;
      this.written |= bit;
      host.counts.standIns++;
      this.judge(false);
    });
  }

  /** A newer version stands where this one was to be written. */
  private discard(newer: Version): void {
    const { host, request, row } = this;
    const isFirst = this.newest === ZERO_VERSION;
    this.newest = newer;
    if (!isFirst) return;
    host.counts.discarded++;
    const { ballot: version, value: state } = request;
    host.ledger.add({ row, version, newer, level: levelText(this.level), atMs: host.wallMs(), state });
  }

  private judge(isLate: boolean): void {
    const { host, tally } = this;
    if (isEnoughToWrite(this.level, tally, this.written, host.centres)) {
      host.end(this);
      this.task.written(this.request.ballot);
      return;
    }
    const isAnswered = tally.isAll(this.written | this.refused | this.missed);
    if (isAnswered && this.refused !== 0 && this.tries < MAX_TRIES) {
      this.dueMs = Math.min(this.deadlineMs, host.nowMs() + RETRY_MS * Math.min(this.tries - 1, 4));
      return;
    }
    if (!isAnswered && !isLate) return;
    host.end(this);
    const silent = ~(this.written | this.refused | this.missed);
    const mayStand = this.touched !== 0 || !tally.isAll(~silent);
    this.task.failed(mayStand ? 'uncertain' : 'no-quorum');
  }
}

class HolderRun implements Run {
  readonly deadlineMs: number;
  dueMs = Number.POSITIVE_INFINITY;
  isOver = false;
  private readonly host: LevelRun;
  private readonly row: RowName;
  private readonly version: Version;
  private readonly tell: (mask: number, isLast: boolean) => boolean;
  private mask = 0;
  private open = 0;

  constructor(
    host: LevelRun,
    row: RowName,
    version: Version,
    deadlineMs: number,
    tell: (mask: number, isLast: boolean) => boolean,
  ) {
    this.host = host;
    this.row = row;
    this.version = version;
    this.deadlineMs = deadlineMs;
    this.tell = tell;
  }

  start(): void {
    this.host.begin(this);
    this.ask();
  }

  wake(nowMs: number): void {
    if (nowMs < this.deadlineMs) this.ask();
    else if (!this.isOver) {
      this.host.end(this);
      this.tell(this.mask, true);
    }
  }

  private ask(): void {
    const { host, row } = this;
    const tally = tallyOf(host.view.owners(slotOfRow(row)));
    this.dueMs = Math.min(this.deadlineMs, host.nowMs() + WRITE_PHASE_MS);
    this.open = 0;
    for (const to of tally.members) if ((this.mask & tally.bitOf(to)) === 0) this.open++;
    for (const to of tally.members) {
      if ((this.mask & tally.bitOf(to)) !== 0) continue;
      host.coordinator.deliver(to, { kind: 'read', row, digest: true }, priority.CLIENT, (answer) => {
        this.open--;
        const holds = answer.kind === 'held' && compareVersions(answer.version, this.version) >= 0;
        if (holds) this.mask |= tally.bitOf(to);
        if (this.isOver || this.open > 0) return;
        if (this.tell(this.mask, false)) host.end(this);
        else this.dueMs = Math.min(this.deadlineMs, host.nowMs() + RETRY_MS);
      });
    }
    if (this.open === 0 && !this.isOver && this.tell(this.mask, false)) host.end(this);
  }
}
