import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { HINT_OVERHEAD_BYTES, HintCore, type HintEffect, type HintEvent } from '../../src/repl/hint-core.ts';
import type { OwnerAnswer } from '../../src/repl/owner-message.ts';

const LIMITS = {
  maxBytes: 10 * (HINT_OVERHEAD_BYTES + 10),
  maxTargetBytes: 3 * (HINT_OVERHEAD_BYTES + 10),
  window: 2,
  retryMs: 50,
};

function version(stamp: number): { stamp: number; actor: number } {
  return { stamp, actor: 1 };
}

class Script {
  readonly core = new HintCore(LIMITS);
  nowMs = 0;

  keep(row: string, stamp: number, target = 1, bytes = 10): string[] {
    return this.step({ kind: 'keep', target, row, version: version(stamp), bytes, loose: false });
  }

  reachable(target = 1): string[] {
    return this.step({ kind: 'reachable', target });
  }

  answer(row: string, stamp: number, answer: OwnerAnswer<unknown>, target = 1): string[] {
    return this.step({ kind: 'answer', target, row, version: version(stamp), answer });
  }

  step(event: HintEvent): string[] {
    return this.core.step(event, this.nowMs).map(show);
  }
}

function show(effect: HintEffect): string {
  if (effect.kind === 'settle') return `settle ${effect.row}`;
  if (effect.kind === 'incomplete') return `incomplete ${effect.target}`;
  return `${effect.kind} ${effect.row}${'version' in effect ? ` ${effect.version.stamp}` : ''}`;
}

const ACCEPTED = { kind: 'accepted' } as const;

void test('the newest write of a row is kept, and delivered when the target is back', () => {
  const script = new Script();
  assert.deepEqual(script.keep('a', 1), ['store a 1']);
  assert.deepEqual(script.keep('a', 3), ['store a 3']);
  assert.deepEqual(script.keep('a', 2), [], 'older than what is kept');
  assert.equal(script.core.count(1), 1);
  assert.deepEqual(script.reachable(), ['deliver a 3']);
  assert.deepEqual(script.answer('a', 3, ACCEPTED), ['remove a']);
  assert.equal(script.core.bytes, 0);
});

void test('no more than the window is on its way', () => {
  const script = new Script();
  for (const row of ['a', 'b', 'c']) script.keep(row, 1);
  assert.deepEqual(script.reachable(), ['deliver a 1', 'deliver b 1']);
  assert.deepEqual(script.answer('a', 1, ACCEPTED), ['remove a', 'deliver c 1']);
  assert.deepEqual(script.answer('a', 1, ACCEPTED), [], 'answered once');
});

void test('a newer write that comes while the older one is on its way is delivered after it', () => {
  const script = new Script();
  script.keep('a', 1);
  script.reachable();
  assert.deepEqual(script.keep('a', 2), ['store a 2']);
  assert.deepEqual(script.answer('a', 1, ACCEPTED), ['deliver a 2']);
  assert.deepEqual(script.answer('a', 2, ACCEPTED), ['remove a']);
});

void test('a target that has something newer needs nothing; one that has only promised more is settled', () => {
  const script = new Script();
  script.keep('a', 5);
  script.keep('b', 5);
  script.reachable();
  const newer = { kind: 'conflict', max: version(9), held: version(7) } as const;
  assert.deepEqual(script.answer('a', 5, newer), ['remove a']);
  const promised = { kind: 'conflict', max: version(9), held: version(3) } as const;
  assert.deepEqual(script.answer('b', 5, promised), ['settle b', 'remove b']);
});

void test('what is refused for now is tried again later; an unsent one waits until the target is back', () => {
  const script = new Script();
  script.keep('a', 1);
  script.reachable();
  assert.deepEqual(script.answer('a', 1, { kind: 'unable', reason: 'refused' }), []);
  script.nowMs = script.core.wakeAtMs;
  assert.equal(script.nowMs, 50);
  assert.deepEqual(script.step({ kind: 'wake' }), ['deliver a 1']);
  assert.deepEqual(script.answer('a', 1, { kind: 'unsent' }), []);
  script.nowMs = script.core.wakeAtMs;
  assert.deepEqual(script.step({ kind: 'wake' }), []);
  assert.deepEqual(script.reachable(), ['deliver a 1']);
});

