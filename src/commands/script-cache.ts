/**
 * The scripts that this node has compiled, by their SHA1. It is made with the first script: a server without any never
 * loads Lua. Beyond MAX_SCRIPTS the one that was used longest ago is forgotten; clients then answer NOSCRIPT with EVAL.
 *
 * A script may begin with `#!lua flags=no-writes,…`, as in Redis 7; of the flags only `no-writes` asks for anything here.
 */

import { copyOf, equalBytes, latin1 } from '../bytes.ts';
import { CommandError } from './errors.ts';
import { LuaHost, type Script, SCRIPT_FLAGS } from './lua-host.ts';
import { sha1 } from './lua-redis.ts';
import { ScriptRunner } from './script-run.ts';
import type { Server } from './server-state.ts';

/** Compiled scripts kept; a few kilobytes each. */
export const MAX_SCRIPTS = 10_000;

export interface CachedScript extends Script {
  readonly isReadOnly: boolean;
  readonly body: Uint8Array;
}

export class ScriptCache {
  private readonly server: Server;
  private readonly version: string;
  private readonly scripts = new Map<string, CachedScript>();
  private host: LuaHost | undefined = undefined;
  private kept: ScriptRunner | undefined = undefined;
  /** What EVAL has named last. */
  private last: CachedScript | undefined = undefined;

  /** `version`: of Redis, as scripts see it. */
  constructor(server: Server, version: string) {
    this.server = server;
    this.version = version;
  }

  get count(): number {
    return this.scripts.size;
  }

  /** Bytes of the texts of all scripts. */
  get bytes(): number {
    let bytes = 0;
    for (const script of this.scripts.values()) bytes += script.body.length;
    return bytes;
  }

  get runner(): ScriptRunner {
    this.kept ??= new ScriptRunner(this.lua);
    return this.kept;
  }

  get lua(): LuaHost {
    const { env, config } = this.server;
    this.host ??= new LuaHost({
      clock: env.clock,
      version: this.version,
      limitMs: () => config.get('busy-reply-threshold'),
    });
    return this.host;
  }

  has(sha: string): boolean {
    return this.scripts.has(sha);
  }

  find(sha: string): CachedScript | undefined {
    const script = this.scripts.get(sha);
    if (script !== undefined && this.scripts.size > MAX_SCRIPTS / 2) {
      this.scripts.delete(sha);
      this.scripts.set(sha, script);
    }
    return script;
  }

  /** Compiles a script unless it is known. Throws `CommandError`. */
  load(body: Uint8Array): CachedScript {
    const { last } = this;
    // EVAL mostly says what it said before: comparing costs a tenth of a hash.
    if (last !== undefined && this.scripts.get(last.sha) === last && equalBytes(last.body, body)) return last;
    return (this.last = this.loadAnew(body));
  }

  private loadAnew(body: Uint8Array): CachedScript {
    const known = this.find(sha1(body));
    if (known !== undefined) return known;
    const { text, isReadOnly } = withoutShebang(body);
    const compiled = this.lua.compile(text);
    const script = { ...compiled, sha: sha1(body), isReadOnly, body: copyOf(body) };
    this.scripts.set(script.sha, script);
    if (this.scripts.size > MAX_SCRIPTS) this.drop(this.scripts.keys().next().value as string);
    return script;
  }

  private drop(sha: string): void {
    this.lua.drop(this.scripts.get(sha) as CachedScript);
    this.scripts.delete(sha);
  }

  flush(): void {
    for (const script of this.scripts.values()) this.lua.drop(script);
    this.scripts.clear();
  }
}

/** The line stays as an empty one, so that errors name the right line. */
function withoutShebang(body: Uint8Array): { readonly text: Uint8Array; readonly isReadOnly: boolean } {
  if (body[0] !== 0x23 || body[1] !== 0x21) return { text: body, isReadOnly: false };
  const end = body.indexOf(0x0a);
  if (end < 0) throw new CommandError('ERR Invalid script shebang');
  const [engine, ...words] = latin1(body, 2, end).trim().split(/ +/);
  if (engine !== 'lua') throw new CommandError(`ERR Unexpected engine in script shebang: #!${engine}`);
  let isReadOnly = false;
  for (const word of words) {
    if (!word.startsWith('flags=')) throw new CommandError(`ERR Unknown lua shebang option: ${word}`);
    for (const flag of word.slice(6).split(',').filter(Boolean)) {
      if (!SCRIPT_FLAGS.has(flag)) throw new CommandError(`ERR Unexpected flag in script shebang: ${flag}`);
      if (flag === 'no-writes') isReadOnly = true;
    }
  }
  return { text: body.subarray(end), isReadOnly };
}
