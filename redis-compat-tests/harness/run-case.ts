/**
 * Runs cases in lock-step against an oracle (a real redis-server) and a subject (Kvorum), and tells where the replies
 * differ. Each case starts on an empty server with fresh connections.
 */

import type { Case, Step } from './case-file.ts';
import { alike, aspect, asWritten } from './compare.ts';
import { TestConnection, type Word } from './connection.ts';
import { leafBytes, show, type Tree } from './tree.ts';

export interface Outcome {
  readonly step: Step;
  /** Command name in upper case, with the subcommand for containers: the row of the table it counts for. */
  readonly command: string;
  readonly verdict: 'alike' | 'differs' | 'differs-by-design' | 'not-served' | 'not-compared';
  readonly oracle: string;
  readonly subject: string;
}

/** Commands whose second word names the row. */
const CONTAINERS: ReadonlySet<string> = new Set([
  'ACL',
  'CLIENT',
  'CLUSTER',
  'COMMAND',
  'CONFIG',
  'DEBUG',
  'FUNCTION',
  'LATENCY',
  'MEMORY',
  'OBJECT',
  'PUBSUB',
  'SCRIPT',
  'SLOWLOG',
  'XGROUP',
  'XINFO',
]);

export function commandOf(words: readonly Uint8Array[]): string {
  const name = Buffer.from(words[0] ?? new Uint8Array(0))
    .toString()
    .toUpperCase();
  const second = words[1];
  if (!CONTAINERS.has(name) || second === undefined) return name;
  return `${name} ${Buffer.from(second).toString().toUpperCase()}`;
}

const BETWEEN_NODES_MS = 10;

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** The connection that listens, in cases that are about every node. */
const LISTENER = 'b';

/** A push that says that a subscription is there, which every node says. */
function isConfirmation(push: Tree): boolean {
  const what = push.kind === 'push' ? push.items[0] : undefined;
  return what?.kind === 'bulk' && what.bytes.toString().endsWith('subscribe');
}

/** One server, one case: its named connections and what was kept. */
class Side {
  readonly kept = new Map<string, Tree>();
  private readonly connections = new Map<string, TestConnection>();
  private readonly pending = new Map<string, Promise<Tree>[]>();
  private readonly ports: readonly number[];
  private readonly protocol: 2 | 3;
  private readonly isEverywhere: boolean;
  private readonly mirrors: TestConnection[] = [];
  private last: string | undefined = undefined;

  /** Each connection goes to the next of the ports. */
  constructor(ports: readonly number[], protocol: 2 | 3, isEverywhere = false) {
    this.ports = ports;
    this.isEverywhere = isEverywhere && ports.length > 1;
    this.protocol = protocol;
  }

  async connection(name: string): Promise<TestConnection> {
    let connection = this.connections.get(name);
    // What nodes tell one another (messages to subscribers, who waits for what) takes a moment.
    if (this.ports.length > 1 && this.last !== undefined && this.last !== name) await sleep(BETWEEN_NODES_MS);
    this.last = name;
    if (connection === undefined) {
      connection = await TestConnection.open(this.ports[this.connections.size % this.ports.length] as number);
      if (this.protocol === 3) await connection.send('HELLO', '3');
      this.connections.set(name, connection);
    }
    return connection;
  }

  async send(name: string, words: readonly Word[]): Promise<Tree> {
    const reply = await (await this.connection(name)).send(...words);
    const isConfig = /^config set$/i.test(words.slice(0, 2).map(String).join(' '));
    if (!this.isEverywhere || (name !== LISTENER && !isConfig)) return reply;
    for (const mirror of await this.openMirrors()) await mirror.send(...words);
    if (name !== LISTENER) await (await this.connection(LISTENER)).send(...words);
    return reply;
  }

  /** Connections to the other nodes, for what is said to all of them. */
  private async openMirrors(): Promise<TestConnection[]> {
    if (this.mirrors.length === 0) {
      await this.connection(LISTENER);
      const at = [...this.connections.keys()].indexOf(LISTENER) % this.ports.length;
      for (const port of this.ports.filter((_, i) => i !== at)) {
        const mirror = await TestConnection.open(port);
        if (this.protocol === 3) await mirror.send('HELLO', '3');
        this.mirrors.push(mirror);
      }
    }
    return this.mirrors;
  }

  async times(name: string, count: number, words: readonly Buffer[]): Promise<Tree> {
    const connection = await this.connection(name);
    const replies: Promise<Tree>[] = [];
    for (let i = 0; i < count; i++) replies.push(connection.send(...words.map((word) => counted(word, i))));
    return { kind: 'array', items: await Promise.all(replies) };
  }

