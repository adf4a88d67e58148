import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ReadPace } from '../../src/engine/read-pace.ts';

function paceWithClock(fetchedBytes?: () => number): {
  pace: ReadPace;
  pass: (us: number) => void;
  endTurn: () => void;
} {
  let nowUs = 1_000_000;
  let turnEnds: (() => void)[] = [];
  const clock = { wallMs: () => 0, monotonicUs: () => nowUs };
  const pace = new ReadPace(
    clock,
    { atTurnEnd: (callback) => turnEnds.push(callback) },
    fetchedBytes ? { fetchedBytes } : {},
  );
  return {
    pace,
    pass: (us) => {
      nowUs += us;
    },
    endTurn: () => {
      const callbacks = turnEnds;
      turnEnds = [];
      for (const callback of callbacks) callback();
    },
  };
}

/** Reads once if that is allowed; says whether it was. */
function read(parts: ReturnType<typeof paceWithClock>, tookUs: number): boolean {
  const startUs = parts.pace.begin();
  if (startUs < 0) return false;
  parts.pass(tookUs);
  parts.pace.end(startUs);
  return true;
}

test('quick reads go on being made at once, up to a budget for each turn', () => {
  const parts = paceWithClock();
  let count = 0;
  while (read(parts, 10)) count++;
  assert.equal(count, 200);
  parts.endTurn();
  assert.equal(read(parts, 10), true);
});

test('a slow read sends the next ones to the background, the longer the slower it was', () => {
  for (const [tookUs, backgroundUs] of [
    [300, 6000],
    [1000, 20_000],
    [10_000, 1_000_000],
    [1_000_000, 60_000_000],
  ] as const) {
    const parts = paceWithClock();
    assert.equal(read(parts, tookUs), true);
    parts.endTurn();
    parts.pass(backgroundUs - 1);
    assert.equal(read(parts, 5), false, `after ${tookUs} µs`);
    parts.pass(1);
    assert.equal(read(parts, 5), true, `after ${tookUs} µs`);
  }
});

test('a slow read for which nothing came from a device changes nothing', () => {
  let fetched = 4096;
  const parts = paceWithClock(() => fetched);
  for (let i = 0; i < 100; i++) {
    assert.equal(read(parts, 5000), true, 'held up by something else');
    assert.equal(read(parts, 10), true, 'in the same turn');
    parts.endTurn();
  }
  fetched += 4096;
  assert.equal(read(parts, 5000), true);
  parts.endTurn();
  assert.equal(read(parts, 10), false, 'the device was slow');
});

test('where nobody tells what came from a device a slow read counts', () => {
  const parts = paceWithClock(() => Number.NaN);
  assert.equal(read(parts, 5000), true);
  parts.endTurn();
  assert.equal(read(parts, 10), false);
});

test('without a clock nothing is read at once', () => {
  assert.equal(new ReadPace(undefined, { atTurnEnd: () => {} }).begin(), -1);
});
