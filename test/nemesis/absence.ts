/**
 * `npm run absence -- [options]`: a node is down for a while of writes and comes back; how long until it holds everything
 * by the hints that the others kept, without anybody's help. Its own copies are read at level `one`, which repairs nothing.
 */

import { commandLine } from '../support/command-line.ts';
import { RawClient } from '../support/raw-client.ts';
import { RespSimple } from '../support/resp-decoder.ts';
import { World } from './world.ts';

const HELP = `npm run absence -- [options]
  --seconds N      how long the node is down (default 600)
  --rate N         writes a second meanwhile (default 2000)
  --keys N         keys that are written (default 100000)
  --nodes N        nodes (default 3)
  --appendfsync P  default everysec
`;

/** Writes of one tick of the load. */
const TICK_MS = 50;

/** Keys asked for at a time when the copies are compared. */
const CHUNK = 2_000;

/** After this the node counts as one that does not come round. */
const GIVE_UP_MS = 600_000;

const { values } = commandLine(
  HELP,
  {
    options: {
      seconds: { type: 'string', default: '600' },
      rate: { type: 'string', default: '2000' },
      keys: { type: 'string', default: '100000' },
      nodes: { type: 'string', default: '3' },
      appendfsync: { type: 'string', default: 'everysec' },
    },
  },
  ['seconds', 'rate', 'keys', 'nodes'],
);

async function sleep(ms: number): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, ms));
}

function keyOf(i: number): string {
  return `key:${i}`;
}

/** The last value that was acknowledged for each key; 0: none. */
class Written {
  readonly values: Uint32Array;
  failed = 0;

  constructor(keys: number) {
    this.values = new Uint32Array(keys);
  }

  async write(client: RawClient, items: readonly { readonly key: number; readonly value: number }[]): Promise<void> {
    const replies = await client.pipeline(items.map(({ key, value }) => ['SET', keyOf(key), String(value)]));
    for (const [i, reply] of replies.entries()) {
      const item = items[i] as (typeof items)[number];
      if (reply instanceof RespSimple) this.values[item.key] = item.value;
      else this.failed++;
    }
  }
}

/** Keys whose copy at this node is not the last value that was acknowledged. */
async function missing(client: RawClient, written: Written): Promise<number> {
  let count = 0;
  for (let from = 0; from < written.values.length; from += CHUNK) {
    const keys = Array.from({ length: Math.min(CHUNK, written.values.length - from) }, (_, i) => from + i);
    const replies = await client.pipeline(keys.map((key) => ['GET', keyOf(key)]));
    for (const [i, reply] of replies.entries()) {
      const value = written.values[keys[i] as number] as number;
      if (value !== 0 && reply !== String(value)) count++;
    }
  }
  return count;
}

async function main(): Promise<number> {
  const keys = Number(values.keys);
  const nodes = Number(values.nodes);
  const world = await World.start({ nodes, flags: ['--appendfsync', values.appendfsync], cuts: false });
  try {
    const writers = await Promise.all([0, 1].map((i) => RawClient.connect(world.address(i))));
    const written = new Written(keys);
    for (let from = 0; from < keys; from += CHUNK) {
      const count = Math.min(CHUNK, keys - from);
      await written.write(
        writers[0] as RawClient,
        Array.from({ length: count }, (_, i) => ({ key: from + i, value: 1 })),
      );
    }
    const down = nodes - 1;
    await world.kill(down);
    console.log(`${keys} keys; node ${down} is down for ${values.seconds} s of ${values.rate} writes a second`);
    let value = 1;
    let due = 0;
    const startMs = performance.now();
    const endMs = startMs + Number(values.seconds) * 1000;
    for (let tickMs = startMs; tickMs < endMs; tickMs += TICK_MS) {
      await sleep(Math.max(0, tickMs - performance.now()));
      due += (Number(values.rate) * TICK_MS) / 1000;
      const items = Array.from({ length: Math.floor(due) }, () => ({
        key: Math.floor(Math.random() * keys),
        value: ++value,
      }));
      due -= items.length;
      // Of one key only the last write of a tick, so that the order of two connections does not matter.
      const last = [...new Map(items.map((item) => [item.key, item])).values()];
      const half = last.length >> 1;
      await Promise.all([
        written.write(writers[0] as RawClient, last.slice(0, half)),
        written.write(writers[1] as RawClient, last.slice(half)),
      ]);
    }
    const tookS = (performance.now() - startMs) / 1000;
    console.log(`${value - 1} writes in ${tookS.toFixed(1)} s, ${written.failed} of them not acknowledged`);
    await world.restart(down);
    const backMs = performance.now();
    const reader = await RawClient.connect(world.address(down));
    await reader.call('KV.LEVEL', 'one');
    for (;;) {
      const left = await missing(reader, written);
      const sinceMs = performance.now() - backMs;
      console.log(`${(sinceMs / 1000).toFixed(1)} s after it is back: ${left} keys are not as they should be`);
      if (left === 0) return 0;
      if (sinceMs > GIVE_UP_MS) return 1;
      await sleep(500);
    }
  } finally {
    await world.stop();
  }
}

process.exitCode = await main();