  /** Follows the cursor that stands as the word `0` and answers with the sorted set of what was seen. */
  async scan(name: string, words: readonly Buffer[]): Promise<Tree> {
    const place = words.findIndex((word) => word.toString() === '0');
    const seen = new Map<string, Tree>();
    let cursor = '0';
    for (let round = 0; round < 100_000; round++) {
      const reply = await this.send(
        name,
        words.map((word, i) => (i === place ? Buffer.from(cursor) : word)),
      );
      const [next, items] = reply.kind === 'array' ? reply.items : [];
      if (next === undefined || items?.kind !== 'array') return reply;
      for (const item of items.items) seen.set(show(item), item);
      cursor = leafBytes(next).toString();
      if (cursor === '0') break;
    }
    const sorted = [...seen.keys()].sort().map((key) => seen.get(key) as Tree);
    return { kind: 'set', items: sorted };
  }

  async raw(step: Step): Promise<Tree> {
    const connection = await this.connection(step.connection);
    const items: Tree[] = [];
    if (step.count > 0) items.push(await connection.sendBytes(step.words[0] as Buffer));
    else connection.write(step.words[0] as Buffer);
    if (this.isEverywhere && step.connection === LISTENER)
      for (const mirror of await this.openMirrors()) mirror.write(step.words[0] as Buffer);
    while (items.length < step.count) items.push(await connection.next());
    if (step.closes) items.push(await connection.next());
    return items.length === 1 ? (items[0] as Tree) : { kind: 'array', items };
  }

  async later(name: string, words: readonly Buffer[]): Promise<void> {
    const connection = await this.connection(name);
    const queue = this.pending.get(name) ?? [];
    queue.push(connection.send(...words));
    this.pending.set(name, queue);
  }

  async awaited(name: string): Promise<Tree> {
    return (await this.pending.get(name)?.shift()) ?? { kind: 'timeout' };
  }

  async none(name: string): Promise<Tree> {
    const waiting = this.pending.get(name)?.[0];
    const nothing = new Promise<Tree>((resolve) => setTimeout(() => resolve({ kind: 'timeout' }), 30));
    if (waiting !== undefined) return Promise.race([waiting, nothing]);
    return (await this.connection(name)).next(30);
  }

  async pushes(name: string): Promise<Tree> {
    const connection = await this.connection(name);
    const items = connection.pushes.splice(0);
    const others = this.mirrors.flatMap((mirror) => mirror.pushes.splice(0)).filter((push) => !isConfirmation(push));
    return { kind: 'array', items: [...items, ...others] };
  }

  close(): void {
    for (const connection of [...this.connections.values(), ...this.mirrors]) connection.close();
  }
}

function counted(word: Buffer, i: number): Buffer {
  const text = word.toString('latin1');
  return text.includes('{i}') ? Buffer.from(text.replaceAll('{i}', String(i)), 'latin1') : word;
}

/** Puts the clock and kept replies in the place of `$…` words. */
function fillIn(words: readonly Buffer[], own: Side, other: Side | undefined, nowMs: number): Buffer[] {
  return words.map((word) => {
    const text = word.toString();
    if (!text.startsWith('$')) return word;
    const clock = /^\$(now|nowms)([+-]\d+)?$/.exec(text);
    if (clock !== null) {
      const base = clock[1] === 'now' ? Math.floor(nowMs / 1000) : nowMs;
      return Buffer.from(String(base + Number(clock[2] ?? 0)));
    }
    const name = /^\$(other\.)?([a-z]+)(?:\.(\d+))?$/.exec(text);
    if (name === null) return word;
    let tree = (name[1] === undefined ? own : (other ?? own)).kept.get(name[2] as string);
    if (tree !== undefined && name[3] !== undefined && 'items' in tree) tree = tree.items[Number(name[3])];
    return tree === undefined ? word : leafBytes(tree);
  });
}

async function runStep(step: Step, side: Side, other: Side | undefined, nowMs: number): Promise<Tree> {
  const words = fillIn(step.words, side, other, nowMs);
  switch (step.kind) {
    case 'command':
      return side.send(step.connection, words);
    case 'times':
      return side.times(step.connection, step.count, words);
    case 'scan':
      return side.scan(step.connection, words);
    case 'raw':
      return side.raw(step);
    case 'later':
      await side.later(step.connection, words);
      return { kind: 'null' };
    case 'await':
      return side.awaited(step.connection);
    case 'none':
      return side.none(step.connection);
    case 'next':
      return (await side.connection(step.connection)).next();
    case 'push':
      return side.pushes(step.connection);
    case 'sleep':
      await sleep(step.count);
      return { kind: 'null' };
    default:
      throw new Error(`no such step: ${String(step.kind satisfies never)}`);
  }
}

export interface Ports {
  /** A real redis-server, and one in cluster mode. */
  readonly oracle: number;
  readonly cluster: number;
  /** Kvorum: one node, or the nodes of a cluster. */
  readonly subjects: readonly number[];
}

/** Brings both servers back to what a case may expect: empty, no password, nothing paused. */
export class Reset {
  private readonly ports: readonly number[];
  private readonly subject: number;
  private readonly admins = new Map<number, TestConnection>();

  constructor(ports: Ports) {
    this.ports = [ports.oracle, ports.cluster, ...ports.subjects];
    this.subject = ports.subjects[0] as number;
  }

