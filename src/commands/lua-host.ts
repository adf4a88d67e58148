/**
 * The Lua state that scripts run in: compiled once, run in one turn over the view of the command that called them.
 *
 * Invariants:
 * - A run leaves the stack as it was, and nothing of it in the state but what the libraries keep (they are read-only).
 * - A `Miss`, and whatever else is no error of the script's, ends the script whatever it catches: it is kept in `fatal`,
 *   raised again wherever the script would go on, and thrown when the state has come back.
 * - A script that runs for longer than `limitMs` rests now and then, where its world allows it: `run` throws `Resting`, and
 *   `resume` goes on with it in a later turn. Scripts run as coroutines, which a hook suspends; a coroutine of the script's
 *   own, a comparison of `table.sort` or a function that `gsub` calls cannot be left, and rests when it is over.
 * - Where it may not rest, or cannot for long, a script is ended. Nothing was written yet, so nothing of it stays.
 */

import { latin1 } from '../bytes.ts';
import type { Clock } from '../env.ts';
import { CommandError } from './errors.ts';
import { bitLibrary } from './lua-bit.ts';
import { cjsonLibrary } from './lua-cjson.ts';
import { cmsgpackLibrary } from './lua-cmsgpack.ts';
import {
  fengari,
  type Fengari,
  type LuaFunction,
  type LuaSlot,
  type LuaState,
  type LuaTable,
  NULL_POINTER,
} from './lua-fengari.ts';
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

/** A script that rests now and then runs for so long in between, in ms. */
const SLICE_MS = 5;

/** How long a script may stay where it cannot be left, in ms, when it is due to rest. */
const STUCK_MS = 5_000;

/** What errors call the place of a script. */
const CHUNK_NAME = '@user_script';

export const SCRIPT_LIMIT_EXCEEDED =
  'ERR the script ran for longer than busy-reply-threshold and was ended; nothing was changed';

/** As Redis says it, of functions too. */
const KILLED = 'ERR Script killed by user with SCRIPT KILL...';

const LIBRARY_CHUNK = '@user_function';
const PRELUDE_NAME = '@prelude';

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

/** A script under way. */
interface LuaRun {
  readonly thread: LuaState;
  /** undefined while a library is loaded. */
  readonly world: ScriptWorld | undefined;
  /** A SHA1, or the name of a function. */
  readonly name: string;
  readonly chunk: string;
  /** The tables KEYS and ARGV; functions have none. */
  readonly tables: readonly [LuaTable, LuaTable] | undefined;
}

/** A script that rests, thrown by `run` and `resume`. */
export class Resting {
  readonly run: LuaRun;
  /** The protocol of the replies that it gets. */
  readonly resp: 2 | 3;
  /** What it waits for, if it is not only for others to run. */
  readonly awaited: (() => Promise<void>) | undefined;
  /** It is to end as soon as it goes on. */
  isKilled = false;

  constructor(run: LuaRun, resp: 2 | 3, awaited: (() => Promise<void>) | undefined) {
    this.run = run;
    this.resp = resp;
    this.awaited = awaited;
  }

  get isFunction(): boolean {
    return this.run.tables === undefined;
  }

  get hasWritten(): boolean {
    return this.run.world?.hasWritten === true;
  }

  /** What it answers when it is killed where nobody knows the line. */
  get killedReply(): ErrorReply {
    return new ErrorReply(`${KILLED} script: ${this.run.name}, on ${this.run.chunk}.`);
  }
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
  /** Where the tables KEYS and ARGV stand. */
  private readonly keysSlot: LuaSlot;
  private readonly argvSlot: LuaSlot;
  /** Of the run under way. */
  world: ScriptWorld | undefined = undefined;
  resp: 2 | 3 = 2;
  /** When it is due to rest, or to be ended. */
  private dueUs = 0;
  fatal: { readonly thrown: unknown } | undefined = undefined;
  awaited: (() => Promise<void>) | undefined = undefined;
  /** The coroutine of the run under way. */
  private thread: LuaState | undefined = undefined;
  /** One that has nothing to do. */
  private spare: LuaState | undefined = undefined;

