/**
 * Requests to owners and their answers in bytes: payloads of the bus. Big-endian; a version is u64 stamp, u32 actor.
 *
 * ```
 * request   u8 kind | u32 length of the row's name | name | …
 *   1 prepare   version ballot | version have
 *   2 accept    version ballot | version next | u8 has a state | state
 *   3 read      u8: 0 whole, 1 digest, 2 light
 * answer    u8 kind | …
 *   1 promised  version | u8 has a state | state          2 accepted
 *   3 held      version | u8 has a state | state          4 conflict  version max | version held
 *   5 stale     u64 epoch                                 6 unable    u8: 1 ahead, 2 amnesia, 3 refused
 *   7 need
 * ```
 *
 * A state is the row as a whole, to the end of the payload. Valid if and only if the kind is known and the payload has
 * the length that its fields ask for; anything else is a `DamagedError`. Kinds are append-only. `unsent` is said by the
 * bus at home and never sent.
 */

import { unreachable } from '../assert.ts';
import { latin1 } from '../bytes.ts';
import { DamagedError } from '../cluster/byte-cursor.ts';
import { readU32, readU64, writeU32, writeU64 } from '../cluster/big-endian.ts';
import { isByte, type Message } from '../cluster/frame.ts';
import type { OwnerAnswer, OwnerRequest, PassingRefusal, RowName } from './owner-message.ts';
import { readVersion, VERSION_BYTES, writeVersion, type Version } from './version.ts';

const requestKind = { PREPARE: 1, ACCEPT: 2, READ: 3 } as const;
const answerKind = { PROMISED: 1, ACCEPTED: 2, HELD: 3, CONFLICT: 4, STALE: 5, UNABLE: 6, NEED: 7 } as const;

/** Append-only: a reason's number is its place. */
const REASONS = ['ahead', 'amnesia', 'refused'] as const satisfies PassingRefusal['reason'][];

/** Bytes of a request before its row's name. */
const NAME_AT = 5;

/** Shortest row name: slot, database, terminator. */
const MIN_NAME_BYTES = 4;

/** In memory of its own. */
export function encodeRequest(request: OwnerRequest<Uint8Array>): Uint8Array {
  const name = request.row.length;
  const at = NAME_AT + name;
  switch (request.kind) {
    case 'prepare': {
      const bytes = begin(requestKind.PREPARE, request.row, 2 * VERSION_BYTES);
      writeVersion(bytes, at, request.ballot);
      writeVersion(bytes, at + VERSION_BYTES, request.have);
      return bytes;
    }
    case 'accept': {
      const { value } = request;
      const bytes = begin(requestKind.ACCEPT, request.row, 2 * VERSION_BYTES + 1 + (value?.length ?? 0));
      writeVersion(bytes, at, request.ballot);
      writeVersion(bytes, at + VERSION_BYTES, request.next);
      writeState(bytes, at + 2 * VERSION_BYTES, value);
      return bytes;
    }
    case 'read': {
      const bytes = begin(requestKind.READ, request.row, 1);
      bytes[at] = request.digest ? 1 : request.light === true ? 2 : 0;
      return bytes;
    }
    default:
      return unreachable(request);
  }
}

function begin(kind: number, row: RowName, more: number): Buffer {
  const bytes = Buffer.allocUnsafe(NAME_AT + row.length + more);
  bytes[0] = kind;
  writeU32(bytes, 1, row.length);
  bytes.write(row, NAME_AT, 'latin1');
  return bytes;
}

/** The request in payload[start, end); its state is a view into `payload`. Throws `DamagedError`. */
export function decodeRequest(payload: Uint8Array, start = 0, end = payload.length): OwnerRequest<Uint8Array> {
  if (end - start < NAME_AT + MIN_NAME_BYTES) throw new DamagedError('a request without a row');
  const nameAt = start + NAME_AT;
  const at = nameAt + readU32(payload, start + 1);
  const left = end - at;
  if (at < nameAt + MIN_NAME_BYTES || left < 0) throw new DamagedError('a request with half a row’s name');
  const row = latin1(payload, nameAt, at);
  const kind: number = payload[start] as number;
  switch (kind) {
    case requestKind.PREPARE:
      expect(left === 2 * VERSION_BYTES);
      return { kind: 'prepare', row, ballot: version(payload, at), have: version(payload, at + VERSION_BYTES) };
    case requestKind.ACCEPT: {
      expect(left > 2 * VERSION_BYTES);
      const value = readState(payload, at + 2 * VERSION_BYTES, end);
      return { kind: 'accept', row, ballot: version(payload, at), value, next: version(payload, at + VERSION_BYTES) };
    }
    case requestKind.READ:
      expect(left === 1 && (payload[at] as number) <= 2);
      return payload[at] === 2
        ? { kind: 'read', row, digest: false, light: true }
        : { kind: 'read', row, digest: payload[at] === 1 };
    default:
      throw new DamagedError('a request of no known kind');
  }
}

