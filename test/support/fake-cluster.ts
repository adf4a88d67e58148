/**
 * A cluster in one process under virtual time: real dispatchers, coordinators, forwarders and codecs around owners that
 * keep their rows in a map, and a bus that delays, loses and refuses what the test says.
 */

import { allCommands } from '../../src/commands/all-commands.ts';
import { Args } from '../../src/commands/args.ts';
import { Client } from '../../src/commands/client.ts';
import { ClusterRun } from '../../src/commands/cluster-run.ts';
import { whenSettled } from '../../src/commands/pending-reply.ts';
import { Dispatcher } from '../../src/commands/dispatch.ts';
import { NO_CONNECTION } from '../../src/commands/no-connection.ts';
import { AfterPending, PendingReply } from '../../src/commands/pending-reply.ts';
import type { Reply } from '../../src/commands/reply.ts';
import { Server } from '../../src/commands/server-state.ts';
import { busMethod } from '../../src/cluster/bus-method.ts';
import type { BusOutcome, Outgoing } from '../../src/cluster/bus-core.ts';
import { MAX_FRAME_BYTES, messageType, type Message } from '../../src/cluster/frame.ts';
import type { ClusterView } from '../../src/cluster/cluster-view.ts';
import type { MemberId } from '../../src/cluster/member.ts';
import type { Owners } from '../../src/cluster/owners.ts';
import type { Policy } from '../../src/cluster/policy.ts';
import type { Topology } from '../../src/cluster/topology.ts';
import type { Env } from '../../src/env.ts';
import { Acceptor } from '../../src/repl/acceptor.ts';
import { Coordinator } from '../../src/repl/coordinator.ts';
import { Forwarder } from '../../src/repl/forward.ts';
import type { RowType } from '../../src/repl/head.ts';
import type { KeepHint } from '../../src/repl/missed-writes.ts';
import { Ledger } from '../../src/repl/ledger.ts';
import { LevelRun } from '../../src/repl/level-run.ts';
import { Hlc } from '../../src/repl/hlc.ts';
import { Keyspace, KeyspaceState } from '../../src/repl/keyspace.ts';
import { decodeRequest, encodeAnswer } from '../../src/repl/owner-codec.ts';
import {
  isMarkRow,
  type OwnerAnswer,
  type OwnerRequest,
  type RowName,
  slotOfRow,
} from '../../src/repl/owner-message.ts';
import { PromiseTable } from '../../src/repl/promise-table.ts';
import type { Held } from '../../src/repl/register-core.ts';
import { decodeRowState } from '../../src/repl/row-state.ts';
import { type AskRequest, RowLists } from '../../src/repl/row-lists.ts';
import {
  ANY_DATABASE,
  decodeCountRequest,
  decodeListRequest,
  encodeCounts,
  encodeList,
  type SlotRange,
} from '../../src/repl/slot-list.ts';
import { decodeMarks, EVERY_DATABASE } from '../../src/repl/slot-marks.ts';
import { compareVersions, equalVersions, type Version, ZERO_VERSION } from '../../src/repl/version.ts';
import { EventLoop } from '../sim/event-loop.ts';
import { Prng } from '../sim/prng.ts';
import { MemoryStore } from './memory-store.ts';

/** One way, in ms, when nothing else is asked for. */
const DELAY_MS = 0.5;

const NEVER: Held<Uint8Array> = { version: ZERO_VERSION, value: undefined };

export class FakeOwner {
  readonly rows = new Map<RowName, Held<Uint8Array>>();
  asked = 0;
  private readonly acceptor: Acceptor;

  constructor(hlc: Hlc) {
    this.acceptor = new Acceptor({ promises: new PromiseTable({ promisedBefore: ZERO_VERSION }), clock: hlc });
  }

  held(row: RowName): Held<Uint8Array> {
    return this.rows.get(row) ?? NEVER;
  }

  private flush(row: RowName, state: Uint8Array): void {
    for (const { database, mark } of decodeMarks(decodeRowState(state).value)) {
      for (const [name, held] of this.rows) {
        const isIn = database === EVERY_DATABASE || name.charCodeAt(2) === database;
        if (!isIn || isMarkRow(name) || slotOfRow(name) !== slotOfRow(row)) continue;
        if (compareVersions(held.version, mark) < 0) this.rows.set(name, { version: mark, value: undefined });
      }
    }
  }

