/** Writers that keep a server under load over pipelining connections until it dies, and note what was answered. */

import { TestConnection } from '../../redis-compat-tests/harness/connection.ts';
import { show, type Tree } from '../../redis-compat-tests/harness/tree.ts';
import { type Operation, WriterModel } from './expected-state.ts';
import { OperationSource, SHARED } from './operations.ts';
import { SeededRandom } from './seeded-random.ts';

/** Counts of the keys that all writers share: how often each was sent and answered since the last restart. */
export class SharedCounters {
  private readonly base = new Map<string, number>();
  private readonly sent = new Map<string, number>();
  private readonly answered = new Map<string, number>();
  private readonly highest = new Map<string, number>();

  noteSent(key: string): void {
    this.sent.set(key, (this.sent.get(key) ?? 0) + 1);
  }

  noteAnswered(key: string, value: number): void {
    this.answered.set(key, (this.answered.get(key) ?? 0) + 1);
    this.highest.set(key, Math.max(this.highest.get(key) ?? 0, value));
  }

  /** Problems with what a restarted server holds; what it holds is the new base. */
  settle(actual: ReadonlyMap<string, number>): string[] {
    const problems: string[] = [];
    for (const key of Object.values(SHARED)) {
      const value = actual.get(key) ?? 0;
      const base = this.base.get(key) ?? 0;
      const least = Math.max(base + (this.answered.get(key) ?? 0), this.highest.get(key) ?? 0);
      const most = base + (this.sent.get(key) ?? 0);
      if (value < least || value > most)
        problems.push(`${key} is ${value}, expected between ${least} (acknowledged) and ${most} (sent)`);
      this.base.set(key, value);
    }
    const left = actual.get(SHARED.left) ?? 0;
    const right = actual.get(SHARED.right) ?? 0;
    if (left !== right) problems.push(`half a transaction: ${SHARED.left} is ${left}, ${SHARED.right} is ${right}`);
    for (const counts of [this.sent, this.answered, this.highest]) counts.clear();
    return problems;
  }
}

const NO_SUCH_KEY = '-ERR no such key';

export class Writer {
  readonly model = new WriterModel();
  /** Errors that no operation may get. */
  readonly problems: string[] = [];
  answeredTotal = 0;
  private readonly source: OperationSource;
  private readonly shared: SharedCounters;
  private readonly pipeline: number;

  constructor(options: { number: number; seed: number; pipeline: number; shared: SharedCounters }) {
    this.source = new OperationSource(options.number, new SeededRandom(options.seed));
    this.pipeline = options.pipeline;
    this.shared = options.shared;
  }

  /** Sends operations, at most `pipeline` of them unanswered, until the connection ends or `stopped` says so. */
  async run(port: number, stopped: () => boolean): Promise<void> {
    const connection = await TestConnection.open(port).catch(() => undefined);
    if (connection === undefined) return;
    const answers: Promise<boolean>[] = [];
    try {
      while (!stopped() && !connection.closed) {
        while (answers.length < this.pipeline) answers.push(this.send(connection, this.source.next()));
        if (!(await answers.shift())) break;
      }
      // What was answered before the end counts: an answer that came behind the last one awaited, too.
      await Promise.all(answers);
    } finally {
      connection.close();
    }
  }

  private async send(connection: TestConnection, operation: Operation): Promise<boolean> {
    this.model.sent(operation);
    const several = operation.commands.length > 1;
    for (const command of operation.commands) if (isShared(command)) this.shared.noteSent(command[1] as string);
    const sent = several ? [['MULTI'], ...operation.commands, ['EXEC']] : operation.commands;
    const replies = await Promise.all(sent.map((words) => connection.send(...words)));
    const last = replies.at(-1) as Tree;
    if (last.kind === 'closed' || last.kind === 'timeout') {
      if (last.kind === 'timeout') this.problems.push(`no answer to ${sent[0]?.join(' ').slice(0, 80)}`);
      return false;
    }
    if (last.kind === 'error' && show(last) !== NO_SUCH_KEY)
      this.problems.push(`${sent.at(-1)?.join(' ').slice(0, 80)} answered ${show(last)}`);
    this.model.answered();
    this.answeredTotal++;
    const results = several && last.kind === 'array' ? last.items : [last];
    for (const [i, command] of operation.commands.entries()) {
      const result = results[i];
      if (isShared(command) && result?.kind === 'integer')
        this.shared.noteAnswered(command[1] as string, Number(result.digits));
    }
    return true;
  }
}

function isShared(command: readonly string[]): boolean {
  return command[0] === 'INCR' && (command[1] as string).startsWith('shared:');
}
