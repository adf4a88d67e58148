/**
 * `kvorum repair DIR`: makes a damaged data directory one that starts again, keeps all that can still be read, and says
 * what is lost. Every file that is taken out goes to `lost/` in the directory, none is deleted.
 *
 * - A damaged table is replaced by a new one with the blocks that are sound. For the keys of the others, older values
 *   that stand in deeper levels may come to light again; they are named.
 * - A damaged WAL is cut at the damage, and WALs behind it, whose records would not follow, are taken out.
 * - A manifest that is missing, empty or damaged is made anew from its copy (restore-manifest.ts), as it was.
 * - Where the copy is lost too, all tables are merged into one level, the newest record of each key wins, and the WALs that
 *   follow each other up to the newest are kept. Tables that the old manifest no longer named may take part in that, so a
 *   key deleted just before may be back. The named values of the manifest (a node's identity) are gone.
 *
 * Whenever something is lost named values ask the next start to count the rows anew (repl/recount.ts), and in a cluster to
 * get back from other owners what this one may have lost (node-boot.ts).
 *
 * Repairing twice changes nothing, and a repair that was cut short is finished by the next one: each step is durable before
 * the next one begins.
 */

import { runCompaction } from '../engine/compaction.ts';
import { CopiedManifest } from '../engine/manifest-copy.ts';
import type { ManifestStore } from '../engine/manifest.ts';
import { readWals } from '../engine/recovery.ts';
import { tableName, type TableMeta } from '../engine/sstable-format.ts';
import { defaultTableFormat } from '../engine/sstable-writer.ts';
import { describeTable } from '../engine/table-describe.ts';
import { verifyTable } from '../engine/table-scan.ts';
import { fromWire, toWire } from '../engine/table-wire.ts';
import { LEVELS, type Placed } from '../engine/version.ts';
import type { Log } from '../env.ts';
import { RECOUNT } from '../repl/recount.ts';
import { BOOT, LOST_RECORDS } from '../repl/slot-recovery.ts';
import { ReadOnlyDisk } from './read-only-disk.ts';
import { copiedState, renewedValues } from './restore-manifest.ts';
import { salvageTable } from './salvage.ts';
import { bytesText, counted, dataFiles, LOST_DIRECTORY, messageOf, type DataFiles, type ToolParts } from './tool.ts';
import { repairWals, walsToKeep } from './wal-repair.ts';

/** Size of the tables that a rebuilt level is made of. */
const REBUILT_TABLE_BYTES = 8 << 20;

const silent: Log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };

export interface RepairOptions {
  /** Written into new tables; the wall clock. */
  readonly nowMs: number;
}

/** Prints what it does; the number of problems that are left. */
export async function repair(parts: ToolParts, directory: string, options: RepairOptions): Promise<number> {
  return new Repair(parts, directory, options.nowMs).run();
}

class Repair {
  readonly #parts: ToolParts;
  readonly #directory: string;
  readonly #nowMs: number;
  #nextNumber = 1;
  #changes = 0;
  #hasLost = false;

  constructor(parts: ToolParts, directory: string, nowMs: number) {
    this.#parts = parts;
    this.#directory = directory;
    this.#nowMs = nowMs;
  }

