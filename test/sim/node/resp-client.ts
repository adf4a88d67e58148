/** One connection of a simulated client: sends commands, gives back replies as text, or says that it broke. */

import { createRequire } from 'node:module';
import type { Connection, ConnectionEvents, Network } from '../../../src/env.ts';
import { replyText, type ReplyText } from './operation.ts';

interface ReplyParser {
  execute(bytes: Buffer): void;
}

interface ReplyParserOptions {
  returnReply(reply: unknown): void;
  returnError(error: Error): void;
  returnFatalError(error: Error): void;
}

const RedisParser = createRequire(import.meta.url)('redis-parser') as new (options: ReplyParserOptions) => ReplyParser;

export interface RespEvents {
  onOpen(): void;
  /** As text, and as redis-parser gives it. */
  onReply(reply: ReplyText, raw: unknown): void;
  /** Called once: it could not be opened, or it is closed. */
  onBroken(): void;
}

export class RespClient {
  private readonly events: RespEvents;
  private connection: Connection | undefined;
  private isBroken = false;

  constructor(network: Network, at: { host: string; port: number }, events: RespEvents) {
    this.events = events;
    network.connect({
      ...at,
      onOpen: (connection) => this.open(connection),
      onFail: () => this.breakOff(),
    });
  }

  get isOpen(): boolean {
    return this.connection !== undefined && !this.isBroken;
  }

  /** Sends commands in one piece. Requires: it is open. */
  send(commands: readonly (readonly string[])[]): void {
    const text = commands
      .map((words) => `*${words.length}\r\n${words.map((word) => `$${word.length}\r\n${word}\r\n`).join('')}`)
      .join('');
    this.connection?.write(Buffer.from(text, 'latin1'));
  }

  /** Nothing more is told of it. */
  drop(): void {
    this.isBroken = true;
    this.connection?.destroy();
  }

  private open(connection: Connection): ConnectionEvents {
    this.connection = connection;
    if (this.isBroken) connection.destroy();
    const parser = new RedisParser({
      returnReply: (reply) => this.reply(reply),
      returnError: (error) => this.reply(error),
      returnFatalError: () => connection.destroy(),
    });
    if (!this.isBroken) this.events.onOpen();
    return {
      onData: (bytes, end) => parser.execute(Buffer.from(bytes.subarray(0, end))),
      onDrain: () => {},
      onClose: () => this.breakOff(),
    };
  }

  private reply(reply: unknown): void {
    if (!this.isBroken) this.events.onReply(replyText(reply), reply);
  }

  private breakOff(): void {
    if (this.isBroken) return;
    this.isBroken = true;
    this.events.onBroken();
  }
}
