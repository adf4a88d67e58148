/**
 * One other node: its bus core, the connection to it if there is one, and whether it can be relied on. Carries out what
 * the core says.
 *
 * Invariants:
 * - The core is up exactly while there is a link.
 * - `isHealthy` only if there is a link, of the same cluster, that was heard within UNHEALTHY_MS of listening.
 */

import { must } from '../assert.ts';
import { EMPTY, utf8 } from '../bytes.ts';
import { ArrivedBatch, Batch, isBatched, type Ended } from './bus-batch.ts';
import {
  BusCore,
  MAX_UNANSWERED,
  type BusOutcome,
  type BusPort,
  type Inbound,
  type Outbound,
  type Outgoing,
} from './bus-core.ts';
import type { BusCounters } from './bus-counters.ts';
import type { BusLink, LinkPeer } from './bus-link.ts';
import { busMethod, METHOD_ANSWERED, METHOD_BUSY } from './bus-method.ts';
import { HEARTBEAT_MS, RTT_MS, SILENCE_MS, smoothed, UNHEALTHY_MS } from './bus-silence.ts';

import { messageType, priority, type FrameWriter, type Message } from './frame.ts';
import type { NodeName } from './swim-message.ts';

/** What peers share: the bus. */
export interface PeerOwner {
  readonly counters: BusCounters;
  readonly writer: FrameWriter;
  /** Monotonic milliseconds, as of this turn or later. */
  readonly nowMs: number;
  /** The same, this very moment. */
  clockMs(): number;
  /** Looks at the clock: a turn or a piece of input begins. */
  tick(): void;
  random(): number;
  /** Epoch that answers carry. */
  epoch(): number;
  /** Milliseconds of listening. */
  listeningMs(): number;
  /** Connect, and say `met` or `missed` to the peer. */
  call(peer: BusPeer): void;
  /** Something waits to be written at the end of the turn. */
  hasOutput(peer: BusPeer): void;
  /** When peers are woken next. */
  readonly wakeAtMs: number;
  /** The core wants to be woken. */
  wakes(atMs: number): void;
  arrived(peer: BusPeer, inbound: Inbound | undefined, message: Message): void;
  healthChanged(peer: BusPeer): void;
}

/** What an answer says: its method and its bytes. */
export interface Said {
  readonly method: number;
  readonly epoch: number;
  readonly payload: Uint8Array;
}

/** Requests of one connection that came in batches and are not answered yet. */
interface OpenParts {
  count: number;
}

export class BusPeer implements LinkPeer, BusPort<Ended | Batch> {
  readonly name: NodeName;
  /** Where it is called. */
  address: string;
  /** Where it says it is. */
  toldAddress: string;
  /** It is called whenever there is no connection; others are only talked to while they stay connected. */
  isKnown = false;
  /** It waits for the end of the turn. */
  isListed = false;
  /** A call to it was wanted at least once. */
  wasCalled = false;
  /** It was connected at least once. */
  wasUp = false;
  isHealthy = false;
  /** Of another cluster than this node. */
  isForeign = false;
  clusterId: string | undefined;
  rttMs = Number.POSITIVE_INFINITY;
  link: BusLink | undefined;
  /** In listening time: since when it is known here. */
  readonly sinceMs: number;
  private readonly core: BusCore<Ended | Batch>;
  /** What this turn asks, by method and deadline. */
  private batches: Batch[] = [];
  /** Batches of the peer that have answers to be told. */
  private answered: { readonly batch: ArrivedBatch; readonly inbound: Inbound }[] = [];
  private open: OpenParts = { count: 0 };
  private readonly owner: PeerOwner;
  private heardMs = 0;
  private sentMs = 0;
  /** When the round trip was measured last; Infinity while it is being measured. */
  private pingedMs = Number.NEGATIVE_INFINITY;
  /** Since when the other side is said to have lost this connection. */
  private doubtedMs = Number.POSITIVE_INFINITY;

  constructor(options: { name: NodeName; address: string; owner: PeerOwner }) {
    this.name = options.name;
    this.address = options.address;
    this.toldAddress = options.address;
    this.owner = options.owner;
    this.core = new BusCore<Ended | Batch>({ port: this, random: () => this.owner.random() });
    this.sinceMs = options.owner.listeningMs();
  }

  get isUp(): boolean {
    return this.link !== undefined;
  }

  get inFlight(): number {
    return this.core.inFlight;
  }

