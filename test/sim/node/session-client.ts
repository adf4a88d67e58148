/**
 * A simulated client at level `session`: the only writer of its own key, moving from node to node with its token. What it
 * must see, whatever goes wrong: its own acknowledged writes (read your writes) and never less than it saw before
 * (monotonic reads); and nothing that it did not write.
 */

import type { EventLoop, Life } from '../event-loop.ts';
import type { Prng } from '../prng.ts';
import type { Host, SimNetwork } from './network.ts';
import type { ReplyText } from './operation.ts';
import { Exchange } from './exchange.ts';
import { RespClient } from './resp-client.ts';
import { CLIENT_PORT } from './setting.ts';

export interface SessionWorld {
  readonly loop: EventLoop;
  readonly network: SimNetwork;
  readonly swarm: { readonly thinkMs: number; readonly clientTimeoutMs: number };
  readonly targets: readonly string[];
  isOpen(): boolean;
  note(event: string): void;
  violation(what: string): void;
}

const REFUSALS =
  /^-(?:NOQUORUM|CLUSTERDOWN|UNCERTAIN|MISCONF|OOM|LOADING|BUSY|ERR max number of clients|ERR too many requests)\b/;
const MOVE_CHANCE = 0.3;

export class SessionClient {
  readonly name: string;
  answered = 0;
  private readonly world: SessionWorld;
  private readonly random: Prng;
  private readonly host: Host;
  private readonly life: Life;
  private readonly key: string;
  private connection: RespClient | undefined;
  private target = '';
  private token: string | undefined;
  /** Number of the last write that was tried. */
  private tried = 0;
  /** Writes that were not acknowledged and not seen: each may still take effect, whatever came after it. */
  private readonly open = new Set<number>();
  /** Writes in the order in which they took effect for this session, and the last that it saw. */
  private readonly effects = new Map<number, number>([[0, 0]]);
  private seen = 0;
  private readonly waiting: Exchange<ReplyText>;

  constructor(world: SessionWorld, options: { name: string; random: Prng }) {
    this.world = world;
    this.name = options.name;
    this.random = options.random;
    this.key = `session-${options.name}`;
    this.host = world.network.addHost(options.name, false);
    this.life = world.loop.life();
    this.waiting = new Exchange(this.life);
  }

  start(): void {
    this.life.after(this.random.next() * 2 * this.world.swarm.thinkMs, () => {
      if (!this.world.isOpen()) return;
      if (this.random.chance(MOVE_CHANCE)) this.leave();
      if (this.connection === undefined) this.connect();
      else if (this.random.chance(0.5)) this.write();
      else this.read();
    });
  }

  private write(): void {
    const number = ++this.tried;
    this.open.add(number);
    this.ask(['SET', this.key, String(number)], (reply) => {
      if (reply === '+OK') this.see(number);
      else this.refused(reply);
    });
  }

  private read(): void {
    this.ask(['GET', this.key], (reply) => {
      const number = reply === 'nil' ? 0 : Number(reply.slice(1));
      if (reply.startsWith('-')) this.refused(reply);
      else this.see(number);
    });
  }

  private see(number: number): void {
    if (this.open.delete(number)) this.effects.set(number, this.effects.size);
    const at = this.effects.get(number);
    if (at === undefined) this.wrong(`sees ${number}, which it never wrote`);
    else if (at < (this.effects.get(this.seen) as number)) this.wrong(`sees ${number} though it has seen ${this.seen}`);
    else this.seen = number;
  }

  private wrong(what: string): void {
    this.world.violation(`the session ${this.name} at ${this.target} ${what}`);
  }

  private refused(reply: ReplyText): void {
    if (!REFUSALS.test(reply)) this.wrong(`was answered ${reply}`);
    this.leave();
  }

  /** Asks, and for the token along with it, so that the next node knows what this one has shown. */
  private ask(words: readonly string[], judge: (reply: ReplyText) => void): void {
    this.exchange([words, ['KV.TOKEN']], (replies) => {
      const [reply, token] = replies ?? [];
      if (reply !== undefined && token !== undefined) {
        this.answered++;
        this.token = token.slice(1);
        this.world.note(`${this.name} at ${this.target} ${words.join(' ')}: ${reply}`);
        judge(reply);
      } else this.leave();
      this.start();
    });
  }

  private connect(): void {
    this.target = this.random.pick(this.world.targets);
    const at = { host: this.target, port: CLIENT_PORT };
    let wasOpen = false;
    const timer = this.life.after(this.world.swarm.clientTimeoutMs, () => {
      this.leave();
      this.start();
    });
    const connection: RespClient = new RespClient(this.world.network.of(this.host, this.life), at, {
      onOpen: () => {
        wasOpen = true;
        timer.cancel();
        const resume = this.token === undefined ? [] : [['KV.TOKEN', this.token]];
        this.exchange([['KV.LEVEL', 'session'], ...resume], (replies) => {
          if (replies === undefined || replies.some((reply) => reply !== '+OK')) this.leave();
          if (replies?.some((reply) => reply !== '+OK') === true) this.wrong(`was answered ${replies.join(' ')}`);
          this.start();
        });
      },
      onReply: (reply) => void this.waiting.heard(reply),
      onBroken: () => {
        if (this.connection !== connection) return;
        this.connection = undefined;
        // It was never open, or waits for an answer; else the next step comes anyway.
        if (!wasOpen) {
          timer.cancel();
          this.start();
        } else this.waiting.breakOff();
      },
    });
    this.connection = connection;
  }

  private leave(): void {
    this.connection?.drop();
    this.connection = undefined;
  }

  private exchange(
    commands: readonly (readonly string[])[],
    done: (replies: readonly ReplyText[] | undefined) => void,
  ): void {
    this.waiting.start(this.connection, commands, this.world.swarm.clientTimeoutMs, (replies) => {
      if (replies === undefined) this.leave();
      done(replies);
    });
  }
}
