import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { must } from '../../src/assert.ts';
import {
  BusCore,
  METHOD_BUSY,
  reconnectMs,
  type BusEffect,
  type BusEvent,
  type Inbound,
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

/** One end of the bus whose time and connection are moved by hand. */
class End {
  readonly core: BusCore<string>;
  nowMs = 0;
  readonly written: Message[][] = [];
  readonly ended: string[] = [];
  readonly delivered: { inbound: Inbound | undefined; message: Message }[] = [];
  readonly other: string[] = [];
  full = false;

  constructor(options: { calls?: boolean; limits?: ConstructorParameters<typeof BusCore>[0]['limits'] } = {}) {
    const limits = options.limits === undefined ? {} : { limits: options.limits };
    this.core = new BusCore({ calls: options.calls ?? true, random: () => 0.5, ...limits });
  }

  step(event: BusEvent<string>): void {
    for (const effect of this.core.step(event, this.nowMs)) this.take(effect);
  }

  private take(effect: BusEffect<string>): void {
    if (effect.kind === 'write') {
      this.written.push([...effect.messages]);
      this.step({ kind: 'wrote', full: this.full });
    } else if (effect.kind === 'ended') this.ended.push(`${effect.token} ${effect.outcome.kind}`);
    else if (effect.kind === 'deliver') this.delivered.push(effect);
    else this.other.push(effect.kind);
  }

  request(token: string, options: Parameters<typeof outgoing>[0] = {}): void {
    this.step({ kind: 'request', token, outgoing: outgoing(options) });
  }

  at(nowMs: number): void {
    this.nowMs = nowMs;
    this.step({ kind: 'wake' });
  }
}

function connected(options: ConstructorParameters<typeof End>[0] = {}): End {
  const end = new End(options);
  end.step({ kind: 'connected' });
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
  end.step({ kind: 'flush' });
  assert.equal(end.written.length, 1);
  const [probe, a, b, repair] = end.written[0] as [Message, Message, Message, Message];
  assert.deepEqual(
    [probe, a, b, repair].map((each) => each.requestId),
    [1, 2, 3, 4],
  );
  assert.deepEqual([probe.priority, repair.priority], [priority.CONTROL, priority.REPAIR]);
  assert.equal(a.timeLeftMs, 1_000);
  end.step({ kind: 'received', message: answerTo(b) });
  end.step({ kind: 'received', message: answerTo(a) });
  end.step({ kind: 'received', message: answerTo(a) });
  assert.deepEqual(end.ended, ['b answered', 'a answered']);
  assert.equal(end.core.inFlight, 2);
});

void test('a deadline: still queued is unsent, already written is unknown; a late answer is dropped', () => {
  const end = connected();
  end.request('written', { deadlineMs: 100 });
  end.step({ kind: 'flush' });
  end.request('queued', { deadlineMs: 50 });
  end.at(50);
  end.at(100);
  assert.deepEqual(end.ended, ['queued unsent', 'written unknown']);
  end.step({ kind: 'received', message: answerTo(end.written[0]?.[0] as Message) });
  end.step({ kind: 'flush' });
  assert.equal(end.ended.length, 2);
  assert.equal(end.written.length, 1, 'what is overdue is not written');
});

void test('a connection that ends: queued is unsent, written is unknown, and it is made again after a while', () => {
  const end = connected();
  end.request('written');
  end.step({ kind: 'flush' });
  end.request('queued');
  end.step({ kind: 'disconnected' });
  assert.deepEqual(end.ended, ['written unknown', 'queued unsent']);
  assert.deepEqual(end.other, []);
  end.request('refused');
  assert.equal(end.ended.at(-1), 'refused unsent', 'a peer out of reach is not waited for');
  while (end.other.length === 0) end.at(end.core.wakeAtMs);
  assert.ok(end.nowMs > 0 && end.nowMs <= 50, `${end.nowMs} ms`);
  assert.deepEqual(end.other, ['connect']);
  const late = end.written[0]?.[0] as Message;
  end.step({ kind: 'connected' });
  end.request('next');
  end.step({ kind: 'flush' });
  assert.equal(end.written[1]?.[0]?.requestId, 1, 'numbers begin anew on a new connection');
  end.step({ kind: 'received', message: answerTo({ ...late, requestId: 2 }) });
  assert.equal(end.ended.length, 3);
});

