/**
 * Runs commands over a store in memory without sockets: arity, view, handler (again after each Miss), slices, commit.
 * Time and randomness are the test's. Replies come back as plain values (`show`), bytes as text.
 */

import { Args } from '../../src/commands/args.ts';
import { BulksReply } from '../../src/commands/bulks-reply.ts';
import { Client, type ClientConnection } from '../../src/commands/client.ts';
import type { Command } from '../../src/commands/command.ts';
import { CommandError, wrongArity } from '../../src/commands/errors.ts';
import { keyCommands } from '../../src/commands/key.ts';
import {
  BooleanReply,
  DecimalReply,
  DoubleReply,
  EntriesReply,
  ErrorReply,
  MapReply,
  NullArray,
  ownBytes,
  PairsReply,
  type Reply,
  SetReply,
  SimpleString,
} from '../../src/commands/reply.ts';
import { Server } from '../../src/commands/server-state.ts';
import { stringCommands } from '../../src/commands/string.ts';
import { CommandTable } from '../../src/commands/table.ts';
import type { Env } from '../../src/env.ts';
import { Hlc } from '../../src/repl/hlc.ts';
import { Keyspace, KeyspaceState } from '../../src/repl/keyspace.ts';
import { Miss } from '../../src/repl/miss.ts';
import type { View } from '../../src/repl/view.ts';
import { MemoryStore } from './memory-store.ts';

/** When the runner's clock starts: 2023-11-14. */
export const START_MS = 1_700_000_000_000;

/** A command that misses more often than this will never answer. */
const MAX_ROUNDS = 10_000;

export type Word = string | number | Uint8Array;

export class CommandRunner {
  readonly store = new MemoryStore();
  readonly keyspace: Keyspace;
  readonly server: Server;
  readonly client: Client;
  nowMs = START_MS;
  /** Turns that sliced commands gave away. */
  pauses = 0;
  /** What `Random.next` says next; then 0.5. */
  readonly randoms: number[] = [];
  private readonly table: CommandTable;
  private readonly state = new KeyspaceState();

  constructor(extra: readonly Command[] = []) {
    const wallMs = (): number => this.nowMs;
    this.keyspace = new Keyspace({
      store: this.store,
      state: this.state,
      hlc: new Hlc({ wallMs, ceiling: 0, persist: () => {} }),
      actor: 1,
    });
    this.server = new Server({ env: this.env(), keyspace: this.keyspace });
    this.client = new Client({
      id: 1,
      server: this.server,
      connection: {} as ClientConnection,
      nowMs: this.nowMs,
      authenticated: true,
    });
    this.table = new CommandTable([...stringCommands, ...keyCommands, ...extra]);
  }

  /** Runs one command and returns its reply as plain values. */
  async run(...words: readonly Word[]): Promise<unknown> {
    return show(await this.reply(...words));
  }

  /** As `run`, in slices even when the command would answer at once. */
  async inSlices(...words: readonly Word[]): Promise<unknown> {
    const args = argsOf(words);
    const row = this.table.resolve(args);
    if (row?.runSliced === undefined) throw new Error(`no slices of ${args.text(0)}`);
    return show(await this.runSliced(row, args));
  }

  /** Whether a command would be run in slices. */
  isLong(...words: readonly Word[]): boolean {
    const args = argsOf(words);
    const row = this.table.resolve(args);
    return row?.isLong?.(this.view(), args) === true;
  }

  /** Runs a line of words separated by blanks. */
  async line(text: string): Promise<unknown> {
    return await this.run(...text.split(' '));
  }

  async reply(...words: readonly Word[]): Promise<Reply> {
    const args = argsOf(words);
    const row = this.table.resolve(args);
    if (row === undefined) throw new Error(`no command ${args.text(0)}`);
    if (row.arity > 0 ? args.count !== row.arity : args.count < -row.arity) return new ErrorReply(wrongArity(row.name));
    try {
      return row.run === undefined ? await this.runSliced(row, args) : await this.runWhole(row, args);
    } catch (thrown) {
      if (thrown instanceof CommandError) return thrown.reply;
      throw thrown;
    }
  }

  /** Runs the commands in one view, as EXEC does: again from the start after a Miss, then one commit. */
  async together(...commands: readonly (readonly Word[])[]): Promise<unknown[]> {
    const view = this.keyspace.newView();
    for (let round = 0; round < MAX_ROUNDS; round++) {
      view.begin(this.client.database, this.nowMs);
      try {
        const replies = commands.map((words) => show(ownBytes(this.runInside(view, words))));
        this.keyspace.commit(view);
        return replies;
      } catch (thrown) {
        if (!(thrown instanceof Miss)) throw thrown;
        await thrown.load();
      }
    }
    throw new Error('the commands found no rest');
  }

