/**
 * One node's part in a cluster, put together: bus → topology → membership → owner → coordinator → commands. Nothing is
 * decided here but the order, and which method of the bus is whose.
 */

import { copyOf, EMPTY, utf8 } from './bytes.ts';
import { Bus, type Answer, type Arrival, type RequestHandler } from './cluster/bus.ts';
import { busMethod, METHOD_ANSWERED, METHOD_FAILED } from './cluster/bus-method.ts';
import { DamagedError } from './cluster/byte-cursor.ts';
import { priority } from './cluster/frame.ts';
import type { MemberId } from './cluster/member.ts';
import type { Policy } from './cluster/policy.ts';
import { aboutOf, Membership } from './cluster/membership.ts';
import { BlockedFar, LEASE_MS } from './commands/blocked-far.ts';
import { ClusterDoor } from './commands/cluster-door.ts';
import { ClusterRun } from './commands/cluster-run.ts';
import type { Dispatcher } from './commands/dispatch.ts';
import type { SystemRows } from './commands/system-rows.ts';
import { answerSurvey } from './commands/pubsub-survey.ts';
import type { Server } from './commands/server-state.ts';
import type { Config } from './config.ts';
import { formatHostPort, type HostPort } from './config-cluster.ts';
import type { Engine } from './engine/engine.ts';
import type { Env } from './env.ts';
import { busPortOf, entryOf, listenHost, seedsOf, tlsOf } from './node-cluster-config.ts';
import type { Identity } from './node-identity.ts';
import { ClusterExpiry, type ClusterExpiryOptions } from './repl/cluster-expiry.ts';
import { ClusterFieldExpiry } from './repl/cluster-field-expiry.ts';
import { Coordinator } from './repl/coordinator.ts';
import { Forwarder } from './repl/forward.ts';
import { Hints } from './repl/hints.ts';
import { FLUSH_KEY, type KeyspaceState } from './repl/keyspace.ts';
import { Owner } from './repl/owner.ts';
import type { RowName } from './repl/owner-message.ts';
import { findLargeRow } from './repl/large-rows.ts';
import { OwnerDoor } from './repl/owner-door.ts';
import { RowInterest } from './repl/row-interest.ts';
import { RowLists } from './repl/row-lists.ts';
import { Ledger } from './repl/ledger.ts';
import { LevelRun } from './repl/level-run.ts';
import type { KeepHint } from './repl/missed-writes.ts';
import { localKey } from './repl/row-key.ts';
import { MAX_STATE_BYTES } from './repl/row-state.ts';
import type { SlotMoveWorld } from './repl/slot-move.ts';
import { SlotMoves } from './repl/slot-moves.ts';
import { SlotRecovery } from './repl/slot-recovery.ts';
import { Enrolment, type Entry } from './repl/topology-join.ts';
import { busAddress, TopologyKeeper } from './repl/topology-keeper.ts';
import { TopologyRegister } from './repl/topology-register.ts';
import { Steward } from './repl/topology-steward.ts';
import { TopologyVoter } from './repl/topology-voter.ts';
import { ceilingVersion } from './repl/version.ts';

/** How long a row of a slot on the move may take to be settled before it is tried again. */
const SETTLE_TIMEOUT_MS = 5_000;

/** How long other nodes are waited for that are asked what they know, in ms. */
const SURVEY_TIMEOUT_MS = 500;

export interface NodeClusterOptions {
  readonly env: Env;
  readonly config: Config;
  readonly engine: Engine;
  readonly state: KeyspaceState;
  readonly identity: Identity;
  readonly server: Server;
  readonly dispatcher: Dispatcher;
  /** What this node acknowledged in earlier lives may be gone in part: see node-boot.ts. */
  readonly mayHaveForgotten: boolean;
  /** A repair has lost some of it. */
  readonly hasLostRecords: boolean;
  /** Called once what may have been forgotten was got back from the other owners. */
  recovered(): Promise<void>;
}

export class NodeCluster {
  readonly bus: Bus;
  readonly keeper: TopologyKeeper;
  readonly membership: Membership;
  readonly owner: Owner;
  readonly expiry: ClusterExpiry;
  readonly fieldExpiry: ClusterFieldExpiry;
  readonly coordinator: Coordinator;
  readonly hints: Hints;
  readonly levels: LevelRun;
  readonly enrolment: Enrolment;
  readonly steward: Steward;
  readonly moves: SlotMoves;
  readonly recovery: SlotRecovery;
  private readonly options: NodeClusterOptions;
  private readonly door: OwnerDoor;
  private readonly interest: RowInterest;
  private readonly register: TopologyRegister;
  private readonly forwarder: Forwarder;
  private readonly busAt: HostPort;
  private readonly seeds: readonly string[];

