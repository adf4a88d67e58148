/**
 * How a node comes to belong to a cluster: it founds one, asks a member to be let in, or is brought together with another
 * one by CLUSTER MEET; and how its entry in the document is kept true when it comes back at another address.
 *
 * Only a node without keys joins: which of two values of a key were the right one, nobody could say. So a cluster of one
 * with keys takes others in, and of two clusters at least one must be a node alone without keys. It takes nobody in
 * while a row is there that is too large to be shared: no other node could ever get it.
 *
 * Method JOIN, the only one that passes between clusters (big-endian; text = u8 length, UTF-8):
 * ```
 * request  u8 version (1) | u8 kind | …
 *   1 join    u8 holds keys | 20 bytes identity | u16 port | u16 bus port | f64 weight | texts host, rack, data centre
 *   2 invite  text bus address at which to join
 * answer   to join: the document that has the member; to invite: nothing. METHOD_FAILED and a text: it was refused
 * ```
 * Valid if and only if version and kind are known and nothing is left over.
 */

import { must } from '../assert.ts';
import { copyOf, EMPTY, textOf, utf8 } from '../bytes.ts';
import type { Answer, Arrival, Bus } from '../cluster/bus.ts';
import { busMethod, METHOD_ANSWERED, METHOD_FAILED } from '../cluster/bus-method.ts';
import { ByteReader, ByteWriter, DamagedError } from '../cluster/byte-cursor.ts';
import { priority } from '../cluster/frame.ts';
import type { Member } from '../cluster/member.ts';
import { foundTopology, MAX_MEMBERS, type Topology, type TopologyChange } from '../cluster/topology.ts';
import { decodeTopology } from '../cluster/topology-codec.ts';
import { EngineError } from '../engine/engine-error.ts';
import type { Env, Timer } from '../env.ts';
import { busAddress, type TopologyKeeper } from './topology-keeper.ts';
import { TopologyError, type TopologyPlan, type TopologyRegister } from './topology-register.ts';
import type { TopologyVoter } from './topology-voter.ts';

/** How long a member has to let somebody in: a change of the document, and some for voters that are busy. */
export const JOIN_TIMEOUT_MS = 10_000;

/** Pause between rounds of asking the seeds. */
export const JOIN_RETRY_MS = 250;

const VERSION = 1;
const KINDS = ['join', 'invite'] as const;
const IDENTITY_BYTES = 20;

/** What a node says of itself when it wants to become a member. */
export type Entry = Omit<Member, 'id'>;

export type JoinRequest =
  | { readonly kind: 'join'; readonly holdsKeys: boolean; readonly entry: Entry }
  | { readonly kind: 'invite'; readonly address: string };

export function encodeJoin(request: JoinRequest): Uint8Array {
  const writer = new ByteWriter().u8(VERSION).u8(KINDS.indexOf(request.kind) + 1);
  if (request.kind === 'invite') return writer.text(request.address).finish();
  const { identity, port, busPort, weight, host, rack, dataCentre } = request.entry;
  writer.u8(Number(request.holdsKeys)).raw(Buffer.from(identity, 'hex')).u16(port).u16(busPort).f64(weight);
  return writer.text(host).text(rack).text(dataCentre).finish();
}

/** Throws `DamagedError`. */
export function decodeJoin(bytes: Uint8Array): JoinRequest {
  const reader = new ByteReader(bytes);
  if (reader.u8() !== VERSION) throw new DamagedError('a request to join of another version');
  const kind = KINDS[reader.u8() - 1];
  if (kind === 'invite') {
    const address = reader.text();
    reader.finish();
    return { kind, address };
  }
  if (kind === undefined) throw new DamagedError('a request to join of no known kind');
  const holdsKeys = reader.u8() !== 0;
  const identity = Buffer.from(reader.raw(IDENTITY_BYTES)).toString('hex');
  const [port, busPort, weight] = [reader.u16(), reader.u16(), reader.f64()];
  if (!(weight >= 0 && weight <= Number.MAX_SAFE_INTEGER)) throw new DamagedError('the weight of a member');
  const entry = {
    identity,
    port,
    busPort,
    weight,
    host: reader.text(),
    rack: reader.text(),
    dataCentre: reader.text(),
  };
  reader.finish();
  return { kind, holdsKeys, entry };
}

