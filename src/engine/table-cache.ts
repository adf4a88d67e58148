/**
 * The table cache: a `Table` for every live table, with a bounded number of open files and a budget for tails (filters
 * and indexes), and the loading of what readers missed.
 *
 * Invariants: one `Table` for each number; loads of the same thing are one read; `tailBytes` is the sum over the tables
 * whose tail is in memory. Tails are dropped by the clock algorithm; one that was just loaded stays until the second
 * turn end, whatever the budget says.
 */

import type { Clock, Disk, DiskFile, Timers } from '../env.ts';
import { DiskError } from '../env.ts';
import { BlockCache } from './block-cache.ts';
import type { Frame } from './block-frames.ts';
import { EngineError } from './engine-error.ts';
import { KeyIndex } from './key-index.ts';
import { MAX_BYTES_NOW, ReadPace } from './read-pace.ts';
import { openPiece, PARTITION_BLOCKS, tableDamage, tablePath, type TableMeta } from './sstable-format.ts';
import type { KeyPrefix } from './sstable-writer.ts';
import { MISSING_TAIL, parseTail, Table, type TableTail } from './sstable-reader.ts';

export interface TableCacheOptions {
  readonly disk: Disk;
  readonly directory: string;
  /** Without one nothing is read at once (read-pace.ts). */
  readonly clock?: Clock;
  readonly timers: Pick<Timers, 'atTurnEnd'>;
  readonly blockCacheBytes: number;
  readonly tailCacheBytes: number;
  readonly maxOpenFiles: number;
  /** For tests: memory of dropped blocks is overwritten, so that who still reads it is found out. */
  readonly scrubBlocks?: boolean;
  /** The prefixes that filters of new tables hold. */
  readonly prefix?: KeyPrefix | undefined;
  /** Called once for each table that turns out to be damaged. */
  readonly onDamage: (meta: TableMeta, error: EngineError) => void;
}

/** How often bytes that look damaged are read before their table counts as damaged. */
const READ_ATTEMPTS = 3;

export const defaultTableCacheOptions = {
  blockCacheBytes: 128 << 20,
  // Filters and indexes of about 250 million keys, and only as much as there is of them. Where they do not fit, nearly every
  // look-up loads one: with 128 MiB a get over 16 GB of small records took 110 us instead of 4.
  tailCacheBytes: 512 << 20,
  maxOpenFiles: 512,
};

/** Something to be read: bytes [offset, offset + length) of a table's file, and who takes them. */
interface Piece {
  readonly offset: number;
  readonly length: number;
  /** It is one block. */
  readonly isBlock: boolean;
  /**
   * `count`: how many bytes came. `frame`: the memory of `bytes`, if it is a frame; true when it is taken over. Throws
   * `corruption`.
   */
  take(bytes: Uint8Array, count: number, frame: Frame | undefined): boolean;
}

export class TableCache {
  readonly blocks: BlockCache;
  readonly pace: ReadPace;
  tailBytes = 0;
  tailLoads = 0;
  /** Uses of blocks by those who only bring in what others will read. */
  looks = 0;
  readonly #options: TableCacheOptions;
  readonly #tables = new Map<number, Table>();
  /** In the order of their last use, once half of those that may be open are. */
  readonly #files = new Map<number, DiskFile>();
  readonly #loading = new Map<string, Promise<void>>();
  /** Tables with a tail, and where the clock's hand is. */
  #withTail: Table[] = [];
  #hand = 0;
  #turn = 0;
  #turnsToCount = 0;
  /** Uses of blocks of tables that are gone. */
  #forgottenUses = 0;

  constructor(options: TableCacheOptions) {
    this.#options = options;
    this.blocks = new BlockCache(options.blockCacheBytes, options.timers, options.scrubBlocks);
    this.pace = new ReadPace(options.clock, options.timers, options.disk);
  }

  get prefix(): KeyPrefix | undefined {
    return this.#options.prefix;
  }

  get openFiles(): number {
    return this.#files.size;
  }

