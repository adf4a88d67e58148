/**
 * The bus of one node: one TCP port, one connection to each other node, and on it requests, answers and notices of both
 * directions. What one turn of the event loop has for a peer, and the next one, which reads what came in meanwhile,
 * leaves as one frame: a busy node writes a third fewer frames than one for each turn.
 *
 * ```
 * bus ─┬─ bus-meeting ─ bus-link ─ hello      how a connection comes to be, and which one stays
 *      └─ bus-peer ─ bus-core                 what becomes of requests; whether the peer answers
 * ```
 *
 * Invariants:
 * - A request ends exactly once: answered, unsent (it never left) or unknown (it left, and no answer came).
 * - A peer takes a request at most once; an answer finds its request or is dropped.
 * - Nodes of different clusters say nothing to each other but JOIN, and are not healthy to each other.
 * - Whatever comes before the secret is proven costs no more than one small frame for two seconds.
 */

import { assert } from '../assert.ts';
import { EMPTY, textOf, utf8 } from '../bytes.ts';
import type { Env, Listener, Timer, TlsIdentity } from '../env.ts';
import type { ArrivedBatch, Ended } from './bus-batch.ts';
import { UNSENT, type Inbound, type Outgoing } from './bus-core.ts';
import { BusCounters } from './bus-counters.ts';
import type { BusLink } from './bus-link.ts';
import { BusMeeting, type EndedAt, type Errand, type MeetingHost } from './bus-meeting.ts';
import { busMethod, METHOD_ANSWERED, METHOD_FAILED } from './bus-method.ts';
import { BusPeer, type PeerOwner } from './bus-peer.ts';
import { BusQueue } from './bus-queue.ts';
import { ListeningClock, ROUND_MS } from './bus-silence.ts';
import { FrameWriter, messageType, type Message } from './frame.ts';
import { INSTANCE_BYTES, type HelloPeer, type HelloSelf } from './hello.ts';
import type { NodeName } from './swim-message.ts';

/** Connections that the operating system keeps for us to accept. */
const BACKLOG = 511;

/** The node with the larger identity waits so long to be called before it calls. */
const CALL_GRACE_MS = 200;

/** Methods are small numbers. */
const MAX_METHOD = 255;

/** Addresses of which it is remembered who is there. */
const MAX_ALIASES = 4_096;

export interface BusOptions {
  readonly env: Pick<Env, 'clock' | 'timers' | 'random' | 'network' | 'log'>;
  readonly identity: NodeName;
  /** `host:busPort` at which others reach this node; told in HELLO. */
  readonly address: string;
  /** What all nodes of a cluster know and prove to one another; empty: none. */
  readonly secret: string;
  /** Everything is said over mutual TLS; without it in the clear. */
  readonly tls?: TlsIdentity;
  /** Undefined until the node belongs to a cluster. Nodes of different clusters say nothing to each other but JOIN. */
  clusterId(): string | undefined;
  /** Epoch that answers carry; 0 when it is not given. */
  epoch?(): number;
  /** Called right before a turn's frames are written; what it answers leaves with them. */
  beforeFlush(): void;
}

/**
 * Answers a request, at most once, at once or later; what comes too late is dropped. The payload belongs to the bus
 * from now on. `method`: METHOD_ANSWERED when it is not given.
 */
export type Answer = (payload: Uint8Array, method?: number) => void;

export interface Arrival {
  readonly from: NodeName;
  /** `address` of the sender, as its HELLO told it. */
  readonly address: string;
  /** Its payload is valid only during the call. */
  readonly message: Message;
}

export type RequestHandler = (arrival: Arrival, answer: Answer) => void;
/** The arrival's message is the batch as a whole; its payload is valid only during the call, `batch` until all is answered. */
export type BatchHandler = (arrival: Arrival, batch: ArrivedBatch) => void;
export type NoticeHandler = (arrival: Arrival) => void;
export type HealthListener = (name: NodeName, healthy: boolean) => void;