/** Plans that the member is in the document, with this entry. A weight of 0 stays: the member drains. */
export function entering(entry: Entry): TopologyPlan {
  return (topology: Topology): TopologyChange[] => {
    const known = topology.members.find((member) => member.identity === entry.identity);
    if (known !== undefined) return updating(entry)(topology);
    if (topology.members.length >= MAX_MEMBERS) {
      throw new TopologyError('refused', `the cluster has ${MAX_MEMBERS} members already`);
    }
    return [{ kind: 'add-member', member: entry }];
  };
}

/** Plans that a member's entry is this one, if it is a member at all. */
export function updating(entry: Entry): (topology: Topology) => TopologyChange[] {
  return (topology) => {
    const known = topology.members.find((member) => member.identity === entry.identity);
    if (known === undefined) return [];
    const member: Member = { ...entry, id: known.id, weight: known.weight === 0 ? 0 : entry.weight };
    const isSame = (Object.keys(member) as (keyof Member)[]).every((field) => member[field] === known[field]);
    return isSame ? [] : [{ kind: 'change-member', member }];
  };
}

export interface EnrolmentOptions {
  readonly env: Pick<Env, 'clock' | 'timers' | 'random' | 'log'>;
  readonly keeper: TopologyKeeper;
  readonly register: TopologyRegister;
  readonly voter: TopologyVoter;
  readonly bus: Pick<Bus, 'requestAt'>;
  readonly entry: Entry;
  /** N of a cluster that is founded here. */
  readonly replicas: number;
  /** Whether there is any key here, expired ones and those of every database included. */
  holdsKeys(): boolean;
  /**
   * Removes, durably, all that is left of rows that are no more (deleted ones, flush marks): their versions mean nothing
   * in another cluster. Requires: there is no key.
   */
  clear(): Promise<void>;
  /** What is to be said of a row here that is too large to be shared; undefined: there is none. */
  largeRow(): Promise<string | undefined>;
}

/** How long it counts that no row was too large: who asked to be let in may have given up before the end of the look. */
const LARGE_ROW_CHECK_MS = 60_000;

/** The engine takes no writes for now. */
function isRefusal(error: unknown): error is EngineError {
  return error instanceof EngineError && error.code === 'refused';
}

type Attempt = { readonly kind: 'joined' } | { readonly kind: 'failed'; readonly reason: string };

export class Enrolment {
  private readonly options: EnrolmentOptions;
  private readonly env: EnrolmentOptions['env'];
  private readonly keeper: TopologyKeeper;
  private readonly waits = new Set<Timer>();
  private isJoining = false;
  private isClosed = false;
  private lastReason = '';
  /** The look for rows that are too large; undefined: none is under way, or its result is old. */
  private looking: Promise<string | undefined> | undefined = undefined;

  constructor(options: EnrolmentOptions) {
    this.options = options;
    this.env = options.env;
    this.keeper = options.keeper;
  }

  /**
   * Makes this node a member: of the cluster that it knows; else of the seeds' (`host:busPort`), which are asked until one
   * lets it in; else of one that it founds. Fulfilled once it is a member. Rejects with an error fit for an operator when
   * that can never be.
   */
  async enter(seeds: readonly string[]): Promise<void> {
    if (this.keeper.topology !== undefined) {
      if (this.keeper.topology.members.length === 1 && seeds.length > 0) {
        this.env.log.warn('this node keeps the cluster that it founded: join is passed over, see CLUSTER MEET');
      }
      void this.keepEntry();
      return;
    }
    if (seeds.length === 0) {
      await this.found();
      return;
    }
    if (this.options.holdsKeys()) {
      throw new Error(
        'this node has keys of its own and cannot join another cluster: start it with cluster-enabled and let the others ' +
          'join it, or give it an empty dir',
      );
    }
    let isClear = false;
    while (!this.isClosed && this.keeper.topology === undefined) {
      isClear ||= await this.tryToClear();
      const joined = isClear && (await this.tryAll(seeds));
      if (!joined) await this.pause();
    }
  }

  /** False: the disk takes nothing now, being full. Rejects with what the engine rejects with otherwise. */
  private async tryToClear(): Promise<boolean> {
    try {
      await this.options.clear();
      return true;
    } catch (error) {
      if (!isRefusal(error)) throw error;
      const reason = `what is left here of rows that are no more cannot be removed: ${error.message}`;
      if (reason !== this.lastReason) this.env.log.warn('not joining yet', { reason });
      this.lastReason = reason;
      return false;
    }
  }

