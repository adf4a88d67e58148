/** A process that is a node of the bus and nothing else: answers what it is asked with the same bytes. */

import { busMethod } from '../../src/cluster/bus-method.ts';
import { Bus } from '../../src/cluster/bus.ts';
import { createNodeEnv } from '../../src/env-node.ts';

const quiet = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };
const [name = 'child', port = '0'] = process.argv.slice(2);

const bus = new Bus({
  env: createNodeEnv({ log: quiet }),
  identity: name,
  address: `127.0.0.1:${port}`,
  secret: 'sockets',
  clusterId: () => 'sockets',
  beforeFlush: () => undefined,
});
bus.onRequest(busMethod.OWNER, ({ message }, answer) => answer(message.payload.slice()));
await bus.listen({ host: '127.0.0.1', port: Number(port) });
process.on('disconnect', () => process.exit(0));
process.send?.(bus.port);
