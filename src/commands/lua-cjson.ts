/**
 * The library `cjson` (Lua CJSON 2.1, kyne.com.au/~mark/software/lua-cjson-manual.html) as Redis configures it: a table whose
 * keys are whole numbers from 1 on is an array, an empty one an object, nesting up to 1000, 14 digits.
 */

import { latin1 } from '../bytes.ts';
import type { Fengari, LuaState } from './lua-fengari.ts';
import { NULL_POINTER } from './lua-fengari.ts';
import { formatG } from './lua-format.ts';
import type { Library } from './lua-host.ts';
import { arrayLength } from './lua-tables.ts';

const MAX_DEPTH = 1000;
const MAX_DIGITS = 14;

/** An array with more than SPARSE_SAFE slots of which fewer than 1 in SPARSE_RATIO are taken is refused. */
const SPARSE_RATIO = 2;
const SPARSE_SAFE = 10;

const ESCAPES: Readonly<Record<string, string>> = {
  '"': '\\"',
  '\\': '\\\\',
  '/': '\\/',
  '\b': '\\b',
  '\f': '\\f',
  '\n': '\\n',
  '\r': '\\r',
  '\t': '\\t',
};

class Settings {
  encodeDepth = MAX_DEPTH;
  decodeDepth = MAX_DEPTH;
  digits = MAX_DIGITS;
  sparseConverts = false;
  sparseRatio = SPARSE_RATIO;
  sparseSafe = SPARSE_SAFE;
}

export const cjsonLibrary: Library = (_L, given) => {
  const { lua, aux, bytes } = given;
  const settings = new Settings();
  const number =
    (name: 'encodeDepth' | 'decodeDepth' | 'digits', most: number) =>
    (L: LuaState): number => {
      if (lua.lua_gettop(L) > 0) {
        const value = lua.lua_tonumber(L, 1);
        if (!(value >= 1 && value <= most)) return aux.luaL_error(L, bytes(`expected integer between 1 and ${most}`));
        settings[name] = value;
      }
      lua.lua_pushnumber(L, settings[name]);
      return 1;
    };
  return {
    encode: (L) => {
      if (lua.lua_gettop(L) !== 1) return aux.luaL_error(L, bytes("bad argument #1 to 'encode' (expected 1 argument)"));
      const text = new Encoder(given, settings).encode(L);
      lua.lua_pushstring(L, Buffer.from(text, 'latin1'));
      return 1;
    },
    decode: (L) => {
      if (lua.lua_gettop(L) !== 1) return aux.luaL_error(L, bytes("bad argument #1 to 'decode' (expected 1 argument)"));
      const text = lua.lua_tostring(L, 1);
      if (text === null) return aux.luaL_error(L, bytes("bad argument #1 to 'decode' (string expected)"));
      new Decoder(given, settings, L, latin1(text)).decode();
      return 1;
    },
    encode_max_depth: number('encodeDepth', 0x7fff_ffff),
    decode_max_depth: number('decodeDepth', 0x7fff_ffff),
    encode_number_precision: number('digits', 16),
    encode_sparse_array: (L) => {
      if (lua.lua_gettop(L) >= 1) settings.sparseConverts = lua.lua_toboolean(L, 1);
      if (lua.lua_gettop(L) >= 2) settings.sparseRatio = lua.lua_tonumber(L, 2);
      if (lua.lua_gettop(L) >= 3) settings.sparseSafe = lua.lua_tonumber(L, 3);
      lua.lua_pushboolean(L, settings.sparseConverts);
      lua.lua_pushnumber(L, settings.sparseRatio);
      lua.lua_pushnumber(L, settings.sparseSafe);
      return 3;
    },
    encode_keep_buffer: (L) => {
      lua.lua_pushboolean(L, true);
      return 1;
    },
    encode_invalid_numbers: (L) => {
      lua.lua_pushboolean(L, false);
      return 1;
    },
    decode_invalid_numbers: (L) => {
      lua.lua_pushboolean(L, true);
      return 1;
    },
    null: null,
    _NAME: 'cjson',
    _VERSION: '2.1.0',
  };
};

class Encoder {
  private readonly given: Fengari;
  private readonly settings: Settings;

  constructor(given: Fengari, settings: Settings) {
    this.given = given;
    this.settings = settings;
  }

