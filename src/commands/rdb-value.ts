/**
 * Values of every type as RDB has them, by the byte that says the form:
 *
 * ```
 *  0 string   string                                1 list    length, strings
 *  2 set      length, strings                       4 hash    length, field and value strings
 *  5 sorted set   length, then each: string, f64 LE  (3: as text with a length byte, 253 nan, 254 inf, 255 -inf)
 * 11 set      string: intset                       20 set     string: listpack
 * 16 hash     string: listpack (13: ziplist)       17 sorted set  string: listpack (12: ziplist)
 * 18 list     length nodes, each: length 1 string, or 2 string: listpack      (14: strings: ziplists; 10: one ziplist)
 * 19 stream   rdb-stream.ts (also 15, 21)
 * 24 hash     i64 LE earliest deadline, length, then each: length deadline - earliest + 1 (0: none), field, value strings
 * 25 hash     i64 LE earliest deadline, string: listpack of field, value and deadline (0: none)
 * ```
 *
 * Written are 0, 1, 2, 4, 5 and 19, which Redis 7.0 reads and turns into its small forms itself, and 24 (Redis 7.4) where
 * fields have deadlines.
 */

import { latin1 } from '../bytes.ts';
import { DamagedError } from '../cluster/byte-cursor.ts';
import { readIntset, readListpack, readZiplist } from './rdb-listpack.ts';
import type { RdbReader } from './rdb-reader.ts';
import { readStream, type StreamImage, writeStream } from './rdb-stream.ts';
import type { RdbWriter } from './rdb-writer.ts';
import type { Scored } from './sorted-set-row.ts';

export type RdbValue =
  | { readonly kind: 'string'; readonly value: Uint8Array }
  | { readonly kind: 'list'; readonly values: readonly Uint8Array[] }
  | { readonly kind: 'set'; readonly members: readonly Uint8Array[] }
  /** Fields and values in turn; `deadlines` in ms since 1970, one a field, 0: none. */
  | { readonly kind: 'hash'; readonly words: readonly Uint8Array[]; readonly deadlines: readonly number[] }
  | { readonly kind: 'sorted-set'; readonly members: readonly Scored[] }
  | { readonly kind: 'stream'; readonly stream: StreamImage };

/** The forms that may have very many elements (see the head of this file). */
export const rdbForm = {
  LIST: 1,
  SET: 2,
  SORTED_SET_TEXT: 3,
  HASH: 4,
  SORTED_SET: 5,
  LIST_OF_ZIPLISTS: 14,
  LIST_OF_NODES: 18,
} as const;

const PLAIN_NODE = 1;
const PACKED_NODE = 2;

export function writeValue(out: RdbWriter, value: RdbValue): void {
  switch (value.kind) {
    case 'string':
      out.u8(0).string(value.value);
      return;
    case 'list':
      writeStrings(out.u8(1), value.values);
      return;
    case 'set':
      writeStrings(out.u8(2), value.members);
      return;
    case 'hash':
      writeHash(out, value.words, value.deadlines);
      return;
    case 'sorted-set':
      out.u8(5).length(value.members.length);
      for (const { member, score } of value.members) out.string(member).double(score);
      return;
    case 'stream':
      writeStream(out.u8(19), value.stream);
  }
}

function writeStrings(out: RdbWriter, strings: readonly Uint8Array[]): void {
  out.length(strings.length);
  for (const each of strings) out.string(each);
}

function writeHash(out: RdbWriter, words: readonly Uint8Array[], deadlines: readonly number[]): void {
  const earliest = Math.min(...deadlines.filter((deadline) => deadline > 0));
  if (earliest === Infinity) out.u8(4);
  else out.u8(24).ms(earliest);
  out.length(words.length / 2);
  for (let i = 0; i < words.length; i += 2) {
    const deadline = deadlines[i / 2] ?? 0;
    if (earliest !== Infinity) out.length(deadline === 0 ? 0 : deadline - earliest + 1);
    out.string(words[i] as Uint8Array).string(words[i + 1] as Uint8Array);
  }
}

/** Throws `DamagedError`, also of a form that is not known and of an empty collection. */
export function readValue(from: RdbReader): RdbValue {
  const value = readForm(from.u8(), from);
  if (isEmpty(value)) throw new DamagedError('an empty collection');
  return value;
}

function isEmpty(value: RdbValue): boolean {
  if (value.kind === 'list') return value.values.length === 0;
  if (value.kind === 'hash') return value.words.length === 0;
  return (value.kind === 'set' || value.kind === 'sorted-set') && value.members.length === 0;
}

