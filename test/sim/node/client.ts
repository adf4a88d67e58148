/**
 * A simulated client: one operation at a time against some node, over a connection that it opens anew when it breaks,
 * noting what it saw. It decides from replies alone what is known of an operation's outcome.
 */

import { unreachable } from '../../../src/assert.ts';
import type { CellCommand } from './collection-model.ts';
import type { EventLoop, Life } from '../event-loop.ts';
import type { Prng } from '../prng.ts';
import type { History, Outcome } from './history.ts';
import type { Host, SimNetwork } from './network.ts';
import { padded, unpadded, wordsOf, type Operation, type ReplyText, type Single } from './operation.ts';
import { Exchange } from './exchange.ts';
import { RespClient } from './resp-client.ts';
import { CLIENT_PORT } from './setting.ts';
import type { Swarm, Workload } from './swarm.ts';

/** Histories of more operations take the checker too long. */
const MAX_OPERATIONS_PER_KEY = 200;

/** Errors after which an operation has certainly not taken effect. */
export const CERTAIN_REFUSALS =
  /^-(?:NOQUORUM|CLUSTERDOWN|LOADING|BUSY|OOM|MISCONF|NOREPLICAS|TRYAGAIN|EXECABORT|NOAUTH|ERR max number of clients|ERR too many requests)\b/;
/** It may have taken effect. */
export const UNKNOWN = /^-UNCERTAIN\b/;

export interface ClientWorld {
  readonly loop: EventLoop;
  readonly network: SimNetwork;
  readonly history: History;
  readonly swarm: Swarm;
  /** Names of the nodes' machines. */
  readonly targets: readonly string[];
  /** Whether new operations may begin. */
  isOpen(): boolean;
  note(event: string): void;
  violation(what: string): void;
}

export interface ClientOptions {
  readonly name: string;
  readonly random: Prng;
}

export class SimClient {
  readonly name: string;
  operations = 0;
  private readonly world: ClientWorld;
  private readonly random: Prng;
  private readonly host: Host;
  private readonly life: Life;
  private target: string;
  private connection: RespClient | undefined;
  private readonly running: Exchange<ReplyText>;
  private serial = 0;

  constructor(world: ClientWorld, options: ClientOptions) {
    this.world = world;
    this.name = options.name;
    this.random = options.random;
    this.host = world.network.addHost(options.name, false);
    this.life = world.loop.life();
    this.running = new Exchange(this.life);
    this.target = this.random.pick(world.targets);
  }

  start(): void {
    this.think();
  }

  /** Runs one operation at one node and gives its outcome; for checks after the run. Requires: it is idle. */
  runAt(target: string, key: string, operation: Operation, done: (outcome: Outcome, reply?: ReplyText) => void): void {
    if (target !== this.target) this.leave();
    this.target = target;
    this.run(key, operation, done);
  }

  private think(): void {
    this.life.after(this.random.next() * 2 * this.world.swarm.thinkMs, () => {
      if (!this.world.isOpen()) return;
      const { keys, sticky } = this.world.swarm;
      if (this.world.history.size >= keys.length * MAX_OPERATIONS_PER_KEY) return;
      if (!this.random.chance(sticky)) this.move();
      const index = this.random.below(keys.length);
      const workload = keys[index] as Workload;
      const key = keyName(workload, index);
      this.run(key, this.draw(workload), (outcome) => {
        if (outcome !== 'done') this.move();
        this.think();
      });
    });
  }

  /** Goes on at another node, or the same anew. */
  private move(): void {
    const next = this.random.pick(this.world.targets);
    if (next === this.target && this.connection?.isOpen === true && this.random.chance(0.8)) return;
    this.leave();
    this.target = next;
  }

  private leave(): void {
    this.connection?.drop();
    this.connection = undefined;
  }

  private newValue(): string {
    return `${this.name}.${++this.serial}`;
  }

