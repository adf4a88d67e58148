/** The library `redis` of scripts: commands, replies, the log. */

import { createHash } from 'node:crypto';
import { latin1 } from '../bytes.ts';
import { Miss } from '../repl/miss.ts';
import type { Fengari, LuaFunction, LuaState } from './lua-fengari.ts';
import { formatText } from './lua-format.ts';
import type { LuaValues } from './lua-values.ts';
import { ErrorReply, type Reply } from './reply.ts';

/** What a script can do to the world. */
export interface ScriptWorld {
  /** It may be left for others to run, and gone on with later, when it takes long. */
  readonly mayRest: boolean;
  /** Others have waited for it long enough already: it rests soon. */
  readonly isOverdue: boolean;
  /** It has run a command that writes. */
  readonly hasWritten: boolean;
  /** Runs a command; an error is a reply. Throws what must end the script: a `Miss`. */
  call(words: readonly Uint8Array[], resp: 2 | 3): Reply;
  log(level: number, text: string): void;
}

/** A command has missed a block before it has staged anything: it may be called again. */
export class RetryableMiss extends Miss {}

/** The run under way, as the library sees it. */
export interface ScriptRun {
  /** undefined while a library is loaded. */
  readonly world: ScriptWorld | undefined;
  /** The protocol of the replies that the script gets. */
  resp: 2 | 3;
  /** What the script waits for while it rests. */
  awaited: (() => Promise<void>) | undefined;
  /** Whether the script may rest where it is. */
  mayRest(L: LuaState): boolean;
  /** What ends the script and is thrown when the state has come back. */
  fatal: { readonly thrown: unknown } | undefined;
  /** Ends the script when it must end. */
  raiseFatal(L: LuaState): void;
}

export class RedisLibrary {
  private readonly fengari: Fengari;
  private readonly values: LuaValues;
  private readonly run: ScriptRun;

  constructor(fengari: Fengari, values: LuaValues, run: ScriptRun) {
    this.fengari = fengari;
    this.values = values;
    this.run = run;
  }

  /** Functions and constants by name. `version`: of Redis, three numbers with points. */
  members(version: string): Record<string, LuaFunction | number | string> {
    const [major = 0, minor = 0, patch = 0] = version.split('.').map(Number);
    const nothing: LuaFunction = () => 0;
    return {
      call: (L) => this.call(L, true),
      pcall: (L) => this.call(L, false),
      error_reply: (L) => this.markedReply(L, 'err'),
      status_reply: (L) => this.markedReply(L, 'ok'),
      sha1hex: this.sha1hex,
      log: this.log,
      setresp: this.setResp,
      replicate_commands: (L) => {
        this.fengari.lua.lua_pushboolean(L, true);
        return 1;
      },
      set_repl: nothing,
      breakpoint: (L) => {
        this.fengari.lua.lua_pushboolean(L, false);
        return 1;
      },
      debug: nothing,
      LOG_DEBUG: 0,
      LOG_VERBOSE: 1,
      LOG_NOTICE: 2,
      LOG_WARNING: 3,
      REPL_NONE: 0,
      REPL_AOF: 1,
      REPL_SLAVE: 2,
      REPL_REPLICA: 2,
      REPL_ALL: 3,
      REDIS_VERSION: version,
      REDIS_VERSION_NUM: major * 65_536 + minor * 256 + patch,
    };
  }

  private call(L: LuaState, raises: boolean): number {
    const { values } = this;
    const { world, resp } = this.run;
    this.run.raiseFatal(L);
    const words = this.wordsOf(L);
    let reply: Reply;
    if (typeof words === 'string') reply = new ErrorReply(words);
    else if (world === undefined)
      reply = new ErrorReply('ERR redis.call can only be called inside a script invocation');
    else {
      try {
        reply = world.call(words, resp);
      } catch (thrown) {
        if (thrown instanceof RetryableMiss && this.run.mayRest(L)) {
          this.run.awaited = thrown.load;
          return this.fengari.lua.lua_yieldk(L, 0, 0, raises ? this.callAgain : this.pcallAgain);
        }
        this.run.fatal = { thrown };
        this.run.raiseFatal(L);
        throw thrown;
      }
    }
    values.push(L, reply, resp);
    return reply instanceof ErrorReply && raises ? this.fengari.lua.lua_error(L) : 1;
  }