function readForm(form: number, from: RdbReader): RdbValue {
  switch (form) {
    case 0:
      return { kind: 'string', value: from.string() };
    case 1:
      return { kind: 'list', values: strings(from, from.count()) };
    case 10:
      return { kind: 'list', values: readZiplist(from.string()) };
    case 14:
      return { kind: 'list', values: repeat(from.count(), () => readZiplist(from.string())).flat() };
    case 18:
      return { kind: 'list', values: repeat(from.count(), () => listNode(from)).flat() };
    case 2:
      return { kind: 'set', members: strings(from, from.count()) };
    case 11:
      return { kind: 'set', members: readIntset(from.string()) };
    case 20:
      return { kind: 'set', members: readListpack(from.string()) };
    case 15:
    case 19:
    case 21:
      return { kind: 'stream', stream: readStream(from, { hasCounters: form !== 15, hasActiveTime: form === 21 }) };
    default:
      return readPairs(form, from);
  }
}

function readPairs(form: number, from: RdbReader): RdbValue {
  switch (form) {
    case 4:
      return hash(strings(from, 2 * from.count()));
    case 13:
      return hash(readZiplist(from.string()));
    case 16:
      return hash(readListpack(from.string()));
    case 24:
      return hashWithDeadlines(from);
    case 25:
      return packedHashWithDeadlines(from);
    case rdbForm.SORTED_SET_TEXT:
    case rdbForm.SORTED_SET:
      return { kind: 'sorted-set', members: repeat(from.count(), () => readScored(from, form)) };
    case 12:
      return sortedSet(readZiplist(from.string()));
    case 17:
      return sortedSet(readListpack(from.string()));
    default:
      throw new DamagedError(`a value of the unknown form ${form}`);
  }
}

function repeat<T>(count: number, read: () => T): T[] {
  const items: T[] = [];
  for (let left = count; left > 0; left--) items.push(read());
  return items;
}

function strings(from: RdbReader, count: number): Uint8Array[] {
  return repeat(count, () => from.string());
}

/** Throws `DamagedError`. */
export function listNode(from: RdbReader): Uint8Array[] {
  const container = from.length();
  const bytes = from.string();
  if (container === PLAIN_NODE) return [bytes];
  if (container !== PACKED_NODE) throw new DamagedError('a node of an unknown form');
  const values = readListpack(bytes);
  if (values.length === 0) throw new DamagedError('an empty node');
  return values;
}

function hash(words: readonly Uint8Array[], deadlines: readonly number[] = []): RdbValue {
  if (words.length % 2 !== 0) throw new DamagedError('a field without a value');
  return { kind: 'hash', words, deadlines };
}

function hashWithDeadlines(from: RdbReader): RdbValue {
  const earliest = from.ms();
  const words: Uint8Array[] = [];
  const deadlines: number[] = [];
  for (let left = from.count(); left > 0; left--) {
    const distance = from.length();
    deadlines.push(distance === 0 ? 0 : earliest + distance - 1);
    words.push(from.string(), from.string());
  }
  return hash(words, deadlines);
}

function packedHashWithDeadlines(from: RdbReader): RdbValue {
  from.ms();
  const items = readListpack(from.string());
  if (items.length % 3 !== 0) throw new DamagedError('a field without a deadline');
  const deadlines = items.filter((_, i) => i % 3 === 2).map((item) => Number(latin1(item)));
  if (!deadlines.every((deadline) => Number.isSafeInteger(deadline) && deadline >= 0)) {
    throw new DamagedError('a deadline that is no number');
  }
  return hash(
    items.filter((_, i) => i % 3 !== 2),
    deadlines,
  );
}

function sortedSet(items: readonly Uint8Array[]): RdbValue {
  if (items.length % 2 !== 0) throw new DamagedError('a member without a score');
  const members: Scored[] = [];
  for (let i = 0; i < items.length; i += 2)
    members.push(scored(items[i] as Uint8Array, numberOf(items[i + 1] as Uint8Array)));
  return { kind: 'sorted-set', members };
}

/** A member with its score, as text or as a number. Throws `DamagedError`. */
export function readScored(from: RdbReader, form: number): Scored {
  return scored(from.string(), form === rdbForm.SORTED_SET_TEXT ? textScore(from) : from.double());
}

function scored(member: Uint8Array, score: number): Scored {
  if (Number.isNaN(score)) throw new DamagedError('a score that is no number');
  return { member, score };
}

/** A score as text; `inf` and `-inf` too. */
function numberOf(bytes: Uint8Array): number {
  const text = latin1(bytes);
  if (text === 'inf' || text === '-inf') return text === 'inf' ? Infinity : -Infinity;
  return text === '' ? Number.NaN : Number(text);
}

function textScore(from: RdbReader): number {
  const length = from.u8();
  if (length === 253) return Number.NaN;
  if (length >= 254) return length === 254 ? Infinity : -Infinity;
  return numberOf(from.raw(length));
}