  private draw(workload: Workload): Operation {
    const { random } = this;
    const dice = random.next();
    const value = this.newValue();
    switch (workload) {
      case 'register':
        if (dice < 0.4) return { kind: 'get' };
        if (dice < 0.6) return { kind: 'set', value };
        if (dice < 0.7) return { kind: 'setnx', value };
        if (dice < 0.8) return { kind: 'setxx', value };
        if (dice < 0.86) return { kind: 'del' };
        if (dice < 0.92) return { kind: 'getdel' };
        return { kind: 'swap', value };
      case 'counter': {
        // Each base is written once, so that a count tells where it started.
        const base = String((Number(this.name.replaceAll(/\D/g, '')) * 10_000 + this.serial) * 10_000);
        if (dice < 0.5) return { kind: 'incr' };
        if (dice < 0.75) return { kind: 'get' };
        if (dice < 0.82) return { kind: 'set', value: base };
        if (dice < 0.86) return { kind: 'del' };
        const parts: Single[] = [{ kind: 'incr' }, { kind: 'get' }];
        if (random.chance(0.5)) parts.push({ kind: 'incr' });
        return { kind: 'multi', parts };
      }
      case 'log':
        if (dice < 0.5) return { kind: 'append', value: `${value};` };
        if (dice < 0.9) return { kind: 'get' };
        return dice < 0.95 ? { kind: 'del' } : { kind: 'set', value: `${value};` };
      case 'expiring': {
        const px = random.pick([20, 100, 500]);
        if (dice < 0.25) return { kind: 'setpx', value, px };
        if (dice < 0.45) return { kind: 'setnxpx', value, px };
        if (dice < 0.5) return { kind: 'set', value };
        return dice < 0.95 ? { kind: 'get' } : { kind: 'del' };
      }
      case 'hash':
      case 'list':
      case 'set':
      case 'scores':
        return drawCell(random, workload, {
          value,
          earlier: `${this.name}.${Math.max(1, this.serial - 3)}`,
          padding: this.world.swarm.padding,
        });
      default:
        return unreachable(workload);
    }
  }

  private run(key: string, operation: Operation, done: (outcome: Outcome, reply?: ReplyText) => void): void {
    this.operations++;
    const { world } = this;
    const callUs = world.loop.nowUs;
    const begun = world.history.begin({ key, client: this.name, operation, callUs });
    const end = (outcome: Outcome, reply?: ReplyText): void => {
      begun.end(outcome, world.loop.nowUs, reply);
      world.note(`${this.name} at ${this.target} ${operation.kind} ${key}: ${outcome} ${unpadded(reply ?? '')}`);
      done(outcome, reply);
    };
    this.connect((isOpen) => {
      if (!isOpen) {
        end('certainly not');
      } else if (operation.kind === 'swap') {
        this.swap(key, operation.value, { watched: (reply) => begun.watched(reply), end });
      } else {
        const commands = commandsOf(operation, key);
        this.exchange(commands, (replies) => this.conclude(replies, end));
      }
    });
  }

  private swap(
    key: string,
    value: string,
    heard: { watched(reply: ReplyText): void; end(outcome: Outcome, reply?: ReplyText): void },
  ): void {
    this.exchange([['WATCH', key], wordsOf({ kind: 'get' }, key)], (first) => {
      const [watch, seen] = first ?? [];
      if (watch !== '+OK' || seen === undefined || seen.startsWith('-')) {
        this.conclude(first, (outcome) => heard.end(outcome === 'done' ? 'certainly not' : outcome));
        return;
      }
      heard.watched(seen);
      const commands = [['MULTI'], wordsOf({ kind: 'set', value }, key), ['EXEC']];
      this.exchange(commands, (second) => this.conclude(second, heard.end));
    });
  }

  /** What the replies say of the operation; the last one is its own. */
  private conclude(
    replies: readonly ReplyText[] | undefined,
    end: (outcome: Outcome, reply?: ReplyText) => void,
  ): void {
    const reply = replies?.at(-1);
    if (reply === undefined) end('unknown');
    else if (!reply.startsWith('-')) end('done', reply);
    else if (UNKNOWN.test(reply)) end('unknown', reply);
    else if (CERTAIN_REFUSALS.test(reply)) end('certainly not', reply);
    else {
      this.world.violation(`${this.name} was answered ${reply}`);
      end('unknown', reply);
    }
    // After an error a transaction may still be open; a new connection has none.
    if (reply?.startsWith('-') === true && (replies?.length ?? 0) > 1) this.leave();
  }

