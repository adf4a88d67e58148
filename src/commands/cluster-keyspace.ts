/**
 * Commands over whole databases in a cluster: DBSIZE, SCAN, KEYS, RANDOMKEY, KV.RANGE, FLUSHDB, FLUSHALL speak for all
 * nodes, whichever is asked. They see what a quorum of the owners of each slot has.
 *
 * A cursor of SCAN belongs to the node that gave it; any other one starts the cursor's slot again (scan-tokens.ts).
 * A flush sets one mark for each slot that has rows: a row written while it runs may stay or go, as if it had been
 * written after or before; every row that was acknowledged before it began is gone when it has answered.
 */

import { compareBytes } from '../bytes.ts';
import { DamagedError } from '../cluster/byte-cursor.ts';
import { SLOT_COUNT } from '../cluster/slot.ts';
import type { Coordinator, ReadOutcome } from '../repl/coordinator.ts';
import { raiseMarks } from '../repl/flush-core.ts';
import { visibleSibling } from '../repl/sibling-codec.ts';
import { decodeRowState, isLiveState, type RowState } from '../repl/row-state.ts';
import { rowType } from '../repl/head.ts';
import { markRowOf, type RowName } from '../repl/owner-message.ts';
import type { MergedRows, RowLists } from '../repl/row-lists.ts';
import { keyOfHead } from '../repl/row-key.ts';
import { rowNameOf } from '../repl/row-namer.ts';
import { EVERY_DATABASE } from '../repl/slot-marks.ts';
import { type ListedRow, MAX_LISTED } from '../repl/slot-list.ts';
import type { Version } from '../repl/version.ts';
import type { Args } from './args.ts';
import type { Client } from './client.ts';
import type { Command } from './command.ts';
import { CommandError } from './errors.ts';
import { DAMAGED_ROW, failureText, NO_QUORUM, NO_SWAP } from './errors-cluster.ts';
import { globMatches, matchesAll } from './glob.ts';
import { checkFlushOption } from './key-database.ts';
import { typeName } from './key-row.ts';
import { endOf, isWithin, RANGE_KEYS_MAX, rangeOptions, type RangeOptions, slotOfRange } from './range.ts';
import { ErrorReply, OK, ownBytes, type Reply } from './reply.ts';
import { cursorOf, KEYS_MAX, type ScanFilter, scanFilter, slotOfPattern } from './scan.ts';
import { cursorOfSlot, slotOfCursor } from './scan-tokens.ts';
import { likelyRows, WholeWanted } from './script-wholes.ts';
import type { Server } from './server-state.ts';

/** Slots that one step of SCAN lists at once; each step without rows doubles them. */
const FIRST_WINDOW_SLOTS = 1_024;

/** Rounds of questions in one call of SCAN: then it returns with what it has, perhaps nothing. */
const MAX_SCAN_ROUNDS = 12;

/** How often one script may ask: each time it runs again from its start. */
const MAX_TOLD = 1_000;

/** Marks that are set at a time. */
const FLUSH_WIDTH = 256;

/** Pages of a slot that RANDOMKEY turns over at most. */
const MAX_RANDOM_PAGES = 64;

/** Values read at a time for WITHVALUES. */
const VALUES_WIDTH = 256;

export class ClusterKeyspace {
  private readonly server: Server;
  private readonly coordinator: Coordinator;
  private readonly lists: RowLists;
  private readonly requestTimeoutMs: () => number;

  constructor(options: { server: Server; coordinator: Coordinator; lists: RowLists; requestTimeoutMs(): number }) {
    this.server = options.server;
    this.coordinator = options.coordinator;
    this.lists = options.lists;
    this.requestTimeoutMs = () => options.requestTimeoutMs();
  }

  /** Runs a command over a whole database, or all of them. Its words must stay as they are. An error is a reply. */
  async run(client: Client, command: Command, args: Args, logical = client.database): Promise<Reply> {
    try {
      return await this.reply(client, command, args, logical);
    } catch (thrown) {
      if (thrown instanceof CommandError) return thrown.reply;
      if (thrown instanceof DamagedError) return new ErrorReply(DAMAGED_ROW);
      throw thrown;
    }
  }

