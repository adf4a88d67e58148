/**
 * The Lua state that scripts run in: compiled once, run in one turn over the view of the command that called them.
 *
 * Invariants:
 * - A run leaves the stack as it was, and nothing of it in the state but what the libraries keep (they are read-only).
 * - A `Miss`, and whatever else is no error of the script's, ends the script whatever it catches: it is kept in `fatal`,
 *   raised again wherever the script would go on, and thrown when the state has come back.
 * - A script that runs for longer than `limitMs` is ended. Nothing was written yet, so nothing of it stays; Redis, which
 *   writes as it goes, can only wait for SCRIPT KILL.
 */

import { latin1 } from '../bytes.ts';
import type { Clock } from '../env.ts';
import { CommandError } from './errors.ts';
import { bitLibrary } from './lua-bit.ts';
import { cjsonLibrary } from './lua-cjson.ts';
import { cmsgpackLibrary } from './lua-cmsgpack.ts';
import { fengari, type Fengari, type LuaFunction, type LuaSlot, type LuaState, NULL_POINTER } from './lua-fengari.ts';
import { formatText } from './lua-format.ts';
import { PRELUDE } from './lua-prelude.ts';
import { LuaRandom } from './lua-random.ts';
import { RedisLibrary, type ScriptRun, type ScriptWorld, sha1 } from './lua-redis.ts';
import { widenHex } from './lua-source.ts';
import { structLibrary } from './lua-struct.ts';
import { LuaValues } from './lua-values.ts';
import { ErrorReply, type Reply } from './reply.ts';

/** Instructions between two looks at the clock: about a millisecond. */
const HOOK_INSTRUCTIONS = 20_000;

/** What errors call the place of a script. */
const CHUNK_NAME = '@user_script';

export const SCRIPT_LIMIT_EXCEEDED =
  'ERR the script ran for longer than busy-reply-threshold and was ended; nothing was changed';

const LIBRARY_CHUNK = '@user_function';

/** Flags of scripts and functions; `no-writes` alone asks for anything here. */
export const SCRIPT_FLAGS: ReadonlySet<string> = new Set([
  'no-writes',
  'allow-oom',
  'allow-stale',
  'no-cluster',
  'allow-cross-slot-keys',
]);

/** A function that a library has registered. */
export interface LibraryFunction {
  readonly name: string;
  readonly flags: readonly string[];
  readonly description: string | undefined;
  /** Where it stands in Lua's registry. */
  readonly ref: number;
}

/** A compiled script. */
export interface Script {
  readonly sha: string;
  /** Where the function stands in Lua's registry. */
  readonly ref: number;
}

export type Library = (L: LuaState, fengari: Fengari) => Readonly<Record<string, LuaMember>>;

/** null: a pointer to nothing, as `cjson.null`. */
type LuaMember = LuaFunction | number | string | null;

export class LuaHost implements ScriptRun {
  private readonly fengari: Fengari = fengari();
  private readonly values: LuaValues;
  private readonly redis: RedisLibrary;
  private readonly random = new LuaRandom();
  private readonly clock: Clock;
  private readonly limitMs: () => number;
  private readonly L: LuaState;
  private readonly handlerRef: number;
  /** Where the tables KEYS and ARGV stand. */
  private readonly keysSlot: LuaSlot;
  private readonly argvSlot: LuaSlot;
  /** Of the run under way. */
  world: ScriptWorld | undefined = undefined;
  resp: 2 | 3 = 2;
  private deadlineUs = 0;
  fatal: { readonly thrown: unknown } | undefined = undefined;
  /** Where the error came from that ended the last run. */
  private errorAt = '';

  constructor(options: { clock: Clock; version: string; limitMs(): number }) {
    this.clock = options.clock;
    this.limitMs = () => options.limitMs();
    this.values = new LuaValues(this.fengari);
    this.redis = new RedisLibrary(this.fengari, this.values, this);
    this.L = this.newState(options.version);
    this.fengari.lua.lua_pushcfunction(this.L, this.onError);
    this.handlerRef = this.fengari.aux.luaL_ref(this.L, this.fengari.lua.LUA_REGISTRYINDEX);
    this.keysSlot = this.slotOfGlobal('KEYS');
    this.argvSlot = this.slotOfGlobal('ARGV');
  }

