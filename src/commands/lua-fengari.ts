/**
 * The door to `fengari`, Lua 5.3 in JavaScript: the part of its interface that is used here, with types, and what makes
 * its numbers look like those of Lua 5.1, which scripts for Redis are written for.
 *
 * fengari's integers have 32 bits and wrap; Lua 5.1 has doubles only. So literals become doubles when a chunk is loaded
 * (`doublesOnly`), `tonumber` returns doubles, and doubles without a fraction print without one, as `%.14g` does.
 */

import { createRequire } from 'node:module';
import { formatG } from './lua-format.ts';

/** A state or a thread of Lua; opaque. */
export interface LuaState {
  readonly l_G: object;
  /**
   * 1: hooks are called. fengari forgets to set it again when a pcall within a coroutine has caught an error: where Lua sets
   * a bit from it (setoah), `callstatus &= ~CIST_OAH | L.allowhook` only ever clears one.
   */
  allowhook: number;
}

/** A function that Lua calls: takes its arguments from the stack, pushes its results and returns their number. */
export type LuaFunction = (L: LuaState) => number;

export interface LuaDebug {
  readonly what: Uint8Array | null;
  readonly source: Uint8Array | null;
  readonly currentline: number;
}

export interface Lua {
  readonly LUA_OK: number;
  readonly LUA_YIELD: number;
  readonly LUA_ERRMEM: number;
  readonly LUA_REGISTRYINDEX: number;
  readonly LUA_RIDX_GLOBALS: number;
  readonly LUA_MASKCOUNT: number;
  readonly LUA_TNIL: number;
  readonly LUA_TBOOLEAN: number;
  readonly LUA_TNUMBER: number;
  readonly LUA_TSTRING: number;
  readonly LUA_TTABLE: number;
  readonly LUA_TLIGHTUSERDATA: number;
  readonly LUA_TFUNCTION: number;
  readonly lua_Debug: new () => LuaDebug;
  lua_atnativeerror(L: LuaState, handler: LuaFunction): void;
  lua_absindex(L: LuaState, index: number): number;
  lua_checkstack(L: LuaState, slots: number): boolean;
  lua_createtable(L: LuaState, items: number, fields: number): void;
  lua_error(L: LuaState): never;
  lua_getfield(L: LuaState, index: number, name: Uint8Array): number;
  lua_getglobal(L: LuaState, name: Uint8Array): number;
  lua_getinfo(L: LuaState, what: Uint8Array, into: LuaDebug): number;
  lua_getstack(L: LuaState, level: number, into: LuaDebug): number;
  lua_gettop(L: LuaState): number;
  lua_isnumber(L: LuaState, index: number): boolean;
  lua_isyieldable(L: LuaState): boolean;
  lua_isinteger(L: LuaState, index: number): boolean;
  lua_next(L: LuaState, index: number): number;
  /** A coroutine: a stack of its own with everything else shared. It is pushed too. */
  lua_newthread(L: LuaState): LuaState;
  lua_pcall(L: LuaState, args: number, results: number, handler: number): number;
  lua_pushboolean(L: LuaState, value: boolean): void;
  lua_pushcfunction(L: LuaState, run: LuaFunction): void;
  lua_pushlightuserdata(L: LuaState, value: unknown): void;
  lua_pushnil(L: LuaState): void;
  lua_pushnumber(L: LuaState, value: number): void;
  lua_pushstring(L: LuaState, value: Uint8Array): void;
  lua_pushvalue(L: LuaState, index: number): void;
  lua_rawequal(L: LuaState, a: number, b: number): boolean;
  lua_rawget(L: LuaState, index: number): number;
  lua_rawgeti(L: LuaState, index: number, i: number): number;
  lua_rawlen(L: LuaState, index: number): number;
  lua_rawset(L: LuaState, index: number): void;
  lua_rawseti(L: LuaState, index: number, i: number): void;
  lua_remove(L: LuaState, index: number): void;
  lua_insert(L: LuaState, index: number): void;
  lua_setfield(L: LuaState, index: number, name: Uint8Array): void;
  /** Starts or goes on with a coroutine; LUA_OK: it has ended, LUA_YIELD: it rests, else an error is on its stack. */
  lua_resume(L: LuaState, from: LuaState, args: number): number;
  /** In a hook: the coroutine rests once the hook has returned. */
  lua_yield(L: LuaState, results: number): number;
  /** In a function: it rests, and `goOn` is called in its place, with its arguments, when it is resumed. */
  lua_yieldk(L: LuaState, results: number, context: number, goOn: LuaFunction): never;
  lua_sethook(L: LuaState, hook: ((L: LuaState) => void) | null, mask: number, count: number): void;
  lua_setmetatable(L: LuaState, index: number): void;
  lua_settop(L: LuaState, top: number): void;
  lua_toboolean(L: LuaState, index: number): boolean;
  lua_tonumber(L: LuaState, index: number): number;
  lua_topointer(L: LuaState, index: number): object | null;
  lua_tostring(L: LuaState, index: number): Uint8Array | null;
  lua_touserdata(L: LuaState, index: number): unknown;
  lua_toproxy(L: LuaState, index: number): (L: LuaState) => void;
  lua_type(L: LuaState, index: number): number;
}

