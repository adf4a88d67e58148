/**
 * How long the engine holds the event loop under a mixed load with flushes and compactions: every turn does a few
 * writes, reads and short scans, and the time until the next turn begins is what a client's request would have waited.
 */

import { mkdirSync, rmSync } from 'node:fs';
import { parseArgs } from 'node:util';
import type { Batch, Cursor } from '../../src/engine/store.ts';
import { Found, lookup } from '../../src/engine/store.ts';
import { KvorumContender } from './contender-kvorum.ts';
import { KEY_BYTES, writeKey } from './engine-contenders.ts';
import { fixed, machine, markdownTable } from './statistics.ts';

const HELP = `npm run bench -- stalls [options]
  --seconds N      length of the load (default 60)
  --keys N         size of the key space (default 5000000)
  --buffer MIB     write buffer (default 64)
  --cache MIB      block cache (default 128)
  --directory D    where the store goes (default /tmp/kvorum-bench/stalls)
`;

const WRITES_A_TURN = 20;
const READS_A_TURN = 20;
const SCAN_KEYS = 20;
const LONG_TURN_MS = 10;
/** Upper ends of the histogram's classes. */
const CLASSES_MS = [0.25, 0.5, 1, 2, 5, 10, 20, 50, 100, Number.POSITIVE_INFINITY];

class Load {
  readonly contender: KvorumContender;
  readonly keys: number;
  readonly #batch: Batch;
  readonly #key = new Uint8Array(KEY_BYTES);
  readonly #found = new Found();
  readonly #value = new Uint8Array(100).fill(120);
  fetching = 0;
  operations = 0;
  refused = 0;

  constructor(contender: KvorumContender, keys: number) {
    this.contender = contender;
    this.keys = keys;
    this.#batch = contender.engine.newBatch();
  }

  turn(): void {
    const { engine } = this.contender;
    for (let i = 0; i < WRITES_A_TURN && engine.writeDelayMs === 0; i++) this.#write();
    if (engine.writeDelayMs > 0) this.refused++;
    for (let i = 0; i < READS_A_TURN; i++) this.#read();
    this.#scan();
    this.operations += WRITES_A_TURN + READS_A_TURN + 1;
  }

  #draw(): Uint8Array {
    writeKey(this.#key, 0, Math.floor(Math.random() * this.keys));
    return this.#key;
  }

  #write(): void {
    this.#batch.clear();
    this.#batch.put(this.#draw(), this.#value);
    this.contender.engine.write(this.#batch);
  }

  #read(): void {
    const key = this.#draw();
    if (this.contender.engine.get(key, KEY_BYTES, this.#found) !== lookup.MISS || this.fetching > 64) return;
    this.fetching++;
    void this.contender.engine.fetch(key.slice()).finally(() => {
      this.fetching--;
    });
  }

  #scan(): void {
    const cursor = this.contender.engine.cursor({});
    let said = cursor.seek(this.#draw());
    for (let i = 0; i < SCAN_KEYS && said === lookup.FOUND; i++) said = cursor.next();
    if (said === lookup.MISS && this.fetching < 64) void this.#loadAndClose(cursor);
    else cursor.close();
  }

  async #loadAndClose(cursor: Cursor): Promise<void> {
    this.fetching++;
    await cursor.load();
    this.fetching--;
    cursor.close();
  }
}

export async function run(words: readonly string[]): Promise<void> {
  const { values } = parseArgs({
    args: [...words],
    options: {
      seconds: { type: 'string', default: '60' },
      keys: { type: 'string', default: '5000000' },
      buffer: { type: 'string', default: '64' },
      cache: { type: 'string', default: '128' },
      directory: { type: 'string', default: '/tmp/kvorum-bench/stalls' },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    console.log(HELP);
    return;
  }
  rmSync(values.directory, { recursive: true, force: true });
  mkdirSync(values.directory, { recursive: true });
  const contender = new KvorumContender();
  const sizes = { writeBufferBytes: Number(values.buffer) << 20, blockCacheBytes: Number(values.cache) << 20 };
  await contender.open(values.directory, sizes);
  const load = new Load(contender, Number(values.keys));
  const counts = CLASSES_MS.map(() => 0);
  const sums = CLASSES_MS.map(() => 0);
  let longest = 0;
  let residentBytes = 0;
  const end = performance.now() + Number(values.seconds) * 1000;
  for (let before = performance.now(); before < end;) {
    load.turn();
    await new Promise((resolve) => setImmediate(resolve));
    const now = performance.now();
    const took = now - before;
    const at = CLASSES_MS.findIndex((upper) => took <= upper);
    counts[at] = (counts[at] as number) + 1;
    sums[at] = (sums[at] as number) + took;
    longest = Math.max(longest, took);
    before = now;
  }
  residentBytes = process.memoryUsage().rss;
  const turns = counts.reduce((sum, count) => sum + count, 0);
  const long = CLASSES_MS.reduce((sum, upper, i) => (upper > LONG_TURN_MS ? sum + (counts[i] as number) : sum), 0);
  console.log(
    `${await machine()}\n${turns} turns, ${load.operations} operations, ${load.refused} turns without writes`,
  );
  console.log(
    markdownTable(
      ['turn up to', 'turns', 'of a thousand', 'ms in all'],
      CLASSES_MS.map((upper, i) => [
        Number.isFinite(upper) ? `${upper} ms` : 'longer',
        String(counts[i]),
        fixed(((counts[i] as number) * 1000) / turns, 3),
        fixed(sums[i] as number, 0),
      ]),
    ),
  );
  console.log(
    `longest ${fixed(longest, 1)} ms; over ${LONG_TURN_MS} ms: ${fixed((long * 1000) / turns, 3)} of a thousand`,
  );
  console.log(`resident ${Math.round(residentBytes / 2 ** 20)} MiB`);
  console.log(contender.engine.metrics());
  await contender.close();
  rmSync(values.directory, { recursive: true, force: true });
}
