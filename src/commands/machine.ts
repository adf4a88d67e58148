/** What INFO tells of the process and the machine it runs on. */

export interface Machine {
  readonly processId: number;
  /** `Linux 6.1.0 x86_64`. */
  readonly system: string;
  readonly executable: string;
  readonly runtime: string;
  readonly totalMemoryBytes: number;
  /** Another one each time that the machine has started; empty where there is none. */
  readonly bootId: string;
  /** Bytes: of the process, of the JavaScript heap, of buffers outside it. */
  memory(): { residentBytes: number; heapBytes: number; heapTotalBytes: number; externalBytes: number };
  /** Microseconds of CPU used so far: of the process. */
  cpu(): { userUs: number; systemUs: number };
}

/** A machine that is none: for tests and the simulator. */
export const NO_MACHINE: Machine = {
  processId: 1,
  system: 'none',
  executable: 'kvorum',
  runtime: 'none',
  totalMemoryBytes: 0,
  bootId: 'none',
  memory: () => ({ residentBytes: 0, heapBytes: 0, heapTotalBytes: 0, externalBytes: 0 }),
  cpu: () => ({ userUs: 0, systemUs: 0 }),
};