  /**
   * Reads of blocks that found them in memory. A block that was loaded is found by whoever missed it, which is no hit.
   */
  get blockHits(): number {
    let uses = this.#forgottenUses;
    for (const table of this.#tables.values()) uses += table.uses;
    return Math.max(0, uses - this.blocks.misses - this.looks);
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
    this.#forgottenUses += table.uses;
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

  /** Keeps what a load has brought, until the returned function is called, for a reader that needs several loads. */
  hold(table: Table, missing: number): () => void {
    if (missing === MISSING_TAIL) {
      table.tailHolds++;
      return () => {
        table.tailHolds--;
        this.#pinTail(table);
      };
    }
    const block = missing < MISSING_TAIL ? table.partitions[-2 - missing] : table.blocks[missing];
    if (block === undefined) return () => {};
    this.blocks.hold(block);
    return () => this.blocks.letGo(block);
  }

  async #loadOne(table: Table, missing: number, readAheadBytes: number): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      const piece = this.#pieceFor(table, missing, readAheadBytes);
      if (piece === undefined) return;
      const frame = piece.isBlock ? this.blocks.frameFor(piece.length) : undefined;
      const bytes = frame === undefined ? new Uint8Array(piece.length) : frame.bytes;
      let taken = false;
      try {
        taken = piece.take(bytes, await this.#file(table.meta.number).read(bytes, piece.offset), frame);
        return;
      } catch (error) {
        this.#judge(table, error, attempt);
      } finally {
        if (frame !== undefined && !taken) this.blocks.giveBack(frame);
      }
    }
  }

  /**
   * As `load`, at once, when reads are quick at present (read-pace.ts). False: nothing was done. Throws as `load` rejects.
   */
  loadNow(table: Table, missing: number, readAheadBytes = 0): boolean {
    const startUs = this.pace.begin();
    if (startUs < 0 || this.#tables.get(table.meta.number) !== table) return false;
    if (table.damage !== undefined) throw table.damage;
    if (missing >= 0 && readAheadBytes === 0 && this.#readBlock(table, missing)) {
      this.pace.end(startUs);
      return true;
    }
    for (let attempt = 1; ; attempt++) {
      const piece = this.#pieceFor(table, missing, readAheadBytes);
      if (piece === undefined) return true;
      if (piece.length > MAX_BYTES_NOW) return false;
      const frame = piece.isBlock ? this.blocks.frameFor(piece.length) : undefined;
      const bytes = frame === undefined ? new Uint8Array(piece.length) : frame.bytes;
      let taken = false;
      try {
        taken = piece.take(bytes, this.#file(table.meta.number).readSync(bytes, piece.offset), frame);
        this.pace.end(startUs);
        return true;
      } catch (error) {
        this.#judge(table, error, attempt);
      } finally {
        if (frame !== undefined && !taken) this.blocks.giveBack(frame);
      }
    }
  }

  /**
   * The usual case of `loadNow`, which allocates nothing that it need not: one block of which all but itself is in memory.
   * False: it is not that, or something is wrong; the long way finds out.
   */
  #readBlock(table: Table, ordinal: number): boolean {
    const { tail } = table;
    if (tail === undefined) return false;
    let index: KeyIndex | undefined = tail.index;
    let at = ordinal;
    if (tail.twoLevel) {
      index = table.partition(Math.floor(ordinal / PARTITION_BLOCKS));
      at = ordinal % PARTITION_BLOCKS;
      if (index === undefined) return false;
    }
    const { number } = table.meta;
    const offset = index.offset(at);
    const length = index.offset(at + 1) - offset;
    const frame = this.blocks.frameFor(length);
    if (frame === undefined) return false;
    let payload: Uint8Array | undefined;
    try {
      if (this.#file(number).readSync(frame.bytes, offset) === length)
        payload = openPiece(frame.bytes, 0, length, number, offset);
    } catch {
      payload = undefined;
    }
    const isInFrame = payload !== undefined && payload.buffer === frame.bytes.buffer;
    if (!isInFrame) this.blocks.giveBack(frame);
    if (payload === undefined) return false;
    this.blocks.insert(table.blocks, ordinal, payload, isInFrame ? frame : undefined);
    return true;
  }

  /** After a load that failed: returns when it should be tried again, since one bad transfer is not a bad table. */
  #judge(table: Table, error: unknown, attempt: number): void {
    const damage = damageOf(error, table.meta.number);
    if (damage === undefined) throw error;
    if (attempt < READ_ATTEMPTS) return;
    this.#quarantine(table, damage);
    throw table.damage ?? damage;
  }

  #pieceFor(table: Table, missing: number, readAheadBytes: number): Piece | undefined {
    if (table.tail === undefined || missing === MISSING_TAIL) return this.#tailPiece(table);
    if (missing < MISSING_TAIL) return this.#partitionPiece(table, -2 - missing);
    return this.#blocksPiece(table, missing, readAheadBytes);
  }

  /** Marks a table as damaged, also when someone else has found it to be so. */
  quarantine(number: number, damage: EngineError): void {
    const table = this.#tables.get(number);
    if (table !== undefined) this.#quarantine(table, damage);
  }

  #quarantine(table: Table, damage: EngineError): void {
    if (table.damage !== undefined) return;
    // Whoever meets it is told what helps.
    table.damage = new EngineError(
      'corruption',
      `${damage.message}; stop the server and run \`kvorum repair\``,
      damage,
    );
    this.#options.onDamage(table.meta, damage);
  }

