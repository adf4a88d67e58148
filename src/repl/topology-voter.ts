/**
 * This node as a voter of the topology document: the one rule (acceptor.ts) on the one row of the document's register,
 * whose state is the encoded document. The row stands in the pseudo slot of rows that are this node's alone.
 *
 * Stored as the durable value `topology-register`, at each ACCEPT:
 * ```
 * u64 stamp | u32 actor | the document as topology-codec.ts writes it          (big-endian; the ballot it was taken under)
 * ```
 * Valid if and only if the document is. What is not valid stops the start: a voter that forgot must not vote.
 *
 * Invariants:
 * - An answer that shows the version held leaves only after that version is durable.
 * - A request of an epoch that is not in force here waits until it is; one of an earlier epoch than the one in force is
 *   stale. So the document held is at most one epoch ahead of the one in force, everything it was built on is chosen, and
 *   whoever is told `stale` can fetch what it lacks from here. Two configurations one epoch apart have quorums in
 *   common; two further apart never meet (topology.ts: voters change by one).
 */

import { concatBytes, copyOf, EMPTY } from '../bytes.ts';
import type { Answer, Arrival } from '../cluster/bus.ts';
import { METHOD_FAILED } from '../cluster/bus-method.ts';
import { DamagedError } from '../cluster/byte-cursor.ts';
import type { NodeName } from '../cluster/swim-message.ts';
import { decodeTopology } from '../cluster/topology-codec.ts';
import type { Log } from '../env.ts';
import { Acceptor, type BallotClock } from './acceptor.ts';
import type { DurableValues } from '../cluster/durable-values.ts';
import { decodeRequest, encodeAnswer } from './owner-codec.ts';
import type { OwnerAnswer, OwnerRequest, RowName } from './owner-message.ts';
import { PromiseTable } from './promise-table.ts';
import type { Held } from './register-core.ts';
import { localKey } from './row-key.ts';
import { equalVersions, readVersion, VERSION_BYTES, writeVersion, ZERO_VERSION, type Version } from './version.ts';

/** Name of the durable value. */
export const TOPOLOGY_REGISTER = 'topology-register';

/** The row of the document. */
export const TOPOLOGY_ROW: RowName = Buffer.from(localKey('topology')).toString('latin1');

const REFUSED = { kind: 'unable', reason: 'refused' } as const;

/** What a voter needs of the keeper. */
export interface VoterView {
  readonly epoch: number;
  readonly clusterId: string | undefined;
  heard(name: NodeName, epoch: number): void;
  reach(epoch: number, run: () => void): boolean;
}

export interface VoterOptions {
  readonly values: DurableValues;
  readonly view: VoterView;
  readonly clock: BallotClock;
  readonly log: Log;
  /** At least every promise of earlier lives: the highest version at the clock's ceiling as this life found it. */
  readonly promisedBefore: Version;
}

export class TopologyVoter {
  private readonly values: DurableValues;
  private readonly view: VoterView;
  private readonly log: Log;
  private readonly acceptor: Acceptor;
  private current: Held<Uint8Array> = { version: ZERO_VERSION, value: undefined };
  /** Settled once the version held is durable; rejected when it could not be made so. */
  private durable: Promise<void> = Promise.resolve();
  /** It could not be made so: it is tried again with the next request. */
  private hasFailed = false;

  constructor(options: VoterOptions) {
    this.values = options.values;
    this.view = options.view;
    this.log = options.log;
    const { promisedBefore, clock } = options;
    this.acceptor = new Acceptor({ promises: new PromiseTable({ promisedBefore, limit: 1 }), clock });
  }

  /** Takes up what an earlier life accepted for this cluster. Throws `DamagedError`. Call once, after the keeper's. */
  load(): void {
    const bytes = this.values.getValue(TOPOLOGY_REGISTER);
    if (bytes === undefined) return;
    if (bytes.length <= VERSION_BYTES) throw new DamagedError('a topology register without a document');
    const value = copyOf(bytes.subarray(VERSION_BYTES));
    if (decodeTopology(value).clusterId !== this.view.clusterId) return;
    this.current = { version: readVersion(bytes, 0), value };
  }

  /** What is held, durable or not; undefined before anything was accepted. */
  held(): Held<Uint8Array> | undefined {
    return this.current.value === undefined ? undefined : this.current;
  }