  /** The value on top of the stack. */
  encode(L: LuaState, depth = 0): string {
    const { lua } = this.given;
    const type = lua.lua_type(L, -1);
    switch (type) {
      case lua.LUA_TSTRING:
        return quoted(latin1(lua.lua_tostring(L, -1) as Uint8Array));
      case lua.LUA_TNUMBER:
        return this.number(L, lua.lua_tonumber(L, -1));
      case lua.LUA_TBOOLEAN:
        return lua.lua_toboolean(L, -1) ? 'true' : 'false';
      case lua.LUA_TNIL:
        return 'null';
      case lua.LUA_TTABLE:
        return this.table(L, depth + 1);
      case lua.LUA_TLIGHTUSERDATA:
        if (lua.lua_touserdata(L, -1) === NULL_POINTER) return 'null';
        return this.fail(L, 'type not supported');
      default:
        return this.fail(L, 'type not supported');
    }
  }

  private fail(L: LuaState, why: string): never {
    const { aux, bytes } = this.given;
    return aux.luaL_error(L, bytes(`Cannot serialise ${why.startsWith('type') ? 'value' : why}: ${why}`));
  }

  private number(L: LuaState, value: number): string {
    if (!Number.isFinite(value))
      return this.given.aux.luaL_error(L, this.given.bytes('Cannot serialise number: must not be NaN or Inf'));
    return formatG(value, this.settings.digits);
  }

  private table(L: LuaState, depth: number): string {
    const { lua, aux, bytes } = this.given;
    const { settings } = this;
    if (depth > settings.encodeDepth || !lua.lua_checkstack(L, 4)) {
      return aux.luaL_error(L, bytes(`Cannot serialise, excessive depth (${depth})`));
    }
    const { most, count } = arrayLength(lua, L);
    if (most > 0 && !this.isTooSparse(L, most, count)) return this.array(L, most, depth);
    return this.object(L, depth);
  }

  private isTooSparse(L: LuaState, most: number, count: number): boolean {
    const { sparseRatio, sparseSafe, sparseConverts } = this.settings;
    if (sparseRatio <= 0 || most <= count * sparseRatio || most <= sparseSafe) return false;
    if (sparseConverts) return true;
    return this.given.aux.luaL_error(L, this.given.bytes('Cannot serialise table: excessively sparse array'));
  }

  private array(L: LuaState, length: number, depth: number): string {
    const { lua } = this.given;
    const items: string[] = [];
    for (let i = 1; i <= length; i++) {
      lua.lua_rawgeti(L, -1, i);
      items.push(this.encode(L, depth));
      lua.lua_settop(L, -2);
    }
    return `[${items.join(',')}]`;
  }

  private object(L: LuaState, depth: number): string {
    const { lua, aux, bytes } = this.given;
    const items: string[] = [];
    lua.lua_pushnil(L);
    while (lua.lua_next(L, -2) !== 0) {
      const type = lua.lua_type(L, -2);
      let key: string;
      if (type === lua.LUA_TNUMBER) key = `"${this.number(L, lua.lua_tonumber(L, -2))}"`;
      else if (type === lua.LUA_TSTRING) key = quoted(latin1(lua.lua_tostring(L, -2) as Uint8Array));
      else return aux.luaL_error(L, bytes('Cannot serialise table: table key must be a number or string'));
      items.push(`${key}:${this.encode(L, depth)}`);
      lua.lua_settop(L, -2);
    }
    return `{${items.join(',')}}`;
  }
}

function quoted(text: string): string {
  let out = '"';
  for (let i = 0; i < text.length; i++) {
    const character = text[i] as string;
    const code = text.charCodeAt(i);
    const escape = ESCAPES[character];
    if (escape !== undefined) out += escape;
    else if (code < 0x20 || code === 0x7f) out += `\\u${code.toString(16).padStart(4, '0')}`;
    else out += character;
  }
  return `${out}"`;
}

/** Pushes what a text says. */
class Decoder {
  private readonly given: Fengari;
  private readonly settings: Settings;
  private readonly L: LuaState;
  private readonly text: string;
  private at = 0;

  constructor(given: Fengari, settings: Settings, L: LuaState, text: string) {
    this.given = given;
    this.settings = settings;
    this.L = L;
    this.text = text;
  }

  decode(): void {
    this.value(0);
    this.space();
    if (this.at < this.text.length) this.fail('the end', this.at);
  }

  private fail(expected: string, at: number): never {
    const { aux, bytes } = this.given;
    const found = at >= this.text.length ? 'T_END' : 'invalid token';
    return aux.luaL_error(this.L, bytes(`Expected ${expected} but found ${found} at character ${at + 1}`));
  }

  private space(): void {
    while (this.at < this.text.length && ' \t\n\r'.includes(this.text[this.at] as string)) this.at++;
  }

