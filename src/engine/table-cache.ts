/**
 * The table cache: a `Table` for every live table, with a bounded number of open files and a budget for tails (filters
 * and indexes), and the loading of what readers missed.
 *
 * Invariants: one `Table` for each number; loads of the same thing are one read; `tailBytes` is the sum over the tables
 * whose tail is in memory. Tails are dropped by the clock algorithm; one that was just loaded stays until the second
 * turn end, whatever the budget says.
 */

import type { Disk, DiskFile, Timers } from '../env.ts';
import { DiskError } from '../env.ts';
import { BlockCache } from './block-cache.ts';
import { EngineError } from './engine-error.ts';
import { KeyIndex } from './key-index.ts';
import { openPiece, PARTITION_BLOCKS, tableDamage, tablePath, type TableMeta } from './sstable-format.ts';
import { MISSING_TAIL, parseTail, Table, type TableTail } from './sstable-reader.ts';

export interface TableCacheOptions {
  readonly disk: Disk;
  readonly directory: string;
  readonly timers: Pick<Timers, 'atTurnEnd'>;
  readonly blockCacheBytes: number;
  readonly tailCacheBytes: number;
  readonly maxOpenFiles: number;
  /** Called once for each table that turns out to be damaged. */
  readonly onDamage: (meta: TableMeta, error: EngineError) => void;
}

export const defaultTableCacheOptions = {
  blockCacheBytes: 128 << 20,
  tailCacheBytes: 64 << 20,
  maxOpenFiles: 512,
};

export class TableCache {
  readonly blocks: BlockCache;
  tailBytes = 0;
  tailLoads = 0;
  readonly #options: TableCacheOptions;
  readonly #tables = new Map<number, Table>();
  /** In the order of their last use. */
  readonly #files = new Map<number, DiskFile>();
  readonly #loading = new Map<string, Promise<void>>();
  /** Tables with a tail, and where the clock's hand is. */
  #withTail: Table[] = [];
  #hand = 0;
  #turn = 0;
  #turnsToCount = 0;

  constructor(options: TableCacheOptions) {
    this.#options = options;
    this.blocks = new BlockCache(options.blockCacheBytes, options.timers);
  }

  get openFiles(): number {
    return this.#files.size;
  }

  /** The table with this description. */
  table(meta: TableMeta): Table {
    const known = this.#tables.get(meta.number);
    if (known !== undefined) return known;
    const table = new Table(meta);
    this.#tables.set(meta.number, table);
    return table;
  }

  /** Forgets a table that no version names any more, with all that is in memory of it. */
  forget(number: number): void {
    const table = this.#tables.get(number);
    if (table === undefined) return;
    this.#tables.delete(number);
    this.#dropTail(table);
    this.blocks.drop(table.blocks);
    this.blocks.drop(table.partitions);
    this.#files.get(number)?.close();
    this.#files.delete(number);
  }

  close(): void {
    for (const number of this.#tables.keys()) this.forget(number);
  }

  /**
   * Loads what was missing (`Table.missing`), with up to `readAheadBytes` of what follows. Rejects with `corruption`
   * when it is damaged and with a `DiskError` when it cannot be read.
   */
  load(table: Table, missing: number, readAheadBytes = 0): Promise<void> {
    if (table.damage !== undefined) return Promise.reject(table.damage);
    const name = `${table.meta.number}:${missing}`;
    const running = this.#loading.get(name);
    if (running !== undefined) return running;
    const load = this.#loadOne(table, missing, readAheadBytes).finally(() => this.#loading.delete(name));
    this.#loading.set(name, load);
    return load;
  }

  async #loadOne(table: Table, missing: number, readAheadBytes: number): Promise<void> {
    try {
      if (missing === MISSING_TAIL) await this.#loadTail(table);
      else if (missing < MISSING_TAIL) await this.#loadPartition(table, -2 - missing);
      else await this.#loadBlocks(table, missing, readAheadBytes);
    } catch (error) {
      const damage = damageOf(error, table.meta.number);
      if (damage === undefined) throw error;
      this.#quarantine(table, damage);
      throw damage;
    }
  }

  /** Marks a table as damaged, also when someone else has found it to be so. */
  quarantine(number: number, damage: EngineError): void {
    const table = this.#tables.get(number);
    if (table !== undefined) this.#quarantine(table, damage);
  }

