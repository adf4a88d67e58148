/** A job for the tests of threads, real and simulated: lists a directory. */

import type { Disk } from '../../src/env.ts';

export default function listFiles(job: { path: string }, disk: Disk, stopped: () => boolean): string {
  return `${disk.list(job.path).length} files, ${stopped() ? 'stopped' : 'not stopped'}`;
}
