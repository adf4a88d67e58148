/** A forwarded change of a large collection, which runs on the cells of the coordinator's own store. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { listCommands } from '../../src/commands/list.ts';
import type { Command } from '../../src/commands/command.ts';
import type { ClusterTransactions } from '../../src/commands/cluster-transactions.ts';
import { decodeForwardAnswer } from '../../src/commands/forward-codec.ts';
import { RowHandler } from '../../src/commands/row-handler.ts';
import { ServedRun } from '../../src/commands/served-run.ts';
import { lookup } from '../../src/engine/store.ts';
import { Keyspace, KeyspaceState } from '../../src/repl/keyspace.ts';
import { isDelta } from '../../src/repl/row-state.ts';
import {
  askNow,
  ballot,
  BENCH_MS,
  benchClock,
  benchOwner,
  BenchView,
  rowOf,
  threeMembers,
} from '../repl/owner-bench.ts';
import { argsOf, CommandRunner, show } from '../support/command-runner.ts';
import { MemoryStore } from '../support/memory-store.ts';

const ROW = rowOf('key');

/** What the engine does with memory that nobody may read any more. */
function overwriteAll(store: MemoryStore): void {
  const cursor = store.cursor({});
  while (cursor.next() === lookup.FOUND) cursor.value.fill(0xdd);
  cursor.close();
}

void test('replies of a change that waits for its owners are in memory of their own', () => {
  const store = new MemoryStore();
  const owner = benchOwner(store, new BenchView(threeMembers()));
  const keyspace = new Keyspace({ store, state: new KeyspaceState(), hlc: benchClock(), actor: 1 });
  const handler = new RowHandler(keyspace, { wallMs: () => BENCH_MS, monotonicUs: () => 0 });
  const { context } = new CommandRunner().client;
  const call = (...words: string[]) => {
    const command = listCommands.find(({ name }) => name === words[0]) as Command;
    return { command, args: argsOf(words), database: 0 };
  };
  const values = Array.from({ length: 200 }, (_, i) => `value number ${i}`);
  handler.run(call('rpush', 'key', ...values), context, ROW, undefined, ballot(1));
  const state = handler.state as Uint8Array;
  askNow(owner, { kind: 'accept', row: ROW, ballot: ballot(1), value: state, next: ballot(1) });
  const here = owner.held(ROW)?.value as Uint8Array;
  assert.ok(isDelta(here));
  const answers: unknown[] = [];
  const begin = (marks: [] | undefined, ...calls: ReturnType<typeof call>[]): ServedRun => {
    const run = new ServedRun({
      handler,
      context,
      row: ROW,
      calls,
      marks,
      answer: (payload) => {
        const outcome = decodeForwardAnswer(payload);
        answers.push(outcome.kind === 'done' ? show(outcome.reply) : outcome.kind);
      },
      transactions: {} as ClusterTransactions,
      deadlineMs: 1_000,
      again: () => undefined,
    });
    run.run(here, ballot(2));
    return run;
  };
  const runs = [begin(undefined, call('lpop', 'key')), begin([], call('lindex', 'key', '7'), call('rpop', 'key'))];
  overwriteAll(store);
  for (const run of runs) run.done({ kind: 'done', reply: undefined, version: ballot(2) });
  assert.deepEqual(answers, ['value number 0', ['value number 7', 'value number 199']]);
});