  /** Throws `CommandError` when it does not compile. */
  compile(body: Uint8Array): Script {
    const { L } = this;
    const { lua, aux, bytes, doublesOnly } = this.fengari;
    const sha = sha1(body);
    if (aux.luaL_loadbuffer(L, widenHex(body), null, bytes(CHUNK_NAME)) !== lua.LUA_OK) {
      const why = latin1(lua.lua_tostring(L, -1) ?? new Uint8Array(0));
      lua.lua_settop(L, -2);
      throw new CommandError(`ERR Error compiling script (new function): ${why}`);
    }
    doublesOnly(L);
    return { sha, ref: aux.luaL_ref(L, lua.LUA_REGISTRYINDEX) };
  }

  /** Forgets a compiled script. */
  drop(script: Script): void {
    this.fengari.aux.luaL_unref(this.L, this.fengari.lua.LUA_REGISTRYINDEX, script.ref);
  }

  /** Runs a script; its error is a reply. Throws what `world.call` throws. */
  run(script: Script, keys: readonly Uint8Array[], argv: readonly Uint8Array[], world: ScriptWorld): Reply {
    const { L } = this;
    const { lua, tableOf } = this.fengari;
    this.keysSlot.sethvalue(tableOf(L, keys));
    this.argvSlot.sethvalue(tableOf(L, argv));
    try {
      return this.invoke(script.sha, CHUNK_NAME, world, () => {
        lua.lua_rawgeti(L, lua.LUA_REGISTRYINDEX, script.ref);
        return 0;
      });
    } finally {
      // Functions get theirs as arguments: for them there are no such globals.
      this.keysSlot.setnilvalue();
      this.argvSlot.setnilvalue();
    }
  }

  /** Runs a function of a library; as `run`. */
  runFunction(
    called: LibraryFunction,
    keys: readonly Uint8Array[],
    args: readonly Uint8Array[],
    world: ScriptWorld,
  ): Reply {
    const { L } = this;
    const { lua } = this.fengari;
    return this.invoke(called.name, LIBRARY_CHUNK, world, () => {
      lua.lua_rawgeti(L, lua.LUA_REGISTRYINDEX, called.ref);
      this.pushStrings(keys);
      this.pushStrings(args);
      return 2;
    });
  }

  /** Runs the code of a library, which registers its functions. Throws `CommandError`; then nothing is kept of it. */
  loadLibrary(code: Uint8Array): LibraryFunction[] {
    const { L } = this;
    const { lua, aux, bytes, doublesOnly } = this.fengari;
    const registered: LibraryFunction[] = [];
    lua.lua_settop(L, 0);
    if (aux.luaL_loadbuffer(L, widenHex(code), null, bytes(LIBRARY_CHUNK)) !== lua.LUA_OK) {
      const why = latin1(lua.lua_tostring(L, -1) ?? new Uint8Array(0));
      throw new CommandError(`ERR Error compiling function: ${why}`);
    }
    doublesOnly(L);
    const chunk = aux.luaL_ref(L, lua.LUA_REGISTRYINDEX);
    this.setRegister((state) => this.register(state, registered));
    try {
      const reply = this.invoke('', LIBRARY_CHUNK, undefined, () => {
        lua.lua_rawgeti(L, lua.LUA_REGISTRYINDEX, chunk);
        return 0;
      });
      if (reply instanceof ErrorReply) {
        for (const each of registered) this.dropFunction(each);
        const text = reply.message.replace(/ script: , on [^ ]*$/, '');
        throw new CommandError(`ERR Error registering functions: ${text}`);
      }
      return registered;
    } finally {
      this.setRegister(undefined);
      aux.luaL_unref(L, lua.LUA_REGISTRYINDEX, chunk);
    }
  }

  dropFunction({ ref }: LibraryFunction): void {
    this.fengari.aux.luaL_unref(this.L, this.fengari.lua.LUA_REGISTRYINDEX, ref);
  }

  /** `redis.register_function`, which is there while a library is loaded. */
  private setRegister(register: LuaFunction | undefined): void {
    const { L } = this;
    const { lua, bytes } = this.fengari;
    lua.lua_rawgeti(L, lua.LUA_REGISTRYINDEX, this.redisRef);
    if (register === undefined) lua.lua_pushnil(L);
    else lua.lua_pushcfunction(L, register);
    lua.lua_setfield(L, -2, bytes('register_function'));
    lua.lua_settop(L, 0);
  }