  /** The node has become a member of another cluster: what it accepted for the former one is nothing. */
  forget(): void {
    this.hasFailed = false;
    this.durable = Promise.resolve();
    this.current = { version: ZERO_VERSION, value: undefined };
  }

  /** Method TOPOLOGY_ASK of the bus. */
  readonly onAsk = (arrival: Arrival, answer: Answer): void => {
    const { epoch, payload } = arrival.message;
    let request: OwnerRequest<Uint8Array>;
    try {
      request = decodeRequest(copyOf(payload));
    } catch (thrown) {
      if (!(thrown instanceof DamagedError)) throw thrown;
      answer(Buffer.from(thrown.message), METHOD_FAILED);
      return;
    }
    this.view.heard(arrival.from, epoch);
    this.ask(request, epoch, (verdict) => {
      if (verdict.kind !== 'unsent') answer(encodeAnswer(verdict));
    });
  };

  /** One request of a member. States handed in belong to the voter. `answer` is called at most once. */
  ask(request: OwnerRequest<Uint8Array>, epoch: number, answer: (answer: OwnerAnswer<Uint8Array>) => void): void {
    const isTaken = this.view.reach(epoch, () => {
      if (epoch < this.view.epoch) answer({ kind: 'stale', epoch: this.view.epoch });
      else this.judge(request, answer);
    });
    if (!isTaken) answer(REFUSED);
  }

  private judge(request: OwnerRequest<Uint8Array>, answer: (answer: OwnerAnswer<Uint8Array>) => void): void {
    if (request.row !== TOPOLOGY_ROW) {
      answer(REFUSED);
      return;
    }
    if (this.hasFailed) this.persist();
    switch (request.kind) {
      case 'prepare': {
        const { version, value } = this.current;
        const verdict = this.acceptor.prepare(TOPOLOGY_ROW, request.ballot, version);
        if (verdict.kind !== 'promise') answer(verdict);
        else {
          const known = equalVersions(version, request.have);
          this.whenDurable(answer, { kind: 'promised', version, value: known ? undefined : value });
        }
        break;
      }
      case 'accept':
        this.judgeAccept(request, answer);
        break;
      case 'read': {
        const { version, value } = this.current;
        this.whenDurable(answer, { kind: 'held', version, value: request.digest ? undefined : value });
        break;
      }
    }
  }

  private judgeAccept(
    request: Extract<OwnerRequest<Uint8Array>, { kind: 'accept' }>,
    answer: (answer: OwnerAnswer<Uint8Array>) => void,
  ): void {
    const { ballot, next, value } = request;
    if (value === undefined || !this.isOurs(value)) {
      answer(REFUSED);
      return;
    }
    const verdict = this.acceptor.accept(TOPOLOGY_ROW, ballot, next, this.current.version);
    if (verdict.kind !== 'apply' && verdict.kind !== 'repeat') {
      answer(verdict);
      return;
    }
    if (verdict.kind === 'apply') {
      this.current = { version: ballot, value };
      this.persist();
    }
    this.whenDurable(answer, { kind: 'accepted' });
  }

  private persist(): void {
    const { version, value } = this.current;
    const bytes = new Uint8Array(VERSION_BYTES);
    writeVersion(bytes, 0, version);
    this.hasFailed = false;
    const durable = this.values.setValue(TOPOLOGY_REGISTER, concatBytes(bytes, value ?? EMPTY));
    this.durable = durable;
    durable.catch((error: unknown) => {
      if (durable === this.durable) this.hasFailed = true;
      this.log.error('an accepted topology cannot be made durable', { reason: String(error) });
    });
  }

  /** Never rejected: what cannot be made durable is answered as a refusal for now. */
  private whenDurable(answer: (answer: OwnerAnswer<Uint8Array>) => void, verdict: OwnerAnswer<Uint8Array>): void {
    this.durable.then(
      () => answer(verdict),
      () => answer(REFUSED),
    );
  }

  private isOurs(value: Uint8Array): boolean {
    try {
      return decodeTopology(value).clusterId === this.view.clusterId;
    } catch (thrown) {
      if (!(thrown instanceof DamagedError)) throw thrown;
      this.log.error('a topology to accept that is not to be read', { reason: thrown.message });
      return false;
    }
  }
}
