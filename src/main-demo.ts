/** Runs `kvorum demo`: starts the nodes as processes of this same program, waits until they are one cluster, ends them. */

import { type ChildProcess, spawn } from 'node:child_process';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { demoHelp, DemoMistake, type DemoNode, demoNodes, goneText, isFormed, parseDemo, readyText } from './demo.ts';
import { createNodeEnv } from './env-node.ts';
import { type Disk, DiskError, type Env, type Log } from './env.ts';
import { ServerClient } from './tools/ask-server.ts';

const exitCode = { STOPPED: 0, FAILED: 1, MISTAKE: 2 } as const;

/** A cluster that is not formed by then will not be: an empty one takes a few seconds. */
const FORM_TIMEOUT_MS = 60_000;
const POLL_MS = 100;

/** How long nodes may take to end before they are killed. */
const END_TIMEOUT_MS = 10_000;

/** Characters of a node's output that are shown when it did not start. */
const SHOWN_OUTPUT = 2_000;

const silent: Log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };

interface Running extends DemoNode {
  readonly process: ChildProcess;
  readonly processId: number;
  readonly ended: Promise<string>;
  /** How it ended; undefined while it runs. */
  how: string | undefined;
  output: string;
}

/** The exit code of `kvorum demo <argv>`; fulfilled when it was stopped. `program`: the path of main.ts, as it runs. */
export async function runDemoHere(argv: readonly string[], program: string): Promise<number> {
  try {
    const line = parseDemo(argv);
    if (line.help) {
      console.log(demoHelp);
      return exitCode.STOPPED;
    }
    const env = createNodeEnv({ log: silent });
    const scratch = join(tmpdir(), `kvorum-demo-${Buffer.from(env.random.bytes(4)).toString('hex')}`);
    const dir = line.dir === undefined ? scratch : resolve(line.dir);
    env.disk.makeDirectory(dir);
    try {
      return await new Demo(env, program, demoNodes(line, dir), line.dir !== undefined).run();
    } finally {
      if (line.dir === undefined) removeTree(env.disk, dir);
    }
  } catch (error) {
    if (!(error instanceof DemoMistake)) throw error;
    console.error(`kvorum demo: ${error.message}\nsee kvorum demo --help`);
    return exitCode.MISTAKE;
  }
}

class Demo {
  private readonly env: Env;
  private readonly program: string;
  private readonly nodes: readonly DemoNode[];
  private readonly isKept: boolean;
  private running: Running[] = [];
  private isStopping = false;
  private stop: () => void = () => {};
  /** Fulfilled by the first signal. */
  private readonly stopped = new Promise<void>((resolveStop) => {
    this.stop = resolveStop;
  });

  constructor(env: Env, program: string, nodes: readonly DemoNode[], isKept: boolean) {
    this.env = env;
    this.program = program;
    this.nodes = nodes;
    this.isKept = isKept;
  }

  async run(): Promise<number> {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => this.signalled());
    const startUs = this.env.clock.monotonicUs();
    console.log(`starting ${this.nodes.length === 1 ? 'one node' : `${this.nodes.length} nodes`} ...`);
    this.running = this.nodes.map((node) => this.start(node));
    try {
      const failure = await this.formed();
      if (failure !== undefined) {
        console.error(`kvorum demo: ${failure}`);
        return exitCode.FAILED;
      }
      if (!this.isStopping) {
        const seconds = (this.env.clock.monotonicUs() - startUs) / 1e6;
        console.log(readyText(this.running, seconds, this.isKept));
        for (const node of this.running) void this.watch(node);
        await this.stopped;
      }
      return exitCode.STOPPED;
    } finally {
      await this.end();
    }
  }

  /** In a process group of its own: Ctrl-C reaches this process alone, which then ends them in good order. */
  private start(node: DemoNode): Running {
    const child = spawn(process.execPath, [this.program, ...node.args], {
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const running: Running = {
      ...node,
      process: child,
      processId: child.pid ?? 0,
      how: undefined,
      output: '',
      ended: new Promise((resolveEnd) => {
        child.on('error', (error) => resolveEnd(error.message));
        child.on('exit', (code, signal) => resolveEnd(signal ?? `exit code ${code}`));
      }),
    };
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (bytes: Buffer) => {
        running.output = `${running.output}${bytes.toString()}`.slice(-SHOWN_OUTPUT);
      });
    }
    void running.ended.then((how) => {
      running.how = how;
    });
    return running;
  }

  /** Why it was not formed; undefined: it is, or the user has had enough. */
  private async formed(): Promise<string | undefined> {
    const untilUs = this.env.clock.monotonicUs() + FORM_TIMEOUT_MS * 1000;
    while (!this.isStopping) {
      const gone = this.running.find((node) => node.how !== undefined);
      if (gone !== undefined) return `node ${gone.number} has ended (${gone.how}):\n${this.lastWords(gone)}`;
      const said = await Promise.all(this.running.map((node) => this.infoOf(node)));
      if (said.every((info) => info !== undefined && isFormed(info, this.nodes.length))) return undefined;
      if (this.env.clock.monotonicUs() > untilUs) {
        return `no cluster after ${FORM_TIMEOUT_MS / 1000} s; see ${this.nodes.map((node) => node.logfile).join(', ')}`;
      }
      await this.pause(POLL_MS);
    }
    return undefined;
  }

  private async infoOf(node: DemoNode): Promise<string | undefined> {
    try {
      const client = await ServerClient.connect(this.env.network, { host: '127.0.0.1', port: node.port });
      try {
        return String(await client.call('CLUSTER', 'INFO'));
      } finally {
        client.close();
      }
    } catch {
      // It is starting.
      return undefined;
    }
  }

  private async watch(node: Running): Promise<void> {
    const how = await node.ended;
    const program = `${process.execPath} ${this.program}`;
    if (!this.isStopping) console.log(`\n${goneText(node, how, program)}`);
  }

  private signalled(): void {
    if (this.isStopping) {
      // The second time the user means it.
      for (const node of this.running) node.process.kill('SIGKILL');
      return;
    }
    this.isStopping = true;
    console.log('\nstopping ...');
    this.stop();
  }

  private async end(): Promise<void> {
    this.isStopping = true;
    for (const node of this.running) if (node.how === undefined) node.process.kill('SIGTERM');
    const late = this.env.timers.after(END_TIMEOUT_MS, () => {
      for (const node of this.running) node.process.kill('SIGKILL');
    });
    await Promise.all(this.running.map((node) => node.ended));
    late.cancel();
  }

  private lastWords(node: Running): string {
    const { disk } = this.env;
    if (node.output !== '' || !disk.exists(node.logfile)) return node.output;
    const file = disk.open(node.logfile, 'read');
    const bytes = new Uint8Array(Math.min(SHOWN_OUTPUT, file.size()));
    file.readSync(bytes, file.size() - bytes.length);
    file.close();
    return Buffer.from(bytes).toString();
  }

  private pause(ms: number): Promise<void> {
    return new Promise((resolvePause) => {
      this.env.timers.after(ms, resolvePause);
    });
  }
}

/** Removes a directory of this demo and all that is in it. */
function removeTree(disk: Disk, path: string): void {
  try {
    disk.unlink(path);
    return;
  } catch (error) {
    if (!(error instanceof DiskError)) throw error;
  }
  for (const name of disk.list(path)) removeTree(disk, join(path, name));
  disk.removeDirectory(path);
}