  async run(): Promise<number> {
    const { disk, print } = this.#parts;
    const files = dataFiles(disk, this.#directory);
    if (files.manifests.length + files.tables.length + files.wals.length === 0) {
      print(`${this.#directory} holds no data yet`);
      return 0;
    }
    this.#nextNumber = (files.tables.at(-1) ?? 0) + 1;
    const opened =
      (await this.#openManifest(files)) ?? (await this.#restoreManifest(files)) ?? (await this.#rebuildManifest(files));
    // From here on the copy changes with the manifest.
    const manifest = await CopiedManifest.open(disk, this.#directory, opened);
    try {
      this.#nextNumber = Math.max(this.#nextNumber, manifest.state.nextFileNumber);
      await this.#repairTables(manifest);
      return await this.#finish(manifest);
    } finally {
      await manifest.close();
    }
  }

  /** Undefined: it is lost. */
  async #openManifest({ manifests, tables, wals }: DataFiles): Promise<ManifestStore | undefined> {
    if (manifests.length === 0) return undefined;
    let manifest: ManifestStore;
    try {
      manifest = await this.#parts.openManifest(this.#directory);
    } catch (error) {
      this.#did(messageOf(error));
      return undefined;
    }
    if (manifest.state.oldestWal !== 0 || tables.length + wals.length === 0) return manifest;
    // Nothing was ever committed to it: whoever began to make it has not come to the end.
    this.#did('the manifest is empty');
    await manifest.close();
    return undefined;
  }

  /** Makes a manifest from its copy; undefined: that is lost too. */
  async #restoreManifest({ manifests, tables }: DataFiles): Promise<ManifestStore | undefined> {
    const { disk, openManifest } = this.#parts;
    const copied = copiedState(disk, this.#directory);
    if (copied === undefined) return undefined;
    const { version, nextFileNumber, oldestWal, flushedSequence } = copied.state;
    this.#did(`the manifest is made anew from its copy: ${counted(version.tableCount, 'table')}`);
    this.#nextNumber = Math.max(this.#nextNumber, nextFileNumber);
    this.#takeOut(manifests);
    const manifest = await openManifest(this.#directory);
    await this.#setValues(manifest, copied.values);
    const added = version.placed();
    await manifest.commit({ added, removed: [], nextFileNumber: this.#nextNumber, oldestWal, flushedSequence });
    const named = new Set(added.map(({ table }) => table.number));
    this.#takeOut(tables.filter((number) => !named.has(number)).map(tableName));
    return manifest;
  }

  async #setValues(manifest: ManifestStore, values: ReadonlyMap<string, Uint8Array>): Promise<void> {
    for (const [name, value] of renewedValues(values, this.#nowMs)) await manifest.setValue(name, value);
  }

  /** Replaces damaged tables of the manifest. */
  async #repairTables(manifest: ManifestStore): Promise<void> {
    const { disk, progress } = this.#parts;
    const placed = manifest.state.version.placed();
    progress.begin(
      'tables',
      placed.reduce((sum, { table }) => sum + table.bytes, 0),
    );
    const damaged: Placed[] = [];
    for (const each of placed) {
      try {
        verifyTable(disk, this.#directory, each.table);
      } catch (error) {
        this.#did(messageOf(error));
        damaged.push(each);
      }
      progress.advance(each.table.bytes);
    }
    progress.end();
    for (const { level, table } of damaged) {
      const salvaged = this.#salvage(table.number);
      await this.#markLosses(manifest);
      await manifest.commit({
        added: salvaged === undefined ? [] : [{ level, table: salvaged }],
        removed: [table.number],
        nextFileNumber: this.#nextNumber,
      });
      this.#takeOut([tableName(table.number)]);
    }
  }

  /** Records are gone, or older ones have come to light: whoever counts them, or owns them with others, has to know. */
  async #markLosses(manifest: ManifestStore): Promise<void> {
    if (!this.#hasLost) return;
    await manifest.setValue(BOOT, Buffer.from(LOST_RECORDS, 'latin1'));
    await manifest.setValue(RECOUNT, Uint8Array.of(1));
  }

  #salvage(number: number): TableMeta | undefined {
    const { disk, print } = this.#parts;
    const newNumber = this.#nextNumber++;
    const { meta, lost } = salvageTable({
      disk,
      directory: this.#directory,
      number,
      newNumber,
      createdMs: this.#nowMs,
    });
    for (const what of lost) print(`lost: ${tableName(number)}, ${what}`);
    if (lost.length > 0) this.#hasLost = true;
    if (meta !== undefined) print(`kept: ${counted(meta.records, 'record')}, now in ${tableName(newNumber)}`);
    return meta;
  }

  /** Makes a manifest from what the tables and WALs say of themselves. */
  async #rebuildManifest({ manifests, tables }: DataFiles): Promise<ManifestStore> {
    const { disk, print, openManifest } = this.#parts;
    this.#did(`the manifest is made anew from ${counted(tables.length, 'table')}`);
    const metas: TableMeta[] = [];
    for (const number of tables) {
      try {
        const meta = describeTable(disk, this.#directory, number);
        verifyTable(disk, this.#directory, meta);
        metas.push(meta);
      } catch (error) {
        this.#did(messageOf(error));
        const meta = this.#salvage(number);
        if (meta !== undefined) metas.push(meta);
      }
    }
    const merged = this.#merge(metas);
    const flushed = metas.reduce((newest, meta) => Math.max(newest, meta.maxSequence), 0);
    const wals = walsToKeep(disk, this.#directory, flushed);
    this.#takeOut(manifests);
    const manifest = await openManifest(this.#directory);
    await this.#setValues(manifest, new Map());
    this.#hasLost = true;
    await this.#markLosses(manifest);
    await manifest.commit({
      added: merged.map((table) => ({ level: LEVELS - 1, table })),
      removed: [],
      nextFileNumber: this.#nextNumber,
      ...wals,
    });
    print('lost: the named values of the manifest, so a node comes back with a new identity');
    const names = [...new Set([...tables, ...metas.map(({ number }) => number)])].map(tableName);
    this.#takeOut(names.filter((name) => disk.exists(`${this.#directory}/${name}`)));
    return manifest;
  }

  /** All records of the tables in new tables that do not overlap, the newest of each key. */
  #merge(metas: readonly TableMeta[]): TableMeta[] {
    if (metas.length === 0) return [];
    const { disk, print, progress } = this.#parts;
    const bytes = metas.reduce((sum, meta) => sum + meta.bytes, 0);
    const freeBytes = disk.freeBytes(this.#directory);
    if (freeBytes < bytes) {
      throw new Error(`a new manifest needs ${bytesText(bytes)} of free space, there are ${bytesText(freeBytes)}`);
    }
    const numbers = 2 * Math.ceil(bytes / REBUILT_TABLE_BYTES) + 3;
    const firstNumber = this.#nextNumber;
    this.#nextNumber += numbers;
    progress.begin('merging', bytes);
    // Of records with the same sequence, which old tables of the deepest level have, the one in the newer file counts.
    const newestFirst = [...metas].sort((a, b) => b.number - a.number);
    const result = runCompaction(
      {
        kind: 'compact',
        directory: this.#directory,
        runs: newestFirst.map((meta) => [toWire(meta)]),
        bottommost: true,
        snapshots: [],
        grandparents: [],
        grandparentBytes: Number.POSITIVE_INFINITY,
        tableBytes: REBUILT_TABLE_BYTES,
        firstNumber,
        numbers,
        format: defaultTableFormat,
        createdMs: this.#nowMs,
        filterState: undefined,
        bytesPerSecond: 0,
        cancel: undefined,
      },
      disk,
      () => false,
      undefined,
      undefined,
    );
    progress.end();
    if (result.outcome !== 'done') throw new Error(`the tables cannot be merged: ${result.message}`);
    print(`kept: ${counted(result.recordsRead - result.recordsDropped, 'record')} of ${result.recordsRead}`);
    return result.added.map(fromWire);
  }

  /** Repairs the WALs if a start would refuse them, and looks again. */
  async #finish(manifest: ManifestStore): Promise<number> {
    const { disk, print } = this.#parts;
    const problem = await this.#walProblem(manifest);
    if (problem !== undefined) {
      this.#did(problem);
      this.#hasLost = true;
      await this.#markLosses(manifest);
      const { oldestWal, flushedSequence } = manifest.state;
      const out = repairWals({ disk, print, directory: this.#directory, oldestWal, flushedSequence });
      this.#takeOut(out);
      const left = await this.#walProblem(manifest);
      if (left !== undefined) {
        print(`problem: ${left}`);
        return 1;
      }
    }
    print(this.#changes === 0 ? 'nothing had to be repaired' : 'the directory is in order again');
    return 0;
  }

  /** Why a start would refuse the WALs. */
  async #walProblem(manifest: ManifestStore): Promise<string | undefined> {
    try {
      const { wals, free } = await readWals({
        disk: new ReadOnlyDisk(this.#parts.disk),
        log: silent,
        directory: this.#directory,
        oldestNumber: manifest.state.oldestWal,
        firstSequence: manifest.state.flushedSequence + 1,
        arenaBytes: 0,
      });
      for (const { file } of wals) file.close();
      for (const file of free) file.close();
      return undefined;
    } catch (error) {
      return messageOf(error);
    }
  }

  /** Moves files to the directory for lost ones. */
  #takeOut(names: readonly string[]): void {
    if (names.length === 0) return;
    const { disk, print } = this.#parts;
    const lost = `${this.#directory}/${LOST_DIRECTORY}`;
    disk.makeDirectory(lost);
    for (const name of names) {
      if (!disk.exists(`${this.#directory}/${name}`)) continue;
      let target = `${lost}/${name}`;
      for (let copy = 2; disk.exists(target); copy++) target = `${lost}/${name}.${copy}`;
      disk.rename(`${this.#directory}/${name}`, target);
    }
    disk.syncDirectory(lost);
    disk.syncDirectory(this.#directory);
    print(`taken out to ${lost}: ${names.join(' ')}`);
  }

  #did(what: string): void {
    this.#changes++;
    this.#parts.print(`found: ${what}`);
  }
}
