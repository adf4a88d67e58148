/**
 * The library `struct` (inf.puc-rio.br/~roberto/struct): `pack`, `unpack` and `size` of C's layouts. A format is a row of:
 * `>` `<` `=` byte order, `!n` alignment, `b B` 1 byte, `h H` 2, `l L T` 8, `i[n] I[n]` n bytes (4), `f` `d`, `x` a zero byte,
 * `s` a string that ends with a zero byte, `c[n]` n characters (`c0`: the whole string, or as many as the number before says).
 */

import { latin1 } from '../bytes.ts';
import type { Fengari, LuaState } from './lua-fengari.ts';
import type { Library } from './lua-host.ts';

const NATIVE_ALIGN = 8;
const MAX_INTEGER_BYTES = 32;

interface Item {
  readonly kind: string;
  readonly size: number;
  /** Zero bytes before it. */
  readonly padding: number;
  readonly isLittle: boolean;
}

class Format {
  private readonly given: Fengari;
  private readonly L: LuaState;
  private readonly text: string;
  private at = 0;
  private isLittle = true;
  private align = 1;

  constructor(given: Fengari, L: LuaState) {
    const format = given.lua.lua_tostring(L, 1);
    if (format === null) given.aux.luaL_error(L, given.bytes('bad argument #1 (string expected)'));
    this.given = given;
    this.L = L;
    this.text = latin1(format);
  }

  fail(why: string): never {
    return this.given.aux.luaL_error(this.L, this.given.bytes(why));
  }

  private number(otherwise: number): number {
    const digits = /^\d+/.exec(this.text.slice(this.at))?.[0];
    if (digits === undefined) return otherwise;
    this.at += digits.length;
    return Number(digits);
  }

  /** The next item when `total` bytes stand before it; undefined: it was the last. */
  next(total: number): Item | undefined {
    while (this.at < this.text.length) {
      const kind = this.text[this.at++] as string;
      if (kind === '<' || kind === '=') this.isLittle = true;
      else if (kind === '>') this.isLittle = false;
      else if (kind === '!') this.align = this.number(NATIVE_ALIGN);
      else if (kind !== ' ') return this.item(kind, total);
    }
    return undefined;
  }

  private item(kind: string, total: number): Item {
    const size = this.sizeOf(kind);
    const isNumber = 'bBhHlLTiIfd'.includes(kind);
    const align = isNumber ? Math.min(size, this.align) : 1;
    const padding = align > 1 ? (align - (total & (align - 1))) & (align - 1) : 0;
    return { kind, size, padding, isLittle: this.isLittle };
  }

  private sizeOf(kind: string): number {
    switch (kind) {
      case 'b':
      case 'B':
      case 'x':
        return 1;
      case 'h':
      case 'H':
        return 2;
      case 'f':
        return 4;
      case 'l':
      case 'L':
      case 'T':
      case 'd':
        return 8;
      case 'i':
      case 'I': {
        const size = this.number(4);
        if (size < 1 || size > MAX_INTEGER_BYTES)
          this.fail(`integral size ${size} is larger than limit of ${MAX_INTEGER_BYTES}`);
        return size;
      }
      case 'c':
        return this.number(1);
      case 's':
        return 0;
      default:
        return this.fail(`invalid format option '${kind}'`);
    }
  }
}