  /** (name, function) or { function_name =, callback =, flags =, description = }. */
  private register(L: LuaState, registered: LibraryFunction[]): number {
    const { lua, aux } = this.fengari;
    const count = lua.lua_gettop(L);
    if (count < 1 || count > 2) return this.redis.raise(L, 'wrong number of arguments to redis.register_function');
    let name: string | undefined;
    let flags: readonly string[] = [];
    let description: string | undefined;
    if (count === 1) {
      if (lua.lua_type(L, 1) !== lua.LUA_TTABLE) {
        return this.redis.raise(
          L,
          'calling redis.register_function with a single argument is only applicable to Lua table (representing named arguments).',
        );
      }
      name = this.textField(L, 'function_name');
      description = this.textField(L, 'description');
      flags = this.flagsField(L);
      lua.lua_getfield(L, 1, this.fengari.bytes('callback'));
      if (name === undefined) return this.redis.raise(L, 'redis.register_function must get a function name argument');
      if (lua.lua_type(L, -1) !== lua.LUA_TFUNCTION) {
        return this.redis.raise(L, 'redis.register_function must get a callback argument');
      }
    } else {
      if (lua.lua_type(L, 1) !== lua.LUA_TSTRING) {
        return this.redis.raise(L, 'first argument to redis.register_function must be a string');
      }
      name = latin1(lua.lua_tostring(L, 1) as Uint8Array);
      if (lua.lua_type(L, 2) !== lua.LUA_TFUNCTION) {
        return this.redis.raise(L, 'second argument to redis.register_function must be a function');
      }
    }
    if (!/^\w+$/.test(name)) {
      return this.redis.raise(
        L,
        'Library names can only contain letters, numbers, or underscores(_) and must be at least one character long',
      );
    }
    if (registered.some((each) => each.name === name))
      return this.redis.raise(L, 'Function already exists in the library');
    registered.push({ name, flags, description, ref: aux.luaL_ref(L, lua.LUA_REGISTRYINDEX) });
    return 0;
  }

  private textField(L: LuaState, name: string): string | undefined {
    const { lua, bytes } = this.fengari;
    lua.lua_getfield(L, 1, bytes(name));
    const text = lua.lua_type(L, -1) === lua.LUA_TSTRING ? latin1(lua.lua_tostring(L, -1) as Uint8Array) : undefined;
    lua.lua_settop(L, -2);
    return text;
  }

  private flagsField(L: LuaState): string[] {
    const { lua, bytes } = this.fengari;
    const flags: string[] = [];
    if (lua.lua_getfield(L, 1, bytes('flags')) === lua.LUA_TTABLE) {
      for (let i = 1; lua.lua_rawgeti(L, -1, i) !== lua.LUA_TNIL; i++) {
        const flag = lua.lua_type(L, -1) === lua.LUA_TSTRING ? latin1(lua.lua_tostring(L, -1) as Uint8Array) : '';
        if (!SCRIPT_FLAGS.has(flag)) this.redis.raise(L, 'unknown flag given');
        flags.push(flag);
        lua.lua_settop(L, -2);
      }
      lua.lua_settop(L, -2);
    }
    lua.lua_settop(L, 1);
    return flags;
  }

  /** Runs what `push` pushes, a function and its arguments, whose number it returns. */
  private invoke(name: string, chunk: string, world: ScriptWorld | undefined, push: () => number): Reply {
    const { L } = this;
    const { lua } = this.fengari;
    this.errorAt = '';
    this.world = world;
    this.resp = 2;
    this.fatal = undefined;
    this.random.reset();
    const limitMs = this.limitMs();
    this.deadlineUs = limitMs > 0 ? this.clock.monotonicUs() + limitMs * 1000 : Number.POSITIVE_INFINITY;
    lua.lua_settop(L, 0);
    try {
      lua.lua_rawgeti(L, lua.LUA_REGISTRYINDEX, this.handlerRef);
      const count = push();
      lua.lua_sethook(L, this.onHook, lua.LUA_MASKCOUNT, HOOK_INSTRUCTIONS);
      const status = lua.lua_pcall(L, count, 1, 1);
      this.rethrow();
      if (status === lua.LUA_OK) return this.values.pop(L, this.resp);
      const { message, source } = this.errorOnTop();
      return new ErrorReply(`${message} script: ${name}, on ${this.errorAt === '' ? chunk : source}.`);
    } finally {
      lua.lua_sethook(L, null, 0, 0);
      lua.lua_settop(L, 0);
      this.world = undefined;
    }
  }

  private rethrow(): void {
    const { fatal } = this;
    this.fatal = undefined;
    if (fatal !== undefined) throw fatal.thrown;
  }

