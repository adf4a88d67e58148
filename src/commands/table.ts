/**
 * The command table: every row by name, found from the bytes of a request without making a string.
 *
 * Open addressing over a hash of the case-folded name; folding sets bit 5, which maps ASCII letters to lower case and
 * leaves `.`, digits and `-` apart enough that the comparison that follows decides.
 */

import { assert } from '../assert.ts';
import type { Args } from './args.ts';
import type { Command, KeyFinder, KeyRange } from './command.ts';

/** Longest name of a command; anything longer is unknown. */
export const MAX_NAME_LENGTH = 32;

export class CommandTable {
  readonly rows: readonly Command[];
  private readonly byName = new Map<string, Command>();
  private readonly subcommands = new Map<Command, CommandTable>();
  private readonly slots: (Command | undefined)[];
  private readonly names: Uint8Array[] = [];
  private readonly mask: number;

  constructor(rows: readonly Command[]) {
    this.rows = rows;
    let size = 16;
    while (size < rows.length * 4) size *= 2;
    this.mask = size - 1;
    this.slots = Array.from({ length: size });
    for (const row of rows) this.add(row);
  }

  /** The row with this lower-case name. */
  get(name: string): Command | undefined {
    return this.byName.get(name);
  }

  /** The row named by bytes[start, end) in any case. */
  find(bytes: Uint8Array, start: number, end: number): Command | undefined {
    if (end - start > MAX_NAME_LENGTH) return undefined;
    for (let at = hashName(bytes, start, end) & this.mask; ; at = (at + 1) & this.mask) {
      const row = this.slots[at];
      if (row === undefined) return undefined;
      if (isName(this.names[at] as Uint8Array, bytes, start, end)) return row;
    }
  }

  /** The row that the words name: the command, or its subcommand for a container. `undefined`: there is none. */
  resolve(args: Args): Command | undefined {
    const row = this.find(args.bytes, args.starts[0] as number, args.ends[0] as number);
    if (row === undefined || row.subcommands === undefined || args.count < 2) return row;
    return this.subcommand(row, args);
  }

  /** The subcommand that word 1 names. Requires: a container, and at least two words. */
  subcommand(container: Command, args: Args): Command | undefined {
    return this.subcommands.get(container)?.find(args.bytes, args.starts[1] as number, args.ends[1] as number);
  }

  private add(row: Command): void {
    assert(row.name === row.name.toLowerCase(), `the name ${row.name} is in lower case`);
    assert(!this.byName.has(row.name), `only one row is named ${row.name}`);
    this.byName.set(row.name, row);
    if (row.subcommands !== undefined) this.subcommands.set(row, new CommandTable(row.subcommands));
    const name = Buffer.from(row.name);
    let at = hashName(name, 0, name.length) & this.mask;
    while (this.slots[at] !== undefined) at = (at + 1) & this.mask;
    this.slots[at] = row;
    this.names[at] = name;
  }
}

/** Indexes of the words that are keys of this command. */
export function keyIndexes(command: Command, args: Args): readonly number[] {
  const keys = command.keys;
  if (keys === undefined) return [];
  if (isFinder(keys)) return keys.find(args);
  const last = keys.last < 0 ? args.count + keys.last : keys.last;
  const indexes: number[] = [];
  for (let i = keys.first; i <= last && i < args.count; i += keys.step) indexes.push(i);
  return indexes;
}

function isFinder(keys: KeyRange | KeyFinder): keys is KeyFinder {
  return 'find' in keys;
}

function hashName(bytes: Uint8Array, start: number, end: number): number {
  let hash = 0;
  for (let i = start; i < end; i++) hash = (Math.imul(hash, 31) + ((bytes[i] as number) | 0x20)) | 0;
  return hash ^ (hash >>> 7);
}

function isName(name: Uint8Array, bytes: Uint8Array, start: number, end: number): boolean {
  if (name.length !== end - start) return false;
  for (let i = 0; i < name.length; i++) {
    const byte = bytes[start + i] as number;
    const lower = byte >= 0x41 && byte <= 0x5a ? byte | 0x20 : byte;
    if (lower !== name[i]) return false;
  }
  return true;
}
