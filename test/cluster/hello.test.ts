import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { must } from '../../src/assert.ts';
import { DamagedError } from '../../src/cluster/byte-cursor.ts';
import {
  Handshake,
  helloStep,
  INSTANCE_BYTES,
  NONCE_BYTES,
  refusal,
  type HandshakeRole,
  type HandshakeStep,
  type HelloMessage,
  type HelloPeer,
  type HelloSelf,
  type Refusal,
} from '../../src/cluster/hello.ts';

interface SideOptions {
  readonly secret?: string;
  readonly clusterId?: string;
  readonly versions?: { lowest: number; highest: number };
  readonly judge?: (peer: HelloPeer) => Refusal | undefined;
  readonly nonce?: number;
}

function side(role: HandshakeRole, options: SideOptions = {}): Handshake {
  const name = role === 'caller' ? 'a' : 'b';
  const self: HelloSelf = {
    identity: name,
    address: `${name}:1`,
    clusterId: options.clusterId,
    instance: new Uint8Array(INSTANCE_BYTES).fill(name.charCodeAt(0)),
    secret: options.secret ?? 'secret',
    ...(options.versions === undefined ? {} : { versions: options.versions }),
  };
  const nonce = new Uint8Array(NONCE_BYTES).fill(options.nonce ?? name.charCodeAt(0));
  return new Handshake({ role, self, nonce, judge: options.judge ?? (() => undefined) });
}

interface Meeting {
  readonly said: HelloMessage[];
  readonly caller: HandshakeStep[];
  readonly called: HandshakeStep[];
}

/** Passes messages to and fro until nobody says anything more; `touch` may change what is on its way. */
function meet(
  caller: Handshake,
  called: Handshake,
  touch: (message: HelloMessage, index: number) => HelloMessage = (message) => message,
): Meeting {
  const meeting: Meeting = { said: [], caller: [], called: [] };
  let next: HelloMessage | undefined = caller.begin();
  for (let turn = 0; next !== undefined; turn++) {
    const message: HelloMessage = touch(next, turn);
    meeting.said.push(message);
    const [taker, steps] = turn % 2 === 0 ? [called, meeting.called] : [caller, meeting.caller];
    const step = taker.take(message);
    steps.push(step);
    next = step.send;
  }
  return meeting;
}

function outcome(steps: readonly HandshakeStep[]): string {
  const last = steps.find((step) => step.met !== undefined || step.refused !== undefined);
  if (last?.met !== undefined) return 'met';
  return last?.refused === undefined ? 'open' : `refused ${last.refused.code}${last.refused.byPeer ? ' by peer' : ''}`;
}

void test('two that know the secret meet, in four messages, and know each other', () => {
  const meeting = meet(side('caller', { clusterId: 'one' }), side('called'));
  assert.deepEqual(
    meeting.said.map(({ method }) => method),
    [helloStep.HELLO, helloStep.HELLO, helloStep.PROOF, helloStep.PROOF],
  );
  const known = must(meeting.called.at(-1)?.met, 'the called one knows');
  assert.deepEqual(known, { identity: 'a', address: 'a:1', clusterId: 'one', instance: '61'.repeat(8), version: 1 });
  assert.equal(meeting.caller.at(-1)?.met?.clusterId, undefined);
});

void test('different secrets: refused on both sides, and nothing is proven to who merely calls', () => {
  const meeting = meet(side('caller', { secret: 'guess' }), side('called'));
  assert.equal(outcome(meeting.called), `refused ${refusal.SECRET}`);
  assert.equal(outcome(meeting.caller), `refused ${refusal.SECRET} by peer`);
  assert.deepEqual(
    meeting.said.map(({ method }) => method),
    [helloStep.HELLO, helloStep.HELLO, helloStep.PROOF, helloStep.REFUSAL],
  );
});

