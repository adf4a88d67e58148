/**
 * The log of a node: pino behind `Log`. For people on a terminal (pino-pretty), JSON lines otherwise.
 *
 * `loglevel` by Redis's names: `debug` shows everything; `verbose` and `notice` leave out what only helps to debug
 * Kvorum itself; `warning` shows warnings and errors.
 */

import { destination, pino, type Level, type Logger } from 'pino';
import pretty from 'pino-pretty';
import type { LogLevel } from './config-table.ts';
import type { Log, LogFields } from './env.ts';

const LEVELS: Readonly<Record<LogLevel, Level>> = { debug: 'debug', verbose: 'info', notice: 'info', warning: 'warn' };

export interface NodeLog extends Log {
  setLevel(level: LogLevel): void;
}

/** `file`: path, or empty for standard output. Lines are written at once: the last ones before a crash matter most. */
export function createLog(options: { level: LogLevel; file: string; isTerminal: boolean; name: string }): NodeLog {
  const target = options.file === '' ? 1 : options.file;
  const stream =
    options.file === '' && options.isTerminal
      ? pretty({ sync: true, colorize: true, translateTime: 'SYS:yyyy-mm-dd HH:MM:ss.l', ignore: 'pid,hostname,name' })
      : destination({ dest: target, sync: true, mkdir: true });
  return new PinoLog(pino({ name: options.name, level: LEVELS[options.level] }, stream));
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
