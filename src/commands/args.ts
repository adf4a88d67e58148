import { copyOf, latin1, textOf } from '../bytes.ts';

/**
 * The words of one command: ranges of one buffer, so that reading a request allocates nothing.
 * Word 0 is the command's name.
 *
 * The buffer is the connection's until the command has been answered; whoever keeps words longer (MULTI, a command
 * that waits) keeps a `copy()`.
 */
export class Args {
  bytes: Uint8Array;
  count = 0;
  /** Word i is bytes[starts[i], ends[i]). */
  starts: Uint32Array;
  ends: Uint32Array;

  constructor(bytes: Uint8Array = new Uint8Array(0), capacity = 16) {
    this.bytes = bytes;
    this.starts = new Uint32Array(capacity);
    this.ends = new Uint32Array(capacity);
  }

  static of(...words: readonly (string | Uint8Array)[]): Args {
    const parts = words.map((word) => (typeof word === 'string' ? Buffer.from(word) : word));
    const args = new Args(Buffer.concat(parts), Math.max(parts.length, 1));
    let at = 0;
    for (const part of parts) args.push(at, (at += part.length));
    return args;
  }

  /** Adds the word bytes[start, end). */
  push(start: number, end: number): void {
    if (this.count === this.starts.length) this.grow();
    this.starts[this.count] = start;
    this.ends[this.count] = end;
    this.count++;
  }

  /** Word i as a view of the buffer. Requires: i < count. */
  at(i: number): Uint8Array {
    return this.bytes.subarray(this.starts[i], this.ends[i]);
  }

  /** Word i with a byte a character: for names of options, numbers and what an error quotes. */
  text(i: number): string {
    return latin1(this.bytes, this.starts[i], this.ends[i]);
  }

  /** Word i as UTF-8 text: for names that people read, and the log. */
  utf8(i: number): string {
    return textOf(this.at(i));
  }

  /** Word i in upper case: for names of options and subcommands. */
  upper(i: number): string {
    return this.text(i).toUpperCase();
  }

  length(i: number): number {
    return (this.ends[i] as number) - (this.starts[i] as number);
  }

  /** The words from `first` on, sharing the buffer. */
  from(first: number): Args {
    const rest = new Args(this.bytes, Math.max(this.count - first, 1));
    for (let i = first; i < this.count; i++) rest.push(this.starts[i] as number, this.ends[i] as number);
    return rest;
  }

  /** The words as views of the buffer. */
  words(): Uint8Array[] {
    return Array.from({ length: this.count }, (_, i) => this.at(i));
  }

  /** The same words in memory of their own. */
  copy(): Args {
    const first = this.count === 0 ? 0 : (this.starts[0] as number);
    const last = this.count === 0 ? 0 : (this.ends[this.count - 1] as number);
    const args = new Args(copyOf(this.bytes.subarray(first, last)), Math.max(this.count, 1));
    for (let i = 0; i < this.count; i++)
      args.push((this.starts[i] as number) - first, (this.ends[i] as number) - first);
    return args;
  }

  private grow(): void {
    const starts = new Uint32Array(this.starts.length * 2);
    const ends = new Uint32Array(this.ends.length * 2);
    starts.set(this.starts);
    ends.set(this.ends);
    this.starts = starts;
    this.ends = ends;
  }
}
