/**
 * Whether this directory may have forgotten what its node acknowledged: a machine that stopped before everything was
 * written, while `appendfsync` did not wait for the disk; or `kvorum repair` could not keep everything.
 *
 * ```
 * durable value "boot"   empty: everything that was acknowledged is on the disk
 *                        "lost records": written by `kvorum repair`, no boot id
 *                        else the boot id of the machine on which a life began that may acknowledge more than that
 * ```
 *
 * A process that is killed loses nothing, what it wrote is in the machine's memory; so the same boot id is as good as
 * none. Where there is no boot id, every life that did not stop cleanly counts as one that lost something.
 *
 * Invariants: the mark is durable before the node serves with a policy that needs it, and goes only once the disk has
 * everything and nothing is suspect any more.
 */

import type { DurableValues } from './cluster/durable-values.ts';
import type { Engine } from './engine/engine.ts';
import { EngineError } from './engine/engine-error.ts';
import type { FsyncPolicy } from './engine/store.ts';
import type { Env } from './env.ts';
import { localKey } from './repl/row-key.ts';
import { BOOT, LOST_RECORDS } from './repl/slot-recovery.ts';

/** Written last, so that waiting for it is waiting for everything. */
const STOP_KEY = localKey('stop');

/** How long a stop waits for a disk that does not take what was written. */
const STOP_WAIT_MS = 5_000;

export class BootMark {
  /** What earlier lives acknowledged may be gone. */
  readonly mayHaveForgotten: boolean;
  /** More than that: of what is still there, records may be gone, or older than those that were there. */
  readonly hasLostRecords: boolean;
  private readonly values: DurableValues;
  /** What this life writes once it may acknowledge what is not on the disk. */
  private readonly text: string;
  private written: string;
  private isSuspect: boolean;
  private wasWeak: boolean;
  private isClosed = false;

  private constructor(values: DurableValues, bootId: string, policy: FsyncPolicy) {
    this.values = values;
    this.text = bootId === '' ? 'unknown' : bootId;
    this.wasWeak = policy !== 'always';
    this.written = Buffer.from(values.getValue(BOOT) ?? '').toString('latin1');
    this.hasLostRecords = this.written === LOST_RECORDS;
    this.mayHaveForgotten = this.written !== '' && (bootId === '' || this.written !== bootId);
    this.isSuspect = this.mayHaveForgotten;
  }

  /** Reads the mark and makes that of this life durable. `engine` has recovered what there is. */
  static async open(engine: Engine, bootId: string, policy: FsyncPolicy): Promise<BootMark> {
    const mark = new BootMark(engine, bootId, policy);
    if (policy === 'always' && mark.written !== '' && !mark.mayHaveForgotten) {
      // What an earlier life of this boot wrote may still be in the machine's memory alone.
      await engine.flush();
      await mark.write('');
    }
    await mark.follow(policy);
    return mark;
  }

  /** Nothing is suspect any more. */
  async recovered(): Promise<void> {
    if (this.isClosed) return;
    this.isSuspect = false;
    await this.write(this.wasWeak ? this.text : '');
  }

  /** `appendfsync` is this now. What was acknowledged too early in this life only a clean stop, or the next life, makes up for. */
  async follow(policy: FsyncPolicy): Promise<void> {
    if (policy === 'always' || this.isClosed) return;
    this.wasWeak = true;
    if (!this.isSuspect) await this.write(this.text);
  }

  /** The node stops and writes no more: afterwards everything is on the disk, unless the disk does not take it in time. */
  async stop(engine: Engine, timers: Env['timers']): Promise<void> {
    this.isClosed = true;
    if (this.isSuspect || this.written === '' || engine.refusal !== undefined) return;
    engine.setFsyncPolicy('always');
    const batch = engine.newBatch();
    batch.put(STOP_KEY, Buffer.from(this.written, 'latin1'));
    try {
      const sequence = engine.write(batch);
      engine.flushGroup();
      if (await isDurable(engine, sequence, timers)) await this.write('');
    } catch (error) {
      // The mark stays: the next life takes this one for one that lost something.
      if (!(error instanceof EngineError)) throw error;
    }
  }

  private async write(text: string): Promise<void> {
    if (text === this.written) return;
    await this.values.setValue(BOOT, Buffer.from(text, 'latin1'));
    this.written = text;
  }
}

/** False: the disk has not taken it within `STOP_WAIT_MS`. */
function isDurable(engine: Engine, sequence: number, timers: Env['timers']): Promise<boolean> {
  if (engine.durableSequence >= sequence) return Promise.resolve(true);
  return new Promise((resolve) => {
    const end = (isOnDisk: boolean): void => {
      stopListening();
      timer.cancel();
      resolve(isOnDisk);
    };
    const timer = timers.after(STOP_WAIT_MS, () => end(false));
    const stopListening = engine.onDurable(() => {
      if (engine.durableSequence >= sequence) end(true);
    });
  });
}
