/**
 * The log of a node: pino behind `Log`. For people on a terminal (pino-pretty), JSON lines otherwise.
 *
 * `loglevel` by Redis's names: `debug` shows everything; `verbose` and `notice` leave out what only helps to debug
 * Kvorum itself; `warning` shows warnings and errors.
 */

import { destination, pino, type DestinationStream, type Level, type Logger } from 'pino';
import type { LogLevel } from './config-table.ts';
import type { Log, LogFields } from './env.ts';

const LEVELS: Readonly<Record<LogLevel, Level>> = { debug: 'debug', verbose: 'info', notice: 'info', warning: 'warn' };

export interface NodeLog extends Log {
  setLevel(level: LogLevel): void;
}

/** `file`: path, or empty for standard output. Lines are written at once: the last ones before a crash matter most. */
export async function createLog(options: {
  level: LogLevel;
  file: string;
  isTerminal: boolean;
  name: string;
}): Promise<NodeLog> {
  const stream = options.file === '' && options.isTerminal ? await forPeople() : forMachines(options.file);
  return new PinoLog(pino({ name: options.name, level: LEVELS[options.level] }, stream));
}

async function forPeople(): Promise<DestinationStream> {
  const { default: pretty } = await import('pino-pretty');
  return pretty({
    sync: true,
    colorize: true,
    translateTime: 'SYS:yyyy-mm-dd HH:MM:ss.l',
    ignore: 'pid,hostname,name',
  });
}

function forMachines(file: string): DestinationStream {
  return destination({ dest: file === '' ? 1 : file, sync: true, mkdir: true });
}

class PinoLog implements NodeLog {
  readonly #logger: Logger;

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  setLevel(level: LogLevel): void {
    this.#logger.level = LEVELS[level];
  }

  debug(message: string, fields?: LogFields): void {
    this.#logger.debug(fields ?? {}, message);
  }

  info(message: string, fields?: LogFields): void {
    this.#logger.info(fields ?? {}, message);
  }

  warn(message: string, fields?: LogFields): void {
    this.#logger.warn(fields ?? {}, message);
  }

  error(message: string, fields?: LogFields): void {
    this.#logger.error(fields ?? {}, message);
  }
}