  /** Whether the configuration asks for a cluster. */
  static isWanted(config: Config): boolean {
    return config.get('cluster-enabled') || config.get('join').length > 0;
  }

  /** Takes up what an earlier life knew of its cluster. Rejects with an error fit for an operator. */
  static async open(options: NodeClusterOptions): Promise<NodeCluster> {
    const { config, env, engine, identity, server } = options;
    const entry = entryOf(config, identity.nodeId);
    const address = formatHostPort({ host: entry.host, port: entry.busPort });
    // The bus and the topology need one another; nothing is asked of the topology before it is there.
    const made: { keeper?: TopologyKeeper; membership?: Membership } = {};
    const bus = new Bus({
      env,
      identity: identity.nodeId,
      address,
      secret: config.get('cluster-secret'),
      ...tlsOf(config, env.disk),
      clusterId: () => made.keeper?.clusterId,
      epoch: () => made.keeper?.epoch ?? 0,
      beforeFlush: () => engine.flushGroup(),
    });
    const keeper = new TopologyKeeper({
      env,
      identity: identity.nodeId,
      values: engine,
      bus,
      isGone: (name) => made.membership?.isGone(name) === true,
    });
    made.keeper = keeper;
    const membership = await Membership.open({
      env,
      bus,
      values: engine,
      identity: identity.nodeId,
      address,
      about: () => ({ epoch: keeper.epoch, version: server.version }),
    });
    made.membership = membership;
    return new NodeCluster(options, { bus, keeper, membership, entry });
  }