/** By far the most frequent answer: nobody writes to it. */
const ACCEPTED = Uint8Array.of(answerKind.ACCEPTED);

const NEED = Uint8Array.of(answerKind.NEED);

/** In memory that nobody changes. Requires: not `unsent`. */
export function encodeAnswer(answer: Exclude<OwnerAnswer<Uint8Array>, { kind: 'unsent' }>): Uint8Array {
  switch (answer.kind) {
    case 'promised':
    case 'held': {
      const bytes = Buffer.allocUnsafe(2 + VERSION_BYTES + (answer.value?.length ?? 0));
      bytes[0] = answer.kind === 'held' ? answerKind.HELD : answerKind.PROMISED;
      writeVersion(bytes, 1, answer.version);
      writeState(bytes, 1 + VERSION_BYTES, answer.value);
      return bytes;
    }
    case 'accepted':
      return ACCEPTED;
    case 'need':
      return NEED;
    case 'conflict': {
      const bytes = new Uint8Array(1 + 2 * VERSION_BYTES);
      bytes[0] = answerKind.CONFLICT;
      writeVersion(bytes, 1, answer.max);
      writeVersion(bytes, 1 + VERSION_BYTES, answer.held);
      return bytes;
    }
    case 'stale': {
      const bytes = new Uint8Array(9);
      bytes[0] = answerKind.STALE;
      writeU64(bytes, 1, answer.epoch);
      return bytes;
    }
    case 'unable':
      return Uint8Array.of(answerKind.UNABLE, REASONS.indexOf(answer.reason) + 1);
    default:
      return unreachable(answer);
  }
}

/** Whether the answer that a message brings is the most frequent one. */
export function isAccepted(message: Message): boolean {
  return isByte(message, answerKind.ACCEPTED);
}

/** The answer; its state is a view into `payload`. Throws `DamagedError`. */
export function decodeAnswer(payload: Uint8Array): OwnerAnswer<Uint8Array> {
  const { length } = payload;
  const code: number = length === 0 ? 0 : (payload[0] as number);
  switch (code) {
    case answerKind.PROMISED:
    case answerKind.HELD: {
      expect(length > 1 + VERSION_BYTES);
      const kind = code === answerKind.HELD ? 'held' : 'promised';
      return { kind, version: version(payload, 1), value: readState(payload, 1 + VERSION_BYTES) };
    }
    case answerKind.ACCEPTED:
      expect(length === 1);
      return { kind: 'accepted' };
    case answerKind.NEED:
      expect(length === 1);
      return { kind: 'need' };
    case answerKind.CONFLICT:
      expect(length === 1 + 2 * VERSION_BYTES);
      return { kind: 'conflict', max: version(payload, 1), held: version(payload, 1 + VERSION_BYTES) };
    case answerKind.STALE: {
      expect(length === 9);
      const epoch = readU64(payload, 1);
      expect(Number.isSafeInteger(epoch));
      return { kind: 'stale', epoch };
    }
    case answerKind.UNABLE: {
      expect(length === 2);
      const reason = REASONS[(payload[1] as number) - 1];
      if (reason === undefined) throw new DamagedError('a refusal without a known reason');
      return { kind: 'unable', reason };
    }
    default:
      throw new DamagedError('an answer of no known kind');
  }
}

function expect(fits: boolean): void {
  if (!fits) throw new DamagedError('a message to or from an owner whose fields do not fit');
}

function version(bytes: Uint8Array, at: number): Version {
  const read = readVersion(bytes, at);
  expect(Number.isSafeInteger(read.stamp));
  return read;
}

function writeState(bytes: Uint8Array, at: number, state: Uint8Array | undefined): void {
  bytes[at] = Number(state !== undefined);
  if (state !== undefined) bytes.set(state, at + 1);
}

/** From bytes[at] to `end`. Requires: at < end. */
function readState(bytes: Uint8Array, at: number, end = bytes.length): Uint8Array | undefined {
  if (bytes[at] === 1) return bytes.subarray(at + 1, end);
  expect(bytes[at] === 0 && at + 1 === end);
  return undefined;
}
