/**
 * The engine against an ordered map, on a disk that fails: whole lives of a process, opened, worked and ended by a clean
 * close, by the end of the process or by a power cut at any disk operation. Everything is drawn from one seed.
 *
 * Checked from outside: what was acknowledged is there afterwards (what exactly, depends on the fsync policy and on how
 * the life ended); what is there is the state after some number of whole batches in order; every answer in between is
 * that of the map; damage at rest gives a named error or a reported cut and never another value.
 */

import type { Engine } from '../../src/engine/engine.ts';
import { EngineError } from '../../src/engine/engine-error.ts';
import { FileManifest } from '../../src/engine/manifest-file.ts';
import { DiskError, type Disk, type Log, type LogFields } from '../../src/env.ts';
import { noProgress } from '../../src/tools/progress.ts';
import { repair } from '../../src/tools/repair.ts';
import { BatchHistory, difference, type State } from './batch-history.ts';
import { noFaults, SimDisk } from './disk.ts';
import { check, EngineLife, Violation, type Surroundings } from './engine-life.ts';
import { DIRECTORY, openSimEngine } from './engine-open.ts';
import { drawProfile, type EngineProfile } from './engine-profile.ts';
import { EventLoop, Halted, type Life } from './event-loop.ts';
import { Prng } from './prng.ts';

/** Lines of what happened that a failure shows. */
const SHOWN_NOTES = 60;
/** `everysec` may lose what was written within this time before the power went: Redis says two seconds at worst. */
const EVERYSEC_LOSS_US = 3_000_000;

export interface EngineRunReport {
  readonly seed: number;
  /** Depends on everything that happened: two runs of a seed have the same one. */
  readonly digest: string;
  readonly lives: number;
  readonly batches: number;
  readonly crashes: number;
  readonly injected: number;
  readonly refusedOpens: number;
}

/** A failed run; the message has the seed, the profile and the last things that happened. */
export class EngineRunFailure extends Error {
  override readonly name = 'EngineRunFailure';
}

export async function runEngineSeed(seed: number): Promise<EngineRunReport> {
  const run = new EngineRun(seed);
  try {
    return await run.toTheEnd();
  } catch (error) {
    throw new EngineRunFailure(run.describe(error), { cause: error });
  }
}

type Ending = 'closed' | 'killed' | 'power cut';

class EngineRun {
  readonly #seed: number;
  readonly #random: Prng;
  readonly #profile: EngineProfile;
  readonly #loop = new EventLoop();
  readonly #sim: SimDisk;
  /** As the present life sees it. */
  #disk!: Disk;
  readonly #history = new BatchHistory();
  readonly #notes: string[] = [];
  readonly #warnings: string[] = [];
  #digest = 0x811c9dc5;
  #serial = 0;
  #batches = 0;
  #crashes = 0;
  #refusedOpens = 0;
  #livesLived = 0;
  #fatal: EngineError | undefined;
  /** Injected faults at the start of this life. */
  #injectedBefore = 0;
  #rotten = false;

  constructor(seed: number) {
    this.#seed = seed;
    this.#random = new Prng(seed);
    this.#profile = drawProfile(this.#random.split('profile'));
    this.#sim = new SimDisk({ loop: this.#loop, random: this.#random.split('disk') });
  }

