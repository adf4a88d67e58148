import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { must } from '../../src/assert.ts';
import {
  BusCore,
  MAX_IN_FLIGHT,
  METHOD_BUSY,
  reconnectMs,
  type BusLimits,
  type BusOutcome,
  type BusPort,
  type Inbound,
  type Outbound,
  type Outgoing,
} from '../../src/cluster/bus-core.ts';
import { messageType, priority, type Message, type Priority } from '../../src/cluster/frame.ts';

function outgoing(
  options: { method?: number; priority?: Priority; deadlineMs?: number; bytes?: number } = {},
): Outgoing {
  return {
    method: options.method ?? 1,
    priority: options.priority ?? priority.CLIENT,
    deadlineMs: options.deadlineMs ?? 1_000,
    epoch: 3,
    payload: new Uint8Array(options.bytes ?? 10),
  };
}

type Deed = 'connected' | 'disconnected' | 'drained' | 'flush';

/** One end of the bus whose time and connection are moved by hand. */
class End implements BusPort<string> {
  readonly core: BusCore<string>;
  nowMs = 0;
  readonly written: Message[][] = [];
  readonly ends: string[] = [];
  readonly delivered: { inbound: Inbound | undefined; message: Message }[] = [];
  readonly other: string[] = [];
  full = false;
  /** As often what ended is asked again at once. */
  again = 0;
  asked = 0;
  private frame: Message[] = [];

  constructor(options: { limits?: Partial<BusLimits> } = {}) {
    const limits = options.limits === undefined ? {} : { limits: options.limits };
    this.core = new BusCore({ port: this, random: () => 0.5, ...limits });
  }

  connect(): void {
    this.other.push('connect');
  }

  add(out: Outbound<string>, timeLeftMs: number): void {
    const { type, requestId, method, epoch } = out;
    const payload = new Uint8Array(out.payload.length);
    if (out.payload instanceof Uint8Array) payload.set(out.payload);
    else out.payload.write(payload, 0);
    this.frame.push({ type, requestId, method, epoch, payload, timeLeftMs, priority: out.priority });
  }

  send(): boolean {
    this.written.push(this.frame);
    this.frame = [];
    return this.full;
  }

  ended(token: string, outcome: BusOutcome): void {
    this.ends.push(`${token} ${outcome.kind}`);
    if (this.again-- > 0) this.request(`${this.asked++}`, { deadlineMs: this.nowMs + 20 });
  }

  parts(token: string, message: Message): void {
    this.ends.push(`${token} part ${message.payload.length}`);
  }

  deliver(inbound: Inbound | undefined, message: Message): void {
    this.delivered.push({ inbound, message });
  }

  close(): void {
    this.other.push('close');
  }

  request(token: string, options: Parameters<typeof outgoing>[0] = {}): void {
    this.core.request(token, outgoing(options), this.nowMs);
  }

  is(deed: Deed): void {
    if (deed === 'connected') this.core.connected();
    else if (deed === 'disconnected') this.core.disconnected(this.nowMs);
    else if (deed === 'drained') this.core.drained(this.nowMs);
    else this.core.flush(this.nowMs);
  }

  takes(message: Message): void {
    this.core.received(message, this.nowMs);
  }

  answers(to: Inbound): void {
    this.core.answer(to, { ...outgoing(), isLast: true }, this.nowMs);
  }

  at(nowMs: number): void {
    this.nowMs = nowMs;
    this.core.wake(nowMs);
  }
}

function connected(options: ConstructorParameters<typeof End>[0] = {}): End {
  const end = new End(options);
  end.is('connected');
  return end;
}

function answerTo(message: Message): Message {
  return { ...message, type: messageType.ANSWER, payload: new Uint8Array(0) };
}

void test('what one turn asked goes out as one frame, the urgent first, and answers find their requests', () => {
  const end = connected();
  end.request('repair', { priority: priority.REPAIR });
  end.request('a');
  end.request('probe', { priority: priority.CONTROL });
  end.request('b');
  assert.equal(end.written.length, 0);
  end.is('flush');
  assert.equal(end.written.length, 1);
  const [probe, a, b, repair] = end.written[0] as [Message, Message, Message, Message];
  assert.deepEqual(
    [probe, a, b, repair].map(({ requestId }) => [Math.floor(requestId / MAX_IN_FLIGHT), requestId % MAX_IN_FLIGHT]),
    [
      [1, 0],
      [2, 1],
      [3, 2],
      [4, 3],
    ],
    'a number that grows and a slot',
  );
  assert.deepEqual([probe.priority, repair.priority], [priority.CONTROL, priority.REPAIR]);
  assert.equal(a.timeLeftMs, 1_000);
  end.takes(answerTo(b));
  end.takes(answerTo(a));
  end.takes(answerTo(a));
  assert.deepEqual(end.ends, ['b answered', 'a answered']);
  assert.equal(end.core.inFlight, 2);
});

