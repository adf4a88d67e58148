import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { DamagedError } from '../../src/cluster/byte-cursor.ts';
import { decodeSwim, encodeSwim } from '../../src/cluster/swim-codec.ts';
import type { SwimMessage } from '../../src/cluster/swim-message.ts';

const text = fc.string({ maxLength: 20 });
const news = fc.array(
  fc.record(
    {
      name: text,
      status: fc.constantFrom('alive' as const, 'suspect' as const, 'dead' as const, 'left' as const),
      incarnation: fc.maxSafeNat(),
      address: text,
      from: text,
      about: text,
    },
    { noNullPrototype: true },
  ),
  { maxLength: 4 },
);
const probe = fc.maxSafeNat();
const message: fc.Arbitrary<SwimMessage> = fc.oneof(
  fc.record(
    { kind: fc.constantFrom('probe' as const, 'ack' as const, 'nack' as const), probe, news },
    { noNullPrototype: true },
  ),
  fc.record(
    { kind: fc.constant('probe-for' as const), probe, target: text, address: text, news },
    { noNullPrototype: true },
  ),
  fc.record({ kind: fc.constant('gossip' as const), news }, { noNullPrototype: true }),
  fc.record({ kind: fc.constant('compare' as const), reply: fc.boolean(), news }, { noNullPrototype: true }),
);

void test('messages of membership come back from their bytes; cut short or with more behind they are refused', () => {
  fc.assert(
    fc.property(message, text, text, fc.nat(), (sent, from, address, cut) => {
      const bytes = encodeSwim({ from, address, message: sent });
      assert.deepEqual(decodeSwim(bytes), { from, address, message: sent });
      assert.throws(() => decodeSwim(bytes.subarray(0, cut % bytes.length)), DamagedError);
      assert.throws(() => decodeSwim(Uint8Array.of(...bytes, 0)), DamagedError);
    }),
  );
});

void test('any bytes are a message or a DamagedError', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), fc.boolean(), (bytes, versioned) => {
      if (versioned && bytes.length > 1) bytes.set([1, 1 + ((bytes[1] as number) % 7)]);
      try {
        decodeSwim(bytes);
      } catch (error) {
        assert.ok(error instanceof DamagedError);
      }
    }),
    { numRuns: 500 },
  );
});
