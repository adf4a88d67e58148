/**
 * BITFIELD: integers of any width up to 64 bits at any place of a string. Values are BigInts: widths beyond 53 bits need
 * them, and one form is easier to get right than two.
 */

import type { Row, View } from '../repl/view.ts';
import type { Args } from './args.ts';
import { bitmapCommand, bitmapDoc, bitOffsetOf, stringWithRoom } from './bitmap-row.ts';
import type { Command, Context } from './command.ts';
import { CommandError } from './errors.ts';
import { int64Of } from './number.ts';
import { optionName, syntaxError } from './options.ts';
import type { Reply } from './reply.ts';
import { stringOrEmpty, stringRowAt } from './string-row.ts';

const BAD_TYPE = 'ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.';

const FIELD_COMPLEXITY = 'O(1) for each subcommand';

export const bitfieldCommands: readonly Command[] = [
  bitmapCommand({
    name: 'bitfield',
    arity: -2,
    flags: ['write', 'denyoom'],
    access: 'update',
    doc: bitmapDoc('Reads, sets and counts up integers of any width in a string.', '3.2.0', FIELD_COMPLEXITY),
    run: (view, args, context) => bitfield(view, args, context, false),
  }),
  bitmapCommand({
    name: 'bitfield_ro',
    arity: -2,
    flags: ['readonly', 'fast'],
    access: 'read',
    doc: bitmapDoc('Reads integers of any width from a string.', '6.0.0', FIELD_COMPLEXITY),
    run: (view, args, context) => bitfield(view, args, context, true),
  }),
];

type Overflow = 'WRAP' | 'SAT' | 'FAIL';

interface FieldType {
  readonly signed: boolean;
  /** 1 to 64, unsigned up to 63. */
  readonly bits: number;
}

interface FieldStep {
  readonly kind: 'GET' | 'SET' | 'INCRBY';
  readonly type: FieldType;
  /** In bits. */
  readonly offset: number;
  readonly operand: bigint;
  readonly overflow: Overflow;
}

function bitfield(view: View, args: Args, { server }: Context, readOnly: boolean): Reply {
  const steps = stepsOf(args, server.settings.maxBulkBytes, readOnly);
  const row = stringRowAt(view, args, 1);
  const writes = steps.filter(({ kind }) => kind !== 'GET');
  if (writes.length === 0) {
    const bytes = stringOrEmpty(view, row);
    return steps.map(({ type, offset }) => narrow(readField(bytes, type, offset)));
  }
  return change(view, row, steps, Math.max(...writes.map(({ type, offset }) => Math.ceil((offset + type.bits) / 8))));
}

function change(view: View, row: Row, steps: readonly FieldStep[], length: number): Reply {
  const before = stringOrEmpty(view, row);
  const bytes = stringWithRoom(before, length);
  let changed = bytes.length !== before.length;
  const replies = steps.map(({ kind, type, offset, operand, overflow }) => {
    const old = readField(bytes, type, offset);
    if (kind === 'GET') return narrow(old);
    // As in Redis, what is set into an unsigned field is taken for an unsigned number of 64 bits.
    const wanted =
      kind === 'INCRBY' ? old + operand : type.signed ? farOperand(operand, type) : BigInt.asUintN(64, operand);
    const value = fit(wanted, type, overflow);
    if (value === undefined) return null;
    if (value !== old) {
      writeField(bytes, type, offset, value);
      changed = true;
    }
    return narrow(kind === 'SET' ? old : value);
  });
  if (changed) view.setString(row, bytes, row.expiresAtMs);
  return replies;
}

function stepsOf(args: Args, maxBytes: number, readOnly: boolean): FieldStep[] {
  const steps: FieldStep[] = [];
  let overflow: Overflow = 'WRAP';
  let writes = false;
  for (let i = 2; i < args.count;) {
    const name = optionName(args, i);
    const left = args.count - i - 1;
    if (name === 'OVERFLOW' && left >= 1) {
      overflow = overflowOf(optionName(args, i + 1));
      i += 2;
      continue;
    }
    const isGet = name === 'GET' && left >= 2;
    if (!isGet && !((name === 'SET' || name === 'INCRBY') && left >= 3)) throw syntaxError();
    const type = typeOf(args.text(i + 1));
    const offset = bitOffsetOf(args, i + 2, maxBytes, type.bits);
    const operand = isGet ? 0n : BigInt(int64Of(args, i + 3));
    const kind = isGet ? 'GET' : name === 'SET' ? 'SET' : 'INCRBY';
    if (!isGet) writes = true;
    steps.push({ kind, type, offset, operand, overflow });
    i += isGet ? 3 : 4;
  }
  if (readOnly && writes) throw new CommandError('ERR BITFIELD_RO only supports the GET subcommand');
  return steps;
}

function overflowOf(name: string): Overflow {
  if (name === 'WRAP' || name === 'SAT' || name === 'FAIL') return name;
  throw new CommandError('ERR Invalid OVERFLOW type specified');
}

function typeOf(text: string): FieldType {
  const match = /^([iu])([1-9][0-9]?)$/.exec(text);
  const signed = match?.[1] === 'i';
  const bits = Number(match?.[2] ?? 0);
  if (bits < 1 || bits > (signed ? 64 : 63)) throw new CommandError(BAD_TYPE);
  return { signed, bits };
}

/** The integer at a place; what lies beyond the end of the string is 0. */
export function readField(bytes: Uint8Array, { signed, bits }: FieldType, offset: number): bigint {
  const first = Math.floor(offset / 8);
  const last = Math.floor((offset + bits - 1) / 8);
  let value = 0n;
  for (let at = first; at <= last; at++) value = (value << 8n) | BigInt(bytes[at] ?? 0);
  value >>= BigInt((last + 1) * 8 - offset - bits);
  return signed ? BigInt.asIntN(bits, value) : BigInt.asUintN(bits, value);
}

/** Requires: the string reaches that far. */
export function writeField(bytes: Uint8Array, { bits }: FieldType, offset: number, value: bigint): void {
  const last = Math.floor((offset + bits - 1) / 8);
  const behind = BigInt((last + 1) * 8 - offset - bits);
  let mask = BigInt.asUintN(bits, -1n) << behind;
  let rest = BigInt.asUintN(bits, value) << behind;
  for (let at = last; mask !== 0n; at--) {
    const kept = (bytes[at] as number) & ~Number(mask & 0xffn);
    bytes[at] = kept | Number(rest & 0xffn);
    mask >>= 8n;
    rest >>= 8n;
  }
}

/**
 * As in Redis, which takes the difference to the greatest value as 64 bits: what is set so far below that it does not fit
 * counts as above. The lowest bits, which WRAP keeps, are the same.
 */
function farOperand(operand: bigint, { bits }: FieldType): bigint {
  const most = (1n << BigInt(bits - 1)) - 1n;
  return bits < 64 && most - operand >= 1n << 63n ? operand + (1n << 64n) : operand;
}

/** `value` as the type can hold it; undefined: it overflows, and that fails. */
function fit(value: bigint, { signed, bits }: FieldType, overflow: Overflow): bigint | undefined {
  const wrapped = signed ? BigInt.asIntN(bits, value) : BigInt.asUintN(bits, value);
  if (wrapped === value || overflow === 'WRAP') return wrapped;
  if (overflow === 'FAIL') return undefined;
  const most = (1n << BigInt(signed ? bits - 1 : bits)) - 1n;
  if (value > most) return most;
  return signed ? -most - 1n : 0n;
}

function narrow(value: bigint): number | bigint {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}