  private constructor(
    options: NodeClusterOptions,
    made: { bus: Bus; keeper: TopologyKeeper; membership: Membership; entry: Entry },
  ) {
    const { env, config, engine, state, identity, dispatcher } = options;
    const { bus, keeper, membership, entry } = made;
    const { hlc, actor } = identity;
    this.options = options;
    this.bus = bus;
    this.keeper = keeper;
    this.membership = membership;
    const promisedBefore = ceilingVersion(identity.ceilingBefore);
    const voter = new TopologyVoter({ values: engine, view: keeper, clock: hlc, log: env.log, promisedBefore });
    keeper.load();
    voter.load();
    this.register = new TopologyRegister({ env, keeper, voter, bus, hlc, actor: () => actor });
    const { mayHaveForgotten } = options;
    const { cells } = options.server.keyspace;
    this.owner = new Owner({ env, store: engine, state, hlc, promisedBefore, view: keeper, cells, mayHaveForgotten });
    this.recovery = new SlotRecovery({
      env,
      view: keeper,
      owner: this.owner,
      promisedBefore,
      hasLostRecords: options.hasLostRecords,
      ask: (to, request, answered) => this.askMember(to, request, answered),
    });
    this.hints = new Hints({
      env,
      store: engine,
      view: keeper,
      send: (to, request, answered) => this.coordinator.deliverHint(to, request, answered),
      settle: (row) => this.settleRow(row, () => undefined),
    });
    const keepHint: KeepHint = (target, row, version, rowState, loose) =>
      this.hints.keep(target, row, version, rowState, loose);
    this.coordinator = new Coordinator({ env, view: keeper, bus, owner: this.owner, hlc, actor, keepHint });
    const { coordinator } = this;
    const { server } = options;
    this.interest = this.newInterest(server);
    this.door = new OwnerDoor({
      env,
      owner: this.owner,
      store: engine,
      state,
      view: keeper,
      heard: (from, epoch) => keeper.heard(from, epoch),
    });
    const inMs = (timeoutMs: number): number => coordinator.nowMs() + timeoutMs;
    const expiryOptions: ClusterExpiryOptions = {
      store: engine,
      state,
      view: keeper,
      change: (row, change, timeoutMs, done) => coordinator.changeHead(row, change, inMs(timeoutMs), done),
      nowMs: () => env.clock.wallMs(),
      onExpired: (row) => {
        server.keyspace.expiredRows++;
        server.keyspace.onExpired?.(Buffer.from(row, 'latin1'));
      },
    };
    this.expiry = new ClusterExpiry(expiryOptions);
    this.fieldExpiry = new ClusterFieldExpiry({
      ...expiryOptions,
      change: (row, change, timeoutMs, done) => coordinator.change(row, change, inMs(timeoutMs), done),
    });
    this.levels = new LevelRun({
      env,
      view: keeper,
      coordinator,
      hlc,
      actor,
      ledger: new Ledger(),
      keepHint,
      whenKept: (run) => this.owner.whenDurable(engine.lastSequence, run),
      centreOf: (id) => keeper.topology?.members.find((member) => member.id === id)?.dataCentre ?? '',
    });
    // Others may have coordinated this node's rows while they did not hear of it.
    bus.onHealth((_name, healthy) => {
      if (healthy) coordinator.forgetBallots();
    });
    this.forwarder = new Forwarder({ env, view: keeper, bus, isReady: () => this.coordinator.isReady });
    this.moves = new SlotMoves({ env, view: keeper, world: this.moveWorld() });
    this.steward = new Steward({ env, keeper, register: this.register, runMove: (slot) => this.moves.run(slot) });
    this.enrolment = new Enrolment({
      env,
      keeper,
      register: this.register,
      voter,
      bus,
      entry,
      replicas: config.get('replicas'),
      holdsKeys: () => this.holdsKeys(),
      clear: () => this.clear(),
      largeRow: () => this.largeRow(),
    });
    const { register, enrolment } = this;
    server.cluster = new ClusterDoor({ env, keeper, membership, enrolment, register, bus, version: server.version });
    let run: ClusterRun | undefined;
    dispatcher.share((host) => {
      const { forwarder, levels } = this;
      const lists = new RowLists({
        timers: env.timers,
        view: keeper,
        ask: (to, request, answered) => this.askMember(to, request, answered),
      });
      const requestTimeoutMs = (): number => config.get('request-timeout');
      const changePolicies = (
        change: (before: readonly Policy[]) => readonly Policy[],
        deadlineMs: number,
      ): Promise<unknown> =>
        register.change((topology) => [{ kind: 'set-policies', policies: change(topology.policies) }], deadlineMs);
      run = new ClusterRun({
        host,
        view: keeper,
        coordinator,
        forwarder,
        lists,
        levels,
        changePolicies,
        requestTimeoutMs,
      });
      return run;
    });
    server.blocked.far = new BlockedFar({
      server,
      rows: run as unknown as ClusterRun,
      want: (rows) => this.interest.want(rows, LEASE_MS),
    });
    coordinator.watched = this.interest.watched;
    server.pubsub.tellOthers = (payload) => this.tellMembers(busMethod.PUBLISH, payload);
    server.pubsub.askOthers = (payload) => this.askMembers(busMethod.SURVEY, payload);
    this.seeds = seedsOf(config);
    this.busAt = { host: listenHost(config), port: busPortOf(config) };
    const { systemRows, serve } = run as unknown as ClusterRun;
    systemRows.rereadElsewhere = () => this.askMembers(busMethod.REREAD, EMPTY);
    this.listenTo({ voter, serve, systemRows });
  }

  /** Rows are shared with other nodes: nobody writes them but by the register. */
  get isShared(): boolean {
    return this.keeper.isShared;
  }

  /** Sweeps expired rows that are shared; true: there are more. undefined: rows are this node's alone. */
  sweepExpired(): Promise<boolean> | undefined {
    return this.isShared ? this.sweepShared() : undefined;
  }

  private async sweepShared(): Promise<boolean> {
    const more = await this.expiry.sweep();
    return (await this.fieldExpiry.sweep()) || more;
  }

  /**
   * Listens and becomes a member: at once where this node knows its cluster or founds one, in the background where it has
   * to be let in. `failed`: that can never be.
   */
  async start(failed: (reason: unknown) => void): Promise<void> {
    await this.hints.load();
    await this.bus.listen(this.busAt);
    if (this.options.mayHaveForgotten) void this.recover();
    this.membership.onChange((member) => this.keeper.heard(member.name, aboutOf(member.about).epoch));
    // Who came by CLUSTER MEET is not known to membership before it is called.
    this.keeper.onTopology(() => this.membership.meet(this.otherAddresses()));
    // Rows change at other nodes from now on, which caches of clients are not told of, and which waiters have to ask for.
    this.keeper.onTopology(() => {
      if (!this.isShared) return;
      const { tracking, blocked } = this.options.server;
      tracking.endAll();
      blocked.far?.joined();
    });
    const entered = this.enrolment.enter(this.seeds).then(() => this.membership.start(this.otherAddresses()));
    if (this.keeper.topology !== undefined || this.seeds.length === 0) await entered;
    else entered.catch(failed);
  }

