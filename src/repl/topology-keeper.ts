/**
 * Keeps the newest topology document that this node knows to be chosen, and shows it to everybody as the `ClusterView`.
 *
 * ```
 * heard of a newer epoch (bus, SWIM, STALE) ─▶ TOPOLOGY_GET ─┐
 * a change of our own was chosen ────────────────────────────┼─▶ adopt ─▶ durable ─▶ in force ─▶ listeners
 * found, JOIN ───────────────────────────────────────────────┘
 * ```
 *
 * Invariants:
 * - The document in force is durable here, in the value `topology-known`: what this node has promised or refused in an
 *   epoch, it still knows after a crash.
 * - The epoch in force only grows, but for the change to another cluster of a node that was alone in its own.
 * - A slot's `Owners`, and the voters, are the same object for as long as they do not change.
 * - Only documents in force are handed to others, so that whoever is told of an epoch by us can fetch it from us.
 */

import { assert, must } from '../assert.ts';
import { EMPTY } from '../bytes.ts';
import { readU64, writeU64 } from '../cluster/big-endian.ts';
import type { Answer, Arrival, Bus } from '../cluster/bus.ts';
import { busMethod } from '../cluster/bus-method.ts';
import { DamagedError } from '../cluster/byte-cursor.ts';
import type { ClusterView } from '../cluster/cluster-view.ts';
import { priority } from '../cluster/frame.ts';
import type { Member, MemberId } from '../cluster/member.ts';
import type { Owners } from '../cluster/owners.ts';
import type { NodeName } from '../cluster/swim-message.ts';
import { adoptTopology, type SlotEntry, type Topology } from '../cluster/topology.ts';
import { decodeTopology, encodeTopology } from '../cluster/topology-codec.ts';
import type { Env, Timer } from '../env.ts';
import type { DurableValues } from '../cluster/durable-values.ts';
import { LOCAL_PREFIX } from './row-key.ts';

/** Name of the durable value that holds the newest document known to be chosen, as topology-codec.ts writes it. */
export const TOPOLOGY_KNOWN = 'topology-known';

/** Wait for a document of about 100 KB. */
export const FETCH_TIMEOUT_MS = 2_000;

/** Wait before a fetch, or a document that could not be made durable, is tried again. */
export const FETCH_RETRY_MS = 100;

/** Fetches of one epoch that bring nothing, after which it is dropped until somebody tells of it again. */
const MAX_FETCHES = 20;

/** Nodes that were heard to know the epoch that is wanted: one that is gone does not keep us from asking the next. */
const MAX_SOURCES = 8;

/** Who waits for an epoch at most: requests of voters and owners that came from the future. */
export const MAX_AWAITING = 100_000;

/** No node's identity. */
const NOBODY: NodeName = '';

export interface KeeperOptions {
  readonly env: Pick<Env, 'clock' | 'timers' | 'log'>;
  readonly identity: NodeName;
  readonly values: DurableValues;
  readonly bus: Pick<Bus, 'request' | 'know' | 'forget' | 'isHealthy' | 'rttMs'>;
  /** SWIM says dead or left. */
  isGone(name: NodeName): boolean;
}

export type TopologyListener = (next: Topology, previous: Topology | undefined) => void;

export class TopologyKeeper implements ClusterView {
  /** In force. */
  topology: Topology | undefined = undefined;
  self: MemberId = 0;
  isShared = false;
  private readonly env: KeeperOptions['env'];
  private readonly identity: NodeName;
  private readonly values: DurableValues;
  private readonly bus: KeeperOptions['bus'];
  private readonly isGone: (name: NodeName) => boolean;
  private members: ReadonlyMap<MemberId, Member> = new Map();
  /** While this node belongs to no cluster for the time being: the document of the one that it was alone in. */
  private former: Topology | undefined = undefined;
  /** Known to be chosen; in force as soon as it is durable. */
  private newest: Topology | undefined = undefined;
  private persisting = false;
  /** The highest epoch that was heard of, and who knows it. */
  private wanted = 0;
  private sources: NodeName[] = [];
  private fetching = false;
  private fetches = 0;
  private readonly listeners = new Set<TopologyListener>();
  private awaiting: { readonly epoch: number; readonly run: () => void }[] = [];
  private readonly encoded = new WeakMap<Topology, Uint8Array>();
  private readonly timers = new Set<Timer>();
  private isClosed = false;

  constructor(options: KeeperOptions) {
    this.env = options.env;
    this.identity = options.identity;
    this.values = options.values;
    this.bus = options.bus;
    this.isGone = (name) => options.isGone(name);
  }

