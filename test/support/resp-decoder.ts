/**
 * RESP2 and RESP3 replies → JavaScript values, for tests: slow, plain and strict. Written from the protocol's
 * description and not from the writer under test, so that it can be its judge.
 */

/** An error reply; a value and not an exception, since tests compare it. */
export class RespError {
  readonly message: string;
  constructor(message: string) {
    this.message = message;
  }
}

/** `+text`, where the difference from a bulk string matters. */
export class RespSimple {
  readonly text: string;
  constructor(text: string) {
    this.text = text;
  }
}

/** `,text`: the text is kept, since its form is compared. */
export class RespDouble {
  readonly text: string;
  constructor(text: string) {
    this.text = text;
  }
}

export class RespVerbatim {
  readonly format: string;
  readonly text: string;
  constructor(format: string, text: string) {
    this.format = format;
    this.text = text;
  }
}

export class RespMap {
  readonly entries: [RespValue, RespValue][];
  constructor(entries: [RespValue, RespValue][]) {
    this.entries = entries;
  }
}

export class RespSet {
  readonly members: RespValue[];
  constructor(members: RespValue[]) {
    this.members = members;
  }
}

export class RespPush {
  readonly items: RespValue[];
  constructor(items: RespValue[]) {
    this.items = items;
  }
}

/** `*-1`, which RESP2 tells apart from `$-1`. */
export class RespNullArray {
  readonly kind = 'null-array';
}

export type RespValue =
  | string
  | Buffer
  | number
  | bigint
  | boolean
  | null
  | RespValue[]
  | RespError
  | RespSimple
  | RespDouble
  | RespVerbatim
  | RespMap
  | RespSet
  | RespPush
  | RespNullArray;

/** Bulk strings as UTF-8 text or as they are. */
export type BulkForm = 'text' | 'buffer';

export interface Decoded {
  readonly value: RespValue;
  /** Offset after the value. */
  readonly end: number;
}

/** Not all of the value is there: at least so many bytes more are needed. */
export class Incomplete {
  readonly missing: number;
  constructor(missing: number) {
    this.missing = missing;
  }
}

/** The value at `at`. Throws when the bytes are no reply. */
export function decodeReply(bytes: Buffer, at: number, bulk: BulkForm = 'text'): Decoded | Incomplete {
  const reader = new Reader(bytes, at, bulk);
  try {
    return { value: reader.value(), end: reader.at };
  } catch (error) {
    if (error instanceof EndOfBytes) return new Incomplete(error.missing);
    throw error;
  }
}

class EndOfBytes extends Error {
  readonly missing: number;
  constructor(missing: number) {
    super(`${missing} more bytes are needed`);
    this.missing = missing;
  }
}

class Reader {
  at: number;
  private readonly bytes: Buffer;
  private readonly bulk: BulkForm;

  constructor(bytes: Buffer, at: number, bulk: BulkForm) {
    this.bytes = bytes;
    this.at = at;
    this.bulk = bulk;
  }

  value(): RespValue {
    if (this.at >= this.bytes.length) throw new EndOfBytes(1);
    const type = String.fromCharCode(this.bytes[this.at] as number);
    this.at++;
    const line = this.line();
    switch (type) {
      case '+':
        return new RespSimple(line);
      case '-':
        return new RespError(line);
      case ':':
        return integer(line);
      case '$':
        return line === '-1' ? null : this.bulkString(line);
      case '*':
        return line === '-1' ? new RespNullArray() : this.values(count(line));
      case '_':
        if (line !== '') throw new Error(`a null followed by ${line}`);
        return null;
      case '#':
        if (line !== 't' && line !== 'f') throw new Error(`a boolean that says ${line}`);
        return line === 't';
      case ',':
        if (!/^(-?(\d+(\.\d+)?(e[+-]\d+)?|inf)|nan)$/.test(line)) throw new Error(`a double that says ${line}`);
        return new RespDouble(line);
      case '(':
        return BigInt(line);
      case '=': {
        const text = this.payload(count(line)).toString();
        return new RespVerbatim(text.slice(0, 3), text.slice(4));
      }
      case '%':
        return new RespMap(this.pairs(count(line)));
      case '~':
        return new RespSet(this.values(count(line)));
      case '>':
        return new RespPush(this.values(count(line)));
      default:
        throw new Error(`no reply begins with ${JSON.stringify(type)}`);
    }
  }

  private values(length: number): RespValue[] {
    const values: RespValue[] = [];
    for (let i = 0; i < length; i++) values.push(this.value());
    return values;
  }

  private pairs(length: number): [RespValue, RespValue][] {
    const pairs: [RespValue, RespValue][] = [];
    for (let i = 0; i < length; i++) pairs.push([this.value(), this.value()]);
    return pairs;
  }

  private bulkString(line: string): string | Buffer {
    const payload = this.payload(count(line));
    return this.bulk === 'buffer' ? Buffer.from(payload) : payload.toString();
  }

  private payload(length: number): Buffer {
    const end = this.at + length;
    if (end + 2 > this.bytes.length) throw new EndOfBytes(end + 2 - this.bytes.length);
    if (this.bytes.toString('latin1', end, end + 2) !== '\r\n') throw new Error('a bulk string not followed by CR LF');
    const payload = this.bytes.subarray(this.at, end);
    this.at = end + 2;
    return payload;
  }

  private line(): string {
    const end = this.bytes.indexOf('\r\n', this.at);
    if (end < 0) throw new EndOfBytes(1);
    const line = this.bytes.toString('utf8', this.at, end);
    this.at = end + 2;
    return line;
  }
}

function count(line: string): number {
  if (!/^(0|[1-9]\d*)$/.test(line)) throw new Error(`a length that says ${line}`);
  return Number(line);
}

function integer(line: string): number | bigint {
  if (!/^(0|-?[1-9]\d*)$/.test(line)) throw new Error(`an integer that says ${line}`);
  const value = Number(line);
  return Number.isSafeInteger(value) ? value : BigInt(line);
}