  async run(): Promise<void> {
    const words = [
      ['CLIENT', 'UNPAUSE'],
      ['CONFIG', 'SET', 'requirepass', ''],
    ];
    for (const port of this.ports) {
      for (const command of words) await this.send(port, command);
      const reply = await this.send(port, ['FLUSHALL']);
      if (show(reply) !== '+OK') throw new Error(`FLUSHALL answered ${show(reply)}`);
    }
  }

  /** Those of the commands that the subject does not know. */
  async missing(commands: readonly string[]): Promise<string[]> {
    const missing: string[] = [];
    for (const command of commands) {
      const reply = await this.send(this.subject, [command]);
      if (reply.kind === 'error' && reply.text.startsWith('ERR unknown command')) missing.push(command);
    }
    return missing;
  }

  close(): void {
    for (const admin of this.admins.values()) admin.close();
  }

  /** Cases may kill every connection, so these are opened again when they are gone. */
  private async send(port: number, words: readonly string[]): Promise<Tree> {
    let admin = this.admins.get(port);
    if (admin === undefined || admin.closed) {
      admin = await TestConnection.open(port);
      this.admins.set(port, admin);
    }
    const reply = await admin.send(...words);
    return reply.kind === 'closed' ? this.send(port, words) : reply;
  }
}

function verdictOf(step: Step, written: boolean, oracle: Tree | undefined, subject: Tree): Outcome['verdict'] {
  if (step.kind === 'sleep' || step.kind === 'later') return 'not-compared';
  if (written) {
    const expected = step.expected ?? (step.comparison.how === 'ignore' ? undefined : 'any');
    if (expected === undefined) return 'not-compared';
    return asWritten(subject, expected) ? 'alike' : 'differs';
  }
  if (step.comparison.how === 'ignore' || oracle === undefined) return 'not-compared';
  if (oracle.kind === 'timeout' && step.kind !== 'none') return 'differs';
  const same = alike(oracle, subject, step.comparison);
  if (step.comparison.how === 'differs') return same ? 'differs' : 'differs-by-design';
  return same ? 'alike' : 'differs';
}

function forgiven(step: Step, isCluster: boolean, verdict: Outcome['verdict']): Outcome['verdict'] {
  return isCluster && step.apart !== undefined && verdict === 'differs' ? 'differs-by-design' : verdict;
}

function isCompared(step: Step): boolean {
  return step.kind !== 'sleep' && step.kind !== 'later' && step.comparison.how !== 'ignore';
}

/** Of a step of a case that is about what is not served in a cluster, and not run there. */
function notServed(step: Step): Outcome {
  return { step, command: commandOf(step.words), verdict: 'not-served', oracle: 'not run', subject: 'not run' };
}

/** Runs one case in one protocol. Returns an outcome for each step. */
export async function runCase(entry: Case, protocol: 2 | 3, ports: Ports, reset: Reset): Promise<Outcome[]> {
  await reset.run();
  const written = entry.from !== undefined;
  const nowMs = Date.now();
  const isCluster = ports.subjects.length > 1;
  const subjects = entry.together ? ports.subjects.slice(0, 1) : ports.subjects;
  if (isCluster && entry.apart !== undefined) return entry.steps.filter(isCompared).map(notServed);
  const subject = new Side(subjects, protocol, entry.everywhere);
  const oracle = written ? undefined : new Side([entry.oracle === 'cluster' ? ports.cluster : ports.oracle], protocol);
  const outcomes: Outcome[] = [];
  try {
    for (const step of entry.steps) {
      const [oracleReply, subjectReply] = await Promise.all([
        oracle === undefined ? undefined : runStep(step, oracle, subject, nowMs),
        runStep(step, subject, oracle, nowMs),
      ]);
      if (step.keepAs !== undefined) {
        subject.kept.set(step.keepAs, subjectReply);
        if (oracleReply !== undefined) oracle?.kept.set(step.keepAs, oracleReply);
      }
      // What several nodes push has no order.
      const isMixed = isCluster && entry.everywhere && step.kind === 'push';
      const compared: Step = isMixed ? { ...step, comparison: { how: 'unordered' } } : step;
      outcomes.push({
        step,
        command: commandOf(step.words),
        verdict: forgiven(step, isCluster, verdictOf(compared, written, oracleReply, subjectReply)),
        oracle: oracleReply === undefined ? (step.expected ?? 'any') : aspect(oracleReply, compared.comparison),
        subject: oracleReply === undefined ? show(subjectReply) : aspect(subjectReply, compared.comparison),
      });
    }
  } finally {
    subject.close();
    oracle?.close();
  }
  return outcomes;
}

/** A difference for people: where, what was sent, both replies. */
export function describe(outcome: Outcome, file: string): string {
  const shorten = (text: string): string => (text.length > 400 ? `${text.slice(0, 400)}… (${text.length})` : text);
  return [
    `${file}:${outcome.step.line}: ${outcome.step.source}`,
    `    redis:  ${shorten(outcome.oracle)}`,
    `    kvorum: ${shorten(outcome.subject)}`,
  ].join('\n');
}
