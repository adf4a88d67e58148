/**
 * The contract of `ManifestStore` as a test suite: run on every implementation.
 */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { utf8 } from '../../src/bytes.ts';
import { MAX_NAMED_VALUE_BYTES, type ManifestState, type ManifestStore } from '../../src/engine/manifest.ts';
import { RangeTombstones } from '../../src/engine/range-tombstones.ts';
import type { TableMeta } from '../../src/engine/sstable-format.ts';
import { DiskError } from '../../src/env.ts';
import { Version, type Placed, type VersionEdit } from '../../src/engine/version.ts';
import { rangeDelete } from './table-fixture.ts';

/** One place that a manifest can be opened at again and again. */
export interface ManifestPlace {
  open(): Promise<ManifestStore>;
  remove(): Promise<void>;
  /** Takes all space of the disk, or gives it back. */
  setFull(isFull: boolean): void;
}

export function tableMeta(number: number, changed: Partial<TableMeta> = {}): TableMeta {
  const name = String(number).padStart(6, '0');
  return {
    number,
    bytes: 1000 + number,
    tailBytes: 300,
    lower: utf8(`key/${name}/a`),
    upper: utf8(`key/${name}/z`),
    records: 10,
    tombstones: 3,
    minSequence: number,
    maxSequence: number + 5,
    rangeTombstones: number % 3 === 0 ? RangeTombstones.of([rangeDelete('a', 'b', number)]) : RangeTombstones.NONE,
    createdMs: 1_700_000_000_000 + number,
    ...changed,
  };
}

function levelOf(number: number): number {
  return number % 7;
}

/** A state in a form that compares and prints well. */
function shape({ version, ...counters }: ManifestState): unknown {
  const placed = version.placed().map(({ level, table: { rangeTombstones, ...table } }) => ({
    level,
    ...table,
    tombstones: rangeTombstones.list(),
  }));
  return { ...counters, placed };
}

/** Edits that make sense one after another: each adds new tables, removes or moves some that are there. */
const edits = fc
  .array(fc.record({ add: fc.nat(3), remove: fc.nat(3), move: fc.boolean(), wal: fc.option(fc.nat(1000)) }), {
    maxLength: 12,
  })
  .map((steps) => {
    let next = 1;
    let live: Placed[] = [];
    return steps.map(({ add, remove, move, wal }): VersionEdit => {
      const added: Placed[] = [];
      const leaving = live.slice(0, remove);
      live = live.slice(remove);
      for (let i = 0; i < add; i++) added.push({ level: levelOf(next), table: tableMeta(next++) });
      const moved = leaving[0];
      if (move && moved !== undefined) added.push({ level: (moved.level + 1) % 7, table: moved.table });
      live.push(...added);
      return {
        added,
        removed: leaving.map(({ table }) => table.number),
        nextFileNumber: next,
        ...(wal === null ? {} : { oldestWal: wal, flushedSequence: wal * 3 }),
      };
    });
  });

