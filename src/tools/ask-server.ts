/** A client of a running server, for tools: one command at a time, replies as text. */

import { createRequire } from 'node:module';
import type { Connection, ConnectionEvents, Network } from '../env.ts';

interface ReplyParser {
  execute(bytes: Buffer): void;
}

interface ReplyParserOptions {
  returnReply(reply: unknown): void;
  returnError(error: Error): void;
  returnFatalError(error: Error): void;
}

const RedisParser = createRequire(import.meta.url)('redis-parser') as new (options: ReplyParserOptions) => ReplyParser;

/** What RESP2 has, without errors. */
export type Answer = string | number | null | readonly Answer[];

/** The server answered with an error; the message is its text. */
export class ServerError extends Error {
  override readonly name = 'ServerError';
}

interface Waiting {
  resolve(answer: Answer): void;
  reject(error: Error): void;
}

export class ServerClient {
  private connection: Connection | undefined;
  private waiting: Waiting | undefined;
  private failure: Error | undefined;
  private readonly parser: ReplyParser;

  private constructor() {
    this.parser = new RedisParser({
      returnReply: (reply) => this.take()?.resolve(reply as Answer),
      returnError: (error) => this.take()?.reject(new ServerError(error.message)),
      returnFatalError: () => this.fail(new Error('this is no server that speaks RESP')),
    });
  }

  /** Rejects with an error fit for an operator when nobody listens there. */
  static connect(network: Network, at: { host: string; port: number }): Promise<ServerClient> {
    return new Promise((resolve, reject) => {
      const client = new ServerClient();
      network.connect({
        ...at,
        onOpen(connection) {
          client.connection = connection;
          resolve(client);
          return client.events();
        },
        onFail: (error) => reject(new Error(`no server answers at ${at.host}, port ${at.port}: ${error.message}`)),
      });
    });
  }

  /** The answer to one command; a `ServerError` when the server says no. Requires: the one before is answered. */
  call(...words: readonly string[]): Promise<Answer> {
    if (this.failure !== undefined) return Promise.reject(this.failure);
    const text = words.map((word) => `$${Buffer.byteLength(word)}\r\n${word}\r\n`).join('');
    return new Promise((resolve, reject) => {
      this.waiting = { resolve, reject };
      this.connection?.write(Buffer.from(`*${words.length}\r\n${text}`));
    });
  }

  close(): void {
    this.connection?.destroy();
  }

  private events(): ConnectionEvents {
    return {
      // The bytes are the network's, and the parser keeps what is not whole.
      onData: (bytes, end) => this.parser.execute(Buffer.from(bytes.subarray(0, end))),
      onDrain: () => {},
      onClose: () => this.fail(new Error('the server closed the connection')),
    };
  }

  private take(): Waiting | undefined {
    const { waiting } = this;
    this.waiting = undefined;
    return waiting;
  }

  private fail(error: Error): void {
    this.failure ??= error;
    this.take()?.reject(this.failure);
  }
}
