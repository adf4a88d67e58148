/**
 * A long reply of bulk strings, written down as it is made: bytes in chunks instead of an object for each string, so that
 * neither the memory nor the turn that sends it grows with the number of objects. Made by `runSliced` only.
 *
 * The chunks are the bulk strings one behind the other as both protocols write them; a string may begin in one chunk and
 * end in the next. All but the last are full.
 */

/** One chunk: large enough that there are few, small enough that one is filled within a slice. */
const CHUNK_BYTES = 64 * 1024;

/** Type byte, digits of a length, CR LF twice. */
const FRAME_BYTES = 24;

const CR = 13;
const LF = 10;
const DOLLAR = 36;

export class BulksReply {
  /** What they are to the client: an array; a set; a map, fields and values in turn. */
  readonly kind: 'array' | 'set' | 'map';
  /** Bulk strings so far. */
  count = 0;
  private readonly full: Buffer[] = [];
  private last: Buffer = Buffer.allocUnsafeSlow(CHUNK_BYTES);
  private length = 0;

  constructor(kind: 'array' | 'set' | 'map') {
    this.kind = kind;
  }

  /** Adds a bulk string, which is copied. */
  add(value: Uint8Array): void {
    this.count++;
    const head = `$${value.length}\r\n`;
    if (this.length + value.length + FRAME_BYTES > CHUNK_BYTES) {
      this.append(Buffer.from(head, 'latin1'));
      this.append(value);
      this.append(Buffer.from('\r\n', 'latin1'));
      return;
    }
    const { last } = this;
    let at = this.length;
    last[at++] = DOLLAR;
    for (let i = 1; i < head.length; i++) last[at++] = head.charCodeAt(i);
    last.set(value, at);
    at += value.length;
    last[at++] = CR;
    last[at++] = LF;
    this.length = at;
  }

  /** The chunks, which the caller may keep; nothing is added any more. */
  chunks(): Buffer[] {
    return [...this.full, this.last.subarray(0, this.length)];
  }

  private append(bytes: Uint8Array): void {
    let from = 0;
    while (from < bytes.length) {
      const part = Math.min(bytes.length - from, CHUNK_BYTES - this.length);
      this.last.set(bytes.subarray(from, from + part), this.length);
      this.length += part;
      from += part;
      if (this.length < CHUNK_BYTES) continue;
      this.full.push(this.last);
      this.last = Buffer.allocUnsafeSlow(CHUNK_BYTES);
      this.length = 0;
    }
  }
}
