/**
 * Walks made of walks, over elements in the order of their keys, forwards. Each may be stepped again after a `Miss`: what
 * it has stepped to and not shown stays.
 */

import { EMPTY } from '../bytes.ts';
import { type Elements, type ElementSteps, ELEMENT } from '../repl/elements.ts';
import { Rest } from './collection-steps.ts';

/** Elements that one step of a walk in slices passes before it asks for a rest: less than a millisecond. */
export const MOST_PASSED = 500;

/** Whether elements, asked for in rising order, are in a set. */
interface Membership {
  /** Throws `Miss`; then it is asked again. */
  has(key: Uint8Array): boolean;
  close(): void;
}

/** A look-up each. */
export class LookedUp implements Membership {
  private readonly set: Elements;

  constructor(set: Elements) {
    this.set = set;
  }

  has(key: Uint8Array): boolean {
    return this.set.has(ELEMENT, key);
  }

  close(): void {}
}

/** A walk over the set. Throws `Rest` when it has passed `mostPassed` elements. */
export class SideBySide implements Membership {
  private readonly steps: ElementSteps;
  private readonly mostPassed: number;
  private passed = 0;
  /** The walk stands on an element. */
  private stands = false;
  private ended = false;

  constructor(set: Elements, mostPassed = Infinity) {
    this.steps = set.walk(ELEMENT);
    this.mostPassed = mostPassed;
  }

  /** Of the element that it was asked for last, and that is there. */
  get value(): Uint8Array {
    return this.steps.value;
  }

  has(key: Uint8Array): boolean {
    const { steps } = this;
    while (!this.ended) {
      if (this.stands) {
        const order = Buffer.compare(steps.key, key);
        if (order >= 0) return order === 0;
      }
      if (++this.passed > this.mostPassed) {
        this.passed = 0;
        throw new Rest();
      }
      this.stands = steps.next();
      this.ended = !this.stands;
    }
    return false;
  }

  close(): void {
    this.steps.close();
  }
}

/** The elements that are, or are not, in a set. Throws `Rest` when it has passed `mostPassed` elements that are not shown. */
export class MembershipSteps implements ElementSteps {
  private readonly from: ElementSteps;
  private readonly membership: Membership;
  private readonly wanted: boolean;
  private readonly mostPassed: number;
  private passed = 0;
  /** An element has been stepped to and not judged. */
  private ahead = false;
  key: Uint8Array = EMPTY;
  value: Uint8Array = EMPTY;

  constructor(from: ElementSteps, membership: Membership, wanted: boolean, mostPassed = Infinity) {
    this.from = from;
    this.membership = membership;
    this.wanted = wanted;
    this.mostPassed = mostPassed;
  }

  next(): boolean {
    const { from } = this;
    for (;;) {
      if (!this.ahead) {
        if (!from.next()) return false;
        this.key = from.key;
        this.value = from.value;
        this.ahead = true;
      }
      const isIn = this.membership.has(this.key);
      this.ahead = false;
      if (isIn === this.wanted) return true;
      if (++this.passed > this.mostPassed) {
        this.passed = 0;
        throw new Rest();
      }
    }
  }

  close(): void {
    this.from.close();
    this.membership.close();
  }
}

/** The elements of both; of those with the same key the first's. */
export class UnionSteps implements ElementSteps {
  private readonly a: ElementSteps;
  private readonly b: ElementSteps;
  private aAhead = false;
  private bAhead = false;
  private aEnded = false;
  private bEnded = false;
  key: Uint8Array = EMPTY;
  value: Uint8Array = EMPTY;

  constructor(a: ElementSteps, b: ElementSteps) {
    this.a = a;
    this.b = b;
  }

  next(): boolean {
    const { a, b } = this;
    if (!this.aAhead && !this.aEnded) {
      this.aAhead = a.next();
      this.aEnded = !this.aAhead;
    }
    if (!this.bAhead && !this.bEnded) {
      this.bAhead = b.next();
      this.bEnded = !this.bAhead;
    }
    if (!this.aAhead && !this.bAhead) return false;
    const order = !this.aAhead ? 1 : !this.bAhead ? -1 : Buffer.compare(a.key, b.key);
    const shown = order <= 0 ? a : b;
    this.key = shown.key;
    this.value = shown.value;
    if (order <= 0) this.aAhead = false;
    if (order >= 0) this.bAhead = false;
    return true;
  }

  close(): void {
    this.a.close();
    this.b.close();
  }
}
