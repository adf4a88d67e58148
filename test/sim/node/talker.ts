/**
 * A simulated client as a conversation: sends commands, waits for their replies, goes on at another node when something
 * broke. What it was told is told apart as it must be: not sent, answered, or unknown.
 */

import type { EventLoop, Life } from '../event-loop.ts';
import type { Prng } from '../prng.ts';
import { CERTAIN_REFUSALS, UNKNOWN } from './client.ts';
import type { Host, SimNetwork } from './network.ts';
import { replyText, unpadded, type ReplyText } from './operation.ts';
import { Exchange } from './exchange.ts';
import { RespClient } from './resp-client.ts';
import { CLIENT_PORT } from './setting.ts';

/** Of RESP2, as redis-parser gives it. */
export type RawReply = string | number | null | Error | RawReply[];

/** What became of commands sent in one piece: their last reply, that nothing happened, or nobody knows. */
export type Told =
  | { readonly kind: 'done'; readonly reply: RawReply; readonly replies: readonly RawReply[] }
  | { readonly kind: 'nothing'; readonly why: string }
  | { readonly kind: 'unknown' };

export interface TalkerWorld {
  readonly loop: EventLoop;
  readonly network: SimNetwork;
  readonly swarm: {
    readonly thinkMs: number;
    readonly clientTimeoutMs: number;
    readonly sticky: number;
    readonly padding: number;
  };
  readonly targets: readonly string[];
  isOpen(): boolean;
  note(event: string): void;
  violation(what: string): void;
}

const FINAL_TRIES = 200;
const FINAL_PAUSE_MS = 50;

export class Talker {
  readonly name: string;
  /** Commands, or groups of them, that were sent, and those that were answered. */
  asked = 0;
  answered = 0;
  private readonly world: TalkerWorld;
  private readonly random: Prng;
  private readonly host: Host;
  private readonly life: Life;
  private connection: RespClient | undefined;
  private readonly running: Exchange<RawReply>;
  private target: string;

  constructor(world: TalkerWorld, options: { name: string; random: Prng }) {
    this.world = world;
    this.name = options.name;
    this.random = options.random;
    this.host = world.network.addHost(options.name, false);
    this.life = world.loop.life();
    this.running = new Exchange(this.life);
    this.target = this.random.pick(world.targets);
  }

  sleep(ms: number): Promise<void> {
    return new Promise((resolve) => this.life.after(ms, resolve));
  }

  /** Goes on at another node with a connection of its own. */
  move(target = this.random.pick(this.world.targets)): void {
    this.connection?.drop();
    this.connection = undefined;
    this.target = target;
  }

  /**
   * Sends commands in one piece; only the last one's reply counts. `askAll`: none of them may fail.
   * `waitMs`: longer than usual, for commands that block. `refusal`: an error that says that nothing happened. Unless it
   * was answered, the next commands go to another node.
   */
  async ask(
    commands: readonly (readonly string[])[],
    options: { readonly waitMs?: number; readonly refusal?: string } = {},
  ): Promise<Told> {
    this.asked++;
    const told = await this.tell(commands, options);
    const words = unpadded(commands.map((each) => each.join(' ')).join('; '));
    const shown =
      told.kind === 'done'
        ? unpadded(replyText(told.reply))
        : told.kind === 'nothing'
          ? `nothing, ${told.why}`
          : told.kind;
    this.world.note(`${this.name} at ${this.target} ${words}: ${shown}`);
    if (told.kind === 'done') this.answered++;
    else this.move();
    return told;
  }

  /** As `ask`, for commands that change nothing: the replies of all, or undefined when any of them failed. */
  async askAll(commands: readonly (readonly string[])[]): Promise<readonly RawReply[] | undefined> {
    const told = await this.ask(commands);
    if (told.kind !== 'done') return undefined;
    if (!told.replies.some((reply) => reply instanceof Error)) return told.replies;
    this.move();
    return undefined;
  }

  /** Time passes, and perhaps it goes on at another node. */
  async think(): Promise<void> {
    const { thinkMs, sticky } = this.world.swarm;
    await this.sleep(this.random.next() * 2 * thinkMs);
    if (!this.random.chance(sticky)) this.move();
  }

  /** Asks until it is answered. For times when nothing goes wrong. */
  async askSurely(commands: readonly (readonly string[])[]): Promise<RawReply> {
    for (let tries = 0; tries < FINAL_TRIES; tries++) {
      const told = await this.ask(commands);
      if (told.kind === 'done') return told.reply;
      await this.sleep(FINAL_PAUSE_MS);
    }
    throw new Error(`no answer though nothing goes wrong: ${commands.map((words) => words.join(' ')).join('; ')}`);
  }

  private async tell(
    commands: readonly (readonly string[])[],
    { waitMs = 0, refusal }: { readonly waitMs?: number; readonly refusal?: string },
  ): Promise<Told> {
    if (!(await this.connect())) return { kind: 'nothing', why: 'not connected' };
    const replies = await this.exchange(commands, waitMs);
    const reply = replies?.at(-1);
    if (replies === undefined || reply === undefined) return { kind: 'unknown' };
    const failure = failureOf(reply);
    if (failure === undefined) return { kind: 'done', reply, replies };
    if (UNKNOWN.test(failure)) return { kind: 'unknown' };
    if (CERTAIN_REFUSALS.test(failure) || failure === refusal) return { kind: 'nothing', why: failure };
    this.world.violation(`${this.name} was answered ${failure}`);
    return { kind: 'unknown' };
  }

  private connect(): Promise<boolean> {
    if (this.connection?.isOpen === true) return Promise.resolve(true);
    return new Promise((resolve) => {
      const timer = this.life.after(this.world.swarm.clientTimeoutMs, () => {
        this.connection?.drop();
        resolve(false);
      });
      const at = { host: this.target, port: CLIENT_PORT };
      const connection: RespClient = new RespClient(this.world.network.of(this.host, this.life), at, {
        onOpen: () => {
          timer.cancel();
          resolve(true);
        },
        onReply: (_, raw) => this.heard(raw as RawReply),
        onBroken: () => {
          timer.cancel();
          resolve(false);
          if (this.connection === connection) this.running.breakOff();
        },
      });
      this.connection = connection;
    });
  }

  private exchange(commands: readonly (readonly string[])[], waitMs: number): Promise<readonly RawReply[] | undefined> {
    return new Promise((resolve) => {
      this.running.start(this.connection, commands, this.world.swarm.clientTimeoutMs + waitMs, resolve);
    });
  }

  private heard(reply: RawReply): void {
    if (!this.running.heard(reply)) {
      this.world.violation(`${this.name} was answered ${replyText(reply)} without having asked`);
    }
  }
}

/** An error as text, of a command or of one within EXEC. */
function failureOf(reply: RawReply): ReplyText | undefined {
  if (reply instanceof Error) return replyText(reply);
  if (!Array.isArray(reply)) return undefined;
  const inner = reply.find((each) => each instanceof Error);
  return inner === undefined ? undefined : `-ERR within EXEC: ${replyText(inner)}`;
}
