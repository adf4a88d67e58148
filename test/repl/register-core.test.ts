import assert from 'node:assert/strict';
import { test } from 'node:test';
import { backoffMs, MAX_BACKOFF_MS } from '../../src/repl/register-core.ts';
import { CountingClock, ROW, ScriptedCoordinator, ScriptedOwner } from './scripted-owners.ts';

const OWNERS = { current: [0, 1, 2], incoming: [] };

function threeOwners(): [ScriptedOwner, ScriptedOwner, ScriptedOwner] {
  return [new ScriptedOwner(), new ScriptedOwner(), new ScriptedOwner()];
}

function kinds(coordinator: ScriptedCoordinator): string[] {
  return coordinator.sent.map((ask) => `${ask.request.kind}>${ask.to}`);
}

void test('a first change takes PREPARE and ACCEPT, the next one ACCEPT alone', () => {
  const owners = threeOwners();
  const a = new ScriptedCoordinator(10, OWNERS, owners[0]);
  a.submit(5);
  assert.deepEqual(kinds(a), ['prepare>0', 'prepare>1', 'prepare>2']);
  a.settle(owners);
  assert.deepEqual(
    a.outcomes.map((outcome) => outcome.kind === 'done' && outcome.reply),
    [5],
  );
  a.submit(6);
  assert.deepEqual(kinds(a), ['accept>0', 'accept>1', 'accept>2']);
  a.settle(owners);
  assert.deepEqual(
    owners.map((owner) => owner.held.value),
    [11, 11, 11],
  );
});

void test('changes that wait go into one ACCEPT, each with its own reply', () => {
  const owners = threeOwners();
  const a = new ScriptedCoordinator(10, OWNERS, owners[0]);
  a.submit(1);
  a.submit(2);
  a.submit(3);
  a.settle(owners);
  assert.deepEqual(
    a.outcomes.map((outcome) => outcome.kind === 'done' && outcome.reply),
    [1, 3, 6],
  );
  assert.equal(owners[1].held.value, 6);
});

void test('a majority is enough; the third owner may be silent', () => {
  const owners = threeOwners();
  const a = new ScriptedCoordinator(10, OWNERS, owners[0]);
  a.submit(5);
  for (const to of [0, 1]) {
    const ask = a.request(to);
    a.hear(ask, owners[to as 0 | 1].answer(ask.request));
  }
  assert.deepEqual(kinds(a), ['prepare>2', 'accept>0', 'accept>1', 'accept>2']);
  a.request(2);
  for (const to of [0, 1]) {
    const ask = a.request(to);
    a.hear(ask, owners[to as 0 | 1].answer(ask.request));
  }
  assert.equal(a.outcomes[0]?.kind, 'done');
});

void test('an answer of an earlier attempt, of a stranger or given twice counts for nothing', () => {
  const owners = threeOwners();
  const a = new ScriptedCoordinator(10, OWNERS, owners[0]);
  a.submit(5);
  const ask = a.request(0);
  const answer = owners[0].answer(ask.request);
  a.hear(ask, answer);
  a.hear(ask, answer);
  a.hear({ ...ask, to: 7 }, answer);
  a.hear({ ...ask, attempt: ask.attempt + 1_000 }, answer);
  assert.ok(
    a.sent.every(({ request }) => request.kind === 'prepare'),
    'one promise is no majority of three',
  );
});

void test('without a majority for PREPARE nothing happens: no-quorum at the deadline', () => {
  const owners = threeOwners();
  const a = new ScriptedCoordinator(10, OWNERS, owners[0]);
  a.submit(5, 350);
  while (a.outcomes.length === 0) a.wake();
  assert.deepEqual(a.outcomes, [{ kind: 'no-quorum' }]);
  assert.equal(a.nowMs, 350);
  assert.equal(a.core.pending, 0);
  assert.ok(a.sent.every((ask) => ask.request.kind === 'prepare'));
});

void test('an ACCEPT that some owner may have taken has an unknown outcome and is not sent again', () => {
  const owners = threeOwners();
  const a = new ScriptedCoordinator(10, OWNERS, owners[0]);
  a.submit(1);
  a.settle(owners);
  a.submit(5);
  const ask = a.request(0);
  a.hear(ask, owners[0].answer(ask.request));
  a.sent.length = 0;
  a.wake();
  assert.deepEqual(a.outcomes[1], { kind: 'uncertain' });
  assert.deepEqual(a.sent, []);
  a.submit(7);
  const { request } = a.request(0);
  assert.ok(request.kind === 'prepare' && ask.request.kind === 'accept', 'the failed ballot is not used again');
  assert.ok(request.ballot.stamp > ask.request.next.stamp);
});

