import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { LOCK_BYTES } from '../../src/repl/row-lock.ts';
import { Head, headFlag, headLength, readHead, rowType, writeHead } from '../../src/repl/head.ts';

const stamps = fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER });
const actors = fc.integer({ min: 0, max: 0xffff_ffff });

const heads = fc
  .record({
    flags: fc.nat(255),
    stamp: stamps,
    actor: actors,
    expiresAtMs: stamps,
    modifiedStamp: stamps,
    modifiedActor: actors,
    generation: stamps,
    lock: fc.uint8Array({ minLength: LOCK_BYTES, maxLength: LOCK_BYTES }),
    apartLength: actors,
  })
  .map((fields) => Object.assign(new Head(), fields, { type: rowType.STRING }));

test('a head reads back as it was written, with its value behind it', () => {
  fc.assert(
    fc.property(heads, fc.uint8Array({ maxLength: 50 }), fc.nat(7), (head, value, at) => {
      const length = headLength(head.flags, value.length);
      const bytes = new Uint8Array(at + length);
      const valueStart = writeHead(bytes, at, head);
      bytes.set(value, valueStart);
      assert.equal(valueStart + value.length, bytes.length);
      const read = new Head();
      readHead(read, bytes, at, bytes.length);
      assert.deepEqual(bytes.subarray(read.valueStart, read.valueEnd), value);
      assert.equal(read.stamp, head.stamp);
      assert.equal(read.actor, head.actor);
      const has = (flag: number): boolean => (head.flags & flag) !== 0;
      assert.equal(read.expiresAtMs, has(headFlag.EXPIRES) ? head.expiresAtMs : 0);
      assert.equal(read.modifiedStamp, has(headFlag.MODIFIED) ? head.modifiedStamp : head.stamp);
      assert.equal(read.modifiedActor, has(headFlag.MODIFIED) ? head.modifiedActor : head.actor);
      assert.equal(read.generation, has(headFlag.CELLS) ? head.generation : 0);
      assert.deepEqual(
        read.lock === undefined ? undefined : Uint8Array.from(read.lock),
        has(headFlag.LOCKED) ? head.lock : undefined,
      );
      assert.equal(read.apartLength, has(headFlag.APART) ? head.apartLength : 0);
    }),
  );
});

test('bytes that are no head of format 1 are refused', () => {
  assert.throws(() => readHead(new Head(), new Uint8Array(15), 0, 15), /format 1/);
  assert.throws(() => readHead(new Head(), Uint8Array.of(1, 1), 0, 2), /format 1/);
});

test('a head of format 1, byte by byte: old bytes stay readable', () => {
  const fixture = Buffer.from('01011100000123456789ab0000000700000190aabbccdd68656c6c6f', 'hex');
  const head = new Head();
  readHead(head, fixture, 0, fixture.length);
  assert.equal(head.type, rowType.STRING);
  assert.equal(head.flags, headFlag.EXPIRES | headFlag.BORN);
  assert.equal(head.stamp, 0x0123456789ab);
  assert.equal(head.actor, 7);
  assert.equal(head.expiresAtMs, 0x190aabbccdd);
  assert.equal(Buffer.from(fixture.subarray(head.valueStart, head.valueEnd)).toString(), 'hello');
});