  private value(depth: number): void {
    const { L } = this;
    const { lua } = this.given;
    this.space();
    const first = this.text[this.at];
    if (first === '{') this.object(depth + 1);
    else if (first === '[') this.array(depth + 1);
    else if (first === '"') lua.lua_pushstring(L, this.string());
    else if (this.word('true')) lua.lua_pushboolean(L, true);
    else if (this.word('false')) lua.lua_pushboolean(L, false);
    else if (this.word('null')) lua.lua_pushlightuserdata(L, NULL_POINTER);
    else this.number();
  }

  private word(word: string): boolean {
    if (!this.text.startsWith(word, this.at)) return false;
    this.at += word.length;
    return true;
  }

  private number(): void {
    const match = /^-?(?:0[xX][0-9a-fA-F]+|\d+(?:\.\d*)?(?:[eE][-+]?\d+)?|inf(?:inity)?|nan)/i.exec(
      this.text.slice(this.at, this.at + 400),
    );
    if (match === null) this.fail('value', this.at);
    const [digits] = match;
    this.at += digits.length;
    const plain = digits.toLowerCase();
    let value = Number(plain);
    if (plain.endsWith('nan')) value = Number.NaN;
    else if (plain.includes('inf')) value = plain.startsWith('-') ? -Infinity : Infinity;
    else if (plain.startsWith('-0x')) value = -Number(plain.slice(1));
    this.given.lua.lua_pushnumber(this.L, value);
  }

  private enter(depth: number): void {
    const { lua, aux, bytes } = this.given;
    if (depth > this.settings.decodeDepth || !lua.lua_checkstack(this.L, 4)) {
      aux.luaL_error(this.L, bytes(`Found too many nested data structures (${depth})`));
    }
    lua.lua_createtable(this.L, 0, 0);
    this.at++;
    this.space();
  }

  private object(depth: number): void {
    const { lua } = this.given;
    this.enter(depth);
    if (this.text[this.at] === '}') {
      this.at++;
      return;
    }
    for (;;) {
      this.space();
      if (this.text[this.at] !== '"') this.fail('object key string', this.at);
      lua.lua_pushstring(this.L, this.string());
      this.space();
      if (this.text[this.at] !== ':') this.fail('colon', this.at);
      this.at++;
      this.value(depth);
      lua.lua_rawset(this.L, -3);
      if (this.ends('}', 'comma or object end')) return;
    }
  }

  private array(depth: number): void {
    const { lua } = this.given;
    this.enter(depth);
    if (this.text[this.at] === ']') {
      this.at++;
      return;
    }
    for (let i = 1; ; i++) {
      this.value(depth);
      lua.lua_rawseti(this.L, -2, i);
      if (this.ends(']', 'comma or array end')) return;
    }
  }

  private ends(close: string, expected: string): boolean {
    this.space();
    const next = this.text[this.at];
    if (next !== close && next !== ',') this.fail(expected, this.at);
    this.at++;
    return next === close;
  }

  private string(): Uint8Array {
    const start = this.at++;
    const parts: Buffer[] = [];
    for (;;) {
      const stop = /["\\]/g;
      stop.lastIndex = this.at;
      const found = stop.exec(this.text);
      if (found === null) this.fail('string end', start);
      const { index } = found;
      parts.push(Buffer.from(this.text.slice(this.at, index), 'latin1'));
      this.at = index + 1;
      if (this.text[index] === '"') return Buffer.concat(parts);
      parts.push(this.escape());
    }
  }

  private escape(): Buffer {
    const kind = this.text[this.at++] as string;
    if (kind === 'u') return this.unicode();
    const plain = '"\\/bfnrt'.indexOf(kind);
    if (plain < 0) this.fail('escape', this.at - 1);
    return Buffer.from('"\\/\b\f\n\r\t'[plain] as string, 'latin1');
  }

  private unicode(): Buffer {
    const first = this.hex();
    if (first < 0xd800 || first > 0xdfff) return Buffer.from(String.fromCharCode(first));
    if (first > 0xdbff || !this.word('\\u')) this.fail('a pair of surrogates', this.at);
    const second = this.hex();
    if (second < 0xdc00 || second > 0xdfff) this.fail('a pair of surrogates', this.at);
    return Buffer.from(String.fromCharCode(first, second));
  }

  private hex(): number {
    const digits = this.text.slice(this.at, this.at + 4);
    if (!/^[0-9a-fA-F]{4}$/.test(digits)) this.fail('four hexadecimal digits', this.at);
    this.at += 4;
    return Number.parseInt(digits, 16);
  }
}
