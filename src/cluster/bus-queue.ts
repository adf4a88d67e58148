/**
 * First in, first out, in an array that is used over and over: an array that is emptied and filled again each turn would
 * be allocated anew each turn.
 */

/** Places that an empty queue keeps. */
const KEPT = 4_096;

export class BusQueue<T> {
  private items: (T | undefined)[] = [];
  /** What waits: items[head, tail). */
  private head = 0;
  private tail = 0;

  get length(): number {
    return this.tail - this.head;
  }

  push(item: T): void {
    this.items[this.tail++] = item;
  }

  /** The first one, removed; undefined when nothing waits. */
  shift(): T | undefined {
    const { head, items } = this;
    if (head === this.tail) return undefined;
    const item = items[head];
    items[head] = undefined;
    this.head = head + 1;
    if (this.head === this.tail) this.reset();
    else if (this.head >= KEPT && this.head > this.tail - this.head) this.moveUp();
    return item;
  }

  /** Removes all that `isWanted`, and answers them in their order. */
  take(isWanted: (item: T) => boolean): T[] {
    const { items, tail } = this;
    let first = this.head;
    while (first < tail && !isWanted(items[first] as T)) first++;
    if (first === tail) return [];
    const all = items.slice(this.head, tail) as T[];
    const taken = all.filter((item) => isWanted(item));
    this.items = all.filter((item) => !isWanted(item));
    this.head = 0;
    this.tail = this.items.length;
    return taken;
  }

  private reset(): void {
    this.head = 0;
    this.tail = 0;
    if (this.items.length > KEPT) this.items = [];
  }

  /** Forgets the places at the front, which are more than those in use. */
  private moveUp(): void {
    this.items = this.items.slice(this.head, this.tail);
    this.tail -= this.head;
    this.head = 0;
  }
}
