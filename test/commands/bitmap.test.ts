/** Bits of strings against an array of zeros and ones. */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import fc from 'fast-check';

import { bitAt, combineBits, countOnes, countOnesOfBits, findBit } from '../../src/commands/bitmap-bits.ts';
import { readField, writeField } from '../../src/commands/bitmap-field.ts';
import { bitmapCommands } from '../../src/commands/bitmap.ts';
import { CommandRunner } from '../support/command-runner.ts';

function bitsOf(bytes: Uint8Array): number[] {
  return [...bytes].flatMap((byte) => Array.from({ length: 8 }, (_, i) => (byte >> (7 - i)) & 1));
}

/** Bytes at any alignment, with long runs of the same byte. */
const someBytes = fc
  .tuple(
    fc.array(fc.tuple(fc.constantFrom(0, 0xff, 0x55, 1, 0x80, 0x7e), fc.integer({ min: 1, max: 90 })), {
      maxLength: 5,
    }),
    fc.integer({ min: 0, max: 7 }),
  )
  .map(([runs, shift]) => {
    const parts = runs.map(([byte, length]) => Buffer.alloc(length, byte));
    return new Uint8Array(Buffer.concat([Buffer.alloc(shift), ...parts])).subarray(shift);
  });

describe('bits', () => {
  test('counts and places are those of the array of bits', () => {
    fc.assert(
      fc.property(someBytes, fc.nat(), fc.nat(), (bytes, a, b) => {
        const bits = bitsOf(bytes);
        assert.equal(countOnes(bytes, 0, bytes.length), bits.filter((bit) => bit === 1).length);
        if (bits.length === 0) return;
        const [first, last] = [a % bits.length, b % bits.length].sort((x, y) => x - y) as [number, number];
        const inside = bits.slice(first, last + 1);
        assert.equal(countOnesOfBits(bytes, first, last), inside.filter((bit) => bit === 1).length);
        for (const bit of [0, 1] as const) {
          const at = inside.indexOf(bit);
          assert.equal(findBit(bytes, bit, first, last), at < 0 ? -1 : first + at);
        }
        assert.equal(bitAt(bytes, first), bits[first]);
        assert.equal(bitAt(bytes, bits.length + a), 0);
      }),
    );
  });

  test('combinations are those of the bits', () => {
    const bit = (bytes: Uint8Array, i: number): number => bytes[i] ?? 0;
    fc.assert(
      fc.property(fc.array(someBytes, { minLength: 1, maxLength: 4 }), (sources) => {
        const length = Math.max(...sources.map((source) => source.length));
        const expected = (combine: (a: number, b: number) => number): number[] =>
          Array.from({ length }, (_, i) => sources.map((source) => bit(source, i)).reduce(combine));
        assert.deepEqual(
          [...combineBits('AND', sources)],
          expected((a, b) => a & b),
        );
        assert.deepEqual(
          [...combineBits('OR', sources)],
          expected((a, b) => a | b),
        );
        assert.deepEqual(
          [...combineBits('XOR', sources)],
          expected((a, b) => a ^ b),
        );
        const [first, ...others] = sources as [Uint8Array, ...Uint8Array[]];
        const withOthers = (combine: (mine: number, theirs: number) => number): number[] =>
          Array.from({ length }, (_, i) => {
            const theirs = others.map((source) => bit(source, i)).reduce((a, b) => a | b, 0);
            return combine(bit(first, i), theirs);
          });
        assert.deepEqual(
          [...combineBits('DIFF', sources)],
          withOthers((mine, theirs) => mine & ~theirs),
        );
        assert.deepEqual(
          [...combineBits('DIFF1', sources)],
          withOthers((mine, theirs) => theirs & ~mine),
        );
        assert.deepEqual(
          [...combineBits('ANDOR', sources)],
          withOthers((mine, theirs) => mine & theirs),
        );
        const all = sources.map((source) => bitsOf(source));
        const single = Array.from({ length: 8 * length }, (_, i) =>
          Number(all.filter((bits) => bits[i] === 1).length === 1),
        );
        assert.deepEqual(bitsOf(combineBits('ONE', sources)), single);
        assert.deepEqual(
          [...combineBits('NOT', [first])],
          [...first].map((byte) => 255 - byte),
        );
      }),
    );
  });

  test('a field reads back what was written and leaves its neighbours alone', () => {
    const field = fc.record({
      signed: fc.boolean(),
      bits: fc.integer({ min: 1, max: 63 }),
      offset: fc.integer({ min: 0, max: 100 }),
      value: fc.bigInt({ min: -(1n << 63n), max: (1n << 63n) - 1n }),
    });
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 25, maxLength: 25 }), field, (bytes, { signed, bits, offset, value }) => {
        const before = bitsOf(bytes);
        writeField(bytes, { signed, bits }, offset, value);
        const after = bitsOf(bytes);
        assert.deepEqual(after.slice(0, offset), before.slice(0, offset));
        assert.deepEqual(after.slice(offset + bits), before.slice(offset + bits));
        const expected = signed ? BigInt.asIntN(bits, value) : BigInt.asUintN(bits, value);
        assert.equal(readField(bytes, { signed, bits }, offset), expected);
      }),
    );
  });
});

describe('commands on bits', () => {
  test('random SETBITs of a long string are those of the array', async () => {
    const runner = new CommandRunner(bitmapCommands);
    const model = new Map<number, number>();
    let state = 12345;
    for (let i = 0; i < 500; i++) {
      state = (Math.imul(state, 1103515245) + 12345) >>> 0;
      const offset = state % 20_000;
      const bit = (state >>> 16) & 1;
      assert.equal(await runner.run('SETBIT', 'b', offset, bit), model.get(offset) ?? 0);
      model.set(offset, bit);
    }
    const ones = [...model].filter(([, bit]) => bit === 1).map(([offset]) => offset);
    assert.equal(await runner.run('BITCOUNT', 'b'), ones.length);
    assert.equal(await runner.run('BITPOS', 'b', 1), Math.min(...ones));
    assert.equal(
      await runner.run('BITCOUNT', 'b', 100, 9999, 'BIT'),
      ones.filter((at) => at >= 100 && at < 10_000).length,
    );
  });

  test('a miss runs the command again and counts once', async () => {
    const runner = new CommandRunner(bitmapCommands);
    await runner.run('BITFIELD', 'b', 'INCRBY', 'u32', 0, 5);
    runner.store.chill();
    assert.deepEqual(await runner.run('BITFIELD', 'b', 'INCRBY', 'u32', 0, 5), [10]);
  });
});
