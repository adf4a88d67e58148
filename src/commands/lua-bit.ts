/** The library `bit` (Lua BitOp 1.0, bitop.luajit.org): 32-bit operations, results as signed numbers. */

import type { Library } from './lua-host.ts';
import type { LuaState } from './lua-fengari.ts';

export const bitLibrary: Library = (_L, { lua, aux, bytes }) => {
  const at = (L: LuaState, i: number): number => {
    if (!lua.lua_isnumber(L, i)) {
      aux.luaL_error(L, bytes(`bad argument #${i} to a bit operation (number expected)`));
    }
    // The lower 32 bits, as BitOp takes them, of doubles beyond that too.
    const value = lua.lua_tonumber(L, i);
    return Number.isFinite(value) ? Number(BigInt.asIntN(32, BigInt(roundHalfEven(value)))) : 0;
  };
  const give = (L: LuaState, value: number): number => {
    lua.lua_pushnumber(L, value | 0);
    return 1;
  };
  const fold =
    (join: (a: number, b: number) => number) =>
    (L: LuaState): number => {
      let value = at(L, 1);
      for (let i = 2; i <= lua.lua_gettop(L); i++) value = join(value, at(L, i));
      return give(L, value);
    };
  const shift =
    (by: (a: number, n: number) => number) =>
    (L: LuaState): number =>
      give(L, by(at(L, 1), at(L, 2) & 31));
  return {
    tobit: (L) => give(L, at(L, 1)),
    bnot: (L) => give(L, ~at(L, 1)),
    band: fold((a, b) => a & b),
    bor: fold((a, b) => a | b),
    bxor: fold((a, b) => a ^ b),
    lshift: shift((a, n) => a << n),
    rshift: shift((a, n) => a >>> n),
    arshift: shift((a, n) => a >> n),
    rol: shift((a, n) => (a << n) | (n === 0 ? 0 : a >>> (32 - n))),
    ror: shift((a, n) => (n === 0 ? a : (a >>> n) | (a << (32 - n)))),
    bswap: (L) => {
      const value = at(L, 1);
      return give(L, (value << 24) | ((value & 0xff00) << 8) | ((value >>> 8) & 0xff00) | (value >>> 24));
    },
    tohex: (L) => {
      const digits = lua.lua_gettop(L) >= 2 ? at(L, 2) : 8;
      const count = Math.min(Math.abs(digits), 8);
      const text = (at(L, 1) >>> 0)
        .toString(16)
        .padStart(8, '0')
        .slice(8 - count);
      lua.lua_pushstring(L, bytes(digits < 0 ? text.toUpperCase() : text));
      return 1;
    },
  };
};

function roundHalfEven(value: number): number {
  const floor = Math.floor(value);
  const rest = value - floor;
  if (rest < 0.5 || (rest === 0.5 && floor % 2 === 0)) return floor;
  return floor + 1;
}
