/**
 * The bus of one node: one TCP port, one connection to each other node, and on it requests, answers and notices of both
 * directions.
 */

import type { Env } from '../env.ts';
import type { BusOutcome, Outgoing } from './bus-core.ts';
import type { Message } from './frame.ts';

/** Identity of a node, 40 hexadecimal digits. */
export type NodeName = string;

export interface BusOptions {
  readonly env: Pick<Env, 'clock' | 'timers' | 'random' | 'network' | 'log'>;
  readonly identity: NodeName;
  /** `host:busPort` at which others reach this node; told in HELLO. */
  readonly address: string;
  /** What all nodes of a cluster know and prove to one another; empty: none. */
  readonly secret: string;
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
export type NoticeHandler = (arrival: Arrival) => void;
export type Ended = (outcome: BusOutcome) => void;
export type EndedAt = (outcome: BusOutcome, from: NodeName | undefined) => void;
export type HealthListener = (name: NodeName, healthy: boolean) => void;

export class Bus {
  constructor(options: BusOptions) {
    void options;
  }

  /** The port that it listens at; 0 before `listen`. */
  get port(): number {
    return 0;
  }

  /** `port` 0: any. Rejects with a message fit for an operator when the address cannot be bound. */
  listen(at: { readonly host: string; readonly port: number }): Promise<void> {
    void at;
    return Promise.resolve();
  }

  /** Requires: before `listen`, one handler a method. */
  onRequest(method: number, handler: RequestHandler): void {
    void method;
    void handler;
  }

  /** Requires: before `listen`, one handler a method. */
  onNotice(method: number, handler: NoticeHandler): void {
    void method;
    void handler;
  }

  /** Tells where a node is (`host:busPort`): it is called, and called again whenever the connection ends. */
  know(name: NodeName, address: string): void {
    void name;
    void address;
  }

  /** Ends the connection and does not make it again. What was sent is `unknown`, what was queued `unsent`. */
  forget(name: NodeName): void {
    void name;
  }

  /** `ended` is called exactly once, perhaps before this returns. The payload belongs to the bus from now on. */
  request(to: NodeName, outgoing: Outgoing, ended: Ended): void {
    void to;
    void outgoing;
    ended({ kind: 'unsent' });
  }

  /** Sends without an answer; lost when the peer is out of reach. */
  notice(to: NodeName, outgoing: Outgoing): void {
    void to;
    void outgoing;
  }

  /** To an address (`host:busPort`) whose node need not be known; `from` is who answered. */
  requestAt(address: string, outgoing: Outgoing, ended: EndedAt): void {
    void address;
    void outgoing;
    ended({ kind: 'unsent' }, undefined);
  }

  noticeAt(address: string, outgoing: Outgoing): void {
    void address;
    void outgoing;
  }

  /** Connected, of the same cluster, and answering. */
  isHealthy(name: NodeName): boolean {
    void name;
    return false;
  }

  /** Told of every change of `isHealthy`; returns how to stop. */
  onHealth(listener: HealthListener): () => void {
    void listener;
    return () => undefined;
  }

  /** Smoothed round trip in milliseconds; Infinity before the first one. */
  rttMs(name: NodeName): number {
    void name;
    return Number.POSITIVE_INFINITY;
  }

  metrics(): Readonly<Record<string, number>> {
    return {};
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}