/** What peers share, as far as it changes. */
type SharedByPeers = { -readonly [Name in keyof PeerOwner]: PeerOwner[Name] };

export class Bus {
  private readonly options: BusOptions;
  private readonly counters = new BusCounters();
  private readonly writer = new FrameWriter();
  private readonly peers = new Map<NodeName, BusPeer>();
  private readonly tls: { readonly tls?: TlsIdentity };
  private readonly meeting: BusMeeting;
  private readonly shared: SharedByPeers;
  private readonly listening: ListeningClock;
  private readonly instance: Uint8Array;
  private readonly requestHandlers: (RequestHandler | undefined)[] = [];
  private readonly batchHandlers: (BatchHandler | undefined)[] = [];
  private readonly noticeHandlers: (NoticeHandler | undefined)[] = [];
  private readonly healthListeners = new Set<HealthListener>();
  /** Who was met at an address. */
  private readonly aliases = new Map<string, NodeName>();
  /** Peers that have something to write when the turn ends. */
  private readonly listed = new BusQueue<BusPeer>();
  private isFlushPlanned = false;
  private listener: Listener | undefined;
  private readonly roundTimer: Timer;
  private wakeTimer: Timer | undefined;
  /** As it was told to all peers. */
  private clusterId: string | undefined;
  private isClosed = false;
  private readonly flush = (): void => this.flushAll();
  /** What has come in during the turn is read before the frames are written, and what it makes joins them. */
  private readonly lookOnce = (): void => this.options.env.timers.atTurnEnd(this.flush);
  private readonly wake = (): void => this.wakePeers();

  constructor(options: BusOptions) {
    this.options = options;
    const { env, identity } = options;
    this.listening = new ListeningClock(this.clockMs());
    this.instance = env.random.bytes(INSTANCE_BYTES);
    this.clusterId = options.clusterId();
    this.shared = this.newShared();
    this.tls = options.tls === undefined ? {} : { tls: options.tls };
    this.meeting = new BusMeeting({ host: this.newMeetingHost(), identity, env, ...this.tls });
    // Judged at the end of the turn, when what was there to read has been read.
    const judge = (): void => this.round();
    this.roundTimer = env.timers.every(ROUND_MS, () => env.timers.atTurnEnd(judge));
  }

  // --- API ---------------------------------------------------------------------------------------------------------

  /** The port that it listens at; 0 before `listen`. */
  get port(): number {
    return this.listener?.port ?? 0;
  }

  /** `port` 0: any. Rejects with a message fit for an operator when the address cannot be bound. */
  async listen(at: { readonly host: string; readonly port: number }): Promise<void> {
    assert(this.listener === undefined, 'a bus listens once');
    const listener = await this.options.env.network.listen({
      host: at.host,
      port: at.port,
      backlog: BACKLOG,
      ...this.tls,
      onConnection: (connection) => this.meeting.accept(connection),
    });
    this.listener = listener;
    if (this.isClosed) await listener.close();
  }

  /** Requires: before `listen`, one handler a method. */
  onRequest(method: number, handler: RequestHandler): void {
    assert(method > 0 && method <= MAX_METHOD, 'a method');
    assert(this.requestHandlers[method] === undefined, 'one handler a method');
    this.requestHandlers[method] = handler;
  }

  /** For a method that has a handler: takes those of its requests together that came as a batch. Requires: before `listen`. */
  onBatch(method: number, handler: BatchHandler): void {
    this.batchHandlers[method] = handler;
  }

  /** Requires: before `listen`, one handler a method. */
  onNotice(method: number, handler: NoticeHandler): void {
    assert(method > 0 && method <= MAX_METHOD, 'a method');
    assert(this.noticeHandlers[method] === undefined, 'one handler a method');
    this.noticeHandlers[method] = handler;
  }

