import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { latin1, utf8 } from '../../src/bytes.ts';
import { ArrivedBatch, Batch, BATCH_BYTES, BATCH_PARTS, isBatched } from '../../src/cluster/bus-batch.ts';
import { UNKNOWN, UNSENT, type BusOutcome, type Outgoing } from '../../src/cluster/bus-core.ts';
import { busMethod, METHOD_ANSWERED, METHOD_BUSY, METHOD_FAILED } from '../../src/cluster/bus-method.ts';
import { DamagedError } from '../../src/cluster/byte-cursor.ts';
import { messageType, priority, type Message, type PayloadWriter } from '../../src/cluster/frame.ts';
import { Town } from './bus-town.ts';

function outgoing(payload: Uint8Array, rest: Partial<Outgoing> = {}): Outgoing {
  return { method: busMethod.OWNER, priority: priority.CLIENT, deadlineMs: 1_000, epoch: 3, payload, ...rest };
}

function written(payload: PayloadWriter): Uint8Array {
  const bytes = new Uint8Array(payload.length + 2);
  payload.write(bytes, 1);
  assert.deepEqual([bytes[0], bytes[bytes.length - 1]], [0, 0], 'it writes within its length');
  return bytes.subarray(1, bytes.length - 1);
}

function message(type: Message['type'], payload: Uint8Array, method: number = METHOD_ANSWERED): Message {
  return { type, priority: priority.CLIENT, method, requestId: 1, timeLeftMs: 0, epoch: 3, payload };
}

/** A batch of these texts, as it is asked and as it came, and what became of each. */
function pair(texts: readonly string[]): { batch: Batch; arrived: ArrivedBatch; ends: string[]; firsts: () => number } {
  const ends: string[] = [];
  let firsts = 0;
  const batch = new Batch(outgoing(utf8('')));
  texts.forEach((text, i) => {
    const ended = (outcome: BusOutcome): void => {
      const said = outcome.kind === 'answered' ? ` ${outcome.message.method} ${latin1(outcome.message.payload)}` : '';
      ends.push(`${i} ${outcome.kind}${said}`);
    };
    batch.add(outgoing(utf8(text)), ended);
  });
  const payload = written(batch.payload);
  const arrived = new ArrivedBatch(message(messageType.BATCH, payload, busMethod.OWNER), (isFirst) => {
    if (isFirst) firsts++;
  });
  return { batch, arrived, ends, firsts: () => firsts };
}

/** Carries what is to be told back to the batch; how many messages. */
function tell(arrived: ArrivedBatch, batch: Batch): number {
  let messages = 0;
  arrived.tell((payload, isLast) => {
    messages++;
    const bytes = written(payload);
    if (isLast) batch.ended({ kind: 'answered', message: message(messageType.ANSWER, bytes) });
    else batch.parts(message(messageType.PARTS, bytes));
  });
  return messages;
}

void test('requests come as they were asked, and answers in parts find them, each once', () => {
  const { batch, arrived, ends, firsts } = pair(['one', '', 'three']);
  assert.deepEqual(
    [0, 1, 2].map((place) => latin1(arrived.part(place).payload)),
    ['one', '', 'three'],
  );
  arrived.answer(2, utf8('c'));
  arrived.answer(2, utf8('again'));
  assert.equal(tell(arrived, batch), 1);
  assert.equal(tell(arrived, batch), 0);
  assert.deepEqual(ends, ['2 answered 0 c']);
  arrived.answer(0, utf8('a'), METHOD_FAILED);
  arrived.answer(1, utf8('b'));
  tell(arrived, batch);
  assert.deepEqual(ends.slice(1), [`0 answered ${METHOD_FAILED} a`, '1 answered 0 b']);
  assert.equal(firsts(), 2);
  batch.ended(UNKNOWN);
  assert.equal(ends.length, 3);
});

void test('the same answer to all is told once', () => {
  const texts = Array.from({ length: 100 }, (_, i) => `${i}`);
  const { batch, arrived, ends } = pair(texts);
  const yes = utf8('yes');
  texts.forEach((_, i) => arrived.answer(i, yes));
  let bytes = 0;
  arrived.tell((payload, isLast) => {
    bytes += payload.length;
    assert.ok(isLast);
    batch.ended({ kind: 'answered', message: message(messageType.ANSWER, written(payload)) });
  });
  assert.equal(bytes, 6);
  assert.deepEqual(
    ends,
    texts.map((text) => `${text} answered 0 yes`),
  );
});

