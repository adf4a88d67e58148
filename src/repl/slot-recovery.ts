/**
 * An owner that may have forgotten what it took (the machine stopped and had not written everything, or a repair has lost
 * records: node-boot.ts) votes on none of its slots until it has got back what it may have forgotten from the other owners.
 *
 * ```
 * suspect ─▶ RECALL raise: the others promise no less than this owner ever promised    (what is older can be taken no more)
 *         ─▶ RECALL list:  what they hold            ─▶ RECALL read, where it is newer ─▶ written here ─▶ trusted again
 * ```
 *
 * Who is asked, in each set of owners that this one belongs to (the current ones and, during a move, the incoming ones):
 * all others, or as many that are not suspect themselves that each quorum which this one was part of has one of them: of
 * n owners with quorums of q, n − q + 1. With three owners that is both.
 *
 * Why nothing chosen is lost: what was chosen with this owner's yes was taken by another one that is asked, before it
 * promised, so that it lists it; or it never will be taken there, since its ballot is below the promise (every ballot that
 * this owner took is below its clock's ceiling, which is durable). What is not known to be chosen may be copied too: no
 * ballot that could decide otherwise without having seen it is left. Where all owners have lost their memory, what none of
 * them remembers is lost, as `appendfsync everysec` says.
 *
 * After a repair that has lost records, what stands apart from a row's head (elements, a long string, what a flush mark is looked up by) may be gone, or older
 * than the head says, and nothing tells: so it is brought anew where the versions are the same. A row of which nobody who is
 * asked can tell that version is left as it is.
 *
 * ```
 * RECALL request   u8 1 raise | u64 stamp, u32 actor | slots      answer   u8 1 | u8 1: trusted;  or u8 0: not yet
 *                  u8 2 list | as LIST                                     as LIST
 *                  u8 3 read | name of the row                             as OWNER's answer to a read: held, or amnesia
 * ```
 * `slots` as in slot-list.ts; anything else is a `DamagedError`.
 *
 * Invariants: a slot is trusted only in the document in which its owners were asked, and only once all that was found is
 * durable here. What is not finished begins anew in the next life: the mark in the directory stays.
 */

import { copyOf, latin1 } from '../bytes.ts';
import { ByteReader, ByteWriter, DamagedError } from '../cluster/byte-cursor.ts';
import type { ClusterView } from '../cluster/cluster-view.ts';
import type { MemberId } from '../cluster/member.ts';
import type { Owners } from '../cluster/owners.ts';
import { SLOT_COUNT } from '../cluster/slot.ts';
import type { Env } from '../env.ts';
import { decodeAnswer } from './owner-codec.ts';
import type { RowName } from './owner-message.ts';
import type { Owner } from './owner.ts';
import {
  ANY_DATABASE,
  decodeList,
  encodeListRequest,
  readSlots,
  slotRanges,
  writeSlots,
  type RowList,
  type SlotRange,
} from './slot-list.ts';
import { compareVersions, readVersion, VERSION_BYTES, writeVersion, type Version } from './version.ts';

/** The durable value that says why slots are suspect (node-boot.ts), and what it is after a repair that has lost records. */
export const BOOT = 'boot';
export const LOST_RECORDS = 'lost records';

/** Method on the bus (bus-method.ts). */
export const RECALL_METHOD = 25;

/** Slots that are recovered together. */
const BATCH_SLOTS = 1_024;

const LIST_ROWS = 1_024;

/** Rows that are read at a time. */
const READ_WINDOW = 32;

const TIMEOUT_MS = 2_000;

/** Wait before what did not work out is begun anew. */
export const RECOVERY_RETRY_MS = 100;

const RAISE = 1;
const LIST = 2;
const READ = 3;
const YES = 1;

export type RecallRequest =
  | { readonly kind: 'raise'; readonly version: Version; readonly slots: readonly SlotRange[] }
  /** The bytes of a LIST request. */
  | { readonly kind: 'list'; readonly request: Uint8Array }
  | { readonly kind: 'read'; readonly row: RowName };

