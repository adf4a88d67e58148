/**
 * Which slots an owner may speak for: those that it owns by the document in force, emptied of what stood there before,
 * and not suspect.
 *
 * Invariants:
 * - A slot that was owned before, and left, has none of its rows when it is owned again (slot-drop.ts): they might be
 *   newer than what was chosen meanwhile. So nothing is said about a slot that is new here before it was emptied, and the
 *   row of this node "cluster" (cluster id as text of 32 characters, u64 BE epoch) says up to which document that was done.
 * - A suspect slot (owner-recall.ts) is not spoken for, though it is there.
 */

import { latin1 } from '../bytes.ts';
import type { ClusterView } from '../cluster/cluster-view.ts';
import { distinctOwners, type Owners } from '../cluster/owners.ts';
import { SLOT_COUNT } from '../cluster/slot.ts';
import type { SlotEntry, Topology } from '../cluster/topology.ts';
import { Found, lookup, type Store } from '../engine/store.ts';
import type { Env } from '../env.ts';
import type { KeyspaceState } from './keyspace.ts';
import type { OwnerRecall } from './owner-recall.ts';
import { localKey, readStamp, writeStamp } from './row-key.ts';
import { SlotDrop } from './slot-drop.ts';

/** Wait before what could not be written is tried again. */
const UNBLOCK_RETRY_MS = 500;

const CLUSTER_KEY = localKey('cluster');

export interface OwnerSlotsOptions {
  readonly env: Pick<Env, 'timers' | 'log'>;
  readonly store: Store;
  readonly state: KeyspaceState;
  readonly view: Pick<ClusterView, 'topology' | 'self'>;
  readonly recall: Pick<OwnerRecall, 'isSuspect' | 'suspectAll' | 'trust'>;
  /** What earlier lives took may have been forgotten in part: every slot that is owned at first is suspect. */
  readonly mayHaveForgotten: boolean;
  /** Another document is about to be followed. */
  onFollow(): void;
  /** It is followed. */
  onFollowed(topology: Topology): void;
  /** Takes note of what the engine threw. Throws on what is a bug. */
  noteTrouble(error: unknown): void;
}

export class OwnerSlots {
  private readonly options: OwnerSlotsOptions;
  private readonly drop: SlotDrop;
  /** Slots that this node owns by `known`. */
  private readonly owned = new Uint8Array(SLOT_COUNT);
  /** Slots that are new here and may not be spoken for before they were emptied. */
  private readonly blocked = new Uint8Array(SLOT_COUNT);
  /** The document up to which new slots were emptied; undefined until it was read. */
  private emptied: { readonly clusterId: string; readonly epoch: number } | undefined = undefined;
  private mayHaveForgotten: boolean;
  private followed: Topology | undefined = undefined;
  private followedSelf = 0;
  private isReading = false;
  private isClosed = false;

  constructor(options: OwnerSlotsOptions) {
    const { env, store, state } = options;
    this.options = options;
    this.mayHaveForgotten = options.mayHaveForgotten;
    this.drop = new SlotDrop({ env, store, state });
  }

  /** The document that is followed; behind the one in force only until it is known what was emptied. */
  get topology(): Topology | undefined {
    return this.followed;
  }

  /** It is not known yet which slots are suspect. */
  get isUndecided(): boolean {
    return this.mayHaveForgotten;
  }

  /** Slots whose rows are still to be deleted here, since others own them now. */
  get slotsToDrop(): number {
    return this.drop.pending;
  }

  /** Settles once nothing is left to be deleted. */
  settled(): Promise<void> {
    return this.drop.settled();
  }

  async close(): Promise<void> {
    this.isClosed = true;
    await this.drop.close();
  }

  isOwned(slot: number): boolean {
    return this.owned[slot] === 1;
  }

  /** It is being emptied of what stood there before it was owned. */
  isBlocked(slot: number): boolean {
    return this.blocked[slot] === 1;
  }

  /** Owned, and emptied of what stood there before; it may be suspect. */
  isReady(slot: number): boolean {
    return this.owned[slot] === 1 && this.blocked[slot] === 0;
  }