  private connect(then: (isOpen: boolean) => void): void {
    if (this.connection?.isOpen === true) {
      then(true);
      return;
    }
    let waits = true;
    const settle = (isOpen: boolean): void => {
      if (!waits) return;
      waits = false;
      timer.cancel();
      if (!isOpen) this.leave();
      then(isOpen);
    };
    const timer = this.life.after(this.world.swarm.clientTimeoutMs, () => settle(false));
    const at = { host: this.target, port: CLIENT_PORT };
    const connection: RespClient = new RespClient(this.world.network.of(this.host, this.life), at, {
      onOpen: () => settle(true),
      onReply: (reply) => this.heard(reply),
      onBroken: () => {
        settle(false);
        if (this.connection !== connection) return;
        this.leave();
        this.running.breakOff();
      },
    });
    this.connection = connection;
  }

  /** Sends commands in one piece and waits for all replies; undefined: not all of them came. */
  private exchange(
    commands: readonly (readonly string[])[],
    done: (replies: readonly ReplyText[] | undefined) => void,
  ): void {
    this.running.start(this.connection, commands, this.world.swarm.clientTimeoutMs, (replies) => {
      if (replies === undefined) this.leave();
      done(replies);
    });
  }

  private heard(reply: ReplyText): void {
    if (!this.running.heard(reply)) {
      this.world.violation(`${this.name} was answered ${reply} without having asked`);
    }
  }
}

/** What reads a whole key of this workload. */
export function readingOf(workload: Workload): Single {
  const command = ({ hash: 'HGETALL', list: 'LRANGE', set: 'SMEMBERS', scores: 'ZRANGE' } as const)[
    workload as 'hash' | 'list' | 'set' | 'scores'
  ] as 'HGETALL' | 'LRANGE' | 'SMEMBERS' | 'ZRANGE' | undefined;
  return command === undefined ? { kind: 'get' } : { kind: 'cell', command };
}

/** Few names, so that clients meet; values that are not numbers are written once. */
function drawCell(
  random: Prng,
  workload: 'hash' | 'list' | 'set' | 'scores',
  given: { readonly value: string; readonly earlier: string; readonly padding: number },
): Operation {
  const [value, earlier, name] = [given.value, given.earlier, random.pick(['a', 'b', 'e'])].map((text) =>
    padded(text, given.padding),
  ) as [string, string, string];
  const score = String(random.below(1_000));
  const cell = (command: CellCommand, parts: { name?: string; value?: string } = {}): Single => ({
    kind: 'cell',
    command,
    ...parts,
  });
  const one = (): Single => {
    switch (workload) {
      case 'hash': {
        const command = random.pick(['HSET', 'HSETNX', 'HGET', 'HDEL', 'HLEN', 'HINCRBY', 'HINCRBY'] as const);
        if (command === 'HINCRBY') return cell(command, { name: 'n', value: '1' });
        if (command === 'HLEN') return cell(command);
        return command === 'HGET' || command === 'HDEL' ? cell(command, { name }) : cell(command, { name, value });
      }
      case 'list': {
        const command = random.pick(['RPUSH', 'RPUSH', 'LPUSH', 'LPUSHX', 'LPOP', 'RPOP', 'LREM', 'LLEN'] as const);
        if (command === 'LREM') return cell(command, { value: earlier });
        return command.includes('PUSH') ? cell(command, { value }) : cell(command);
      }
      case 'set': {
        const command = random.pick(['SADD', 'SADD', 'SREM', 'SISMEMBER', 'SCARD'] as const);
        return command === 'SCARD' ? cell(command) : cell(command, { name });
      }
      default: {
        const command = random.pick(['ZADD', 'ZADD NX', 'ZADD GT', 'ZINCRBY', 'ZREM', 'ZSCORE', 'ZPOPMIN'] as const);
        return command === 'ZPOPMIN' ? cell(command) : cell(command, { name, value: score });
      }
    }
  };
  if (random.chance(0.2)) return readingOf(workload);
  if (random.chance(0.03)) return cell('UNLINK');
  return random.chance(0.15) ? { kind: 'multi', parts: [one(), one()] } : one();
}

/** Keys say their workload, and lie in different slots. */
export function keyName(workload: Workload, index: number): string {
  return `${workload}${index}`;
}

function commandsOf(operation: Exclude<Operation, { kind: 'swap' }>, key: string): string[][] {
  if (operation.kind === 'expiry') return [];
  if (operation.kind !== 'multi') return [wordsOf(operation, key)];
  return [['MULTI'], ...operation.parts.map((part) => wordsOf(part, key)), ['EXEC']];
}
