/** Feeds a stream to a request parser in pieces, as sockets do, and tells what came out. */

import { BufferPool } from '../../src/resp/buffer-pool.ts';
import { parsed, RequestParser } from '../../src/resp/request-parser.ts';

export interface ParsedStream {
  /** Words of each command, a byte a character. */
  readonly commands: string[][];
  /** Text of the protocol error, '' for none. */
  readonly error: string;
  readonly parser: RequestParser;
}

export interface FeedOptions {
  readonly authenticated?: boolean;
  readonly protoMaxBulkBytes?: number;
  /** Called after each piece, with all bytes fed so far. */
  afterPiece?(parser: RequestParser, fedBytes: number): void;
}

/** What a read buffer holds once the next read has begun. */
const STALE = 0xdd;

/** Lengths of pieces are taken in turn from `sizes`, again and again; 0 counts as 1. */
export function feedParser(stream: Uint8Array, sizes: readonly number[], options: FeedOptions = {}): ParsedStream {
  const parser = new RequestParser(
    { protoMaxBulkBytes: options.protoMaxBulkBytes ?? 512 * 1024 * 1024 },
    new BufferPool(),
  );
  parser.authenticated = options.authenticated ?? true;
  const commands: string[][] = [];
  // One buffer for all reads, longer than what was read, as the network's is.
  const shared = new Uint8Array(Math.max(...sizes, 1) + 16);
  for (let at = 0, piece = 0; at < stream.length && parser.error === ''; piece++) {
    const size = Math.min(Math.max(sizes[piece % sizes.length] as number, 1), stream.length - at);
    shared.fill(STALE);
    shared.set(stream.subarray(at, at + size));
    at += size;
    parser.feed(shared, size);
    while (parser.next() === parsed.COMMAND) commands.push(wordsOf(parser));
    parser.keep();
    options.afterPiece?.(parser, at);
  }
  return { commands, error: parser.error, parser };
}

function wordsOf(parser: RequestParser): string[] {
  const words: string[] = [];
  for (let i = 0; i < parser.args.count; i++) words.push(parser.args.text(i));
  return words;
}