  private async reply(client: Client, command: Command, args: Args, logical: number): Promise<Reply> {
    const database = this.server.keyspace.physicalDatabase(logical);
    switch (command.name) {
      case 'dbsize':
        return (await this.counts(database)).reduce((sum, count) => sum + count, 0);
      case 'scan':
        return await this.scan(database, cursorOf(args), scanFilter(args));
      case 'keys':
        return await this.keys(database, args.at(1));
      case 'randomkey':
        return await this.randomKey(database);
      case 'kv.range':
        return await this.range(client, database, args);
      case 'flushdb':
        checkFlushOption(args);
        return await this.flush(database);
      case 'flushall':
        checkFlushOption(args);
        return await this.flush(EVERY_DATABASE);
      default:
        return new ErrorReply(NO_SWAP);
    }
  }

  /** Tells a script what it asked about a whole database; the rows that it is likely to go to. */
  async tell(client: Client, wanted: WholeWanted): Promise<RowName[]> {
    const { command, args, database } = wanted;
    const reply = ownBytes(await this.run(client, command, args, database));
    wanted.answer(reply);
    const physical = this.server.keyspace.physicalDatabase(database);
    return likelyRows([reply], (key) => rowNameOf(physical, key, 0, key.length));
  }

  /** Runs `work`, again each time that a script within it has asked about a whole database and was told. */
  async telling<T>(client: Client, tooOften: T, work: (likely: readonly RowName[]) => Promise<T>): Promise<T> {
    const likely: RowName[] = [];
    for (let round = 0; round <= MAX_TOLD; round++) {
      try {
        return await work(likely);
      } catch (thrown) {
        if (!(thrown instanceof WholeWanted)) throw thrown;
        for (const row of await this.tell(client, thrown)) likely.push(row);
      }
    }
    return tooOften;
  }

  // --- counts and lists --------------------------------------------------------------------------------------------

  private async counts(database: number): Promise<Uint32Array> {
    const counts = await this.lists.counts({ from: 0, end: SLOT_COUNT }, database);
    if (counts === undefined) throw new CommandError(NO_QUORUM);
    return counts;
  }

  private async list(options: Parameters<RowLists['list']>[0]): Promise<MergedRows> {
    const merged = await this.lists.list(options);
    if (merged === undefined) throw new CommandError(NO_QUORUM);
    return merged;
  }

  private isLive(row: ListedRow): boolean {
    return row.expiresAtMs === 0 || row.expiresAtMs > this.server.env.clock.wallMs();
  }

  /** Every live row of these slots, in the order of their names. */
  private async *walk(database: number, from: number, end: number): AsyncGenerator<RowName> {
    let after: RowName | undefined;
    let slot = from;
    while (slot < end) {
      const merged = await this.list({ slots: { from: slot, end }, database, limit: MAX_LISTED, after });
      for (const row of merged.rows) if (this.isLive(row)) yield row.name;
      if (merged.after === undefined) return;
      after = merged.after;
      slot = slotOf(after);
    }
  }

  // --- SCAN, KEYS --------------------------------------------------------------------------------------------------

