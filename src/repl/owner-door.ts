/**
 * An owner as other nodes meet it on the bus: OWNER (one row under the one rule), MOVE (fence), LIST and COUNT (rows of
 * whole slots), RECALL (what another owner may have forgotten; the only one that is answered for suspect slots).
 *
 * What cannot be answered is said to have failed (METHOD_FAILED) with a text: bytes that are no request, a slot that this
 * node does not own, an epoch that it does not know yet (and fetches). The asker asks again, or somebody else.
 *
 * Invariant: a list or a count is told only by an owner that serves with the epoch of the request, or a later one in which
 * the slot's owners are still the same, so that what it tells is of after the fence of a move.
 */

import { assert } from '../assert.ts';
import { copyOf, utf8 } from '../bytes.ts';
import type { Answer, Arrival, Bus } from '../cluster/bus.ts';
import type { ArrivedBatch } from '../cluster/bus-batch.ts';
import { busMethod, METHOD_FAILED } from '../cluster/bus-method.ts';
import { DamagedError } from '../cluster/byte-cursor.ts';
import type { NodeName } from '../cluster/swim-message.ts';
import { isCurrent } from '../cluster/topology.ts';
import type { ClusterView } from '../cluster/cluster-view.ts';
import { EngineError } from '../engine/engine-error.ts';
import type { Store } from '../engine/store.ts';
import type { Env } from '../env.ts';
import type { KeyspaceState } from './keyspace.ts';
import { decodeRequest, encodeAnswer } from './owner-codec.ts';
import type { OwnerAnswer } from './owner-message.ts';
import type { Owner } from './owner.ts';
import {
  ANY_DATABASE,
  decodeCountRequest,
  decodeListRequest,
  encodeCounts,
  encodeList,
  type CountRequest,
  type RowList,
  type SlotRange,
} from './slot-list.ts';
import { answerMove } from './slot-move.ts';
import { decodeRecall, encodeRaised } from './slot-recovery.ts';
import { listRows } from './slot-walk.ts';

/** Lists under way at a time; each may hold a cursor, and with it tables that compaction has replaced. */
export const MAX_LISTS = 64;

export interface OwnerDoorOptions {
  readonly env: Pick<Env, 'timers' | 'log'>;
  readonly owner: Owner;
  readonly store: Store;
  readonly state: KeyspaceState;
  readonly view: ClusterView;
  /** `from` carries an epoch: `TopologyKeeper.heard`. */
  heard(from: NodeName, epoch: number): void;
}

/** What went wrong with a request, for the asker. */
export type Failed = { readonly failed: string };

export class OwnerDoor {
  private readonly env: OwnerDoorOptions['env'];
  private readonly owner: Owner;
  private readonly store: Store;
  private readonly state: KeyspaceState;
  private readonly view: ClusterView;
  private readonly heard: (from: NodeName, epoch: number) => void;
  private lists = 0;

  constructor(options: OwnerDoorOptions) {
    this.env = options.env;
    this.owner = options.owner;
    this.store = options.store;
    this.state = options.state;
    this.view = options.view;
    this.heard = (from, epoch) => options.heard(from, epoch);
  }

  /** Takes the methods of owners on the bus. Call before it listens. */
  serve(bus: Pick<Bus, 'onRequest' | 'onBatch'>): void {
    bus.onRequest(busMethod.OWNER, this.onOwner);
    bus.onBatch(busMethod.OWNER, this.onOwners);
    bus.onRequest(busMethod.MOVE, (arrival, answer) => {
      this.meet(arrival, answer, (payload, epoch) => answerMove(payload, epoch, this.epoch, this.owner));
    });
    bus.onRequest(busMethod.RECALL, (arrival, answer) => {
      this.meet(arrival, answer, (payload, epoch) => this.recall(payload, epoch));
    });
    bus.onRequest(busMethod.COUNT, (arrival, answer) => {
      this.meet(arrival, answer, (payload, epoch) => this.countBytes(payload, epoch));
    });
    bus.onRequest(busMethod.LIST, (arrival, answer) => {
      this.meet(arrival, answer, (payload, epoch) => this.listBytes(payload, epoch));
    });
  }

  /** Answers MOVE, LIST and COUNT for this node itself. Rejects with a `DamagedError` or `EngineError`. */
  async answerSelf(method: number, payload: Uint8Array, epoch: number): Promise<Uint8Array | Failed> {
    if (method === busMethod.MOVE) return answerMove(payload, epoch, this.epoch, this.owner);
    if (method === busMethod.LIST) return await this.listBytes(payload, epoch);
    return this.countBytes(payload, epoch);
  }

  private get epoch(): number {
    return this.view.topology?.epoch ?? 0;
  }

  private readonly onOwner = (arrival: Arrival, answer: Answer): void => {
    const { epoch, payload } = arrival.message;
    this.hear(arrival);
    try {
      this.owner.ask(decodeRequest(payload), epoch, (told) => {
        if (told.kind !== 'unsent') answer(encodeAnswer(told));
      });
    } catch (error) {
      this.fail(arrival, answer, error);
    }
  };

