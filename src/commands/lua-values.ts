/**
 * Replies as values of Lua and back, as Redis converts them (redis.io, "Redis Lua API reference", data type conversion).
 * A script sees RESP2 unless it has asked for RESP3 (`redis.setresp(3)`).
 *
 * | reply | Lua | Lua | reply |
 * |---|---|---|---|
 * | integer | number | number | integer, its fraction cut |
 * | bulk | string | string | bulk |
 * | null | false (RESP3: nil) | false, nil | null |
 * | array | table | table | array, up to the first nil |
 * | status | `{ok=}` | `{ok=}` | status |
 * | error | `{err=}`, or raised | `{err=}` | error |
 * | double, map, set, big number, verbatim, boolean in RESP3 | `{double=}`, `{map=}`, `{set=}`, `{big_number=}`, `{verbatim_string=}`, boolean | the same | the same |
 */

import { latin1 } from '../bytes.ts';
import type { Fengari, LuaState } from './lua-fengari.ts';
import { doubleText } from './double-text.ts';
import {
  BigNumberReply,
  BooleanReply,
  DecimalReply,
  DoubleReply,
  EntriesReply,
  ErrorReply,
  MapReply,
  NullArray,
  PairsReply,
  type Reply,
  SetReply,
  SimpleString,
  VerbatimReply,
} from './reply.ts';

/** Tables within tables, beyond which a reply is refused, as in Redis. */
const MAX_DEPTH = 1000;

/** Fields of tables that stand for something else than an array, in the order in which Redis looks for them. */
const MARKS = ['err', 'ok', 'double', 'map', 'set', 'big_number', 'verbatim_string'] as const;

export class LuaValues {
  private readonly fengari: Fengari;
  private readonly names: ReadonlyMap<string, Uint8Array>;

  constructor(fengari: Fengari) {
    this.fengari = fengari;
    this.names = new Map([...MARKS, 'format', 'string'].map((name) => [name, fengari.bytes(name)]));
  }

  private name(text: string): Uint8Array {
    return this.names.get(text) as Uint8Array;
  }

  /** Pushes a reply. */
  push(L: LuaState, reply: Reply, resp: 2 | 3): void {
    const { lua } = this.fengari;
    lua.lua_checkstack(L, 8);
    if (reply instanceof Uint8Array) lua.lua_pushstring(L, reply);
    else if (typeof reply === 'string') lua.lua_pushstring(L, Buffer.from(reply));
    else if (typeof reply === 'number' || typeof reply === 'bigint') lua.lua_pushnumber(L, Number(reply));
    else if (reply === null || reply instanceof NullArray) this.pushNull(L, resp);
    else if (Array.isArray(reply)) this.pushArray(L, reply as readonly Reply[], resp);
    else if (reply instanceof SimpleString) this.pushField(L, 'ok', Buffer.from(reply.text, 'latin1'));
    else if (reply instanceof ErrorReply) this.pushField(L, 'err', Buffer.from(reply.message, 'latin1'));
    else this.pushRich(L, reply, resp);
  }

  private pushNull(L: LuaState, resp: 2 | 3): void {
    if (resp === 3) this.fengari.lua.lua_pushnil(L);
    else this.fengari.lua.lua_pushboolean(L, false);
  }

  private pushArray(L: LuaState, items: readonly Reply[], resp: 2 | 3): void {
    const { lua } = this.fengari;
    lua.lua_createtable(L, items.length, 0);
    for (const [i, item] of items.entries()) {
      this.push(L, item, resp);
      lua.lua_rawseti(L, -2, i + 1);
    }
  }

  /** Pushes a table with one field. */
  pushField(L: LuaState, name: (typeof MARKS)[number], value: Uint8Array): void {
    const { lua } = this.fengari;
    lua.lua_createtable(L, 0, 1);
    lua.lua_pushstring(L, value);
    lua.lua_setfield(L, -2, this.name(name));
  }

