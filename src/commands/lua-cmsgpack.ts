/**
 * The library `cmsgpack` (github.com/antirez/lua-cmsgpack): MessagePack (msgpack.org) of Lua values. A table whose keys are
 * 1 to n is an array, any other a map; whole numbers are integers; beyond 16 levels a table is nil.
 */

import type { Fengari, LuaState } from './lua-fengari.ts';
import type { Library } from './lua-host.ts';
import { arrayLength } from './lua-tables.ts';

const MAX_DEPTH = 16;

export const cmsgpackLibrary: Library = (_L, given) => {
  const { lua, aux, bytes } = given;
  const unpack = (L: LuaState, limit: number, offset: number, tellsOffset: boolean): number => {
    const data = lua.lua_tostring(L, 1);
    if (data === null) return aux.luaL_error(L, bytes("bad argument #1 to 'unpack' (string expected)"));
    if (offset < 0 || limit < 0) return aux.luaL_error(L, bytes('Invalid request to unpack with offset and limit'));
    if (offset > data.length)
      return aux.luaL_error(L, bytes(`Start offset ${offset} greater than input length ${data.length}.`));
    const reader = new Reader(given, L, data, offset);
    if (tellsOffset) lua.lua_pushnumber(L, 0);
    const place = lua.lua_gettop(L);
    let count = 0;
    for (; reader.left > 0 && count < limit; count++) {
      lua.lua_checkstack(L, 4);
      reader.value();
    }
    if (!tellsOffset) return count;
    lua.lua_pushnumber(L, reader.left === 0 ? -1 : reader.at);
    lua.lua_insert(L, place);
    lua.lua_remove(L, place + 1);
    return count + 1;
  };
  return {
    pack: (L) => {
      const count = lua.lua_gettop(L);
      if (count === 0) return aux.luaL_error(L, bytes("bad argument #0 to 'pack' (MessagePack pack needs input.)"));
      const writer = new Writer(given);
      for (let i = 1; i <= count; i++) {
        lua.lua_pushvalue(L, i);
        writer.value(L, 0);
        lua.lua_settop(L, -2);
      }
      lua.lua_pushstring(L, writer.finish());
      return 1;
    },
    unpack: (L) => unpack(L, Number.POSITIVE_INFINITY, 0, false),
    unpack_one: (L) => unpack(L, 1, lua.lua_gettop(L) >= 2 ? lua.lua_tonumber(L, 2) : 0, true),
    unpack_limit: (L) => unpack(L, lua.lua_tonumber(L, 2), lua.lua_gettop(L) >= 3 ? lua.lua_tonumber(L, 3) : 0, true),
    _NAME: 'cmsgpack',
    _VERSION: 'lua-cmsgpack 0.4.0',
  };
};

class Writer {
  private readonly given: Fengari;
  private readonly parts: Buffer[] = [];

  constructor(given: Fengari) {
    this.given = given;
  }

  finish(): Uint8Array {
    return Buffer.concat(this.parts);
  }

  /** The value on top of the stack. */
  value(L: LuaState, depth: number): void {
    const { lua } = this.given;
    switch (lua.lua_type(L, -1)) {
      case lua.LUA_TSTRING:
        this.string(lua.lua_tostring(L, -1) as Uint8Array);
        break;
      case lua.LUA_TNUMBER:
        this.number(lua.lua_tonumber(L, -1));
        break;
      case lua.LUA_TBOOLEAN:
        this.tag(lua.lua_toboolean(L, -1) ? 0xc3 : 0xc2);
        break;
      case lua.LUA_TTABLE:
        if (depth < MAX_DEPTH) this.table(L, depth + 1);
        else this.tag(0xc0);
        break;
      default:
        this.tag(0xc0);
    }
  }

  private tag(byte: number): void {
    this.parts.push(Buffer.of(byte));
  }

  /** A tag and a number of `size` bytes. */
  private sized(tag: number, size: 1 | 2 | 4, value: number): void {
    const part = Buffer.alloc(1 + size);
    part[0] = tag;
    part.writeUIntBE(value, 1, size);
    this.parts.push(part);
  }

  private string(bytes: Uint8Array): void {
    const { length } = bytes;
    if (length < 32) this.tag(0xa0 | length);
    else if (length <= 0xff) this.sized(0xd9, 1, length);
    else if (length <= 0xffff) this.sized(0xda, 2, length);
    else this.sized(0xdb, 4, length);
    this.parts.push(Buffer.from(bytes));
  }

  private number(value: number): void {
    if (Number.isInteger(value) && Math.abs(value) < 2 ** 63) {
      this.integer(value);
      return;
    }
    const isFloat = Math.fround(value) === value;
    const part = Buffer.alloc(isFloat ? 5 : 9);
    part[0] = isFloat ? 0xca : 0xcb;
    if (isFloat) part.writeFloatBE(value, 1);
    else part.writeDoubleBE(value, 1);
    this.parts.push(part);
  }

  private integer(value: number): void {
    if (value >= 0) {
      if (value <= 0x7f) this.tag(value);
      else if (value <= 0xff) this.sized(0xcc, 1, value);
      else if (value <= 0xffff) this.sized(0xcd, 2, value);
      else if (value <= 0xffff_ffff) this.sized(0xce, 4, value);
      else this.wide(0xcf, BigInt(value));
    } else if (value >= -32) this.tag(value & 0xff);
    else if (value >= -0x80) this.sized(0xd0, 1, value & 0xff);
    else if (value >= -0x8000) this.sized(0xd1, 2, value & 0xffff);
    else if (value >= -0x8000_0000) this.sized(0xd2, 4, value >>> 0);
    else this.wide(0xd3, BigInt.asUintN(64, BigInt(value)));
  }