  /** Tells where a node is (`host:busPort`): it is called, and called again whenever the connection ends. */
  know(name: NodeName, address: string): void {
    if (this.isClosed || name === this.options.identity) return;
    const peer = this.peers.get(name) ?? this.newPeer(name, address);
    peer.isKnown = true;
    peer.address = address;
    this.alias(address, name);
    if (!peer.isUp && !peer.wasCalled && this.options.identity < name) peer.beat();
  }

  /** Ends the connection and does not make it again. What was sent is `unknown`, what was queued `unsent`. */
  forget(name: NodeName): void {
    const peer = this.peers.get(name);
    if (peer === undefined) return;
    peer.isKnown = false;
    this.peers.delete(name);
    if (peer.isUp) peer.lost(peer.link, 'forgotten');
    else peer.missed();
  }

  /** `ended` is called exactly once, perhaps before this returns. The payload belongs to the bus from now on. */
  request(to: NodeName, outgoing: Outgoing, ended: Ended): void {
    const peer = this.peers.get(to);
    if (peer !== undefined && this.mayTell(peer, outgoing.method)) peer.request(outgoing, ended);
    else ended(UNSENT);
  }

  /** Sends without an answer; lost when the peer is out of reach. */
  notice(to: NodeName, outgoing: Outgoing): void {
    const peer = this.peers.get(to);
    if (peer !== undefined && this.mayTell(peer, outgoing.method)) peer.notice(outgoing);
  }

  /** To an address (`host:busPort`) whose node need not be known; `from` is who is there. */
  requestAt(address: string, outgoing: Outgoing, ended: EndedAt): void {
    this.send(address, { outgoing, ended });
  }

  noticeAt(address: string, outgoing: Outgoing): void {
    this.send(address, { outgoing, ended: undefined });
  }

  /** Connected, of the same cluster, and answering. */
  isHealthy(name: NodeName): boolean {
    return this.peers.get(name)?.isHealthy ?? false;
  }

  /** Told of every change of `isHealthy`; returns how to stop. */
  onHealth(listener: HealthListener): () => void {
    this.healthListeners.add(listener);
    return () => this.healthListeners.delete(listener);
  }

  /** Smoothed round trip in milliseconds; Infinity before the first one. */
  rttMs(name: NodeName): number {
    return this.peers.get(name)?.rttMs ?? Number.POSITIVE_INFINITY;
  }

  metrics(): Readonly<Record<string, number>> {
    const { counters } = this;
    const peers = [...this.peers.values()];
    return {
      peers: peers.length,
      peers_connected: peers.filter((peer) => peer.isUp).length,
      peers_healthy: peers.filter((peer) => peer.isHealthy).length,
      requests_in_flight: peers.reduce((sum, peer) => sum + peer.inFlight, 0),
      waiting_bytes: peers.reduce((sum, peer) => sum + peer.waitingBytes, 0),
      frames_in: counters.framesIn,
      frames_out: counters.framesOut,
      messages_in: counters.messagesIn,
      messages_out: counters.messagesOut,
      parts_in: counters.partsIn,
      bytes_in: counters.bytesIn,
      bytes_out: counters.bytesOut,
      reconnections: counters.reconnections,
      frames_damaged: counters.framesDamaged,
      handshakes_failed: counters.handshakesFailed,
      requests_unsent: counters.requestsUnsent,
      requests_unknown: counters.requestsUnknown,
    };
  }

  /** Sends what is queued and closes everything; what has no answer by then is `unknown`. */
  async close(): Promise<void> {
    if (this.isClosed) return;
    this.flushAll();
    this.isClosed = true;
    this.roundTimer.cancel();
    this.wakeTimer?.cancel();
    this.meeting.close();
    for (const name of this.peers.keys()) this.forget(name);
    await this.listener?.close();
  }

  // --- sending -----------------------------------------------------------------------------------------------------

  private clockMs(): number {
    return this.options.env.clock.monotonicUs() / 1_000;
  }

  private tick(): void {
    this.shared.nowMs = this.clockMs();
  }

