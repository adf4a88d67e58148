/**
 * Copies a store that nobody writes to (a checkpoint, a backup, the data of a stopped node) into an empty directory, where
 * it is the data of a new node: tables, WALs that are still needed, and a manifest with those named values that belong to
 * the data. The identity of the node stays behind.
 *
 * Every checksum is checked on what was written. The manifest is written last, and a directory `incoming` is there from
 * before the first file until after it, so that a copy which was cut short is no store: a node does not start on it, not
 * even as an empty one. Nothing is changed in the source, not even LMDB's lock file.
 */

import { dirname } from 'node:path';
import { UNFINISHED_COPY } from '../engine/engine-open.ts';
import type { ManifestState, ManifestStore } from '../engine/manifest.ts';
import { readWals } from '../engine/recovery.ts';
import { tableName, tablePath } from '../engine/sstable-format.ts';
import { verifyTable } from '../engine/table-scan.ts';
import { DiskError, type Disk, type DiskFile, type Log } from '../env.ts';
import { CLOCK_CEILING } from '../repl/hlc.ts';
import { RECOUNT } from '../repl/recount.ts';
import { ReadOnlyDisk } from './read-only-disk.ts';
import { bytesText, dataFiles, messageOf, type ToolParts } from './tool.ts';

/** Named values that go along. */
const COPIED_VALUES = [CLOCK_CEILING, RECOUNT];

const CHUNK_BYTES = 1 << 20;

/** Files that an empty directory may have: a lock that we hold, and what mkfs leaves. */
const NOT_DATA = new Set(['kvorum.lock', 'lost+found']);

export interface CopyOptions {
  readonly parts: ToolParts;
  readonly source: string;
  /** Requires: `isEmptyDirectory`. */
  readonly target: string;
  /** Hard links to the tables instead of copies: at once, but only on the same file system, and not checked. */
  readonly link: boolean;
}

export interface Copied {
  readonly tables: number;
  readonly bytes: number;
}

/** True when there is nothing at `path` or a directory that holds no data of anybody. */
export function isEmptyDirectory(disk: Disk, path: string): boolean {
  if (!disk.exists(path)) return true;
  return disk.list(path).every((name) => NOT_DATA.has(name));
}

/** Rejects with an error fit for an operator; then nothing is left in `target`. */
export async function copyStore(options: CopyOptions): Promise<Copied> {
  const copy = new StoreCopy(options);
  try {
    return await copy.run();
  } catch (error) {
    copy.undo();
    throw error;
  }
}

class StoreCopy {
  readonly #options: CopyOptions;
  readonly #disk: Disk;

  constructor(options: CopyOptions) {
    this.#options = options;
    this.#disk = options.parts.disk;
  }

  async run(): Promise<Copied> {
    const { source, target, link, parts } = this.#options;
    const { state, values } = await this.#readManifest();
    const tables = state.version.placed().map(({ table }) => table);
    const bytes = tables.reduce((sum, table) => sum + table.bytes, 0);
    if (link) for (const { number } of tables) this.#disk.link(tablePath(source, number), tablePath(target, number));
    else await this.#copyTables(state, bytes);
    await this.#copyWals(state);
    this.#disk.syncDirectory(target);
    const manifest = await parts.openManifest(target);
    try {
      for (const [name, value] of values) await manifest.setValue(name, value);
      const { nextFileNumber, oldestWal, flushedSequence } = state;
      const added = state.version.placed();
      await manifest.commit({ added, removed: [], nextFileNumber, oldestWal, flushedSequence });
    } finally {
      await manifest.close();
    }
    this.#disk.syncDirectory(target);
    this.#removeScratch();
    this.#disk.syncDirectory(target);
    this.#disk.syncDirectory(dirname(target));
    return { tables: tables.length, bytes };
  }

  /** Leaves nothing behind, as far as the disk lets it. */
  undo(): void {
    const { target } = this.#options;
    try {
      for (const name of this.#disk.list(target)) {
        if (name === UNFINISHED_COPY) this.#removeScratch();
        else if (!NOT_DATA.has(name)) this.#disk.unlink(`${target}/${name}`);
      }
    } catch (error) {
      this.#options.parts.print(`${target} must be emptied by hand: ${messageOf(error)}`);
    }
  }

