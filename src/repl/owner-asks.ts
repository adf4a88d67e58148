/**
 * Puts requests to owners: to this node's own, or over the bus (method OWNER).
 *
 * What becomes of a request on the bus, as an owner's answer:
 * ```
 * answered              what the owner said (bytes that are no answer: unable)
 * unsent                unsent: certainly nothing happened
 * unknown, busy, failed unable: what became of it is unknown
 * ```
 *
 * Invariants: a request is encoded once for all the owners that are asked the same; what an answer brings is copied before
 * the call that brought it ends.
 */

import { copyOf } from '../bytes.ts';
import { DamagedError } from '../cluster/byte-cursor.ts';
import type { BusOutcome, Outgoing } from '../cluster/bus-core.ts';
import { busMethod, METHOD_ANSWERED } from '../cluster/bus-method.ts';
import type { Priority } from '../cluster/frame.ts';
import type { MemberId } from '../cluster/member.ts';
import type { Owners } from '../cluster/owners.ts';
import type { Env } from '../env.ts';
import { decodeAnswer, encodeRequest, isAccepted } from './owner-codec.ts';
import { slotOfRow, type OwnerAnswer, type OwnerRequest, type RowName } from './owner-message.ts';
import { tallyOf } from './quorum.ts';
import { PHASE_TIMEOUT_MS } from './register-core.ts';

export const UNSENT = { kind: 'unsent' } as const;
export const REFUSED = { kind: 'unable', reason: 'refused' } as const;
const ACCEPTED = { kind: 'accepted' } as const;

export type Answered = (answer: OwnerAnswer<Uint8Array>) => void;

export interface OwnerAsksOptions {
  readonly env: Pick<Env, 'clock' | 'log'>;
  readonly view: {
    readonly topology: { readonly epoch: number } | undefined;
    readonly self: MemberId;
    owners(slot: number): Owners;
    nameOf(id: MemberId): string;
    isHealthy(id: MemberId): boolean;
  };
  readonly bus: { request(to: string, outgoing: Outgoing, ended: (outcome: BusOutcome) => void): void };
  readonly owner: { ask(request: OwnerRequest<Uint8Array>, epoch: number, answer: Answered): void };
}

export class OwnerAsks {
  private readonly env: OwnerAsksOptions['env'];
  private readonly view: OwnerAsksOptions['view'];
  private readonly bus: OwnerAsksOptions['bus'];
  private readonly owner: OwnerAsksOptions['owner'];
  /** The request that was encoded last, and what the bus is given for it. */
  private encoded: OwnerRequest<Uint8Array> | undefined = undefined;
  private outgoing: Outgoing | undefined = undefined;

  constructor(options: OwnerAsksOptions) {
    this.env = options.env;
    this.view = options.view;
    this.bus = options.bus;
    this.owner = options.owner;
  }

  /** Puts one request to one owner, this node included; `answered` is called at most once, perhaps at once. */
  ask(to: MemberId, request: OwnerRequest<Uint8Array>, level: Priority, answered: Answered): void {
    const { view } = this;
    if (to === view.self) {
      this.owner.ask(request, this.epoch, answered);
      return;
    }
    const outgoing = this.outgoingFor(request, level);
    this.bus.request(view.nameOf(to), outgoing, (outcome) => answered(this.answerOf(to, outcome)));
  }

  /** An owner that is out of reach is not even asked as long as the others are enough: it would only be waited for. */
  isLeftOut(to: MemberId, row: RowName): boolean {
    const { view } = this;
    if (view.isHealthy(to)) return false;
    const tally = tallyOf(view.owners(slotOfRow(row)));
    let healthy = 0;
    for (const member of tally.members) if (view.isHealthy(member)) healthy |= tally.bitOf(member);
    return tally.isQuorum(healthy);
  }

  private get epoch(): number {
    return this.view.topology?.epoch ?? 0;
  }

  /** What the bus is given for this request: the same for all that are asked. */
  private outgoingFor(request: OwnerRequest<Uint8Array>, level: Priority): Outgoing {
    const { epoch } = this;
    let { outgoing } = this;
    if (this.encoded !== request || outgoing === undefined || outgoing.epoch !== epoch || outgoing.priority !== level) {
      const deadlineMs = this.env.clock.monotonicUs() / 1000 + PHASE_TIMEOUT_MS;
      outgoing = { method: busMethod.OWNER, priority: level, deadlineMs, epoch, payload: encodeRequest(request) };
      this.encoded = request;
      this.outgoing = outgoing;
    }
    return outgoing;
  }

  private answerOf(from: MemberId, outcome: BusOutcome): OwnerAnswer<Uint8Array> {
    if (outcome.kind === 'unsent') return UNSENT;
    if (outcome.kind === 'unknown' || outcome.message.method !== METHOD_ANSWERED) return REFUSED;
    if (isAccepted(outcome.message)) return ACCEPTED;
    try {
      return ownState(decodeAnswer(outcome.message.payload));
    } catch (thrown) {
      if (!(thrown instanceof DamagedError)) throw thrown;
      this.env.log.error('an owner answered what is no answer', { from, cause: thrown.message });
      return REFUSED;
    }
  }
}

/** The answer with its state in memory of its own: what the bus brings is valid only during the call. */
function ownState(answer: OwnerAnswer<Uint8Array>): OwnerAnswer<Uint8Array> {
  if ((answer.kind !== 'held' && answer.kind !== 'promised') || answer.value === undefined) return answer;
  return { kind: answer.kind, version: answer.version, value: copyOf(answer.value) };
}
