/**
 * One other node: its bus core, the connection to it if there is one, and whether it can be relied on. Carries out what
 * the core says.
 *
 * Invariants:
 * - The core is up exactly while there is a link.
 * - `isHealthy` only if there is a link, of the same cluster, that was heard within UNHEALTHY_MS of listening.
 */

import type { BusCore, BusEffect, BusEvent, BusOutcome, Inbound, Outgoing } from './bus-core.ts';
import type { BusLink, LinkPeer } from './bus-link.ts';
import { busMethod } from './bus-method.ts';
import { HEARTBEAT_MS, RTT_MS, SILENCE_MS, smoothed, UNHEALTHY_MS } from './bus-silence.ts';
import { EMPTY, utf8 } from '../bytes.ts';
import { messageType, priority, type Message } from './frame.ts';
import type { NodeName } from './swim-message.ts';

export type Ended = (outcome: BusOutcome) => void;

/** What peers share: the bus. */
export interface PeerOwner {
  readonly counters: { requestsUnsent: number; requestsUnknown: number };
  /** Monotonic milliseconds. */
  nowMs(): number;
  /** Milliseconds of listening. */
  listeningMs(): number;
  /** Connect, and say `met` or `missed` to the peer. */
  call(peer: BusPeer): void;
  /** Something waits to be written at the end of the turn. */
  hasOutput(peer: BusPeer): void;
  /** The core wants to be woken. */
  wakes(atMs: number): void;
  arrived(peer: BusPeer, inbound: Inbound | undefined, message: Message): void;
  healthChanged(peer: BusPeer): void;
}

export class BusPeer implements LinkPeer {
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
  private readonly core: BusCore<Ended>;
  private readonly owner: PeerOwner;
  private heardMs = 0;
  private sentMs = 0;
  /** When the round trip was measured last; Infinity while it is being measured. */
  private pingedMs = Number.NEGATIVE_INFINITY;
  /** Since when the other side is said to have lost this connection. */
  private doubtedMs = Number.POSITIVE_INFINITY;

  constructor(options: { name: NodeName; address: string; core: BusCore<Ended>; owner: PeerOwner }) {
    this.name = options.name;
    this.address = options.address;
    this.toldAddress = options.address;
    this.core = options.core;
    this.owner = options.owner;
    this.sinceMs = options.owner.listeningMs();
  }

  get isUp(): boolean {
    return this.link !== undefined;
  }

  get inFlight(): number {
    return this.core.inFlight;
  }

  get waitingBytes(): number {
    return this.core.waitingBytes;
  }

  get wakeAtMs(): number {
    return this.core.wakeAtMs;
  }

  // --- asked by the bus --------------------------------------------------------------------------------------------

  request(outgoing: Outgoing, ended: Ended): void {
    this.submit({ kind: 'request', token: ended, outgoing });
  }

  notice(outgoing: Outgoing): void {
    this.submit({ kind: 'notice', outgoing });
  }

  answer(to: Inbound, outgoing: Outgoing): void {
    this.submit({ kind: 'answer', to, outgoing });
  }

  flush(): void {
    this.step({ kind: 'flush' });
  }

  wake(): void {
    this.step({ kind: 'wake' });
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
    link.give(this);
    this.step({ kind: 'connected' });
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
    this.step({ kind: 'disconnected' });
    this.owner.wakes(this.core.wakeAtMs);
  }

  /** A call that was wanted came to nothing. */
  missed(): void {
    if (this.link !== undefined) return;
    this.step({ kind: 'disconnected' });
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
    this.heardMs = this.owner.listeningMs();
    if (!this.isHealthy) this.settleHealth();
  }

  received(message: Message): void {
    this.step({ kind: 'received', message });
    // The core itself answers when too many requests wait.
    if (message.type === messageType.REQUEST && !this.isListed) this.owner.hasOutput(this);
  }

  drained(): void {
    this.step({ kind: 'drained' });
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
    const startMs = this.owner.nowMs();
    this.pingedMs = Number.POSITIVE_INFINITY;
    this.request(control(busMethod.PING, EMPTY), (outcome) => {
      this.pingedMs = this.owner.listeningMs();
      if (outcome.kind === 'answered') this.rttMs = smoothed(this.rttMs, this.owner.nowMs() - startMs);
    });
  }

  private settleHealth(): void {
    const isHeard = this.owner.listeningMs() - this.heardMs < UNHEALTHY_MS;
    const isHealthy = this.link !== undefined && !this.isForeign && isHeard;
    if (isHealthy === this.isHealthy) return;
    this.isHealthy = isHealthy;
    this.owner.healthChanged(this);
  }

  // --- the core ----------------------------------------------------------------------------------------------------

  private submit(event: BusEvent<Ended>): void {
    this.step(event);
    if (this.link !== undefined && !this.isListed) this.owner.hasOutput(this);
    this.owner.wakes(this.core.wakeAtMs);
  }

  private step(event: BusEvent<Ended>): void {
    const effects = this.core.step(event, this.owner.nowMs());
    for (let i = 0; i < effects.length; i++) this.carryOut(effects[i] as BusEffect<Ended>);
  }

  private carryOut(effect: BusEffect<Ended>): void {
    switch (effect.kind) {
      case 'write':
        this.write(effect.messages);
        return;
      case 'ended':
        if (effect.outcome.kind === 'unsent') this.owner.counters.requestsUnsent++;
        else if (effect.outcome.kind === 'unknown') this.owner.counters.requestsUnknown++;
        effect.token(effect.outcome);
        return;
      case 'deliver':
        if (effect.message.type !== messageType.HELLO) this.owner.arrived(this, effect.inbound, effect.message);
        return;
      case 'connect':
        this.wasCalled = true;
        this.owner.call(this);
        return;
      case 'close':
        this.lost(this.link, effect.reason);
        return;
    }
  }

  private write(messages: readonly Message[]): void {
    this.sentMs = this.owner.listeningMs();
    const full = this.link?.send(messages) ?? false;
    this.step({ kind: 'wrote', full });
  }
}

function control(method: number, payload: Uint8Array): Outgoing {
  return { method, priority: priority.CONTROL, deadlineMs: Number.POSITIVE_INFINITY, epoch: 0, payload };
}
