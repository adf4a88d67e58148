import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { NodeDisk } from '../../src/env-node-disk.ts';
import { SimDisk } from '../sim/disk.ts';
import { EventLoop } from '../sim/event-loop.ts';
import { Prng } from '../sim/prng.ts';
import { diskContract } from '../support/disk-contract.ts';

diskContract('real disk', () => {
  const root = mkdtempSync(join(tmpdir(), 'kvorum-disk-'));
  return {
    disk: new NodeDisk(),
    root,
    settle: (promise) => promise,
    remove: () => rmSync(root, { recursive: true, force: true }),
  };
});

diskContract('simulated disk', () => {
  const loop = new EventLoop();
  const disk = new SimDisk({ loop, random: new Prng(1) }).mount(loop.life());
  disk.makeDirectory('/root');
  return { disk, root: '/root', settle: (promise) => loop.settle(promise), remove: () => {} };
});