  /** Takes up what an earlier life knew. Throws `DamagedError` when it is not to be read. Call once, before the bus listens. */
  load(): void {
    const bytes = this.values.getValue(TOPOLOGY_KNOWN);
    if (bytes === undefined) return;
    this.newest = decodeTopology(bytes);
    this.enforce(this.newest);
  }

  // --- the view ----------------------------------------------------------------------------------------------------

  /** 0 before this node belongs to a cluster. */
  get epoch(): number {
    return this.topology === undefined ? 0 : this.topology.epoch;
  }

  get clusterId(): string | undefined {
    return this.topology?.clusterId;
  }

  owners(slot: number): Owners {
    // What was begun in the former cluster finds that its only owner, this node, refuses it.
    const topology = must(this.topology ?? this.former, 'owners are known once there is a document');
    return slot === LOCAL_PREFIX ? topology.voters : (topology.slots[slot] as SlotEntry).owners;
  }

  nameOf(id: MemberId): NodeName {
    return this.members.get(id)?.identity ?? NOBODY;
  }

  memberOf(id: MemberId): Member {
    return must(this.members.get(id), 'a member');
  }

  isHealthy(id: MemberId): boolean {
    if (id === this.self) return true;
    const member = this.members.get(id);
    return member !== undefined && this.bus.isHealthy(member.identity) && !this.isGone(member.identity);
  }

  rttMs(id: MemberId): number {
    return id === this.self ? 0 : this.bus.rttMs(this.nameOf(id));
  }

  learn(from: MemberId, epoch: number): void {
    const member = this.members.get(from);
    if (member !== undefined) this.heard(member.identity, epoch);
  }

  onTopology(listener: TopologyListener): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  // --- newer documents ---------------------------------------------------------------------------------------------

  /** `name`, of this cluster, carries this epoch: cheap enough for every message. */
  heard(name: NodeName, epoch: number): void {
    if (this.newest === undefined || epoch <= this.newest.epoch || name === this.identity) return;
    if (epoch > this.wanted) {
      this.wanted = epoch;
      this.sources = [];
      this.fetches = 0;
    }
    if (epoch === this.wanted && !this.sources.includes(name) && this.sources.length < MAX_SOURCES) {
      this.sources.push(name);
    }
    this.fetch();
  }

  /**
   * Runs `run` once a document of this epoch or a later one is in force, at once if it is. False: too many wait.
   * Nothing is fetched for it: say `heard` too.
   */
  reach(epoch: number, run: () => void): boolean {
    if (epoch <= this.epoch) run();
    else if (this.awaiting.length >= MAX_AWAITING) return false;
    else this.awaiting.push({ epoch, run });
    return true;
  }

  /**
   * Takes a document that is chosen. Fulfilled once it, or a later one, is durable and in force; never rejected. Requires:
   * it is of this node's cluster, if it has one.
   */
  adopt(next: Topology): Promise<void> {
    const { newest } = this;
    assert(newest === undefined || newest.clusterId === next.clusterId, 'a document of our own cluster');
    if (newest === undefined || next.epoch > newest.epoch) this.take(next);
    return this.reached(next.epoch);
  }

  /** Becomes a member of another cluster. Requires: this node was alone in its own and keeps nothing of it. */
  changeCluster(next: Topology): Promise<void> {
    const { newest } = this;
    assert(newest === undefined || newest.members.length === 1, 'nobody is left behind');
    this.wanted = 0;
    this.take(next);
    return new Promise((resolve) => {
      const stop = this.onTopology(() => {
        stop();
        resolve();
      });
    });
  }

  /** Nothing is being made durable: what is known is in force. */
  get isSettled(): boolean {
    return !this.persisting;
  }

  /**
   * Belongs to no cluster for the time being, to become a member of another: clients and nodes are told so. Returns what
   * `restore` takes back. Nothing is changed durably. Requires: `isSettled`.
   */
  withdraw(): Topology | undefined {
    const { topology } = this;
    assert(!this.persisting, 'nothing is under way in a cluster of one');
    this.former = topology;
    this.topology = undefined;
    this.newest = undefined;
    this.self = 0;
    this.isShared = false;
    return topology;
  }

  /** Undoes `withdraw`. */
  restore(topology: Topology): void {
    this.newest = topology;
    this.enforce(topology);
  }

  /** The bytes of a document, made once. */
  bytesOf(topology: Topology): Uint8Array {
    let bytes = this.encoded.get(topology);
    if (bytes === undefined) {
      bytes = encodeTopology(topology);
      this.encoded.set(topology, bytes);
    }
    return bytes;
  }

  /** Method TOPOLOGY_GET: the payload is the epoch that the asker has, u64; the answer the document, empty if not newer. */
  readonly onGet = (arrival: Arrival, answer: Answer): void => {
    const { payload } = arrival.message;
    const known = payload.length === 8 ? readU64(payload, 0) : 0;
    answer(this.topology !== undefined && this.topology.epoch > known ? this.bytesOf(this.topology) : EMPTY);
  };