void test('an ACCEPT that every owner refused for good starts over and happens once', () => {
  const owners = threeOwners();
  const a = new ScriptedCoordinator(10, OWNERS, owners[0]);
  const b = new ScriptedCoordinator(20, OWNERS);
  a.submit(1);
  a.settle(owners);
  a.submit(5);
  const late = [0, 1, 2].map((to) => a.request(to));
  b.clock.last = 50;
  b.submit(100);
  b.settle(owners);
  for (const ask of late) a.hear(ask, (owners[ask.to] as ScriptedOwner).answer(ask.request));
  assert.equal(a.outcomes.length, 1, 'not answered yet');
  a.wake();
  a.settle(owners);
  assert.deepEqual(
    a.outcomes.map((outcome) => outcome.kind === 'done' && outcome.reply),
    [1, 106],
  );
});

void test('a request that never left counts as refused for good, a refusal for now does not', () => {
  for (const { answers, outcome } of [
    { answers: ['unsent', 'unsent', 'unsent'], outcome: undefined },
    { answers: ['unsent', 'unable', 'unsent'], outcome: 'uncertain' },
  ] as const) {
    const owners = threeOwners();
    const a = new ScriptedCoordinator(10, OWNERS, owners[0]);
    a.submit(1);
    a.settle(owners);
    a.submit(5);
    for (const kind of answers) {
      const ask = a.sent.shift() as (typeof a.sent)[0];
      a.hear(ask, kind === 'unable' ? { kind, reason: 'ahead' } : { kind });
    }
    assert.equal(a.outcomes[1]?.kind, outcome);
  }
});

void test('two deliveries of one ACCEPT would make a change happen twice: the bus must deliver once', () => {
  const run = (secondCopyFirst: boolean): { outcome: string | undefined; value: number | undefined } => {
    const owners = threeOwners();
    const a = new ScriptedCoordinator(10, OWNERS, owners[0]);
    const b = new ScriptedCoordinator(20, OWNERS);
    a.submit(1);
    a.settle(owners);
    a.submit(5);
    const toX = a.request(0);
    const firstAnswer = owners[0].answer(toX.request);
    b.clock.last = 50;
    b.submit(100);
    b.settle(owners);
    const secondAnswer = owners[0].answer(toX.request);
    a.hear(toX, secondCopyFirst ? secondAnswer : firstAnswer);
    for (const to of [1, 2]) {
      const ask = a.request(to);
      a.hear(ask, (owners[to] as ScriptedOwner).answer(ask.request));
    }
    if (a.outcomes.length === 1) a.wake();
    a.settle(owners);
    return { outcome: a.outcomes[1]?.kind, value: owners[1].held.value };
  };
  assert.deepEqual(run(false), { outcome: 'uncertain', value: 106 });
  assert.deepEqual(run(true), { outcome: 'done', value: 111 }, 'the violation that a second copy causes');
});

void test('a cached ballot of other owners is not used, nor one whose version the own copy has left behind', () => {
  const owners = threeOwners();
  const a = new ScriptedCoordinator(10, OWNERS, owners[0]);
  a.submit(1);
  a.settle(owners);
  a.owners = { current: [0, 1, 2], incoming: [] };
  a.submit(1);
  assert.equal(a.sent[0]?.request.kind, 'prepare');
  a.settle(owners);
  const b = new ScriptedCoordinator(20, OWNERS);
  b.clock.last = 50;
  b.submit(100);
  b.settle(owners);
  a.submit(1);
  assert.equal(a.sent[0]?.request.kind, 'prepare');
});

void test('during a move a quorum is a majority of the old and of the new owners', () => {
  const owners = [0, 1, 2, 3, 4].map(() => new ScriptedOwner());
  const a = new ScriptedCoordinator(10, { current: [0, 1, 2], incoming: [2, 3, 4] });
  a.submit(5);
  for (const to of [0, 1, 2]) {
    const ask = a.request(to);
    a.hear(ask, (owners[to] as ScriptedOwner).answer(ask.request));
  }
  assert.ok(
    a.sent.every(({ request }) => request.kind === 'prepare'),
    'no majority of the new owners yet',
  );
  a.settle(owners);
  assert.equal(a.outcomes[0]?.kind, 'done');
});

void test('a stale epoch is reported and the change tries again with the owners known then', () => {
  const owners = threeOwners();
  const a = new ScriptedCoordinator(10, OWNERS);
  a.submit(5);
  for (const to of [0, 1]) a.hear(a.request(to), { kind: 'stale', epoch: 9 });
  a.request(2);
  a.wake();
  assert.equal(a.sent.length, 3);
  a.settle(owners);
  assert.equal(a.outcomes[0]?.kind, 'done');
});

void test('more changes than the limit are refused before anything is sent', () => {
  const a = new ScriptedCoordinator(10, OWNERS);
  for (let i = 0; i < 5; i++) a.submit(i);
  assert.deepEqual(a.outcomes, [{ kind: 'overloaded' }]);
});

