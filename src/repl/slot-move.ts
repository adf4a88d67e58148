/**
 * The shell of `move-core`: moves a batch of slots that go from the same owners to the same owners, as if they were one
 * (the core's one "slot" is the batch: a fence holds for the whole document, and a list goes over all the slots).
 *
 * ```
 * core: fence ─▶ MOVE, fence  ─▶ an owner answers once it serves with that epoch, and tells its highest promise
 * core: list  ─▶ LIST         ─▶ slot-list.ts
 * core: settle ─▶ a change that changes nothing, by the coordinator
 * core: done  ─▶ MOVE, raise  ─▶ a majority of the incoming owners promises no less than those that were fenced had
 *             ─▶ whoever drives the move makes the next document
 * ```
 *
 * Why promises are handed on: an owner that is not fenced yet may take a change of before the move, of a row that nobody
 * lists. Its ballot was promised by a majority of the current owners, so by one that is fenced; what the incoming owners
 * choose later must be above it, or that change would come to light one day as the newer one.
 *
 * ```
 * MOVE request  u8 1 fence | slots                    answer  u8 1 | u64 stamp, u32 actor: highest promise;  or u8 0: not yet
 *               u8 2 raise | u64 stamp, u32 actor | slots     u8 1;  or u8 0: not yet
 * ```
 * `slots` as in slot-list.ts; the epoch is that of the bus's message. Anything else is a `DamagedError`.
 *
 * Invariants: nothing is settled in an epoch before the move's; a batch is given up (`cancel`) at any moment at no cost,
 * and whoever begins it again finds out everything anew.
 */

import { ByteReader, ByteWriter, DamagedError } from '../cluster/byte-cursor.ts';
import type { MemberId } from '../cluster/member.ts';
import type { Owners } from '../cluster/owners.ts';
import type { Env, Timer } from '../env.ts';
import { MoveCore, type MoveAnswer, type MoveEffect, type MoveEvent, type MoveLimits } from './move-core.ts';
import type { RowName } from './owner-message.ts';
import {
  ANY_DATABASE,
  decodeList,
  encodeListRequest,
  readSlots,
  slotRanges,
  writeSlots,
  type SlotRange,
} from './slot-list.ts';
import { maxVersion, readVersion, VERSION_BYTES, writeVersion, ZERO_VERSION, type Version } from './version.ts';

/** Methods on the bus (bus-method.ts). */
export const MOVE_METHOD = 18;
export const LIST_METHOD = 19;

/** Slots in a batch: about a tenth of a second when they are empty, and a list of names that fits in memory if not. */
export const MAX_BATCH_SLOTS = 1_024;

/** Rows of a batch that are settled at a time: fills the way to other machines, and leaves clients their share. */
export const BATCH_SETTLE_WINDOW = 64;

const LIST_ROWS = 1_024;

/** Wait before incoming owners that have not promised yet are asked again. */
const RAISE_RETRY_MS = 50;

const FENCE = 1;
const RAISE = 2;
const YES = 1;
const NOT_YET = Uint8Array.of(0);

export interface SlotBatch {
  /** Ascending; at most `MAX_BATCH_SLOTS`. */
  readonly slots: readonly number[];
  readonly owners: Owners;
  /** Epoch of the document that says so. */
  readonly epoch: number;
}

export interface SlotMoveWorld {
  readonly env: Pick<Env, 'clock' | 'timers' | 'log'>;
  /**
   * Asks a member, this node included, with this epoch on the message; `undefined`: no answer, or a failure. `payload` of
   * the answer is valid during the call.
   */
  ask(
    to: MemberId,
    request: { method: number; payload: Uint8Array; epoch: number; timeoutMs: number },
    answered: (payload: Uint8Array | undefined) => void,
  ): void;
  /** A change that changes nothing, at a quorum of an epoch not before `epoch`; `done` once. */
  settle(row: RowName, epoch: number, done: (settled: boolean) => void): void;
  readonly limits?: Partial<MoveLimits>;
}

export class SlotMove {
  private readonly world: SlotMoveWorld;
  private readonly batch: SlotBatch;
  private readonly ranges: readonly SlotRange[];
  private readonly core: MoveCore;
  private readonly done: () => void;
  private timer: Timer | undefined = undefined;
  private timerAtMs = Number.POSITIVE_INFINITY;
  private over = false;
  /** The highest promise that a fenced owner has told of. */
  private highest = ZERO_VERSION;
  /** Incoming owners that have promised no less. */
  private readonly raised = new Set<MemberId>();
  private raiseTimer: Timer | undefined = undefined;

