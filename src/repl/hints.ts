/**
 * The shell of `hint-core`: hints stood durably among the rows of this node, and their way to the target.
 *
 * ```
 * key     row of this node "hint:" | u32 BE target | name of the row            (rows of this node: row-key.ts)
 * value   u64 BE stamp, u32 BE actor: version | u8 flags: 1 has a state, 2 loose | the row's state
 * ```
 * A record is valid if its value has at least the version and the byte; another is dropped when it is found.
 *
 * Invariants:
 * - A hint goes away only when its target has the version or something newer, or does not own the row's slot any more.
 *   One that is loose (not known to be chosen: of levels below quorum, where it may have counted towards a W) is kept for
 *   the slot's present owners before it goes.
 * - A hint that cannot be written is not kept, which whoever asks is told.
 * - While hints are kept, and only then, a timer looks for targets that can be reached.
 */

import { latin1 } from '../bytes.ts';
import type { ClusterView } from '../cluster/cluster-view.ts';
import type { MemberId } from '../cluster/member.ts';
import { distinctOwners } from '../cluster/owners.ts';
import { EngineError } from '../engine/engine-error.ts';
import { Found, lookup, type Batch, type Store } from '../engine/store.ts';
import type { Env, Timer } from '../env.ts';
import { readU32, writeU32 } from '../cluster/big-endian.ts';
import { HintCore, type HintEffect, type HintEvent, type HintLimits } from './hint-core.ts';
import { slotOfRow, type AcceptRequest, type OwnerAnswer, type RowName } from './owner-message.ts';
import { localKey } from './row-key.ts';
import { readVersion, VERSION_BYTES, writeVersion, type Version } from './version.ts';

/** How often targets are looked at while hints are kept. */
export const REACH_INTERVAL_MS = 100;

/** Stored hints that are taken up in one turn at the start. */
const LOADED_IN_TURN = 2_000;

const PREFIX = localKey('hint:');
const NAME_AT = PREFIX.length + 4;
const VALUE_HEADER = VERSION_BYTES + 1;

export interface HintsOptions {
  readonly env: Pick<Env, 'clock' | 'timers' | 'log'>;
  readonly store: Store;
  readonly view: Pick<ClusterView, 'topology' | 'owners' | 'isHealthy' | 'onTopology'>;
  /** Puts the request to the member, after clients' work; `answered` is called once (`unable` when no answer comes). */
  send(to: MemberId, request: AcceptRequest<Uint8Array>, answered: (answer: OwnerAnswer<Uint8Array>) => void): void;
  /** A change of the row that changes nothing. */
  settle(row: RowName): void;
  readonly limits?: Partial<HintLimits>;
}

export class Hints {
  private readonly env: HintsOptions['env'];
  private readonly store: Store;
  private readonly view: HintsOptions['view'];
  private readonly send: HintsOptions['send'];
  private readonly settle: (row: RowName) => void;
  private readonly core: HintCore;
  private readonly batch: Batch;
  private readonly found = new Found();
  private readonly targets = new Map<MemberId, boolean>();
  /** Targets that may not own the rows of some loose hints any more. */
  private readonly displaced = new Set<MemberId>();
  private timer: Timer | undefined = undefined;
  private isClosed = false;
  private readonly stop: () => void;
  /** Since the start. */
  readonly counts = { kept: 0, delivered: 0, redirected: 0, dropped: 0, settled: 0 };

  constructor(options: HintsOptions) {
    this.env = options.env;
    this.store = options.store;
    this.view = options.view;
    this.send = (to, request, answered) => options.send(to, request, answered);
    this.settle = (row) => options.settle(row);
    this.core = new HintCore(options.limits);
    this.batch = options.store.newBatch();
    this.stop = options.view.onTopology(() => this.follow());
  }

  /** Takes up the hints that an earlier life kept. Rejects with an `EngineError`. */
  async load(): Promise<void> {
    const upper = PREFIX.slice();
    upper[upper.length - 1] = (upper.at(-1) ?? 0) + 1;
    const cursor = this.store.cursor({ lower: PREFIX, upper });
    try {
      for (let count = 1; !this.isClosed; count++) {
        const step = cursor.next();
        if (step === lookup.ABSENT) break;
        if (step === lookup.MISS) await cursor.load();
        else this.take(cursor.key, cursor.value);
        if (count % LOADED_IN_TURN === 0) await new Promise<void>((resolve) => this.env.timers.atTurnEnd(resolve));
      }
    } finally {
      cursor.close();
    }
    this.follow();
  }

  private take(key: Uint8Array, value: Uint8Array): void {
    if (key.length <= NAME_AT || value.length < VALUE_HEADER) return;
    const target = readU32(key, PREFIX.length);
    const row = latin1(key, NAME_AT);
    const bytes = value.length - VALUE_HEADER;
    const loose = ((value[VERSION_BYTES] as number) & LOOSE) !== 0;
    this.watch(target);
    this.step({ kind: 'found', target, row, version: readVersion(value, 0), bytes, loose });
  }