  /** What RESP2 writes in another way than RESP3. */
  private pushRich(L: LuaState, reply: Reply, resp: 2 | 3): void {
    if (reply instanceof PairsReply) {
      this.pushArray(L, resp === 3 ? reply.pairs.map((pair) => [...pair]) : reply.pairs.flat(), resp);
      return;
    }
    if (reply instanceof VerbatimReply && resp === 2) {
      this.push(L, reply.text, resp);
      return;
    }
    if (resp === 2) this.push(L, asResp2(reply), resp);
    else this.pushResp3(L, reply);
  }

  private pushResp3(L: LuaState, reply: Reply): void {
    const { lua } = this.fengari;
    if (reply instanceof BooleanReply) {
      lua.lua_pushboolean(L, reply.value);
      return;
    }
    lua.lua_createtable(L, 0, 1);
    let mark: (typeof MARKS)[number];
    if (reply instanceof DoubleReply || reply instanceof DecimalReply) {
      lua.lua_pushnumber(L, reply instanceof DoubleReply ? reply.value : Number(reply.text));
      mark = 'double';
    } else if (reply instanceof MapReply || reply instanceof EntriesReply) {
      this.pushMap(L, reply.entries);
      mark = 'map';
    } else if (reply instanceof SetReply) {
      this.pushMap(
        L,
        reply.members.map((member) => [member, undefined]),
      );
      mark = 'set';
    } else if (reply instanceof BigNumberReply) {
      lua.lua_pushstring(L, Buffer.from(reply.digits));
      mark = 'big_number';
    } else if (reply instanceof VerbatimReply) {
      lua.lua_createtable(L, 0, 2);
      lua.lua_pushstring(L, Buffer.from(reply.format));
      lua.lua_setfield(L, -2, this.name('format'));
      lua.lua_pushstring(L, Buffer.from(reply.text));
      lua.lua_setfield(L, -2, this.name('string'));
      mark = 'verbatim_string';
    } else throw new Error('a reply that scripts do not know');
    lua.lua_setfield(L, -2, this.name(mark));
  }

  /** Values undefined: true, as in a set. */
  private pushMap(L: LuaState, entries: readonly (readonly [Reply, Reply | undefined])[]): void {
    const { lua } = this.fengari;
    lua.lua_createtable(L, 0, entries.length);
    for (const [key, value] of entries) {
      this.push(L, key, 3);
      if (value === undefined) lua.lua_pushboolean(L, true);
      else this.push(L, value, 3);
      lua.lua_rawset(L, -3);
    }
  }

  /** The value on top of the stack as a reply; it is popped. */
  pop(L: LuaState, resp: 2 | 3, depth = 0): Reply {
    const { lua } = this.fengari;
    const reply = this.read(L, resp, depth);
    lua.lua_settop(L, -2);
    return reply;
  }

  private read(L: LuaState, resp: 2 | 3, depth: number): Reply {
    const { lua } = this.fengari;
    if (depth > MAX_DEPTH || !lua.lua_checkstack(L, 8)) return new ErrorReply('ERR reached lua stack limit');
    switch (lua.lua_type(L, -1)) {
      case lua.LUA_TSTRING:
        return lua.lua_tostring(L, -1);
      case lua.LUA_TNUMBER:
        return integerOf(lua.lua_tonumber(L, -1));
      case lua.LUA_TBOOLEAN: {
        const value = lua.lua_toboolean(L, -1);
        if (resp === 3) return new BooleanReply(value);
        return value ? 1 : null;
      }
      case lua.LUA_TTABLE:
        return this.readTable(L, resp, depth);
      default:
        return null;
    }
  }

