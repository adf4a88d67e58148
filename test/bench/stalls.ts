/**
 * How long the engine holds the event loop under a mixed load with flushes and compactions: every turn does a few
 * writes, reads and short scans, and the time until the next turn begins is what a client's request would have waited
 * (turn-times.ts).
 */

import { mkdirSync, rmSync } from 'node:fs';
import type { Batch, Cursor } from '../../src/engine/store.ts';
import { Found, lookup } from '../../src/engine/store.ts';
import { resident } from './child.ts';
import { KvorumContender } from './contender-kvorum.ts';
import { KEY_BYTES, writeKey } from './engine-contenders.ts';
import { fixed, machine } from './statistics.ts';
import { measureTurns, turnTable } from './turn-times.ts';
import { commandLine } from '../support/command-line.ts';

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
/** Long turns that are listed one by one. */
const MAX_LONG_TOLD = 40;

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
  const { values } = commandLine(HELP, {
    args: words,
    options: {
      seconds: { type: 'string', default: '60' },
      keys: { type: 'string', default: '5000000' },
      buffer: { type: 'string', default: '64' },
      cache: { type: 'string', default: '128' },
      directory: { type: 'string', default: '/tmp/kvorum-bench/stalls' },
    },
  });
  rmSync(values.directory, { recursive: true, force: true });
  mkdirSync(values.directory, { recursive: true });
  const contender = new KvorumContender();
  const sizes = { writeBufferBytes: Number(values.buffer) << 20, blockCacheBytes: Number(values.cache) << 20 };
  await contender.open(values.directory, sizes);
  const load = new Load(contender, Number(values.keys));
  const long: string[] = [];
  const { clock, held } = await measureTurns(
    Number(values.seconds) * 1000,
    () => load.turn(),
    (ms, heldMs) => {
      if (long.length < MAX_LONG_TOLD) long.push(`${fixed(heldMs, 1)} of ${fixed(ms, 1)}`);
    },
  );
  const { now, peak } = resident();
  console.log(
    `${await machine()}\n${clock.turns} turns, ${load.operations} operations, ${load.refused} turns without writes`,
  );
  console.log(turnTable(clock, held));
  for (const [name, turns] of [
    ['on the clock', clock],
    ['held', held],
  ] as const)
    console.log(
      `${name}: longest ${fixed(turns.longestMs, 1)} ms; over ${LONG_TURN_MS} ms: ${fixed(turns.perMilleOver(LONG_TURN_MS), 3)} of a thousand`,
    );
  if (long.length > 0) console.log(`held for long (ms held of ms on the clock): ${long.join(', ')}`);
  console.log(`resident ${Math.round(now / 2 ** 20)} MiB, at most ${Math.round(peak / 2 ** 20)} MiB`);
  console.log(contender.engine.metrics());
  await contender.close();
  rmSync(values.directory, { recursive: true, force: true });
}