  answer(request: OwnerRequest<Uint8Array>): OwnerAnswer<Uint8Array> {
    this.asked++;
    const held = this.held(request.row);
    if (request.kind === 'read') {
      return { kind: 'held', version: held.version, value: request.digest ? undefined : held.value };
    }
    if (request.kind === 'prepare') {
      const verdict = this.acceptor.prepare(request.row, request.ballot, held.version);
      if (verdict.kind !== 'promise') return verdict;
      const value = equalVersions(held.version, request.have) ? undefined : held.value;
      return { kind: 'promised', version: held.version, value };
    }
    const verdict = this.acceptor.accept(request.row, request.ballot, request.next, held.version);
    if (verdict.kind === 'apply') {
      if (isMarkRow(request.row)) this.flush(request.row, request.value as Uint8Array);
      this.rows.set(request.row, { version: request.ballot, value: request.value });
    }
    return verdict.kind === 'apply' || verdict.kind === 'repeat' ? { kind: 'accepted' } : verdict;
  }
}

/** What an owner answers to LIST and COUNT. */
function listed(owner: FakeOwner, method: number, payload: Uint8Array): Uint8Array {
  const names = [...owner.rows.keys()].filter((name) => !isMarkRow(name)).sort();
  const inSlots = (name: RowName, slots: readonly SlotRange[]): boolean =>
    slots.some(({ from, end }) => slotOfRow(name) >= from && slotOfRow(name) < end);
  const typeOf = (name: RowName): number => owner.held(name).value?.[1] ?? 0;
  if (method === busMethod.COUNT) {
    const { slots, database, bySlot } = decodeCountRequest(payload);
    const live = new Map<number, number>();
    for (const name of names) {
      const isIn = database === ANY_DATABASE || name.charCodeAt(2) === database;
      if (isIn && typeOf(name) !== 0) live.set(slotOfRow(name), (live.get(slotOfRow(name)) ?? 0) + 1);
    }
    const counts = slots.flatMap(({ from, end }) =>
      Array.from({ length: end - from }, (_, i) => live.get(from + i) ?? 0),
    );
    return encodeCounts(counts, bySlot);
  }
  const { slots, database, limit, after } = decodeListRequest(payload);
  const wanted = names.filter(
    (name) => name.charCodeAt(2) === database && inSlots(name, slots) && (after === undefined || name > after),
  );
  const rows = wanted.slice(0, limit).map((name) => {
    const { version, value } = owner.held(name);
    const expiresAtMs = value === undefined ? 0 : decodeRowState(value).expiresAtMs;
    return { name, type: typeOf(name) as RowType, version, expiresAtMs };
  });
  return encodeList({ rows, complete: rows.length === wanted.length });
}

export class FakeNode {
  readonly id: MemberId;
  readonly owner: FakeOwner;
  readonly hlc: Hlc;
  readonly server: Server;
  readonly dispatcher: Dispatcher;
  readonly coordinator: Coordinator;
  readonly forwarder: Forwarder;
  readonly commands: ClusterRun;
  readonly view: FakeView;
  /** Its clients, made by `client`. */
  private readonly clients: Client[] = [];
  private readonly cluster: FakeCluster;