  private readTable(L: LuaState, resp: 2 | 3, depth: number): Reply {
    const { lua } = this.fengari;
    for (const mark of MARKS) {
      this.rawField(L, -1, mark);
      const marked = lua.lua_type(L, -1) === lua.LUA_TNIL ? undefined : this.readMarked(L, mark, resp, depth);
      lua.lua_settop(L, -2);
      if (marked !== undefined) return marked;
    }
    const items: Reply[] = [];
    for (let i = 1; ; i++) {
      if (lua.lua_rawgeti(L, -1, i) === lua.LUA_TNIL) {
        lua.lua_settop(L, -2);
        return items;
      }
      items.push(this.pop(L, resp, depth + 1));
    }
  }

  private rawField(L: LuaState, index: number, name: string): void {
    const { lua } = this.fengari;
    const at = lua.lua_absindex(L, index);
    lua.lua_pushstring(L, this.name(name));
    lua.lua_rawget(L, at);
  }

  /** The value of a marked field, on top of the stack; undefined: it is none of that kind. */
  private readMarked(L: LuaState, mark: (typeof MARKS)[number], resp: 2 | 3, depth: number): Reply | undefined {
    const { lua } = this.fengari;
    const type = lua.lua_type(L, -1);
    if (mark === 'double') return type === lua.LUA_TNUMBER ? new DoubleReply(lua.lua_tonumber(L, -1)) : undefined;
    if (mark === 'map' || mark === 'set') {
      if (type !== lua.LUA_TTABLE) return undefined;
      const entries = this.readEntries(L, resp, depth);
      return mark === 'map' ? new MapReply(entries) : new SetReply(entries.map(([key]) => key));
    }
    if (mark === 'verbatim_string') return type === lua.LUA_TTABLE ? this.readVerbatim(L) : undefined;
    if (type !== lua.LUA_TSTRING) return undefined;
    const text = latin1(lua.lua_tostring(L, -1) as Uint8Array);
    if (mark === 'err') return new ErrorReply(oneLine(text.startsWith('-') ? text.slice(1) : text));
    return mark === 'ok' ? new SimpleString(oneLine(text)) : new BigNumberReply(oneLine(text));
  }

  private readEntries(L: LuaState, resp: 2 | 3, depth: number): [Reply, Reply][] {
    const { lua } = this.fengari;
    const entries: [Reply, Reply][] = [];
    lua.lua_pushnil(L);
    while (lua.lua_next(L, -2) !== 0) {
      const value = this.pop(L, resp, depth + 1);
      lua.lua_pushvalue(L, -1);
      entries.push([this.pop(L, resp, depth + 1), value]);
    }
    return entries;
  }

  private readVerbatim(L: LuaState): Reply | undefined {
    const { lua } = this.fengari;
    const parts = ['format', 'string'].map((name) => {
      this.rawField(L, -1, name);
      const text = lua.lua_type(L, -1) === lua.LUA_TSTRING ? (lua.lua_tostring(L, -1) as Uint8Array) : undefined;
      lua.lua_settop(L, -2);
      return text;
    });
    const [format, text] = parts;
    if (format === undefined || text === undefined) return undefined;
    return new VerbatimReply(latin1(format) === 'mkd' ? 'mkd' : 'txt', Buffer.from(text).toString());
  }
}

/** As C converts a double to a long long. */
function integerOf(value: number): number | bigint {
  const whole = Math.trunc(value);
  if (Number.isSafeInteger(whole)) return whole + 0;
  if (Number.isNaN(value) || Math.abs(value) >= 2 ** 63) return -(2n ** 63n);
  return BigInt(whole);
}

function oneLine(text: string): string {
  return text.replaceAll(/[\r\n]/g, ' ');
}

function asResp2(reply: Reply): Reply {
  if (reply instanceof MapReply) return reply.entries.flat();
  if (reply instanceof EntriesReply) return reply.entries.map((entry) => [...entry]);
  if (reply instanceof SetReply) return reply.members;
  if (reply instanceof BooleanReply) return Number(reply.value);
  if (reply instanceof DoubleReply) return doubleText(reply.value);
  if (reply instanceof DecimalReply) return reply.text;
  if (reply instanceof BigNumberReply) return reply.digits;
  throw new Error('a reply that scripts do not know');
}
