/**
 * Places of rows in arrays of numbers: what an owner or a coordinator remembers of hundreds of thousands of rows, without
 * an object for each. (Objects that are replaced with every change of a row live just long enough to be moved by the
 * garbage collector, twice: with maps of versions that was a tenth of the cost of a change.)
 *
 * Invariants: a row keeps its place until it is evicted; places are 0, 1, 2, … below the limit, and a new one is given
 * only when all earlier ones are taken.
 */

import type { RowName } from './owner-message.ts';

export class RowPlaces {
  /** In the order in which rows came. */
  private readonly places = new Map<RowName, number>();
  private readonly limit: number;
  /** What is asked for one row comes in one go. */
  private lastRow: RowName = '';
  private lastPlace = -1;
  /** Whose place the last `take` gave away; undefined: nobody's. */
  evicted: RowName | undefined = undefined;

  constructor(limit: number) {
    this.limit = limit;
  }

  get size(): number {
    return this.places.size;
  }

  /** The row's place; -1 when it has none. */
  find(row: RowName): number {
    if (row === this.lastRow) return this.lastPlace;
    const place = this.places.get(row) ?? -1;
    this.lastRow = row;
    this.lastPlace = place;
    return place;
  }

  /** A place for a row that has none: at the limit that of the row that came first, which is `evicted`. */
  add(row: RowName): number {
    const { places } = this;
    let place = places.size;
    this.evicted = undefined;
    if (place >= this.limit) {
      for (const [oldest, taken] of places) {
        this.evicted = oldest;
        place = taken;
        places.delete(oldest);
        break;
      }
    }
    places.set(row, place);
    this.lastRow = row;
    this.lastPlace = place;
    return place;
  }

  clear(): void {
    this.places.clear();
    this.lastRow = '';
    this.lastPlace = -1;
  }
}

/** Places that an array of a table has at first. */
export const FIRST_PLACES = 1_024;

/** An array with room for this place, and what `numbers` had. */
export function withPlace<A extends Float64Array | Uint32Array>(numbers: A, place: number): A {
  if (place < numbers.length) return numbers;
  const larger = new (numbers.constructor as new (length: number) => A)(Math.max(FIRST_PLACES, 2 * place));
  larger.set(numbers);
  return larger;
}
