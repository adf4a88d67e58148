/** The commands that took long: what SLOWLOG shows. Newest first, at most `maxEntries`; nothing is kept of fast ones. */

import type { Args } from './args.ts';

/** As Redis: more words, and more bytes of a word, are only counted. */
export const MAX_WORDS = 32;
export const MAX_WORD_BYTES = 128;

export interface SlowlogEntry {
  readonly id: number;
  /** Seconds since 1970. */
  readonly time: number;
  readonly durationUs: number;
  readonly words: readonly Uint8Array[];
  readonly peer: string;
  readonly clientName: string;
}

export class Slowlog {
  /** `slowlog-log-slower-than`; a negative one keeps nothing. */
  thresholdUs = 10_000;
  private maxEntries = 128;
  private nextId = 0;
  /** Oldest first. */
  private kept: SlowlogEntry[] = [];

  /** `slowlog-max-len`. */
  limit(maxEntries: number): void {
    this.maxEntries = maxEntries;
    this.trim();
  }

  /** Keeps the command if it was slow enough. `hidden`: indexes of words that are passwords. */
  record(args: Args, entry: Omit<SlowlogEntry, 'id' | 'words'>, hidden: ReadonlySet<number>): void {
    if (this.thresholdUs < 0 || entry.durationUs < this.thresholdUs) return;
    this.kept.push({ ...entry, id: this.nextId++, words: shortened(args, hidden) });
    this.trim();
  }

  /** Newest first. */
  latest(count: number): SlowlogEntry[] {
    return this.kept.slice(Math.max(0, this.kept.length - count)).reverse();
  }

  get length(): number {
    return this.kept.length;
  }

  reset(): void {
    this.kept = [];
  }

  private trim(): void {
    if (this.kept.length > this.maxEntries) this.kept.splice(0, this.kept.length - this.maxEntries);
  }
}

function shortened(args: Args, hidden: ReadonlySet<number>): Uint8Array[] {
  const words: Uint8Array[] = [];
  const shown = Math.min(args.count, MAX_WORDS);
  for (let i = 0; i < shown; i++) {
    if (i === MAX_WORDS - 1 && args.count > MAX_WORDS) {
      words.push(Buffer.from(`... (${args.count - MAX_WORDS + 1} more arguments)`));
    } else if (hidden.has(i)) words.push(Buffer.from('(redacted)'));
    else words.push(shortenedWord(args.at(i)));
  }
  return words;
}

function shortenedWord(word: Uint8Array): Uint8Array {
  if (word.length <= MAX_WORD_BYTES) return word.slice();
  const more = `... (${word.length - MAX_WORD_BYTES} more bytes)`;
  return Buffer.concat([word.subarray(0, MAX_WORD_BYTES), Buffer.from(more)]);
}