void test('what has no answer ends as the batch does', () => {
  for (const outcome of [UNSENT, UNKNOWN]) {
    const { batch, arrived, ends } = pair(['a', 'b']);
    arrived.answer(1, utf8('x'));
    tell(arrived, batch);
    batch.ended(outcome);
    assert.deepEqual(ends, ['1 answered 0 x', `0 ${outcome.kind}`]);
  }
  const busy = pair(['a', 'b']);
  const said = message(messageType.ANSWER, utf8(''), METHOD_BUSY);
  busy.batch.ended({ kind: 'answered', message: said });
  assert.deepEqual(busy.ends, [`0 answered ${METHOD_BUSY} `, `1 answered ${METHOD_BUSY} `]);
  // A last answer that leaves somebody out.
  const half = pair(['a', 'b']);
  const bytes = Uint8Array.of(1, 0, 1, 0, 0, 0, 0, 0, 1, 65);
  half.batch.ended({ kind: 'answered', message: message(messageType.ANSWER, bytes) });
  assert.deepEqual(half.ends, ['1 answered 0 A', '0 unknown']);
});

void test('large answers leave in several messages', () => {
  const { batch, arrived, ends } = pair(['a', 'b', 'c', 'd']);
  for (let i = 0; i < 4; i++) arrived.answer(i, new Uint8Array(BATCH_BYTES / 2 + i));
  assert.equal(tell(arrived, batch), 2);
  assert.equal(ends.length, 4);
});

void test('damaged batches and answers are noticed, and everybody still ends once', () => {
  const damagedBatches = ['', '\0', '\0\0\0\x05abc', '\0\0\0\x01ab'];
  for (const text of damagedBatches) {
    const whole = message(messageType.BATCH, Buffer.from(text, 'latin1'), busMethod.OWNER);
    assert.throws(() => new ArrivedBatch(whole, () => undefined), DamagedError, JSON.stringify(text));
  }
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
      const { batch, ends } = pair(['a', 'b', 'c']);
      try {
        batch.ended({ kind: 'answered', message: message(messageType.ANSWER, bytes) });
      } catch (thrown) {
        assert.ok(thrown instanceof DamagedError);
      }
      assert.deepEqual(ends.map((end) => end.slice(0, 1)).sort(), ['0', '1', '2']);
    }),
  );
});

void test('what may travel together', () => {
  const small = utf8('x');
  assert.ok(isBatched(outgoing(small)) && isBatched(outgoing(small, { method: busMethod.FORWARD })));
  assert.ok(!isBatched(outgoing(small, { method: busMethod.LIST })));
  assert.ok(!isBatched(outgoing(small, { priority: priority.REPAIR })));
  assert.ok(!isBatched(outgoing(new Uint8Array(BATCH_BYTES))));
  const batch = new Batch(outgoing(small));
  assert.ok(batch.takes(outgoing(small, { deadlineMs: 1_010 })));
  assert.ok(!batch.takes(outgoing(small, { deadlineMs: 1_100 })));
  assert.ok(!batch.takes(outgoing(small, { epoch: 4 })));
  assert.ok(!batch.takes(outgoing(small, { method: busMethod.FORWARD })));
  for (let i = 0; i < BATCH_PARTS; i++) batch.add(outgoing(small), () => undefined);
  assert.ok(!batch.takes(outgoing(small)));
});

void test('a request that takes long holds back nobody else’s answer of its batch', async () => {
  const town = new Town(61);
  const [a, b] = await town.pair();
  b.held = [];
  for (const text of ['one', 'two', 'three']) a.ask('b', text);
  await town.pass(2);
  b.held[1]?.(utf8('2'));
  await town.pass(2);
  assert.deepEqual(a.outcomes, ['two answered: 2']);
  town.network.machine('b').kill();
  await town.pass(6_000);
  assert.deepEqual(a.outcomes.slice(1).sort(), ['one unknown', 'three unknown']);
});