export function manifestContract(name: string, place: () => Promise<ManifestPlace>): void {
  test(`${name}: a new manifest is empty`, async () => {
    const at = await place();
    const manifest = await at.open();
    assert.deepEqual(shape(manifest.state), {
      nextFileNumber: 1,
      oldestWal: 0,
      flushedSequence: 0,
      placed: [],
    });
    assert.equal(manifest.getValue('node'), undefined);
    await manifest.close();
    await at.remove();
  });

  test(`${name}: the state after a reopen is that of the last commit, whatever the edits were`, async () => {
    await fc.assert(
      fc.asyncProperty(edits, fc.nat(12), async (list, reopenAt) => {
        const at = await place();
        let manifest = await at.open();
        let expected: ManifestState = { version: Version.EMPTY, nextFileNumber: 1, oldestWal: 0, flushedSequence: 0 };
        for (const [i, edit] of list.entries()) {
          if (i === reopenAt) {
            await manifest.close();
            manifest = await at.open();
          }
          await manifest.commit(edit);
          expected = {
            version: expected.version.with(edit),
            nextFileNumber: edit.nextFileNumber ?? expected.nextFileNumber,
            oldestWal: edit.oldestWal ?? expected.oldestWal,
            flushedSequence: edit.flushedSequence ?? expected.flushedSequence,
          };
          assert.deepEqual(shape(manifest.state), shape(expected));
        }
        await manifest.close();
        manifest = await at.open();
        assert.deepEqual(shape(manifest.state), shape(expected));
        await manifest.close();
        await at.remove();
      }),
      { numRuns: 20 },
    );
  });

  test(`${name}: commits that overlap take effect in the order of their calls`, async () => {
    const at = await place();
    let manifest = await at.open();
    const commits: Promise<void>[] = [];
    for (let number = 1; number <= 20; number++) {
      commits.push(
        manifest.commit({
          added: [{ level: 1, table: tableMeta(number) }],
          removed: number > 5 ? [number - 5] : [],
          nextFileNumber: number + 1,
        }),
        manifest.setValue('last', utf8(String(number))),
      );
    }
    await Promise.all(commits);
    for (let round = 0; round < 2; round++) {
      assert.deepEqual(
        manifest.state.version.placed().map(({ table }) => table.number),
        [16, 17, 18, 19, 20],
      );
      assert.equal(manifest.state.nextFileNumber, 21);
      assert.deepEqual(manifest.getValue('last'), utf8('20'));
      await manifest.close();
      manifest = await at.open();
    }
    await manifest.close();
    await at.remove();
  });

  test(`${name}: named values are kept, replaced and independent of the tables`, async () => {
    const at = await place();
    let manifest = await at.open();
    const large = new Uint8Array(100_000).fill(3);
    await manifest.setValue('node', utf8('one'));
    await manifest.setValue('empty', new Uint8Array(0));
    await manifest.setValue('large', large);
    await manifest.setValue('a/b c', utf8('two'));
    const bytes = utf8('three');
    const set = manifest.setValue('node', bytes);
    bytes.fill(0);
    await set;
    await manifest.commit({ added: [{ level: 0, table: tableMeta(1) }], removed: [] });
    for (let round = 0; round < 2; round++) {
      assert.deepEqual(manifest.getValue('node'), utf8('three'));
      assert.deepEqual(manifest.getValue('empty'), new Uint8Array(0));
      assert.deepEqual(manifest.getValue('large'), large);
      assert.deepEqual(manifest.getValue('a/b c'), utf8('two'));
      assert.equal(manifest.getValue('other'), undefined);
      assert.equal(manifest.state.version.tableCount, 1);
      await manifest.close();
      manifest = await at.open();
    }
    await manifest.close();
    await at.remove();
  });

  test(`${name}: an edit that makes no version is a bug, and changes nothing`, async () => {
    const at = await place();
    const manifest = await at.open();
    await manifest.commit({ added: [{ level: 1, table: tableMeta(1) }], removed: [] });
    await assert.rejects(manifest.commit({ added: [], removed: [2] }), /leaves a version was in it/);
    await assert.rejects(
      manifest.commit({ added: [{ level: 1, table: tableMeta(2, { lower: utf8('a') }) }], removed: [] }),
      /do not overlap/,
    );
    assert.equal(manifest.state.version.tableCount, 1);
    await manifest.commit({ added: [{ level: 1, table: tableMeta(3) }], removed: [1] });
    await manifest.close();
    const again = await at.open();
    assert.deepEqual(
      again.state.version.placed().map(({ table }) => table.number),
      [3],
    );
    await again.close();
    await at.remove();
  });
}

/** Apart from the rest, since few real disks can be filled by a test. */
export function fullDiskContract(name: string, place: () => Promise<ManifestPlace>): void {
  test(`${name}: on a full disk a change is refused and nothing has changed; later ones are taken again`, async () => {
    const at = await place();
    let manifest = await at.open();
    const large = new Uint8Array(MAX_NAMED_VALUE_BYTES);
    await manifest.setValue('node', utf8('here'));
    await manifest.commit({ added: [{ level: 1, table: tableMeta(1) }], removed: [], nextFileNumber: 2, oldestWal: 1 });
    const isFull = (error: unknown): boolean => error instanceof DiskError && error.code === 'ENOSPC';
    // Long bounds: an edit that needs room.
    const many = (from: number): Placed[] =>
      Array.from({ length: 400 }, (_, i) => {
        const number = from + i;
        const upper = utf8(`key/${String(number).padStart(6, '0')}/z${'z'.repeat(500)}`);
        return { level: 2, table: tableMeta(number, { upper }) };
      });
    at.setFull(true);
    for (let round = 0; round < 2; round++) {
      await assert.rejects(manifest.setValue('node', large), isFull);
      // What waits behind one that is refused is judged for itself.
      const both = await Promise.allSettled([
        manifest.commit({ added: many(1000), removed: [1], nextFileNumber: 2000 }),
        manifest.setValue('other', large),
      ]);
      for (const each of both) assert.ok(each.status === 'rejected' && isFull(each.reason), each.status);
      assert.equal(manifest.state.version.tableCount, 1);
      assert.equal(manifest.state.nextFileNumber, 2);
    }
    at.setFull(false);
    await manifest.commit({ added: many(3000), removed: [1], nextFileNumber: 4000 });
    await manifest.setValue('last', large);
    for (let round = 0; round < 2; round++) {
      assert.equal(manifest.state.version.tableCount, 400);
      assert.equal(manifest.state.nextFileNumber, 4000);
      assert.deepEqual(manifest.getValue('node'), utf8('here'));
      assert.equal(manifest.getValue('other'), undefined);
      assert.deepEqual(manifest.getValue('last'), large);
      await manifest.close();
      manifest = await at.open();
    }
    await manifest.close();
    await at.remove();
  });
}
