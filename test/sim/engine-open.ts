/** Opens the engine on a simulated disk, for the model and for directed tests. */

import { Engine } from '../../src/engine/engine.ts';
import type { EngineError } from '../../src/engine/engine-error.ts';
import type { EngineOptions, ThreadRules } from '../../src/engine/engine-options.ts';
import { FileManifest } from '../../src/engine/manifest-file.ts';
import type { StoreHooks } from '../../src/engine/store.ts';
import type { Disk, Log } from '../../src/env.ts';
import { silent } from '../support/silent-log.ts';
import type { EventLoop, Life } from './event-loop.ts';
import type { Prng } from './prng.ts';
import { SimThreads } from './threads.ts';

export const DIRECTORY = '/data';

export interface SimEngineOptions {
  readonly loop: EventLoop;
  readonly life: Life;
  readonly disk: Disk;
  readonly random: Prng;
  /** Silent by default. */
  readonly log?: Log;
  readonly directory?: string;
  readonly engine: Partial<EngineOptions>;
  readonly hooks?: StoreHooks;
  readonly rules?: ThreadRules;
  /** The manifest has a directory of its own, so that syncing its names does not sync those of tables and WALs. */
  readonly manifestApart?: boolean;
  /** Throws by default. */
  readonly onFatal?: (error: EngineError) => void;
}

function fail(error: EngineError): never {
  throw error;
}

/** Requires: whoever awaits it drives the loop (`loop.settle`). */
export function openSimEngine(options: SimEngineOptions): Promise<Engine> {
  const { loop, life, disk, random, log = silent } = options;
  return Engine.open({
    disk,
    threads: new SimThreads({ loop, life, disk, random: random.split('threads') }),
    clock: loop.clock,
    timers: life,
    random: random.split('engine'),
    log,
    directory: options.directory ?? DIRECTORY,
    options: options.engine,
    openManifest: (at) => FileManifest.open(disk, options.manifestApart === true ? `${at}/manifest` : at),
    ...(options.hooks === undefined ? {} : { hooks: options.hooks }),
    ...(options.rules === undefined ? {} : { rules: options.rules }),
    onFatal: options.onFatal ?? fail,
  });
}
