/** Streams and consumer groups against a model in plain arrays, packed and in cells, with reads that miss. */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import fc from 'fast-check';

import { Args } from '../../src/commands/args.ts';
import {
  GREATEST_ID,
  idAfter,
  idAt,
  idBefore,
  idOf,
  LEAST_ID,
  type StreamId,
  textOfId,
} from '../../src/commands/stream-id.ts';
import { entryOf, wordsOfEntry } from '../../src/commands/stream-row.ts';
import { streamCommands } from '../../src/commands/stream.ts';
import { SeededRandom } from '../crash/seeded-random.ts';
import { CommandRunner, START_MS } from '../support/command-runner.ts';

const UINT64_MAX = (1n << 64n) - 1n;

/** The id with this number: 64 bits of each half. */
function idOfNumber(number: bigint): StreamId {
  return Uint8Array.from({ length: 16 }, (_, i) => Number((number >> BigInt(8 * (15 - i))) & 0xffn));
}

describe('ids of streams', () => {
  test('their text, their neighbours and their order are those of numbers of 128 bits', () => {
    const half = fc.oneof(
      fc.bigInt({ min: 0n, max: UINT64_MAX }),
      fc.constantFrom(0n, 1n, UINT64_MAX, UINT64_MAX - 1n, 1n << 53n, (1n << 53n) - 1n),
    );
    fc.assert(
      fc.property(half, half, (ms, sequence) => {
        const number = (ms << 64n) | sequence;
        const text = `${ms}-${sequence}`;
        const id = idAt(Args.of('x', text), 1);
        assert.deepEqual(id, idOfNumber(number));
        assert.equal(textOfId(id), text);
        assert.deepEqual(idAfter(id), number === (1n << 128n) - 1n ? undefined : idOfNumber(number + 1n));
        assert.deepEqual(idBefore(id), number === 0n ? undefined : idOfNumber(number - 1n));
      }),
      { numRuns: 300 },
    );
    assert.equal(textOfId(LEAST_ID), '0-0');
    assert.equal(textOfId(GREATEST_ID), `${UINT64_MAX}-${UINT64_MAX}`);
    assert.equal(textOfId(idOf(START_MS, 7)), `${START_MS}-7`);
  });

  test('words of an entry come back as they were', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 8 }), (words) => {
        assert.deepEqual(
          wordsOfEntry(entryOf(words)).map((word) => [...word]),
          words.map((word) => [...word]),
        );
      }),
    );
  });
});

interface ModelPending {
  consumer: string;
  deliveries: number;
  deliveredMs: number;
}

/** A stream with one group `g`, as arrays. Ids are `ms-0`. */
class Model {
  entries: { ms: number; value: string }[] = [];
  last = 0;
  delivered = 0;
  readonly pending = new Map<number, ModelPending>();

  between(first: number, last: number): { ms: number; value: string }[] {
    return this.entries.filter(({ ms }) => ms >= first && ms <= last);
  }

  show(entries: readonly { ms: number; value: string }[]): unknown {
    return entries.map(({ ms, value }) => [`${ms}-0`, ['field', value]]);
  }

  pendingOf(consumer: string): number[] {
    return [...this.pending]
      .filter(([, each]) => each.consumer === consumer)
      .map(([ms]) => ms)
      .sort((a, b) => a - b);
  }

  summary(): unknown {
    const ids = [...this.pending.keys()].sort((a, b) => a - b);
    if (ids.length === 0) return [0, null, null, null];
    const names = [...new Set([...this.pending.values()].map(({ consumer }) => consumer))].sort();
    const counts = names.map((name) => [name, String(this.pendingOf(name).length)]);
    return [ids.length, `${ids[0]}-0`, `${ids.at(-1)}-0`, counts];
  }
}

class Play {
  readonly runner = new CommandRunner(streamCommands);
  readonly model = new Model();
  readonly random: SeededRandom;
  readonly padding: string;

  constructor(seed: number, padding: string) {
    this.random = new SeededRandom(seed);
    this.padding = padding;
  }

  async step(): Promise<void> {
    const { random, runner } = this;
    runner.nowMs += random.below(50);
    if (random.below(8) === 0) runner.store.chill();
    const steps = [this.add, this.add, this.add, this.remove, this.trim, this.range, this.deliver, this.deliver];
    await random
      .pick([...steps, this.again, this.acknowledge, this.acknowledge, this.claim, this.claimIdle])
      .call(this);
    assert.equal(await runner.line('XLEN s'), this.model.entries.length);
    assert.deepEqual(await runner.line('XPENDING s g'), this.model.summary());
  }

  private async add(): Promise<void> {
    const { model, random } = this;
    const ms = model.last + random.below(3);
    const value = `v${ms}${this.padding}`;
    const reply = await this.runner.run('XADD', 's', `${ms}-0`, 'field', value);
    if (ms === model.last) {
      assert.match(String(reply), /^-ERR The ID specified in XADD/);
      return;
    }
    assert.equal(reply, `${ms}-0`);
    model.entries.push({ ms, value });
    model.last = ms;
  }

  private anyMs(): number {
    return 1 + this.random.below(this.model.last + 2);
  }

