/**
 * News of members, waiting to ride on messages: what was told least is told first, each piece a bounded number of times.
 *
 * Invariant: there is one piece of news at most about a subject; a newer one takes the place of the older.
 */

export class NewsQueue<T> {
  private readonly pieces = new Map<string, { piece: T; told: number; order: number }>();
  private order = 0;

  get size(): number {
    return this.pieces.size;
  }

  /** `subject`: whom it is about, and who says it if that matters. */
  add(subject: string, piece: T): void {
    this.pieces.set(subject, { piece, told: 0, order: ++this.order });
  }

  /** Drops what is about a subject, when something stronger replaces it. */
  drop(subject: string): void {
    this.pieces.delete(subject);
  }

  /** Up to `count` pieces to tell now; a piece is forgotten once it was told `tellings` times. */
  take(count: number, tellings: number): T[] {
    const chosen = [...this.pieces.entries()]
      .sort(([, a], [, b]) => a.told - b.told || b.order - a.order)
      .slice(0, count);
    for (const [subject, entry] of chosen) if (++entry.told >= tellings) this.pieces.delete(subject);
    return chosen.map(([, entry]) => entry.piece);
  }
}