  /** `done`: the document may say that the slots belong to the incoming owners. Not called after `cancel`. */
  constructor(world: SlotMoveWorld, batch: SlotBatch, done: () => void) {
    this.world = world;
    this.batch = batch;
    this.done = done;
    this.ranges = slotRanges(batch.slots);
    const limits = { listLimit: LIST_ROWS, settleWindow: BATCH_SETTLE_WINDOW, ...world.limits };
    this.core = new MoveCore({ slot: batch.slots[0] ?? 0, owners: batch.owners, limits });
  }

  start(): void {
    this.step({ kind: 'start' });
  }

  cancel(): void {
    this.over = true;
    this.timer?.cancel();
    this.raiseTimer?.cancel();
  }

  get progress(): { readonly settled: number; readonly found: number } {
    return this.core.progress;
  }

  private step(event: MoveEvent): void {
    if (this.over) return;
    for (const effect of this.core.step(event, this.nowMs())) this.carryOut(effect);
    this.wakeInTime();
  }

  private carryOut(effect: MoveEffect): void {
    switch (effect.kind) {
      case 'ask':
        this.ask(effect);
        break;
      case 'settle': {
        const { row } = effect;
        this.world.settle(row, this.batch.epoch, (settled) => this.step({ kind: 'settled', row, done: settled }));
        break;
      }
      case 'done':
        this.raise();
        break;
    }
  }

  private ask({ id, to, request }: Extract<MoveEffect, { kind: 'ask' }>): void {
    const isFence = request.kind === 'fence';
    const payload = isFence
      ? encodeMoveRequest({ kind: 'fence', slots: this.ranges })
      : encodeListRequest({
          slots: this.ranges,
          database: ANY_DATABASE,
          deleted: true,
          limit: request.limit,
          after: request.after,
        });
    const method = isFence ? MOVE_METHOD : LIST_METHOD;
    const timeoutMs = this.world.limits?.timeoutMs ?? MOVE_ASK_TIMEOUT_MS;
    this.world.ask(to, { method, payload, epoch: this.batch.epoch, timeoutMs }, (answered) =>
      this.step({ kind: 'answer', id, answer: this.answerOf(to, isFence, answered) }),
    );
  }

  private answerOf(from: MemberId, isFence: boolean, payload: Uint8Array | undefined): MoveAnswer {
    if (payload === undefined) return FAILED;
    if (isFence) {
      if (payload[0] !== YES || payload.length !== 1 + VERSION_BYTES) return FAILED;
      this.highest = maxVersion(this.highest, readVersion(payload, 1));
      return { kind: 'fenced' };
    }
    try {
      const { rows, complete } = decodeList(payload);
      return { kind: 'rows', rows: rows.map((row) => row.name), complete };
    } catch (thrown) {
      if (!(thrown instanceof DamagedError)) throw thrown;
      this.world.env.log.error('an owner listed what is no list', { from, cause: thrown.message });
      return FAILED;
    }
  }

  /** Everything is settled: asks the incoming owners for what the fenced ones had promised. */
  private raise(): void {
    const { epoch, owners } = this.batch;
    const payload = encodeMoveRequest({ kind: 'raise', version: this.highest, slots: this.ranges });
    const timeoutMs = this.world.limits?.timeoutMs ?? MOVE_ASK_TIMEOUT_MS;
    const asked = owners.incoming.filter((to) => !this.raised.has(to));
    // Counted before anybody is asked: whoever is out of reach answers in the same moment.
    let open = asked.length;
    for (const to of asked) {
      this.world.ask(to, { method: MOVE_METHOD, payload, epoch, timeoutMs }, (answered) => {
        if (this.over) return;
        open--;
        if (answered?.[0] === YES) this.raised.add(to);
        if (2 * this.raised.size > owners.incoming.length) {
          this.cancel();
          this.done();
        } else if (open === 0) {
          this.raiseTimer = this.world.env.timers.after(RAISE_RETRY_MS, () => this.raise());
        }
      });
      if (this.over) return;
    }
  }

