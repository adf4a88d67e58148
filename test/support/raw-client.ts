/**
 * A client for tests that shows exactly what a server sends: argv arrays or raw bytes out, decoded values or raw bytes
 * in, pushes apart, no reconnecting and no cleverness.
 */

import { connect, type Socket } from 'node:net';
import { decodeReply, Incomplete, RespPush, type BulkForm, type RespValue } from './resp-decoder.ts';

/** Bytes kept for `readToEnd`. */
const RECEIVED_MAX_BYTES = 1024 * 1024;

export type Word = string | Uint8Array | number;

export interface RawClientOptions {
  readonly port: number;
  readonly host?: string;
  /** Bulk strings in replies; text by default. */
  readonly bulk?: BulkForm;
}

interface Reply {
  readonly value: RespValue;
  readonly bytes: Buffer;
}

interface Waiter<T> {
  resolve(value: T): void;
  reject(error: Error): void;
}

/** Values that come before they are asked for, and questions that come before their values. */
class Mailbox<T> {
  private readonly values: T[] = [];
  private readonly waiters: Waiter<T>[] = [];
  private failure: Error | undefined;

  put(value: T): void {
    const waiter = this.waiters.shift();
    if (waiter === undefined) this.values.push(value);
    else waiter.resolve(value);
  }

  take(): Promise<T> {
    if (this.values.length > 0) return Promise.resolve(this.values.shift() as T);
    if (this.failure !== undefined) return Promise.reject(this.failure);
    return new Promise((resolve, reject) => this.waiters.push({ resolve, reject }));
  }

  fail(error: Error): void {
    this.failure = error;
    for (const waiter of this.waiters.splice(0)) waiter.reject(error);
  }
}

export class RawClient {
  /** Resolves when the connection is closed, by whichever side. */
  readonly closed: Promise<void>;
  isClosed = false;
  private readonly socket: Socket;
  private readonly bulk: BulkForm;
  private readonly replies = new Mailbox<Reply>();
  private readonly pushes = new Mailbox<RespPush>();
  private readonly received: Buffer[] = [];
  private receivedLength = 0;
  /** What is not decoded yet; looked at again when `missing` more bytes are there, so long replies cost no square. */
  private unread: Buffer[] = [];
  private missing = 0;

  /** Use `RawClient.connect`. */
  constructor(socket: Socket, bulk: BulkForm) {
    this.socket = socket;
    this.bulk = bulk;
    socket.on('data', (data) => this.onData(data));
    socket.on('error', () => {});
    this.closed = new Promise((resolve) => {
      socket.on('close', () => {
        this.isClosed = true;
        this.fail(new Error('the connection was closed'));
        resolve();
      });
    });
  }

  static connect(options: RawClientOptions): Promise<RawClient> {
    return new Promise((resolve, reject) => {
      const socket = connect({ port: options.port, host: options.host ?? '127.0.0.1', noDelay: true });
      socket.once('error', reject);
      socket.once('connect', () => {
        socket.off('error', reject);
        resolve(new RawClient(socket, options.bulk ?? 'text'));
      });
    });
  }

  /** The reply to one command. An error reply is a `RespError`; a closed connection rejects. */
  async call(...words: readonly Word[]): Promise<RespValue> {
    this.send(encodeCommand(words));
    return (await this.replies.take()).value;
  }

  /** The bytes of the reply to one command. */
  async callRaw(...words: readonly Word[]): Promise<Buffer> {
    this.send(encodeCommand(words));
    return (await this.replies.take()).bytes;
  }

  /** Sends all commands at once and gives their replies. */
  async pipeline(commands: readonly (readonly Word[])[]): Promise<RespValue[]> {
    this.send(Buffer.concat(commands.map(encodeCommand)));
    const values: RespValue[] = [];
    for (let i = 0; i < commands.length; i++) values.push((await this.replies.take()).value);
    return values;
  }

  /** Sends bytes as they are, or text as UTF-8. */
  send(bytes: Uint8Array | string): void {
    this.socket.write(bytes);
  }

  /** The next reply that nobody has asked for yet. */
  async reply(): Promise<RespValue> {
    return (await this.replies.take()).value;
  }

  /** The next RESP3 push (`>`); pushes are never replies. */
  nextPush(): Promise<RespPush> {
    return this.pushes.take();
  }

  /** What the server has sent by the time it closes the connection: the first MiB. */
  async readToEnd(): Promise<Buffer> {
    await this.closed;
    return Buffer.concat(this.received);
  }

  /** What was received so far: the first MiB. */
  receivedBytes(): Buffer {
    return Buffer.concat(this.received);
  }

  /** Stops and restarts taking what the server sends: a client that does not read. */
  pause(): void {
    this.socket.pause();
  }

  resume(): void {
    this.socket.resume();
  }

  /** Says that nothing more will be sent; the server may still answer. */
  end(): void {
    this.socket.end();
  }

  close(): Promise<void> {
    this.socket.destroy();
    return this.closed;
  }

  private onData(data: Buffer): void {
    if (this.receivedLength < RECEIVED_MAX_BYTES) this.received.push(data);
    this.receivedLength += data.length;
    this.unread.push(data);
    this.missing -= data.length;
    if (this.missing <= 0) this.decode();
  }

  private decode(): void {
    const bytes = Buffer.concat(this.unread);
    let at = 0;
    try {
      for (;;) {
        const decoded = decodeReply(bytes, at, this.bulk);
        if (decoded instanceof Incomplete) {
          this.missing = decoded.missing;
          break;
        }
        const { value, end } = decoded;
        if (value instanceof RespPush) this.pushes.put(value);
        else this.replies.put({ value, bytes: Buffer.from(bytes.subarray(at, end)) });
        at = end;
      }
    } catch (error) {
      this.fail(error as Error);
      this.socket.destroy();
    }
    this.unread = at < bytes.length ? [bytes.subarray(at)] : [];
  }

  private fail(error: Error): void {
    this.replies.fail(error);
    this.pushes.fail(error);
  }
}

/** One command as an array of bulk strings. */
export function encodeCommand(words: readonly Word[]): Buffer {
  const parts: Uint8Array[] = [Buffer.from(`*${words.length}\r\n`)];
  for (const word of words) {
    const bytes = typeof word === 'object' ? word : Buffer.from(String(word));
    parts.push(Buffer.from(`$${bytes.length}\r\n`), bytes, Buffer.from('\r\n'));
  }
  return Buffer.concat(parts);
}
