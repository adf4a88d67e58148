/**
 * What simulated clients ask for, as commands of Redis, and what it means on one key: a string, absent being ''. Knows
 * Redis's documented behaviour and nothing of the product. Values are never written twice, so that every reply tells
 * which writes it comes from.
 */

import { must, unreachable } from '../../../src/assert.ts';
import { applyCell, cellWords, inOrder, type CellOperation } from './collection-model.ts';

export type Single =
  | { readonly kind: 'get' | 'incr' | 'del' | 'getdel' }
  | { readonly kind: 'set' | 'setnx' | 'setxx' | 'append'; readonly value: string }
  | { readonly kind: 'setpx' | 'setnxpx'; readonly value: string; readonly px: number }
  | CellOperation;

export type Operation =
  | Single
  /** MULTI … EXEC on the one key. */
  | { readonly kind: 'multi'; readonly parts: readonly Single[] }
  /** WATCH, GET, then MULTI SET EXEC: takes effect only while the key has what the GET saw. */
  | { readonly kind: 'swap'; readonly value: string }
  /** Not asked for by anybody: the value's time is over. */
  | { readonly kind: 'expiry'; readonly value: string };

/** A reply as text: `+OK`, `:7`, `$value`, `nil`, `[a b]` of such, `-ERR …`. */
export type ReplyText = string;

export interface Effect {
  readonly state: string;
  readonly reply: ReplyText;
}

const OK = '+OK';
const NIL = 'nil';

export function wordsOf(operation: Single, key: string): string[] {
  switch (operation.kind) {
    case 'get':
    case 'incr':
    case 'del':
    case 'getdel':
      return [operation.kind.toUpperCase(), key];
    case 'set':
      return ['SET', key, operation.value];
    case 'setnx':
      return ['SET', key, operation.value, 'NX'];
    case 'setxx':
      return ['SET', key, operation.value, 'XX'];
    case 'append':
      return ['APPEND', key, operation.value];
    case 'setpx':
      return ['SET', key, operation.value, 'PX', String(operation.px)];
    case 'setnxpx':
      return ['SET', key, operation.value, 'NX', 'PX', String(operation.px)];
    case 'cell':
      return cellWords(operation, key);
    default:
      return unreachable(operation);
  }
}

/** The same, longer by so many bytes; no two texts become one. */
export function padded(text: string, bytes: number): string {
  return `${text}${PADDING.repeat(bytes)}`;
}

/** What was padded as it was. */
export function unpadded(text: string): string {
  return text.replaceAll(PADDING, '');
}

const PADDING = '~';

/** Runs one command on a state. */
export function applySingle(state: string, operation: Single): Effect {
  switch (operation.kind) {
    case 'get':
      return { state, reply: state === '' ? NIL : `$${state}` };
    case 'set':
    case 'setpx':
      return { state: operation.value, reply: OK };
    case 'setnx':
    case 'setnxpx':
      return state === '' ? { state: operation.value, reply: OK } : { state, reply: NIL };
    case 'setxx':
      return state === '' ? { state, reply: NIL } : { state: operation.value, reply: OK };
    case 'incr': {
      const number = String(Number(state) + 1);
      return { state: number, reply: `:${number}` };
    }
    case 'append':
      return { state: state + operation.value, reply: `:${state.length + operation.value.length}` };
    case 'del':
      return { state: '', reply: state === '' ? ':0' : ':1' };
    case 'getdel':
      return { state: '', reply: state === '' ? NIL : `$${state}` };
    case 'cell':
      return applyCell(state, operation);
    default:
      return unreachable(operation);
  }
}

/** What a client saw of one operation; `reply` is undefined when it is unknown whether the operation took effect. */
export interface Seen {
  readonly operation: Operation;
  readonly reply: ReplyText | undefined;
  /** Of `swap`: what the GET under WATCH had answered. */
  readonly watched?: ReplyText | undefined;
}

/**
 * The state after an operation, or undefined when it cannot have been answered so in this state. An operation with an
 * unknown outcome that would change nothing is not worth a place in the order: undefined too.
 */
export function stepOf(state: string, seen: Seen): string | undefined {
  const { operation, reply } = seen;
  if (operation.kind === 'expiry') return state === operation.value ? '' : undefined;
  const effect = operation.kind === 'swap' ? swapEffect(state, operation.value, seen) : effectOf(state, operation);
  if (reply === undefined) return effect.state === state ? undefined : effect.state;
  return told(operation, reply) === effect.reply ? effect.state : undefined;
}

function effectOf(
  state: string,
  operation: Single | { readonly kind: 'multi'; readonly parts: readonly Single[] },
): Effect {
  if (operation.kind !== 'multi') return applySingle(state, operation);
  let current = state;
  const replies: string[] = [];
  for (const part of operation.parts) {
    const effect = applySingle(current, part);
    current = effect.state;
    replies.push(effect.reply);
  }
  return { state: current, reply: `[${replies.join(' ')}]` };
}

function told(operation: Operation, reply: ReplyText): ReplyText {
  return operation.kind === 'cell' ? inOrder(operation, reply) : reply;
}

/** EXEC may refuse whatever the key has now: it may have changed and changed back. */
function swapEffect(state: string, value: string, seen: Seen): Effect {
  const isAsWatched = applySingle(state, { kind: 'get' }).reply === seen.watched;
  return seen.reply === NIL || !isAsWatched ? { state, reply: NIL } : { state: value, reply: `[${OK}]` };
}

/** A reply as redis-parser gives it, as text. */
export function replyText(reply: unknown): ReplyText {
  if (reply === null) return NIL;
  if (typeof reply === 'number') return `:${reply}`;
  if (reply instanceof Error) return `-${reply.message}`;
  if (Array.isArray(reply)) return `[${reply.map(replyText).join(' ')}]`;
  const text = must(typeof reply === 'string' ? reply : undefined, 'a reply of RESP2');
  return text === 'OK' ? OK : text === 'QUEUED' ? '+QUEUED' : `$${text}`;
}
