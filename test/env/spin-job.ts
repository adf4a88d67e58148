/** A job that says that it runs, then waits to be stopped. */

import type { Disk } from '../../src/env.ts';

export default function spin(shared: Int32Array, _disk: Disk, stopped: () => boolean): number {
  Atomics.store(shared, 0, 1);
  while (!stopped()) Atomics.wait(shared, 0, 1, 1);
  return 7;
}
