/**
 * `math.random` as scripts for Redis expect it: the same numbers in every run, since a script is to do the same again.
 * The generator is that of POSIX's drand48 (a linear congruence of 48 bits); with what Redis starts it is not the same.
 */

import type { Fengari, LuaFunction } from './lua-fengari.ts';

const MULTIPLIER = 0x5deece66dn;
const MASK = (1n << 48n) - 1n;
const FIRST = 0x330en;

export class LuaRandom {
  private state = FIRST;

  reset(): void {
    this.state = FIRST;
  }

  /** In [0, 1). */
  private next(): number {
    this.state = (this.state * MULTIPLIER + 0xbn) & MASK;
    return Number(this.state >> 17n) / 2 ** 31;
  }

  library({ lua, aux, bytes }: Fengari): Record<string, LuaFunction> {
    return {
      random: (L) => {
        const drawn = this.next();
        const count = lua.lua_gettop(L);
        if (count === 0) {
          lua.lua_pushnumber(L, drawn);
          return 1;
        }
        const low = count === 1 ? 1 : Math.floor(lua.lua_tonumber(L, 1));
        const high = Math.floor(lua.lua_tonumber(L, count === 1 ? 1 : 2));
        if (count > 2) return aux.luaL_error(L, bytes('wrong number of arguments'));
        if (!(low <= high)) {
          return aux.luaL_error(L, bytes(`bad argument #${count} to 'random' (interval is empty)`));
        }
        lua.lua_pushnumber(L, Math.floor(drawn * (high - low + 1)) + low);
        return 1;
      },
      randomseed: (L) => {
        this.state = ((BigInt(Math.trunc(lua.lua_tonumber(L, 1)) || 0) & 0xffff_ffffn) << 16n) | FIRST;
        return 0;
      },
    };
  }
}
