/**
 * Replies as decoded trees that keep every difference the wire makes: bulk or simple, the three kinds of null,
 * map, set and double of RESP3. This decoder is the oracle's own: it shares nothing with `src/resp`.
 */

export type Tree =
  | { readonly kind: 'simple' | 'error' | 'double' | 'big-number'; readonly text: string }
  | { readonly kind: 'integer'; readonly digits: string }
  | { readonly kind: 'bulk'; readonly bytes: Buffer }
  | { readonly kind: 'verbatim'; readonly format: string; readonly bytes: Buffer }
  | { readonly kind: 'boolean'; readonly value: boolean }
  /** `null` is RESP3's `_`, `null-bulk` is `$-1`, `null-array` is `*-1`. */
  | { readonly kind: 'null' | 'null-bulk' | 'null-array' }
  | { readonly kind: 'array' | 'set' | 'push'; readonly items: readonly Tree[] }
  | { readonly kind: 'map'; readonly entries: readonly (readonly [Tree, Tree])[] }
  /** The connection was closed, or nothing came in time. */
  | { readonly kind: 'closed' | 'timeout' };

/** Thrown when the bytes are no RESP. */
export class DecodeError extends Error {
  override readonly name = 'DecodeError';
}

/** Cuts replies off the front of a stream of chunks. */
export class TreeDecoder {
  private buffered: Buffer = Buffer.alloc(0);
  private chunks: Buffer[] = [];
  private arrived = 0;
  /** No use in trying before this many bytes are there: keeps large bulk strings linear. */
  private wanted = 1;
  private at = 0;

  feed(chunk: Buffer): Tree[] {
    this.chunks.push(chunk);
    this.arrived += chunk.length;
    if (this.arrived < this.wanted) return [];
    this.buffered = Buffer.concat([this.buffered, ...this.chunks]);
    this.chunks = [];
    const trees: Tree[] = [];
    let done = 0;
    for (;;) {
      this.at = done;
      this.wanted = 0;
      const tree = this.next();
      if (tree === undefined) break;
      trees.push(tree);
      done = this.at;
    }
    this.buffered = this.buffered.subarray(done);
    this.wanted = Math.max(this.wanted - done, this.buffered.length + 1);
    this.arrived = this.buffered.length;
    return trees;
  }

  private line(): string | undefined {
    const end = this.buffered.indexOf('\r\n', this.at);
    if (end < 0) return undefined;
    const text = this.buffered.toString('latin1', this.at, end);
    this.at = end + 2;
    return text;
  }

  private next(): Tree | undefined {
    const line = this.line();
    if (line === undefined) return undefined;
    const rest = line.slice(1);
    switch (line[0]) {
      case '+':
        return { kind: 'simple', text: rest };
      case '-':
        return { kind: 'error', text: rest };
      case ':':
        return { kind: 'integer', digits: rest };
      case ',':
        return { kind: 'double', text: rest };
      case '(':
        return { kind: 'big-number', text: rest };
      case '#':
        return { kind: 'boolean', value: rest === 't' };
      case '_':
        return { kind: 'null' };
      case '$':
      case '=':
        return this.bulk(line);
      case '*':
        return rest === '-1' ? { kind: 'null-array' } : this.list('array', Number(rest));
      case '~':
        return this.list('set', Number(rest));
      case '>':
        return this.list('push', Number(rest));
      case '%':
        return this.map(Number(rest));
      default:
        throw new DecodeError(`no RESP type: ${JSON.stringify(line.slice(0, 80))}`);
    }
  }

  private bulk(line: string): Tree | undefined {
    const length = Number(line.slice(1));
    if (length === -1) return { kind: 'null-bulk' };
    const end = this.at + length;
    if (this.buffered.length < end + 2) {
      this.wanted = end + 2;
      return undefined;
    }
    const bytes = Buffer.from(this.buffered.subarray(this.at, end));
    if (this.buffered.toString('latin1', end, end + 2) !== '\r\n')
      throw new DecodeError('a bulk string without its end');
    this.at = end + 2;
    if (line[0] === '$') return { kind: 'bulk', bytes };
    return { kind: 'verbatim', format: bytes.toString('latin1', 0, 3), bytes: bytes.subarray(4) };
  }

  private list(kind: 'array' | 'set' | 'push', count: number): Tree | undefined {
    const items: Tree[] = [];
    for (let i = 0; i < count; i++) {
      const item = this.next();
      if (item === undefined) return undefined;
      items.push(item);
    }
    return { kind, items };
  }

  private map(count: number): Tree | undefined {
    const entries: [Tree, Tree][] = [];
    for (let i = 0; i < count; i++) {
      const key = this.next();
      const value = key === undefined ? undefined : this.next();
      if (key === undefined || value === undefined) return undefined;
      entries.push([key, value]);
    }
    return { kind: 'map', entries };
  }
}

/** Bytes as a double-quoted word in redis-cli's notation. */
export function quote(bytes: Uint8Array): string {
  let text = '"';
  for (const byte of bytes) {
    if (byte === 0x0a) text += '\\n';
    else if (byte === 0x0d) text += '\\r';
    else if (byte === 0x22 || byte === 0x5c) text += '\\' + String.fromCharCode(byte);
    else if (byte >= 0x20 && byte < 0x7f) text += String.fromCharCode(byte);
    else text += '\\x' + byte.toString(16).padStart(2, '0');
  }
  return text + '"';
}

/** A tree as one line of text; two trees are equal if and only if their texts are. */
export function show(tree: Tree): string {
  switch (tree.kind) {
    case 'simple':
      return `+${tree.text}`;
    case 'error':
      return `-${tree.text}`;
    case 'double':
      return `,${tree.text}`;
    case 'big-number':
      return `(${tree.text}`;
    case 'integer':
      return `:${tree.digits}`;
    case 'bulk':
      return quote(tree.bytes);
    case 'verbatim':
      return `=${tree.format}:${quote(tree.bytes)}`;
    case 'boolean':
      return tree.value ? '#t' : '#f';
    case 'array':
      return `[${tree.items.map(show).join(' ')}]`;
    case 'set':
      return `~[${tree.items.map(show).join(' ')}]`;
    case 'push':
      return `>[${tree.items.map(show).join(' ')}]`;
    case 'map':
      return `{${tree.entries.map(([key, value]) => `${show(key)} => ${show(value)}`).join(', ')}}`;
    case 'null':
    case 'null-bulk':
    case 'null-array':
    case 'closed':
    case 'timeout':
      return `(${tree.kind})`;
    default:
      throw new Error(`no such tree: ${String(tree satisfies never)}`);
  }
}

/** The bytes of a leaf, as a later command would send them. */
export function leafBytes(tree: Tree): Buffer {
  if (tree.kind === 'bulk' || tree.kind === 'verbatim') return tree.bytes;
  if (tree.kind === 'integer') return Buffer.from(tree.digits);
  if (tree.kind === 'simple' || tree.kind === 'error') return Buffer.from(tree.text);
  return Buffer.alloc(0);
}