export function encodeRecall(request: RecallRequest): Uint8Array {
  const writer = new ByteWriter();
  switch (request.kind) {
    case 'raise': {
      const version = new Uint8Array(VERSION_BYTES);
      writeVersion(version, 0, request.version);
      writer.u8(RAISE).raw(version);
      writeSlots(writer, request.slots);
      break;
    }
    case 'list':
      writer.u8(LIST).raw(request.request);
      break;
    case 'read':
      writer.u8(READ).raw(Buffer.from(request.row, 'latin1'));
      break;
  }
  return writer.finish();
}

/** Throws `DamagedError`. */
export function decodeRecall(payload: Uint8Array): RecallRequest {
  const reader = new ByteReader(payload);
  const kind = reader.u8();
  if (kind === LIST) return { kind: 'list', request: reader.raw(reader.left) };
  if (kind === READ) return { kind: 'read', row: latin1(reader.raw(reader.left)) };
  if (kind !== RAISE) throw new DamagedError('a request to recall of no known kind');
  const version = readVersion(reader.raw(VERSION_BYTES), 0);
  if (!Number.isSafeInteger(version.stamp)) throw new DamagedError('a version above 2^53');
  const slots = readSlots(reader);
  reader.finish();
  return { kind: 'raise', version, slots };
}

export function encodeRaised(isTrusted: boolean): Uint8Array {
  return Uint8Array.of(YES, Number(isTrusted));
}

export interface RecoveryOptions {
  readonly env: Pick<Env, 'timers' | 'log'>;
  readonly view: Pick<ClusterView, 'topology' | 'self'>;
  readonly owner: Pick<Owner, 'isBlocked' | 'isUndecided' | 'recall'>;
  /** No less than any promise of earlier lives. */
  readonly promisedBefore: Version;
  /** A repair has lost records here. */
  readonly hasLostRecords: boolean;
  /** As `SlotMoveWorld.ask`; members other than this node. */
  ask(
    to: MemberId,
    request: { method: number; payload: Uint8Array; epoch: number; timeoutMs: number },
    answered: (payload: Uint8Array | undefined) => void,
  ): void;
}

interface Batch {
  readonly owners: Owners;
  readonly slots: number[];
}

export class SlotRecovery {
  private readonly options: RecoveryOptions;
  private isClosed = false;
  /** Rows of which everything was brought: after a repair. */
  private readonly renewed = new Set<RowName>();
  /** Rows that were written here since the start. */
  restored = 0;

  constructor(options: RecoveryOptions) {
    this.options = options;
  }

  /** Fulfilled once no slot is suspect; never after `close`. */
  async run(): Promise<void> {
    const { owner, env } = this.options;
    while (!this.isClosed && (owner.isUndecided || owner.recall.suspectSlots > 0)) {
      let isDone = false;
      for (const batch of this.batches()) {
        if (this.isClosed) return;
        isDone = (await this.recover(batch)) || isDone;
      }
      if (!isDone) await new Promise<void>((resolve) => env.timers.after(RECOVERY_RETRY_MS, resolve));
    }
    if (this.isClosed) await new Promise<void>(() => undefined);
  }

  close(): void {
    this.isClosed = true;
  }

  /** Slots that can be recovered now, by their owners. */
  private batches(): Batch[] {
    const { view, owner } = this.options;
    const { topology } = view;
    if (topology === undefined) return [];
    const open = new Map<string, Batch>();
    const batches: Batch[] = [];
    for (let slot = 0; slot < SLOT_COUNT; slot++) {
      if (!owner.recall.isSuspect(slot) || owner.isBlocked(slot)) continue;
      const owners = topology.slots[slot]?.owners as Owners;
      const name = `${owners.current.join()}>${owners.incoming.join()}`;
      let batch = open.get(name);
      if (batch === undefined || batch.slots.length === BATCH_SLOTS) {
        open.set(name, (batch = { owners, slots: [] }));
        batches.push(batch);
      }
      batch.slots.push(slot);
    }
    return batches;
  }

