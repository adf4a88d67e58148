/**
 * Answers that wait until what they show is as durable as the fsync policy asks, in the order of their sequences.
 *
 * Invariant: an answer is given once, and never before its sequence is durable.
 */

interface Waiting<A> {
  readonly sequence: number;
  readonly answer: A;
  give(answer: A): void;
}

export class DurableAnswers<A> {
  private waiting: Waiting<A>[] = [];
  /** Those before this place are given. */
  private first = 0;

  get size(): number {
    return this.waiting.length - this.first;
  }

  /** Reads may wait for less than the writes that wait already, so they find their place from the end. */
  add(sequence: number, answer: A, give: (answer: A) => void): void {
    const { waiting } = this;
    let at = waiting.length;
    while (at > this.first && (waiting[at - 1] as Waiting<A>).sequence > sequence) at--;
    const entry = { sequence, answer, give };
    if (at === waiting.length) waiting.push(entry);
    else waiting.splice(at, 0, entry);
  }

  /** Gives all answers up to this sequence. An answer may bring about new ones. */
  release(durableSequence: number): void {
    for (;;) {
      const next = this.waiting[this.first];
      if (next === undefined || next.sequence > durableSequence) break;
      this.first++;
      next.give(next.answer);
    }
    if (this.first === this.waiting.length) {
      this.waiting = [];
      this.first = 0;
    } else if (this.first > 1024 && this.first * 2 > this.waiting.length) {
      this.waiting = this.waiting.slice(this.first);
      this.first = 0;
    }
  }
}
