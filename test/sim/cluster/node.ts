/**
 * One simulated node: the product's acceptor, register core, read core and clock around a simulated disk, with a thin
 * shell that carries their effects out. It coordinates for any row and is an owner of some.
 */

import { assert } from '../../../src/assert.ts';
import type { Acceptor } from '../../../src/repl/acceptor.ts';
import { BallotCache } from '../../../src/repl/ballot-cache.ts';
import { Hlc } from '../../../src/repl/hlc.ts';
import {
  slotOfRow,
  type AcceptRequest,
  type OwnerAnswer,
  type OwnerRequest,
  type RowName,
} from '../../../src/repl/owner-message.ts';
import { PromiseTable } from '../../../src/repl/promise-table.ts';
import type { MemberId } from '../../../src/cluster/member.ts';
import type { Owners } from '../../../src/cluster/owners.ts';
import type { ReadCore, ReadEffect } from '../../../src/repl/read-core.ts';
import type { ChangeOutcome, Held, RegisterCore, RegisterEffect } from '../../../src/repl/register-core.ts';
import { equalVersions, ZERO_VERSION, type Version } from '../../../src/repl/version.ts';
import type { Prng } from '../prng.ts';
import type { Kernel } from './kernel.ts';
import type { Network } from './network.ts';
import type { NodeClock } from './node-clock.ts';
import { applyOperation, type Change, type ClientOutcome, type Operation } from './operation.ts';
import type { PlacementLog } from './placement-log.ts';
import { RowStore } from './row-store.ts';
import type { Rules } from './rules.ts';
import type { Swarm } from './swarm.ts';

/** What a node shares with the rest of the simulation. */
export interface World {
  readonly kernel: Kernel;
  readonly network: Network;
  readonly placement: PlacementLog;
  readonly swarm: Swarm;
  readonly rules: Rules;
  readonly nodes: SimNode[];
  /** Told of every state that an owner takes. */
  applied(node: MemberId, row: RowName, version: Version, value: number | undefined): void;
}

interface Delta {
  readonly base: Version;
  readonly added: number;
}

type Asker = 'register' | 'read' | 'other';

interface Request {
  readonly from: SimNode;
  /** Life of the asker: an answer to an earlier one is lost, as its connection is. */
  readonly life: number;
  readonly epoch: number;
  readonly asker: Asker;
  readonly attempt: number;
  readonly request: OwnerRequest<number>;
  /** The value of an ACCEPT, told against a base. */
  readonly delta?: Delta | undefined;
  /** For asker `other`. */
  readonly answered?: (answer: OwnerAnswer<number>) => void;
}

const HEDGE_MS = 4;

/** How often the cores look at the time: finer than in the product, as all is faster here. */
const TICK_MS = 1;

/** How often the shell persists the clock's ceiling ahead. */
const KEEP_AHEAD_MS = 2;

export class SimNode {
  readonly id: MemberId;
  readonly store = new RowStore<number>();
  readonly clock: NodeClock;
  up = false;
  life = 0;
  /** Epoch of the topology that this node knows; durable. */
  view = 0;
  private ceiling = 0;
  private paused: (() => void)[] | undefined = undefined;
  private readonly world: World;
  private readonly random: Prng;
  private acceptor!: Acceptor;
  private register!: RegisterCore<number, Change, number>;
  private reads!: ReadCore<number>;
  private readonly readers = new Map<number, { row: RowName; done: (outcome: ClientOutcome) => void }>();
  private waiting: { sequence: number; run: () => void }[] = [];
  private syncing = false;
  private wakeAtMs = Number.POSITIVE_INFINITY;
  private lastRead = 0;
  /** What the last run has proposed, against the own copy. */
  private proposal: { readonly ballot: Version; readonly delta: Delta } | undefined = undefined;

  constructor(id: MemberId, world: World, clock: NodeClock, random: Prng) {
    this.id = id;
    this.world = world;
    this.clock = clock;
    this.random = random;
  }

  // --- lives -------------------------------------------------------------------------------------------------------

