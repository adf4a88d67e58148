/**
 * Any bytes may come from a client: the parser never throws, its memory is bounded by what came, and where reads end
 * makes no difference. `KVORUM_FUZZ_RUNS` sets the number of runs, fast-check prints the seed of a failure.
 */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import fc from 'fast-check';

import { feedParser } from '../support/feed-parser.ts';

const numRuns = Number(process.env['KVORUM_FUZZ_RUNS'] ?? 1500);

const token = fc.oneof(
  fc.constantFrom('*', '$', '\r\n', '\r', '\n', '\0', '\t', '\v', '+', ' ', '"', "'", '\\', '\\x', '%', '\xff'),
  fc.constantFrom('-1', '0', '1', '2', '3', '10', '11', '999999999', '9999999999', 'a', 'PING'),
  fc.constantFrom('*1\r\n$4\r\nPING\r\n', '*2\r\n', '$3\r\nabc\r\n'),
);
const stream = fc.oneof(
  fc.array(token, { maxLength: 60 }).map((tokens) => Buffer.from(tokens.join(''), 'latin1')),
  fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes)),
  fc
    .tuple(
      fc.array(token, { maxLength: 10 }),
      fc.integer({ min: 60_000, max: 140_000 }),
      fc.array(token, { maxLength: 9 }),
    )
    .map(([before, length, after]) => Buffer.from(before.join('') + 'y'.repeat(length) + after.join(''), 'latin1')),
);
const pieceSizes = fc.array(fc.integer({ min: 1, max: 70_000 }), { minLength: 1, maxLength: 8 });

test('random bytes: no throw, bounded memory, the same result for every split', () => {
  let broken = 0;
  let commands = 0;
  fc.assert(
    fc.property(stream, pieceSizes, fc.boolean(), (bytes, sizes, authenticated) => {
      const whole = feedParser(bytes, [Math.max(bytes.length, 1)], { authenticated });
      const split = feedParser(bytes, sizes, {
        authenticated,
        afterPiece(parser, fedBytes) {
          assert.ok(parser.heldBytes <= fedBytes);
          assert.ok(parser.heldBytes + parser.freeBytes <= 2 * fedBytes + 1024);
        },
      });
      assert.deepEqual(split.commands, whole.commands);
      assert.equal(split.error, whole.error);
      if (whole.error !== '') broken++;
      commands += whole.commands.length;
    }),
    { numRuns },
  );
  assert.ok(broken > numRuns / 20 && commands > numRuns / 20, 'the fuzz reaches both errors and commands');
});
