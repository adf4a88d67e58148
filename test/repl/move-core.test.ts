import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MoveCore, type MoveAnswer, type MoveEffect } from '../../src/repl/move-core.ts';

const OWNERS = { current: [1, 2, 3], incoming: [3, 4, 5] };
const LIMITS = { listLimit: 2, settleWindow: 2, timeoutMs: 100, retryMs: 10 };

class Script {
  readonly core = new MoveCore({ slot: 7, owners: OWNERS, limits: LIMITS });
  nowMs = 0;
  /** Number of the open question to each owner. */
  private readonly open = new Map<number, number>();

  start(): string[] {
    return this.show(this.core.step({ kind: 'start' }, this.nowMs));
  }

  answer(from: number, answer: MoveAnswer): string[] {
    const id = this.open.get(from) ?? 0;
    return this.show(this.core.step({ kind: 'answer', id, answer }, this.nowMs));
  }

  rows(from: number, rows: string, complete: boolean): string[] {
    return this.answer(from, { kind: 'rows', rows: rows === '' ? [] : rows.split(' '), complete });
  }

  settled(row: string, done = true): string[] {
    return this.show(this.core.step({ kind: 'settled', row, done }, this.nowMs));
  }

  wake(): string[] {
    this.nowMs = this.core.wakeAtMs;
    return this.show(this.core.step({ kind: 'wake' }, this.nowMs));
  }

  private show(effects: MoveEffect[]): string[] {
    return effects.map((effect) => {
      if (effect.kind === 'ask') {
        this.open.set(effect.to, effect.id);
        return effect.request.kind === 'fence'
          ? `fence>${effect.to}`
          : `list>${effect.to} after ${effect.request.after}`;
      }
      return effect.kind === 'settle' ? `settle ${effect.row}` : 'done';
    });
  }
}

void test('fence at a majority, then lists page by page, each row settled once, then done', () => {
  const script = new Script();
  assert.deepEqual(script.start(), ['fence>1', 'fence>2', 'fence>3']);
  assert.deepEqual(script.answer(1, { kind: 'fenced' }), [], 'one of three is no majority: nothing is listed yet');
  assert.deepEqual(script.answer(2, { kind: 'fenced' }), ['list>1 after undefined', 'list>2 after undefined']);
  assert.deepEqual(script.rows(1, 'a b', false), ['list>1 after b', 'settle a', 'settle b']);
  assert.deepEqual(script.rows(2, 'b c', true), [], 'two are settled at a time');
  assert.deepEqual(script.settled('a'), ['settle c']);
  assert.deepEqual(script.rows(1, '', true), []);
  assert.deepEqual(script.settled('b'), []);
  assert.deepEqual(script.core.progress, { settled: 2, found: 3 });
  assert.deepEqual(script.settled('c'), ['done']);
  assert.deepEqual(script.core.step({ kind: 'wake' }, 1_000), [], 'over is over');
});

void test('an owner that answers late to the fence lists too, and its rows are settled before the end', () => {
  const script = new Script();
  script.start();
  script.answer(1, { kind: 'fenced' });
  script.answer(2, { kind: 'fenced' });
  assert.deepEqual(script.answer(3, { kind: 'fenced' }), ['list>3 after undefined']);
  assert.deepEqual(script.rows(3, 'x', true), ['settle x']);
  assert.deepEqual(script.rows(1, '', true), [], 'a majority has listed, but x is not settled');
  assert.deepEqual(script.settled('x'), ['done']);
});

void test('silence and failures are tried again; what could not be settled is, later', () => {
  const script = new Script();
  script.start();
  assert.deepEqual(script.wake(), ['fence>1', 'fence>2', 'fence>3']);
  assert.equal(script.nowMs, LIMITS.timeoutMs);
  assert.deepEqual(script.answer(1, { kind: 'failed' }), []);
  assert.deepEqual(script.wake(), ['fence>1']);
  assert.equal(script.nowMs, LIMITS.timeoutMs + LIMITS.retryMs);
  script.answer(1, { kind: 'fenced' });
  script.answer(2, { kind: 'fenced' });
  assert.deepEqual(script.rows(1, 'a', true), ['settle a']);
  script.rows(2, 'a', true);
  assert.deepEqual(script.settled('a', false), []);
  assert.deepEqual(script.wake(), ['settle a']);
  assert.deepEqual(script.settled('a'), ['done']);
});

void test('an empty slot is done as soon as a majority of fenced owners has said so', () => {
  const script = new Script();
  script.start();
  script.answer(1, { kind: 'fenced' });
  script.answer(2, { kind: 'fenced' });
  script.rows(1, '', true);
  assert.deepEqual(script.rows(2, '', true), ['done']);
});
