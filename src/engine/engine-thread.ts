/**
 * What the engine's threads run: flushes and compactions.
 *
 * The default export knows no filter and no key prefixes. An owner with rules of its own gives the engine the URL of a
 * module whose default export is `engineThread({ createFilter, prefixEnd })`.
 */

import type { Disk } from '../env.ts';
import { runCompaction, type CompactJob, type CompactResult } from './compaction.ts';
import { runFlush, type FlushJob, type FlushResult } from './flush.ts';
import type { Filter } from './record-sieve.ts';
import type { PrefixEnd } from './sstable-writer.ts';

export type EngineJob = FlushJob | CompactJob;
export type EngineResult = FlushResult | CompactResult;

export interface EngineThreadRules {
  /** Makes the filter for one compaction from the job's `filterState`. */
  readonly createFilter?: (state: unknown) => Filter;
  readonly prefixEnd?: PrefixEnd;
}

export type EngineThread = (job: EngineJob, disk: Disk, stopped: () => boolean) => EngineResult;

/** A thread function with the owner's rules. */
export function engineThread(rules: EngineThreadRules): EngineThread {
  return (job, disk, stopped) => {
    if (job.kind === 'flush') return runFlush(job, disk, stopped, rules.prefixEnd);
    const filter = job.filterState === undefined ? undefined : rules.createFilter?.(job.filterState);
    return runCompaction(job, disk, stopped, filter, rules.prefixEnd);
  };
}

export default engineThread({});
