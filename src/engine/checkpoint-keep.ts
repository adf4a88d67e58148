/**
 * The checkpoints of one store: a directory that has the newest ones, each a directory of its own.
 *
 * ```
 * checkpoint-<owner>-<number, 6 digits or more>        a whole checkpoint
 * checkpoint-<owner>-<number, 6 digits or more>.tmp    one that is being written or removed, or was when the process ended
 * ```
 *
 * Invariants: what has a name without `.tmp` is whole and durable; numbers grow; names of other owners are never touched,
 * so that two nodes may be given the same directory.
 */

import { dirname } from 'node:path';
import type { Disk, Log, Timers } from '../env.ts';
import type { Store } from './store.ts';

/** Files removed in one turn; each may take the file system a millisecond. */
const UNLINKS_A_TURN = 2;

const HALF_DONE = '.tmp';

export interface CheckpointKeepOptions {
  readonly disk: Disk;
  readonly timers: Timers;
  readonly log: Log;
  readonly store: Pick<Store, 'checkpoint'>;
  /** On the file system of the store; made when it is not there. */
  readonly directory: string;
  /** Letters and digits that tell this store's checkpoints from those of others. */
  readonly owner: string;
}

/** Requires: one call at a time. */
export class CheckpointKeep {
  readonly #options: CheckpointKeepOptions;
  readonly #prefix: string;

  constructor(options: CheckpointKeepOptions) {
    this.#options = options;
    this.#prefix = `checkpoint-${options.owner}-`;
  }

  /** Numbers of the whole checkpoints, ascending. */
  numbers(): number[] {
    return this.#names()
      .map((name) => /^(\d{6,15})$/.exec(name.slice(this.#prefix.length)))
      .flatMap((match) => (match === null ? [] : [Number(match[1])]))
      .sort((a, b) => a - b);
  }

  path(number: number): string {
    return `${this.#options.directory}/${this.#prefix}${String(number).padStart(6, '0')}`;
  }

  /**
   * Takes a checkpoint and removes all but the newest `keep` (at least 1). The path of the new one. When it rejects,
   * nothing new is there; that an old one cannot be removed is only logged.
   */
  async take(keep: number): Promise<string> {
    const { disk, directory, log, store } = this.#options;
    this.#makeDirectory();
    await this.removeHalfDone();
    const path = this.path((this.numbers().at(-1) ?? 0) + 1);
    try {
      await store.checkpoint(path + HALF_DONE);
      disk.rename(path + HALF_DONE, path);
      disk.syncDirectory(directory);
    } catch (error) {
      await this.#discard(path);
      throw error;
    }
    try {
      for (const old of this.numbers().slice(0, -keep)) await this.#remove(this.path(old));
    } catch (error) {
      log.warn('an old checkpoint cannot be removed; the next one tries again', { directory, reason: String(error) });
    }
    return path;
  }

  /** Removes what an earlier process left half-done. */
  async removeHalfDone(): Promise<void> {
    const { disk, directory } = this.#options;
    if (!disk.exists(directory)) return;
    for (const name of this.#names()) if (name.endsWith(HALF_DONE)) await this.#empty(`${directory}/${name}`);
  }

  #names(): string[] {
    const { disk, directory } = this.#options;
    return disk.list(directory).filter((name) => name.startsWith(this.#prefix));
  }

  #makeDirectory(): void {
    const { disk, directory } = this.#options;
    if (disk.exists(directory)) return;
    disk.makeDirectory(directory);
    disk.syncDirectory(dirname(directory));
  }

  /** After a failure: leaves nothing of a checkpoint, whole or not, as far as the disk lets it. */
  async #discard(path: string): Promise<void> {
    const { disk, log } = this.#options;
    try {
      if (disk.exists(path)) await this.#remove(path);
      else if (disk.exists(path + HALF_DONE)) await this.#empty(path + HALF_DONE);
    } catch (error) {
      log.warn('a half-done checkpoint cannot be removed; the next one tries again', { path, reason: String(error) });
    }
  }

  async #remove(path: string): Promise<void> {
    this.#options.disk.rename(path, path + HALF_DONE);
    await this.#empty(path + HALF_DONE);
  }

  async #empty(path: string): Promise<void> {
    const { disk, timers } = this.#options;
    for (const [i, name] of disk.list(path).entries()) {
      if (i % UNLINKS_A_TURN === UNLINKS_A_TURN - 1) {
        await new Promise<void>((resolve) => timers.atTurnEnd(resolve));
      }
      disk.unlink(`${path}/${name}`);
    }
    disk.removeDirectory(path);
  }
}