export interface LuaAux {
  luaL_error(L: LuaState, text: Uint8Array): never;
  luaL_loadbuffer(L: LuaState, chunk: Uint8Array, length: number | null, name: Uint8Array): number;
  luaL_newstate(): LuaState;
  luaL_ref(L: LuaState, index: number): number;
  luaL_unref(L: LuaState, index: number, ref: number): void;
  luaL_requiref(L: LuaState, name: Uint8Array, open: LuaFunction, global: boolean): void;
  luaL_tolstring(L: LuaState, index: number): Uint8Array;
  luaL_where(L: LuaState, level: number): void;
}

interface Proto {
  readonly k: { type: number; value: unknown }[];
  readonly p: Proto[];
}

interface Closure {
  readonly p?: Proto;
}

/** A table of Lua; opaque. */
export interface LuaTable {
  readonly id: number;
}

/** A place that holds a value. */
export interface LuaSlot {
  sethvalue(table: LuaTable): void;
  setnilvalue(): void;
}

/** What of fengari's insides is used to make tables. */
interface Tables {
  luaH_new(L: LuaState): LuaTable;
  luaH_setint(table: LuaTable, key: number, value: LuaSlot): void;
  luaH_getstr(table: LuaTable, key: object): LuaSlot;
}

interface Strings {
  luaS_new(L: LuaState, bytes: Uint8Array): object;
}

export interface Fengari {
  readonly lua: Lua;
  readonly aux: LuaAux;
  readonly lib: Readonly<Record<string, LuaFunction>>;
  readonly bytes: (text: string) => Uint8Array;
  /** A table of strings, made without the stack. */
  tableOf(L: LuaState, items: readonly Uint8Array[]): LuaTable;
  /** Where the value of a field stands in the table at a place of the stack; it stays there while nobody sets it to nil. */
  slotOf(L: LuaState, index: number, name: string): LuaSlot;
  /** Makes the integers among the constants of the function on top of the stack doubles, and of those within it. */
  doublesOnly(L: LuaState): void;
}

/** What `cjson.null` points to. */
export const NULL_POINTER: object = Object.freeze({ what: 'null' });

let loaded: Fengari | undefined;

/** Loads it at the first call: a server without scripts never does. */
export function fengari(): Fengari {
  loaded ??= load();
  return loaded;
}

function load(): Fengari {
  const require = createRequire(import.meta.url);
  // `defs` first: the two need each other. Then, before any other file: they take what they need when they are loaded.
  const { LUA_TNUMINT, LUA_TNUMFLT, LUA_TLNGSTR, LUA_TNIL } = require('fengari/src/defs.js').constant_types as {
    LUA_TNUMINT: number;
    LUA_TNUMFLT: number;
    LUA_TLNGSTR: number;
    LUA_TNIL: number;
  };
  const conf = require('fengari/src/luaconf.js') as Record<string, unknown>;
  conf['LUA_COMPAT_FLOATSTRING'] = true;
  conf['lua_number2str'] = (value: number): string => formatG(value, 14);
  const {
    lua,
    lauxlib,
    lualib,
    to_luastring: bytes,
  } = require('fengari') as {
    lua: Lua;
    lauxlib: LuaAux;
    lualib: Record<string, LuaFunction>;
    to_luastring(text: string): Uint8Array;
  };
  const { TValue } = require('fengari/src/lobject.js') as { TValue: Value };
  quickenStack(require('fengari/src/ldo.js') as { adjust_top: AdjustTop }, TValue, LUA_TNIL);
  const { luaH_new, luaH_setint, luaH_getstr } = require('fengari/src/ltable.js') as Tables;
  const { luaS_new } = require('fengari/src/lstring.js') as Strings;
  const convert = ({ k, p }: Proto): void => {
    for (const constant of k) if (constant.type === LUA_TNUMINT) constant.type = LUA_TNUMFLT;
    for (const inner of p) convert(inner);
  };
  const doublesOnly = (L: LuaState): void => {
    const closure: Closure | null = lua.lua_topointer(L, -1);
    if (closure?.p !== undefined) convert(closure.p);
  };
  const tableOf = (L: LuaState, items: readonly Uint8Array[]): LuaTable => {
    const table = luaH_new(L);
    for (let i = 0; i < items.length; i++) {
      luaH_setint(table, i + 1, new TValue(LUA_TLNGSTR, luaS_new(L, items[i] as Uint8Array)));
    }
    return table;
  };
  const slotOf = (L: LuaState, index: number, name: string): LuaSlot =>
    luaH_getstr(lua.lua_topointer(L, index) as LuaTable, luaS_new(L, bytes(name)));
  return { lua, aux: lauxlib, lib: lualib, bytes, tableOf, slotOf, doublesOnly };
}

type Value = new (type: number, value: unknown) => LuaSlot;
type AdjustTop = (L: LuaState & Stack, newTop: number) => void;

interface Stack {
  readonly stack: (LuaSlot | undefined)[];
  top: number;
}

/** Each `delete` of a place of the stack leaves compiled code: places above the top are made empty instead. */
function quickenStack(calls: { adjust_top: AdjustTop }, Value: Value, nil: number): void {
  calls.adjust_top = (L, newTop) => {
    const { stack } = L;
    while (L.top < newTop) stack[L.top++] = new Value(nil, null);
    while (L.top > newTop) stack[--L.top] = undefined;
  };
}