  /** Follows the document in force: what is owned, and what is to be deleted. */
  follow(): void {
    const { recall, view, onFollow, onFollowed } = this.options;
    const { topology, self } = view;
    if (topology === undefined || (topology === this.followed && self === this.followedSelf)) return;
    if (!this.readEmptied()) return;
    const emptied = this.emptied?.clusterId === topology.clusterId ? this.emptied.epoch : 0;
    const before = this.followed?.clusterId === topology.clusterId ? this.followed : undefined;
    this.followed = topology;
    this.followedSelf = self;
    onFollow();
    const owning = new Map<Owners, boolean>();
    const left: number[] = [];
    const fresh: number[] = [];
    for (let slot = 0; slot < SLOT_COUNT; slot++) {
      const entry = topology.slots[slot] as SlotEntry;
      let isOwner = owning.get(entry.owners);
      if (isOwner === undefined) {
        isOwner = distinctOwners(entry.owners).includes(self);
        owning.set(entry.owners, isOwner);
      }
      // What was not owned before is gone already, or going.
      if (!isOwner && (before === undefined || this.owned[slot] === 1)) left.push(slot);
      if (isOwner && entry.since > emptied && this.isNew(entry, before?.slots[slot], this.owned[slot] === 1)) {
        fresh.push(slot);
      }
      this.owned[slot] = Number(isOwner);
      if (!isOwner && recall.isSuspect(slot)) recall.trust([slot]);
    }
    if (this.mayHaveForgotten) recall.suspectAll(this.owned);
    this.mayHaveForgotten = false;
    for (const slot of fresh) this.blocked[slot] = 1;
    this.drop.add(left, fresh, () => this.unblock(topology));
    onFollowed(topology);
  }

  /**
   * Whether this node owns the slot newly, so that whatever it has of it is a leftover of an earlier ownership: it is
   * being moved to this node, and was not in the document before; or it was moved while this node knew only documents in
   * which it was no owner.
   */
  private isNew(entry: SlotEntry, before: SlotEntry | undefined, wasOwner: boolean): boolean {
    if (before !== undefined && before.since === entry.since) return false;
    if (before !== undefined && !wasOwner) return true;
    return !entry.owners.current.includes(this.followedSelf);
  }

  /** Nothing old is left of the slots that are new here in this document. */
  private unblock(topology: Topology): void {
    if (this.followed !== topology) return;
    const { env, store, noteTrouble } = this.options;
    const { clusterId, epoch } = topology;
    const value = new Uint8Array(clusterId.length + 8);
    value.set(Buffer.from(clusterId, 'latin1'));
    writeStamp(value, clusterId.length, epoch);
    const batch = store.newBatch();
    batch.put(CLUSTER_KEY, value);
    try {
      store.write(batch);
    } catch (error) {
      noteTrouble(error);
      env.timers.after(UNBLOCK_RETRY_MS, () => this.unblock(topology));
      return;
    }
    this.emptied = { clusterId, epoch };
    this.blocked.fill(0);
  }

  /** Reads up to which document new slots were emptied. False: it is not in memory, and being brought in. */
  private readEmptied(): boolean {
    if (this.emptied !== undefined) return true;
    if (this.isReading) return false;
    const { store } = this.options;
    const found = new Found();
    let outcome;
    try {
      outcome = store.get(CLUSTER_KEY, CLUSTER_KEY.length, found);
    } catch (error) {
      this.readLater(error);
      return false;
    }
    if (outcome === lookup.MISS) {
      this.isReading = true;
      store.fetch(CLUSTER_KEY).then(
        () => this.readAgain(),
        (error: unknown) => this.readLater(error),
      );
      return false;
    }
    const end = found.end - 8;
    this.emptied =
      outcome === lookup.FOUND
        ? { clusterId: latin1(found.bytes, found.start, end), epoch: readStamp(found.bytes, end) }
        : { clusterId: '', epoch: 0 };
    return true;
  }

  private readAgain(): void {
    this.isReading = false;
    if (!this.isClosed) this.follow();
  }

  /** Until it can be read, nothing is said about any slot. Throws on what is a bug. */
  private readLater(error: unknown): void {
    const { env, noteTrouble } = this.options;
    this.isReading = true;
    env.log.error('it cannot be told which slots are new here; trying again', { cause: String(error) });
    noteTrouble(error);
    env.timers.after(UNBLOCK_RETRY_MS, () => this.readAgain());
  }
}