  private mayTell(peer: BusPeer, method: number): boolean {
    return !this.isClosed && (!peer.isForeign || method === busMethod.JOIN);
  }

  private send(address: string, errand: Errand): void {
    const name = this.aliases.get(address);
    const peer = name === undefined ? undefined : this.peers.get(name);
    if (peer?.isUp === true) this.run(errand, peer);
    else this.meeting.errand(address, errand);
  }

  private run(errand: Errand, peer: BusPeer): void {
    const { outgoing, ended } = errand;
    if (ended === undefined) this.notice(peer.name, outgoing);
    else this.request(peer.name, outgoing, (outcome) => ended(outcome, peer.name));
  }

  private hasOutput(peer: BusPeer): void {
    if (peer.isListed) return;
    peer.isListed = true;
    this.listed.push(peer);
    if (this.isFlushPlanned) return;
    this.isFlushPlanned = true;
    this.options.env.timers.atTurnEnd(this.lookOnce);
  }

  private flushAll(): void {
    if (this.isClosed) return;
    this.options.beforeFlush();
    this.settleCluster();
    this.tick();
    // What is said meanwhile joins the queue's end.
    for (let peer = this.listed.shift(); peer !== undefined; peer = this.listed.shift()) {
      peer.isListed = false;
      peer.flush();
    }
    this.isFlushPlanned = false;
  }

  // --- peers -------------------------------------------------------------------------------------------------------

  private newPeer(name: NodeName, address: string): BusPeer {
    const peer = new BusPeer({ name, address, owner: this.shared });
    this.peers.set(name, peer);
    return peer;
  }

  private newShared(): SharedByPeers {
    return {
      counters: this.counters,
      writer: this.writer,
      nowMs: this.clockMs(),
      wakeAtMs: Number.POSITIVE_INFINITY,
      clockMs: () => this.clockMs(),
      tick: () => this.tick(),
      random: () => this.options.env.random.next(),
      epoch: () => this.options.epoch?.() ?? 0,
      listeningMs: () => this.listening.nowMs,
      call: (peer) => this.meeting.call(peer),
      hasOutput: (peer) => this.hasOutput(peer),
      wakes: (atMs) => this.wakeAt(atMs),
      arrived: (peer, inbound, message) => this.arrived(peer, inbound, message),
      healthChanged: (peer) => {
        for (const listener of this.healthListeners) listener(peer.name, peer.isHealthy);
      },
    };
  }

  private newMeetingHost(): MeetingHost {
    return {
      peers: this.peers,
      counters: this.counters,
      writer: this.writer,
      hello: () => this.hello(),
      nowMs: () => this.clockMs(),
      listeningMs: () => this.listening.nowMs,
      met: (link, hello) => this.met(link, hello),
      lost: (link, hello, reason) => this.lost(link, hello, reason),
      run: (errand, peer, address) => {
        this.alias(address, peer.name);
        this.run(errand, peer);
      },
    };
  }

  private hello(): HelloSelf {
    const { identity, address, secret } = this.options;
    return { identity, address, secret, clusterId: this.options.clusterId(), instance: this.instance };
  }

  private alias(address: string, name: NodeName): void {
    if (this.aliases.size >= MAX_ALIASES) this.aliases.clear();
    this.aliases.set(address, name);
  }

  private met(link: BusLink, hello: HelloPeer): BusPeer {
    const { identity, address } = hello;
    const peer = this.peers.get(identity) ?? this.newPeer(identity, address);
    if (peer.wasUp) this.counters.reconnections++;
    peer.toldAddress = address;
    peer.clusterId = hello.clusterId;
    peer.met(link, this.clusterId);
    // The end of an earlier connection has removed a peer that is not known.
    this.peers.set(identity, peer);
    this.alias(address, identity);
    if (link.told.clusterId !== this.clusterId) peer.tellCluster(this.clusterId);
    this.options.env.log.info('a node is connected', { node: identity, address, role: link.role });
    return peer;
  }