  start(): void {
    assert(!this.up, 'a node that is down');
    const { rules, swarm } = this.world;
    this.up = true;
    const life = ++this.life;
    const promisedBefore = rules.promisedBefore(this.ceiling);
    const hlc = new Hlc({
      wallMs: () => this.clock.wallMs(),
      ceiling: this.ceiling,
      persist: (ceiling) => {
        this.ceiling = ceiling;
      },
      ceilingStepMs: swarm.ceilingStepMs,
      ceilingMarginMs: swarm.ceilingStepMs / 2,
      maxAheadMs: swarm.maxAheadMs,
    });
    const promises = new PromiseTable({ promisedBefore, limit: swarm.promiseLimit });
    this.acceptor = rules.acceptor({ promises, clock: hlc });
    this.register = rules.register({
      world: {
        actor: this.id * 65_536 + life,
        clock: hlc,
        random: () => this.random.next(),
        owners: (slot) => this.owners(slot),
        mayAccept: (slot, owners) => this.owners(slot) === owners,
        held: (row) => this.held(row),
        run: (row, changes, value, ballot, built) => this.run(row, changes, value, { ballot, built }),
      },
      limits: { phaseTimeoutMs: swarm.phaseTimeoutMs, maxBatch: swarm.maxBatch, tickMs: TICK_MS },
      ballots: new BallotCache({ limit: swarm.ballotLimit, maxAgeMs: swarm.ballotAgeMs }),
    });
    this.reads = rules.read({
      world: {
        owners: (slot) => this.owners(slot),
        rank: (members) => [...members].sort((a, b) => Number(b === this.id) - Number(a === this.id)),
        hedgeAfterMs: () => HEDGE_MS,
      },
      tickMs: TICK_MS,
    });
    this.keepAhead(hlc, life);
  }

  crash(): void {
    assert(this.up, 'a node that is up');
    this.up = false;
    this.paused = undefined;
    this.store.crash(this.random);
    this.readers.clear();
    this.waiting = [];
    this.syncing = false;
    this.wakeAtMs = Number.POSITIVE_INFINITY;
  }

  /** Stops the process without ending it: what happens to it meanwhile happens when it goes on. */
  pause(): void {
    this.paused ??= [];
  }

  resume(): void {
    const held = this.paused ?? [];
    this.paused = undefined;
    for (const run of held) run();
  }

  /** Runs `run` in this life, once the process is not paused; never in another life. */
  private inLife(life: number, run: () => void): void {
    if (!this.up || this.life !== life) return;
    if (this.paused !== undefined) this.paused.push(() => this.inLife(life, run));
    else run();
  }

  private keepAhead(hlc: Hlc, life: number): void {
    this.inLife(life, () => hlc.keepAhead());
    if (this.up && this.life === life) this.world.kernel.after(KEEP_AHEAD_MS, () => this.keepAhead(hlc, life));
  }

  // --- for clients -------------------------------------------------------------------------------------------------

  /** `done` is called at most once, and never when this life ends before. */
  change(row: RowName, operation: Operation, deadlineMs: number, done: (outcome: ClientOutcome) => void): void {
    const life = this.life;
    this.inLife(life, () => {
      const change = { operation, done };
      this.carryOut(this.register.step({ kind: 'submit', row, change, deadlineMs }, this.world.kernel.nowMs));
    });
  }

  read(row: RowName, deadlineMs: number, done: (outcome: ClientOutcome) => void): void {
    const life = this.life;
    this.inLife(life, () => {
      const id = ++this.lastRead;
      this.readers.set(id, { row, done });
      this.carryOutRead(this.reads.step({ kind: 'start', id, row, deadlineMs }, this.world.kernel.nowMs));
    });
  }

  /** Asks another owner on behalf of a third party; `answered` is called at most once. */
  ask(
    to: MemberId,
    epoch: number,
    request: OwnerRequest<number>,
    answered: (answer: OwnerAnswer<number>) => void,
  ): void {
    this.send(to, { from: this, life: this.life, epoch, asker: 'other', attempt: 0, request, answered });
  }

  // --- effects -----------------------------------------------------------------------------------------------------

  private carryOut(effects: RegisterEffect<number, Change, number>[]): void {
    for (const effect of effects) {
      switch (effect.kind) {
        case 'ask':
          this.sendAsk('register', effect.attempt, effect.to, effect.request);
          break;
        case 'whole':
          this.sendWhole(effect.attempt, effect.to, effect.request);
          break;
        case 'reply':
          effect.change.done(clientOutcome(effect.outcome));
          break;
        case 'learn':
          this.view = Math.max(this.view, effect.epoch);
          break;
      }
    }
    this.wakeInTime();
  }

  private carryOutRead(effects: ReadEffect<number>[]): void {
    for (const effect of effects) {
      switch (effect.kind) {
        case 'ask':
          this.sendAsk('read', effect.attempt, effect.to, effect.request);
          break;
        case 'done':
          this.answerReader(effect.id, { kind: 'done', reply: effect.value ?? 0 });
          break;
        case 'fail':
          this.answerReader(effect.id, { kind: 'failed' });
          break;
        case 'settle':
          this.change(effect.row, { kind: 'get' }, effect.deadlineMs, (outcome) =>
            this.answerReader(effect.id, outcome.kind === 'uncertain' ? { kind: 'failed' } : outcome),
          );
          break;
        case 'repair':
          this.ask(effect.to, this.view, effect.request, () => undefined);
          break;
        case 'learn':
          this.view = Math.max(this.view, effect.epoch);
          break;
      }
    }
    this.wakeInTime();
  }