  private async scan(database: number, cursor: number, filter: ScanFilter): Promise<Reply> {
    const { scanTokens } = this.server;
    const only = filter.pattern === undefined ? undefined : slotOfPattern(filter.pattern);
    const endSlot = only === undefined ? SLOT_COUNT : only + 1;
    let slot = slotOfCursor(cursor);
    if (slot >= endSlot) return ['0', []];
    let after = this.startAfter(database, cursor, slot);
    if (only !== undefined && slot < only) {
      slot = only;
      after = undefined;
    }
    const found: Reply[] = [];
    let limit = Math.min(MAX_LISTED, Math.max(32, filter.count * 2));
    let seen = 0;
    let last: RowName = '';
    let window = FIRST_WINDOW_SLOTS;
    for (let round = 0; round < MAX_SCAN_ROUNDS; round++) {
      const end = Math.min(endSlot, slot + window);
      const merged = await this.list({ slots: { from: slot, end }, database, limit, after });
      for (const row of merged.rows) {
        if (seen === filter.count) return [String(scanTokens.cursorAfter(slotOf(last), bytesOf(last))), found];
        last = row.name;
        seen++;
        if (this.isLive(row) && isWanted(row, filter)) found.push(keyOf(row.name));
      }
      after = merged.after;
      // Most of what was listed is deleted: more of it at once, lest a call ends with nothing.
      if (after !== undefined) {
        slot = slotOf(after);
        limit = Math.min(MAX_LISTED, limit * 2);
      } else {
        slot = end;
        if (slot >= endSlot) return ['0', found];
        window *= 2;
      }
      if (seen >= filter.count) break;
    }
    const next = after === undefined ? cursorOfSlot(slot) : scanTokens.cursorAfter(slot, bytesOf(after));
    return [String(next), found];
  }

  private startAfter(database: number, cursor: number, slot: number): RowName | undefined {
    const key = this.server.scanTokens.keyOf(cursor);
    if (key === undefined) return undefined;
    const row = Buffer.from(key.buffer, key.byteOffset, key.length).toString('latin1');
    return slotOf(row) === slot && row.charCodeAt(2) === database ? row : undefined;
  }

  private async keys(database: number, pattern: Uint8Array): Promise<Reply> {
    const only = slotOfPattern(pattern);
    const all = matchesAll(pattern);
    const found: Uint8Array[] = [];
    for await (const row of this.walk(database, only ?? 0, only === undefined ? SLOT_COUNT : only + 1)) {
      const key = keyOf(row);
      if (!all && !globMatches(pattern, key)) continue;
      if (found.length === KEYS_MAX) throw new CommandError(`ERR more than ${KEYS_MAX} keys match: use SCAN`);
      found.push(key);
    }
    return found;
  }

  /** A row number below the number of rows is drawn; the slot that has it is turned over to that row. */
  private async randomKey(database: number): Promise<Reply> {
    const counts = await this.counts(database);
    const size = counts.reduce((sum, count) => sum + count, 0);
    let left = Math.floor(this.server.env.random.next() * size);
    let slot = 0;
    while (slot < SLOT_COUNT && left >= (counts[slot] as number)) left -= counts[slot++] as number;
    return (await this.rowOfSlot(database, slot, left)) ?? (await this.rowOfSlot(database, undefined, 0)) ?? null;
  }

  /**
   * The key of the live row with this number in the slot, or of its last one; undefined when it has none (it has lost them
   * meanwhile, or they were past their deadline). Without a slot: of the first one that has rows.
   */
  private async rowOfSlot(database: number, slot: number | undefined, row: number): Promise<Uint8Array | undefined> {
    const slots =
      slot === undefined ? { from: 0, end: SLOT_COUNT } : { from: slot, end: Math.min(slot + 1, SLOT_COUNT) };
    let left = row;
    let last: RowName | undefined;
    let after: RowName | undefined;
    for (let page = 0; slots.from < slots.end && page < MAX_RANDOM_PAGES; page++) {
      const merged = await this.list({ slots, database, limit: MAX_LISTED, after });
      for (const row of merged.rows) {
        if (!this.isLive(row)) continue;
        last = row.name;
        if (left-- === 0) return keyOf(last);
      }
      after = merged.after;
      if (after === undefined) break;
    }
    return last === undefined ? undefined : keyOf(last);
  }

  // --- KV.RANGE ----------------------------------------------------------------------------------------------------

  private async range(client: Client, database: number, args: Args): Promise<Reply> {
    const min = endOf(args, 1);
    const max = endOf(args, 2);
    const options = rangeOptions(args);
    if (options.limit === 0 || min.infinite > 0 || max.infinite < 0) return [];
    const only = slotOfRange(min, max);
    let keys: Uint8Array[] = [];
    for await (const row of this.walk(database, only ?? 0, only === undefined ? SLOT_COUNT : only + 1)) {
      const key = keyOf(row);
      if (!isWithin(key, min, max)) continue;
      keys.push(key);
      if (keys.length >= 2 * options.limit) keys = first(keys, options);
      if (keys.length > RANGE_KEYS_MAX) {
        throw new CommandError(`ERR the range holds more than ${RANGE_KEYS_MAX} keys: ask for a part of it with LIMIT`);
      }
    }
    keys = first(keys, options);
    return options.withValues ? await this.withValues(client, database, keys) : keys;
  }