  /**
   * Keeps this version of the row for a target that did not take it. The newest version of a row is kept. `loose`: it is
   * not known to be chosen. False: it cannot be kept. True: it is, or a newer one, durably once the engine's last sequence
   * is durable.
   */
  keep(target: MemberId, row: RowName, version: Version, state: Uint8Array | undefined, loose = false): boolean {
    if (this.store.refusal !== undefined || this.isClosed) {
      this.counts.dropped++;
      return false;
    }
    this.watch(target);
    const hint: HintToKeep = { kind: 'keep', target, row, version, bytes: state?.length ?? 0, loose };
    const isWritten = this.step(hint, state);
    const isKept = isWritten && this.core.isKept(target, row, version);
    if (isKept) this.counts.kept++;
    return isKept;
  }

  /** Hints kept for a target. */
  count(target: MemberId): number {
    return this.core.count(target);
  }

  /** Numbers for INFO. */
  metrics(): Readonly<Record<string, number>> {
    let waiting = 0;
    let incomplete = 0;
    for (const target of this.targets.keys()) {
      waiting += this.core.count(target);
      if (!this.core.isComplete(target)) incomplete++;
    }
    return { ...this.counts, waiting, bytes: this.core.bytes, incompleteTargets: incomplete };
  }

  /** Hints stay where they are, for the next life. */
  close(): void {
    this.isClosed = true;
    this.stop();
    this.timer?.cancel();
  }

  // --- effects -----------------------------------------------------------------------------------------------------

  /** `state`: of the hint that is being kept. False: not everything could be written. */
  private step(event: HintEvent, state?: Uint8Array): boolean {
    if (this.isClosed) return false;
    const effects = this.core.step(event, this.env.clock.monotonicUs() / 1000);
    const { batch } = this;
    batch.clear();
    for (const effect of effects) {
      if (effect.kind === 'remove') batch.delete(keyOf(effect.target, effect.row));
      else if (effect.kind === 'store' && event.kind === 'keep') {
        batch.put(keyOf(effect.target, effect.row), valueOf(effect.version, state, event.loose));
      }
    }
    const isWritten = batch.count === 0 || this.write();
    for (const effect of effects) this.carryOut(effect);
    return isWritten;
  }

  /** What cannot be written is lost or stays: a hint that was delivered is delivered once more in the next life. */
  private write(): boolean {
    try {
      this.store.write(this.batch);
      return true;
    } catch (error) {
      if (!(error instanceof EngineError)) throw error;
      this.counts.dropped++;
      return false;
    }
  }

  private carryOut(effect: HintEffect): void {
    switch (effect.kind) {
      case 'deliver':
        this.deliver(effect.target, effect.row, effect.version);
        break;
      case 'redirect':
        this.redirect(effect.target, effect.row, effect.version);
        break;
      case 'settle':
        this.counts.settled++;
        this.settle(effect.row);
        break;
      case 'incomplete':
        this.env.log.warn('no room for more hints: a member will need anti-entropy', { member: effect.target });
        break;
      case 'store':
      case 'remove':
        break;
    }
  }

  private deliver(target: MemberId, row: RowName, version: Version): void {
    if (!this.isOwner(target, row)) {
      this.redirect(target, row, version);
      return;
    }
    const answered = (answer: OwnerAnswer<Uint8Array>): void =>
      void this.step({ kind: 'answer', target, row, version, answer });
    this.read(target, row, (stored) => {
      if (stored === undefined || stored === 'refused') {
        this.later(() => answered(stored === undefined ? ACCEPTED : REFUSED));
        return;
      }
      // A newer one may stand there by now: then that is delivered, and the core sends it once more.
      const { version: ballot, state: value } = stored;
      let isAsking = true;
      this.send(target, { kind: 'accept', row, ballot, value, next: ballot }, (answer) => {
        if (answer.kind === 'accepted' || answer.kind === 'conflict') this.counts.delivered++;
        // The core does not deliver to it any more until it is told that the target can be reached.
        if (answer.kind === 'unsent') this.targets.set(target, false);
        if (isAsking) this.later(() => answered(answer));
        else answered(answer);
      });
      isAsking = false;
    });
  }

  /** The target does not own the row any more: what is loose is kept for those who do. */
  private redirect(target: MemberId, row: RowName, version: Version): void {
    this.read(target, row, (stored) => {
      let answer: OwnerAnswer<Uint8Array> = ACCEPTED;
      if (stored === 'refused') answer = REFUSED;
      else if (stored?.loose === true) {
        const owners = this.ownersOf(row).filter((owner) => owner !== target);
        this.counts.redirected++;
        for (const owner of owners) {
          if (!this.keep(owner, row, stored.version, stored.state, true)) answer = REFUSED;
        }
        if (owners.length === 0) answer = REFUSED;
      }
      this.later(() => this.step({ kind: 'answer', target, row, version, answer }));
    });
  }

