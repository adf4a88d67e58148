/** Starts servers as child processes, for tests and benches: Kvorum here, redis-server in redis-process.ts. */

import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const START_TIMEOUT_MS = 60_000;
const STOP_TIMEOUT_MS = 20_000;
/** Output kept for messages, in characters. */
const OUTPUT_KEPT = 20_000;

export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export interface StartOptions {
  /** Address that it answers at; default 127.0.0.1. */
  readonly host?: string;
  /** Without one: a free port. */
  readonly port?: number;
  /** Without one: a fresh folder, removed by `stop`. */
  readonly directory?: string;
  /** Words after `--port` and `--dir`. */
  readonly flags?: readonly string[];
  /** Words for node before the script. */
  readonly nodeFlags?: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  /** Whether `stop` removes a directory that was given. */
  readonly ownsDirectory?: boolean;
  /** Kills the server that long after its spawn, ready or not. */
  readonly killAfterMs?: number;
}

/** A running server. */
export class ServerProcess {
  readonly port: number;
  readonly directory: string;
  readonly exited: Promise<Exit>;
  /** From spawn to the first answer to PING. */
  startMs = 0;
  private readonly child: ChildProcess;
  private ownsDirectory: boolean;
  private text = '';
  private gone = false;

  constructor(child: ChildProcess, port: number, directory: string, ownsDirectory: boolean) {
    this.child = child;
    this.port = port;
    this.directory = directory;
    this.ownsDirectory = ownsDirectory;
    const keep = (chunk: Buffer): void => {
      this.text = (this.text + chunk.toString()).slice(-OUTPUT_KEPT);
    };
    // A test that fails must not leave its servers behind.
    const killAtExit = (): void => void child.kill('SIGKILL');
    process.once('exit', killAtExit);
    child.once('close', () => process.off('exit', killAtExit));
    child.stdout?.on('data', keep);
    child.stderr?.on('data', keep);
    this.exited = new Promise((resolve) => {
      child.once('error', (error) => {
        this.text += String(error);
        this.gone = true;
        resolve({ code: -1, signal: null });
      });
      child.once('close', (code, signal) => {
        this.gone = true;
        resolve({ code, signal });
      });
    });
  }

  get pid(): number {
    return this.child.pid ?? -1;
  }

  get running(): boolean {
    return !this.gone;
  }

  /** The last of what it printed. */
  get output(): string {
    return this.text;
  }

  /** kill -9, and waits for the end. The data stays. */
  async kill(): Promise<Exit> {
    this.child.kill('SIGKILL');
    return this.exited;
  }

  signal(signal: NodeJS.Signals): void {
    this.child.kill(signal);
  }

  /** SIGTERM and waits; SIGKILL when that takes too long. Removes a folder of its own. */
  async stop(): Promise<Exit> {
    this.child.kill('SIGTERM');
    const timer = setTimeout(() => this.child.kill('SIGKILL'), STOP_TIMEOUT_MS);
    const exit = await this.exited;
    clearTimeout(timer);
    this.removeDirectory();
    return exit;
  }

  /** The directory stays when this server stops. */
  disown(): void {
    this.ownsDirectory = false;
  }

  removeDirectory(): void {
    if (this.ownsDirectory) rmSync(this.directory, { recursive: true, force: true });
  }
}

/**
 * A port nobody listens on now, nor on the one 10,000 above it, which the cluster bus takes. Both lie below the range
 * that outgoing connections use.
 */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = 20_000 + Math.floor(Math.random() * 2_700);
    if ((await isFree(port)) && (await isFree(port + 10_000))) return port;
  }
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createServer();
    probe.once('error', () => resolve(false));
    probe.listen(port, () => probe.close(() => resolve(true)));
  });
}

/** Spawns and waits until PING is answered. Throws with what the server printed when it ends or stays silent. */
export async function startServer(command: string, words: readonly string[], options: StartOptions) {
  const port = options.port ?? (await freePort());
  const directory = options.directory ?? mkdtempSync(join(tmpdir(), 'kvorum-test-'));
  const started = performance.now();
  const child = spawn(command, [...words, '--port', String(port), '--dir', directory, ...(options.flags ?? [])], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...options.environment },
  });
  const server = new ServerProcess(child, port, directory, options.ownsDirectory ?? options.directory === undefined);
  if (options.killAfterMs !== undefined) setTimeout(() => child.kill('SIGKILL'), options.killAfterMs).unref();
  while (!(await answersPing(options.host ?? '127.0.0.1', port))) {
    if (!server.running) throw new Error(`${command} ended at its start:\n${server.output}`);
    if (performance.now() - started > START_TIMEOUT_MS) {
      await server.kill();
      throw new Error(`${command} did not answer within ${START_TIMEOUT_MS} ms:\n${server.output}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  server.startMs = performance.now() - started;
  return server;
}

/** True for any answer but -LOADING: a server with a password says NOAUTH. */
function answersPing(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host, port });
    const finish = (answer: boolean): void => {
      socket.destroy();
      resolve(answer);
    };
    socket.setTimeout(1_000, () => finish(false));
    socket.once('error', () => finish(false));
    socket.once('close', () => resolve(false));
    socket.once('connect', () => socket.write('PING\r\n'));
    socket.once('data', (chunk) => finish(!chunk.toString().startsWith('-LOADING')));
  });
}

/** The server compiled next to this test. */
export const KVORUM_MAIN = fileURLToPath(new URL('../../src/main.js', import.meta.url));

export function startKvorum(options: StartOptions = {}): Promise<ServerProcess> {
  return startServer(process.execPath, [...(options.nodeFlags ?? []), KVORUM_MAIN], options);
}