  /** Reads a copy of the manifest, since opening one may write to it. */
  async #readManifest(): Promise<{ state: ManifestState; values: Map<string, Uint8Array> }> {
    const { source, target, parts } = this.#options;
    const { manifests } = dataFiles(this.#disk, source);
    if (manifests.length === 0) throw new Error(`${source} is no backup and no data directory: it has no manifest`);
    const scratch = `${target}/${UNFINISHED_COPY}`;
    this.#disk.makeDirectory(scratch);
    this.#disk.syncDirectory(target);
    for (const name of manifests) {
      const file = this.#disk.open(`${source}/${name}`, 'read');
      try {
        await this.#copyFile(file, `${scratch}/${name}`);
      } finally {
        file.close();
      }
    }
    let manifest: ManifestStore;
    try {
      manifest = await parts.openManifest(scratch);
    } catch (error) {
      throw new Error(messageOf(error).replaceAll(scratch, source), { cause: error });
    }
    const { state } = manifest;
    const values = new Map<string, Uint8Array>();
    for (const name of COPIED_VALUES) {
      const value = manifest.getValue(name);
      if (value !== undefined) values.set(name, value);
    }
    await manifest.close();
    if (state.oldestWal === 0) throw new Error(`${source} holds no data: its manifest is empty`);
    return { state, values };
  }

  #removeScratch(): void {
    const scratch = `${this.#options.target}/${UNFINISHED_COPY}`;
    for (const name of this.#disk.list(scratch)) this.#disk.unlink(`${scratch}/${name}`);
    this.#disk.removeDirectory(scratch);
  }

  async #copyTables(state: ManifestState, bytes: number): Promise<void> {
    const { source, target, parts } = this.#options;
    const free = this.#disk.freeBytes(target);
    if (bytes > free)
      throw new Error(`${target} has ${bytesText(free)} free, and ${bytesText(bytes)} are to be copied`);
    const tables = state.version.placed().map(({ table }) => table);
    const files: DiskFile[] = [];
    parts.progress.begin('copying', bytes);
    try {
      // All are opened first: an open file stays, even when its checkpoint makes way for the next one meanwhile.
      for (const { number } of tables) files.push(this.#openTable(number));
      for (const [i, table] of tables.entries()) {
        await this.#copyFile(files[i] as DiskFile, tablePath(target, table.number), parts.progress.advance);
        try {
          verifyTable(this.#disk, target, table);
        } catch (error) {
          throw new Error(`${source}: ${messageOf(error)}`, { cause: error });
        }
      }
    } finally {
      parts.progress.end();
      for (const file of files) file.close();
    }
  }

  #openTable(number: number): DiskFile {
    const { source } = this.#options;
    try {
      return this.#disk.open(tablePath(source, number), 'read');
    } catch (error) {
      if (!(error instanceof DiskError) || error.code !== 'ENOENT') throw error;
      throw new Error(`${source}: table ${tableName(number)} is missing`, { cause: error });
    }
  }

  async #copyFile(from: DiskFile, path: string, advance: (bytes: number) => void = () => {}): Promise<void> {
    const to = this.#disk.open(path, 'create');
    try {
      const chunk = new Uint8Array(CHUNK_BYTES);
      for (let at = 0; ; at += chunk.length) {
        const count = await from.read(chunk, at);
        if (count > 0) await to.write(chunk.subarray(0, count), at);
        advance(count);
        if (count < chunk.length) break;
      }
      await to.sync();
    } finally {
      to.close();
    }
  }

  /** The WALs that a start would replay, as it would read them; a checkpoint has none. */
  async #copyWals(state: ManifestState): Promise<void> {
    const { source, target, parts } = this.#options;
    const note: Log['warn'] = (message, fields) => parts.print(`note: ${message} ${JSON.stringify(fields ?? {})}`);
    const { wals, free } = await readWals({
      disk: new ReadOnlyDisk(this.#disk),
      log: { debug: () => {}, info: () => {}, warn: note, error: note },
      directory: source,
      oldestNumber: state.oldestWal,
      firstSequence: state.flushedSequence + 1,
      arenaBytes: 0,
    });
    try {
      for (const { file } of wals) await this.#copyFile(file, target + file.path.slice(source.length));
    } finally {
      for (const file of [...wals.map((wal) => wal.file), ...free]) file.close();
    }
  }
}
