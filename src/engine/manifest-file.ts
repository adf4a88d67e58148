/**
 * The manifest in plain files, for disks that LMDB cannot run on (the simulated one).
 *
 * ```
 * file     manifest-<generation, 16 digits>
 * content  "KVORMAN" and the format version u8 | length of the rest u32 | CRC32C of all but this word u32 |
 *          tables | values                                                            (see manifest-content.ts)
 * ```
 *
 * Every change writes the whole state to `<name>.tmp`, syncs it, renames it to the next generation and syncs the
 * directory. So a file with its final name was durable as a whole: if the newest one is not valid it is damaged, never
 * torn, and the open fails. A valid file is one whose length, checksum, version and table sum hold. The generation before is
 * kept for `kvorum repair`; older ones and `.tmp` files are removed at open.
 */

import { crc32c } from '@node-rs/crc32';
import { assert } from '../assert.ts';
import { copyOf, utf8 } from '../bytes.ts';
import { DiskError, type Disk } from '../env.ts';
import {
  applyEdit,
  emptyManifestState,
  manifestDamage,
  MANIFEST_FORMAT,
  MAX_NAMED_VALUE_BYTES,
  type ManifestState,
  type ManifestStore,
} from './manifest.ts';
import { readState, readValues, writeState, writeValues, type NamedValues } from './manifest-content.ts';
import { VarintReader, VarintWriter } from './varint.ts';
import type { VersionEdit } from './version.ts';

const MAGIC = utf8('KVORMAN');
const HEADER_BYTES = 16;

/** Generations kept: the newest and the one before it. */
const KEPT_GENERATIONS = 2;

interface Content {
  readonly state: ManifestState;
  readonly values: NamedValues;
}

export class FileManifest implements ManifestStore {
  readonly #disk: Disk;
  readonly #directory: string;
  #generation: number;
  #content: Content;
  /** The change that is being written; the next one waits for it. */
  #running: Promise<void> = Promise.resolve();
  #failure: unknown;

  static open(disk: Disk, directory: string): FileManifest {
    disk.makeDirectory(directory);
    const generations: number[] = [];
    for (const name of disk.list(directory)) {
      if (name.startsWith('manifest-') && name.endsWith('.tmp')) disk.unlink(`${directory}/${name}`);
      const generation = generationOf(name);
      if (generation !== undefined) generations.push(generation);
    }
    generations.sort((a, b) => a - b);
    const newest = generations.at(-1);
    if (newest === undefined)
      return new FileManifest(disk, directory, 0, { state: emptyManifestState, values: new Map() });
    const content = readContent(disk, pathOf(directory, newest));
    // Its name may be one that a dying process gave it and no sync has made durable yet.
    disk.syncDirectory(directory);
    for (const old of generations.slice(0, -KEPT_GENERATIONS)) disk.unlink(pathOf(directory, old));
    return new FileManifest(disk, directory, newest, content);
  }

  private constructor(disk: Disk, directory: string, generation: number, content: Content) {
    this.#disk = disk;
    this.#directory = directory;
    this.#generation = generation;
    this.#content = content;
  }

  get state(): ManifestState {
    return this.#content.state;
  }

  get values(): NamedValues {
    return this.#content.values;
  }

  commit(edit: VersionEdit): Promise<void> {
    return this.#change(({ state, values }) => ({ state: applyEdit(state, edit), values }));
  }

  getValue(name: string): Uint8Array | undefined {
    return this.#content.values.get(name);
  }

  setValue(name: string, value: Uint8Array): Promise<void> {
    assert(value.length <= MAX_NAMED_VALUE_BYTES, 'a named value is small');
    const own = copyOf(value);
    return this.#change(({ state, values }) => ({ state, values: new Map(values).set(name, own) }));
  }

  async close(): Promise<void> {
    await this.#running.catch(() => {});
  }

  #change(change: (content: Content) => Content): Promise<void> {
    const run = this.#running.then(() => this.#write(change(this.#content)));
    this.#running = run.catch(() => {});
    return run;
  }

  async #write(content: Content): Promise<void> {
    if (this.#failure !== undefined) throw this.#failure;
    const generation = this.#generation + 1;
    const path = pathOf(this.#directory, generation);
    let isNamed = false;
    try {
      await this.#writeTemporary(`${path}.tmp`, encodeContent(content));
      isNamed = true;
      this.#disk.rename(`${path}.tmp`, path);
      this.#disk.syncDirectory(this.#directory);
    } catch (error) {
      // What is on the disk now is unknown; a later change must not be built on it. But a file that found no room and has
      // no name yet has changed nothing.
      const isFull = error instanceof DiskError && error.code === 'ENOSPC' && !isNamed;
      if (!isFull) this.#failure = error;
      throw error;
    }
    this.#generation = generation;
    this.#content = content;
    const old = pathOf(this.#directory, generation - KEPT_GENERATIONS);
    if (this.#disk.exists(old)) this.#disk.unlink(old);
  }

  async #writeTemporary(path: string, bytes: Uint8Array): Promise<void> {
    // One that found no room before.
    if (this.#disk.exists(path)) this.#disk.unlink(path);
    const file = this.#disk.open(path, 'create');
    try {
      await file.write(bytes, 0);
      await file.sync();
    } finally {
      file.close();
    }
  }
}

function pathOf(directory: string, generation: number): string {
  return `${directory}/manifest-${String(generation).padStart(16, '0')}`;
}

function generationOf(name: string): number | undefined {
  const match = /^manifest-(\d{16})$/.exec(name);
  return match?.[1] === undefined ? undefined : Number(match[1]);
}

function encodeContent({ state, values }: Content): Uint8Array {
  const writer = new VarintWriter();
  writeState(writer, state);
  writeValues(writer, values);
  const body = writer.finish();
  const bytes = new Uint8Array(HEADER_BYTES + body.length);
  const view = new DataView(bytes.buffer);
  bytes.set(MAGIC);
  bytes[7] = MANIFEST_FORMAT;
  bytes.set(body, HEADER_BYTES);
  view.setUint32(8, body.length, true);
  view.setUint32(12, contentChecksum(bytes), true);
  return bytes;
}

function contentChecksum(bytes: Uint8Array): number {
  return crc32c(bytes.subarray(HEADER_BYTES), crc32c(bytes.subarray(0, 12)));
}

function readContent(disk: Disk, path: string): Content {
  const file = disk.open(path, 'read');
  let bytes: Uint8Array;
  try {
    bytes = new Uint8Array(file.size());
    bytes = bytes.subarray(0, file.readSync(bytes, 0));
  } finally {
    file.close();
  }
  if (bytes.length < HEADER_BYTES) throw manifestDamage(path, 'it is shorter than its header');
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  for (let i = 0; i < MAGIC.length; i++) if (bytes[i] !== MAGIC[i]) throw manifestDamage(path, 'wrong magic');
  if (bytes[7] !== MANIFEST_FORMAT) throw manifestDamage(path, `unknown format version ${bytes[7]}`);
  if (view.getUint32(8, true) !== bytes.length - HEADER_BYTES) throw manifestDamage(path, 'its length is wrong');
  if (view.getUint32(12, true) !== contentChecksum(bytes)) throw manifestDamage(path, 'its checksum does not hold');
  const reader = new VarintReader(bytes, HEADER_BYTES);
  const state = readState(reader, path);
  return { state, values: readValues(reader) };
}