  /** False: it has to be begun anew. */
  private async recover({ owners, slots }: Batch): Promise<boolean> {
    const { view, owner } = this.options;
    const { topology, self } = view;
    if (topology === undefined) return false;
    const { epoch } = topology;
    const since = slots.map((slot) => topology.slots[slot]?.since);
    const sets = [owners.current, owners.incoming].filter((set) => set.includes(self));
    const others = [...new Set(sets.flat())].filter((id) => id !== self);
    const ranges = slotRanges(slots);
    const raised = await Promise.all(others.map((id) => this.raise(id, ranges, epoch)));
    const answered = new Map(others.map((id, at) => [id, raised[at]]));
    if (!sets.every((set) => isEnough(set, self, (id) => answered.get(id)))) return false;
    const sources = others.filter((id) => answered.get(id) !== undefined);
    const copied = await Promise.all(sources.map((id) => this.copyFrom(id, ranges, epoch)));
    if (copied.includes(false)) return false;
    const now = view.topology;
    const isSame = slots.every((slot, at) => now?.slots[slot]?.since === since[at]);
    if (!isSame || this.isClosed) return false;
    owner.recall.trust(slots);
    return true;
  }

  /** Whether the member has promised, and is trusted; undefined: it has not. */
  private async raise(to: MemberId, slots: readonly SlotRange[], epoch: number): Promise<boolean | undefined> {
    const { promisedBefore: version } = this.options;
    const answer = await this.ask(to, encodeRecall({ kind: 'raise', version, slots }), epoch);
    return answer?.[0] === YES && answer.length === 2 ? answer[1] === 1 : undefined;
  }

  /** Brings everything that this member holds newer. */
  private async copyFrom(from: MemberId, slots: readonly SlotRange[], epoch: number): Promise<boolean> {
    const { env } = this.options;
    let after: RowName | undefined;
    for (;;) {
      const request = encodeListRequest({ slots, database: ANY_DATABASE, deleted: true, limit: LIST_ROWS, after });
      const answer = await this.ask(from, encodeRecall({ kind: 'list', request }), epoch);
      if (answer === undefined || this.isClosed) return false;
      let list: RowList;
      try {
        list = decodeList(answer);
      } catch (thrown) {
        if (!(thrown instanceof DamagedError)) throw thrown;
        env.log.error('an owner listed what is no list', { from, cause: thrown.message });
        return false;
      }
      for (let at = 0; at < list.rows.length; at += READ_WINDOW) {
        const rows = list.rows.slice(at, at + READ_WINDOW);
        const copied = await Promise.all(rows.map((row) => this.copyRow(from, row.name, row.version, epoch)));
        if (copied.includes(false)) return false;
      }
      after = list.rows.at(-1)?.name;
      if (list.complete) return true;
      if (after === undefined) return false;
    }
  }

  private async copyRow(from: MemberId, row: RowName, version: Version, epoch: number): Promise<boolean> {
    const { owner, hasLostRecords, env } = this.options;
    const held = await owner.recall.held(row);
    if (held === undefined) return false;
    const order = compareVersions(held.version, version);
    const isRenewal = order === 0 && held.standsApart && hasLostRecords && !this.renewed.has(row);
    if (order >= 0 && !isRenewal) return true;
    const answer = await this.ask(from, encodeRecall({ kind: 'read', row }), epoch);
    if (answer === undefined || this.isClosed) return false;
    const told = decodeAnswer(answer);
    if (isRenewal && told.kind === 'unable' && told.reason === 'amnesia') {
      env.log.error('an owner has lost a part of a row that was lost here too', { from, row });
      return true;
    }
    if (told.kind !== 'held') return false;
    if (!(await owner.recall.restore(row, told.version, told.value, isRenewal))) return false;
    this.restored++;
    if (hasLostRecords) this.renewed.add(row);
    return true;
  }

  /** The answer in memory of its own; undefined: none. */
  private ask(to: MemberId, payload: Uint8Array, epoch: number): Promise<Uint8Array | undefined> {
    return new Promise((resolve) => {
      this.options.ask(to, { method: RECALL_METHOD, payload, epoch, timeoutMs: TIMEOUT_MS }, (answered) =>
        resolve(answered === undefined ? undefined : copyOf(answered)),
      );
    });
  }
}

/**
 * Whether every quorum of `set` that `self` was part of has somebody who answered. `trusted`: what a member said of
 * itself; undefined: it did not answer.
 */
export function isEnough(
  set: readonly MemberId[],
  self: MemberId,
  trusted: (id: MemberId) => boolean | undefined,
): boolean {
  const others = set.filter((id) => id !== self);
  if (others.every((id) => trusted(id) !== undefined)) return true;
  const quorum = Math.floor(set.length / 2) + 1;
  return others.filter((id) => trusted(id) === true).length >= set.length - quorum + 1;
}