  /**
   * CLUSTER MEET: the node at this address (`host:busPort`) and this one become members of one cluster. Rejects with the
   * reason when neither can join the other.
   */
  async meet(address: string): Promise<void> {
    const invited = await this.ask(address, { kind: 'invite', address: busAddress(this.options.entry) });
    if (invited.kind === 'answered') return;
    const refusal = this.cannotLeave();
    const attempt: Attempt = refusal === undefined ? await this.moveTo(address) : { kind: 'failed', reason: refusal };
    if (attempt.kind === 'joined') return;
    throw new TopologyError('refused', `${invited.reason}; and the other way round: ${attempt.reason}`);
  }

  /** Method JOIN of the bus. */
  readonly onJoin = (arrival: Arrival, answer: Answer): void => {
    let request: JoinRequest;
    try {
      request = decodeJoin(copyOf(arrival.message.payload));
    } catch (thrown) {
      if (!(thrown instanceof DamagedError)) throw thrown;
      answer(utf8(thrown.message), METHOD_FAILED);
      return;
    }
    const answered = request.kind === 'join' ? this.letIn(request) : this.follow(request.address);
    answered.then(
      (payload) => answer(payload, METHOD_ANSWERED),
      (error: unknown) => answer(utf8(error instanceof Error ? error.message : String(error)), METHOD_FAILED),
    );
  };

  close(): void {
    this.isClosed = true;
    for (const wait of this.waits) wait.cancel();
    this.waits.clear();
  }

  // --- of others ---------------------------------------------------------------------------------------------------

  private async letIn(request: Extract<JoinRequest, { kind: 'join' }>): Promise<Uint8Array> {
    const { keeper } = this;
    if (keeper.self === 0)
      throw new TopologyError('refused', 'the node that was asked is no member of a cluster itself');
    const { entry, holdsKeys } = request;
    const isMember = keeper.topology?.members.some((member) => member.identity === entry.identity) === true;
    if (holdsKeys && !isMember) throw new TopologyError('refused', 'a node that has keys of its own cannot join');
    if (!isMember && keeper.topology?.members.length === 1) {
      const large = await this.lookForLargeRow();
      if (large !== undefined) throw new TopologyError('refused', `nobody can be let in: ${large}`);
    }
    const plan = entering(entry);
    // Who is a member already may be the very voter without whom nothing can be changed: it crashed while it joined.
    let topology = must(keeper.topology, 'a member has a document');
    if (plan(topology).length > 0) {
      topology = await this.options.register.change(plan, this.deadlineMs());
      this.env.log.info('a node is a member now', { identity: entry.identity, address: busAddress(entry) });
    }
    return copyOf(keeper.bytesOf(topology));
  }

  private lookForLargeRow(): Promise<string | undefined> {
    this.looking ??= this.options.largeRow().then(
      (large) => {
        if (large !== undefined) {
          this.env.log.warn('a node that wants to become a member is refused', { reason: large });
          this.looking = undefined;
        } else this.later(LARGE_ROW_CHECK_MS, () => (this.looking = undefined));
        return large;
      },
      (error: unknown) => {
        this.looking = undefined;
        throw error;
      },
    );
    return this.looking;
  }

  /** Was invited to the cluster of the member at `address`. */
  private async follow(address: string): Promise<Uint8Array> {
    const refusal = this.cannotLeave();
    const attempt: Attempt = refusal === undefined ? await this.moveTo(address) : { kind: 'failed', reason: refusal };
    if (attempt.kind === 'failed') throw new TopologyError('refused', attempt.reason);
    return EMPTY;
  }

  // --- of this node ------------------------------------------------------------------------------------------------

  private async found(): Promise<void> {
    const clusterId = Buffer.from(this.env.random.bytes(16)).toString('hex');
    await this.keeper.adopt(foundTopology(clusterId, this.options.entry, this.options.replicas));
    this.env.log.info('founded a cluster', { cluster: clusterId });
  }

  /** Why this node cannot leave what it belongs to now; undefined: it can. */
  private cannotLeave(): string | undefined {
    const { topology } = this.keeper;
    if (this.isJoining) return 'it is joining a cluster already';
    if (!this.keeper.isSettled) return 'its topology is being changed; try again';
    if (topology !== undefined && topology.members.length > 1) return 'it is a member of a cluster of several nodes';
    return this.options.holdsKeys() ? 'it has keys of its own' : undefined;
  }