  private readonly callAgain: LuaFunction = (L) => this.call(L, true);
  private readonly pcallAgain: LuaFunction = (L) => this.call(L, false);

  /** The arguments as words of a command, or what is wrong with them. */
  private wordsOf(L: LuaState): Uint8Array[] | string {
    const { lua } = this.fengari;
    const count = lua.lua_gettop(L);
    if (count === 0) return 'ERR Please specify at least one argument for this redis lib call';
    const words: Uint8Array[] = [];
    for (let i = 1; i <= count; i++) {
      const type = lua.lua_type(L, i);
      if (type === lua.LUA_TNUMBER) words.push(Buffer.from(numberText(lua.lua_tonumber(L, i))));
      else if (type === lua.LUA_TSTRING) words.push(lua.lua_tostring(L, i) as Uint8Array);
      else return 'ERR Lua redis lib command arguments must be strings or integers';
    }
    return words;
  }

  /** Raises an error as `redis.call` does. */
  raise(L: LuaState, text: string): never {
    this.values.pushField(L, 'err', Buffer.from(`ERR ${text}`));
    return this.fengari.lua.lua_error(L);
  }

  private markedReply(L: LuaState, mark: 'err' | 'ok'): number {
    const { lua } = this.fengari;
    if (lua.lua_gettop(L) !== 1 || lua.lua_type(L, 1) !== lua.LUA_TSTRING) {
      this.values.pushField(L, 'err', Buffer.from('ERR wrong number or type of arguments'));
      return 1;
    }
    const given = lua.lua_tostring(L, 1) as Uint8Array;
    let text = given;
    if (mark === 'err') {
      const plain = latin1(given);
      // A message without a code gets one; a dash is what Redis would write before it.
      const message = plain.startsWith('-') ? plain.slice(1) : plain;
      text = Buffer.from(message.includes(' ') ? message : `ERR ${message}`, 'latin1');
    }
    this.values.pushField(L, mark, text);
    return 1;
  }

  private readonly sha1hex: LuaFunction = (L) => {
    const { lua, bytes } = this.fengari;
    if (lua.lua_gettop(L) !== 1) return this.raise(L, 'wrong number of arguments');
    lua.lua_pushstring(L, bytes(sha1(lua.lua_tostring(L, 1) ?? new Uint8Array(0))));
    return 1;
  };

  private readonly log: LuaFunction = (L) => {
    const { lua } = this.fengari;
    const count = lua.lua_gettop(L);
    if (count < 2) return this.raise(L, 'redis.log() requires two arguments or more.');
    if (!lua.lua_isnumber(L, 1)) return this.raise(L, 'First argument must be a number (log level).');
    const level = lua.lua_tonumber(L, 1);
    if (level < 0 || level > 3) return this.raise(L, 'Invalid debug level.');
    const parts: string[] = [];
    for (let i = 2; i <= count; i++) parts.push(Buffer.from(lua.lua_tostring(L, i) ?? new Uint8Array(0)).toString());
    this.run.world?.log(level, parts.join(' '));
    return 0;
  };

  private readonly setResp: LuaFunction = (L) => {
    const { lua } = this.fengari;
    if (lua.lua_gettop(L) !== 1) return this.raise(L, 'redis.setresp() requires one argument.');
    const version = lua.lua_tonumber(L, 1);
    if (version !== 2 && version !== 3) return this.raise(L, 'RESP version must be 2 or 3.');
    this.run.resp = version;
    return 0;
  };
}

/** In hexadecimal digits: what EVALSHA calls a script by. */
export function sha1(body: Uint8Array): string {
  return createHash('sha1').update(body).digest('hex');
}

/** A number as a word: whole ones without a point, others with 17 digits as `%.17g` has them. */
function numberText(value: number): string {
  if (Number.isSafeInteger(value)) return Object.is(value, -0) ? '-0' : String(value);
  return formatText('%.17g', { number: () => value, text: () => '' });
}
