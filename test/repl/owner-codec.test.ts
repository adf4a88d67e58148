import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { DamagedError } from '../../src/cluster/byte-cursor.ts';
import { decodeAnswer, decodeRequest, encodeAnswer, encodeRequest } from '../../src/repl/owner-codec.ts';
import type { OwnerAnswer, OwnerRequest } from '../../src/repl/owner-message.ts';

const plain = { noNullPrototype: true } as const;
const version = fc.record({ stamp: fc.maxSafeNat(), actor: fc.integer({ min: 0, max: 0xffff_ffff }) }, plain);
const state = fc.option(fc.uint8Array({ maxLength: 40 }), { nil: undefined });
const row = fc.uint8Array({ minLength: 4, maxLength: 30 }).map((bytes) => Buffer.from(bytes).toString('latin1'));

const request: fc.Arbitrary<OwnerRequest<Uint8Array>> = fc.oneof(
  fc.record({ kind: fc.constant('prepare' as const), row, ballot: version, have: version }, plain),
  fc.record({ kind: fc.constant('accept' as const), row, ballot: version, value: state, next: version }, plain),
  fc.record({ kind: fc.constant('read' as const), row, digest: fc.boolean() }, plain),
);
const answer: fc.Arbitrary<Exclude<OwnerAnswer<Uint8Array>, { kind: 'unsent' }>> = fc.oneof(
  fc.record({ kind: fc.constantFrom('promised' as const, 'held' as const), version, value: state }, plain),
  fc.constant({ kind: 'accepted' as const }),
  fc.record({ kind: fc.constant('conflict' as const), max: version, held: version }, plain),
  fc.record({ kind: fc.constant('stale' as const), epoch: fc.maxSafeNat() }, plain),
  fc.record(
    {
      kind: fc.constant('unable' as const),
      reason: fc.constantFrom('ahead' as const, 'amnesia' as const, 'refused' as const),
    },
    plain,
  ),
);

/** States as plain arrays: a Buffer's view and a Uint8Array are the same bytes. */
function shown(message: object): unknown {
  return 'value' in message && message.value instanceof Uint8Array
    ? { ...message, value: [...message.value] }
    : message;
}

void test('requests come back from their bytes', () => {
  fc.assert(
    fc.property(request, (sent) => {
      assert.deepEqual(shown(decodeRequest(encodeRequest(sent))), shown(sent));
    }),
  );
});

void test('answers come back from their bytes', () => {
  fc.assert(
    fc.property(answer, (sent) => {
      assert.deepEqual(shown(decodeAnswer(encodeAnswer(sent))), shown(sent));
    }),
  );
});

void test('an empty state is not an absent one', () => {
  const held = { kind: 'held', version: { stamp: 1, actor: 1 }, value: new Uint8Array(0) } as const;
  assert.deepEqual(shown(decodeAnswer(encodeAnswer(held))), shown(held));
});

void test('any bytes are a message or a DamagedError, and a message cut short is damage unless its state is', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 80 }), fc.integer({ min: 0, max: 8 }), (bytes, kind) => {
      if (bytes.length > 0) bytes[0] = kind;
      if (bytes.length > 5) bytes.set([0, 0, 0, (bytes[4] as number) % 16], 1);
      for (const decode of [decodeRequest, decodeAnswer]) {
        try {
          decode(bytes);
        } catch (error) {
          assert.ok(error instanceof DamagedError);
        }
      }
    }),
    { numRuns: 1_000 },
  );
  fc.assert(
    fc.property(request, fc.nat(), (sent, cut) => {
      if (sent.kind === 'accept' && sent.value !== undefined) return;
      const bytes = encodeRequest(sent);
      assert.throws(() => decodeRequest(bytes.subarray(0, cut % bytes.length)), DamagedError);
    }),
  );
});
