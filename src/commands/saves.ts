/**
 * What SAVE, BGSAVE and BGREWRITEAOF do, and what INFO and LASTSAVE tell of it. Every write is in the log already, so a
 * save is a checkpoint: a copy of the store as it is, of which the newest `checkpoint-keep` are kept.
 *
 * Invariants: one save at a time; `lastSaveMs` and `lastCheckpoint` speak of saves that are whole and durable.
 */

import { resolve } from 'node:path';
import { CheckpointKeep } from '../engine/checkpoint-keep.ts';
import type { Config } from '../config.ts';
import type { Env } from '../env.ts';
import type { Keyspace } from '../repl/keyspace.ts';

/** Digits of the node's name in the names of its checkpoints. */
const OWNER_DIGITS = 8;

/** The directory of the checkpoints, absolute. */
export function checkpointDirectory(config: Config): string {
  const given = config.get('checkpoint-dir');
  return resolve(given === '' ? `${config.get('dir')}/checkpoints` : given);
}

/** How one kind of background work stands. */
class Work {
  isRunning = false;
  /** Monotonic clock. */
  startedUs = 0;
  /** Seconds that the last one took; -1: there was none. */
  lastSeconds = -1;
  isLastGood = true;

  secondsSoFar(nowUs: number): number {
    return this.isRunning ? Math.floor((nowUs - this.startedUs) / 1_000_000) : -1;
  }
}

export class Saves {
  readonly save = new Work();
  readonly rewrite = new Work();
  /** Saves that ended well. */
  count = 0;
  /** Wall clock at the end of the last one; of the start, before the first. */
  lastSaveMs: number;
  /** Directory of the last checkpoint of this process; empty: there was none. */
  lastCheckpoint = '';
  private readonly env: Env;
  private readonly keyspace: Keyspace;
  private readonly config: Config;
  private readonly checkpoints: CheckpointKeep;
  private changesAtLastSave = 0;
  private readonly running = new Set<Promise<void>>();
  private isStopped = false;

  constructor(options: { env: Env; keyspace: Keyspace; config: Config; nodeId: string }) {
    const { env, keyspace, config, nodeId } = options;
    this.env = env;
    this.keyspace = keyspace;
    this.config = config;
    this.lastSaveMs = env.clock.wallMs();
    this.checkpoints = new CheckpointKeep({
      disk: env.disk,
      timers: env.timers,
      log: env.log,
      store: keyspace.store,
      directory: checkpointDirectory(config),
      owner: nodeId.slice(0, OWNER_DIGITS),
    });
  }

  get changesSinceLastSave(): number {
    return this.keyspace.changes - this.changesAtLastSave;
  }

  /** Removes what an earlier process left half-done; failures are logged. */
  async tidy(): Promise<void> {
    try {
      await this.checkpoints.removeHalfDone();
    } catch (error) {
      this.env.log.warn('a half-done checkpoint of an earlier run cannot be removed', { reason: String(error) });
    }
  }

  /** Rejects with the reason when it fails. Requires: no save is running. */
  takeSave(): Promise<void> {
    return this.run(this.save, async () => {
      const changes = this.keyspace.changes;
      const keep = this.config.get('checkpoint-keep');
      if (keep === 0) await this.keyspace.store.flush();
      else this.lastCheckpoint = await this.checkpoints.take(keep);
      this.count++;
      this.changesAtLastSave = changes;
      this.lastSaveMs = this.env.clock.wallMs();
      this.env.log.info('saved', { checkpoint: keep === 0 ? 'none, checkpoint-keep is 0' : this.lastCheckpoint });
    });
  }

  /** The log needs no rewriting: what is in memory becomes a table, so that a start has less of it to replay. */
  takeRewrite(): Promise<void> {
    return this.run(this.rewrite, () => this.keyspace.store.flush());
  }

  /** Settles when nothing runs any more; nothing starts from here on. */
  async stop(): Promise<void> {
    this.isStopped = true;
    await Promise.allSettled(this.running);
  }

  private async run(work: Work, body: () => Promise<void>): Promise<void> {
    if (this.isStopped) throw new Error('the server is shutting down');
    work.isRunning = true;
    work.startedUs = this.env.clock.monotonicUs();
    const running = body();
    this.running.add(running);
    try {
      await running;
      work.isLastGood = true;
    } catch (error) {
      work.isLastGood = false;
      throw error;
    } finally {
      work.lastSeconds = work.secondsSoFar(this.env.clock.monotonicUs());
      work.isRunning = false;
      this.running.delete(running);
    }
  }
}