void test('the wait after a refusal grows, is bounded and never the same for two coordinators', () => {
  assert.ok(backoffMs(3, 0.5) > backoffMs(0, 0.5));
  assert.ok(backoffMs(50, 0.999) <= MAX_BACKOFF_MS * 1.5);
  assert.notEqual(backoffMs(1, 0.1), backoffMs(1, 0.2));
  assert.equal(new CountingClock().next(), 1);
  assert.equal(ROW.charCodeAt(1), 1);
});

void test('promises of former owners are no leave to accept: the change begins again with those who own the slot now', () => {
  const owners = [...threeOwners(), ...threeOwners()];
  const a = new ScriptedCoordinator(10, OWNERS);
  a.submit(5);
  const prepares = [0, 1, 2].map((to) => a.request(to));
  // The slot begins to move: a quorum is a majority of both from now on, and requests carry the new epoch.
  a.owners = { current: [0, 1, 2], incoming: [3, 4, 5] };
  for (const ask of prepares.slice(0, 2)) a.hear(ask, (owners[ask.to] as ScriptedOwner).answer(ask.request));
  assert.deepEqual(
    kinds(a),
    [0, 1, 2, 3, 4, 5].map((to) => `prepare>${to}`),
  );
  a.settle(owners);
  assert.equal(a.outcomes[0]?.kind, 'done');
  assert.ok(owners.filter((owner) => owner.held.value === 5).length > 3, 'both majorities have it');
});

void test('without stamps a change waits: before PREPARE, and between PREPARE and ACCEPT', () => {
  const owners = threeOwners();
  const a = new ScriptedCoordinator(10, OWNERS, owners[0]);
  a.clock.isUsedUp = true;
  a.submit(5);
  assert.deepEqual(a.sent, []);
  a.clock.isUsedUp = false;
  a.wake();
  assert.deepEqual(kinds(a), ['prepare>0', 'prepare>1', 'prepare>2']);
  a.clock.isUsedUp = true;
  a.settle(owners);
  assert.deepEqual(a.outcomes, [], 'nothing was proposed');
  a.clock.isUsedUp = false;
  a.wake();
  a.settle(owners);
  assert.deepEqual([a.outcomes.length, ...owners.map((owner) => owner.held.value)], [1, 5, 5, 5]);
  a.clock.isUsedUp = true;
  a.submit(7, a.nowMs + 50);
  while (a.outcomes.length < 2) a.wake();
  assert.deepEqual(a.outcomes[1], { kind: 'no-quorum' });
});

void test('an owner that wants a proposal whole is sent it once; what becomes of it there is unknown until it answers', () => {
  const owners = threeOwners();
  const a = new ScriptedCoordinator(10, OWNERS, owners[0]);
  a.submit(5);
  for (const to of [0, 1, 2]) {
    const prepare = a.request(to);
    a.hear(prepare, owners[to as 0].answer(prepare.request));
  }
  const [first, second] = [a.request(0), a.request(1)];
  a.hear(first, owners[0].answer(first.request));
  a.hear(second, { kind: 'need' });
  assert.deepEqual(a.outcomes, []);
  assert.equal(a.wholes.length, 1);
  const [whole] = a.wholes;
  assert.deepEqual(whole?.request, second.request);
  // A second refusal is no answer that can be counted on.
  a.hear(second, { kind: 'need' });
  assert.equal(a.wholes.length, 1);
  const third = a.request(2);
  a.hear(third, { kind: 'unsent' });
  assert.deepEqual(a.outcomes, [{ kind: 'uncertain' }]);
});

void test('what handlers want to read is brought in first: the promise is kept, and nothing is sent before', () => {
  const owners = threeOwners();
  const a = new ScriptedCoordinator(10, OWNERS, owners[0]);
  a.submit(5);
  a.settle(owners);
  a.refuseRun = 'later';
  a.submit(6);
  assert.deepEqual(kinds(a), []);
  a.submit(7);
  assert.deepEqual(kinds(a), []);
  a.refuseRun = undefined;
  a.loaded();
  assert.deepEqual(kinds(a), ['accept>0', 'accept>1', 'accept>2'], 'without a PREPARE');
  a.settle(owners);
  assert.deepEqual(
    a.outcomes.map((outcome) => outcome.kind === 'done' && outcome.reply),
    [5, 11, 18],
  );
  a.loaded();
  assert.deepEqual(kinds(a), []);
  // It may never come: then all begins anew.
  a.refuseRun = 'later';
  a.submit(1);
  a.refuseRun = undefined;
  a.wake();
  a.settle(owners);
  assert.equal(owners[2].held.value, 19);
});

void test('a state that is not this node’s own copy any more is found anew', () => {
  const owners = threeOwners();
  const a = new ScriptedCoordinator(10, OWNERS, owners[0]);
  a.refuseRun = 'moved';
  a.submit(5);
  a.settle(owners);
  assert.equal(owners[0].held.value, undefined);
  a.refuseRun = undefined;
  a.wake();
  a.settle(owners);
  assert.equal(owners[0].held.value, 5);
});
