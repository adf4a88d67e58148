import assert from 'node:assert/strict';
import { test } from 'node:test';

import fc from 'fast-check';

import { Args } from '../../src/commands/args.ts';
import { scoutKeys } from '../../src/resp/key-scout.ts';
import { SCOUTED_MAX_KEYS } from '../../src/resp/limits.ts';
import { encodeCommand } from '../support/raw-client.ts';

function scouted(bytes: Uint8Array, start = 0, end = bytes.length): string[] {
  const keys = new Args();
  scoutKeys(bytes, start, end, keys);
  return Array.from({ length: keys.count }, (_, i) => keys.text(i));
}

const word = fc.oneof(fc.uint8Array({ maxLength: 20 }), fc.constantFrom(Buffer.from('one'), Buffer.from('two')));
const commands = fc.array(fc.array(word, { minLength: 1, maxLength: 5 }), { maxLength: 8 });

/** Without those that the one before is too; only the first when the second is the same. */
function withoutRuns(keys: readonly string[]): string[] {
  if (keys.length > 1 && keys[0] === keys[1]) return keys.slice(0, 1);
  return keys.filter((key, i) => i === 0 || key !== keys[i - 1]);
}

test('the second words of all commands that have come whole', () => {
  fc.assert(
    fc.property(commands, fc.nat(20), fc.nat(200), (argvs, before, cut) => {
      const encoded = argvs.map((argv) => encodeCommand(argv));
      const stream = Buffer.concat([Buffer.alloc(before, '*'), ...encoded]);
      const end = Math.max(before, stream.length - cut);
      let at = before;
      const whole = argvs.filter((_, i) => (at += (encoded[i] as Buffer).length) <= end);
      const keys = whole.filter((argv) => argv.length > 1).map((argv) => Buffer.from(argv[1] as Uint8Array));
      assert.deepEqual(scouted(stream, before, end), withoutRuns(keys.map((key) => key.toString('latin1'))));
    }),
  );
});

test('any bytes: it ends, and what it finds lies within them', () => {
  const piece = fc.oneof(
    fc.constantFrom(
      '*2\r\n',
      '$3\r\n',
      'GET',
      '\r\n',
      '*',
      '$',
      '*-1\r\n',
      '$0\r\n\r\n',
      '*99999999\r\n',
      '$9999999\r\n',
    ),
    fc.string({ maxLength: 4 }),
  );
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 40 }), (pieces) => {
      const bytes = Buffer.from(pieces.join(''), 'latin1');
      const keys = new Args();
      scoutKeys(bytes, 0, bytes.length, keys);
      for (let i = 0; i < keys.count; i++) {
        assert.ok((keys.starts[i] as number) <= (keys.ends[i] as number));
        assert.ok((keys.ends[i] as number) <= bytes.length);
      }
    }),
    { numRuns: 500 },
  );
});

test('it finds so many keys at a time', () => {
  const stream = Buffer.concat(
    Array.from({ length: SCOUTED_MAX_KEYS + 3 }, (_, i) => encodeCommand(['get', `key ${i}`])),
  );
  assert.equal(scouted(stream).length, SCOUTED_MAX_KEYS);
});