  async toTheEnd(): Promise<EngineRunReport> {
    const { lives, rot, fullDisk } = this.#profile;
    for (let life = 0; life < lives; life++) await this.#live(false);
    this.#sim.capacityBytes = Number.POSITIVE_INFINITY;
    if (fullDisk) this.#note('space returns');
    // Everything works again: the last lives must succeed, and what they wrote must outlive a power cut.
    await this.#live(true);
    await this.#live(true);
    if (rot) await this.#liveWithRot();
    return {
      seed: this.#seed,
      digest: (this.#digest >>> 0).toString(16).padStart(8, '0'),
      lives: this.#livesLived,
      batches: this.#batches,
      crashes: this.#crashes,
      injected: this.#injectedCount(),
      refusedOpens: this.#refusedOpens,
    };
  }

  describe(error: unknown): string {
    const { keys, ...rest } = this.#profile;
    const what = error instanceof Error ? (error.stack ?? error.message) : String(error);
    return [
      `seed ${this.#seed}: ${what}`,
      `profile: ${JSON.stringify({ ...rest, keys: keys.length })}`,
      ...this.#notes.slice(-SHOWN_NOTES),
    ].join('\n');
  }

  async #live(healthy: boolean): Promise<void> {
    const random = this.#random.split(`life ${this.#livesLived++}`);
    this.#loop.restart();
    await this.#maybeLoseManifest(random.split('manifest'));
    const life = this.#loop.life();
    const disk = this.#mount(life);
    this.#fatal = undefined;
    this.#injectedBefore = this.#injectedCount();
    this.#sim.faults = { ...noFaults(), slowness: this.#profile.faults.slowness };
    this.#sim.capacityBytes = Number.POSITIVE_INFINITY;
    this.#note(`life ${this.#livesLived}${healthy ? ', healthy' : ''}`);
    if (!healthy) this.#planFaults(life, random);
    let ending: Ending;
    try {
      ending = await this.#openAndWork({ life, disk, random, healthy });
    } catch (error) {
      if (!(error instanceof Halted)) throw error;
      ending = random.chance(0.7) ? 'power cut' : 'killed';
    }
    life.kill();
    this.#end(ending);
  }

  /** The manifest is gone, as after a crash that it did not survive; repair makes it anew, and nothing else is missing. */
  async #maybeLoseManifest(random: Prng): Promise<void> {
    const manifests = this.#sim.paths.filter((path) => path.startsWith(`${DIRECTORY}/manifest-`));
    if (manifests.length === 0 || !random.chance(this.#profile.lostManifestChance)) return;
    const life = this.#loop.life();
    const disk = this.#mount(life);
    this.#sim.faults = { ...noFaults(), slowness: this.#profile.faults.slowness };
    this.#sim.capacityBytes = Number.POSITIVE_INFINITY;
    for (const path of manifests) disk.unlink(path);
    disk.syncDirectory(DIRECTORY);
    const lines: string[] = [];
    const problems = await this.#loop.settle(
      repair(
        {
          disk,
          openManifest: (at) => FileManifest.open(disk, at),
          print: (line) => lines.push(line),
          progress: noProgress,
        },
        DIRECTORY,
        { nowMs: this.#loop.clock.wallMs() },
      ),
    );
    for (const line of lines) this.#note(`repair: ${line}`);
    check(problems === 0, 'the directory is in order after repair');
    life.kill();
  }

  #mount(life: Life): Disk {
    this.#disk = this.#sim.mount(life);
    return this.#disk;
  }