  /** Bytes that wait to be sent, in the queues and in the connection. */
  get waitingBytes(): number {
    return this.core.waitingBytes + (this.link?.unsentBytes ?? 0);
  }

  get wakeAtMs(): number {
    return this.core.wakeAtMs;
  }

  // --- asked by the bus --------------------------------------------------------------------------------------------

  request(outgoing: Outgoing, ended: Ended): void {
    if (this.core.isUp && isBatched(outgoing)) {
      this.batchFor(outgoing).add(outgoing, ended);
      if (!this.isListed) this.owner.hasOutput(this);
      return;
    }
    this.core.request(ended, outgoing, this.owner.nowMs);
    this.settleOutput();
  }

  private batchFor(outgoing: Outgoing): Batch {
    const { batches } = this;
    for (let i = batches.length - 1; i >= 0; i--) {
      const batch = batches[i] as Batch;
      if (batch.takes(outgoing)) return batch;
    }
    const batch = new Batch(outgoing);
    batches.push(batch);
    return batch;
  }

  notice(outgoing: Outgoing): void {
    this.core.notice(outgoing, this.owner.nowMs);
    this.settleOutput();
  }

  answer(to: Inbound, said: Said): void {
    const { method, epoch, payload } = said;
    this.core.answer(to, { method, epoch, payload, isLast: true }, this.owner.nowMs);
    this.settleOutput();
  }

  /** A batch of the peer; undefined: too many of its requests wait here, and it was told. Throws `DamagedError`. */
  takeBatch(inbound: Inbound, message: Message): ArrivedBatch | undefined {
    const { open } = this;
    const batch = new ArrivedBatch(message, (isFirst) => {
      open.count--;
      if (isFirst) this.answered.push({ batch, inbound });
      if (!this.isListed) this.owner.hasOutput(this);
    });
    if (open.count + batch.count > MAX_UNANSWERED) {
      this.answer(inbound, { method: METHOD_BUSY, epoch: message.epoch, payload: EMPTY });
      return undefined;
    }
    open.count += batch.count;
    this.owner.counters.partsIn += batch.count;
    return batch;
  }

  flush(): void {
    const { core } = this;
    const { nowMs } = this.owner;
    const { batches, answered } = this;
    if (answered.length > 0) {
      this.answered = [];
      const epoch = this.owner.epoch();
      for (const { batch, inbound } of answered) {
        batch.tell((payload, isLast) => {
          core.answer(inbound, { method: METHOD_ANSWERED, epoch, payload, isLast }, nowMs);
        });
      }
    }
    if (batches.length > 0) this.sendBatches(nowMs);
    core.flush(nowMs);
  }

  private sendBatches(nowMs: number): void {
    const { core, batches, owner } = this;
    this.batches = [];
    for (const batch of batches) {
      const { lone } = batch;
      if (lone === undefined) core.batch(batch, batch, nowMs);
      else core.request(lone.ended, lone.outgoing, nowMs);
    }
    if (core.wakeAtMs < owner.wakeAtMs) owner.wakes(core.wakeAtMs);
  }

  wake(): void {
    this.core.wake(this.owner.nowMs);
  }

  private settleOutput(): void {
    const { core, owner } = this;
    if (!this.isListed && core.isUp) owner.hasOutput(this);
    if (core.wakeAtMs < owner.wakeAtMs) owner.wakes(core.wakeAtMs);
  }

  // --- the connection ----------------------------------------------------------------------------------------------

  /** The handshake of `link` is over; an earlier connection is closed. `own`: this node's cluster. */
  met(link: BusLink, own: string | undefined): void {
    this.lost(this.link, 'another connection took its place');
    this.link = link;
    this.wasUp = true;
    const nowMs = this.owner.listeningMs();
    this.heardMs = nowMs;
    this.sentMs = nowMs;
    this.pingedMs = Number.NEGATIVE_INFINITY;
    this.doubtedMs = Number.POSITIVE_INFINITY;
    this.open = { count: 0 };
    link.give(this);
    this.core.connected();
    this.owner.hasOutput(this);
    this.ping();
    this.settleForeign(own);
  }

  /** The connection is gone, or goes; one that is not the peer's any more is none of its business. */
  lost(link: BusLink | undefined, reason: string): void {
    if (link === undefined || this.link !== link) return;
    this.link = undefined;
    link.close(reason);
    this.settleHealth();
    this.core.disconnected(this.owner.nowMs);
    this.sendBatches(this.owner.nowMs);
    this.owner.wakes(this.core.wakeAtMs);
  }