  private wakeInTime(): void {
    const wantedMs = this.core.wakeAtMs;
    if (this.over || wantedMs >= this.timerAtMs) return;
    this.timer?.cancel();
    this.timerAtMs = wantedMs;
    this.timer = this.world.env.timers.after(Math.max(0, Math.ceil(wantedMs - this.nowMs())), () => {
      this.timerAtMs = Number.POSITIVE_INFINITY;
      this.step({ kind: 'wake' });
    });
  }

  private nowMs(): number {
    return this.world.env.clock.monotonicUs() / 1000;
  }
}

/** As the core's own: what comes later is not waited for. */
const MOVE_ASK_TIMEOUT_MS = 1_000;

const FAILED = { kind: 'failed' } as const;

export type MoveQuestion =
  | { readonly kind: 'fence'; readonly slots: readonly SlotRange[] }
  | { readonly kind: 'raise'; readonly slots: readonly SlotRange[]; readonly version: Version };

export function encodeMoveRequest(request: MoveQuestion): Uint8Array {
  const writer = new ByteWriter();
  if (request.kind === 'fence') writer.u8(FENCE);
  else {
    const version = new Uint8Array(VERSION_BYTES);
    writeVersion(version, 0, request.version);
    writer.u8(RAISE).raw(version);
  }
  writeSlots(writer, request.slots);
  return writer.finish();
}

/** Throws `DamagedError`. */
export function decodeMoveRequest(payload: Uint8Array): MoveQuestion {
  const reader = new ByteReader(payload);
  const kind = reader.u8();
  if (kind !== FENCE && kind !== RAISE) throw new DamagedError('a move’s request of no known kind');
  const version = kind === RAISE ? readVersion(reader.raw(VERSION_BYTES), 0) : ZERO_VERSION;
  if (!Number.isSafeInteger(version.stamp)) throw new DamagedError('a version above 2^53');
  const slots = readSlots(reader);
  reader.finish();
  return kind === FENCE ? { kind: 'fence', slots } : { kind: 'raise', slots, version };
}

/** What MOVE asks of an owner. */
export interface MoveOwner {
  /** What it may have forgotten. */
  readonly recall: { isSuspect(slot: number): boolean };
  /** The highest promise for any row of these slots. */
  highestPromise(slots: readonly SlotRange[]): Version;
  /** Promises at least this for every row of these slots. False: it cannot yet. */
  raisePromises(slots: readonly SlotRange[], version: Version): boolean;
}

/** Answers MOVE. `epochInForce`: of the document that this node serves with. Throws `DamagedError`. */
export function answerMove(payload: Uint8Array, epoch: number, epochInForce: number, owner: MoveOwner): Uint8Array {
  const request = decodeMoveRequest(payload);
  if (epochInForce < epoch) return NOT_YET;
  if (request.kind === 'raise') {
    return owner.raisePromises(request.slots, request.version) ? Uint8Array.of(YES) : NOT_YET;
  }
  // What it would list then might lack what was chosen with its yes.
  for (const { from, end } of request.slots) {
    for (let slot = from; slot < end; slot++) if (owner.recall.isSuspect(slot)) return NOT_YET;
  }
  const answer = new Uint8Array(1 + VERSION_BYTES);
  answer[0] = YES;
  writeVersion(answer, 1, owner.highestPromise(request.slots));
  return answer;
}

/** Those of these slots that move, in batches with the same owners. */
export function batchesOf(
  slots: Iterable<readonly [slot: number, entry: { readonly owners: Owners }]>,
  epoch: number,
  maxSlots = MAX_BATCH_SLOTS,
): SlotBatch[] {
  const byOwners = new Map<string, { owners: Owners; slots: number[] }>();
  const batches: SlotBatch[] = [];
  for (const [slot, { owners }] of slots) {
    if (owners.incoming.length === 0) continue;
    const name = `${owners.current.join()}>${owners.incoming.join()}`;
    let group = byOwners.get(name);
    if (group === undefined) byOwners.set(name, (group = { owners, slots: [] }));
    group.slots.push(slot);
    if (group.slots.length < maxSlots) continue;
    batches.push({ ...group, epoch });
    byOwners.delete(name);
  }
  for (const group of byOwners.values()) batches.push({ ...group, epoch });
  return batches;
}
