/**
 * The one door to the world: clock, timers, randomness, files, sockets, threads and the log come into
 * Kvorum through these interfaces only. `env-node.ts` is the real implementation; `test/sim/` has the
 * simulated one. Nothing else under `src/` calls `Date.now`, `Math.random`, `setTimeout`, `node:fs`,
 * `node:net` or `node:worker_threads` (test/house-rules.test.ts checks it).
 */

export interface Clock {
  /** Wall clock in milliseconds since 1970, a safe integer. It may jump both ways. */
  wallMs(): number;
  /** Microseconds since an arbitrary start; never goes back. */
  monotonicUs(): number;
}

export interface Timer {
  cancel(): void;
}

export interface Timers {
  after(delayMs: number, callback: () => void): Timer;
  every(intervalMs: number, callback: () => void): Timer;
  /** Runs once the events that are ready now have been served: the end of this turn (setImmediate). */
  atTurnEnd(callback: () => void): void;
}

export interface Random {
  /** Uniform in [0, 1). */
  next(): number;
  /** `length` bytes fit for node identities and secrets. */
  bytes(length: number): Uint8Array;
}

/** What a disk says no with; `code` is stable. */
export class DiskError extends Error {
  override readonly name = 'DiskError';
  readonly code: 'ENOENT' | 'EEXIST' | 'ENOSPC' | 'EIO' | 'EMFILE' | 'EACCES' | 'OTHER';
  readonly path: string;
  constructor(code: DiskError['code'], path: string, message: string) {
    super(message);
    this.code = code;
    this.path = path;
  }
}

/** An open file. Positions and lengths are in bytes. Every failure is a `DiskError`. */
export interface DiskFile {
  readonly path: string;
  /** Reads up to `target.length` bytes at `position`; fewer only at the end of the file. */
  read(target: Uint8Array, position: number): Promise<number>;
  readSync(target: Uint8Array, position: number): number;
  /** Writes all of `bytes` at `position` or fails. `bytes` may be backed by a SharedArrayBuffer. */
  write(bytes: Uint8Array, position: number): Promise<void>;
  writeSync(bytes: Uint8Array, position: number): void;
  /** fdatasync: contents and length are durable when it answers. */
  sync(): Promise<void>;
  syncSync(): void;
  size(): number;
  truncate(length: number): void;
  close(): void;
}

export interface Disk {
  /** `read`: must exist, not writable. `create`: must not exist. `write`: must exist, read and write. */
  open(path: string, mode: 'read' | 'create' | 'write'): DiskFile;
  exists(path: string): boolean;
  /** Names (not paths) in a directory, sorted. */
  list(directory: string): string[];
  /** Makes the directory and its parents; no error when it is there. */
  makeDirectory(path: string): void;
  /** Requires: the directory is empty. */
  removeDirectory(path: string): void;
  /** Of a file, which replaces a file that stands there, or of a directory, where nothing stands. */
  rename(from: string, to: string): void;
  /** Hard link. */
  link(from: string, to: string): void;
  unlink(path: string): void;
  /** Makes created, renamed and removed names in this directory durable. */
  syncDirectory(path: string): void;
  /** Bytes that may still be written on the disk that holds `path`. */
  freeBytes(path: string): number;
  /**
   * Bytes that the calling thread's reads have had to fetch from a device so far, rather than from the operating system's
   * cache; NaN when that cannot be told. Not there: as NaN.
   */
  fetchedBytes?(): number;
}

/** One thread beside the event loop, for work on files only. Jobs run one after another. */
export interface Thread<Job, Result> {
  run(job: Job): Promise<Result>;
  close(): Promise<void>;
}

export interface Threads {
  /**
   * Starts the module `moduleUrl` in a thread. It default-exports `(job, disk, stopped) => Result`, a synchronous
   * function; the simulator calls it in line. `stopped()` turns true once the thread is being closed.
   */
  start<Job, Result>(moduleUrl: string, name: string): Thread<Job, Result>;
}

export type LogFields = Readonly<Record<string, unknown>>;

export interface Log {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
}

/** One accepted or opened stream of bytes. */
export interface Connection {
  /** `address:port` of the other side and of ours, as CLIENT LIST prints them. */
  readonly peer: string;
  readonly local: string;
  /** Bytes handed to `write` that the operating system has not taken yet. */
  readonly unsentBytes: number;
  /**
   * Sends bytes. True: the operating system has them all and the caller may reuse the memory. False: the memory
   * belongs to the connection from now on, and `onDrain` will be called when nothing is unsent any more.
   */
  write(bytes: Uint8Array): boolean;
  /** Stops and restarts reading: backpressure towards the sender. */
  pause(): void;
  resume(): void;
  /** Sends what is unsent, then closes. */
  end(): void;
  /** Closes at once; what is unsent is lost. */
  destroy(): void;
}

export interface ConnectionEvents {
  /** `bytes[0, end)` is valid only during the call: the buffer is shared by all connections. */
  onData(bytes: Uint8Array, end: number): void;
  onDrain(): void;
  /**
   * The other side has sent its last byte and may still read: the connection stays open until `end` or `destroy`.
   * Without this method it is ended at once.
   */
  onEnd?(): void;
  /** Called once, last. */
  onClose(): void;
}

export interface Listener {
  readonly port: number;
  /** Stops accepting; open connections stay. */
  close(): Promise<void>;
}

/** What mutual TLS takes: PEM texts. Each side shows its certificate, and takes any that an authority of `ca` signed. */
export interface TlsIdentity {
  readonly cert: string;
  readonly key: string;
  readonly ca: string;
}

export interface Network {
  /** Rejects with a message fit for an operator when the address cannot be bound. */
  listen(options: {
    host: string;
    port: number;
    backlog: number;
    /** Speaks mutual TLS; a connection is one when both sides have proven themselves. */
    tls?: TlsIdentity;
    onConnection(connection: Connection): ConnectionEvents;
  }): Promise<Listener>;
  connect(options: {
    host: string;
    port: number;
    /** `onFail` once there has been no connection for so long; without it the operating system decides. */
    timeoutMs?: number;
    tls?: TlsIdentity;
    onOpen(connection: Connection): ConnectionEvents;
    onFail(error: Error): void;
  }): void;
}

export interface Env {
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: Random;
  readonly disk: Disk;
  readonly network: Network;
  readonly threads: Threads;
  readonly log: Log;
}
