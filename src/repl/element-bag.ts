/**
 * The keys of a collection's elements in an order that means nothing, so that one is drawn at once: a walk to a random place
 * would pass what earlier draws have taken out there. Derived, and dropped at any time.
 */

import { latin1 } from '../bytes.ts';

/** Elements of a bag; of more a walk passes few that are gone for each that is there. */
export const MAX_BAGGED = 4096;

/** Memory of a key besides its bytes, twice: an array, its name and its place in the map. */
const KEY_OVERHEAD = 300;

export class ElementBag {
  private readonly keys: Uint8Array[] = [];
  private readonly places = new Map<string, number>();
  /** Memory in use, more or less. */
  bytes = 0;

  get count(): number {
    return this.keys.length;
  }

  /** Requires: 0 ≤ place < count. Nobody may change its bytes. */
  at(place: number): Uint8Array {
    return this.keys[place] as Uint8Array;
  }

  /** The key is the bag's own from now on. */
  add(key: Uint8Array): void {
    const name = latin1(key);
    if (this.places.has(name)) return;
    this.places.set(name, this.keys.length);
    this.keys.push(key);
    this.bytes += 2 * key.length + KEY_OVERHEAD;
  }

  /** The last one takes its place. */
  remove(key: Uint8Array): void {
    const name = latin1(key);
    const place = this.places.get(name);
    if (place === undefined) return;
    this.places.delete(name);
    const last = this.keys.pop() as Uint8Array;
    if (place < this.keys.length) {
      this.keys[place] = last;
      this.places.set(latin1(last), place);
    }
    this.bytes -= 2 * key.length + KEY_OVERHEAD;
  }
}