  private answerReader(id: number, outcome: ClientOutcome): void {
    const reader = this.readers.get(id);
    this.readers.delete(id);
    reader?.done(outcome);
  }

  private wakeInTime(): void {
    const wantedMs = Math.min(this.register.wakeAtMs, this.reads.wakeAtMs);
    if (wantedMs >= this.wakeAtMs) return;
    this.wakeAtMs = wantedMs;
    const life = this.life;
    this.world.kernel.after(wantedMs - this.world.kernel.nowMs, () => this.inLife(life, () => this.wake()));
  }

  private wake(): void {
    const now = this.world.kernel.nowMs;
    this.wakeAtMs = Number.POSITIVE_INFINITY;
    if (this.register.wakeAtMs <= now) this.carryOut(this.register.step({ kind: 'wake' }, now));
    if (this.reads.wakeAtMs <= now) this.carryOutRead(this.reads.step({ kind: 'wake' }, now));
    this.wakeInTime();
  }

  // --- proposals against a base (src/repl/row-delta.ts) ------------------------------------------------------------

  /** A number is told as what is added to the own copy, where that is what the handlers ran on. */
  private run(
    row: RowName,
    changes: readonly Change[],
    value: number | undefined,
    { ballot, built }: { ballot: Version; built: Version },
  ): { value: number | undefined; replies: number[] } {
    const held = this.held(row);
    const result = runAll(changes, value);
    this.proposal = undefined;
    if (
      this.world.swarm.deltas &&
      held?.value !== undefined &&
      equalVersions(held.version, built) &&
      result.value !== undefined
    ) {
      this.proposal = { ballot, delta: { base: held.version, added: result.value - held.value } };
    }
    return result;
  }

  private sendWhole(attempt: number, to: MemberId, request: AcceptRequest<number>): void {
    const { held } = this.lookUp(request.row);
    if (equalVersions(held.version, request.ballot)) {
      this.send(to, { from: this, life: this.life, epoch: this.view, asker: 'register', attempt, request });
      return;
    }
    const answer = { kind: 'unable', reason: 'refused' } as const;
    this.carryOut(this.register.step({ kind: 'answer', attempt, from: to, answer }, this.world.kernel.nowMs));
  }

  // --- messages ----------------------------------------------------------------------------------------------------

  private sendAsk(asker: Asker, attempt: number, to: MemberId, request: OwnerRequest<number>): void {
    const { proposal } = this;
    const delta = request.kind === 'accept' && proposal?.ballot === request.ballot ? proposal.delta : undefined;
    this.send(to, { from: this, life: this.life, epoch: this.view, asker, attempt, request, delta });
  }

  private send(to: MemberId, request: Request): void {
    const target = this.world.nodes[to] as SimNode;
    if (!target.up && this.random.chance(0.5)) {
      // The bus has no connection to a node that is down, and knows that it has not.
      this.world.kernel.after(0.05, () => this.hear(request, to, { kind: 'unsent' }));
      return;
    }
    const targetLife = target.life;
    let delivered = false;
    this.world.network.send(this.id, to, () => {
      if (delivered && this.world.rules.deliversOnce) return;
      delivered = true;
      if (to === this.id && targetLife !== target.life) return;
      target.inLife(target.life, () => target.take(request));
    });
  }

  /** An answer to a request of this node. */
  private hear(request: Request, from: MemberId, answer: OwnerAnswer<number>): void {
    this.inLife(request.life, () => {
      const now = this.world.kernel.nowMs;
      if (request.asker === 'other') request.answered?.(answer);
      else if (request.asker === 'read') {
        this.carryOutRead(this.reads.step({ kind: 'answer', attempt: request.attempt, from, answer }, now));
      } else this.carryOut(this.register.step({ kind: 'answer', attempt: request.attempt, from, answer }, now));
    });
  }

  /** A request of any node, this one included. */
  private take(request: Request): void {
    this.view = Math.max(this.view, request.epoch);
    const slot = slotOfRow(request.request.row);
    if (this.world.rules.fences && !this.world.placement.unchanged(slot, request.epoch, this.view)) {
      this.answer(request, { kind: 'stale', epoch: this.view }, 0);
      return;
    }
    switch (request.request.kind) {
      case 'prepare':
        this.takePrepare(request, request.request);
        break;
      case 'accept':
        this.takeAccept(request, request.request);
        break;
      case 'read': {
        const { held, sequence } = this.lookUp(request.request.row);
        const value = request.request.digest ? undefined : held.value;
        this.answer(request, { kind: 'held', version: held.version, value }, sequence);
        break;
      }
    }
  }

