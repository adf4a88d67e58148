/**
 * The real network: node:net behind `Network`.
 *
 * A read needs no new buffer: every socket reads into one buffer shared by all (`onread`), which node:net offers for
 * sockets that we open and not for those that a server accepts. So an accepted socket is only the carrier of a handle:
 * the server leaves it paused, and a second socket with our `onread` takes the handle over. That costs a third
 * less CPU an operation than the stream form.
 */

import {
  createServer,
  Socket,
  type AddressInfo,
  type Server,
  type OnReadOpts,
  type SocketConstructorOpts,
} from 'node:net';
import { assert } from './assert.ts';
import type { Connection, ConnectionEvents, Listener, Log, Network, TlsIdentity } from './env.ts';
import { connectTls, createTlsServer } from './env-node-tls.ts';

/** Bytes of one read: large enough for a deep pipeline, small enough to stay in the processor's cache. */
const READ_BUFFER_SIZE_BYTES = 64 * 1024;
/** Redis's `tcp-keepalive` default: a peer that vanished is noticed within minutes. */
const KEEP_ALIVE_DELAY_MS = 300_000;
/** A line of the log for accept errors at most this often: each refused connection would write one. */
const ACCEPT_ERROR_LOG_INTERVAL_MS = 1_000;

/** Copies of bytes that one TLS connection holds before a writer is told to wait. */
const TLS_HIGH_WATER_BYTES = 256 * 1024;

const NOTHING = Buffer.alloc(0);

/** node:net's private handle of a socket; only moved from one socket to another. */
interface HandleOwner {
  _handle: unknown;
}

type HandleSocketOptions = SocketConstructorOpts & { readonly handle: unknown; readonly onread: OnReadOpts };

function plainAddress(address: string | undefined, port: number | undefined): string {
  if (address === undefined || port === undefined) return '?:0';
  const plain = address.startsWith('::ffff:') ? address.slice(7) : address;
  return plain.includes(':') ? `[${plain}]:${port}` : `${plain}:${port}`;
}

