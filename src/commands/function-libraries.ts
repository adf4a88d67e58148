/**
 * Libraries of Lua functions (FUNCTION LOAD), as this node has them compiled. What holds is a row of our own: the codes of
 * all libraries, in database 255, so that they are as durable, and in a cluster as shared, as any row:
 *
 * ```
 * each library: u32 BE length | code, which begins with its metadata: #!lua name=NAME
 * ```
 *
 * `follow` makes what is compiled the same as what the row says; a library whose code has not changed stays as it is, with
 * what its functions remember.
 */

import { latin1, utf8 } from '../bytes.ts';
import { ByteReader, ByteWriter } from '../cluster/byte-cursor.ts';
import { SYSTEM_DATABASE } from '../repl/row-key.ts';
import type { View } from '../repl/view.ts';
import { CommandError } from './errors.ts';
import type { LibraryFunction, LuaHost } from './lua-host.ts';

/** The key of the row, in database 255. */
export const FUNCTIONS_KEY: Uint8Array = utf8('functions');

export interface Library {
  readonly name: string;
  readonly code: Uint8Array;
  readonly functions: readonly LibraryFunction[];
}

/** The codes of all libraries. Throws `Miss`. */
export function libraryCodes(view: View): Uint8Array[] {
  const row = view.row(FUNCTIONS_KEY, SYSTEM_DATABASE);
  return row.live ? decodeCodes(view.string(row)) : [];
}

/** Makes these the codes of all libraries. Throws `Miss`. */
export function setLibraryCodes(view: View, codes: readonly Uint8Array[]): void {
  const row = view.row(FUNCTIONS_KEY, SYSTEM_DATABASE);
  if (codes.length === 0) {
    view.remove(row);
    return;
  }
  const writer = new ByteWriter();
  for (const code of codes) writer.block(code);
  view.setString(row, writer.finish(), 0);
}

/** The codes in the value of the row. Throws `DamagedError`. */
export function decodeCodes(value: Uint8Array): Uint8Array[] {
  const reader = new ByteReader(value);
  const codes: Uint8Array[] = [];
  while (reader.left > 0) codes.push(reader.block());
  return codes;
}

/** The name in the metadata of a library. Throws `CommandError`. */
export function libraryName(code: Uint8Array): string {
  const end = code.indexOf(0x0a);
  const line = latin1(code, 0, end < 0 ? code.length : end);
  if (!line.startsWith('#!')) throw new CommandError('ERR Missing library metadata');
  const [engine = '', ...words] = line.slice(2).trim().split(/ +/);
  if (engine.toLowerCase() !== 'lua') throw new CommandError(`ERR Engine '${engine}' not found`);
  let name: string | undefined;
  for (const word of words) {
    if (!word.startsWith('name=')) throw new CommandError(`ERR Invalid metadata value given: ${word}`);
    if (name !== undefined)
      throw new CommandError('ERR Invalid metadata value, name argument was given multiple times');
    name = word.slice('name='.length);
  }
  if (name === undefined) throw new CommandError('ERR Library name was not given');
  if (!/^\w+$/.test(name)) {
    throw new CommandError(
      'ERR Library names can only contain letters, numbers, or underscores(_) and must be at least one character long',
    );
  }
  return name;
}

export class FunctionLibraries {
  private readonly lua: () => LuaHost;
  private libraries = new Map<string, Library>();
  private functions = new Map<string, LibraryFunction>();
  /** Of the row that was followed last: its modification stamp. */
  private stamp = 0;
  /** When the row was read last in a cluster, in ms of the monotonic clock. */
  readAtMs = Number.NEGATIVE_INFINITY;

  constructor(lua: () => LuaHost) {
    this.lua = lua;
  }

  find(name: string): LibraryFunction | undefined {
    return this.functions.get(name);
  }

  /** Where rows are this node's alone: follows the row as the view sees it. Throws `Miss`. */
  followView(view: View): void {
    const row = view.row(FUNCTIONS_KEY, SYSTEM_DATABASE);
    const stamp = row.live ? row.before.modifiedStamp : 0;
    if (!row.dirty && stamp === this.stamp) return;
    this.follow(libraryCodes(view), row.dirty ? -1 : stamp);
  }

  /** Compiles what is new and forgets what is no more. `stamp`: of the row; as before: nothing is done. */
  follow(codes: readonly Uint8Array[], stamp: number): void {
    if (stamp === this.stamp && stamp >= 0) return;
    const before = this.libraries;
    this.libraries = new Map();
    for (const code of codes) {
      const name = libraryName(code);
      const known = before.get(name);
      if (known !== undefined && Buffer.compare(known.code, code) === 0) {
        this.libraries.set(name, known);
        before.delete(name);
      } else this.libraries.set(name, this.compile(name, code));
    }
    for (const { functions } of before.values()) for (const each of functions) this.lua().dropFunction(each);
    this.functions = new Map();
    for (const { functions } of this.libraries.values())
      for (const each of functions) this.functions.set(each.name, each);
    this.stamp = stamp;
  }

  /** Loads a library to see what it registers; nothing of it is kept. Throws `CommandError`. */
  inspect(code: Uint8Array): Library {
    const library = this.compile(libraryName(code), code);
    for (const each of library.functions) this.lua().dropFunction(each);
    return library;
  }

  private compile(name: string, code: Uint8Array): Library {
    const end = code.indexOf(0x0a);
    // The line of the metadata stays as an empty one, so that errors name the right line.
    const functions = this.lua().loadLibrary(end < 0 ? new Uint8Array(0) : code.subarray(end));
    if (functions.length === 0) throw new CommandError('ERR No functions registered');
    return { name, code: code.slice(), functions };
  }
}
