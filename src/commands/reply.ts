/**
 * Replies as values. A handler returns one; `resp/reply-writer.ts` turns it into RESP2 or RESP3 bytes.
 *
 * | value | RESP2 | RESP3 |
 * |---|---|---|
 * | `Uint8Array`, `string` | bulk string (a string as UTF-8) | the same |
 * | `number` (safe integer), `bigint` (64 bits) | integer | the same |
 * | `null` | `$-1` | `_` |
 * | `Reply[]` | array | array |
 * | the classes below | as each says | |
 */

import { copyOf } from '../bytes.ts';
import type { BulksReply } from './bulks-reply.ts';

export type Reply =
  | Uint8Array
  | string
  | number
  | bigint
  | null
  | readonly Reply[]
  | SimpleString
  | ErrorReply
  | NullArray
  | DoubleReply
  | DecimalReply
  | BooleanReply
  | MapReply
  | PairsReply
  | EntriesReply
  | BulksReply
  | SetReply
  | VerbatimReply
  | BigNumberReply
  | PushReply
  | Replies
  | NoReply;

/** `+text`. Text has no CR or LF. */
export class SimpleString {
  readonly text: string;
  constructor(text: string) {
    this.text = text;
  }
}

/**
 * `-message`. The first word is the code, as Redis writes it. CR and LF become spaces. A byte a character, so that
 * what it quotes of a request (`args.text`) goes back as it came.
 */
export class ErrorReply {
  readonly message: string;
  constructor(message: string) {
    this.message = message;
  }
}

/** `*-1` in RESP2, `_` in RESP3. */
export class NullArray {
  readonly kind = 'null-array';
}

/** A bulk string of the shortest text that reads back the same in RESP2, `,` in RESP3. */
export class DoubleReply {
  readonly value: number;
  constructor(value: number) {
    this.value = value;
  }
}

/** A bulk string in RESP2, `,` in RESP3: a number that is written with digits of its own. */
export class DecimalReply {
  readonly text: string;
  constructor(text: string) {
    this.text = text;
  }
}

/** `:1` and `:0` in RESP2, `#t` and `#f` in RESP3. */
export class BooleanReply {
  readonly value: boolean;
  constructor(value: boolean) {
    this.value = value;
  }
}

/** A flat array of keys and values in RESP2, `%` in RESP3. */
export class MapReply {
  readonly entries: readonly (readonly [Reply, Reply])[];
  constructor(entries: readonly (readonly [Reply, Reply])[]) {
    this.entries = entries;
  }
}

/** A flat array of two replies after two in RESP2, an array of arrays of two in RESP3: members with their scores. */
export class PairsReply {
  readonly pairs: readonly (readonly [Reply, Reply])[];
  constructor(pairs: readonly (readonly [Reply, Reply])[]) {
    this.pairs = pairs;
  }
}

/** An array of arrays of two in RESP2, `%` in RESP3: streams with their entries. */
export class EntriesReply {
  readonly entries: readonly (readonly [Reply, Reply])[];
  constructor(entries: readonly (readonly [Reply, Reply])[]) {
    this.entries = entries;
  }
}

/** An array in RESP2, `~` in RESP3. */
export class SetReply {
  readonly members: readonly Reply[];
  constructor(members: readonly Reply[]) {
    this.members = members;
  }
}

/** A bulk string in RESP2, `=` with its three-letter format in RESP3. */
export class VerbatimReply {
  readonly format: 'txt' | 'mkd';
  readonly text: string;
  constructor(format: 'txt' | 'mkd', text: string) {
    this.format = format;
    this.text = text;
  }
}

/** A bulk string in RESP2, `(` in RESP3. */
export class BigNumberReply {
  readonly digits: string;
  constructor(digits: string) {
    this.digits = digits;
  }
}

/** An array in RESP2, `>` in RESP3: not the answer to a command. */
export class PushReply {
  readonly items: readonly Reply[];
  constructor(items: readonly Reply[]) {
    this.items = items;
  }
}

/** Several replies one after another to one command: what SUBSCRIBE answers. They go past the reply mode, as pushes do. */
export class Replies {
  readonly replies: readonly Reply[];
  constructor(replies: readonly Reply[]) {
    this.replies = replies;
  }
}

/** Nothing is sent (CLIENT REPLY OFF, or the connection is closing). */
export class NoReply {
  readonly kind = 'no-reply';
}

export const OK = new SimpleString('OK');
export const PONG = new SimpleString('PONG');
export const QUEUED = new SimpleString('QUEUED');
export const NULL_ARRAY = new NullArray();
export const NO_REPLY = new NoReply();

/**
 * The reply with bytes in memory of its own. The bytes of a handler's reply may be the engine's, which are valid until
 * the turn ends: a reply that has to wait is kept in this form.
 */
export function ownBytes(reply: Reply): Reply {
  if (reply instanceof Uint8Array) return copyOf(reply);
  if (Array.isArray(reply)) return (reply as readonly Reply[]).map(ownBytes);
  if (reply instanceof SetReply) return new SetReply(reply.members.map(ownBytes));
  if (reply instanceof MapReply)
    return new MapReply(reply.entries.map(([key, value]) => [ownBytes(key), ownBytes(value)]));
  if (reply instanceof PairsReply) return new PairsReply(reply.pairs.map(([a, b]) => [ownBytes(a), ownBytes(b)]));
  if (reply instanceof EntriesReply) return new EntriesReply(reply.entries.map(([a, b]) => [ownBytes(a), ownBytes(b)]));
  return reply;
}
