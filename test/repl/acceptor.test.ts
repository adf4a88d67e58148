import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Acceptor, type AcceptVerdict } from '../../src/repl/acceptor.ts';
import { PromiseTable } from '../../src/repl/promise-table.ts';
import {
  ceilingVersion,
  compareVersions,
  equalVersions,
  maxVersion,
  readVersion,
  VERSION_BYTES,
  writeVersion,
  ZERO_VERSION,
  type Version,
} from '../../src/repl/version.ts';

const ROW = '\0\x05row';
const OTHER = '\0\x05other';
const ELSEWHERE = '\0\x06row';

function at(stamp: number, actor = 1): Version {
  return { stamp, actor };
}

function conflict(max: Version, held: Version): AcceptVerdict {
  return { kind: 'conflict', max, held };
}

function newAcceptor(options: { promisedBefore?: Version; limit?: number; farthest?: number } = {}): Acceptor {
  const promises = new PromiseTable({
    promisedBefore: options.promisedBefore ?? ZERO_VERSION,
    ...(options.limit === undefined ? {} : { limit: options.limit }),
  });
  const farthest = options.farthest ?? Number.POSITIVE_INFINITY;
  return new Acceptor({ promises, clock: { observe: (stamp) => stamp <= farthest } });
}

void test('PREPARE: only a ballot above the promise and above the version held', () => {
  const acceptor = newAcceptor();
  assert.deepEqual(acceptor.prepare(ROW, at(5), at(5)), conflict(at(5), at(5)));
  assert.deepEqual(acceptor.prepare(ROW, at(6), at(5)), { kind: 'promise' });
  assert.deepEqual(acceptor.prepare(ROW, at(6), at(5)), conflict(at(6), at(5)));
  assert.deepEqual(acceptor.prepare(ROW, at(6, 2), at(5)), { kind: 'promise' }, 'the actor breaks the tie');
});

void test('ACCEPT: a ballot at or above the promise and above the version held; the next ballot is promised along', () => {
  const acceptor = newAcceptor();
  acceptor.prepare(ROW, at(6), at(5));
  assert.deepEqual(acceptor.accept(ROW, at(5, 9), at(5, 9), at(5)), conflict(at(6), at(5)));
  assert.deepEqual(acceptor.accept(ROW, at(6), at(8), at(5)), { kind: 'apply' });
  assert.deepEqual(acceptor.prepare(ROW, at(7), at(6)), conflict(at(8), at(6)));
  assert.deepEqual(acceptor.accept(ROW, at(7), at(7), at(6)), conflict(at(8), at(6)));
  assert.deepEqual(acceptor.accept(ROW, at(8), at(9), at(6)), { kind: 'apply' });
});

void test('a repeated ACCEPT is OK and raises the promise, but never lowers it', () => {
  const acceptor = newAcceptor();
  assert.deepEqual(acceptor.accept(ROW, at(6), at(6), at(5)), { kind: 'apply' });
  assert.deepEqual(acceptor.accept(ROW, at(6), at(9), at(6)), { kind: 'repeat' });
  assert.deepEqual(acceptor.prepare(ROW, at(8), at(6)), conflict(at(9), at(6)));
  assert.deepEqual(acceptor.accept(ROW, at(6), at(6), at(6)), { kind: 'repeat' });
  assert.deepEqual(acceptor.prepare(ROW, at(9), at(6)), conflict(at(9), at(6)));
});

void test('a row without a record takes nothing at or below the floor of its slot', () => {
  const acceptor = newAcceptor();
  const floor = at(100);
  assert.deepEqual(acceptor.accept(ROW, at(99), at(99), floor), conflict(floor, floor));
  assert.deepEqual(acceptor.prepare(ROW, at(100, 0), floor), conflict(floor, floor));
  assert.deepEqual(acceptor.accept(ROW, at(101), at(101), floor), { kind: 'apply' });
});