  constructor(options: { clock: Clock; version: string; limitMs(): number }) {
    this.clock = options.clock;
    this.limitMs = () => options.limitMs();
    this.values = new LuaValues(this.fengari);
    this.redis = new RedisLibrary(this.fengari, this.values, this);
    this.L = this.newState(options.version);
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

  /** Runs a script; its error is a reply. Throws what `world.call` throws, and `Resting`. */
  run(script: Script, keys: readonly Uint8Array[], argv: readonly Uint8Array[], world: ScriptWorld): Reply {
    const { L } = this;
    const { lua, tableOf } = this.fengari;
    const tables = [tableOf(L, keys), tableOf(L, argv)] as const;
    const thread = this.begin(world);
    lua.lua_rawgeti(thread, lua.LUA_REGISTRYINDEX, script.ref);
    return this.goOn({ thread, world, name: script.sha, chunk: CHUNK_NAME, tables }, 0);
  }

  /** Goes on with a script that rested; as `run`. */
  resume(rested: Resting): Reply {
    const { run } = rested;
    this.world = run.world;
    this.resp = rested.resp;
    this.fatal = rested.isKilled ? { thrown: rested } : undefined;
    this.dueUs = this.clock.monotonicUs() + SLICE_MS * 1000;
    return this.goOn(run, 0);
  }

  /** Runs a function of a library; as `run`. */
  runFunction(
    called: LibraryFunction,
    keys: readonly Uint8Array[],
    args: readonly Uint8Array[],
    world: ScriptWorld,
  ): Reply {
    const { lua } = this.fengari;
    const thread = this.begin(world);
    lua.lua_rawgeti(thread, lua.LUA_REGISTRYINDEX, called.ref);
    this.pushStrings(thread, keys);
    this.pushStrings(thread, args);
    return this.goOn({ thread, world, name: called.name, chunk: LIBRARY_CHUNK, tables: undefined }, 2);
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
      const thread = this.begin(undefined);
      lua.lua_rawgeti(thread, lua.LUA_REGISTRYINDEX, chunk);
      const reply = this.goOn({ thread, world: undefined, name: '', chunk: LIBRARY_CHUNK, tables: undefined }, 0);
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

  /** Makes ready for a run, and returns the coroutine for it. */
  private begin(world: ScriptWorld | undefined): LuaState {
    this.world = world;
    this.resp = 2;
    this.fatal = undefined;
    this.random.reset();
    const limitMs = world?.isOverdue === true ? SLICE_MS : this.limitMs();
    this.dueUs = limitMs > 0 ? this.clock.monotonicUs() + limitMs * 1000 : Number.POSITIVE_INFINITY;
    const thread = this.spare ?? this.newThread();
    this.spare = undefined;
    return thread;
  }

  private newThread(): LuaState {
    const { L } = this;
    const { lua } = this.fengari;
    const thread = lua.lua_newthread(L);
    lua.lua_settop(L, -2);
    // What the script makes of coroutines has the same hook.
    lua.lua_sethook(thread, this.onHook, lua.LUA_MASKCOUNT, HOOK_INSTRUCTIONS);
    return thread;
  }

  /** Starts or resumes what is on the stack of a coroutine, a function and `count` arguments. */
  private goOn(run: LuaRun, count: number): Reply {
    const { thread, tables } = run;
    const { lua } = this.fengari;
    if (tables !== undefined) {
      this.keysSlot.sethvalue(tables[0]);
      this.argvSlot.sethvalue(tables[1]);
    }
    this.thread = thread;
    this.awaited = undefined;
    try {
      const status = lua.lua_resume(thread, this.L, count);
      if (status === lua.LUA_YIELD) throw new Resting(run, this.resp, this.awaited);
      if (status !== lua.LUA_OK) return this.failed(run);
      this.rethrow();
      lua.lua_settop(thread, 1);
      const reply = this.values.pop(thread, this.resp);
      this.spare = thread;
      return reply;
    } finally {
      this.thread = undefined;
      this.world = undefined;
      // Functions get theirs as arguments: for them there are no such globals.
      this.keysSlot.setnilvalue();
      this.argvSlot.setnilvalue();
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

  private pushStrings(L: LuaState, items: readonly Uint8Array[]): void {
    const { lua } = this.fengari;
    lua.lua_createtable(L, items.length, 0);
    for (const [i, item] of items.entries()) {
      lua.lua_pushstring(L, item);
      lua.lua_rawseti(L, -2, i + 1);
    }
  }

  /** The error on top of the stack of a coroutine, as Redis tells it, with the place where it was raised. */
  private failed({ thread, name, chunk }: LuaRun): Reply {
    const { lua, aux } = this.fengari;
    if (this.fatal?.thrown instanceof Resting) {
      this.fatal = undefined;
      return new ErrorReply(`${KILLED} script: ${name}, on ${this.placeOfError(thread) ?? chunk}.`);
    }
    this.rethrow();
    const at = this.placeOfError(thread) ?? chunk;
    lua.lua_checkstack(thread, 8);
    let message = 'ERR unknown error';
    if (lua.lua_type(thread, -1) === lua.LUA_TTABLE) {
      const reply = this.values.pop(thread, 2);
      if (reply instanceof ErrorReply) ({ message } = reply);
    } else message = `ERR ${latin1(aux.luaL_tolstring(thread, -1)).replaceAll(/[\r\n]/g, ' ')}`;
    return new ErrorReply(`${message} script: ${name}, on ${at}.`);
  }

  /** The line at which a coroutine has failed: its stack is as it was then. */
  private placeOfError(thread: LuaState): string | undefined {
    const { lua, bytes } = this.fengari;
    const frame = new lua.lua_Debug();
    for (let level = 0; lua.lua_getstack(thread, level, frame) === 1; level++) {
      lua.lua_getinfo(thread, bytes('Sl'), frame);
      const source = latin1(frame.source ?? bytes(CHUNK_NAME));
      if (frame.currentline >= 0 && source !== PRELUDE_NAME) return `${source}:${frame.currentline}`;
    }
    return undefined;
  }

  private readonly onHook = (L: LuaState): void => {
    if (this.fatal === undefined && this.clock.monotonicUs() > this.dueUs) this.overdue(L);
    this.raiseFatal(L);
  };

  /** Lets the script rest, or ends it. */
  private overdue(L: LuaState): void {
    const { lua } = this.fengari;
    if (this.mayRest(L)) lua.lua_yield(L, 0);
    else if (this.world?.mayRest !== true || this.clock.monotonicUs() > this.dueUs + STUCK_MS * 1000) {
      this.fatal = { thrown: new CommandError(SCRIPT_LIMIT_EXCEEDED) };
    }
  }

  mayRest(L: LuaState): boolean {
    return this.world?.mayRest === true && L === this.thread && this.fengari.lua.lua_isyieldable(L);
  }

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
    if (aux.luaL_loadbuffer(L, bytes(PRELUDE), null, bytes(PRELUDE_NAME)) !== lua.LUA_OK) throw this.broken(L);
    doublesOnly(L);
    lua.lua_rawgeti(L, lua.LUA_REGISTRYINDEX, lua.LUA_RIDX_GLOBALS);
    lua.lua_pushvalue(L, -1);
    this.globalsRef = aux.luaL_ref(L, lua.LUA_REGISTRYINDEX);
    lua.lua_createtable(L, 0, 0);
    lua.lua_pushvalue(L, -1);
    const proxyRef = aux.luaL_ref(L, lua.LUA_REGISTRYINDEX);
    // Called after every error that was caught.
    lua.lua_pushcfunction(L, (state) => {
      state.allowhook = 1;
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