  /** Makes a global table of scripts and returns where it stands. */
  private slotOfGlobal(name: string): LuaSlot {
    const { L } = this;
    const { lua, bytes, slotOf } = this.fengari;
    lua.lua_rawgeti(L, lua.LUA_REGISTRYINDEX, this.globalsRef);
    lua.lua_pushstring(L, bytes(name));
    lua.lua_createtable(L, 0, 0);
    lua.lua_rawset(L, -3);
    const slot = slotOf(L, -1, name);
    slot.setnilvalue();
    lua.lua_settop(L, -2);
    return slot;
  }

  private pushStrings(items: readonly Uint8Array[]): void {
    const { L } = this;
    const { lua } = this.fengari;
    lua.lua_createtable(L, items.length, 0);
    for (const [i, item] of items.entries()) {
      lua.lua_pushstring(L, item);
      lua.lua_rawseti(L, -2, i + 1);
    }
  }

  /** The error on top of the stack as Redis tells it, and where it came from. */
  private errorOnTop(): { readonly message: string; readonly source: string } {
    const { L } = this;
    const { lua, aux } = this.fengari;
    const source = this.errorAt;
    if (lua.lua_type(L, -1) === lua.LUA_TTABLE) {
      const reply = this.values.pop(L, 2);
      return { message: reply instanceof ErrorReply ? reply.message : 'ERR unknown error', source };
    }
    return { message: `ERR ${latin1(aux.luaL_tolstring(L, -1)).replaceAll(/[\r\n]/g, ' ')}`, source };
  }

  /** Called by Lua with an error before the stack is unwound: notes the line. */
  private readonly onError = (L: LuaState): number => {
    const { lua, bytes } = this.fengari;
    const frame = new lua.lua_Debug();
    this.errorAt = CHUNK_NAME;
    for (let level = 1; lua.lua_getstack(L, level, frame) === 1; level++) {
      lua.lua_getinfo(L, bytes('Sl'), frame);
      if (frame.currentline < 0) continue;
      this.errorAt = `${latin1(frame.source ?? bytes(CHUNK_NAME))}:${frame.currentline}`;
      break;
    }
    return 1;
  };

  private readonly onHook = (L: LuaState): void => {
    if (this.fatal === undefined && this.clock.monotonicUs() > this.deadlineUs) {
      this.fatal = { thrown: new CommandError(SCRIPT_LIMIT_EXCEEDED) };
    }
    this.raiseFatal(L);
  };

  raiseFatal(L: LuaState): void {
    if (this.fatal !== undefined) this.fengari.aux.luaL_error(L, this.fengari.bytes('the script is over'));
  }

  // --- the state ---------------------------------------------------------------------------------------------------

  private globalsRef = 0;
  private redisRef = 0;

  private newState(version: string): LuaState {
    const { lua, aux, lib, bytes } = this.fengari;
    const L = aux.luaL_newstate();
    for (const [name, open] of [
      ['_G', lib['luaopen_base']],
      ['table', lib['luaopen_table']],
      ['string', lib['luaopen_string']],
      ['math', lib['luaopen_math']],
      ['coroutine', lib['luaopen_coroutine']],
    ] as const) {
      aux.luaL_requiref(L, bytes(name), open as LuaFunction, true);
    }
    lua.lua_settop(L, 0);
    lua.lua_atnativeerror(L, (state) => {
      this.fatal ??= { thrown: lua.lua_touserdata(state, 1) };
      lua.lua_pushstring(state, bytes('the script is over'));
      return 1;
    });
    this.addLibrary(L, 'redis', this.redis.members(version));
    lua.lua_getglobal(L, bytes('redis'));
    this.redisRef = aux.luaL_ref(L, lua.LUA_REGISTRYINDEX);
    this.addLibrary(L, 'bit', bitLibrary(L, this.fengari));
    this.addLibrary(L, 'cjson', cjsonLibrary(L, this.fengari));
    this.addLibrary(L, 'cmsgpack', cmsgpackLibrary(L, this.fengari));
    this.addLibrary(L, 'struct', structLibrary(L, this.fengari));
    this.extend(L, 'string', { format: this.format });
    this.extend(L, 'math', this.random.library(this.fengari));
    this.runPrelude(L);
    lua.lua_settop(L, 0);
    return L;
  }

