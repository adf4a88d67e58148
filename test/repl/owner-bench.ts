/** An owner alone on a bench: a view that is set by hand, a clock that stands still, any store. */

import type { ClusterView } from '../../src/cluster/cluster-view.ts';
import type { Member, MemberId } from '../../src/cluster/member.ts';
import type { Owners } from '../../src/cluster/owners.ts';
import {
  applyChanges,
  foundTopology,
  type SlotEntry,
  type Topology,
  type TopologyChange,
} from '../../src/cluster/topology.ts';
import type { Store } from '../../src/engine/store.ts';
import type { Timers } from '../../src/env.ts';
import { Hlc } from '../../src/repl/hlc.ts';
import { KeyspaceState } from '../../src/repl/keyspace.ts';
import type { OwnerAnswer, OwnerRequest, RowName } from '../../src/repl/owner-message.ts';
import { Owner } from '../../src/repl/owner.ts';
import { headKey } from '../../src/repl/row-key.ts';
import { encodeRowState, type RowState } from '../../src/repl/row-state.ts';
import { rowType } from '../../src/repl/head.ts';
import { ZERO_VERSION, type Version } from '../../src/repl/version.ts';
import { silent } from '../support/silent-log.ts';

/** Wall clock of the bench in ms. */
export const BENCH_MS = 1_000_000;

/** Timers of the real loop, for waits that the tests only need to end. */
export const realTimers: Timers = {
  after(_delayMs, callback) {
    setImmediate(callback);
    return { cancel() {} };
  },
  every() {
    return { cancel() {} };
  },
  atTurnEnd(callback) {
    setImmediate(callback);
  },
};

export function memberOf(number: number): Omit<Member, 'id'> {
  const identity = number.toString(16).padStart(40, '0');
  const port = 7000 + number;
  return { identity, host: '127.0.0.1', port, busPort: port + 10_000, weight: 1, rack: '', dataCentre: '' };
}

/** A cluster of three in which member 1 owns every slot. */
export function threeMembers(): Topology {
  return applyChanges(foundTopology('c'.repeat(32), memberOf(1), 3), [
    { kind: 'add-member', member: memberOf(2) },
    { kind: 'add-member', member: memberOf(3) },
  ]);
}

export class BenchView implements ClusterView {
  topology: Topology | undefined;
  self: MemberId;
  private readonly listeners = new Set<(next: Topology, previous: Topology | undefined) => void>();

  constructor(topology: Topology | undefined, self: MemberId = 1) {
    this.topology = topology;
    this.self = self;
  }

  get isShared(): boolean {
    return (this.topology?.members.length ?? 0) > 1;
  }

  change(...changes: TopologyChange[]): void {
    this.set(applyChanges(this.topology as Topology, changes));
  }

  set(next: Topology): void {
    const previous = this.topology;
    this.topology = next;
    for (const listener of this.listeners) listener(next, previous);
  }

  owners(slot: number): Owners {
    return ((this.topology as Topology).slots[slot] as SlotEntry).owners;
  }
  nameOf(id: MemberId): string {
    return memberOf(id).identity;
  }
  isHealthy(_id: MemberId): boolean {
    return true;
  }
  rttMs(): number {
    return 0;
  }
  learn(): void {}
  onTopology(listener: (next: Topology, previous: Topology | undefined) => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }
}

export function benchClock(wallMs: () => number = () => BENCH_MS): Hlc {
  return new Hlc({ wallMs, ceiling: 0, persist: () => undefined });
}

export function benchOwner(store: Store, view: BenchView, state = new KeyspaceState(), hlc = benchClock()): Owner {
  return new Owner({ env: { timers: realTimers, log: silent }, store, state, hlc, promisedBefore: ZERO_VERSION, view });
}

export function rowOf(key: string, database = 0): RowName {
  return Buffer.from(headKey(database, Buffer.from(key))).toString('latin1');
}

export function stringState(value: string, modified: Version, expiresAtMs = 0): Uint8Array {
  const state: RowState = { type: rowType.STRING, expiresAtMs, modified, value: Buffer.from(value) };
  return encodeRowState(state);
}

/** A ballot `count` counts after the bench's moment. */
export function ballot(count: number, actor = 2): Version {
  return { stamp: BENCH_MS * 2048 + 1_000 + count, actor };
}

export function ask(owner: Owner, request: OwnerRequest<Uint8Array>, epoch = 1_000): Promise<OwnerAnswer<Uint8Array>> {
  return new Promise((resolve) => owner.ask(request, epoch, resolve));
}

/** The answer, which must be there at once. */
export function askNow(owner: Owner, request: OwnerRequest<Uint8Array>, epoch = 1_000): OwnerAnswer<Uint8Array> {
  let told: OwnerAnswer<Uint8Array> | undefined;
  owner.ask(request, epoch, (answer) => {
    told = answer;
  });
  if (told === undefined) throw new Error('no answer at once');
  return told;
}