  #tailPiece(table: Table): Piece | undefined {
    if (table.tail !== undefined) return undefined;
    const { bytes: fileBytes, tailBytes, number } = table.meta;
    const offset = fileBytes - tailBytes;
    return {
      offset,
      length: tailBytes,
      isBlock: false,
      take: (bytes, count) => {
        const tail = parseTail(whole(bytes, count, number, offset), number, fileBytes);
        if (this.#tables.get(number) !== table || table.tail !== undefined) return false;
        this.#keepTail(table, tail);
        this.tailLoads++;
        return false;
      },
    };
  }

  #keepTail(table: Table, tail: TableTail): void {
    table.setTail(tail);
    this.#pinTail(table);
    this.#withTail.push(table);
    this.tailBytes += tailSize(tail);
    this.#dropTails();
  }

  #partitionPiece(table: Table, partition: number): Piece | undefined {
    const { tail } = table;
    if (tail === undefined) return this.#tailPiece(table);
    const { number } = table.meta;
    const offset = tail.index.offset(partition);
    const length = tail.index.offset(partition + 1) - offset;
    return {
      offset,
      length,
      isBlock: false,
      take: (bytes, count) => {
        const payload = openPiece(whole(bytes, count, number, offset), 0, length, number, offset);
        if (table.partitions[partition]?.bytes !== undefined || this.#tables.get(number) !== table) return false;
        this.blocks.insert(table.partitions, partition, payload, undefined, KeyIndex.parse(payload));
        return false;
      },
    };
  }

  #blocksPiece(table: Table, ordinal: number, readAheadBytes: number): Piece | undefined {
    const { tail } = table;
    if (tail === undefined) return this.#tailPiece(table);
    const { number } = table.meta;
    let index = tail.index;
    let first = ordinal;
    if (tail.twoLevel) {
      const partition = Math.floor(ordinal / PARTITION_BLOCKS);
      const cached = table.partition(partition);
      if (cached === undefined) return this.#partitionPiece(table, partition);
      index = cached;
      first = ordinal % PARTITION_BLOCKS;
    }
    const offset = index.offset(first);
    let end = first + 1;
    while (end < index.count && index.offset(end + 1) - offset <= readAheadBytes) end++;
    const take = (bytes: Uint8Array, count: number, frame: Frame | undefined): boolean => {
      whole(bytes, count, number, offset);
      let taken = false;
      for (let i = first; i < end; i++) {
        const at = ordinal + i - first;
        if (table.blocks[at]?.bytes !== undefined || this.#tables.get(number) !== table) continue;
        const start = index.offset(i) - offset;
        const payload = openPiece(bytes, start, index.offset(i + 1) - offset, number, offset + start);
        if (payload.buffer !== bytes.buffer) {
          this.blocks.insert(table.blocks, at, payload);
        } else if (end - first === 1) {
          this.blocks.insert(table.blocks, at, payload, frame);
          taken = true;
        } else {
          this.#insertCopy(table, at, payload);
        }
      }
      return taken;
    };
    return { offset, length: index.offset(end) - offset, isBlock: end - first === 1, take };
  }

  /** Puts in a block that was read together with others: a view of these bytes would keep all of them in memory. */
  #insertCopy(table: Table, ordinal: number, payload: Uint8Array): void {
    const frame = this.blocks.frameFor(payload.length);
    if (frame === undefined) {
      this.blocks.insert(table.blocks, ordinal, payload.slice());
      return;
    }
    frame.bytes.set(payload);
    this.blocks.insert(table.blocks, ordinal, frame.bytes, frame);
  }

  #file(number: number): DiskFile {
    const { maxOpenFiles } = this.#options;
    let file = this.#files.get(number);
    // Their order matters once there are many.
    if (file !== undefined && this.#files.size <= maxOpenFiles >> 1) return file;
    if (file === undefined) file = this.#options.disk.open(tablePath(this.#options.directory, number), 'read');
    else this.#files.delete(number);
    this.#files.set(number, file);
    if (this.#files.size > maxOpenFiles) {
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
      if (!table.tailUsed && table.tailHolds === 0 && table.tailPinnedUntil <= this.#turn) {
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

  #pinTail(table: Table): void {
    table.tailPinnedUntil = this.#turn + 2;
    this.#countTurns();
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

function whole(bytes: Uint8Array, count: number, number: number, offset: number): Uint8Array {
  if (count !== bytes.length)
    throw tableDamage(number, offset, `the file ends after ${count} of ${bytes.length} bytes`);
  return bytes;
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
