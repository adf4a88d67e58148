/** The command lines `kvorum backup` and `kvorum restore`. */

import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { Config, ConfigError } from '../config.ts';
import type { Network, Timers } from '../env.ts';
import { copyStore, isEmptyDirectory, type Copied } from './copy-store.ts';
import { backupRunning } from './online-backup.ts';
import { bytesText, counted, messageOf, type ToolParts } from './tool.ts';
import { exitCode } from './run-tool.ts';

export const backupHelp = `kvorum backup [--host HOST] [--port N] [--pass WORD] [--link] [kvorum.conf] TARGET
    Copies the data of the running server there into the new or empty directory TARGET: all that was acknowledged
    before, as a checkpoint (BGSAVE) has it. On the machine of the server, as its user. kvorum.conf gives address and
    password; the password may also stand in the environment variable KVORUM_AUTH.
kvorum backup --dir DIR [--link] TARGET
    The same for the data of a server that does not run.
kvorum restore SOURCE --dir DIR
    Copies the backup SOURCE into the new or empty directory DIR, for a new server to start on.

--link  hard links instead of copies: at once and without more space, on the same file system; the tables are not read

Copies are checked with every checksum. Exit codes: 0 done, 1 failed (nothing is left in TARGET), 2 wrong command line.`;

/** Of a data directory that a server has, or had when it ended (env-node-lock.ts). */
const LOCK_FILE = 'kvorum.lock';

const DEFAULT_HOST = '127.0.0.1';
const DEFAULT_PORT = 6379;
const MAX_PORT = 65_535;

export interface BackupParts extends ToolParts {
  readonly network: Network;
  readonly timers: Timers;
  /** Of what went wrong. */
  readonly printError: (line: string) => void;
  /** Takes the lock of a data directory; rejects when a server has it. */
  readonly lock: (directory: string) => Promise<{ release(): void } | undefined>;
  /** Password from the environment. */
  readonly password: string | undefined;
}

/** A command line that makes no sense. */
class Mistake extends Error {}

const flags = {
  help: { type: 'boolean', short: 'h' },
  host: { type: 'string' },
  port: { type: 'string' },
  pass: { type: 'string' },
  dir: { type: 'string' },
  link: { type: 'boolean' },
} as const;

/** Runs `kvorum <argv>`; the exit code. */
export async function runBackup(argv: readonly string[], parts: BackupParts): Promise<number> {
  try {
    const line = parse(argv);
    if (line.values.help === true) parts.print(backupHelp);
    else if (line.name === 'restore') await restore(line, parts);
    else await backup(line, parts);
    return exitCode.FINE;
  } catch (error) {
    const isMistake = error instanceof Mistake;
    parts.printError(`kvorum ${argv[0]}: ${messageOf(error)}`);
    if (isMistake) parts.printError('see kvorum backup --help');
    return isMistake ? exitCode.MISTAKE : exitCode.PROBLEMS;
  }
}

type Line = ReturnType<typeof parse>;

function parse(argv: readonly string[]) {
  const [name, ...args] = argv;
  try {
    const { values, positionals } = parseArgs({ args, options: flags, allowPositionals: true, strict: true });
    return { name, values, words: positionals };
  } catch (error) {
    throw new Mistake(messageOf(error), { cause: error });
  }
}

async function backup({ values, words }: Line, parts: BackupParts): Promise<void> {
  const target = words.at(-1);
  if (target === undefined) throw new Mistake('TARGET is missing: the directory that is to hold the backup');
  if (words.length > 2) throw new Mistake(`too many words: ${words.join(' ')}`);
  const link = values.link === true;
  const path = resolve(target);
  if (values.dir === undefined) {
    const server = serverOf(values, words.length === 2 ? words[0] : undefined, parts);
    await into(path, parts, (made) => backupRunning({ ...parts, parts, ...server, target: made, link }));
    return;
  }
  if (words.length === 2 || values.host !== undefined || values.port !== undefined || values.pass !== undefined) {
    throw new Mistake(
      '--dir is for a server that does not run; --host, --port, --pass and kvorum.conf for one that does',
    );
  }
  const source = resolve(values.dir);
  if (!parts.disk.exists(source)) throw new Error(`there is no directory ${source}`);
  const lock = await parts.lock(source);
  try {
    await into(path, parts, (made) => copyStore({ parts, source, target: made, link }));
  } finally {
    lock?.release();
  }
}

async function restore({ values, words }: Line, parts: BackupParts): Promise<void> {
  const [source, ...more] = words;
  if (source === undefined || more.length > 0) throw new Mistake('say kvorum restore SOURCE --dir DIR');
  if (values.dir === undefined) throw new Mistake('--dir is missing: the directory that is to hold the data');
  const other = (['host', 'port', 'pass', 'link'] as const).find((flag) => values[flag] !== undefined);
  if (other !== undefined) throw new Mistake(`--${other} says nothing to restore`);
  const from = resolve(source);
  if (!parts.disk.exists(from)) throw new Error(`there is no directory ${from}`);
  const sourceLock = await lockIfUsed(from, parts);
  try {
    await into(resolve(values.dir), parts, async (target) => {
      const lock = await parts.lock(target);
      try {
        return await copyStore({ parts, source: from, target, link: false });
      } finally {
        lock?.release();
      }
    });
  } finally {
    sourceLock?.release();
  }
}

/** A backup has no lock; the data of a server has one, and while it runs it would change under the copy. */
async function lockIfUsed(source: string, parts: BackupParts): Promise<{ release(): void } | undefined> {
  return parts.disk.exists(`${source}/${LOCK_FILE}`) ? parts.lock(source) : undefined;
}

/** Makes the target unless it is there, and says what came into it; on failure what was made is removed. */
async function into(target: string, parts: BackupParts, copy: (target: string) => Promise<Copied>): Promise<void> {
  const { disk, print } = parts;
  if (!isEmptyDirectory(disk, target)) throw new Error(`${target} is not empty: name a new or empty directory`);
  const isNew = !disk.exists(target);
  disk.makeDirectory(target);
  let copied: Copied;
  try {
    copied = await copy(target);
  } catch (error) {
    if (isNew && disk.list(target).length === 0) disk.removeDirectory(target);
    throw error;
  }
  print(`${counted(copied.tables, 'table')}, ${bytesText(copied.bytes)}, in ${target}`);
}

/** Address and password: from the flags, the environment and the file, in this order. */
function serverOf(
  values: Line['values'],
  path: string | undefined,
  parts: BackupParts,
): { host: string; port: number; password: string } {
  const config = path === undefined ? undefined : loadConfig(path, parts);
  const port = values.port === undefined ? (config?.get('port') ?? DEFAULT_PORT) : Number(values.port);
  if (!(Number.isInteger(port) && port > 0 && port <= MAX_PORT)) throw new Mistake(`there is no port ${values.port}`);
  const host = values.host ?? localHost(config?.get('bind') ?? []);
  return { host, port, password: values.pass ?? parts.password ?? config?.get('requirepass') ?? '' };
}

function loadConfig(path: string, parts: BackupParts): Config {
  try {
    return Config.load(parts.disk, { path });
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    throw new Error(`the configuration cannot be used:\n${error.message}`, { cause: error });
  }
}

/** An address on which a server that listens on `bind` is reached from this machine. */
function localHost(bind: readonly string[]): string {
  const first = bind.find((host) => !host.startsWith('-'));
  if (first === undefined || first === '*' || first === '0.0.0.0') return DEFAULT_HOST;
  return first === '::' || first === '::*' ? '::1' : first;
}