  private lost(link: BusLink, hello: HelloPeer, reason: string): void {
    const peer = this.peers.get(hello.identity);
    if (!this.isClosed) this.options.env.log.info('a connection has ended', { node: hello.identity, reason });
    if (peer === undefined) return;
    peer.lost(link, reason);
    if (!peer.isKnown && !peer.isUp) this.peers.delete(hello.identity);
  }

  /** Tells all peers when this node has come to belong to another cluster. */
  private settleCluster(): void {
    const clusterId = this.options.clusterId();
    if (clusterId === this.clusterId) return;
    this.clusterId = clusterId;
    for (const peer of this.peers.values()) {
      if (peer.isUp) peer.tellCluster(clusterId);
      peer.settleForeign(clusterId);
    }
  }

  // --- receiving ---------------------------------------------------------------------------------------------------

  private arrived(peer: BusPeer, inbound: Inbound | undefined, message: Message): void {
    const { method } = message;
    if (inbound === undefined) {
      if (method === busMethod.CLUSTER) {
        const told = textOf(message.payload);
        peer.clusterId = told === '' ? undefined : told;
        peer.settleForeign(this.clusterId);
      } else if (method !== busMethod.PING && this.mayTell(peer, method)) {
        this.noticeHandlers[method]?.({ from: peer.name, address: peer.toldAddress, message });
      }
      return;
    }
    const answer: Answer = (payload, answered = METHOD_ANSWERED) => {
      peer.answer(inbound, { method: answered, epoch: this.options.epoch?.() ?? 0, payload });
    };
    const handler = this.requestHandlers[method];
    if (message.type === messageType.BATCH && handler !== undefined && this.mayTell(peer, method)) {
      const batch = peer.takeBatch(inbound, message);
      if (batch !== undefined) this.arrivedBatch(peer, batch, handler);
      return;
    }
    if (method === busMethod.PING) answer(EMPTY);
    else if (!this.mayTell(peer, method)) answer(utf8('this node belongs to another cluster'), METHOD_FAILED);
    else if (handler === undefined) answer(utf8(`this node knows no method ${method}`), METHOD_FAILED);
    else handler({ from: peer.name, address: peer.toldAddress, message }, answer);
  }

  private arrivedBatch(peer: BusPeer, batch: ArrivedBatch, handler: RequestHandler): void {
    const { name: from, toldAddress: address } = peer;
    const { message, count } = batch;
    const together = this.batchHandlers[message.method];
    if (together !== undefined) {
      together({ from, address, message }, batch);
      return;
    }
    for (let place = 0; place < count; place++) {
      handler({ from, address, message: batch.part(place) }, (payload, method) => batch.answer(place, payload, method));
    }
  }

  // --- time --------------------------------------------------------------------------------------------------------

  private round(): void {
    if (this.isClosed) return;
    this.tick();
    this.listening.round(this.shared.nowMs);
    const { nowMs } = this.listening;
    this.settleCluster();
    this.meeting.round();
    for (const peer of this.peers.values()) {
      if (peer.isUp) peer.round(nowMs);
      else if (peer.isKnown && !peer.wasCalled && nowMs - peer.sinceMs >= CALL_GRACE_MS) peer.beat();
    }
  }

  private wakeAt(atMs: number): void {
    if (atMs >= this.shared.wakeAtMs || this.isClosed) return;
    this.wakeTimer?.cancel();
    this.shared.wakeAtMs = atMs;
    this.wakeTimer = this.options.env.timers.after(Math.max(0, Math.ceil(atMs - this.clockMs())), this.wake);
  }

  private wakePeers(): void {
    this.tick();
    const { nowMs } = this.shared;
    this.shared.wakeAtMs = Number.POSITIVE_INFINITY;
    let next = Number.POSITIVE_INFINITY;
    for (const peer of this.peers.values()) {
      if (peer.wakeAtMs <= nowMs) peer.wake();
      next = Math.min(next, peer.wakeAtMs);
    }
    this.wakeAt(next);
  }
}