  /** Gives up the cluster that it is alone in, and joins the one of the member at `address`. */
  private async moveTo(address: string): Promise<Attempt> {
    this.isJoining = true;
    // From here on clients are told that there is no cluster, so that nothing is written that would be lost.
    const former = this.keeper.withdraw();
    try {
      if (this.options.holdsKeys()) return { kind: 'failed', reason: 'it has keys of its own' };
      await this.options.clear();
      return await this.joinAt(address);
    } catch (error) {
      if (!isRefusal(error)) throw error;
      return { kind: 'failed', reason: `its disk takes no writes: ${error.message}` };
    } finally {
      this.isJoining = false;
      if (this.keeper.topology === undefined && former !== undefined) this.keeper.restore(former);
    }
  }

  private async tryAll(seeds: readonly string[]): Promise<boolean> {
    for (const seed of seeds) {
      if (this.isClosed || seed === busAddress(this.options.entry)) continue;
      const attempt = await this.joinAt(seed);
      if (attempt.kind === 'joined') return true;
      const reason = `${seed}: ${attempt.reason}`;
      if (reason !== this.lastReason) this.env.log.warn('not let in yet', { at: seed, reason: attempt.reason });
      this.lastReason = reason;
    }
    return false;
  }

  private async joinAt(address: string): Promise<Attempt> {
    const { entry, voter } = this.options;
    const outcome = await this.ask(address, { kind: 'join', holdsKeys: this.options.holdsKeys(), entry });
    if (outcome.kind === 'failed') return outcome;
    try {
      const topology = decodeTopology(outcome.payload);
      const isMember = topology.members.some((member) => member.identity === entry.identity);
      if (!isMember) return { kind: 'failed', reason: 'the document that came back does not know this node' };
      if (this.isClosed) return { kind: 'failed', reason: 'this node is closing' };
      voter.forget();
      await this.keeper.changeCluster(topology);
      this.env.log.info('joined a cluster', { cluster: topology.clusterId, members: topology.members.length });
      return { kind: 'joined' };
    } catch (thrown) {
      if (!(thrown instanceof DamagedError)) throw thrown;
      return { kind: 'failed', reason: thrown.message };
    }
  }

  /** The document says where this node is: corrects it until it does. */
  private async keepEntry(): Promise<void> {
    while (!this.isClosed) {
      const { topology, self } = this.keeper;
      const plan = updating(this.options.entry);
      if (topology === undefined || self === 0 || plan(topology).length === 0) return;
      try {
        await this.options.register.change(plan, this.deadlineMs());
        return;
      } catch (error) {
        this.env.log.warn('the cluster does not know the address of this node yet', { reason: String(error) });
        await this.pause();
      }
    }
  }

  // --- parts -------------------------------------------------------------------------------------------------------

  private ask(
    address: string,
    request: JoinRequest,
  ): Promise<
    { readonly kind: 'answered'; readonly payload: Uint8Array } | { readonly kind: 'failed'; readonly reason: string }
  > {
    const outgoing = {
      method: busMethod.JOIN,
      priority: priority.CONTROL,
      deadlineMs: this.deadlineMs(),
      epoch: 0,
      payload: encodeJoin(request),
    };
    return new Promise((resolve) => {
      this.options.bus.requestAt(address, outgoing, (outcome) => {
        if (outcome.kind !== 'answered') resolve({ kind: 'failed', reason: `no answer from ${address}` });
        else {
          const { method, payload } = outcome.message;
          if (method === METHOD_ANSWERED) resolve({ kind: 'answered', payload: copyOf(payload) });
          else resolve({ kind: 'failed', reason: method === METHOD_FAILED ? textOf(payload) : 'it is busy' });
        }
      });
    });
  }

  private deadlineMs(): number {
    return this.env.clock.monotonicUs() / 1000 + JOIN_TIMEOUT_MS;
  }

  private pause(): Promise<void> {
    return new Promise((resolve) => this.later(JOIN_RETRY_MS, resolve));
  }

  private later(ms: number, run: () => void): void {
    const timer = this.env.timers.after(ms, () => {
      this.waits.delete(timer);
      run();
    });
    this.waits.add(timer);
  }
}
