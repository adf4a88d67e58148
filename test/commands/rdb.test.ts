import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { dumpValue, isIntact, restoreValue } from '../../src/commands/rdb.ts';
import { writeCrc64 } from '../../src/commands/rdb-crc64.ts';
import { compressLzf, decompressLzf } from '../../src/commands/rdb-lzf.ts';

function dumpString(value: Uint8Array): Uint8Array {
  return dumpValue({ kind: 'string', value });
}

function restoreString(payload: Uint8Array): Uint8Array | undefined {
  const value = restoreValue(payload);
  return value?.kind === 'string' ? value.value : undefined;
}

const incompressible = fc.uint8Array({ maxLength: 300 });
const repetitive = fc
  .array(fc.tuple(fc.constantFrom('a', 'bc', 'def', 'xyzzy'), fc.nat(200)), { maxLength: 20 })
  .map((runs) => Buffer.from(runs.map(([text, times]) => text.repeat(times)).join('')));
const integers = fc
  .oneof(fc.integer(), fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }))
  .map((n) => Buffer.from(String(n)));
const values = fc.oneof(incompressible, repetitive, integers);

test('the check value of the CRC', () => {
  const crc = new Uint8Array(8);
  writeCrc64(crc, 0, Buffer.from('123456789'), 9);
  assert.equal(Buffer.from(crc).reverse().toString('hex'), 'e9c6d914c4b8d9ca');
});

test('LZF gives back what it was given', () => {
  fc.assert(
    fc.property(values, (value) => {
      const stream = compressLzf(value, value.length + 10 + Math.ceil(value.length / 32));
      assert.ok(stream !== undefined);
      assert.deepEqual(Buffer.from(decompressLzf(stream, value.length) as Uint8Array), Buffer.from(value));
    }),
  );
});

test('LZF compresses what repeats, and says when it does not get small enough', () => {
  const text = Buffer.from('abcdefgh'.repeat(1000));
  const stream = compressLzf(text, text.length) as Uint8Array;
  assert.ok(stream.length < 200, `${stream.length} bytes`);
  assert.equal(compressLzf(text, stream.length - 1), undefined);
});

test('a copy reaches back as far as the format allows, and no further', () => {
  for (const distance of [8190, 8191, 8192, 8193, 8194]) {
    const text = Buffer.alloc(distance + 300);
    for (let i = 0; i < distance; i++) text[i] = Math.imul(i, 2_654_435_761) >>> 13;
    text.copy(text, distance, 0, 300);
    const stream = compressLzf(text, text.length * 2) as Uint8Array;
    assert.deepEqual(Buffer.from(decompressLzf(stream, text.length) as Uint8Array), text);
  }
});

test('any stream is decompressed or refused', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 40 }), fc.nat(4000), (stream, length) => {
      const value = decompressLzf(stream, length);
      assert.ok(value === undefined || value.length === length);
    }),
  );
  // What is announced is not allocated.
  assert.equal(decompressLzf(Uint8Array.of(0, 1), 2 ** 40), undefined);
});

test('a payload restores to what was dumped', () => {
  fc.assert(
    fc.property(values, (value) => {
      const payload = dumpString(value);
      assert.ok(isIntact(payload));
      assert.deepEqual(Buffer.from(restoreString(payload) as Uint8Array), Buffer.from(value));
    }),
  );
});

test('a damaged payload is refused', () => {
  fc.assert(
    fc.property(values, fc.nat(), fc.integer({ min: 1, max: 255 }), (value, at, flip) => {
      const payload = dumpString(value);
      const i = at % payload.length;
      payload[i] = (payload[i] as number) ^ flip;
      assert.equal(isIntact(payload), false);
    }),
  );
});

test('any bytes with a right checksum are restored or refused', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 1, maxLength: 30 }), (body) => {
      const payload = new Uint8Array(body.length + 11);
      payload.set(body, 1);
      payload[body.length + 1] = 10;
      writeCrc64(payload, body.length + 3, payload, body.length + 3);
      assert.ok(isIntact(payload));
      restoreString(payload);
    }),
  );
});

/** DUMP of redis-server 7.0.15, in hexadecimal. */
const FROM_REDIS: readonly (readonly [value: string, payload: string])[] = [
  ['', '00000a005d9b5c400f7fa2da'],
  ['a', '0001610a00bffeef9b8f367db4'],
  ['0', '00c0000a009840a778f8500308'],
  ['-1', '00c0ff0a000c937e2485089dc5'],
  ['127', '00c07f0a000db5eb315254c514'],
  ['-128', '00c0800a009966326d2f0c5bd9'],
  ['128', '00c180000a00eb7ab3b510cf4b65'],
  ['-129', '00c17fff0a001760822854808480'],
  ['32767', '00c1ff7f0a00495a37da17f4d52b'],
  ['-32768', '00c100800a00b540064753bb1ace'],
  ['32768', '00c2008000000a0045d82eedd5bda910'],
  ['2147483647', '00c2ffffff7f0a002c74e59ee02eada1'],
  ['-2147483648', '00c2000000800a00c74f873e33558187'],
  ['2147483648', '000a323134373438333634380a00e7b129a34c1d76ee'],
  ['-0', '00022d300a00d5411fd9d6d050cc'],
  ['007', '00033030370a007258e27b4c69bad9'],
  ['3.5', '0003332e350a00214f9989cc908f67'],
  ['xxxxxxxxxxxxxxxxxxxx', '001478787878787878787878787878787878787878780a005b3c81eca58cc56b'],
  ['Hello, World! 0123456789', '001848656c6c6f2c20576f726c642120303132333435363738390a004cc79b33c19212fc'],
  [
    'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa',
    '00c3094064016161e057000161610a00e8a3b507b06df271',
  ],
  ['abcabcabcabcabcabcabcabcabc', '00c30b1b0361626361e00c020162630a0028b67f7fba109493'],
  ['\x00\xff\r\n', '000400ff0d0a0a008d10d19e4216ec65'],
  [
    '!Fk6[&Kp;`+Pu@e0UzEj5Z%Jo:_*Ot?d/TyDi4Y$In9^)Ns>c.SxCh3X#Hm8](Mr=b-RwB',
    '00404621466b365b264b703b602b5075406530557a456a355a254a6f3a5f2a4f743f642f54794469345924496e395e294e733e632e53784368335823486d385d284d723d622d5277420a00bdc642362916944b',
  ],
];

test('payloads of Redis restore', () => {
  for (const [value, payload] of FROM_REDIS) {
    const bytes = Buffer.from(payload, 'hex');
    assert.ok(isIntact(bytes), value);
    assert.equal(Buffer.from(restoreString(bytes) as Uint8Array).toString('latin1'), value);
  }
});

test('payloads without compression are Redis’s, byte for byte', () => {
  for (const [value, payload] of FROM_REDIS) {
    if (payload.startsWith('00c3')) continue;
    assert.equal(Buffer.from(dumpString(Buffer.from(value, 'latin1'))).toString('hex'), payload);
  }
});

test('versions above those known are refused', () => {
  const payload = dumpString(Buffer.from('v'));
  for (const [version, intact] of [
    [9, true],
    [10, true],
    [12, true],
    [13, false],
  ] as const) {
    payload[payload.length - 10] = version;
    writeCrc64(payload, payload.length - 8, payload, payload.length - 8);
    assert.equal(isIntact(payload), intact, `version ${version}`);
  }
});
