/**
 * How connections come to be: those that others make, calls to addresses, handshakes, and which of two connections of a
 * pair stays.
 *
 * Both sides may call, since the one that was restarted knows first that a connection is missing. The node with the
 * smaller identity decides: it never lets a second connection to the same process come to be while it has one, and the
 * other side takes every new one for the one that counts. A connection to an earlier process of a node (its HELLO says
 * another instance) gives way at once. When the decider refuses a second one, the other side may know that the first is
 * dead, so the decider looks whether anything still comes on it (`doubt`).
 *
 * Invariants:
 * - One call to an address at a time; a call ends in a peer, or is missed, within CALL_MS of listening.
 * - An errand (a message to an address) ends in a peer's core, or ends unsent.
 * - At most MAX_MEETINGS connections are in their handshake; the oldest that was accepted gives way.
 */

import { parseHostPort } from '../config-cluster.ts';
import type { Connection, ConnectionEvents, Log, Network, Random, TlsIdentity } from '../env.ts';
import type { Outgoing, BusOutcome } from './bus-core.ts';
import type { BusCounters } from './bus-counters.ts';
import { BusLink, type LinkOwner } from './bus-link.ts';
import type { BusPeer } from './bus-peer.ts';
import type { FrameWriter } from './frame.ts';
import { refusal, type HelloPeer, type HelloSelf, type Refusal } from './hello.ts';
import type { NodeName } from './swim-message.ts';

/** A call has so long for connecting and the handshake: three round trips around the world and a lost packet. */
export const CALL_MS = 2_000;

/** A handshake of somebody who called has so long. */
export const MEETING_MS = 2_000;

/** Connections whose handshake is not over. */
export const MAX_MEETINGS = 256;

/** Addresses that are being called. */
export const MAX_CALLS = 1_024;

/** Messages that wait for who is at one address. */
export const MAX_ERRANDS = 64;

/** Nodes one bus talks to, known or not. */
export const MAX_PEERS = 2_048;

export type EndedAt = (outcome: BusOutcome, from: NodeName | undefined) => void;

/** A message to an address; without `ended` it is a notice. */
export interface Errand {
  readonly outgoing: Outgoing;
  readonly ended: EndedAt | undefined;
}

interface Call {
  readonly address: string;
  readonly startedMs: number;
  /** Who wants it. */
  readonly peers: Set<BusPeer>;
  errands: Errand[];
  link: BusLink | undefined;
  /** Who is there, when the other side says that there is a connection, or will be in a moment. */
  found: NodeName | undefined;
}

export interface MeetingHost {
  readonly peers: ReadonlyMap<NodeName, BusPeer>;
  readonly counters: BusCounters;
  readonly writer: FrameWriter;
  hello(): HelloSelf;
  nowMs(): number;
  listeningMs(): number;
  /** The connection is this peer's from now on. */
  met(link: BusLink, hello: HelloPeer): BusPeer;
  /** A connection after its handshake has ended. */
  lost(link: BusLink, hello: HelloPeer, reason: string): void;
  /** The errand's address turned out to be this peer's. */
  run(errand: Errand, peer: BusPeer, address: string): void;
}

const NO_EVENTS: ConnectionEvents = { onData: () => undefined, onDrain: () => undefined, onClose: () => undefined };

export class BusMeeting implements LinkOwner {
  readonly counters: BusCounters;
  readonly writer: FrameWriter;
  private readonly host: MeetingHost;
  private readonly identity: NodeName;
  private readonly network: Network;
  private readonly tls: TlsIdentity | undefined;
  private readonly random: Random;
  private readonly log: Log;
  /** By address. */
  private readonly calls = new Map<string, Call>();
  private readonly callOf = new Map<BusLink, Call>();
  /** In their handshake, or refused and not closed yet. */
  private readonly meetings = new Set<BusLink>();
  /** Of the deciding side: the connection that is about to be the one. */
  private readonly chosen = new Map<NodeName, BusLink>();
  /** Why an address was not reached last: told when it changes. */
  private readonly reasons = new Map<string, string>();
  private isClosed = false;