  /** Reads a stored hint; `then` is told undefined when there is none. */
  private read(target: MemberId, row: RowName, then: (stored: StoredHint | 'refused' | undefined) => void): void {
    const key = keyOf(target, row);
    const { found } = this;
    let outcome;
    try {
      outcome = this.store.get(key, key.length, found);
    } catch (error) {
      if (!(error instanceof EngineError)) throw error;
      then('refused');
      return;
    }
    if (outcome === lookup.MISS) {
      this.store.fetch(key).then(
        () => this.read(target, row, then),
        () => then('refused'),
      );
      return;
    }
    if (outcome === lookup.ABSENT || found.end - found.start < VALUE_HEADER) {
      then(undefined);
      return;
    }
    const flags = found.bytes[found.start + VERSION_BYTES] as number;
    then({
      version: readVersion(found.bytes, found.start),
      state: (flags & HAS_STATE) === 0 ? undefined : found.bytes.slice(found.start + VALUE_HEADER, found.end),
      loose: (flags & LOOSE) !== 0,
    });
  }

  /** Answers are never given within the step that asks for them. */
  private later(run: () => void): void {
    this.env.timers.atTurnEnd(run);
  }

  private ownersOf(row: RowName): MemberId[] {
    return this.view.topology === undefined ? [] : distinctOwners(this.view.owners(slotOfRow(row)));
  }

  private isOwner(target: MemberId, row: RowName): boolean {
    return this.ownersOf(row).includes(target);
  }

  // --- targets -----------------------------------------------------------------------------------------------------

  private watch(target: MemberId): void {
    if (!this.targets.has(target)) this.targets.set(target, false);
    if (this.timer !== undefined || this.isClosed) return;
    this.timer = this.env.timers.after(REACH_INTERVAL_MS, () => this.look());
  }

  private look(): void {
    this.timer = undefined;
    this.step({ kind: 'wake' });
    this.displace();
    for (const [target, wasReachable] of this.targets) {
      const reachable = this.view.isHealthy(target);
      if (reachable !== wasReachable) {
        this.targets.set(target, reachable);
        this.step({ kind: reachable ? 'reachable' : 'unreachable', target });
      }
      if (this.core.count(target) === 0 && reachable && this.core.isComplete(target)) this.forget(target);
    }
    if (this.targets.size === 0 || this.isClosed) return;
    this.timer = this.env.timers.after(REACH_INTERVAL_MS, () => this.look());
  }

  /** Nothing is kept for the target: it is looked at again when something is. */
  private forget(target: MemberId): void {
    this.targets.delete(target);
    this.step({ kind: 'unreachable', target });
  }

  /** Another document is in force: targets may be no members any more, or own other slots. */
  private follow(): void {
    for (const target of this.targets.keys()) this.displaced.add(target);
    this.displace();
  }

  private displace(): void {
    const { topology } = this.view;
    if (topology === undefined || this.displaced.size === 0) return;
    for (const target of this.displaced) {
      const isMember = topology.members.some((member) => member.id === target);
      if (!isMember && this.core.looseCount(target) === 0) {
        this.targets.delete(target);
        this.displaced.delete(target);
        this.step({ kind: 'gone', target });
        continue;
      }
      this.step({ kind: 'displaced', target, owns: (row) => isMember && this.isOwner(target, row) });
      if (isMember && this.core.onTheWay(target) === 0) this.displaced.delete(target);
    }
  }
}

interface StoredHint {
  readonly version: Version;
  readonly state: Uint8Array | undefined;
  readonly loose: boolean;
}

type HintToKeep = Extract<HintEvent, { kind: 'keep' }>;

const HAS_STATE = 1;
const LOOSE = 2;
const ACCEPTED = { kind: 'accepted' } as const;
const REFUSED = { kind: 'unable', reason: 'refused' } as const;

function keyOf(target: MemberId, row: RowName): Uint8Array {
  const key = Buffer.allocUnsafe(NAME_AT + row.length);
  key.set(PREFIX);
  writeU32(key, PREFIX.length, target);
  key.write(row, NAME_AT, 'latin1');
  return key;
}

function valueOf(version: Version, state: Uint8Array | undefined, loose: boolean): Uint8Array {
  const value = new Uint8Array(VALUE_HEADER + (state?.length ?? 0));
  writeVersion(value, 0, version);
  value[VERSION_BYTES] = (state === undefined ? 0 : HAS_STATE) | (loose ? LOOSE : 0);
  if (state !== undefined) value.set(state, VALUE_HEADER);
  return value;
}
