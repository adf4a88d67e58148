/** MULTI … EXEC from many connections, which redis-benchmark cannot send, and what the servers used meanwhile. */

import type { ServerProcess } from '../support/server-process.ts';
import { encodeCommand, RawClient } from '../support/raw-client.ts';
import { RespError } from '../support/resp-decoder.ts';
import { cpuUs } from './process-cpu.ts';
import type { Measured, Shape } from './redis-benchmark.ts';

/**
 * Runs `shape.requests` transactions, `shape.pipeline` of them sent together; the clients are spread over `asked`.
 * `commands` makes those of one transaction from a number below `shape.keys`. Throws at an error reply.
 */
export async function measureTransactions(
  asked: readonly ServerProcess[],
  servers: readonly ServerProcess[],
  shape: Shape,
  commands: (number: number) => readonly (readonly string[])[],
): Promise<Measured> {
  const cpu = (): number => servers.reduce((sum, server) => sum + cpuUs(server.pid), 0);
  const latencies: number[] = [];
  let left = shape.requests;
  const clients = await Promise.all(
    Array.from({ length: shape.clients }, (_, i) =>
      RawClient.connect({ port: (asked[i % asked.length] as ServerProcess).port }),
    ),
  );
  const run = async (client: RawClient): Promise<void> => {
    while (left > 0) {
      const count = Math.min(shape.pipeline, left);
      left -= count;
      const sent: Buffer[] = [];
      let replies = 0;
      for (let i = 0; i < count; i++) {
        const inside = commands(Math.floor(Math.random() * Math.max(1, shape.keys)));
        sent.push(...[['MULTI'], ...inside, ['EXEC']].map((words) => encodeCommand(words)));
        replies += inside.length + 2;
      }
      const started = performance.now();
      client.send(Buffer.concat(sent));
      for (let i = 0; i < replies; i++) {
        const reply = await client.reply();
        if (reply instanceof RespError) throw new Error(reply.message);
      }
      latencies.push(performance.now() - started);
    }
  };
  const before = cpu();
  const started = performance.now();
  await Promise.all(clients.map(run));
  const seconds = (performance.now() - started) / 1000;
  const used = cpu() - before;
  await Promise.all(clients.map((client) => client.close()));
  latencies.sort((a, b) => a - b);
  const at = (share: number): number => latencies[Math.floor((latencies.length - 1) * share)] ?? Number.NaN;
  return { perSecond: shape.requests / seconds, p50Ms: at(0.5), p99Ms: at(0.99), cpuUs: used / shape.requests };
}