  constructor(options: {
    host: MeetingHost;
    identity: NodeName;
    env: { readonly network: Network; readonly random: Random; readonly log: Log };
    tls?: TlsIdentity;
  }) {
    const { host, identity, env } = options;
    this.host = host;
    this.counters = host.counters;
    this.writer = host.writer;
    this.identity = identity;
    this.network = env.network;
    this.tls = options.tls;
    this.random = env.random;
    this.log = env.log;
  }

  // --- calls and accepted connections ------------------------------------------------------------------------------

  accept(connection: Connection): ConnectionEvents {
    if (this.isClosed) {
      connection.destroy();
      return NO_EVENTS;
    }
    if (this.meetings.size >= MAX_MEETINGS) this.closeOldest();
    return this.begin(connection, 'called');
  }

  /** `peer` is told that it was missed when nobody is there, or somebody else. */
  call(peer: BusPeer): void {
    const call = this.callTo(peer.address);
    if (call === undefined) peer.missed();
    else call.peers.add(peer);
  }

  /** Calls the address for this message, or adds it to those that wait for it. */
  errand(address: string, errand: Errand): void {
    const call = this.callTo(address);
    if (call === undefined || call.errands.length >= MAX_ERRANDS) unsent(errand);
    else call.errands.push(errand);
  }

  private callTo(address: string): Call | undefined {
    const running = this.calls.get(address);
    if (running !== undefined) return running;
    const at = parseHostPort(address);
    if (at === undefined || this.isClosed || this.calls.size >= MAX_CALLS) return undefined;
    const startedMs = this.host.listeningMs();
    const call: Call = { address, startedMs, peers: new Set(), errands: [], link: undefined, found: undefined };
    this.calls.set(address, call);
    this.network.connect({
      ...at,
      timeoutMs: CALL_MS,
      ...(this.tls === undefined ? {} : { tls: this.tls }),
      onOpen: (connection) => {
        if (this.calls.get(address) !== call) {
          connection.destroy();
          return NO_EVENTS;
        }
        call.link = this.begin(connection, 'caller');
        this.callOf.set(call.link, call);
        return call.link;
      },
      onFail: (error) => this.missed(call, error.message),
    });
    return call;
  }

  private begin(connection: Connection, role: 'caller' | 'called'): BusLink {
    const link = new BusLink({ connection, role, owner: this, openedMs: this.host.listeningMs() });
    this.meetings.add(link);
    return link;
  }

  private closeOldest(): void {
    for (const link of this.meetings) {
      if (link.role !== 'called') continue;
      this.meetings.delete(link);
      if (link.isClosed) link.destroy();
      else link.close('too many handshakes at once');
      return;
    }
  }

  // --- how calls end -----------------------------------------------------------------------------------------------

  private missed(call: Call, reason: string): void {
    if (this.calls.get(call.address) !== call) return;
    this.calls.delete(call.address);
    if (call.link !== undefined) {
      this.callOf.delete(call.link);
      call.link.close(reason);
    }
    if (this.reasons.get(call.address) !== reason && !this.isClosed) {
      if (this.reasons.size >= MAX_CALLS) this.reasons.clear();
      this.reasons.set(call.address, reason);
      this.log.info('a node cannot be reached', { address: call.address, reason });
    }
    for (const errand of call.errands) unsent(errand);
    for (const peer of call.peers) peer.missed();
  }

  private reached(call: Call, peer: BusPeer): void {
    this.calls.delete(call.address);
    this.reasons.delete(call.address);
    if (call.link !== undefined) this.callOf.delete(call.link);
    for (const errand of call.errands) this.host.run(errand, peer, call.address);
    for (const wanted of call.peers) if (wanted !== peer) wanted.missed();
  }

  // --- what links say ----------------------------------------------------------------------------------------------