  /** As `onOwner`; what can be told at once awaits the disk together. */
  private readonly onOwners = (arrival: Arrival, batch: ArrivedBatch): void => {
    const { owner } = this;
    const { epoch, payload } = arrival.message;
    this.hear(arrival);
    const group = { sequence: 0 };
    const told: (Uint8Array | undefined)[] = [];
    for (let place = 0; place < batch.count; place++) {
      told.push(undefined);
      try {
        const request = decodeRequest(payload, batch.start(place), batch.end(place));
        const answer = owner.tell(request, epoch, group);
        if (answer === undefined) owner.ask(request, epoch, (late) => batch.answer(place, bytesOf(late)));
        else told[place] = bytesOf(answer);
      } catch (error) {
        this.fail(arrival, (text, method) => batch.answer(place, text, method), error);
      }
    }
    owner.whenDurable(group.sequence, () => {
      for (let place = 0; place < told.length; place++) {
        const answer = told[place];
        if (answer !== undefined) batch.answer(place, answer);
      }
    });
  };

  private hear(arrival: Arrival): void {
    const { epoch } = arrival.message;
    if (epoch > this.epoch) this.heard(arrival.from, epoch);
  }

  private meet(
    arrival: Arrival,
    answer: Answer,
    work: (payload: Uint8Array, epoch: number) => Uint8Array | Failed | Promise<Uint8Array | Failed>,
  ): void {
    this.hear(arrival);
    const tell = (told: Uint8Array | Failed): void => {
      if ('failed' in told) answer(utf8(told.failed), METHOD_FAILED);
      else answer(told);
    };
    try {
      const told = work(arrival.message.payload, arrival.message.epoch);
      if (told instanceof Promise) told.then(tell, (error: unknown) => this.fail(arrival, answer, error));
      else tell(told);
    } catch (error) {
      this.fail(arrival, answer, error);
    }
  }

  /** Says that it failed. Throws on what is a bug. */
  private fail(arrival: Arrival, answer: Answer, error: unknown): void {
    if (!(error instanceof DamagedError) && !(error instanceof EngineError)) throw error;
    if (error instanceof DamagedError) {
      this.env.log.error('a request of another node is not to be read', { from: arrival.from, cause: error.message });
    }
    answer(utf8(error.message), METHOD_FAILED);
  }

  /** Why this node does not tell of these slots in this epoch; undefined: it does. */
  private refusalOf(slots: readonly SlotRange[], epoch: number, isRecall = false): Failed | undefined {
    const { topology } = this.view;
    if (topology === undefined || topology.epoch < epoch) return { failed: 'the epoch is not known yet' };
    for (const { from, end } of slots) {
      for (let slot = from; slot < end; slot++) {
        const isTold = isRecall ? this.owner.isThere(slot) : this.owner.owns(slot);
        if (!isTold || !isCurrent(topology, slot, epoch)) {
          return { failed: `slot ${slot} is not owned here` };
        }
      }
    }
    return undefined;
  }

  private countBytes(payload: Uint8Array, epoch: number): Uint8Array | Failed {
    const request = decodeCountRequest(payload);
    const refusal = this.refusalOf(request.slots, epoch);
    return refusal ?? encodeCounts(this.count(request), request.bySlot);
  }

  private recall(payload: Uint8Array, epoch: number): Uint8Array | Failed | Promise<Uint8Array | Failed> {
    const { owner } = this;
    const request = decodeRecall(payload);
    if (request.kind === 'list') return this.listBytes(copyOf(request.request), epoch, true);
    if (request.kind === 'read') {
      const { row } = request;
      return new Promise((resolve) => {
        owner.recall.tell(row, (told) => {
          const isLost = told.kind === 'unable' && told.reason === 'amnesia';
          resolve(told.kind === 'held' || isLost ? encodeAnswer(told) : { failed: told.kind });
        });
      });
    }
    const refusal = this.refusalOf(request.slots, epoch, true);
    if (refusal !== undefined) return refusal;
    if (!owner.raisePromises(request.slots, request.version)) return { failed: 'it cannot promise that yet' };
    let isTrusted = true;
    for (const { from, end } of request.slots) {
      for (let slot = from; slot < end; slot++) if (owner.recall.isSuspect(slot)) isTrusted = false;
    }
    return encodeRaised(isTrusted);
  }

  private async listBytes(payload: Uint8Array, epoch: number, isRecall = false): Promise<Uint8Array | Failed> {
    const request = decodeListRequest(payload);
    const refusal = this.refusalOf(request.slots, epoch, isRecall);
    if (refusal !== undefined) return refusal;
    if (this.lists >= MAX_LISTS) return { failed: 'too many lists are under way' };
    this.lists++;
    let list: RowList;
    const sequence = this.store.lastSequence;
    try {
      list = await listRows({ store: this.store, state: this.state, timers: this.env.timers }, request);
    } finally {
      this.lists--;
    }
    await new Promise<void>((resolve) => this.owner.whenDurable(sequence, resolve));
    // What was moved away meanwhile is not told: it may be gone from here.
    return this.refusalOf(request.slots, epoch, isRecall) ?? encodeList(list);
  }

  /** Live rows of each slot in these ranges, as this node has them. */
  count(request: CountRequest): number[] {
    const { counts } = this.state;
    const told: number[] = [];
    for (const { from, end } of request.slots) {
      for (let slot = from; slot < end; slot++) {
        let count = 0;
        if (request.database !== ANY_DATABASE) count = counts.inSlot(request.database, slot);
        else for (let database = 0; database < ANY_DATABASE; database++) count += counts.inSlot(database, slot);
        told.push(count);
      }
    }
    return told;
  }
}

function bytesOf(answer: OwnerAnswer<Uint8Array>): Uint8Array {
  assert(answer.kind !== 'unsent', 'an owner that was asked');
  return encodeAnswer(answer);
}
