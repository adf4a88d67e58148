/** One client connection of the harness: sends words, hands back decoded replies in order. */

import { connect, type Socket } from 'node:net';

import { DecodeError, type Tree, TreeDecoder } from './tree.ts';

const REPLY_TIMEOUT_MS = 20_000;

export type Word = string | Uint8Array;

/** A command as RESP: an array of bulk strings. */
export function encode(words: readonly Word[]): Buffer {
  const parts: Buffer[] = [Buffer.from(`*${words.length}\r\n`)];
  for (const word of words) {
    const bytes = typeof word === 'string' ? Buffer.from(word) : Buffer.from(word);
    parts.push(Buffer.from(`$${bytes.length}\r\n`), bytes, Buffer.from('\r\n'));
  }
  return Buffer.concat(parts);
}

export class TestConnection {
  private readonly socket: Socket;
  private readonly decoder = new TreeDecoder();
  private readonly waiting: ((tree: Tree) => void)[] = [];
  /** Replies that nobody has asked for yet: to raw bytes, or MONITOR's lines. */
  private readonly unclaimed: Tree[] = [];
  /** RESP3 pushes, apart from the replies. */
  readonly pushes: Tree[] = [];
  closed = false;
  failure: Error | undefined;

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.setNoDelay(true);
    socket.on('data', (chunk: Buffer) => this.onData(chunk));
    socket.on('error', (error) => (this.failure = error));
    socket.on('close', () => {
      this.closed = true;
      for (const resolve of this.waiting.splice(0)) resolve({ kind: 'closed' });
    });
  }

  static open(port: number): Promise<TestConnection> {
    return new Promise((resolve, reject) => {
      const socket = connect({ host: '127.0.0.1', port });
      socket.once('error', reject);
      socket.once('connect', () => {
        socket.off('error', reject);
        resolve(new TestConnection(socket));
      });
    });
  }

  send(...words: readonly Word[]): Promise<Tree> {
    return this.sendBytes(encode(words));
  }

  /** Sends bytes as they are and waits for the next reply. */
  sendBytes(bytes: Uint8Array): Promise<Tree> {
    this.write(bytes);
    return this.next();
  }

  /** Sends bytes that call for no reply. */
  write(bytes: Uint8Array): void {
    if (!this.closed) this.socket.write(bytes);
  }

  /** The next reply that comes, or came. */
  next(timeoutMs = REPLY_TIMEOUT_MS): Promise<Tree> {
    const ready = this.unclaimed.shift();
    if (ready !== undefined) return Promise.resolve(ready);
    if (this.closed) return Promise.resolve({ kind: 'closed' });
    return new Promise((resolve) => {
      const timer = setTimeout(() => {
        const place = this.waiting.indexOf(settle);
        if (place >= 0) this.waiting.splice(place, 1);
        resolve({ kind: 'timeout' });
      }, timeoutMs);
      const settle = (tree: Tree): void => {
        clearTimeout(timer);
        resolve(tree);
      };
      this.waiting.push(settle);
    });
  }

  close(): void {
    this.socket.destroy();
  }

  private onData(chunk: Buffer): void {
    let trees: Tree[];
    try {
      trees = this.decoder.feed(chunk);
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      this.failure = error;
      this.socket.destroy();
      return;
    }
    for (const tree of trees) {
      if (tree.kind === 'push') {
        this.pushes.push(tree);
        continue;
      }
      const resolve = this.waiting.shift();
      if (resolve === undefined) this.unclaimed.push(tree);
      else resolve(tree);
    }
  }
}