export const structLibrary: Library = (_L, given) => {
  const { lua, bytes } = given;
  return {
    pack: (L) => {
      lua.lua_pushstring(L, pack(given, L));
      return 1;
    },
    unpack: (L) => unpack(given, L),
    size: (L) => {
      const format = new Format(given, L);
      let total = 0;
      for (let item = format.next(0); item !== undefined; item = format.next(total)) {
        if (item.kind === 's' || (item.kind === 'c' && item.size === 0))
          format.fail('variable-size format in struct.size');
        total += item.padding + item.size;
      }
      lua.lua_pushnumber(L, total);
      return 1;
    },
    _NAME: 'struct',
    _VERSION: '0.2',
  };

  function pack({ aux }: Fengari, L: LuaState): Uint8Array {
    const format = new Format(given, L);
    const parts: Buffer[] = [];
    let total = 0;
    let arg = 1;
    const add = (part: Buffer): void => {
      parts.push(part);
      total += part.length;
    };
    for (let item = format.next(0); item !== undefined; item = format.next(total)) {
      add(Buffer.alloc(item.padding));
      if (item.kind === 'x') {
        add(Buffer.alloc(1));
        continue;
      }
      arg++;
      if (item.kind === 's' || item.kind === 'c') add(text(L, arg, item, format));
      else {
        if (!lua.lua_isnumber(L, arg)) aux.luaL_error(L, bytes(`bad argument #${arg} to 'pack' (number expected)`));
        add(numberBytes(item, lua.lua_tonumber(L, arg)));
      }
    }
    return Buffer.concat(parts);
  }

  function text(L: LuaState, arg: number, item: Item, format: Format): Buffer {
    const value = lua.lua_tostring(L, arg);
    if (value === null) return format.fail(`bad argument #${arg} to 'pack' (string expected)`);
    if (item.kind === 's') return Buffer.concat([value, Buffer.alloc(1)]);
    const size = item.size === 0 ? value.length : item.size;
    if (value.length < size) return format.fail(`bad argument #${arg} to 'pack' (string too short)`);
    return Buffer.from(value.subarray(0, size));
  }

  function unpack({ aux }: Fengari, L: LuaState): number {
    const format = new Format(given, L);
    const data = Buffer.from(lua.lua_tostring(L, 2) ?? new Uint8Array(0));
    let at = lua.lua_gettop(L) >= 3 ? lua.lua_tonumber(L, 3) - 1 : 0;
    if (at < 0) format.fail('offset must be 1 or greater');
    let count = 0;
    let last = 0;
    for (let item = format.next(at); item !== undefined; item = format.next(at)) {
      at += item.padding;
      let { size } = item;
      if (item.kind === 'c' && size === 0) {
        // As many characters as the number before it says, which it takes the place of.
        if (count === 0) format.fail("format 'c0' needs a previous size");
        lua.lua_settop(L, -2);
        count--;
        size = last;
      }
      if (item.kind === 's') {
        const end = data.indexOf(0, at);
        if (end < 0) format.fail('unfinished string in data');
        size = end - at + 1;
      }
      if (at + size > data.length) aux.luaL_error(L, bytes("bad argument #2 to 'unpack' (data string too short)"));
      const part = data.subarray(at, at + size);
      at += size;
      if (item.kind === 'x') continue;
      lua.lua_checkstack(L, 4);
      count++;
      if (item.kind === 's') lua.lua_pushstring(L, part.subarray(0, size - 1));
      else if (item.kind === 'c') lua.lua_pushstring(L, part);
      else lua.lua_pushnumber(L, (last = numberOf(item, part)));
    }
    lua.lua_pushnumber(L, at + 1);
    return count + 1;
  }
};

function numberBytes({ kind, size, isLittle }: Item, value: number): Buffer {
  const bytes = Buffer.alloc(size);
  if (kind === 'f') bytes.writeFloatLE(value);
  else if (kind === 'd') bytes.writeDoubleLE(value);
  else {
    let rest = Number.isFinite(value) ? BigInt(Math.trunc(value)) : 0n;
    for (let i = 0; i < size; i++) {
      bytes[i] = Number(BigInt.asUintN(8, rest));
      rest >>= 8n;
    }
  }
  return isLittle ? bytes : bytes.reverse();
}

function numberOf({ kind, size, isLittle }: Item, part: Uint8Array): number {
  const bytes = Buffer.from(part);
  if (!isLittle) bytes.reverse();
  if (kind === 'f') return bytes.readFloatLE();
  if (kind === 'd') return bytes.readDoubleLE();
  let value = 0n;
  for (let i = size - 1; i >= 0; i--) value = (value << 8n) | BigInt(bytes[i] as number);
  return Number(kind === kind.toLowerCase() ? BigInt.asIntN(size * 8, value) : value);
}
