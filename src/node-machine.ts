/** The machine and the process as Node knows them. */

import { arch, release, totalmem, type } from 'node:os';
import type { Machine } from './commands/machine.ts';
import { readBootId } from './env-node-boot.ts';

const ARCHITECTURES: Readonly<Record<string, string>> = { x64: 'x86_64', arm64: 'aarch64' };

export function readMachine(): Machine {
  return {
    processId: process.pid,
    system: `${type()} ${release()} ${ARCHITECTURES[arch()] ?? arch()}`,
    executable: process.execPath,
    runtime: `node ${process.version}`,
    totalMemoryBytes: totalmem(),
    bootId: readBootId(),
    memory() {
      const { rss, heapUsed, heapTotal, external } = process.memoryUsage();
      return { residentBytes: rss, heapBytes: heapUsed, heapTotalBytes: heapTotal, externalBytes: external };
    },
    cpu() {
      const { user, system } = process.cpuUsage();
      return { userUs: user, systemUs: system };
    },
  };
}
