/**
 * Which state a lost manifest had, as its copy beside the tables tells (engine/manifest-copy.ts).
 *
 * With both files of the copy whole, the newer one is right, unless it names tables that are not there while the older one
 * names none such: then it is of a change that a full disk refused. With one file damaged the other may be one change
 * behind: it is believed if what it says of the WALs fits and they reach as far as every table it does not name, so that
 * nothing can be missing. Otherwise the copy is of no use.
 */

import { isCopyName, readCopy, type ReadCopy } from '../engine/manifest-copy.ts';
import type { ManifestState } from '../engine/manifest.ts';
import { tablePath } from '../engine/sstable-format.ts';
import { describeTable } from '../engine/table-describe.ts';
import type { Disk } from '../env.ts';
import { CEILING_STEP_MS, CLOCK_CEILING, STAMPS_PER_MS } from '../repl/hlc.ts';
import { dataFiles } from './tool.ts';
import { liveWals } from './wal-repair.ts';

export interface CopiedState {
  readonly state: ManifestState;
  readonly values: ReadonlyMap<string, Uint8Array>;
}

/** Undefined: there is no copy that can be believed. */
export function copiedState(disk: Disk, directory: string): CopiedState | undefined {
  if (!disk.list(directory).some(isCopyName)) return undefined;
  let copy: ReadCopy;
  try {
    copy = readCopy(disk, directory);
  } catch {
    return undefined;
  }
  const state = choose(disk, directory, copy);
  return state === undefined ? undefined : { state, values: copy.values };
}

function choose(disk: Disk, directory: string, { states, isDamaged }: ReadCopy): ManifestState | undefined {
  const whole = states.find((state) => missingTables(disk, directory, state).length === 0);
  if (!isDamaged) return whole ?? states[0];
  return whole !== undefined && nothingIsBeyond(disk, directory, whole) ? whole : undefined;
}

function missingTables(disk: Disk, directory: string, { version }: ManifestState): number[] {
  return version
    .placed()
    .map(({ table }) => table.number)
    .filter((number) => !disk.exists(tablePath(directory, number)));
}

/** Whether the WALs go on where the tables of this state end, and no other table has anything newer than they. */
function nothingIsBeyond(disk: Disk, directory: string, state: ManifestState): boolean {
  const wals = liveWals(disk, directory).filter(({ header }) => header.number >= state.oldestWal);
  const [first] = wals;
  const begins = first === undefined || first.header.firstSequence === state.flushedSequence + 1;
  const reached = wals.at(-1)?.lastSequence ?? state.flushedSequence;
  const named = new Set(state.version.placed().map(({ table }) => table.number));
  const others = dataFiles(disk, directory).tables.filter((number) => !named.has(number));
  return begins && others.every((number) => newestSequence(disk, directory, number) <= reached);
}

/** 0 for a table that cannot be read. */
function newestSequence(disk: Disk, directory: string, number: number): number {
  try {
    return describeTable(disk, directory, number).maxSequence;
  } catch {
    return 0;
  }
}

/**
 * The named values of a manifest that is made anew. The clock's ceiling is above every stamp that may have been given,
 * whatever became of the persisted one, as long as the wall clock was not ahead of `nowMs`.
 */
export function renewedValues(values: ReadonlyMap<string, Uint8Array>, nowMs: number): ReadonlyMap<string, Uint8Array> {
  const known = values.get(CLOCK_CEILING);
  const ceiling = Math.max(
    known === undefined ? 0 : Number(Buffer.from(known).toString('latin1')),
    (nowMs + CEILING_STEP_MS) * STAMPS_PER_MS,
  );
  return new Map(values).set(CLOCK_CEILING, Buffer.from(String(ceiling), 'latin1'));
}
