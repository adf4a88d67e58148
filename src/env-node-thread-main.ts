/**
 * What runs in a thread started by `NodeThreads`: imports the job module, then runs one job after another.
 * Jobs that wait when the thread is closed are answered with the code THREAD_CLOSED and never begun.
 */

import { parentPort, workerData } from 'node:worker_threads';
import { must } from './assert.ts';
import type { Disk } from './env.ts';
import { NodeDisk } from './env-node-disk.ts';
import { shapeThrown, type Outcome, type ThreadMessage, type ThreadStart } from './env-node-threads.ts';

interface JobModule {
  default(this: void, job: unknown, disk: Disk, stopped: () => boolean): unknown;
}

const port = must(parentPort, 'this module runs in a thread');
const start = workerData as ThreadStart;
const flag = new Int32Array(start.stopped);
const disk = new NodeDisk();
const stopped = (): boolean => Atomics.load(flag, 0) !== 0;
const { default: runJob } = (await import(start.moduleUrl)) as JobModule;

function outcomeOf(job: unknown): Outcome {
  if (stopped()) {
    return {
      thrown: {
        name: 'Error',
        message: 'the thread was closed before the job began',
        stack: undefined,
        fields: { code: 'THREAD_CLOSED' },
      },
    };
  }
  try {
    return { result: runJob(job, disk, stopped) };
  } catch (error) {
    return { thrown: shapeThrown(error) };
  }
}

port.on('message', (message: ThreadMessage) => {
  if ('close' in message) port.close();
  else port.postMessage(outcomeOf(message.job), []);
});
