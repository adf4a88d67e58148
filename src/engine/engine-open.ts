/**
 * Opening a store: manifest, then WALs, then what no manifest names is removed. Nothing is removed before manifest and
 * WALs have been found to be in order.
 */

import type { Random } from '../env.ts';
import { Arena } from './arena.ts';
import { ArenaPool } from './arena-pool.ts';
import { EngineError } from './engine-error.ts';
import type { EngineOpen, EngineOptions } from './engine-options.ts';
import type { Generation } from './flusher.ts';
import { CopiedManifest } from './manifest-copy.ts';
import { FileManifest } from './manifest-file.ts';
import type { ManifestState, ManifestStore } from './manifest.ts';
import { arenaCapacity, Memtable } from './memtable.ts';
import type { HashSecret } from './memtable.ts';
import { kind, recordAt } from './record.ts';
import { readWals } from './recovery.ts';
import type { Replayed } from './recovery.ts';
import { tableNumber } from './sstable-format.ts';
import type { StoreHooks } from './store.ts';
import { isWalName, Wal } from './wal.ts';

/** A directory of this name is there while somebody copies a store to the directory it stands in (tools/copy-store.ts). */
export const UNFINISHED_COPY = 'incoming';

/** WALs are numbered from here on; 0 in a manifest says that it is new. */
const FIRST_WAL = 1;

/** What an engine starts from. */
export type OpenedStore = {
  readonly manifest: ManifestStore;
  readonly wal: Wal;
  readonly secret: HashSecret;
  /** Oldest first; the last one takes writes. */
  readonly pool: ArenaPool;
  readonly generations: readonly Generation[];
};

export async function openStore(env: EngineOpen, options: EngineOptions): Promise<OpenedStore> {
  env.disk.makeDirectory(env.directory);
  const manifest = await openManifestOf(env)(env.directory);
  try {
    if (manifest.state.oldestWal === 0) await beginManifest(env, manifest);
    const replayed = await readWals({
      disk: env.disk,
      log: env.log,
      directory: env.directory,
      oldestNumber: manifest.state.oldestWal,
      firstSequence: manifest.state.flushedSequence + 1,
      arenaBytes: arenaCapacity(options.memtableBytes, 0),
    });
    return takeOver(env, options, manifest, replayed);
  } catch (error) {
    await manifest.close();
    throw error;
  }
}

/** Makes the first entry of a new store's manifest, so that from then on a missing manifest is known to be missing. */
async function beginManifest({ disk, directory }: EngineOpen, manifest: ManifestStore): Promise<void> {
  const names = disk.list(directory);
  if (names.includes(UNFINISHED_COPY)) {
    const what = `a copy into ${directory} was cut short`;
    throw new EngineError('corruption', `${what}: empty the directory and make the copy again`);
  }
  const left = names.find((name) => isWalName(name) || tableNumber(name) !== undefined);
  if (left !== undefined) {
    const what = `${directory}/${left} is there, but the manifest is missing or empty`;
    throw new EngineError('corruption', `${what}: \`kvorum repair\` makes a new one`);
  }
  await manifest.commit({ added: [], removed: [], oldestWal: FIRST_WAL });
}

/** Opens manifests with a second copy (manifest-copy.ts). */
export function openManifestOf(env: EngineOpen): (directory: string) => Promise<ManifestStore> {
  const open = env.openManifest ?? ((directory) => FileManifest.open(env.disk, directory));
  return async (directory) => CopiedManifest.open(env.disk, directory, await open(directory));
}