  private consumer(): string {
    return this.random.pick(['alice', 'bob', 'carol']);
  }

  private async remove(): Promise<void> {
    const ms = this.anyMs();
    const { entries } = this.model;
    const at = entries.findIndex((entry) => entry.ms === ms);
    assert.equal(await this.runner.run('XDEL', 's', `${ms}-0`), at < 0 ? 0 : 1);
    if (at >= 0) entries.splice(at, 1);
  }

  private async trim(): Promise<void> {
    const { model, random } = this;
    if (random.below(3) > 0) return;
    const before = model.entries.length;
    if (random.below(2) === 0) {
      const most = random.below(before + 1);
      model.entries = model.entries.slice(before - most);
      assert.equal(await this.runner.run('XTRIM', 's', 'MAXLEN', most), before - most);
    } else {
      const ms = this.anyMs();
      model.entries = model.between(ms, Number.MAX_SAFE_INTEGER);
      assert.equal(await this.runner.run('XTRIM', 's', 'MINID', `${ms}`), before - model.entries.length);
    }
  }

  private async range(): Promise<void> {
    const { model, random } = this;
    const [first, last] = [this.anyMs(), this.anyMs()];
    const found = model.between(first, last);
    assert.deepEqual(await this.runner.run('XRANGE', 's', `${first}`, `${last}`), model.show(found));
    const most = 1 + random.below(5);
    const reversed = await this.runner.run('XREVRANGE', 's', `(${last}-0`, `${first}`, 'COUNT', most);
    assert.deepEqual(
      reversed,
      model.show(
        model
          .between(first, last - 1)
          .reverse()
          .slice(0, most),
      ),
    );
    const behind = model.between(first + 1, Number.MAX_SAFE_INTEGER).slice(0, most);
    const read = await this.runner.run('XREAD', 'COUNT', most, 'STREAMS', 's', `${first}-0`);
    assert.deepEqual(read, behind.length === 0 ? null : [['s', model.show(behind)]]);
  }

  private async deliver(): Promise<void> {
    const { model, runner } = this;
    const consumer = this.consumer();
    const most = 1 + this.random.below(6);
    const news = model.between(model.delivered + 1, Number.MAX_SAFE_INTEGER).slice(0, most);
    const reply = await runner.run('XREADGROUP', 'GROUP', 'g', consumer, 'COUNT', most, 'STREAMS', 's', '>');
    assert.deepEqual(reply, news.length === 0 ? null : [['s', model.show(news)]]);
    for (const { ms } of news) {
      model.pending.set(ms, { consumer, deliveries: 1, deliveredMs: runner.nowMs });
      model.delivered = ms;
    }
  }

  /** A consumer reads what is pending at it once more. */
  private async again(): Promise<void> {
    const { model, runner } = this;
    const consumer = this.consumer();
    const from = this.anyMs();
    const ids = model.pendingOf(consumer).filter((ms) => ms > from);
    const expected = ids
      .map((ms) => model.show(model.between(ms, ms)))
      .map((shown, i) => {
        const [entry] = shown as unknown[];
        return entry ?? [`${ids[i]}-0`, null];
      });
    const reply = await runner.run('XREADGROUP', 'GROUP', 'g', consumer, 'STREAMS', 's', `${from}-0`);
    assert.deepEqual(reply, [['s', expected]]);
    for (const ms of ids) {
      const pending = model.pending.get(ms) as ModelPending;
      if (model.between(ms, ms).length === 0) continue;
      pending.deliveries++;
      pending.deliveredMs = runner.nowMs;
    }
  }

  private async acknowledge(): Promise<void> {
    const ids = Array.from({ length: 4 }, () => this.anyMs());
    const known = new Set(ids.filter((ms) => this.model.pending.has(ms)));
    assert.equal(await this.runner.run('XACK', 's', 'g', ...ids.map((ms) => `${ms}-0`)), known.size);
    for (const ms of known) this.model.pending.delete(ms);
  }

  private async claim(): Promise<void> {
    const { model, runner } = this;
    const ms = this.anyMs();
    const consumer = this.consumer();
    const minIdleMs = this.random.below(60);
    const before = model.pending.get(ms);
    const reply = await runner.run('XCLAIM', 's', 'g', consumer, minIdleMs, `${ms}-0`, 'RETRYCOUNT', 9, 'JUSTID');
    const isThere = model.between(ms, ms).length > 0;
    const claims = isThere && before !== undefined && runner.nowMs - before.deliveredMs >= minIdleMs;
    assert.deepEqual(reply, claims ? [`${ms}-0`] : []);
    if (claims) model.pending.set(ms, { consumer, deliveries: 9, deliveredMs: runner.nowMs });
    if (!isThere) model.pending.delete(ms);
    const known = model.pending.get(ms);
    assert.deepEqual(
      await runner.run('XPENDING', 's', 'g', `${ms}`, `${ms}-0`, 1),
      known === undefined ? [] : [[`${ms}-0`, known.consumer, runner.nowMs - known.deliveredMs, known.deliveries]],
    );
  }

