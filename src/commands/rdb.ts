/**
 * Payloads of DUMP and RESTORE, as Redis has them (RDB version 10, Redis 7.0):
 *
 * ```
 * value (rdb-value.ts) | u16 LE RDB version | u64 LE CRC-64 of everything before it
 * ```
 *
 * A payload is valid if its version is not above RDB_VERSION_MAX, its checksum is right, and the value fills it.
 * Versions 11 and 12 (Redis 7.2 to 8) added forms that rdb-value.ts knows.
 */

import { DamagedError } from '../cluster/byte-cursor.ts';
import { writeCrc64 } from './rdb-crc64.ts';
import { RdbReader } from './rdb-reader.ts';
import { type RdbValue, readValue, writeValue } from './rdb-value.ts';
import { RdbWriter } from './rdb-writer.ts';

export const RDB_VERSION = 10;
export const RDB_VERSION_MAX = 12;

const FOOTER_BYTES = 10;

/** The payload of a value. */
export function dumpValue(value: RdbValue): Uint8Array {
  const out = new RdbWriter();
  writeValue(out, value);
  const hasDeadlines = value.kind === 'hash' && value.deadlines.some((deadline) => deadline > 0);
  return sealed(out, hasDeadlines ? RDB_VERSION_MAX : RDB_VERSION);
}

/** What was written, with version and checksum. */
function sealed(out: RdbWriter, version: number): Uint8Array {
  const payload = out.bytes(FOOTER_BYTES);
  const end = payload.length - FOOTER_BYTES;
  payload[end] = version & 0xff;
  payload[end + 1] = version >> 8;
  writeCrc64(payload, end + 2, payload, end + 2);
  return payload;
}

/** What stands before each library in a payload of FUNCTION DUMP: FUNCTION2 of RDB 10. */
const FUNCTION_OPCODE = 245;

/** The payload of libraries of functions: opcode and code of each. */
export function dumpFunctions(codes: readonly Uint8Array[]): Uint8Array {
  const out = new RdbWriter();
  for (const code of codes) out.u8(FUNCTION_OPCODE).string(code);
  return sealed(out, RDB_VERSION);
}

/** The codes in an intact payload. Throws `DamagedError`. */
export function restoreFunctions(payload: Uint8Array): Uint8Array[] {
  const reader = new RdbReader(payload.subarray(0, payload.length - FOOTER_BYTES));
  const codes: Uint8Array[] = [];
  while (!reader.isAtEnd) {
    if (reader.u8() !== FUNCTION_OPCODE) throw new DamagedError('no library of functions');
    codes.push(reader.string());
  }
  return codes;
}

/** Bytes of a value in a payload. */
export function valueLength(payload: Uint8Array): number {
  return payload.length - FOOTER_BYTES - 1;
}

/** Whether a payload is long enough and its version is not above RDB_VERSION_MAX. */
export function isVersionKnown(payload: Uint8Array): boolean {
  if (payload.length < FOOTER_BYTES) return false;
  const end = payload.length - FOOTER_BYTES;
  return ((payload[end] as number) | ((payload[end + 1] as number) << 8)) <= RDB_VERSION_MAX;
}

/** Whether version and checksum of a payload are right. */
export function isIntact(payload: Uint8Array): boolean {
  if (!isVersionKnown(payload)) return false;
  const end = payload.length - FOOTER_BYTES;
  const crc = new Uint8Array(8);
  writeCrc64(crc, 0, payload, end + 2);
  return crc.every((byte, i) => byte === payload[end + 2 + i]);
}

/** The value in an intact payload; undefined when it is damaged, or of a form that is not known. Its bytes may be the payload's. */
export function restoreValue(payload: Uint8Array): RdbValue | undefined {
  const reader = new RdbReader(payload.subarray(0, payload.length - FOOTER_BYTES));
  try {
    const value = readValue(reader);
    return reader.isAtEnd ? value : undefined;
  } catch (error) {
    if (error instanceof DamagedError) return undefined;
    throw error;
  }
}