function takeOver(
  env: EngineOpen,
  options: EngineOptions,
  manifest: ManifestStore,
  { wals, free }: Replayed,
): OpenedStore {
  const { state } = manifest;
  const wal = openWal(env, options, wals.at(-1)?.arena.lastSequence ?? state.flushedSequence);
  for (const file of free) wal.adoptFree(file);
  const secret = newSecret(env.random);
  const pool = new ArenaPool(arenaCapacity(options.memtableBytes, 0));
  const generations: Generation[] = [];
  try {
    for (const { file, arena } of wals) {
      generations.push({
        memtable: new Memtable(arena, options.memtableBytes, secret),
        walFile: wal.adopt(file, arena),
      });
    }
    removeOrphans(env, state);
    for (const { memtable } of generations) memtable.indexReplayed(replayer(memtable.arena, env.hooks));
    const last = generations.at(-1);
    if (last === undefined || !last.memtable.hasRoom(0, 0)) {
      const number = last === undefined ? state.oldestWal : last.memtable.arena.number + 1;
      const first = { firstSequence: wal.durableSequence + 1, firstBatchBytes: 0, expectedKeys: 0 };
      generations.push(startGeneration({ wal, pool, options, secret, random: env.random, number, ...first }));
    }
    return { manifest, wal, pool, secret, generations };
  } catch (error) {
    wal.closeFiles();
    throw error;
  }
}

/** Removes tables that the manifest does not name, and half-written ones. */
function removeOrphans({ disk, directory, log }: EngineOpen, state: ManifestState): void {
  const named = new Set(state.version.placed().map(({ table }) => table.number));
  for (const name of disk.list(directory)) {
    const number = tableNumber(name);
    if (!name.endsWith('.sst.tmp') && (number === undefined || named.has(number))) continue;
    log.info('an orphan is removed', { path: `${directory}/${name}` });
    disk.unlink(`${directory}/${name}`);
  }
}

function openWal(env: EngineOpen, options: EngineOptions, lastSequence: number): Wal {
  return new Wal(
    {
      disk: env.disk,
      clock: env.clock,
      timers: env.timers,
      log: env.log,
      directory: env.directory,
      policy: options.fsync,
      fileBytes: arenaCapacity(options.memtableBytes, 0),
      onFatal: (error) => env.onFatal?.(error),
    },
    lastSequence,
  );
}

export type GenerationStart = {
  readonly wal: Wal;
  readonly pool: ArenaPool;
  readonly options: EngineOptions;
  readonly secret: HashSecret;
  readonly random: Random;
  readonly number: number;
  readonly firstSequence: number;
  /** Length of the batch that will come first. */
  readonly firstBatchBytes: number;
  /** How many keys the memtable before it has. */
  readonly expectedKeys: number;
};

/** A new memtable with its WAL file. Throws a `DiskError`; nothing has changed then. */
export function startGeneration(start: GenerationStart): Generation {
  const { wal, pool, options, secret, random, number, firstSequence, firstBatchBytes, expectedKeys } = start;
  wal.prepare();
  const generation = viewOf(random.bytes(4)).getUint32(0);
  const memory = pool.take(arenaCapacity(options.memtableBytes, firstBatchBytes));
  const arena = new Arena(memory, number, generation, firstSequence);
  const memtable = new Memtable(arena, options.memtableBytes, secret, expectedKeys, (slots) => pool.takeIndex(slots));
  return { memtable, walFile: wal.start(arena) };
}

function newSecret(random: Random): HashSecret {
  const bytes = viewOf(random.bytes(8));
  return { seed: bytes.getUint32(0), multiplier: bytes.getUint32(4) };
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
}

/** What tells the owner of the store of each replayed record. */
function replayer(arena: Arena, hooks: StoreHooks | undefined): (offset: number) => void {
  const onReplay = hooks?.onReplay?.bind(hooks);
  if (onReplay === undefined) return () => {};
  return (offset) => {
    const record = recordAt(arena.words, offset);
    if (record.kind === kind.DELETE_RANGE) return;
    const key = arena.bytes.subarray(record.keyStart, record.keyEnd);
    onReplay(key, record.kind === kind.PUT ? arena.bytes.subarray(record.keyEnd, record.valueEnd) : undefined);
  };
}
