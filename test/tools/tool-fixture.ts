/** A data directory on the simulated disk, filled by the engine, and the tools run on it. */

import assert from 'node:assert/strict';
import { defaultPickerOptions } from '../../src/engine/compaction-picker.ts';
import type { Engine } from '../../src/engine/engine.ts';
import { FileManifest } from '../../src/engine/manifest-file.ts';
import { Found, lookup } from '../../src/engine/store.ts';
import { noProgress } from '../../src/tools/progress.ts';
import { runTool } from '../../src/tools/run-tool.ts';
import { SimDisk } from '../sim/disk.ts';
import { DIRECTORY, openSimEngine } from '../sim/engine-open.ts';
import { EventLoop, type Life } from '../sim/event-loop.ts';
import { Prng } from '../sim/prng.ts';
import { silent } from '../support/silent-log.ts';

export const NOW_MS = 1_700_000_000_000;
export const KEYS = 300;

export interface Machine {
  readonly loop: EventLoop;
  readonly sim: SimDisk;
  readonly random: Prng;
  life: Life;
}

export function machine(seed: number): Machine {
  const loop = new EventLoop();
  const random = new Prng(seed);
  return { loop, random, sim: new SimDisk({ loop, random: random.split('disk') }), life: loop.life() };
}

export function open(on: Machine): Promise<Engine> {
  return openAt(on, DIRECTORY);
}

export function openAt(on: Machine, directory: string): Promise<Engine> {
  on.life = on.loop.life();
  const opening = openSimEngine({
    loop: on.loop,
    life: on.life,
    disk: on.sim.mount(on.life),
    random: on.random,
    log: silent,
    directory,
    engine: {
      memtableBytes: 8192,
      diskReserveBytes: 0,
      fsync: 'always',
      closeFlushBytes: 1 << 20,
      picker: { ...defaultPickerOptions, level1Bytes: 8192, tableBytes: 4096 },
    },
    onFatal: (error) => assert.fail(error),
  });
  return on.loop.settle(opening);
}

export function key(index: number): Uint8Array {
  return Buffer.from(`key-${String(index).padStart(5, '0')}`);
}

export function value(index: number, round: number): Uint8Array {
  return Buffer.from(`${round}:${index}:${'x'.repeat(index % 90)}`);
}

/** What was written last for each key; deleted and never written ones are absent. */
export type Expected = Map<number, Uint8Array>;

export async function fill(on: Machine): Promise<Expected> {
  const engine = await open(on);
  const expected: Expected = new Map();
  for (let round = 0; round < 5; round++) {
    for (let index = round; index < KEYS; index += 1 + round) {
      const batch = engine.newBatch();
      if ((index + round) % 7 === 0) {
        batch.delete(key(index));
        expected.delete(index);
      } else {
        batch.put(key(index), value(index, round));
        expected.set(index, value(index, round));
      }
      engine.write(batch);
      await on.loop.advance(1);
    }
    if (round === 2) await on.loop.settle(engine.compact());
    if (round === 3) {
      const batch = engine.newBatch();
      batch.deleteRange(key(50), key(60));
      engine.write(batch);
      for (let index = 50; index < 60; index++) expected.delete(index);
    }
  }
  await on.loop.advance(100);
  await on.loop.settle(engine.close());
  return expected;
}

/** Runs a tool; what it printed and its exit code. */
export async function tool(on: Machine, ...argv: string[]): Promise<{ text: string; code: number }> {
  return toolUntil(on, Number.POSITIVE_INFINITY, ...argv);
}

/** As `tool`, on a disk that comes to its end at this operation. */
export async function toolUntil(
  on: Machine,
  crashAtOperation: number,
  ...argv: string[]
): Promise<{ text: string; code: number }> {
  on.life = on.loop.life();
  const disk = on.sim.mount(on.life);
  on.sim.crashAtOperation = crashAtOperation;
  const lines: string[] = [];
  const parts = {
    disk,
    openManifest: (directory: string) => FileManifest.open(disk, directory),
    print: (line: string) => lines.push(line),
    progress: noProgress,
  };
  const code = await on.loop.settle(runTool(argv, parts, NOW_MS));
  assert.equal(on.sim.openFiles, 0, `${argv.join(' ')} leaves files open`);
  return { text: lines.join('\n'), code };
}

export async function get(on: Machine, engine: Engine, index: number): Promise<Uint8Array | undefined> {
  const found = new Found();
  const wanted = key(index);
  for (;;) {
    const answer = engine.get(wanted, wanted.length, found);
    if (answer === lookup.ABSENT) return undefined;
    if (answer === lookup.FOUND) return found.bytes.slice(found.start, found.end);
    await on.loop.settle(engine.fetch(wanted));
  }
}

/** Number of keys whose value is not the expected one; each of those has an older one or none. */
export async function wrongKeys(on: Machine, expected: Expected): Promise<number> {
  const engine = await open(on);
  let wrong = 0;
  for (let index = 0; index < KEYS; index++) {
    const actual = await get(on, engine, index);
    const wanted = expected.get(index);
    if (Buffer.compare(actual ?? Buffer.of(0), wanted ?? Buffer.of(0)) === 0) continue;
    wrong++;
    const text = actual === undefined ? '' : Buffer.from(actual).toString();
    assert.match(text, new RegExp(`^([0-4]:${index}:x*)?$`), `key ${index} has a value that was never its own`);
  }
  await on.loop.settle(engine.close());
  return wrong;
}

export function paths(on: Machine, pattern: RegExp): string[] {
  return on.sim.paths.filter((path) => path.startsWith(`${DIRECTORY}/`) && pattern.test(path.slice(DIRECTORY.length)));
}