  close(): void {
    this.isClosed = true;
    for (const timer of this.timers) timer.cancel();
    this.timers.clear();
    this.awaiting = [];
  }

  // --- parts -------------------------------------------------------------------------------------------------------

  private reached(epoch: number): Promise<void> {
    return new Promise((resolve) => {
      if (!this.reach(epoch, resolve)) this.later(() => void this.reached(epoch).then(resolve));
    });
  }

  private take(next: Topology): void {
    const isSame = this.newest?.clusterId === next.clusterId;
    this.newest = isSame ? adoptTopology(this.newest, next) : next;
    if (this.persisting) return;
    this.persisting = true;
    void this.persist();
  }

  private async persist(): Promise<void> {
    while (!this.isClosed && this.newest !== undefined && this.newest !== this.topology) {
      const { newest } = this;
      try {
        await this.values.setValue(TOPOLOGY_KNOWN, this.bytesOf(newest));
      } catch (error) {
        this.env.log.error('the topology cannot be made durable; trying again', { reason: String(error) });
        this.later(() => void this.persist());
        return;
      }
      if (!this.isClosed) this.enforce(newest);
    }
    this.persisting = false;
  }

  private enforce(next: Topology): void {
    const previous = this.topology;
    this.former = undefined;
    this.topology = next;
    this.members = new Map(next.members.map((member) => [member.id, member]));
    this.self = next.members.find((member) => member.identity === this.identity)?.id ?? 0;
    // Who is forgotten has nothing of its own any more: what it is asked it asks the members.
    const isMoving = next.slots.some(({ owners }) => owners.incoming.length > 0);
    this.isShared = next.members.length > 1 || isMoving || this.self === 0;
    const wasMember = previous?.members.some((member) => member.identity === this.identity) === true;
    if (wasMember && this.self === 0) {
      this.env.log.warn('this node is no member of its cluster any more: it was forgotten', { epoch: next.epoch });
    }
    for (const member of next.members) if (member.id !== this.self) this.bus.know(member.identity, busAddress(member));
    for (const member of previous?.members ?? []) {
      if (member.identity !== this.identity && !this.members.has(member.id)) this.bus.forget(member.identity);
    }
    for (const listener of this.listeners) listener(next, previous);
    const { awaiting } = this;
    this.awaiting = awaiting.filter((each) => each.epoch > next.epoch);
    for (const each of awaiting) if (each.epoch <= next.epoch) each.run();
  }

  private fetch(): void {
    const name = this.sources[this.fetches % Math.max(1, this.sources.length)];
    const known = this.newest?.epoch ?? 0;
    if (this.fetching || this.isClosed || name === undefined || this.wanted <= known) return;
    if (this.fetches++ >= MAX_FETCHES) {
      this.wanted = 0;
      return;
    }
    this.fetching = true;
    const payload = new Uint8Array(8);
    writeU64(payload, 0, known);
    const deadlineMs = this.env.clock.monotonicUs() / 1000 + FETCH_TIMEOUT_MS;
    const { TOPOLOGY_GET: method } = busMethod;
    const outgoing = { method, priority: priority.CONTROL, deadlineMs, epoch: this.epoch, payload };
    this.bus.request(name, outgoing, (outcome) => {
      this.fetching = false;
      const isAnswer = outcome.kind === 'answered' && outcome.message.method === 0;
      if (isAnswer && outcome.message.payload.length > 0) this.takeFetched(name, outcome.message.payload);
      // Whoever told of the epoch may be gone, or may not have it in force yet.
      if ((this.newest?.epoch ?? 0) < this.wanted) this.later(() => this.fetch());
    });
  }

  private takeFetched(from: NodeName, payload: Uint8Array): void {
    try {
      const next = decodeTopology(payload);
      if (next.clusterId === this.newest?.clusterId) void this.adopt(next);
      else this.env.log.error('a document of another cluster', { from, cluster: next.clusterId });
    } catch (thrown) {
      if (!(thrown instanceof DamagedError)) throw thrown;
      this.env.log.error('a topology that is not to be read', { from, reason: thrown.message });
    }
  }

  private later(run: () => void): void {
    if (this.isClosed) return;
    const timer = this.env.timers.after(FETCH_RETRY_MS, () => {
      this.timers.delete(timer);
      run();
    });
    this.timers.add(timer);
  }
}

/** `host:busPort` of a member. */
export function busAddress(member: Pick<Member, 'host' | 'busPort'>): string {
  const host = member.host.includes(':') ? `[${member.host}]` : member.host;
  return `${host}:${member.busPort}`;
}
