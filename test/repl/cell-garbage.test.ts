import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hashCommands } from '../../src/commands/hash.ts';
import { listCommands } from '../../src/commands/list.ts';
import { EMPTY } from '../../src/bytes.ts';
import { ELEMENT } from '../../src/repl/elements.ts';
import { firstKeys } from '../../src/repl/first-keys.ts';
import { rowType } from '../../src/repl/head.ts';
import { EXPIRY_PREFIX } from '../../src/repl/row-key.ts';
import { CommandRunner } from '../support/command-runner.ts';

const AT_ONCE = 500;

async function fill(runner: CommandRunner, key: string, count: number): Promise<void> {
  for (let from = 0; from < count; from += AT_ONCE) {
    await runner.run('RPUSH', key, ...Array.from({ length: Math.min(AT_ONCE, count - from) }, (_, i) => from + i));
  }
}

/** Cells and heads in all slots. */
async function rowKeys(runner: CommandRunner): Promise<number> {
  const upper = Uint8Array.of(EXPIRY_PREFIX >> 8, EXPIRY_PREFIX & 0xff);
  return (await firstKeys(runner.store, { lower: EMPTY, upper }, 1_000_000)).length;
}

test('what a large collection leaves goes with one write, and the next life of its key stays', async () => {
  const runner = new CommandRunner(listCommands);
  await fill(runner, 'large', 10_500);
  await fill(runner, 'small', 900);
  await runner.run('DEL', 'large', 'small');
  await fill(runner, 'large', 700);
  const before = runner.store.writeCount;
  while (await runner.keyspace.collectGarbage());
  assert.ok(runner.store.writeCount - before <= 4, `${runner.store.writeCount - before} writes`);
  assert.equal(await runner.run('LLEN', 'large'), 700);
  assert.deepEqual(await runner.run('LRANGE', 'large', 698, -1), ['698', '699']);
  // 700 cells and the head, and the tombstone of the other list.
  assert.equal(await rowKeys(runner), 702);
});

test('cells that are installed while the collector reads their record stay', async () => {
  const runner = new CommandRunner(hashCommands);
  const { keyspace, store } = runner;
  const view = keyspace.newView();
  view.begin(0, runner.nowMs);
  const row = view.row(Buffer.from('hash'));
  const cells = keyspace.cellsAhead(row);
  for (let i = 0; i < 5; i++) cells.add(ELEMENT, Buffer.from(`f${i}`), Buffer.from('v'));
  cells.write();
  store.chill();
  const collected = keyspace.collectGarbage();
  view.setWritten(row, rowType.HASH, cells, 0);
  keyspace.commit(view);
  keyspace.endCellsAhead(cells);
  await collected;
  while (await keyspace.collectGarbage());
  assert.equal(await runner.run('HLEN', 'hash'), 5);
  assert.equal(await rowKeys(runner), 6);
});