void test('a deadline: still queued is unsent, already written is unknown; a late answer is dropped', () => {
  const end = connected();
  end.request('written', { deadlineMs: 100 });
  end.is('flush');
  end.request('queued', { deadlineMs: 50 });
  end.at(50);
  end.at(100);
  assert.deepEqual(end.ends, ['queued unsent', 'written unknown']);
  end.takes(answerTo(end.written[0]?.[0] as Message));
  end.is('flush');
  assert.equal(end.ends.length, 2);
  assert.equal(end.written.length, 1, 'what is overdue is not written');
});

void test('a connection that ends: queued is unsent, written is unknown, and it is made again after a while', () => {
  const end = connected();
  end.request('written');
  end.is('flush');
  end.request('queued');
  end.is('disconnected');
  assert.deepEqual(end.ends, ['written unknown', 'queued unsent']);
  assert.deepEqual(end.other, []);
  end.request('refused');
  assert.equal(end.ends.at(-1), 'refused unsent', 'a peer out of reach is not waited for');
  while (end.other.length === 0) end.at(end.core.wakeAtMs);
  assert.ok(end.nowMs > 0 && end.nowMs <= 50, `${end.nowMs} ms`);
  assert.deepEqual(end.other, ['connect']);
  const late = end.written[0]?.[0] as Message;
  end.is('connected');
  end.request('next');
  end.is('flush');
  assert.equal(end.written[1]?.[0]?.requestId, late.requestId, 'numbers begin anew on a new connection');
  end.takes(answerTo({ ...late, requestId: late.requestId + MAX_IN_FLIGHT }));
  assert.equal(end.ends.length, 3);
});

void test('the first request opens the connection', () => {
  const end = new End();
  end.request('a');
  end.request('b');
  assert.deepEqual(end.other, ['connect']);
  end.is('connected');
  end.is('flush');
  assert.equal(end.written[0]?.length, 2);
});

void test('while the connection is full nothing is written, and a full queue refuses only its own priority', () => {
  const end = connected({ limits: { maxQueuedBytes: 25 } });
  end.full = true;
  end.request('a');
  end.is('flush');
  end.request('b');
  end.request('c');
  end.request('d');
  end.request('probe', { priority: priority.CONTROL });
  end.is('flush');
  assert.equal(end.written.length, 1);
  assert.deepEqual(end.ends, ['d unsent']);
  end.full = false;
  end.is('drained');
  assert.deepEqual(
    end.written[1]?.map((each) => each.priority),
    [priority.CONTROL, priority.CLIENT, priority.CLIENT],
  );
});

void test('a frame has a target size: what is more urgent overtakes the rest', () => {
  const end = connected({ limits: { frameTargetBytes: 100 } });
  for (let i = 0; i < 4; i++) end.request(`r${i}`, { priority: priority.REPAIR, bytes: 90 });
  end.full = true;
  end.is('flush');
  end.request('a');
  end.full = false;
  end.is('drained');
  assert.deepEqual(
    end.written.map((frame) => frame.length),
    [1, 2, 1, 1],
  );
  assert.equal(end.written[1]?.[0]?.priority, priority.CLIENT);
});

void test('requests of the peer are delivered once and answered on their own connection only', () => {
  const end = connected();
  const message: Message = {
    type: messageType.REQUEST,
    priority: 1,
    method: 5,
    requestId: 4,
    timeLeftMs: 200,
    epoch: 1,
    payload: new Uint8Array(0),
  };
  end.takes(message);
  assert.equal(end.delivered[0]?.inbound?.deadlineMs, 200);
  end.takes(message);
  assert.deepEqual(end.other, ['close'], 'a second copy is a broken peer');
  assert.equal(end.delivered.length, 1);
  const inbound = must(end.delivered[0]?.inbound, 'a request');
  end.answers(inbound);
  end.answers(inbound);
  end.is('flush');
  assert.deepEqual(
    end.written[0]?.map((each) => [each.type, each.requestId]),
    [[messageType.ANSWER, 4]],
  );
  end.takes({ ...message, requestId: 5 });
  const next = must(end.delivered[1]?.inbound, 'a request');
  end.is('disconnected');
  end.is('connected');
  end.answers(next);
  end.takes({ ...message, requestId: 5 });
  end.answers(next);
  end.is('flush');
  assert.equal(end.written.length, 1, 'not to the request that has its number on the new connection');
  end.answers(must(end.delivered[2]?.inbound, 'a request'));
  end.is('flush');
  assert.equal(end.written.length, 2);
});