  private takePrepare(request: Request, prepare: Extract<OwnerRequest<number>, { kind: 'prepare' }>): void {
    const { held, sequence } = this.lookUp(prepare.row);
    const verdict = this.acceptor.prepare(prepare.row, prepare.ballot, held.version);
    if (verdict.kind !== 'promise') {
      this.answer(request, verdict, 0);
      return;
    }
    const same = held.version.stamp === prepare.have.stamp && held.version.actor === prepare.have.actor;
    const value = same ? undefined : held.value;
    this.answer(request, { kind: 'promised', version: held.version, value }, sequence);
  }

  private takeAccept(request: Request, accept: Extract<OwnerRequest<number>, { kind: 'accept' }>): void {
    const { held, sequence } = this.lookUp(accept.row);
    const { rules } = this.world;
    const verdict =
      request.asker === 'other'
        ? rules.redelivered(this.acceptor, accept.row, accept.ballot, held.version)
        : this.acceptor.accept(accept.row, accept.ballot, accept.next, held.version, request.delta?.base);
    if (verdict.kind === 'apply') {
      const { delta } = request;
      const value = delta === undefined ? accept.value : (held.value ?? 0) + delta.added;
      this.world.applied(this.id, accept.row, accept.ballot, value);
      const written = this.store.write(accept.row, { version: accept.ballot, value });
      this.answer(request, { kind: 'accepted' }, written);
      this.syncSoon();
    } else if (verdict.kind === 'repeat') {
      this.answer(request, { kind: 'accepted' }, sequence);
    } else if (verdict.kind === 'unable' && !rules.tellsPassingRefusals) {
      this.answer(request, { kind: 'conflict', max: accept.ballot, held: held.version }, 0);
    } else {
      this.answer(request, verdict, 0);
    }
  }

  /** Sends an answer once the write with this sequence is durable. */
  private answer(request: Request, answer: OwnerAnswer<number>, sequence: number): void {
    const send = (): void => {
      const to = request.from;
      this.world.network.send(this.id, to.id, () => to.hear(request, this.id, answer));
    };
    if (sequence <= this.store.durableSequence || !this.world.rules.waitsForDisk) send();
    else this.waiting.push({ sequence, run: send });
  }

  private syncSoon(): void {
    if (this.syncing || this.store.unsynced === 0) return;
    this.syncing = true;
    const life = this.life;
    const count = this.store.unsynced;
    this.world.kernel.after(this.random.next() * this.world.swarm.syncMs, () =>
      this.inLife(life, () => {
        this.syncing = false;
        this.store.sync(count);
        const ready = this.waiting.filter((entry) => entry.sequence <= this.store.durableSequence);
        this.waiting = this.waiting.filter((entry) => entry.sequence > this.store.durableSequence);
        for (const entry of ready) entry.run();
        this.syncSoon();
      }),
    );
  }

  // --- rows --------------------------------------------------------------------------------------------------------

  owners(slot: number): Owners {
    const owners = this.world.placement.owners(this.view, slot);
    if (this.world.rules.joinsQuorums) return owners;
    return { current: owners.current, incoming: [] };
  }

  /** Forgets the rows of a slot that this node owns no longer. */
  leave(slot: number): void {
    for (const row of this.store.rows()) if (slotOfRow(row) === slot) this.store.remove(row);
    this.syncSoon();
  }

  private held(row: RowName): Held<number> | undefined {
    return this.store.read(row)?.held;
  }

  private lookUp(row: RowName): { held: Held<number>; sequence: number } {
    return this.store.read(row) ?? { held: { version: ZERO_VERSION, value: undefined }, sequence: 0 };
  }
}

function runAll(
  changes: readonly Change[],
  value: number | undefined,
): { value: number | undefined; replies: number[] } {
  let state = value;
  const replies: number[] = [];
  for (const change of changes) {
    const result = applyOperation(state, change.operation);
    state = result.state;
    replies.push(result.reply);
  }
  return { value: state, replies };
}

function clientOutcome(outcome: ChangeOutcome<number>): ClientOutcome {
  if (outcome.kind === 'done') return { kind: 'done', reply: outcome.reply };
  return outcome.kind === 'uncertain' ? outcome : { kind: 'failed' };
}