  constructor(cluster: FakeCluster, id: MemberId, random: Prng) {
    this.cluster = cluster;
    this.id = id;
    const { loop } = cluster;
    const skewMs = cluster.weather?.skewMs(id) ?? 0;
    const clock = { ...loop.clock, wallMs: () => loop.clock.wallMs() + skewMs };
    const env: Env = {
      clock,
      timers: loop.life(),
      random: { next: () => random.next(), bytes: (length) => new Uint8Array(length) },
      disk: undefined as unknown as Env['disk'],
      network: undefined as unknown as Env['network'],
      threads: undefined as unknown as Env['threads'],
      log: { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} },
    };
    this.hlc = new Hlc({ wallMs: () => clock.wallMs(), ceiling: 0, persist: () => {} });
    this.owner = new FakeOwner(this.hlc);
    this.view = new FakeView(cluster, id);
    const { owner, hlc, view } = this;
    const asked = {
      ask: (request: OwnerRequest<Uint8Array>, _epoch: number, answer: (a: OwnerAnswer<Uint8Array>) => void) => {
        loop.post(0, () => answer(owner.answer(request)));
      },
      held: (row: RowName) => owner.held(row),
      whole: (_row: RowName, state: Uint8Array) => state,
    };
    const bus = { request: this.request.bind(this) };
    const keepHint: KeepHint = (target, row, version, state) => cluster.hints.push({ target, row, version, state }) > 0;
    this.coordinator = new Coordinator({ env, view, bus, owner: asked, hlc, actor: id * 65_536 + 1, keepHint });
    this.forwarder = new Forwarder({ env, view, bus, isReady: () => this.coordinator.isReady });
    const keyspace = new Keyspace({ store: new MemoryStore(), state: new KeyspaceState(), hlc, actor: id });
    this.server = new Server({ env, keyspace });
    this.dispatcher = new Dispatcher(this.server, allCommands);
    this.server.setCommands(this.dispatcher.table.rows);
    let run: ClusterRun | undefined;
    this.dispatcher.share((host) => {
      const { coordinator, forwarder } = this;
      const lists = new RowLists({
        view,
        ask: (to, request, answered) => cluster.askMember(to, request, answered),
        timers: env.timers,
      });
      run = new ClusterRun({
        host,
        view,
        coordinator,
        forwarder,
        lists,
        levels: new LevelRun({
          env,
          view,
          coordinator,
          hlc,
          actor: id * 65_536 + 1,
          ledger: new Ledger(),
          keepHint,
          whenKept: (run) => run(),
          centreOf: (member) => cluster.centres[member] ?? '',
        }),
        changePolicies: async (change) => {
          cluster.policies = change(cluster.policies);
        },
        requestTimeoutMs: () => cluster.requestTimeoutMs,
      });
      return run;
    });
    this.commands = run as unknown as ClusterRun;
  }

  /** Client number `i` of this node. */
  client(i = 0): Client {
    const { server } = this;
    this.clients[i] ??= new Client({ id: i + 1, server, connection: NO_CONNECTION, nowMs: 0, authenticated: true });
    return this.clients[i];
  }

  /** What the dispatcher says at once. */
  execute(words: readonly (string | Uint8Array)[], client = this.client()): ReturnType<Dispatcher['execute']> {
    return this.dispatcher.execute(client, Args.of(...words));
  }

  /** The reply, once it is there. */
  async reply(words: readonly (string | Uint8Array)[], client = this.client()): Promise<Reply> {
    const reply = this.execute(words, client);
    if (reply instanceof AfterPending) throw new Error('this command must wait for those before it');
    if (reply instanceof PendingReply) return await whenSettled(reply);
    return await reply;
  }

  private request(to: string, outgoing: Outgoing, ended: (outcome: BusOutcome) => void): void {
    this.cluster.deliver(this, Number(to), outgoing, ended);
  }
}

/** A node's view: everybody is healthy that the test calls so. */
export class FakeView implements ClusterView {
  readonly self: MemberId;
  isShared = true;
  hasJoined = true;
  readonly learned: { from: MemberId; epoch: number }[] = [];
  private readonly cluster: FakeCluster;

  constructor(cluster: FakeCluster, self: MemberId) {
    this.cluster = cluster;
    this.self = self;
  }

  get topology(): Topology | undefined {
    return this.hasJoined ? this.cluster.topology : undefined;
  }

  owners(slot: number): Owners {
    return this.cluster.owners[Math.floor(slot / 7) % this.cluster.owners.length] as Owners;
  }

  nameOf(id: MemberId): string {
    return String(id);
  }

  isHealthy(id: MemberId): boolean {
    return id === this.self || !this.cluster.unhealthy.has(id);
  }

  rttMs(): number {
    return 2 * DELAY_MS;
  }

  learn(from: MemberId, epoch: number): void {
    this.learned.push({ from, epoch });
  }

  onTopology(): () => void {
    return () => undefined;
  }
}

/** What a simulation draws from its seed; without it every message takes the same time and arrives. */
export interface Weather {
  /** One way of a message, in ms. */
  delayMs(): number;
  /** Whether a message is lost, with its answer. */
  loses(): boolean;
  /** How far a node's wall clock is ahead. */
  skewMs(id: MemberId): number;
}

export class FakeCluster {
  readonly loop = new EventLoop();
  readonly nodes: FakeNode[] = [];
  /** Owner sets; they take turns by slot. */
  readonly owners: readonly Owners[];
  readonly unhealthy = new Set<MemberId>();
  /** Nodes that take requests and answer nothing. */
  readonly silent = new Set<MemberId>();
  /** Nodes that nothing is sent to. */
  readonly unreachable = new Set<MemberId>();
  readonly methods: number[] = [];
  /** Writes that owners missed. */
  readonly hints: { target: MemberId; row: RowName; version: Version; state: Uint8Array | undefined }[] = [];
  requestTimeoutMs = 5_000;
  readonly delayMs: number;
  readonly weather: Weather | undefined;
  policies: readonly Policy[] = [];
  /** Data centres of members. */
  readonly centres: Record<MemberId, string> = {};

