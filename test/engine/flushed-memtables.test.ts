import assert from 'node:assert/strict';
import { test } from 'node:test';
import { utf8 } from '../../src/bytes.ts';
import { Arena } from '../../src/engine/arena.ts';
import { ArenaPool } from '../../src/engine/arena-pool.ts';
import { FlushedMemtables } from '../../src/engine/flushed-memtables.ts';
import { answer, Memtable } from '../../src/engine/memtable.ts';
import { Found } from '../../src/engine/store.ts';
import { WriteBatch } from '../../src/engine/write-batch.ts';

const CAPACITY = 1 << 12;

/** Turns of the event loop that end when the test says so. */
class Turns {
  #due: (() => void)[] = [];
  readonly timers = {
    after: never,
    every: never,
    atTurnEnd: (callback: () => void): void => void this.#due.push(callback),
  };

  end(): void {
    const due = this.#due;
    this.#due = [];
    for (const callback of due) callback();
  }
}

function never(): never {
  throw new Error('nothing here takes time');
}

function memtableWith(key: string): Memtable {
  const memtable = new Memtable(new Arena(CAPACITY, 1, 1, 1), CAPACITY, { seed: 1, multiplier: 3 });
  const batch = new WriteBatch();
  batch.put(utf8(key), utf8('value'));
  memtable.append(batch);
  return memtable;
}

function has(memtable: Memtable, key: string): boolean {
  return memtable.get(utf8(key), key.length, new Found()) === answer.FOUND;
}

/** Whether the pool gives out this memtable's memory; it is put back. */
function isInPool(pool: ArenaPool, memory: SharedArrayBuffer): boolean {
  const taken = pool.take(CAPACITY);
  const isIt = taken === memory;
  if (isIt) pool.give({ arena: taken, index: memtableWith('index').release().index });
  return isIt;
}

test('the newest flushed memtable can be read until it is dropped, its memory is used again two turns later', () => {
  const turns = new Turns();
  const pool = new ArenaPool(CAPACITY);
  const flushed = new FlushedMemtables(pool, turns.timers);
  assert.equal(flushed.newest, undefined);
  const first = memtableWith('one');
  const memory = first.arena.buffer;
  flushed.add(first);
  turns.end();
  turns.end();
  assert.equal(flushed.newest, first);
  assert.ok(has(first, 'one'));
  assert.ok(!isInPool(pool, memory));

  const second = memtableWith('two');
  flushed.add(second);
  assert.equal(flushed.newest, second);
  turns.end();
  assert.ok(has(first, 'one'), 'what was found in it is valid for the rest of the turn');
  assert.ok(!isInPool(pool, memory));
  turns.end();
  assert.ok(isInPool(pool, memory));

  flushed.dropNewest();
  assert.equal(flushed.newest, undefined);
  flushed.dropNewest();
  turns.end();
  turns.end();
  assert.equal(second.arena.bytes.length, 0, 'its memory is gone');
});

test('a memtable that a cursor walks keeps its memory until the cursor has left it', () => {
  const turns = new Turns();
  const flushed = new FlushedMemtables(new ArenaPool(CAPACITY), turns.timers);
  const walked = memtableWith('walked');
  walked.readers = 1;
  flushed.add(walked);
  flushed.dropNewest();
  turns.end();
  turns.end();
  assert.ok(has(walked, 'walked'));
  walked.readers = 0;
  flushed.reclaim(walked);
  flushed.reclaim(walked);
  turns.end();
  turns.end();
  assert.equal(walked.arena.bytes.length, 0);
});