void test('a new life counts everything up to the persisted ceiling as promised, for every row', () => {
  const acceptor = newAcceptor({ promisedBefore: ceilingVersion(1_000) });
  assert.equal(acceptor.prepare(ROW, at(1_000), at(5)).kind, 'conflict');
  assert.equal(acceptor.accept(ROW, at(1_000, 7), at(1_000, 7), at(5)).kind, 'conflict');
  assert.equal(acceptor.accept(ROW, at(5), at(5), at(5)).kind, 'repeat', 'what is held already is a repetition');
  assert.equal(acceptor.prepare(ROW, at(1_001), at(5)).kind, 'promise');
});

void test('a ballot that the clock refuses is refused for now, and nothing is promised', () => {
  const acceptor = newAcceptor({ farthest: 50 });
  assert.deepEqual(acceptor.prepare(ROW, at(51), at(5)), { kind: 'unable', reason: 'ahead' });
  assert.deepEqual(acceptor.accept(ROW, at(40), at(51), at(5)), { kind: 'unable', reason: 'ahead' });
  assert.deepEqual(acceptor.accept(ROW, at(5), at(51), at(5)), { kind: 'unable', reason: 'ahead' });
  assert.equal(acceptor.prepare(ROW, at(6), at(5)).kind, 'promise');
});

void test('an evicted promise is kept by its slot: forgetting only refuses more', () => {
  const acceptor = newAcceptor({ limit: 1 });
  acceptor.prepare(ROW, at(10), at(5));
  acceptor.prepare(OTHER, at(12), at(5));
  assert.equal(acceptor.prepare(ROW, at(9), at(5)).kind, 'conflict');
  assert.equal(acceptor.prepare(ELSEWHERE, at(6), at(5)).kind, 'promise', 'another slot is not touched');
});

void test('whatever is asked in whatever order: promises never go down, a version is applied once and only upwards', () => {
  const step = fc.record({
    row: fc.constantFrom(ROW, OTHER),
    prepare: fc.boolean(),
    stamp: fc.integer({ min: 1, max: 12 }),
    actor: fc.integer({ min: 1, max: 2 }),
    more: fc.integer({ min: 0, max: 3 }),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), fc.integer({ min: 1, max: 3 }), (steps, limit) => {
      const acceptor = newAcceptor({ limit });
      const held = new Map<string, Version>();
      const promised = new Map<string, Version>();
      for (const { row, prepare, stamp, actor, more } of steps) {
        const ballot = at(stamp, actor);
        const next = at(stamp + more, actor);
        const has = held.get(row) ?? ZERO_VERSION;
        const bound = promised.get(row) ?? ZERO_VERSION;
        if (prepare) {
          if (acceptor.prepare(row, ballot, has).kind !== 'promise') continue;
          assert.ok(compareVersions(ballot, bound) > 0 && compareVersions(ballot, has) > 0);
          promised.set(row, ballot);
        } else {
          const verdict = acceptor.accept(row, ballot, next, has);
          if (verdict.kind === 'apply') {
            assert.ok(compareVersions(ballot, bound) >= 0 && compareVersions(ballot, has) > 0);
            held.set(row, ballot);
          } else if (verdict.kind !== 'repeat') continue;
          promised.set(row, maxVersion(bound, next));
        }
      }
    }),
  );
});

void test('versions in bytes are in the order of versions', () => {
  const version = fc.record({
    stamp: fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER }),
    actor: fc.integer({ min: 0, max: 0xffff_ffff }),
  });
  fc.assert(
    fc.property(version, version, (a, b) => {
      const bytes = [a, b].map((each) => {
        const target = new Uint8Array(VERSION_BYTES);
        writeVersion(target, 0, each);
        assert.ok(equalVersions(readVersion(target, 0), each));
        return target;
      });
      const order = Buffer.compare(bytes[0] as Uint8Array, bytes[1] as Uint8Array);
      assert.equal(Math.sign(order), Math.sign(compareVersions(a, b)));
    }),
  );
});