void test('the first request opens the connection; the side that does not call has none to wait for', () => {
  const caller = new End();
  caller.request('a');
  caller.request('b');
  assert.deepEqual(caller.other, ['connect']);
  caller.step({ kind: 'connected' });
  caller.step({ kind: 'flush' });
  assert.equal(caller.written[0]?.length, 2);
  const called = new End({ calls: false });
  called.request('a');
  assert.deepEqual(called.ended, ['a unsent']);
  assert.deepEqual(called.other, []);
});

void test('while the connection is full nothing is written, and a full queue refuses only its own priority', () => {
  const end = connected({ limits: { maxQueuedBytes: 25 } });
  end.full = true;
  end.request('a');
  end.step({ kind: 'flush' });
  end.request('b');
  end.request('c');
  end.request('d');
  end.request('probe', { priority: priority.CONTROL });
  end.step({ kind: 'flush' });
  assert.equal(end.written.length, 1);
  assert.deepEqual(end.ended, ['d unsent']);
  end.full = false;
  end.step({ kind: 'drained' });
  assert.deepEqual(
    end.written[1]?.map((each) => each.priority),
    [priority.CONTROL, priority.CLIENT, priority.CLIENT],
  );
});

void test('a frame has a target size: what is more urgent overtakes the rest', () => {
  const end = connected({ limits: { frameTargetBytes: 100 } });
  for (let i = 0; i < 4; i++) end.request(`r${i}`, { priority: priority.REPAIR, bytes: 90 });
  end.full = true;
  end.step({ kind: 'flush' });
  end.request('a');
  end.full = false;
  end.step({ kind: 'drained' });
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
  end.step({ kind: 'received', message });
  assert.equal(end.delivered[0]?.inbound?.deadlineMs, 200);
  end.step({ kind: 'received', message });
  assert.deepEqual(end.other, ['close'], 'a second copy is a broken peer');
  assert.equal(end.delivered.length, 1);
  const inbound = must(end.delivered[0]?.inbound, 'a request');
  end.step({ kind: 'answer', to: inbound, outgoing: outgoing() });
  end.step({ kind: 'answer', to: inbound, outgoing: outgoing() });
  end.step({ kind: 'flush' });
  assert.deepEqual(
    end.written[0]?.map((each) => [each.type, each.requestId]),
    [[messageType.ANSWER, 4]],
  );
  end.step({ kind: 'received', message: { ...message, requestId: 5 } });
  const next = must(end.delivered[1]?.inbound, 'a request');
  end.step({ kind: 'disconnected' });
  end.step({ kind: 'connected' });
  end.step({ kind: 'answer', to: next, outgoing: outgoing() });
  end.step({ kind: 'flush' });
  assert.equal(end.written.length, 1);
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
  end.step({ kind: 'received', message });
  end.step({ kind: 'received', message: { ...message, requestId: 2 } });
  end.step({ kind: 'flush' });
  assert.deepEqual(
    end.written[0]?.map((each) => [each.method, each.requestId]),
    [[METHOD_BUSY, 2]],
  );
  end.at(50);
  end.step({ kind: 'received', message: { ...message, requestId: 3 } });
  assert.equal(end.delivered.length, 2);
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
    fc.property(fc.array(event, { maxLength: 80 }), (events) => {
      const end = new End({ limits: { maxQueuedBytes: 60, frameTargetBytes: 60 } });
      let asked = 0;
      let up = false;
      for (const each of events) {
        if (each.kind === 'request') {
          end.request(`${asked++}`, { deadlineMs: end.nowMs + each.wait, priority: each.level as Priority });
        } else if (each.kind === 'time') end.at(end.nowMs + each.ms);
        else if (each.kind === 'full') end.full = each.on;
        else if (each.kind === 'answer') {
          const message = end.written.at(-1)?.at(-1);
          if (message !== undefined) end.step({ kind: 'received', message: answerTo(message) });
        } else if (each.kind === 'connected' || each.kind === 'disconnected') {
          if ((each.kind === 'connected') === up) continue;
          up = each.kind === 'connected';
          end.step({ kind: each.kind });
        } else if (each.kind === 'flush' || each.kind === 'drained') end.step({ kind: each.kind });
      }
      end.at(end.nowMs + 1_000);
      assert.equal(end.ended.length, asked);
      assert.equal(new Set(end.ended.map((each) => each.split(' ')[0])).size, asked);
      assert.equal(end.core.inFlight, 0);
    }),
  );
});

void test('the wait before reconnecting grows and is bounded', () => {
  assert.ok(reconnectMs(3, 0) > reconnectMs(0, 0.999));
  assert.ok(reconnectMs(60, 0.999) <= 2_000);
});
