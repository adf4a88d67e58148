/** Vectors of the reference implementation's own check (xxHash 0.8, cli/xsum_sanity_check.c), and of redis.io. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { xxh3 } from '../../src/commands/string-xxh3.ts';

const VECTORS: readonly (readonly [length: number, hash: string])[] = [
  [0, '2d06800538d394c2'],
  [1, 'c44bdff4074eecdb'],
  [6, '27b56a84cd2d7325'],
  [12, 'a713daf0dfbb77e7'],
  [24, 'a3fe70bf9d3510eb'],
  [48, '397da259ecba1f11'],
  [80, 'bcdefbbb2c47c90a'],
  [195, 'cd94217ee362ec3a'],
  [403, 'cdeb804d65c6dea4'],
  [512, '617e49599013cb6b'],
  [2048, 'dd59e2c3a5f038e0'],
  [2099, 'c6b9d9b3fc9ac765'],
  [2240, '6e73a90539cf2948'],
  [2367, 'cb37aeb9e5d361ed'],
];

/** The buffer that the check hashes prefixes of. */
function sanityBuffer(length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  let generator = 0x9e37_79b1n;
  for (let i = 0; i < length; i++) {
    bytes[i] = Number(generator >> 56n);
    generator = (generator * 0x9e37_79b1_85eb_ca8dn) & 0xffff_ffff_ffff_ffffn;
  }
  return bytes;
}

test('the vectors of the reference implementation', () => {
  const bytes = sanityBuffer(2367);
  for (const [length, hash] of VECTORS) assert.equal(xxh3(bytes.subarray(0, length)), hash, `${length} bytes`);
});

test('the place of the bytes in memory does not matter', () => {
  const bytes = sanityBuffer(2367);
  const shifted = new Uint8Array(2368);
  shifted.set(bytes, 1);
  for (const [length, hash] of VECTORS) assert.equal(xxh3(shifted.subarray(1, 1 + length)), hash);
});

test('the examples of redis.io/commands/digest and of redis issue 14496', () => {
  assert.equal(xxh3(Buffer.from('Hello world')), 'b6acb9d84a38ff74');
  const zeros = 'v8lf0c11xh8ymlqztfd3eeq16kfn4sspw7fqmnuuq3k3t75em5wdizgcdw7uc26nnf961u2jkfzkjytls2kwlj7626sd';
  assert.equal(xxh3(Buffer.from(zeros)), '00006c38adf31777');
});