void test('a peer with too many unanswered requests is told to back off; overdue ones make room', () => {
  const end = connected({ limits: { maxUnanswered: 1 } });
  const message: Message = {
    type: messageType.REQUEST,
    priority: 1,
    method: 5,
    requestId: 1,
    timeLeftMs: 50,
    epoch: 1,
    payload: new Uint8Array(0),
  };
  end.takes(message);
  end.takes({ ...message, requestId: 2 });
  end.is('flush');
  assert.deepEqual(
    end.written[0]?.map((each) => [each.method, each.requestId]),
    [[METHOD_BUSY, 2]],
  );
  end.at(50);
  end.takes({ ...message, requestId: 3 });
  assert.equal(end.delivered.length, 2);
});

void test('a slot is free again when its request has ended; ids grow all the same', () => {
  const end = connected();
  end.request('a');
  end.request('b', { deadlineMs: 10 });
  end.is('flush');
  const [a, b] = end.written[0] as [Message, Message];
  end.takes(answerTo(a));
  end.at(10);
  end.request('c');
  end.request('d');
  end.is('flush');
  const [c, d] = end.written[1] as [Message, Message];
  assert.deepEqual(new Set([c, d].map(({ requestId }) => requestId % MAX_IN_FLIGHT)), new Set([0, 1]));
  assert.ok(c.requestId > b.requestId && d.requestId > c.requestId);
  end.takes(answerTo(b));
  assert.deepEqual(end.ends, ['a answered', 'b unknown'], 'the slot of another is no answer to it');
  end.takes(answerTo(d));
  assert.equal(end.ends.at(-1), 'd answered');
});

void test('a request of the peer in the slot of an earlier one: nobody waits for that one’s answer', () => {
  const end = connected({ limits: { maxUnanswered: 1 } });
  const message: Message = {
    type: messageType.REQUEST,
    priority: 1,
    method: 5,
    requestId: MAX_IN_FLIGHT + 3,
    timeLeftMs: 0,
    epoch: 1,
    payload: new Uint8Array(0),
  };
  end.takes(message);
  end.takes({ ...message, requestId: 2 * MAX_IN_FLIGHT + 3 });
  const [first, second] = end.delivered.map(({ inbound }) => must(inbound, 'a request')) as [Inbound, Inbound];
  end.answers(first);
  end.answers(second);
  end.is('flush');
  assert.deepEqual(
    end.written[0]?.map(({ requestId }) => requestId),
    [second.requestId],
  );
});

void test('beyond the limit of requests in flight and in queues they are unsent', () => {
  const end = connected();
  for (let i = 0; i < MAX_IN_FLIGHT - 1; i++) end.request(`${i}`);
  end.is('flush');
  end.request('queued');
  end.request('one more');
  assert.deepEqual(end.ends, ['one more unsent']);
  end.takes(answerTo(end.written[0]?.[0] as Message));
  end.request('again');
  assert.equal(end.ends.length, 2);
});

void test('every request ends exactly once, whatever happens in whatever order', () => {
  const event = fc.oneof(
    fc.record({
      kind: fc.constant('request' as const),
      wait: fc.integer({ min: 1, max: 40 }),
      level: fc.integer({ min: 0, max: 2 }),
    }),
    fc.record({
      kind: fc.constantFrom(
        'flush' as const,
        'drained' as const,
        'connected' as const,
        'disconnected' as const,
        'answer' as const,
      ),
    }),
    fc.record({ kind: fc.constant('time' as const), ms: fc.integer({ min: 1, max: 60 }) }),
    fc.record({ kind: fc.constant('full' as const), on: fc.boolean() }),
  );
  fc.assert(
    fc.property(fc.array(event, { maxLength: 80 }), fc.nat(30), (events, again) => {
      const end = new End({ limits: { maxQueuedBytes: 60, frameTargetBytes: 60 } });
      end.again = again;
      let up = false;
      for (const each of events) {
        if (each.kind === 'request') {
          end.request(`${end.asked++}`, { deadlineMs: end.nowMs + each.wait, priority: each.level as Priority });
        } else if (each.kind === 'time') end.at(end.nowMs + each.ms);
        else if (each.kind === 'full') end.full = each.on;
        else if (each.kind === 'answer') {
          const message = end.written.at(-1)?.at(-1);
          if (message !== undefined) end.takes(answerTo(message));
        } else if (each.kind === 'connected' || each.kind === 'disconnected') {
          if ((each.kind === 'connected') === up) continue;
          up = each.kind === 'connected';
          end.is(each.kind);
        } else if (each.kind === 'flush' || each.kind === 'drained') end.is(each.kind);
      }
      for (let i = 0; i < 40; i++) end.at(end.nowMs + 1_000);
      assert.equal(end.ends.length, end.asked);
      assert.equal(new Set(end.ends.map((each) => each.split(' ')[0])).size, end.asked);
      assert.equal(end.core.inFlight, 0);
    }),
  );
});

void test('the wait before reconnecting grows and is bounded', () => {
  assert.ok(reconnectMs(3, 0) > reconnectMs(0, 0.999));
  assert.ok(reconnectMs(60, 0.999) <= 2_000);
});
