/**
 * Owners and coordinators of one row whose every message is delivered by hand, for directed schedules. A change is a
 * number to add; the row is a number.
 */

import { must, unreachable } from '../../src/assert.ts';
import { EngineError } from '../../src/engine/engine-error.ts';
import { Acceptor } from '../../src/repl/acceptor.ts';
import type { OwnerAnswer, OwnerRequest, RowName } from '../../src/repl/owner-message.ts';
import { PromiseTable } from '../../src/repl/promise-table.ts';
import type { Owners } from '../../src/cluster/owners.ts';
import { RegisterCore, type ChangeOutcome, type Held, type RegisterEffect } from '../../src/repl/register-core.ts';
import { equalVersions, ZERO_VERSION } from '../../src/repl/version.ts';

export const ROW: RowName = '\0\x01row';

/** A clock that counts, and takes any stamp up to `limit`. */
export class CountingClock {
  last = 0;
  limit = Number.POSITIVE_INFINITY;
  /** There are no stamps at the moment. */
  isUsedUp = false;
  next(): number {
    if (this.isUsedUp) throw new EngineError('refused', 'the ceiling cannot be made durable');
    return ++this.last;
  }
  observe(stamp: number): boolean {
    if (stamp > this.limit) return false;
    this.last = Math.max(this.last, stamp);
    return true;
  }
}

export class ScriptedOwner {
  held: Held<number> = { version: ZERO_VERSION, value: undefined };
  readonly clock = new CountingClock();
  readonly promises = new PromiseTable({ promisedBefore: ZERO_VERSION });
  private readonly acceptor = new Acceptor({ promises: this.promises, clock: this.clock });

  answer(request: OwnerRequest<number>): OwnerAnswer<number> {
    const { held } = this;
    switch (request.kind) {
      case 'read':
        return { kind: 'held', version: held.version, value: request.digest ? undefined : held.value };
      case 'prepare': {
        const verdict = this.acceptor.prepare(request.row, request.ballot, held.version);
        if (verdict.kind !== 'promise') return verdict;
        const value = equalVersions(held.version, request.have) ? undefined : held.value;
        return { kind: 'promised', version: held.version, value };
      }
      case 'accept': {
        const verdict = this.acceptor.accept(request.row, request.ballot, request.next, held.version);
        if (verdict.kind === 'apply') this.held = { version: request.ballot, value: request.value };
        return verdict.kind === 'apply' || verdict.kind === 'repeat' ? { kind: 'accepted' } : verdict;
      }
      default:
        return unreachable(request);
    }
  }
}

type Ask = Extract<RegisterEffect<number, number, number>, { kind: 'ask' }>;

/** A coordinator that is no owner itself, or shares the copy of `own`. */
export class ScriptedCoordinator {
  readonly clock = new CountingClock();
  readonly core: RegisterCore<number, number, number>;
  /** Requests not delivered yet, in the order they were sent. */
  readonly sent: Ask[] = [];
  readonly outcomes: ChangeOutcome<number>[] = [];
  /** Proposals that are to be sent whole. */
  readonly wholes: Extract<RegisterEffect<number, number, number>, { kind: 'whole' }>[] = [];
  /** Handlers cannot run. */
  refuseRun: 'later' | 'moved' | undefined = undefined;
  owners: Owners;
  nowMs = 0;

  constructor(actor: number, owners: Owners, own?: ScriptedOwner) {
    this.owners = owners;
    this.core = new RegisterCore({
      world: {
        actor,
        clock: this.clock,
        random: () => 0.5,
        owners: () => this.owners,
        mayAccept: (_slot, owners) => owners === this.owners,
        held: () => own?.held,
        run: (_row, changes, value) => {
          if (this.refuseRun !== undefined) return this.refuseRun;
          let state = value ?? 0;
          return { replies: changes.map((change) => (state += change)), value: state };
        },
      },
      limits: { phaseTimeoutMs: 100, maxChanges: 4, tickMs: 1 },
    });
  }

  submit(change: number, deadlineMs = this.nowMs + 1_000): void {
    this.take(this.core.step({ kind: 'submit', row: ROW, change, deadlineMs }, this.nowMs));
  }

  /** What handlers wanted to read is there. */
  loaded(): void {
    this.take(this.core.step({ kind: 'loaded', row: ROW }, this.nowMs));
  }

  /** Takes the oldest request to `to` out of the network. */
  request(to: number): Ask {
    const at = this.sent.findIndex((ask) => ask.to === to);
    return must(this.sent.splice(at, at < 0 ? 0 : 1)[0], `a request to ${to}`);
  }

  hear(ask: Ask, answer: OwnerAnswer<number>): void {
    this.take(this.core.step({ kind: 'answer', attempt: ask.attempt, from: ask.to, answer }, this.nowMs));
  }

  /** Delivers all requests and their answers until nothing is under way. */
  settle(owners: readonly ScriptedOwner[]): void {
    for (let ask = this.sent.shift(); ask !== undefined; ask = this.sent.shift()) {
      this.hear(ask, must(owners[ask.to], 'an owner').answer(ask.request));
    }
  }

  /** Lets time pass until something happens. */
  wake(): void {
    let effects: RegisterEffect<number, number, number>[] = [];
    while (effects.length === 0 && this.core.wakeAtMs !== Number.POSITIVE_INFINITY) {
      this.nowMs = this.core.wakeAtMs;
      effects = this.core.step({ kind: 'wake' }, this.nowMs);
    }
    this.take(effects);
  }

  private take(effects: RegisterEffect<number, number, number>[]): void {
    for (const effect of effects) {
      if (effect.kind === 'ask') this.sent.push(effect);
      else if (effect.kind === 'whole') this.wholes.push(effect);
      else if (effect.kind === 'reply') this.outcomes.push(effect.outcome);
    }
  }
}
