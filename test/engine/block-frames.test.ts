import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { BlockFrames, MAX_FRAME_BYTES, type Frame } from '../../src/engine/block-frames.ts';

const LIMIT = 1 << 20;

test('frames that are taken never overlap, and memory stays within the limit', () => {
  const step = fc.record({
    take: fc.integer({ min: 1, max: MAX_FRAME_BYTES }),
    give: fc.nat(40),
    isGiven: fc.boolean(),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 300 }), (steps) => {
      const frames = new BlockFrames(LIMIT);
      const taken: { frame: Frame; mark: number }[] = [];
      for (const [number, { take, give, isGiven }] of steps.entries()) {
        const frame = frames.take(take);
        const mark = number % 251;
        if (frame !== undefined) {
          assert.equal(frame.bytes.length, take);
          frame.bytes.fill(mark);
          taken.push({ frame, mark });
        }
        if (isGiven && taken.length > 0) {
          const [gone] = taken.splice(give % taken.length, 1) as [(typeof taken)[number]];
          assert.ok(gone.frame.bytes.every((byte) => byte === gone.mark));
          frames.give(gone.frame);
        }
        assert.ok(frames.reservedBytes <= LIMIT && frames.takenBytes <= frames.reservedBytes);
      }
      for (const { frame, mark } of taken) assert.ok(frame.bytes.every((byte) => byte === mark));
      for (const { frame } of taken) frames.give(frame);
      assert.equal(frames.takenBytes, 0);
      assert.ok(frames.reservedBytes <= LIMIT / 16 + 256 * 1024, 'what nobody needs is let go');
    }),
  );
});

test('what is too long, or beyond the limit, gets none', () => {
  const frames = new BlockFrames(256 * 1024);
  assert.equal(frames.take(MAX_FRAME_BYTES + 1), undefined);
  const taken: Frame[] = [];
  for (let frame = frames.take(8200); frame !== undefined; frame = frames.take(8200)) taken.push(frame);
  assert.equal(taken.length, 30);
  assert.equal(frames.take(100), undefined);
  frames.give(taken[0] as Frame);
  assert.ok(frames.take(8100) === undefined && frames.take(8300) !== undefined, 'free frames are of one size');
});

test('scrubbed memory does not look like what was in it', () => {
  const frames = new BlockFrames(LIMIT, true);
  const frame = frames.take(1000) as Frame;
  const { bytes } = frame;
  bytes.fill(1);
  frames.give(frame);
  assert.ok(!bytes.includes(1));
  assert.throws(() => frames.give(frame), /once/);
});
