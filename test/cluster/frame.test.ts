import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { DamagedError } from '../../src/cluster/byte-cursor.ts';
import {
  encodeFrame,
  FRAME_HEADER_BYTES,
  FrameReader,
  MAX_FRAME_BYTES,
  MESSAGE_HEADER_BYTES,
  type Message,
  type MessageType,
  type Priority,
} from '../../src/cluster/frame.ts';

const message: fc.Arbitrary<Message> = fc.record({
  type: fc.integer({ min: 1, max: 6 }) as fc.Arbitrary<MessageType>,
  priority: fc.integer({ min: 0, max: 2 }) as fc.Arbitrary<Priority>,
  method: fc.integer({ min: 0, max: 0xffff }),
  requestId: fc.maxSafeNat(),
  timeLeftMs: fc.integer({ min: 0, max: 0xffff_ffff }),
  epoch: fc.maxSafeNat(),
  payload: fc.uint8Array({ maxLength: 60 }),
});
const frames = fc.array(fc.array(message, { minLength: 1, maxLength: 4 }), { minLength: 1, maxLength: 4 });

/** Feeds bytes in pieces that end at the given places; payloads are copied. */
function read(bytes: Uint8Array, cuts: readonly number[]): Message[] {
  const reader = new FrameReader();
  const seen: Message[] = [];
  let at = 0;
  for (const cut of [...cuts.map((each) => each % (bytes.length + 1)).sort((a, b) => a - b), bytes.length]) {
    // Every piece lies in a buffer of its own that is overwritten afterwards, as a socket's is.
    const piece = Uint8Array.from([0xaa, ...bytes.subarray(at, cut), 0xbb]);
    reader.push(piece, 1, piece.length - 1, (each) => seen.push({ ...each, payload: each.payload.slice() }));
    piece.fill(0xff);
    at = cut;
  }
  assert.equal(reader.pendingBytes, 0);
  return seen;
}

function plain(messages: readonly Message[]): unknown {
  return messages.map((each) => ({ ...each, payload: Buffer.from(each.payload).toString('hex') }));
}

void test('messages come out as they went in, however the stream is cut', () => {
  fc.assert(
    fc.property(frames, fc.array(fc.nat(), { maxLength: 12 }), (batches, cuts) => {
      const bytes = Buffer.concat(batches.map((batch) => encodeFrame(batch)));
      assert.deepEqual(plain(read(bytes, cuts)), plain(batches.flat()));
    }),
  );
});

void test('one byte at a time', () => {
  const batch = fc.sample(message, { numRuns: 3, seed: 1 });
  const bytes = encodeFrame(batch);
  const everywhere = Array.from({ length: bytes.length }, (_, i) => i);
  assert.deepEqual(plain(read(bytes, everywhere)), plain(batch));
});

void test('a flipped byte anywhere never gets through', () => {
  fc.assert(
    fc.property(
      fc.array(message, { minLength: 1, maxLength: 3 }),
      fc.nat(),
      fc.integer({ min: 1, max: 255 }),
      (batch, at, flip) => {
        const bytes = encodeFrame(batch);
        bytes[at % bytes.length] = (bytes[at % bytes.length] as number) ^ flip;
        const reader = new FrameReader();
        let taken = 0;
        // At once: a longer length than there is would wait for bytes, and take in what comes after the frame.
        assert.throws(() => reader.push(bytes, 0, bytes.length, () => taken++), DamagedError);
        assert.equal(taken, 0);
      },
    ),
  );
});

void test('noise is refused at its first bytes and costs no memory', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 2, maxLength: 300 }), (noise) => {
      fc.pre(noise[0] !== 0x4b || noise[1] !== 0x76);
      assert.throws(() => new FrameReader().push(noise, 0, noise.length, () => assert.fail()), DamagedError);
    }),
  );
  assert.throws(() => new FrameReader().push(Buffer.from('GET'), 0, 1, () => assert.fail()), DamagedError);
});

void test('a length above the limit is refused before anything is allocated; a large one costs what has arrived', () => {
  const header = Uint8Array.of(0x4b, 0x76, 2, 0, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0);
  assert.throws(() => new FrameReader().push(header, 0, header.length, () => assert.fail()), DamagedError);
  const reader = new FrameReader();
  new DataView(header.buffer).setUint32(4, MAX_FRAME_BYTES);
  new DataView(header.buffer).setUint32(8, ~MAX_FRAME_BYTES);
  reader.push(header, 0, header.length, () => assert.fail());
  assert.equal(reader.pendingBytes, FRAME_HEADER_BYTES);
});

void test('a frame that checks but whose messages do not fill it exactly is refused', () => {
  for (const batch of fc.sample(fc.array(message, { minLength: 1, maxLength: 2 }), { numRuns: 20, seed: 2 })) {
    const inner = encodeFrame(batch).subarray(FRAME_HEADER_BYTES);
    for (const damage of [
      inner.subarray(0, inner.length - 1),
      Uint8Array.of(...inner, 0),
      inner.subarray(0, MESSAGE_HEADER_BYTES - 1),
    ]) {
      const bytes = wrap(damage);
      assert.throws(() => new FrameReader().push(bytes, 0, bytes.length, () => undefined), DamagedError);
    }
    const wrongType = inner.slice();
    wrongType[4] = 9;
    assert.throws(
      () => new FrameReader().push(wrap(wrongType), 0, inner.length + FRAME_HEADER_BYTES, () => undefined),
      DamagedError,
    );
  }
  const empty = wrap(new Uint8Array(0));
  assert.throws(() => new FrameReader().push(empty, 0, empty.length, () => undefined), DamagedError);
});

/** A frame with a right checksum around any bytes: made by letting the encoder frame them and moving the header. */
function wrap(inner: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(FRAME_HEADER_BYTES + inner.length);
  bytes.set([0x4b, 0x76, 2, 0]);
  new DataView(bytes.buffer).setUint32(4, inner.length);
  new DataView(bytes.buffer).setUint32(8, ~inner.length);
  new DataView(bytes.buffer).setUint32(12, castagnoli(inner));
  bytes.set(inner, FRAME_HEADER_BYTES);
  return bytes;
}

/** CRC32C bit by bit, an implementation of its own. */
function castagnoli(bytes: Uint8Array): number {
  let crc = 0xffff_ffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc & 1) === 0 ? crc >>> 1 : (crc >>> 1) ^ 0x82f6_3b78;
  }
  return ~crc >>> 0;
}

void test('the bytes of a frame are what its header says', () => {
  const bytes = encodeFrame([
    { type: 2, priority: 1, method: 0x0102, requestId: 7, timeLeftMs: 500, epoch: 9, payload: Uint8Array.of(0xab) },
  ]);
  const text = Buffer.from(bytes).toString('hex');
  assert.equal(text.slice(0, 24), '4b7602000000001dffffffe2');
  assert.equal(text.slice(32), '00000001020101020000000000000007000001f40000000000000009ab');
});