  /** Gets back what may have been forgotten; until then this node votes on none of its slots. */
  private async recover(): Promise<void> {
    const { env } = this.options;
    const { owner, recovery } = this;
    const why = this.options.hasLostRecords
      ? 'a repair has lost records'
      : 'this machine stopped before its disk had everything';
    env.log.warn(`${why}: slots are got back from their other owners`, { slots: owner.recall.suspectSlots });
    await recovery.run();
    env.log.info('nothing that was acknowledged is missing any more', { restored: recovery.restored });
    try {
      await this.options.recovered();
    } catch (error) {
      // Found suspect again in the next life, nothing worse.
      env.log.error('it cannot be noted that nothing is missing any more', { reason: String(error) });
    }
  }

  /** Says goodbye and stops. What is under way is never answered. */
  async close(): Promise<void> {
    this.membership.leave();
    await new Promise<void>((resolve) => this.options.env.timers.atTurnEnd(resolve));
    this.options.server.blocked.far?.close();
    this.steward.close();
    this.moves.close();
    this.recovery.close();
    this.enrolment.close();
    this.membership.close();
    this.hints.close();
    this.levels.close();
    this.forwarder.close();
    this.coordinator.close();
    this.register.close();
    this.keeper.close();
    await this.bus.close();
    await this.owner.close();
  }

  // --- the bus -----------------------------------------------------------------------------------------------------

  private listenTo(listening: { voter: TopologyVoter; serve: RequestHandler; systemRows: SystemRows }): void {
    const { voter, serve, systemRows } = listening;
    const { bus, enrolment, keeper, membership } = this;
    bus.onRequest(busMethod.JOIN, enrolment.onJoin);
    bus.onRequest(busMethod.TOPOLOGY_GET, keeper.onGet);
    bus.onRequest(busMethod.TOPOLOGY_ASK, voter.onAsk);
    bus.onNotice(busMethod.SWIM, membership.onNotice);
    this.serve(busMethod.FORWARD, serve);
    this.serve(busMethod.SURVEY, ({ message }, answer) => {
      answer(answerSurvey(this.options.server.pubsub.topics, message.payload));
    });
    this.serve(busMethod.REREAD, (_arrival, answer) => void systemRows.reread().then(() => answer(EMPTY)));
    this.hear(busMethod.PUBLISH, (payload) => this.options.server.pubsub.arrived(payload));
    this.hear(busMethod.WANT_ROWS, (payload, from) => this.interest.onWant(from, payload));
    this.hear(busMethod.ROW_CHANGED, (payload) => this.interest.onChanged(payload));
    this.door.serve(bus);
  }

  /** Takes note of the epoch of whoever asks; a request that is none is told so. */
  private serve(method: number, handler: RequestHandler): void {
    this.bus.onRequest(method, (arrival: Arrival, answer: Answer) => {
      this.keeper.heard(arrival.from, arrival.message.epoch);
      try {
        handler(arrival, answer);
      } catch (thrown) {
        if (!(thrown instanceof DamagedError)) throw thrown;
        this.options.env.log.error('a request that is not to be read', { from: arrival.from, reason: thrown.message });
        answer(utf8(thrown.message), METHOD_FAILED);
      }
    });
  }

  /** Listens to a notice; one that is none is dropped. */
  private hear(method: number, handler: (payload: Uint8Array, from: string) => void): void {
    this.bus.onNotice(method, (arrival) => {
      try {
        handler(arrival.message.payload, arrival.from);
      } catch (thrown) {
        if (!(thrown instanceof DamagedError)) throw thrown;
        this.options.env.log.error('a notice that is not to be read', { from: arrival.from, reason: thrown.message });
      }
    });
  }

  /** Sends a notice to every other member. */
  private tellMembers(method: number, payload: Uint8Array): void {
    const { topology, self } = this.keeper;
    if (topology === undefined) return;
    for (const { id } of topology.members) if (id !== self) this.tell(this.keeper.nameOf(id), method, payload);
  }