  private async claimIdle(): Promise<void> {
    const { model, runner } = this;
    const consumer = this.consumer();
    const from = this.anyMs();
    const ids = [...model.pending.keys()].sort((a, b) => a - b).filter((ms) => ms >= from);
    const reply = await runner.run('XAUTOCLAIM', 's', 'g', consumer, 30, `${from}`, 'COUNT', 1000, 'JUSTID');
    const deleted = ids.filter((ms) => model.between(ms, ms).length === 0);
    const isIdle = (ms: number): boolean => runner.nowMs - (model.pending.get(ms) as ModelPending).deliveredMs >= 30;
    const claimed = ids.filter((ms) => !deleted.includes(ms)).filter(isIdle);
    const text = (ms: number): string => `${ms}-0`;
    assert.deepEqual(reply, ['0-0', claimed.map(text), deleted.map(text)]);
    for (const ms of deleted) model.pending.delete(ms);
    for (const ms of claimed) {
      const pending = model.pending.get(ms) as ModelPending;
      Object.assign(pending, { consumer, deliveredMs: runner.nowMs });
    }
  }
}

describe('streams', () => {
  for (const [name, padding] of [
    ['packed', ''],
    ['in cells', 'x'.repeat(100)],
  ] as const) {
    test(`random commands on a stream that is ${name} are those on arrays`, async () => {
      for (let seed = 1; seed <= 6; seed++) {
        const play = new Play(seed, padding);
        assert.equal(await play.runner.line('XGROUP CREATE s g 0 MKSTREAM'), 'OK');
        for (let i = 0; i < 150; i++) await play.step();
        assert.equal(play.runner.store.openCursors, 0, `seed ${seed} closes its cursors`);
      }
    });
  }

  test('a long stream is read in slices, and trimmed without a walk over what is gone', async () => {
    const runner = new CommandRunner(streamCommands);
    for (let i = 1; i <= 2950; i++) await runner.line(`XADD s MAXLEN ~ 2500 ${i}-1 f v`);
    assert.equal(await runner.line('XLEN s'), 2550);
    const all = (await runner.line('XRANGE s - +')) as unknown[];
    assert.equal(all.length, 2550);
    assert.deepEqual(all[0], ['401-1', ['f', 'v']]);
    assert.equal(await runner.line('XTRIM s MAXLEN 1'), 2549);
    assert.deepEqual(await runner.line('XRANGE s - +'), [['2950-1', ['f', 'v']]]);
  });

  test('many entries, and many that are pending, go in one go', async () => {
    for (const kept of [0, 1, 700, 1499]) {
      const runner = new CommandRunner(streamCommands);
      for (let i = 1; i <= 1500; i++) await runner.line(`XADD s ${i}-1 f value`);
      await runner.line('XGROUP CREATE s g 0');
      await runner.line('XREADGROUP GROUP g c STREAMS s >');
      await runner.line('XGROUP CREATE s h 0');
      const removed = 1500 - kept;
      assert.equal(await runner.line(`XTRIM s MAXLEN ${kept}`), removed);
      const ids = ((await runner.line('XRANGE s - +')) as [string, unknown][]).map(([each]) => each);
      assert.deepEqual(
        ids,
        Array.from({ length: kept }, (_, i) => `${removed + i + 1}-1`),
      );
      assert.equal(await runner.line('XADD s 2000-1 f v'), '2000-1');
      assert.equal(await runner.line('XTRIM s MINID 2000-1'), kept);
      assert.deepEqual(await runner.line('XRANGE s - +'), [['2000-1', ['f', 'v']]]);
      assert.equal(await runner.line('XGROUP DESTROY s g'), 1);
      assert.deepEqual(await runner.line('XREADGROUP GROUP h c STREAMS s >'), [['s', [['2000-1', ['f', 'v']]]]]);
      assert.deepEqual(await runner.line('XPENDING s h'), [1, '2000-1', '2000-1', [['c', '1']]]);
      assert.ok(runner.store.size < 20, `${runner.store.size} records are left`);
    }
  });

  test('ids follow the clock, and never go back with it', async () => {
    const runner = new CommandRunner(streamCommands);
    assert.equal(await runner.line('XADD s * f v'), `${START_MS}-0`);
    assert.equal(await runner.line('XADD s * f v'), `${START_MS}-1`);
    runner.nowMs -= 10_000;
    assert.equal(await runner.line('XADD s * f v'), `${START_MS}-2`);
    runner.nowMs += 20_000;
    assert.equal(await runner.line('XADD s * f v'), `${START_MS + 10_000}-0`);
  });

  test('a group that is destroyed leaves nothing of its own', async () => {
    const runner = new CommandRunner(streamCommands);
    for (let i = 1; i <= 50; i++) await runner.line(`XADD s ${i}-1 field ${'x'.repeat(50)}`);
    const before = runner.store.size;
    await runner.line('XGROUP CREATE s g 0');
    await runner.line('XREADGROUP GROUP g c STREAMS s >');
    assert.ok(runner.store.size > before + 100);
    await runner.line('XGROUP DESTROY s g');
    assert.equal(runner.store.size, before);
  });
});