  #planFaults(life: Life, random: Prng): void {
    const { crashChance, crashWithin, faultsDuringOpen, faults } = this.#profile;
    if (random.chance(crashChance)) {
      this.#sim.crashAtOperation = random.below(crashWithin);
      this.#sim.onCrash = () => {
        this.#note(`the end comes at operation ${this.#sim.operations}`);
        life.kill();
        this.#loop.halt();
      };
    }
    if (faultsDuringOpen) this.#sim.faults = { ...faults };
  }

  async #openAndWork(parts: { life: Life; disk: Disk; random: Prng; healthy: boolean }): Promise<Ending> {
    const { life, disk, random, healthy } = parts;
    const engine = await this.#open(life, disk, random);
    if (engine === undefined) return random.chance(0.5) ? 'killed' : 'power cut';
    const running = new EngineLife(engine, this.#surroundings(life, random));
    if (!(await this.#verify(running))) return 'killed';
    if (!healthy) {
      this.#sim.faults = { ...this.#profile.faults };
      if (this.#profile.fullDisk) this.#sim.capacityBytes = this.#sim.usedBytes + random.below(300_000);
    }
    const before = this.#history.batchCount;
    await this.#loop.settle(running.work());
    if (this.#isFullAtWorst()) check(this.#fatal === undefined, 'a full disk alone is no reason to end');
    // A table that seemed damaged blocks compaction until the next open, so with flipped reads nothing is promised.
    if (this.#profile.fullDisk && !healthy && this.#profile.faults.readFlipChance === 0) {
      this.#sim.capacityBytes = Number.POSITIVE_INFINITY;
      this.#sim.faults = { ...noFaults(), slowness: this.#profile.faults.slowness };
      await this.#loop.settle(running.takesWritesAgain());
    }
    if (healthy) {
      await this.#loop.settle(running.settleWrites());
      check(this.#history.batchCount > before, 'a healthy engine takes writes');
    }
    if (this.#fatal !== undefined) return random.chance(0.5) ? 'killed' : 'power cut';
    if (!healthy && random.chance(0.5)) {
      running.noteDurable();
      return random.chance(0.5) ? 'killed' : 'power cut';
    }
    return this.#close(engine, healthy);
  }

  /** Nothing but a full disk can go wrong. */
  #isFullAtWorst(): boolean {
    const { readErrorChance, writeErrorChance, syncErrorChance, nameErrorChance, maxOpenFiles } = this.#profile.faults;
    const errors = readErrorChance + writeErrorChance + syncErrorChance + nameErrorChance;
    return errors === 0 && maxOpenFiles === noFaults().maxOpenFiles;
  }

  /** Opens the engine; undefined when it refuses and an injected fault is to blame. */
  async #open(life: Life, disk: Disk, random: Prng): Promise<Engine | undefined> {
    const opening = openSimEngine({
      loop: this.#loop,
      life,
      disk,
      random,
      log: this.#log(),
      engine: { ...this.#profile.options, fsync: this.#profile.policy },
      manifestApart: this.#profile.manifestApart,
      onFatal: (error) => {
        this.#fatal ??= error;
        this.#note(`fatal: ${error.message}`);
      },
    });
    try {
      return await this.#loop.settle(opening);
    } catch (error) {
      if (error instanceof Halted) throw error;
      this.#excuse(error, 'open');
      this.#refusedOpens++;
      return undefined;
    }
  }

  /** A second engine on a checkpoint of the first. */
  #openCheckpoint(life: Life, random: Prng, directory: string): Promise<Engine> {
    return openSimEngine({
      loop: this.#loop,
      life,
      disk: this.#disk,
      random: random.split(directory),
      log: this.#log(),
      directory,
      engine: this.#profile.options,
      manifestApart: this.#profile.manifestApart,
      onFatal: (error) => this.#note(`fatal in ${directory}: ${error.message}`),
    });
  }

  /** After an open: the engine has some whole number of batches, and no fewer than it promised. */
  async #verify(running: EngineLife): Promise<boolean> {
    const faults = this.#sim.faults;
    this.#sim.faults = { ...noFaults(), slowness: faults.slowness };
    let state: State;
    try {
      state = await this.#loop.settle(running.scan());
    } catch (error) {
      if (error instanceof Halted) throw error;
      this.#excuse(error, 'scan after open');
      return false;
    }
    const least = this.#history.killSafe;
    const count = this.#history.find(state, least);
    if (count < 0) this.#reportLoss(state, least);
    this.#note(`opened with ${count} of ${this.#history.batchCount} batches, at least ${least}`);
    this.#history.rebase(count);
    return true;
  }

  #reportLoss(state: State, least: number): never {
    const earlier = this.#history.find(state, 0);
    if (earlier >= 0) throw new Violation(`only ${earlier} batches are left of ${least} that were acknowledged`);
    const latest = difference(this.#history.current, state) ?? '';
    const safe = difference(this.#history.stateAfter(least), state) ?? '';
    throw new Violation(
      `the state is none there ever was: against the latest, ${latest}; against the safe one, ${safe}`,
    );
  }

  async #close(engine: Engine, healthy: boolean): Promise<Ending> {
    const all = this.#history.batchCount;
    try {
      await this.#loop.settle(engine.close());
    } catch (error) {
      if (error instanceof Halted) throw error;
      this.#excuse(error, 'close');
      return 'killed';
    }
    if (this.#fatal === undefined) this.#history.promise(all, true);
    if (healthy) check(this.#sim.openFiles === 0, `${this.#sim.openFiles} files are open after close`);
    return 'closed';
  }

  #end(ending: Ending): void {
    this.#batches += this.#history.batchCount;
    this.#note(ending);
    if (ending === 'killed') {
      this.#sim.kill();
      // After a failed sync the promises that rest on the cache may be void already.
      if (this.#sim.injected.syncError > 0) this.#history.powerLost();
      return;
    }
    // A clean close is worth nothing unless it outlives the power cut that follows.
    this.#promiseEverysec();
    this.#crashes++;
    this.#sim.powerCut();
    this.#history.powerLost();
  }

  #promiseEverysec(): void {
    const { policy, policyChangeChance, faults } = this.#profile;
    if (policy !== 'everysec' || policyChangeChance > 0 || faults.slowness > 1 || faults.syncErrorChance > 0) return;
    const count = this.#history.countWrittenBy(this.#loop.nowUs - EVERYSEC_LOSS_US);
    this.#history.promise(Math.min(count, this.#history.killSafe), true);
  }

  /** A file is damaged while nobody looks: afterwards there is an error or a reported cut, and no wrong value. */
  async #liveWithRot(): Promise<void> {
    const random = this.#random.split('rot');
    const paths = this.#sim.paths.filter((path) => this.#sim.contentOf(path).length > 0);
    const path = random.pick(paths);
    const position = random.below(this.#sim.contentOf(path).length);
    this.#sim.corrupt(path, position, 1 << random.below(8));
    this.#rotten = true;
    this.#note(`a bit of ${path} at ${position} is flipped`);
    this.#warnings.length = 0;
    this.#loop.restart();
    const life = this.#loop.life();
    const disk = this.#mount(life);
    this.#sim.faults = noFaults();
    const engine = await this.#open(life, disk, random);
    if (engine === undefined) return;
    const running = new EngineLife(engine, this.#surroundings(life, random));
    const least = this.#warnings.length > 0 ? 0 : this.#history.killSafe;
    const states = Array.from({ length: this.#history.batchCount - least + 1 }, (_, i) =>
      this.#history.stateAfter(least + i),
    );
    for (const key of this.#profile.keys) {
      let value: Uint8Array | undefined;
      try {
        value = await this.#loop.settle(running.get(key));
      } catch (error) {
        this.#excuse(error, 'get after rot');
        continue;
      }
      const text = Buffer.from(key).toString('latin1');
      const right = states.some((state) => {
        const wanted = state.get(text)?.value;
        return wanted === undefined ? value === undefined : value !== undefined && Buffer.compare(wanted, value) === 0;
      });
      check(right, `after a flipped bit a get answers what was not written, warnings: ${this.#warnings.join('; ')}`);
    }
    life.kill();
  }

  #surroundings(life: Life, random: Prng): Surroundings {
    return {
      loop: this.#loop,
      life,
      random,
      profile: this.#profile,
      history: this.#history,
      nextSerial: () => this.#serial++,
      powerIsOff: () => this.#sim.crashed,
      hasFailed: () => this.#fatal !== undefined,
      excuse: (error, what) => this.#excuse(error, what),
      openCheckpoint: (directory) => this.#openCheckpoint(life, random, directory),
      note: (event) => this.#note(event),
    };
  }

  /** Errors are the engine's named ones, and only when there is a reason in this life. */
  #excuse(error: unknown, what: string): void {
    if (error instanceof Violation || error instanceof Halted) throw error;
    const named = error instanceof EngineError || error instanceof DiskError;
    if (!named) throw error;
    const injected = this.#injectedCount() > this.#injectedBefore;
    const excused = injected || this.#rotten || this.#sim.crashed || this.#fatal !== undefined;
    if (!excused) throw new Violation(`${what} failed without a reason: ${error.message}`, { cause: error });
    this.#note(`${what}: ${error.message}`);
  }

  #injectedCount(): number {
    return Object.values(this.#sim.injected).reduce((sum, count) => sum + count, 0);
  }

  #note(event: string): void {
    const line = `${(this.#loop.nowUs / 1000).toFixed(3).padStart(12)} ms  ${event}`;
    this.#notes.push(line);
    if (this.#notes.length > 4 * SHOWN_NOTES) this.#notes.splice(0, 2 * SHOWN_NOTES);
    for (let i = 0; i < line.length; i++) this.#digest = Math.imul(this.#digest ^ line.charCodeAt(i), 0x01000193);
  }

  #log(): Log {
    const line = (level: string) => (message: string, fields?: LogFields) => {
      if (level !== 'debug') this.#note(`log ${level}: ${message} ${JSON.stringify(fields ?? {})}`);
      if (level === 'warn' || level === 'error') this.#warnings.push(message);
    };
    return { debug: line('debug'), info: line('info'), warn: line('warn'), error: line('error') };
  }
}