void test('a proof is good for one handshake and one role only', () => {
  const first = meet(side('caller'), side('called'));
  const proof = must(first.said[2], 'the proof of the caller');
  const replay = meet(side('caller', { secret: 'guess' }), side('called', { nonce: 9 }), (message, index) =>
    index === 2 ? proof : message,
  );
  assert.equal(outcome(replay.called), `refused ${refusal.SECRET}`);
  const mirrored = meet(side('caller'), side('called', { secret: 'guess' }), (message, index) =>
    index === 3 ? proof : message,
  );
  assert.notEqual(outcome(mirrored.caller), 'met');
});

void test('the highest version that both speak, or none', () => {
  const meeting = meet(
    side('caller', { versions: { lowest: 1, highest: 4 } }),
    side('called', { versions: { lowest: 2, highest: 3 } }),
  );
  assert.equal(meeting.caller.at(-1)?.met?.version, 3);
  assert.equal(meeting.called.at(-1)?.met?.version, 3);
  const apart = meet(
    side('caller', { versions: { lowest: 4, highest: 6 } }),
    side('called', { versions: { lowest: 1, highest: 3 } }),
  );
  assert.equal(outcome(apart.called), `refused ${refusal.VERSION}`);
  assert.match(apart.caller[0]?.refused?.reason ?? '', /4 to 6 and 1 to 3/);
});

void test('either side may refuse whom it got to know; the called one only after a right proof', () => {
  const no = (): Refusal => ({ code: refusal.DUPLICATE, reason: 'enough' });
  assert.equal(
    outcome(meet(side('caller', { judge: no }), side('called')).called),
    `refused ${refusal.DUPLICATE} by peer`,
  );
  assert.equal(
    outcome(meet(side('caller'), side('called', { judge: no })).caller),
    `refused ${refusal.DUPLICATE} by peer`,
  );
  let asked = 0;
  const count = (): undefined => {
    asked++;
    return undefined;
  };
  meet(side('caller', { secret: 'guess' }), side('called', { judge: count }));
  assert.equal(asked, 0);
});

void test('a byte changed on its way: nobody meets, or only what could not have been changed unseen', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 3 }), fc.nat(), fc.integer({ min: 1, max: 255 }), (index, at, flip) => {
      const touch = (message: HelloMessage, turn: number): HelloMessage => {
        if (turn !== index) return message;
        const payload = message.payload.slice();
        payload[at % payload.length] = must(payload[at % payload.length], 'a byte') ^ flip;
        return { method: message.method, payload };
      };
      try {
        const meeting = meet(side('caller'), side('called'), touch);
        assert.notEqual(outcome(meeting.caller), 'met');
        // The last proof is on its way when the called one has met.
        if (index < 3) assert.notEqual(outcome(meeting.called), 'met');
      } catch (error) {
        assert.ok(error instanceof DamagedError, String(error));
      }
    }),
  );
});

void test('noise is damage, never anything else', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 5 }), fc.uint8Array({ maxLength: 120 }), (method, payload) => {
      for (const role of ['caller', 'called'] as const) {
        try {
          assert.equal(side(role).take({ method, payload }).met, undefined);
        } catch (error) {
          assert.ok(error instanceof DamagedError, String(error));
        }
      }
    }),
  );
  assert.throws(() => side('called').take({ method: helloStep.PROOF, payload: new Uint8Array(32) }), DamagedError);
});

void test('what a later version writes behind a HELLO is no hindrance', () => {
  const longer = (message: HelloMessage, index: number): HelloMessage =>
    index > 1 ? message : { method: message.method, payload: Uint8Array.of(...message.payload, 1, 2, 3) };
  // Both sides must have the same bytes to prove: here each sees the other's longer HELLO and its own short one.
  assert.equal(outcome(meet(side('caller'), side('called'), longer).called), `refused ${refusal.SECRET}`);
  const step = side('called').take(longer(side('caller').begin(), 0));
  assert.equal(step.send?.method, helloStep.HELLO);
});
