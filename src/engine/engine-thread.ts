/**
 * What the engine's threads run: flushes and compactions.
 *
 * The default export knows no filter and no key prefixes. An owner with rules of its own gives the engine the URL of a
 * module whose default export is `engineThread({ createFilter, prefix })`.
 */

import type { Disk } from '../env.ts';
import { runCompaction, type CompactJob, type CompactResult } from './compaction.ts';
import { runFlush, type FlushJob, type FlushResult } from './flush.ts';
import type { Filter } from './record-sieve.ts';
import type { KeyPrefix } from './sstable-writer.ts';

/** Removes obsolete tables: the file system may take tens of milliseconds for a large one. */
export interface RemoveJob {
  readonly kind: 'remove';
  readonly paths: readonly string[];
}

export interface RemoveResult {
  readonly kind: 'remove';
  /** What could not be removed. */
  readonly left: readonly string[];
}

export type EngineJob = FlushJob | CompactJob | RemoveJob;
export type EngineResult = FlushResult | CompactResult | RemoveResult;

export interface EngineThreadRules {
  /** Makes the filter for one compaction from the job's `filterState`. */
  readonly createFilter?: (state: unknown) => Filter;
  readonly prefix?: KeyPrefix;
}

/** The result of a job has its kind. */
export type ResultOf<Job extends EngineJob> = Extract<EngineResult, { readonly kind: Job['kind'] }>;

export type EngineThread = <Job extends EngineJob>(job: Job, disk: Disk, stopped: () => boolean) => ResultOf<Job>;

/** A thread function with the owner's rules. */
export function engineThread(rules: EngineThreadRules): EngineThread {
  const run = (job: EngineJob, disk: Disk, stopped: () => boolean): EngineResult => {
    if (job.kind === 'flush') return runFlush(job, disk, stopped, rules.prefix);
    if (job.kind === 'remove') return runRemove(job, disk);
    const filter = job.filterState === undefined ? undefined : rules.createFilter?.(job.filterState);
    return runCompaction(job, disk, stopped, filter, rules.prefix);
  };
  return run as EngineThread;
}

function runRemove({ paths }: RemoveJob, disk: Disk): RemoveResult {
  const left = paths.filter((path) => {
    try {
      disk.unlink(path);
      return false;
    } catch {
      return true;
    }
  });
  return { kind: 'remove', left };
}

export default engineThread({});