  /** The answers of the other members that are in reach and answer in time, in memory of their own. */
  private async askMembers(method: number, payload: Uint8Array): Promise<Uint8Array[]> {
    const { topology, self, epoch } = this.keeper;
    const others = (topology?.members ?? []).filter(({ id }) => id !== self && this.keeper.isHealthy(id));
    const deadlineMs = this.options.env.clock.monotonicUs() / 1000 + SURVEY_TIMEOUT_MS;
    const outgoing = { method, priority: priority.CLIENT, deadlineMs, epoch, payload };
    const answers = others.map(
      ({ id }) =>
        new Promise<Uint8Array | undefined>((resolve) => {
          this.bus.request(this.keeper.nameOf(id), outgoing, (outcome) => {
            const isAnswer = outcome.kind === 'answered' && outcome.message.method === METHOD_ANSWERED;
            resolve(isAnswer ? copyOf(outcome.message.payload) : undefined);
          });
        }),
    );
    return (await Promise.all(answers)).filter((answer) => answer !== undefined);
  }

  private tell(name: string, method: number, payload: Uint8Array): void {
    const { epoch } = this.keeper;
    this.bus.notice(name, { method, priority: priority.CLIENT, deadlineMs: Number.POSITIVE_INFINITY, epoch, payload });
  }

  private newInterest(server: Server): RowInterest {
    const { keeper, coordinator } = this;
    return new RowInterest({
      get self() {
        return keeper.self;
      },
      owners: (slot) => keeper.owners(slot),
      nameOf: (id) => keeper.nameOf(id),
      nowMs: () => coordinator.nowMs(),
      tell: (name, method, payload) => this.tell(name, method, payload),
      heard: (row, type) => server.blocked.far?.heard(row, type),
    });
  }

  // --- worlds ------------------------------------------------------------------------------------------------------

  private moveWorld(): SlotMoveWorld {
    const { env } = this.options;
    return {
      env,
      ask: (to, request, answered) => this.askMember(to, request, answered),
      settle: (row, epoch, done) => {
        if (this.keeper.epoch < epoch) {
          done(false);
          return;
        }
        this.settleRow(row, done);
      },
    };
  }

  /** A change of the row that changes nothing. */
  private settleRow(row: RowName, done: (settled: boolean) => void): void {
    const settle = (state: Uint8Array | undefined): { state: Uint8Array | undefined; reply: undefined } => ({
      state,
      reply: undefined,
    });
    const deadlineMs = this.coordinator.nowMs() + SETTLE_TIMEOUT_MS;
    this.coordinator.change(row, settle, deadlineMs, (outcome) => done(outcome.kind === 'done'));
  }

  private askMember(
    to: MemberId,
    request: { method: number; payload: Uint8Array; epoch: number; timeoutMs: number },
    answered: (payload: Uint8Array | undefined) => void,
  ): void {
    const { method, payload, epoch, timeoutMs } = request;
    if (to === this.keeper.self) {
      this.door.answerSelf(method, payload, epoch).then(
        (told) => answered('failed' in told ? undefined : told),
        () => answered(undefined),
      );
      return;
    }
    const deadlineMs = this.coordinator.nowMs() + timeoutMs;
    const outgoing = { method, priority: priority.REPAIR, deadlineMs, epoch, payload };
    this.bus.request(this.keeper.nameOf(to), outgoing, (outcome) => {
      const isAnswer = outcome.kind === 'answered' && outcome.message.method === METHOD_ANSWERED;
      answered(isAnswer ? outcome.message.payload : undefined);
    });
  }

  private otherAddresses(): readonly string[] {
    const { topology, self } = this.keeper;
    return (topology?.members ?? []).filter(({ id }) => id !== self).map((member) => busAddress(member));
  }

  private holdsKeys(): boolean {
    const { counts } = this.options.state;
    for (let database = 0; database < 256; database++) if (counts.total(database) > 0) return true;
    return false;
  }

  /** What is to be said of a row that other nodes could not get from this one. */
  private async largeRow(): Promise<string | undefined> {
    const { engine, env, server } = this.options;
    const world = { store: engine, timers: env.timers, keyspace: server.keyspace };
    const large = await findLargeRow(world, MAX_STATE_BYTES);
    if (large === undefined) return undefined;
    const { key, database, bytes } = large;
    const limit = `more than the ${MAX_STATE_BYTES} that can pass between nodes`;
    return `key ${JSON.stringify(key.slice(0, 100))} of database ${database} has ${bytes} bytes, ${limit}; delete or shorten it`;
  }

  /** Removes what is left of rows that are no more. */
  private async clear(): Promise<void> {
    const { engine, state } = this.options;
    const batch = engine.newBatch();
    batch.deleteRange(Uint8Array.of(0, 0), localKey(''));
    batch.delete(FLUSH_KEY);
    engine.write(batch);
    state.flushMarks.fill(0);
    await engine.flush();
  }
}
