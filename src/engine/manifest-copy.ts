/**
 * A manifest with a second copy of what it says, in plain files beside the tables, for `kvorum repair`: without it a lost
 * manifest can only be guessed from the tables, and those that compaction has just dropped would take part in that.
 *
 * ```
 * table-list-0, table-list-1      slot file "KVORLST" (slot-file.ts): counters and tables (manifest-content.ts)
 * named-values-0, named-values-1  slot file "KVORVAL": the named values
 * ```
 *
 * Every change is durable in the copy before the manifest is asked for it. So the copy says what the manifest says or is one
 * change ahead; either is a whole and valid store, since files are made durable before a change names them and removed only
 * after it: an older state's files are there until the change has succeeded in both. A change that the manifest then refused
 * (the disk is full) leaves a copy that may name files which are gone again; the other file of the pair is still the right
 * one, and the next change goes over the wrong one.
 *
 * At open the copy is made to say what the manifest says, before anything is removed; except beside a manifest that is
 * empty, which may be one that has lost its contents.
 */

import { compareBytes, EMPTY } from '../bytes.ts';
import { DiskError, type Disk } from '../env.ts';
import { applyEdit, type ManifestState, type ManifestStore } from './manifest.ts';
import { readState, readValues, writeState, writeValues, type NamedValues } from './manifest-content.ts';
import { readSlots, SlotFile, type Slot } from './slot-file.ts';
import { VarintReader, VarintWriter } from './varint.ts';
import type { VersionEdit } from './version.ts';

const TABLES = { name: 'table-list', magic: 'KVORLST' } as const;
const VALUES = { name: 'named-values', magic: 'KVORVAL' } as const;

export class CopiedManifest implements ManifestStore {
  readonly #main: ManifestStore;
  readonly #tables: SlotFile;
  readonly #values: SlotFile;
  #known: Map<string, Uint8Array>;
  /** The change that is being made; the next one waits for it. */
  #running: Promise<void> = Promise.resolve();
  #failure: unknown;

  /** Takes over `main`, which is closed when this rejects. */
  static async open(disk: Disk, directory: string, main: ManifestStore): Promise<ManifestStore> {
    try {
      const tables = SlotFile.open(disk, `${directory}/${TABLES.name}`, TABLES.magic);
      const values = SlotFile.open(disk, `${directory}/${VALUES.name}`, VALUES.magic);
      const manifest = new CopiedManifest(main, tables, values);
      if (main.state.oldestWal !== 0) await manifest.#renew(disk, directory);
      return manifest;
    } catch (error) {
      await main.close();
      throw error;
    }
  }

  private constructor(main: ManifestStore, tables: SlotFile, values: SlotFile) {
    this.#main = main;
    this.#tables = tables;
    this.#values = values;
    this.#known = new Map(main.values);
  }

  get state(): ManifestState {
    return this.#main.state;
  }

  get values(): NamedValues {
    return this.#main.values;
  }

  getValue(name: string): Uint8Array | undefined {
    return this.#main.getValue(name);
  }

  commit(edit: VersionEdit): Promise<void> {
    return this.#change(async () => {
      await this.#tables.write(encodeState(applyEdit(this.#main.state, edit)));
      await this.#main.commit(edit);
      this.#tables.keep();
    });
  }

  setValue(name: string, value: Uint8Array): Promise<void> {
    const own = value.slice();
    return this.#change(async () => {
      const values = new Map(this.#known).set(name, own);
      await this.#values.write(encodeValues(values));
      await this.#main.setValue(name, own);
      this.#values.keep();
      this.#known = values;
    });
  }

  async close(): Promise<void> {
    await this.#running;
    await this.#main.close();
  }

  /** Makes the copy say what the manifest says. */
  async #renew(disk: Disk, directory: string): Promise<void> {
    for (const { kind, content } of contentsOf(this.#main)) {
      if (isWritten(disk, directory, kind, content)) continue;
      const file = kind === TABLES ? this.#tables : this.#values;
      await file.write(content);
      file.keep();
    }
  }

  #change(change: () => Promise<void>): Promise<void> {
    const run = this.#running.then(async () => {
      if (this.#failure !== undefined) throw this.#failure;
      try {
        await change();
      } catch (error) {
        // A disk error other than a full disk: what stands in the copy now is unknown.
        if (error instanceof DiskError && error.code !== 'ENOSPC') this.#failure = error;
        throw error;
      }
    });
    this.#running = run.catch(() => {});
    return run;
  }
}

type CopyKind = typeof TABLES | typeof VALUES;

function contentsOf({ state, values }: ManifestStore): readonly { kind: CopyKind; content: Uint8Array }[] {
  return [
    { kind: TABLES, content: encodeState(state) },
    { kind: VALUES, content: encodeValues(values) },
  ];
}

/** Whether this is what counts in a pair of files of which neither is damaged. */
function isWritten(disk: Disk, directory: string, { name, magic }: CopyKind, content: Uint8Array): boolean {
  const slots = readSlots(disk, `${directory}/${name}`, magic);
  const written = newestOf(slots)[0]?.content ?? EMPTY;
  return compareBytes(written, content) === 0 && !slots.some(isDamaged);
}

/** Whether the copy in a directory is whole and says what this manifest says. */
export function isCopyOf(disk: Disk, directory: string, manifest: ManifestStore): boolean {
  return contentsOf(manifest).every(({ kind, content }) => isWritten(disk, directory, kind, content));
}

function encodeState(state: ManifestState): Uint8Array {
  const writer = new VarintWriter();
  writeState(writer, state);
  return writer.finish();
}

/** No values are no bytes, as in files that were never written. */
function encodeValues(values: NamedValues): Uint8Array {
  if (values.size === 0) return EMPTY;
  const writer = new VarintWriter();
  writeValues(writer, new Map([...values].sort(([a], [b]) => (a < b ? -1 : 1))));
  return writer.finish();
}

function isDamaged(slot: Slot): boolean {
  return slot.state === 'damaged';
}

/** The valid ones, newest first. */
function newestOf(slots: readonly Slot[]): Slot[] {
  return slots.filter((slot) => slot.state === 'valid').sort((a, b) => b.generation - a.generation);
}

/** What the copy in a directory says, newest first; for a manifest that is lost. */
export interface ReadCopy {
  readonly states: readonly ManifestState[];
  readonly values: NamedValues;
  /** One of the files is damaged: torn by a crash, or the newer one has rotted away. */
  readonly isDamaged: boolean;
}

export function readCopy(disk: Disk, directory: string): ReadCopy {
  const tables = readSlots(disk, `${directory}/${TABLES.name}`, TABLES.magic);
  const values = newestOf(readSlots(disk, `${directory}/${VALUES.name}`, VALUES.magic))[0]?.content ?? EMPTY;
  return {
    states: newestOf(tables).map((slot) => readState(new VarintReader(slot.content), `${directory}/${TABLES.name}`)),
    values: values.length === 0 ? new Map() : readValues(new VarintReader(values)),
    isDamaged: tables.some(isDamaged),
  };
}

/** Whether a file name is one of the copy's. */
export function isCopyName(name: string): boolean {
  return [TABLES, VALUES].some(({ name: own }) => name === `${own}-0` || name === `${own}-1`);
}
