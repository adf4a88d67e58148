/** Errors that clients see, with Redis's exact texts: one place for all of them. */

import { ErrorReply } from './reply.ts';

/** Thrown by a handler to answer with an error; nothing that it staged is written. */
export class CommandError extends Error {
  override readonly name = 'CommandError';
  readonly reply: ErrorReply;
  constructor(message: string) {
    super(message);
    this.reply = new ErrorReply(message);
  }
}

export const WRONG_TYPE = 'WRONGTYPE Operation against a key holding the wrong kind of value';
export const SYNTAX_ERROR = 'ERR syntax error';
export const NOT_AN_INTEGER = 'ERR value is not an integer or out of range';
export const NOT_32_BITS = 'ERR value is out of range, value must between -2147483648 and 2147483647';
export const NOT_A_FLOAT = 'ERR value is not a valid float';
export const NO_SUCH_KEY = 'ERR no such key';
export const OVERFLOW = 'ERR increment or decrement would overflow';
export const NO_AUTH = 'NOAUTH Authentication required.';
export const INDEX_OUT_OF_RANGE = 'ERR DB index is out of range';
export const UNBLOCKED = 'UNBLOCKED client unblocked via CLIENT UNBLOCK';
export const SAME_OBJECT = 'ERR source and destination objects are the same';

export function wrongArity(command: string): string {
  return `ERR wrong number of arguments for '${command}' command`;
}

/** To a subscriber that speaks RESP2; `command`: its full name. */
export function onlySubscribing(command: string): string {
  return `ERR Can't execute '${command}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context`;
}

export function invalidExpire(command: string): string {
  return `ERR invalid expire time in '${command}' command`;
}