  #quarantine(table: Table, damage: EngineError): void {
    if (table.damage !== undefined) return;
    table.damage = damage;
    this.#options.onDamage(table.meta, damage);
  }

  async #loadTail(table: Table): Promise<void> {
    if (table.tail !== undefined) return;
    const { bytes, tailBytes, number } = table.meta;
    const tail = parseTail(await this.#read(table, bytes - tailBytes, tailBytes), number, bytes);
    if (this.#tables.get(number) !== table || table.tail !== undefined) return;
    table.setTail(tail);
    table.tailPinnedUntil = this.#turn + 2;
    this.#countTurns();
    this.#withTail.push(table);
    this.tailBytes += tailSize(tail);
    this.tailLoads++;
    this.#dropTails();
  }

  async #loadPartition(table: Table, partition: number): Promise<void> {
    const tail = table.tail;
    if (tail === undefined) return this.#loadTail(table);
    const offset = tail.index.offset(partition);
    const length = tail.index.offset(partition + 1) - offset;
    const payload = openPiece(await this.#read(table, offset, length), 0, length, table.meta.number, offset);
    if (table.partitions[partition]?.bytes !== undefined || this.#tables.get(table.meta.number) !== table) return;
    this.blocks.insert(table.partitions, partition, payload, KeyIndex.parse(payload));
  }

  async #loadBlocks(table: Table, ordinal: number, readAheadBytes: number): Promise<void> {
    const tail = table.tail;
    if (tail === undefined) return this.#loadTail(table);
    let index = tail.index;
    let first = ordinal;
    if (tail.twoLevel) {
      const partition = Math.floor(ordinal / PARTITION_BLOCKS);
      const cached = table.partition(partition);
      if (cached === undefined) return this.#loadPartition(table, partition);
      index = cached;
      first = ordinal % PARTITION_BLOCKS;
    }
    const offset = index.offset(first);
    let end = first + 1;
    while (end < index.count && index.offset(end + 1) - offset <= readAheadBytes) end++;
    const bytes = await this.#read(table, offset, index.offset(end) - offset);
    for (let i = first; i < end; i++) {
      const at = ordinal + i - first;
      if (table.blocks[at]?.bytes !== undefined || this.#tables.get(table.meta.number) !== table) continue;
      const start = index.offset(i) - offset;
      const payload = openPiece(bytes, start, index.offset(i + 1) - offset, table.meta.number, offset + start);
      // A view would keep everything that was read with it in memory.
      const own = payload.buffer === bytes.buffer && end - first > 1 ? payload.slice() : payload;
      this.blocks.insert(table.blocks, at, own);
    }
  }

  async #read(table: Table, offset: number, length: number): Promise<Uint8Array> {
    const target = new Uint8Array(length);
    const count = await this.#file(table.meta.number).read(target, offset);
    if (count !== length)
      throw tableDamage(table.meta.number, offset, `the file ends after ${count} of ${length} bytes`);
    return target;
  }

  #file(number: number): DiskFile {
    let file = this.#files.get(number);
    if (file === undefined) file = this.#options.disk.open(tablePath(this.#options.directory, number), 'read');
    else this.#files.delete(number);
    this.#files.set(number, file);
    if (this.#files.size > this.#options.maxOpenFiles) {
      const [oldest, oldestFile] = this.#files.entries().next().value as [number, DiskFile];
      this.#files.delete(oldest);
      oldestFile.close();
    }
    return file;
  }

  #dropTails(): void {
    for (let tried = 0; this.tailBytes > this.#options.tailCacheBytes && tried < 2 * this.#withTail.length; tried++) {
      if (this.#hand >= this.#withTail.length) this.#hand = 0;
      const table = this.#withTail[this.#hand] as Table;
      if (!table.tailUsed && table.tailPinnedUntil <= this.#turn) {
        this.#dropTail(table);
      } else {
        table.tailUsed = false;
        this.#hand++;
      }
    }
  }

  #dropTail(table: Table): void {
    if (table.tail === undefined) return;
    this.tailBytes -= tailSize(table.tail);
    table.tail = undefined;
    const at = this.#withTail.indexOf(table);
    this.#withTail[at] = this.#withTail.at(-1) as Table;
    this.#withTail.pop();
  }

  #countTurns(): void {
    const idle = this.#turnsToCount === 0;
    this.#turnsToCount = 3;
    if (idle) this.#options.timers.atTurnEnd(() => this.#turnEnd());
  }

  #turnEnd(): void {
    this.#turn++;
    this.#turnsToCount--;
    if (this.#turnsToCount > 0) this.#options.timers.atTurnEnd(() => this.#turnEnd());
    else this.#dropTails();
  }
}

function tailSize(tail: TableTail): number {
  return tail.bytes.length + tail.index.extraBytes;
}

/** What a failed load says about the table itself: a file that is not there is damage, a disk that says no is not. */
function damageOf(error: unknown, number: number): EngineError | undefined {
  if (error instanceof EngineError && error.code === 'corruption') return error;
  if (error instanceof DiskError && error.code === 'ENOENT') return tableDamage(number, 0, 'the file is not there');
  return undefined;
}
