import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { EngineError } from '../../src/engine/engine-error.ts';
import { CEILING_STEP_MS, Hlc, MAX_AHEAD_MS, msOfStamp, STAMPS_PER_MS } from '../../src/repl/hlc.ts';

test('stamps grow whatever the wall clock does, through restarts, and never pass what was persisted', () => {
  const steps = fc.array(fc.record({ jumpMs: fc.integer({ min: -10_000, max: 10_000 }), restart: fc.boolean() }), {
    minLength: 1,
    maxLength: 60,
  });
  fc.assert(
    fc.property(steps, (moments) => {
      let wall = 1_700_000_000_000;
      let persisted = 0;
      const start = (): Hlc =>
        new Hlc({
          wallMs: () => wall,
          ceiling: persisted,
          persist(ceiling) {
            persisted = ceiling;
          },
        });
      let clock = start();
      let last = 0;
      for (const { jumpMs, restart } of moments) {
        wall += jumpMs;
        if (restart) clock = start();
        else clock.keepAhead();
        for (let i = 0; i < 3; i++) {
          const stamp = clock.next();
          assert.ok(stamp > last);
          assert.ok(stamp <= persisted);
          last = stamp;
        }
      }
    }),
  );
});

test('the ceiling is persisted about once in its step, not once a stamp', () => {
  let wall = 1_700_000_000_000;
  let writes = 0;
  const persist = (): void => {
    writes++;
  };
  const clock = new Hlc({ wallMs: () => wall, ceiling: 0, persist });
  for (let ms = 0; ms < 10 * CEILING_STEP_MS; ms++) {
    wall++;
    clock.next();
  }
  assert.ok(writes >= 10 && writes <= 12, `${writes} writes`);
});

test('a burst within a millisecond counts on', () => {
  const clock = new Hlc({ wallMs: () => 1000, ceiling: 0, persist: () => undefined });
  const first = clock.next();
  for (let i = 1; i < 5 * STAMPS_PER_MS; i++) assert.equal(clock.next(), first + i);
  assert.equal(msOfStamp(first), 1000);
});

test('with a slow disk no stamp passes the ceiling that is durable, and the clock catches up', async () => {
  let wall = 1_700_000_000_000;
  let durable = 0;
  let finish: (() => void) | undefined;
  const persist = (ceiling: number): Promise<void> =>
    new Promise((resolve) => {
      finish = () => {
        durable = ceiling;
        resolve();
      };
    });
  const clock = new Hlc({ wallMs: () => wall, ceiling: 0, persist });
  finish?.();
  await clock.ready;
  let last = clock.next();
  wall += 60_000;
  for (let i = 0; i < 10_000; i++) {
    const stamp = clock.next();
    assert.ok(stamp === last + 1 && stamp <= durable);
    last = stamp;
  }
  finish?.();
  await Promise.resolve();
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(msOfStamp(clock.next()), wall);
});

test('a ceiling that cannot be persisted is tried again, and its lack ends the stamps', async () => {
  let wall = 1_700_000_000_000;
  let tries = 0;
  let fails = false;
  const persist = (): Promise<void> => {
    tries++;
    return fails ? Promise.reject(new Error('disk')) : Promise.resolve();
  };
  const clock = new Hlc({ wallMs: () => wall, ceiling: 0, persist });
  await clock.ready;
  fails = true;
  for (let i = 0; i < 3; i++) {
    wall += CEILING_STEP_MS;
    clock.keepAhead();
    await new Promise((resolve) => setImmediate(resolve));
  }
  assert.equal(tries, 4);
  assert.throws(() => {
    for (let i = 0; i <= (CEILING_STEP_MS + 1) * STAMPS_PER_MS; i++) clock.next();
  }, /ceiling/);
});

test('a stamp given elsewhere is noted up to the bound ahead of the wall clock, with the ceiling above it', () => {
  let wall = 1_000_000;
  let persisted = 0;
  const clock = new Hlc({ wallMs: () => wall, ceiling: 0, persist: (ceiling) => void (persisted = ceiling) });
  const ahead = (wall + MAX_AHEAD_MS) * STAMPS_PER_MS;
  assert.equal(clock.observe(ahead + 1), false);
  assert.ok(clock.next() < ahead, 'what was refused was not noted');
  assert.equal(clock.observe(ahead), true);
  assert.equal(clock.next(), ahead + 1);
  wall -= 60_000;
  assert.equal(clock.observe(ahead), true, 'what is below the last stamp is nothing new');
  assert.equal(clock.observe(ahead + STAMPS_PER_MS), false);
  assert.ok(persisted >= ahead);
});

test('a stamp above a ceiling that cannot be raised in time is refused for now', () => {
  const wall = 1_000_000;
  const waiting: (() => void)[] = [];
  let slow = false;
  const clock = new Hlc({
    wallMs: () => wall,
    ceiling: 0,
    persist: () => (slow ? new Promise((resolve) => waiting.push(resolve)) : undefined),
    ceilingStepMs: 10,
  });
  slow = true;
  const stamp = (wall + 100) * STAMPS_PER_MS;
  assert.equal(clock.observe(stamp), false);
  assert.equal(waiting.length, 1);
});

test('a disk that takes long for the next ceiling does not end the stamps of a steady load', async () => {
  let wall = 1_700_000_000_000;
  let durable = 0;
  let finish = (): void => {};
  const persist = (ceiling: number): Promise<void> =>
    new Promise((resolve) => {
      finish = () => {
        durable = ceiling;
        resolve();
      };
    });
  const clock = new Hlc({ wallMs: () => wall, ceiling: 0, persist });
  finish();
  await clock.ready;
  for (let ms = 0; ms < 4 * CEILING_STEP_MS; ms++) {
    wall++;
    if (ms % 100 === 0) clock.keepAhead();
    for (let i = 0; i < 100; i++) assert.ok(clock.next() <= durable);
  }
  finish();
  await new Promise((resolve) => setImmediate(resolve));
  clock.keepAhead();
  finish();
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(msOfStamp(clock.next()), wall);
});

test('after a quick restart the clock is ahead, and less so as time passes', () => {
  let wall = 1_000_000;
  let persisted = 0;
  const start = (): Hlc =>
    new Hlc({ wallMs: () => wall, ceiling: persisted, persist: (ceiling) => void (persisted = ceiling) });
  assert.equal(start().aheadMs, 0);
  const restarted = start();
  assert.equal(restarted.aheadMs, CEILING_STEP_MS);
  wall += 2_000;
  assert.equal(restarted.aheadMs, CEILING_STEP_MS - 2_000);
  wall += 2_000;
  assert.equal(restarted.aheadMs, 0);
});

test('while no ceiling can be made durable, stamps run out with an error for writers, and come again with the disk', async () => {
  let broken = false;
  let persisted = 0;
  const clock = new Hlc({
    wallMs: () => 1_700_000_000_000,
    ceiling: 0,
    persist: async (ceiling) => {
      await Promise.resolve();
      if (broken) throw new Error('the disk is full');
      persisted = ceiling;
    },
  });
  await clock.ready;
  broken = true;
  let last = 0;
  let refusals = 0;
  for (let i = 0; i < 8_000_000 && refusals < 3; i++) {
    try {
      const stamp = clock.next();
      assert.ok(stamp > last && stamp <= persisted && refusals === 0);
      last = stamp;
    } catch (error) {
      assert.ok(error instanceof EngineError && error.code === 'refused' && /ceiling/.test(error.message));
      refusals++;
    }
  }
  assert.equal(refusals, 3);
  broken = false;
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(clock.next(), last + 1, 'no stamp was used up by those that were refused');
});
