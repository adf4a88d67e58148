/** HyperLogLogs: the hash against its definition in BigInts, both forms against plain registers, estimates. */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import fc from 'fast-check';

import { murmur64, place, rank, register } from '../../src/commands/hyperloglog-hash.ts';
import {
  cardinalityOf,
  cardinalityOfRanks,
  isSketch,
  REGISTERS,
  Sketch,
} from '../../src/commands/hyperloglog-sketch.ts';
import { hyperloglogCommands } from '../../src/commands/hyperloglog.ts';
import { CommandRunner } from '../support/command-runner.ts';

const MULTIPLIER = 0xc6a4a7935bd1e995n;

/** MurmurHash64A as its author wrote it, on 64-bit numbers. */
function referenceHash(bytes: Uint8Array): bigint {
  const cut = (value: bigint): bigint => BigInt.asUintN(64, value);
  const numberAt = (from: number, to: number): bigint => {
    let value = 0n;
    for (let i = to - 1; i >= from; i--) value = (value << 8n) | BigInt(bytes[i] as number);
    return value;
  };
  let hash = cut(0xadc83b19n ^ (BigInt(bytes.length) * MULTIPLIER));
  const whole = bytes.length & ~7;
  for (let at = 0; at < whole; at += 8) {
    let word = cut(numberAt(at, at + 8) * MULTIPLIER);
    word ^= word >> 47n;
    hash = cut((hash ^ cut(word * MULTIPLIER)) * MULTIPLIER);
  }
  if (whole < bytes.length) hash = cut((hash ^ numberAt(whole, bytes.length)) * MULTIPLIER);
  hash ^= hash >> 47n;
  hash = cut(hash * MULTIPLIER);
  return hash ^ (hash >> 47n);
}

function referenceRank(hash: bigint): number {
  let rest = (hash >> 14n) | (1n << 50n);
  let count = 1;
  for (; (rest & 1n) === 0n; rest >>= 1n) count++;
  return count;
}

function ranksOf(sketch: Sketch): Uint8Array {
  const ranks = new Uint8Array(REGISTERS);
  sketch.mergeInto(ranks);
  return ranks;
}

describe('hyperloglog', () => {
  test('hash, register and rank are those of the definition', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
        const hash = referenceHash(bytes);
        assert.equal(murmur64(bytes), hash.toString(16).padStart(16, '0'));
        place(bytes);
        assert.equal(register, Number(hash & 0x3fffn));
        assert.equal(rank, referenceRank(hash));
      }),
      { numRuns: 500 },
    );
  });

  test('the registers of both forms are those of an array', () => {
    const raise = fc.tuple(fc.oneof(fc.nat(REGISTERS - 1), fc.nat(60)), fc.integer({ min: 1, max: 32 }));
    fc.assert(
      fc.property(fc.array(raise, { maxLength: 300 }), fc.boolean(), (raises, dense) => {
        const sketch = Sketch.empty();
        if (dense) sketch.makeDense();
        const expected = new Uint8Array(REGISTERS);
        for (const [index, to] of raises) {
          assert.equal(sketch.raise(index, to), (expected[index] as number) < to);
          expected[index] = Math.max(expected[index] as number, to);
        }
        assert.equal(sketch.isDense, dense);
        assert.ok(isSketch(sketch.bytes));
        assert.deepEqual(ranksOf(sketch), expected);
        sketch.makeDense();
        assert.deepEqual(ranksOf(sketch), expected);
        assert.equal(cardinalityOf(sketch), cardinalityOfRanks(expected));
      }),
      { numRuns: 60 },
    );
  });

  test('a rank above 32, or too many runs, makes it dense and loses nothing', () => {
    const high = Sketch.empty();
    high.raise(5, 3);
    high.raise(7, 33);
    assert.ok(high.isDense);
    assert.equal(ranksOf(high)[5], 3);
    assert.equal(ranksOf(high)[7], 33);
    const many = Sketch.empty();
    let count = 0;
    for (; !many.isDense; count++) many.raise((count * 7919) % REGISTERS, 1 + (count % 9));
    assert.ok(count > 700 && count < 3000);
    assert.equal(ranksOf(many).filter((each) => each > 0).length, count);
  });

  test('estimates are within two hundredths', () => {
    const sketch = Sketch.empty();
    let next = 0;
    for (const wanted of [10, 100, 1000, 10_000, 100_000]) {
      for (; next < wanted; next++) sketch.add(Buffer.from(`element ${next}`));
      const error = Math.abs(cardinalityOf(sketch) - wanted) / wanted;
      assert.ok(error < 0.02, `${wanted}: off by ${error}`);
    }
  });

  test('what it is given stays as it is', async () => {
    const runner = new CommandRunner(hyperloglogCommands);
    assert.equal(await runner.line('PFADD a x y z'), 1);
    assert.equal(await runner.line('PFADD a x y z'), 0);
    const before = await runner.line('GET a');
    await runner.line('PFCOUNT a');
    await runner.line('PFMERGE b a');
    assert.equal(await runner.line('GET a'), before);
    runner.store.chill();
    assert.equal(await runner.line('PFCOUNT a b nothing'), 3);
    assert.equal(await runner.line('PFSELFTEST'), 'OK');
  });
});