  private async withValues(client: Client, database: number, keys: readonly Uint8Array[]): Promise<Reply> {
    const reply: Reply[] = [];
    for (let at = 0; at < keys.length; at += VALUES_WIDTH) {
      const some = keys.slice(at, at + VALUES_WIDTH);
      const outcomes = await Promise.all(some.map((key) => this.read(rowNameOf(database, key, 0, key.length))));
      for (const [i, outcome] of outcomes.entries()) {
        if (outcome.kind !== 'done') throw new CommandError(failureText(outcome.kind));
        const state = outcome.state === undefined ? undefined : decodeRowState(outcome.state);
        // Deleted since the walk passed it.
        if (state === undefined || !isLiveState(state, this.server.env.clock.wallMs())) continue;
        const value = state.type === rowType.STRING ? visibleOf(state) : null;
        if (client.protocol === 3) reply.push([some[i] as Uint8Array, value]);
        else reply.push(some[i] as Uint8Array, value);
      }
    }
    return reply;
  }

  private read(row: RowName): Promise<ReadOutcome> {
    return new Promise((resolve) => this.coordinator.read(row, this.deadlineMs(), resolve));
  }

  private deadlineMs(): number {
    return this.coordinator.nowMs() + this.requestTimeoutMs();
  }

  // --- flushes -----------------------------------------------------------------------------------------------------

  /** Sets the mark of a database, or of all, in every slot that has rows of it. */
  private async flush(database: number): Promise<Reply> {
    const counts = await this.counts(database);
    const slots: number[] = [];
    for (let slot = 0; slot < SLOT_COUNT; slot++) if ((counts[slot] as number) > 0) slots.push(slot);
    for (let at = 0; at < slots.length; at += FLUSH_WIDTH) {
      const failures = await Promise.all(slots.slice(at, at + FLUSH_WIDTH).map((slot) => this.mark(slot, database)));
      const failed = failures.find((failure) => failure !== undefined);
      if (failed !== undefined) return failed;
    }
    return OK;
  }

  private mark(slot: number, database: number): Promise<ErrorReply | undefined> {
    const change = (state: Uint8Array | undefined, ballot: Version): { state: Uint8Array; reply: undefined } => ({
      state: raiseMarks(state, database, ballot),
      reply: undefined,
    });
    return new Promise((resolve) =>
      this.coordinator.change(markRowOf(slot), change, this.deadlineMs(), (outcome) =>
        resolve(outcome.kind === 'done' ? undefined : new ErrorReply(failureText(outcome.kind))),
      ),
    );
  }
}

/** The first keys of a range in the order asked for. */
function first(keys: Uint8Array[], { limit, reverse }: RangeOptions): Uint8Array[] {
  keys.sort((a, b) => (reverse ? compareBytes(b, a) : compareBytes(a, b)));
  return keys.length > limit ? keys.slice(0, limit) : keys;
}

/** The value of a string row that GET shows. */
function visibleOf(state: RowState): Uint8Array {
  return state.siblings === true ? visibleSibling(state.value) : state.value;
}

function isWanted(row: ListedRow, filter: ScanFilter): boolean {
  if (filter.type !== undefined && typeName(row.type) !== filter.type) return false;
  return filter.pattern === undefined || globMatches(filter.pattern, keyOf(row.name));
}

function bytesOf(row: RowName): Uint8Array {
  return Buffer.from(row, 'latin1');
}

function keyOf(row: RowName): Uint8Array {
  return keyOfHead(bytesOf(row));
}

function slotOf(row: RowName): number {
  return (row.charCodeAt(0) << 8) | row.charCodeAt(1);
}