  /** `nodes` members, numbered from 1; every slot has the same `replicas` owners in turn. */
  constructor(options: { nodes?: number; replicas?: number; seed?: number; delayMs?: number; weather?: Weather } = {}) {
    const { nodes = 3, replicas = 3, seed = 1 } = options;
    this.delayMs = options.delayMs ?? DELAY_MS;
    this.weather = options.weather;
    const ids = Array.from({ length: nodes }, (_, i) => i + 1);
    this.owners = ids.map((_, i) => ({
      current: ids.map((_id, j) => ids[(i + j) % nodes] as number).slice(0, replicas),
      incoming: [],
    }));
    for (const id of ids) this.nodes.push(new FakeNode(this, id, new Prng(seed * 100 + id)));
  }

  get topology(): Topology {
    return { epoch: 1, policies: this.policies } as unknown as Topology;
  }

  node(id: MemberId): FakeNode {
    return this.nodes[id - 1] as FakeNode;
  }

  /** Runs a command at a node and waits for its reply. */
  run(id: MemberId, ...words: readonly (string | Uint8Array)[]): Promise<Reply> {
    return this.loop.settle(this.node(id).reply(words));
  }

  askMember(to: MemberId, request: AskRequest, answered: (payload: Uint8Array | undefined) => void): void {
    const isGone = this.unreachable.has(to) || this.silent.has(to);
    const waitMs = isGone ? 10 : 2 * this.delayMs;
    this.loop.post(waitMs * 1000, () => {
      const payload = isGone
        ? undefined
        : Uint8Array.from(listed(this.node(to).owner, request.method, request.payload));
      answered(payload);
      payload?.fill(0xee);
    });
  }

  deliver(from: FakeNode, to: MemberId, outgoing: Outgoing, ended: (outcome: BusOutcome) => void): void {
    const { loop } = this;
    let isOver = false;
    const end = (outcome: BusOutcome): void => {
      if (!isOver) ended(outcome);
      isOver = true;
    };
    if (this.unreachable.has(to)) {
      loop.post(10, () => end({ kind: 'unsent' }));
      return;
    }
    this.methods.push(outgoing.method);
    // A copy each way, which is spoilt when the call is over: nobody may hold on to what the bus brings.
    const payload = Uint8Array.from(outgoing.payload);
    const { weather } = this;
    const wayUs = (): number => (weather?.delayMs() ?? this.delayMs) * 1000;
    if (weather?.loses() !== true)
      loop.post(wayUs(), () => {
        if (this.silent.has(to) || this.unreachable.has(to)) return;
        this.serve(from, this.node(to), { ...outgoing, payload }, (answer, method = 0) => {
          const back = Uint8Array.from(answer);
          if (weather?.loses() === true || this.unreachable.has(from.id)) return;
          // As the bus does.
          if (answer.length >= MAX_FRAME_BYTES / 2) return;
          loop.post(wayUs(), () => {
            end({ kind: 'answered', message: messageOf({ ...outgoing, method, payload: back }) });
            back.fill(0xee);
          });
        });
        payload.fill(0xee);
      });
    loop.post(Math.max(0, outgoing.deadlineMs * 1000 - loop.nowUs), () => end({ kind: 'unknown' }), true);
  }

  private serve(
    from: FakeNode,
    to: FakeNode,
    outgoing: Outgoing,
    answer: (payload: Uint8Array, method?: number) => void,
  ): void {
    if (outgoing.method === busMethod.OWNER) {
      const request = ownedRequest(decodeRequest(outgoing.payload));
      answer(encodeAnswer(to.owner.answer(request) as Exclude<OwnerAnswer<Uint8Array>, { kind: 'unsent' }>));
    } else if (outgoing.method === busMethod.FORWARD) {
      to.commands.serve({ from: String(from.id), address: '', message: messageOf(outgoing) }, answer);
    } else throw new Error(`method ${outgoing.method}`);
  }
}

function ownedRequest(request: OwnerRequest<Uint8Array>): OwnerRequest<Uint8Array> {
  return request.kind === 'accept' && request.value !== undefined
    ? { ...request, value: Uint8Array.from(request.value) }
    : request;
}

function messageOf(outgoing: Outgoing): Message {
  const { method, priority, epoch, payload } = outgoing;
  return { type: messageType.REQUEST, priority, method, requestId: 1, timeLeftMs: 0, epoch, payload };
}