  private wide(tag: number, value: bigint): void {
    const part = Buffer.alloc(9);
    part[0] = tag;
    part.writeBigUInt64BE(value, 1);
    this.parts.push(part);
  }

  private table(L: LuaState, depth: number): void {
    const { lua } = this.given;
    lua.lua_checkstack(L, 4);
    const { most, count } = arrayLength(lua, L);
    if (most === count && most > 0) {
      this.head(most, 0x90, 0xdc);
      for (let i = 1; i <= most; i++) {
        lua.lua_rawgeti(L, -1, i);
        this.value(L, depth);
        lua.lua_settop(L, -2);
      }
      return;
    }
    let entries = 0;
    lua.lua_pushnil(L);
    while (lua.lua_next(L, -2) !== 0) {
      entries++;
      lua.lua_settop(L, -2);
    }
    this.head(entries, 0x80, 0xde);
    lua.lua_pushnil(L);
    while (lua.lua_next(L, -2) !== 0) {
      lua.lua_pushvalue(L, -2);
      this.value(L, depth);
      lua.lua_settop(L, -2);
      this.value(L, depth);
      lua.lua_settop(L, -2);
    }
  }

  private head(count: number, short: number, long: number): void {
    if (count <= 15) this.tag(short | count);
    else if (count <= 0xffff) this.sized(long, 2, count);
    else this.sized(long + 1, 4, count);
  }
}

/** Pushes one value after another. */
class Reader {
  private readonly given: Fengari;
  private readonly L: LuaState;
  private readonly bytes: Buffer;
  at: number;

  constructor(given: Fengari, L: LuaState, bytes: Uint8Array, at: number) {
    this.given = given;
    this.L = L;
    this.bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
    this.at = at;
  }

  get left(): number {
    return this.bytes.length - this.at;
  }

  private take(count: number): number {
    const { at } = this;
    if (count > this.left) this.given.aux.luaL_error(this.L, this.given.bytes('Missing bytes in input.'));
    this.at += count;
    return at;
  }

  private unsigned(size: number): number {
    const at = this.take(size);
    return size === 8 ? Number(this.bytes.readBigUInt64BE(at)) : this.bytes.readUIntBE(at, size);
  }

  private signed(size: number): number {
    const at = this.take(size);
    return size === 8 ? Number(this.bytes.readBigInt64BE(at)) : this.bytes.readIntBE(at, size);
  }

  value(): void {
    const { L, bytes } = this;
    const { lua, aux } = this.given;
    const tag = bytes[this.take(1)] as number;
    if (tag <= 0x7f) lua.lua_pushnumber(L, tag);
    else if (tag <= 0x8f) this.map(tag & 0xf);
    else if (tag <= 0x9f) this.array(tag & 0xf);
    else if (tag <= 0xbf) this.string(tag & 0x1f);
    else if (tag >= 0xe0) lua.lua_pushnumber(L, tag - 256);
    else if (tag === 0xc0) lua.lua_pushnil(L);
    else if (tag === 0xc2 || tag === 0xc3) lua.lua_pushboolean(L, tag === 0xc3);
    else if (tag === 0xca) lua.lua_pushnumber(L, bytes.readFloatBE(this.take(4)));
    else if (tag === 0xcb) lua.lua_pushnumber(L, bytes.readDoubleBE(this.take(8)));
    else if (tag >= 0xcc && tag <= 0xcf) lua.lua_pushnumber(L, this.unsigned(1 << (tag - 0xcc)));
    else if (tag >= 0xd0 && tag <= 0xd3) lua.lua_pushnumber(L, this.signed(1 << (tag - 0xd0)));
    else if (tag >= 0xd9 && tag <= 0xdb) this.string(this.unsigned(1 << (tag - 0xd9)));
    else if (tag >= 0xc4 && tag <= 0xc6) this.string(this.unsigned(1 << (tag - 0xc4)));
    else if (tag === 0xdc || tag === 0xdd) this.array(this.unsigned(tag === 0xdc ? 2 : 4));
    else if (tag === 0xde || tag === 0xdf) this.map(this.unsigned(tag === 0xde ? 2 : 4));
    else aux.luaL_error(L, this.given.bytes('Bad data format in input.'));
  }

  private string(length: number): void {
    const at = this.take(length);
    this.given.lua.lua_pushstring(this.L, this.bytes.subarray(at, at + length));
  }

  private array(count: number): void {
    const { lua } = this.given;
    lua.lua_checkstack(this.L, 4);
    lua.lua_createtable(this.L, 0, 0);
    for (let i = 1; i <= count; i++) {
      this.value();
      lua.lua_rawseti(this.L, -2, i);
    }
  }

  private map(count: number): void {
    const { lua } = this.given;
    lua.lua_checkstack(this.L, 4);
    lua.lua_createtable(this.L, 0, 0);
    for (let i = 0; i < count; i++) {
      this.value();
      this.value();
      lua.lua_rawset(this.L, -3);
    }
  }
}