  private runPrelude(L: LuaState): void {
    const { lua, aux, bytes, doublesOnly } = this.fengari;
    if (aux.luaL_loadbuffer(L, bytes(PRELUDE), null, bytes('@prelude')) !== lua.LUA_OK) throw this.broken(L);
    doublesOnly(L);
    lua.lua_rawgeti(L, lua.LUA_REGISTRYINDEX, lua.LUA_RIDX_GLOBALS);
    lua.lua_pushvalue(L, -1);
    this.globalsRef = aux.luaL_ref(L, lua.LUA_REGISTRYINDEX);
    lua.lua_createtable(L, 0, 0);
    lua.lua_pushvalue(L, -1);
    const proxyRef = aux.luaL_ref(L, lua.LUA_REGISTRYINDEX);
    lua.lua_pushcfunction(L, (state) => {
      this.raiseFatal(state);
      return 0;
    });
    lua.lua_pushcfunction(L, this.onMissingGlobal);
    lua.lua_pushcfunction(L, (state) => aux.luaL_error(state, bytes('Attempt to modify a readonly table')));
    if (lua.lua_pcall(L, 5, 0, 0) !== lua.LUA_OK) throw this.broken(L);
    // What is loaded from here on has the proxy for its globals.
    lua.lua_rawgeti(L, lua.LUA_REGISTRYINDEX, proxyRef);
    lua.lua_rawseti(L, lua.LUA_REGISTRYINDEX, lua.LUA_RIDX_GLOBALS);
  }

  private broken(L: LuaState): Error {
    return new Error(
      `the prelude of Lua does not run: ${latin1(this.fengari.lua.lua_tostring(L, -1) ?? new Uint8Array(0))}`,
    );
  }

  private readonly onMissingGlobal = (L: LuaState): number => {
    const { lua, aux, bytes } = this.fengari;
    const name = lua.lua_type(L, 2) === lua.LUA_TSTRING ? latin1(lua.lua_tostring(L, 2) as Uint8Array) : '?';
    return aux.luaL_error(L, bytes(`Script attempted to access nonexistent global variable '${name}'`));
  };

  /** A global table of functions and numbers. */
  private addLibrary(L: LuaState, name: string, members: Readonly<Record<string, LuaMember>>): void {
    const { lua, bytes } = this.fengari;
    lua.lua_createtable(L, 0, 0);
    this.fill(L, members);
    lua.lua_rawgeti(L, lua.LUA_REGISTRYINDEX, lua.LUA_RIDX_GLOBALS);
    lua.lua_insert(L, -2);
    lua.lua_setfield(L, -2, bytes(name));
    lua.lua_settop(L, 0);
  }

  private extend(L: LuaState, name: string, members: Readonly<Record<string, LuaFunction>>): void {
    const { lua, bytes } = this.fengari;
    lua.lua_getglobal(L, bytes(name));
    this.fill(L, members);
    lua.lua_settop(L, 0);
  }

  private fill(L: LuaState, members: Readonly<Record<string, LuaMember>>): void {
    const { lua, bytes } = this.fengari;
    for (const [name, member] of Object.entries(members)) {
      if (typeof member === 'function') lua.lua_pushcfunction(L, member);
      else if (member === null) lua.lua_pushlightuserdata(L, NULL_POINTER);
      else if (typeof member === 'number') lua.lua_pushnumber(L, member);
      else lua.lua_pushstring(L, bytes(member));
      lua.lua_setfield(L, -2, bytes(name));
    }
  }

  private readonly format = (L: LuaState): number => {
    const { lua, aux, bytes } = this.fengari;
    const count = lua.lua_gettop(L);
    const wrong = (i: number, what: string): never =>
      aux.luaL_error(L, bytes(`bad argument #${i} to 'format' (${what})`));
    if (count < 1 || lua.lua_tostring(L, 1) === null) wrong(1, 'string expected, got no value');
    let at = 1;
    const next = (): number => {
      at++;
      return at <= count ? at : wrong(at, 'no value');
    };
    let text = '';
    try {
      text = formatText(latin1(lua.lua_tostring(L, 1) as Uint8Array), {
        number: () => {
          const i = next();
          return lua.lua_isnumber(L, i) ? lua.lua_tonumber(L, i) : wrong(i, 'number expected');
        },
        text: () => {
          const bytesOf = latin1(aux.luaL_tolstring(L, next()));
          lua.lua_settop(L, -2);
          return bytesOf;
        },
      });
    } catch (thrown) {
      if (!(thrown instanceof Error)) throw thrown;
      aux.luaL_error(L, bytes(thrown.message));
    }
    lua.lua_pushstring(L, Buffer.from(text, 'latin1'));
    return 1;
  };
}