void test('beyond its bytes a target is incomplete, said once, until anti-entropy has repaired it', () => {
  const script = new Script();
  for (const row of ['a', 'b', 'c']) script.keep(row, 1);
  assert.deepEqual(script.keep('d', 1), ['incomplete 1']);
  assert.deepEqual(script.keep('e', 1), []);
  assert.deepEqual(script.keep('a', 2), ['store a 2'], 'a newer version of a kept row fits');
  assert.equal(script.core.isComplete(1), false);
  assert.deepEqual(script.keep('d', 1, 2), ['store d 1'], 'other targets have room');
  script.step({ kind: 'repaired', target: 1 });
  assert.equal(script.core.isComplete(1), true);
});

void test('hints found at the start are known and not stored again; those of a member that is gone are removed', () => {
  const script = new Script();
  assert.deepEqual(
    script.step({ kind: 'found', target: 1, row: 'a', version: version(1), bytes: 10, loose: false }),
    [],
  );
  assert.deepEqual(script.step({ kind: 'gone', target: 1 }), ['remove a']);
  assert.equal(script.core.bytes, 0);
});

void test('whatever happens: bytes are what is kept and bounded, and once all is calm the target has the newest of each', () => {
  const event = fc.oneof(
    {
      weight: 4,
      arbitrary: fc.record({ kind: fc.constant('keep' as const), row: fc.constantFrom('a', 'b', 'c', 'd') }),
    },
    { weight: 3, arbitrary: fc.record({ kind: fc.constant('answer' as const), how: fc.integer({ min: 0, max: 3 }) }) },
    {
      weight: 1,
      arbitrary: fc.record({ kind: fc.constantFrom('reachable' as const, 'unreachable' as const, 'wake' as const) }),
    },
  );
  fc.assert(
    fc.property(fc.array(event, { maxLength: 80 }), (events) => {
      const core = new HintCore({ ...LIMITS, maxTargetBytes: LIMITS.maxBytes });
      const stored = new Map<string, number>();
      const wanted = new Map<string, number>();
      const has = new Map<string, number>();
      let sent: Extract<HintEffect, { kind: 'deliver' }>[] = [];
      let nowMs = 0;
      let stamp = 0;
      const take = (effects: HintEffect[]): void => {
        for (const effect of effects) {
          if (effect.kind === 'store') stored.set(effect.row, effect.version.stamp);
          if (effect.kind === 'remove') stored.delete(effect.row);
          if (effect.kind === 'deliver') sent.push(effect);
        }
        assert.equal(core.count(1), stored.size);
        assert.equal(core.bytes, stored.size * (HINT_OVERHEAD_BYTES + 10));
        assert.ok(core.bytes <= LIMITS.maxBytes && sent.length <= LIMITS.window);
      };
      const answer = (how: number): void => {
        const first = sent[0];
        if (first === undefined) return;
        sent = sent.slice(1);
        const { row, version: delivered } = first;
        const held = has.get(row) ?? 0;
        let given: OwnerAnswer<unknown> = how === 1 ? { kind: 'unable', reason: 'refused' } : { kind: 'unsent' };
        if (how === 0) {
          given = held > delivered.stamp ? { kind: 'conflict', max: version(held), held: version(held) } : ACCEPTED;
          has.set(row, Math.max(held, delivered.stamp));
        }
        take(core.step({ kind: 'answer', target: 1, row, version: delivered, answer: given }, nowMs));
      };
      for (const each of events) {
        nowMs += 20;
        if (each.kind === 'keep') {
          wanted.set(each.row, ++stamp);
          take(
            core.step(
              { kind: 'keep', target: 1, row: each.row, version: version(stamp), bytes: 10, loose: false },
              nowMs,
            ),
          );
        } else if (each.kind === 'answer') answer(each.how);
        else if (each.kind === 'wake') take(core.step({ kind: 'wake' }, nowMs));
        else take(core.step({ kind: each.kind, target: 1 }, nowMs));
      }
      for (let calm = 0; calm < 60; calm++) {
        nowMs += 100;
        take(core.step({ kind: 'reachable', target: 1 }, nowMs));
        take(core.step({ kind: 'wake' }, nowMs));
        while (sent.length > 0) answer(0);
      }
      assert.deepEqual(has, wanted);
      assert.equal(stored.size, 0);
    }),
  );
});
