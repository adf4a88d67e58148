/**
 * `kvorum check DIR`: reads everything in a data directory and says what is wrong with it. Nothing is changed.
 *
 * Checked: the manifest (its checksums, its sums, the invariants of its levels); that every table it names is there, with
 * every checksum, the order of its records, index, filter, bounds and counts; that for each key what stands in a
 * level is newer than what stands below; the WALs, as a start would read them; files that belong to nothing.
 */

import { readWals } from '../engine/recovery.ts';
import { isCopyOf } from '../engine/manifest-copy.ts';
import type { ManifestStore } from '../engine/manifest.ts';
import { tableName } from '../engine/sstable-format.ts';
import { verifyTable } from '../engine/table-scan.ts';
import type { Log } from '../env.ts';
import { checkLevelOrder } from './level-order.ts';
import { ReadOnlyDisk } from './read-only-disk.ts';
import { bytesText, counted, dataFiles, messageOf, type ToolParts } from './tool.ts';

/** Prints what it finds; the number of problems, 0 for a directory that is in order. */
export async function check(parts: ToolParts, directory: string): Promise<number> {
  return new Check(parts, directory).run();
}

class Check {
  readonly #parts: ToolParts;
  readonly #directory: string;
  #problems = 0;

  constructor(parts: ToolParts, directory: string) {
    this.#parts = parts;
    this.#directory = directory;
  }

  async run(): Promise<number> {
    const { disk, print, openManifest } = this.#parts;
    const files = dataFiles(disk, this.#directory);
    if (files.manifests.length === 0) {
      if (files.tables.length + files.wals.length === 0) print(`${this.#directory} holds no data yet`);
      else this.#problem('the manifest is missing; `kvorum repair` makes a new one from the tables');
      return this.#problems;
    }
    let manifest: ManifestStore;
    try {
      manifest = await openManifest(this.#directory);
    } catch (error) {
      this.#problem(messageOf(error));
      return this.#problems;
    }
    try {
      if (manifest.state.oldestWal === 0 && files.tables.length + files.wals.length > 0) {
        this.#problem('the manifest is empty; `kvorum repair` makes a new one');
        return this.#problems;
      }
      this.#checkTables(manifest);
      this.#checkCopy(manifest);
      this.#checkOrphans(manifest, files.tables, files.halfWritten);
      await this.#checkWals(manifest);
    } finally {
      await manifest.close();
    }
    print(this.#problems === 0 ? 'everything is in order' : `${counted(this.#problems, 'problem')} found`);
    return this.#problems;
  }

  #checkTables(manifest: ManifestStore): void {
    const { disk, print, progress } = this.#parts;
    const { version, nextFileNumber, flushedSequence } = manifest.state;
    const placed = version.placed();
    const bytes = placed.reduce((sum, { table }) => sum + table.bytes, 0);
    print(`manifest: ${counted(placed.length, 'table')}, ${bytesText(bytes)}`);
    progress.begin('tables', bytes);
    let sound = true;
    for (const { table } of placed) {
      try {
        verifyTable(disk, this.#directory, table);
      } catch (error) {
        sound = false;
        this.#problem(messageOf(error));
      }
      if (table.number >= nextFileNumber) this.#problem(`the manifest would give out number ${table.number} again`);
      if (table.maxSequence > flushedSequence) {
        this.#problem(`table ${tableName(table.number)} has records that the manifest does not count as flushed`);
      }
      progress.advance(table.bytes);
    }
    progress.end();
    if (!sound) {
      print('the order between levels is not checked while tables are damaged');
      return;
    }
    progress.begin('order between levels', bytes);
    const problem = checkLevelOrder({
      disk,
      directory: this.#directory,
      version,
      advance: (count) => progress.advance(count),
    });
    progress.end();
    if (problem !== undefined) this.#problem(problem);
  }

  /** The copy is for repair alone, and every start renews it. */
  #checkCopy(manifest: ManifestStore): void {
    const { disk, print } = this.#parts;
    if (!isCopyOf(disk, this.#directory, manifest)) {
      print('note: the copy of the manifest is missing, damaged or older; the next start renews it');
    }
  }

  #checkOrphans(manifest: ManifestStore, tables: readonly number[], halfWritten: readonly string[]): void {
    const named = new Set(manifest.state.version.placed().map(({ table }) => table.number));
    const orphans = tables.filter((number) => !named.has(number)).length;
    if (orphans > 0)
      this.#parts.print(`note: ${counted(orphans, 'table')} of no manifest; the next start removes them`);
    if (halfWritten.length > 0) {
      this.#parts.print(`note: ${counted(halfWritten.length, 'half-written table')}; the next start removes them`);
    }
  }

  /** Reads the WALs as a start does, on a disk where that changes nothing. */
  async #checkWals(manifest: ManifestStore): Promise<void> {
    const { disk, print } = this.#parts;
    const note: Log['warn'] = (message, fields) => print(`note: ${message} ${JSON.stringify(fields ?? {})}`);
    const log: Log = { debug: () => {}, info: () => {}, warn: note, error: note };
    const { oldestWal, flushedSequence } = manifest.state;
    try {
      const { wals, free } = await readWals({
        disk: new ReadOnlyDisk(disk),
        log,
        directory: this.#directory,
        oldestNumber: oldestWal,
        firstSequence: flushedSequence + 1,
        arenaBytes: 0,
      });
      const records = wals.reduce((sum, { arena }) => sum + arena.recordCount, 0);
      print(`WAL: ${counted(wals.length, 'file')} in use with ${counted(records, 'record')}, ${free.length} free`);
      for (const { file } of wals) file.close();
      for (const file of free) file.close();
    } catch (error) {
      this.#problem(messageOf(error));
    }
  }

  #problem(what: string): void {
    this.#problems++;
    this.#parts.print(`problem: ${what}`);
  }
}
