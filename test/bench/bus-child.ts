/** The answering side of the bus bench: a process with a bus that answers each request with as many bytes. */

import { createNodeEnv } from '../../src/env-node.ts';
import { busMethod } from '../../src/cluster/bus-method.ts';
import { Bus } from '../../src/cluster/bus.ts';

const quiet = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };

const bus = new Bus({
  env: createNodeEnv({ log: quiet }),
  identity: 'b'.repeat(40),
  address: '127.0.0.1:1',
  secret: 'bench',
  clusterId: () => 'bench',
  beforeFlush: () => undefined,
});
const reply = new Uint8Array(Number(process.argv[2] ?? 150)).fill(121);
bus.onRequest(busMethod.OWNER, (_arrival, answer) => answer(reply));
await bus.listen({ host: '127.0.0.1', port: 0 });
process.on('message', (message) => {
  if (message === 'cpu') process.send?.({ cpu: process.cpuUsage() });
});
process.on('disconnect', () => process.exit(0));
process.send?.({ port: bus.port });