  /** A call that was wanted came to nothing. */
  missed(): void {
    if (this.link !== undefined) return;
    this.core.disconnected(this.owner.nowMs);
    this.owner.wakes(this.core.wakeAtMs);
  }

  /** The other side wants a new connection although this one seems well: it is to show that it is. */
  doubt(): void {
    if (this.link === undefined || this.doubtedMs !== Number.POSITIVE_INFINITY) return;
    this.doubtedMs = this.owner.listeningMs();
    this.ping();
  }

  settleForeign(own: string | undefined): void {
    this.isForeign = own !== undefined && this.clusterId !== undefined && own !== this.clusterId;
    this.settleHealth();
  }

  heard(): void {
    this.owner.tick();
    this.heardMs = this.owner.listeningMs();
    if (!this.isHealthy) this.settleHealth();
  }

  received(message: Message): void {
    this.core.received(message, this.owner.nowMs);
    // The core itself answers when too many requests wait.
    if (message.type === messageType.REQUEST || message.type === messageType.BATCH) this.settleOutput();
  }

  drained(): void {
    this.owner.tick();
    this.core.drained(this.owner.nowMs);
  }

  // --- health ------------------------------------------------------------------------------------------------------

  /** Judges silence and breaks the own; after a turn that has read what was there. */
  round(nowMs: number): void {
    const { link } = this;
    if (link === undefined) return;
    const silentMs = nowMs - this.heardMs;
    const isDoubtful = this.heardMs <= this.doubtedMs && nowMs - this.doubtedMs >= UNHEALTHY_MS;
    if (silentMs >= SILENCE_MS || isDoubtful) {
      this.lost(link, `silent for ${Math.round(silentMs)} ms`);
      return;
    }
    if (this.heardMs > this.doubtedMs) this.doubtedMs = Number.POSITIVE_INFINITY;
    if (silentMs >= UNHEALTHY_MS) this.settleHealth();
    if (nowMs - this.pingedMs >= RTT_MS) this.ping();
    else if (nowMs - this.sentMs >= HEARTBEAT_MS) this.beat();
  }

  /** A sign of life; to a peer without a connection: calls it. */
  beat(): void {
    this.notice(control(busMethod.PING, EMPTY));
  }

  tellCluster(clusterId: string | undefined): void {
    this.notice(control(busMethod.CLUSTER, utf8(clusterId ?? '')));
  }

  private ping(): void {
    const startMs = this.owner.clockMs();
    this.pingedMs = Number.POSITIVE_INFINITY;
    this.request(control(busMethod.PING, EMPTY), (outcome) => {
      this.pingedMs = this.owner.listeningMs();
      if (outcome.kind === 'answered') this.rttMs = smoothed(this.rttMs, this.owner.clockMs() - startMs);
    });
  }

  private settleHealth(): void {
    const isHeard = this.owner.listeningMs() - this.heardMs < UNHEALTHY_MS;
    const isHealthy = this.link !== undefined && !this.isForeign && isHeard;
    if (isHealthy === this.isHealthy) return;
    this.isHealthy = isHealthy;
    this.owner.healthChanged(this);
  }

  // --- what the core wants -----------------------------------------------------------------------------------------

  connect(): void {
    this.wasCalled = true;
    this.owner.call(this);
  }

  add(out: Outbound<Ended | Batch>, timeLeftMs: number): void {
    this.owner.counters.messagesOut++;
    this.owner.writer.add(out, timeLeftMs);
  }

  send(): boolean {
    this.sentMs = this.owner.listeningMs();
    return must(this.link, 'a core that is up has a link').send();
  }

  ended(token: Ended | Batch, outcome: BusOutcome): void {
    if (outcome.kind === 'unsent') this.owner.counters.requestsUnsent++;
    else if (outcome.kind === 'unknown') this.owner.counters.requestsUnknown++;
    if (token instanceof Batch) token.ended(outcome);
    else token(outcome);
  }

  parts(token: Ended | Batch, message: Message): void {
    if (token instanceof Batch) token.parts(message);
  }

  deliver(inbound: Inbound | undefined, message: Message): void {
    if (message.type !== messageType.HELLO) this.owner.arrived(this, inbound, message);
  }

  close(reason: string): void {
    this.lost(this.link, reason);
  }
}

function control(method: number, payload: Uint8Array): Outgoing {
  return { method, priority: priority.CONTROL, deadlineMs: Number.POSITIVE_INFINITY, epoch: 0, payload };
}
