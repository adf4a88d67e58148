/** What encoders of Lua tables share. */

import type { Lua, LuaState } from './lua-fengari.ts';

/**
 * The table on top of the stack as an array: its largest key when all keys are whole numbers from 1 on; -1: it is none.
 * An empty one: 0.
 */
export function arrayLength(lua: Lua, L: LuaState): { readonly most: number; readonly count: number } {
  let most = 0;
  let count = 0;
  lua.lua_pushnil(L);
  while (lua.lua_next(L, -2) !== 0) {
    const key = lua.lua_type(L, -2) === lua.LUA_TNUMBER ? lua.lua_tonumber(L, -2) : -1;
    if (!Number.isSafeInteger(key) || key < 1) {
      lua.lua_settop(L, -3);
      return { most: -1, count: 0 };
    }
    most = Math.max(most, key);
    count++;
    lua.lua_settop(L, -2);
  }
  return { most, count };
}
