/** Libraries that applications on Redis are built on, unmodified, on one node and on three. */

import { after, before, describe, test } from 'node:test';
import { type ClusterProcess, startCluster } from '../support/cluster-process.ts';
import { type ServerProcess, startKvorum } from '../support/server-process.ts';
import { libraryPrograms } from './library-programs.ts';

describe('on one node', () => {
  let server: ServerProcess;

  before(async () => {
    server = await startKvorum({ flags: ['--appendfsync', 'no'] });
  });

  after(() => server.stop());

  for (const [name, program] of Object.entries(libraryPrograms)) {
    test(name, { timeout: 60_000 }, () => program(() => server.port));
  }
});

describe('on three nodes', () => {
  let cluster: ClusterProcess;
  let next = 0;

  before(async () => {
    cluster = await startCluster({ nodes: 3, flags: ['--appendfsync', 'no'] });
  });

  after(() => cluster.stop());

  for (const [name, program] of Object.entries(libraryPrograms)) {
    test(name, { timeout: 120_000 }, () => program(() => cluster.node(next++ % 3).port));
  }
});