  private runInside(view: View, words: readonly Word[]): Reply {
    const args = argsOf(words);
    const row = this.table.resolve(args) as Command;
    try {
      if (row.run !== undefined) return row.run(view, args, this.client.context) as Reply;
      const slices = (row.runSliced as NonNullable<Command['runSliced']>)(view, args, this.client.context);
      for (;;) {
        const step = slices.next();
        if (step.done === true) return step.value;
        const wait = step.value;
        if (wait === undefined) continue;
        slices.return('');
        throw new Miss(() => wait);
      }
    } catch (thrown) {
      if (thrown instanceof CommandError) return thrown.reply;
      throw thrown;
    }
  }

  /** A view at the present moment, for what commands do not show. */
  view(): View {
    const view = this.keyspace.newView();
    view.begin(this.client.database, this.nowMs);
    return view;
  }

  private async runWhole(row: Command, args: Args): Promise<Reply> {
    const view = this.keyspace.newView();
    for (let round = 0; round < MAX_ROUNDS; round++) {
      view.begin(this.client.database, this.nowMs);
      try {
        const reply = await row.run?.(view, args, this.client.context);
        // Replies may show the engine's memory until the turn ends.
        const kept = ownBytes(reply as Reply);
        if (row.access !== 'read') this.keyspace.commit(view);
        return kept;
      } catch (thrown) {
        if (!(thrown instanceof Miss)) throw thrown;
        await thrown.load();
      }
    }
    throw new Error(`${row.name} found no rest`);
  }

  private async runSliced(row: Command, args: Args): Promise<Reply> {
    const view = this.view();
    const slices = (row.runSliced as NonNullable<Command['runSliced']>)(view, args, this.client.context);
    for (;;) {
      const step = slices.next();
      if (step.done === true) return ownBytes(step.value);
      if (step.value === undefined) this.pauses++;
      else await step.value;
    }
  }

  private env(): Env {
    return {
      clock: { wallMs: () => this.nowMs, monotonicUs: () => this.nowMs * 1000 },
      timers: { after: unused, every: unused, atTurnEnd: unused },
      random: { next: () => this.randoms.shift() ?? 0.5, bytes: (length) => new Uint8Array(length) },
      disk: undefined as unknown as Env['disk'],
      network: undefined as unknown as Env['network'],
      threads: undefined as unknown as Env['threads'],
      log: { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} },
    };
  }
}

export function argsOf(words: readonly Word[]): Args {
  return Args.of(...words.map((word) => (typeof word === 'number' ? String(word) : word)));
}

/** The strings of a long reply as text. */
function bulksOf(reply: BulksReply): string[] {
  const bytes = Buffer.concat(reply.chunks());
  const texts: string[] = [];
  for (let at = 0; at < bytes.length;) {
    const lineEnd = bytes.indexOf('\r\n', at);
    const start = lineEnd + 2;
    const end = start + Number(bytes.toString('latin1', at + 1, lineEnd));
    texts.push(bytes.toString('latin1', start, end));
    at = end + 2;
  }
  return texts;
}

function unused(): never {
  throw new Error('the tests of commands have no such thing');
}

/** A reply as plain values: bulk strings and simple strings as text (a byte a character), errors with a `-`. */
export function show(reply: Reply): unknown {
  if (reply instanceof Uint8Array) return Buffer.from(reply).toString('latin1');
  if (Array.isArray(reply)) return (reply as readonly Reply[]).map(show);
  if (reply instanceof SimpleString) return reply.text;
  if (reply instanceof ErrorReply) return `-${reply.message}`;
  if (reply instanceof NullArray) return null;
  if (reply instanceof DecimalReply) return reply.text;
  if (reply instanceof DoubleReply || reply instanceof BooleanReply) return reply.value;
  if (reply instanceof BulksReply) return bulksOf(reply);
  if (reply instanceof SetReply) return reply.members.map(show);
  if (reply instanceof MapReply) return reply.entries.map(([name, value]) => [show(name), show(value)]);
  if (reply instanceof EntriesReply) return reply.entries.map(([a, b]) => [show(a), show(b)]);
  if (reply instanceof PairsReply) return reply.pairs.map(([a, b]) => [show(a), show(b)]);
  return reply;
}
