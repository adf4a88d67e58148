/**
 * A dispatcher over a store in memory, with many clients and turns that the test gives: for commands that take more than one
 * turn. Replies come back as plain values (`show` of command-runner.ts).
 */

import { allCommands } from '../../src/commands/all-commands.ts';
import { Client, type ClientConnection } from '../../src/commands/client.ts';
import { Dispatcher } from '../../src/commands/dispatch.ts';
import { whenSettled, PendingReply } from '../../src/commands/pending-reply.ts';
import type { Reply } from '../../src/commands/reply.ts';
import { Server } from '../../src/commands/server-state.ts';
import type { Store } from '../../src/engine/store.ts';
import type { Env } from '../../src/env.ts';
import { Hlc } from '../../src/repl/hlc.ts';
import { Keyspace, KeyspaceState } from '../../src/repl/keyspace.ts';
import { argsOf, show, type Word } from './command-runner.ts';
import { MemoryStore } from './memory-store.ts';

export class TurnsRunner<S extends Store = MemoryStore> {
  readonly store: S;
  readonly keyspace: Keyspace;
  readonly server: Server;
  nowMs = 1_700_000_000_000;
  /** Ends of turns that somebody waits for; `turn` gives them. */
  private waiting: (() => void)[] = [];
  private readonly dispatcher: Dispatcher;
  private readonly clients: Client[] = [];

  /** With `areWhole` no command takes turns. */
  constructor({
    store,
    state = new KeyspaceState(),
    areWhole = false,
  }: {
    store: S;
    state?: KeyspaceState;
    areWhole?: boolean;
  }) {
    this.store = store;
    const hlc = new Hlc({ wallMs: () => this.nowMs, ceiling: 0, persist: () => {} });
    this.keyspace = new Keyspace({ store, state, hlc, actor: 1 });
    this.server = new Server({ env: this.env(), keyspace: this.keyspace });
    const commands = areWhole ? allCommands.map((command) => ({ ...command, takesTurns: false })) : allCommands;
    this.dispatcher = new Dispatcher(this.server, commands);
    this.server.setCommands(this.dispatcher.table.rows);
  }

  /** Begins a command of a client; its reply when it is there. */
  async begin(client: number, ...words: readonly Word[]): Promise<unknown> {
    const reply = this.dispatcher.execute(this.client(client), argsOf(words));
    if (reply instanceof PendingReply) return show(await whenSettled(reply));
    return show((await reply) as Reply);
  }

  /** Runs a command of a client, with as many turns as it takes. */
  async run(client: number, ...words: readonly Word[]): Promise<unknown> {
    const reply = this.begin(client, ...words);
    await this.untilDone(reply);
    return await reply;
  }

  /** Gives turns until a promise settles; returns their number. */
  async untilDone(promise: Promise<unknown>): Promise<number> {
    let isDone = false;
    const done = (): void => {
      isDone = true;
    };
    promise.then(done, done);
    for (let turns = 0; ; turns++) {
      await settled();
      if (isDone) return turns;
      await this.turn();
    }
  }

  /** Ends one turn. */
  async turn(): Promise<void> {
    const { waiting } = this;
    this.waiting = [];
    for (const resume of waiting) resume();
    await settled();
  }

  client(number: number): Client {
    return (this.clients[number] ??= new Client({
      id: number + 1,
      server: this.server,
      connection: { isOpen: true } as ClientConnection,
      nowMs: this.nowMs,
      authenticated: true,
    }));
  }

  private env(): Env {
    let random = 1;
    return {
      clock: { wallMs: () => this.nowMs, monotonicUs: () => this.nowMs * 1000 },
      timers: {
        after: (_ms, run) => {
          this.waiting.push(run);
          return { cancel: () => {} };
        },
        every: () => ({ cancel: () => {} }),
        atTurnEnd: (run) => void this.waiting.push(run),
      },
      random: {
        next: () => (random = (random * 48_271) % 2_147_483_647) / 2_147_483_647,
        bytes: (n) => new Uint8Array(n),
      },
      disk: undefined as unknown as Env['disk'],
      network: undefined as unknown as Env['network'],
      threads: undefined as unknown as Env['threads'],
      log: { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} },
    };
  }
}

/** When all promises that are settled have had their say. */
export function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
