/** The words of an inline command: blanks between words, "double" and 'single' quotes, escapes in the former. */

import type { Args } from '../commands/args.ts';

const TAB = 9;
const LF = 10;
const CR = 13;
const SPACE = 32;
const DOUBLE_QUOTE = 34;
const SINGLE_QUOTE = 39;
const BACKSLASH = 92;
const LETTER_X = 120;

/** Bytes that an escape stands for; any other escaped byte is itself. */
const ESCAPES: ReadonlyMap<number, number> = new Map([
  [110, LF],
  [114, CR],
  [116, TAB],
  [98, 8],
  [97, 7],
]);

/** What ends or separates words (also vertical tab and form feed between words, but not within). */
function isBlank(byte: number | undefined): boolean {
  return byte === SPACE || (byte !== undefined && byte >= TAB && byte <= CR);
}

function endsWord(byte: number): boolean {
  return byte === SPACE || byte === TAB || byte === LF || byte === CR;
}

function hexDigit(byte: number | undefined): number {
  if (byte === undefined) return -1;
  if (byte >= 48 && byte <= 57) return byte - 48;
  const lower = byte | 32;
  return lower >= 97 && lower <= 102 ? lower - 87 : -1;
}

/** One line on its way to words. The decoded words are never longer than the line. */
class LineSplitter {
  private readonly line: Uint8Array;
  private readonly decoded: Uint8Array;
  private readonly args: Args;
  private at = 0;
  private length = 0;

  constructor(line: Uint8Array, args: Args) {
    this.line = line;
    this.decoded = new Uint8Array(line.length);
    this.args = args;
    args.bytes = this.decoded;
    args.count = 0;
  }

  /** False: a quote is not closed, or something follows a closing quote. */
  split(): boolean {
    for (;;) {
      while (isBlank(this.line[this.at])) this.at++;
      if (this.at >= this.line.length) return true;
      const start = this.length;
      if (!this.word()) return false;
      this.args.push(start, this.length);
    }
  }

  private word(): boolean {
    for (;;) {
      const byte = this.line[this.at];
      if (byte === undefined || endsWord(byte)) return true;
      this.at++;
      if (byte === DOUBLE_QUOTE || byte === SINGLE_QUOTE) {
        const closed = byte === DOUBLE_QUOTE ? this.doubleQuoted() : this.singleQuoted();
        return closed && (this.at >= this.line.length || isBlank(this.line[this.at]));
      }
      this.put(byte);
    }
  }

  private doubleQuoted(): boolean {
    for (;;) {
      const byte = this.line[this.at++];
      if (byte === undefined) return false;
      if (byte === DOUBLE_QUOTE) return true;
      if (byte === BACKSLASH && this.at < this.line.length) this.escape();
      else this.put(byte);
    }
  }

  private singleQuoted(): boolean {
    for (;;) {
      const byte = this.line[this.at++];
      if (byte === undefined) return false;
      if (byte === SINGLE_QUOTE) return true;
      if (byte === BACKSLASH && this.line[this.at] === SINGLE_QUOTE) {
        this.at++;
        this.put(SINGLE_QUOTE);
      } else this.put(byte);
    }
  }

  private escape(): void {
    const byte = this.line[this.at++] as number;
    const high = hexDigit(this.line[this.at]);
    const low = hexDigit(this.line[this.at + 1]);
    if (byte === LETTER_X && high >= 0 && low >= 0) {
      this.at += 2;
      this.put(high * 16 + low);
    } else this.put(ESCAPES.get(byte) ?? byte);
  }

  private put(byte: number): void {
    this.decoded[this.length++] = byte;
  }
}

/** Fills `args` with the words of `line` (without its line end), decoded. False: quotes are unbalanced. */
export function splitInline(line: Uint8Array, args: Args): boolean {
  return new LineSplitter(line, args).split();
}
