import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Arena } from '../../src/engine/arena.ts';
import { Memtable } from '../../src/engine/memtable.ts';
import type { FsyncPolicy } from '../../src/engine/store.ts';
import { Wal, type WalFile } from '../../src/engine/wal.ts';
import { WriteBatch } from '../../src/engine/write-batch.ts';
import type { DiskFile } from '../../src/env.ts';
import { MemoryDisk } from '../support/memory-disk.ts';
import { silent } from '../support/silent-log.ts';

const MEMTABLE_BYTES = 4096;

/** Its first sync takes until `finish`; a file that is closed refuses to be synced, as on the real disk. */
class SlowDisk extends MemoryDisk {
  finish = (): void => {};
  readonly #first = new Promise<void>((resolve) => {
    this.finish = resolve;
  });
  #syncs = 0;

  override open(path: string, mode: 'read' | 'create' | 'write'): DiskFile {
    const file = super.open(path, mode);
    const close = file.close.bind(file);
    let isClosed = false;
    file.close = () => {
      isClosed = true;
      close();
    };
    file.sync = async () => {
      assert.ok(!isClosed, 'file is open');
      if (this.#syncs++ === 0) await this.#first;
    };
    return file;
  }
}

function append(wal: Wal, number: number): WalFile {
  const arena = new Arena(2 * MEMTABLE_BYTES, number, number, number);
  const memtable = new Memtable(arena, MEMTABLE_BYTES, { seed: 1, multiplier: 3 });
  const batch = new WriteBatch();
  batch.put(Uint8Array.of(number), Uint8Array.of(number));
  wal.prepare();
  const walFile = wal.start(arena);
  memtable.append(batch);
  return walFile;
}

for (const policy of ['always', 'everysec'] as const satisfies readonly FsyncPolicy[]) {
  test(`${policy}: files that are freed while an older one is being synced are left alone`, async () => {
    const disk = new SlowDisk();
    let second = (): void => {};
    const timers = {
      every: (_ms: number, callback: () => void) => {
        second = callback;
        return { cancel() {} };
      },
      after: () => ({ cancel() {} }),
      atTurnEnd: () => {},
    };
    disk.makeDirectory();
    const wal = new Wal(
      {
        disk,
        clock: { wallMs: () => 0, monotonicUs: () => 0 },
        timers,
        log: silent,
        directory: 'wal',
        policy,
        fileBytes: MEMTABLE_BYTES,
        onFatal: (error) => assert.fail(error),
      },
      0,
    );
    const files: WalFile[] = [];
    for (let number = 1; number <= 8; number++) {
      if (number > 1) wal.endFile();
      files.push(append(wal, number));
    }
    wal.endGroup();
    second();
    // All but the current one have become tables before the sync is over; some of the files are closed.
    for (const walFile of files.slice(0, -1)) wal.release(walFile);
    disk.finish();
    await wal.syncAll();
    assert.equal(wal.durableSequence, 8);
    assert.equal(files.at(-1)?.durable, files.at(-1)?.arena.end);
    await wal.close();
  });
}