class NodeConnection implements Connection {
  peer = '?:0';
  local = '?:0';
  readonly #socket: Socket;
  #events: ConnectionEvents | undefined;
  #drainAsked = false;
  /** TLS: encrypting takes the bytes later than the call. */
  readonly #copies: boolean;
  readonly #drained = (): void => {
    this.#drainAsked = false;
    if (this.#socket.destroyed) return;
    if (this.#socket.writableLength > 0) this.#askDrain();
    else this.#events?.onDrain();
  };

  constructor(socket: Socket, copies = false) {
    this.#socket = socket;
    this.#copies = copies;
  }

  /** Requires: the socket is connected. */
  open(events: (connection: Connection) => ConnectionEvents): void {
    const socket = this.#socket;
    this.peer = plainAddress(socket.remoteAddress, socket.remotePort);
    this.local = plainAddress(socket.localAddress, socket.localPort);
    socket.on('close', () => this.#events?.onClose());
    socket.on('end', () => this.#ended());
    this.#events = events(this);
  }

  received(bytes: Uint8Array, end: number): void {
    this.#events?.onData(bytes, end);
  }

  #ended(): void {
    if (this.#events?.onEnd === undefined) this.#socket.end();
    else this.#events.onEnd();
  }

  get unsentBytes(): number {
    return this.#socket.writableLength;
  }

  write(bytes: Uint8Array): boolean {
    const socket = this.#socket;
    if (!socket.writable) return true;
    socket.write(this.#copies ? Buffer.from(bytes) : bytes);
    if (socket.writableLength <= (this.#copies ? TLS_HIGH_WATER_BYTES : 0)) return true;
    this.#askDrain();
    return false;
  }

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  end(): void {
    this.#socket.end();
  }

  destroy(): void {
    this.#socket.destroy();
  }

  /**
   * The event `drain` comes only after more than the high-water mark was unsent, and a callback on every write costs
   * every write; an empty write that ends after all others tells the same for the few that have to wait.
   */
  #askDrain(): void {
    if (this.#drainAsked) return;
    this.#drainAsked = true;
    this.#socket.write(NOTHING, this.#drained);
  }
}

/** TLS sockets hand over what they decrypted in buffers of their own. */
function openTls(socket: Socket, events: (connection: Connection) => ConnectionEvents): void {
  const connection = new NodeConnection(socket, true);
  connection.open(events);
  socket.on('data', (chunk: Buffer) => connection.received(chunk, chunk.length));
}

function bindReason(error: unknown, host: string, port: number): string {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  switch (code) {
    case 'EADDRINUSE':
      return `port ${port} on ${host} is in use: another server (perhaps redis-server) listens there; stop it or choose another port`;
    case 'EACCES':
      return `port ${port} on ${host} may not be bound: ports below 1024 need rights that this user does not have`;
    case 'EADDRNOTAVAIL':
      return `${host} is not an address of this machine: give one of its own addresses to bind`;
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return `the name ${host} cannot be resolved to an address to bind`;
    default:
      return `cannot listen on ${host}, port ${port}: ${error instanceof Error ? error.message : String(error)}`;
  }
}

export class NodeNetwork implements Network {
  readonly #log: Log;
  readonly #readBuffer = Buffer.allocUnsafeSlow(READ_BUFFER_SIZE_BYTES);
  #acceptErrorAtMs = 0;

  constructor(log: Log) {
    this.#log = log;
  }

  listen(options: {
    host: string;
    port: number;
    backlog: number;
    tls?: TlsIdentity;
    onConnection(connection: Connection): ConnectionEvents;
  }): Promise<Listener> {
    const { host, port, backlog } = options;
    const server = this.#newServer(options.tls, (connection) => options.onConnection(connection));
    return new Promise<Listener>((resolve, reject) => {
      const refused = (error: Error): void => reject(new Error(bindReason(error, host, port), { cause: error }));
      server.once('error', refused);
      server.listen({ host, port, backlog }, () => {
        server.off('error', refused);
        server.on('error', (error) => this.#acceptFailed(error));
        const address = server.address() as AddressInfo;
        resolve({
          port: address.port,
          // The listening socket is closed at once; the callback would wait for every open connection.
          close: () => {
            server.close();
            return Promise.resolve();
          },
        });
      });
    });
  }

  connect(options: {
    host: string;
    port: number;
    timeoutMs?: number;
    tls?: TlsIdentity;
    onOpen(connection: Connection): ConnectionEvents;
    onFail(error: Error): void;
  }): void {
    if (options.tls !== undefined) {
      this.#connectTls(options, options.tls);
      return;
    }
    // The connection is known only after the socket, which wants its callback first.
    const opened: { connection?: NodeConnection } = {};
    const socket = new Socket({
      allowHalfOpen: true,
      onread: this.#readInto((end, bytes) => opened.connection?.received(bytes, end)),
    } as SocketConstructorOpts);
    // As options of `connect` they are passed over without a word: a frame then waits 40 ms for the one before it.
    socket.setNoDelay(true);
    socket.setKeepAlive(true, KEEP_ALIVE_DELAY_MS);
    const connection = new NodeConnection(socket);
    opened.connection = connection;
    let isOpen = false;
    let failed = false;
    socket.on('error', (error) => {
      if (isOpen || failed) return;
      failed = true;
      options.onFail(error);
    });
    const { timeoutMs } = options;
    if (timeoutMs !== undefined) socket.setTimeout(timeoutMs, () => socket.destroy(new Error('no answer')));
    socket.connect({ host: options.host, port: options.port }, () => {
      isOpen = true;
      if (timeoutMs !== undefined) socket.setTimeout(0).removeAllListeners('timeout');
      connection.open((it) => options.onOpen(it));
    });
  }

  #newServer(tls: TlsIdentity | undefined, events: (connection: Connection) => ConnectionEvents): Server {
    if (tls !== undefined) return createTlsServer(tls, (socket) => openTls(socket, events));
    return createServer(
      { pauseOnConnect: true, noDelay: true, keepAlive: true, keepAliveInitialDelay: KEEP_ALIVE_DELAY_MS },
      (carrier) => this.#accept(carrier, events),
    );
  }

  #connectTls(options: Parameters<Network['connect']>[0], tls: TlsIdentity): void {
    let isOver = false;
    const socket = connectTls(options, tls, () => {
      isOver = true;
      openTls(socket, (connection) => options.onOpen(connection));
    });
    socket.on('error', (error) => {
      if (isOver) return;
      isOver = true;
      options.onFail(error);
    });
  }

  #readInto(callback: (end: number, bytes: Uint8Array) => void): OnReadOpts {
    return {
      buffer: this.#readBuffer,
      callback: (end, bytes) => {
        callback(end, bytes);
        return true;
      },
    };
  }

  #accept(carrier: Socket, events: (connection: Connection) => ConnectionEvents): void {
    const owner = carrier as unknown as HandleOwner;
    const handle = owner._handle;
    // The peer may be gone already; node:net has closed the handle then.
    if (handle === null || handle === undefined) return;
    owner._handle = null;
    const opened: { connection?: NodeConnection } = {};
    const socketOptions: HandleSocketOptions = {
      handle,
      allowHalfOpen: true,
      onread: this.#readInto((end, bytes) => opened.connection?.received(bytes, end)),
    };
    const socket = new Socket(socketOptions);
    // Resets and the like end in `close`, which is all that anyone acts on.
    socket.on('error', () => {});
    const connection = new NodeConnection(socket);
    opened.connection = connection;
    connection.open(events);
    assert(socket.listenerCount('close') > 0, 'the end of a connection is noticed');
  }

  #acceptFailed(error: Error): void {
    const nowMs = performance.now();
    if (nowMs - this.#acceptErrorAtMs < ACCEPT_ERROR_LOG_INTERVAL_MS) return;
    this.#acceptErrorAtMs = nowMs;
    this.#log.warn('a connection could not be accepted', { reason: error.message });
  }
}