  hello(): HelloSelf {
    return this.host.hello();
  }

  randomBytes(length: number): Uint8Array {
    return this.random.bytes(length);
  }

  judge(link: BusLink, hello: HelloPeer): Refusal | undefined {
    const { identity } = hello;
    if (identity === this.identity) return { code: refusal.SELF, reason: 'a node has called itself' };
    const peer = this.host.peers.get(identity);
    if (this.isClosed || (peer === undefined && this.host.peers.size >= MAX_PEERS)) {
      return { code: refusal.BUSY, reason: 'the node is stopping, or talks to too many others' };
    }
    if (this.identity > identity) return undefined;
    const other = this.chosen.get(identity) ?? peer?.link;
    if (other !== undefined && other !== link && other.claimed?.instance === hello.instance) {
      peer?.doubt();
      return { code: refusal.DUPLICATE, reason: 'the two nodes have another connection' };
    }
    this.chosen.set(identity, link);
    return undefined;
  }

  met(link: BusLink, hello: HelloPeer): void {
    this.settle(link);
    const call = this.callOf.get(link);
    const peer = this.host.met(link, hello);
    if (call !== undefined) this.reached(call, peer);
    for (const each of this.calls.values()) if (each.found === hello.identity) this.reached(each, peer);
  }

  refused(link: BusLink, refused: Refusal, byPeer: boolean): void {
    const call = this.callOf.get(link);
    const found = link.claimed?.identity;
    this.unchoose(link);
    if (refused.code === refusal.DUPLICATE) {
      if (call === undefined || found === undefined) return;
      const peer = this.host.peers.get(found);
      call.found = found;
      if (peer?.isUp === true) this.reached(call, peer);
      return;
    }
    this.counters.handshakesFailed++;
    const { reason } = refused;
    if (call === undefined)
      this.log.warn('a connection was refused', { peer: link.remote, node: found, reason, byPeer });
    else this.missed(call, reason);
  }

  ended(link: BusLink, reason: string): void {
    if (link.peer !== undefined) {
      this.host.lost(link, link.peer, reason);
      return;
    }
    this.settle(link);
    const call = this.callOf.get(link);
    if (call !== undefined) this.missed(call, reason);
  }

  private settle(link: BusLink): void {
    this.meetings.delete(link);
    this.unchoose(link);
  }

  private unchoose(link: BusLink): void {
    const identity = link.claimed?.identity;
    if (identity !== undefined && this.chosen.get(identity) === link) this.chosen.delete(identity);
  }

  // --- time --------------------------------------------------------------------------------------------------------

  /** Ends what takes too long. */
  round(): void {
    const listeningMs = this.host.listeningMs();
    for (const link of this.meetings) {
      if (listeningMs - link.openedMs < MEETING_MS) continue;
      this.settle(link);
      if (link.isClosed) {
        link.destroy();
        continue;
      }
      this.counters.handshakesFailed++;
      link.close('no end of the handshake');
    }
    const nowMs = this.host.nowMs();
    for (const call of this.calls.values()) {
      if (listeningMs - call.startedMs >= CALL_MS) this.missed(call, 'no answer');
      else this.dropOverdue(call, nowMs);
    }
  }

  private dropOverdue(call: Call, nowMs: number): void {
    const overdue = call.errands.filter((errand) => errand.outgoing.deadlineMs <= nowMs);
    if (overdue.length === 0) return;
    call.errands = call.errands.filter((errand) => errand.outgoing.deadlineMs > nowMs);
    for (const errand of overdue) unsent(errand);
  }

  close(): void {
    this.isClosed = true;
    for (const call of this.calls.values()) this.missed(call, 'closed');
    for (const link of this.meetings) {
      if (link.isClosed) link.destroy();
      else link.close('closed');
    }
    this.meetings.clear();
  }
}

function unsent(errand: Errand): void {
  errand.ended?.({ kind: 'unsent' }, undefined);
}
