/**
 * The operations of the simulated clients on one row, and what they mean: a number, absent counting as 0. `set` and
 * `cas` write numbers below `INCREMENT` that are never written twice; `incr` adds `INCREMENT`, so that every state
 * tells which write it comes from.
 */

import { unreachable } from '../../../src/assert.ts';

export const INCREMENT = 1_000_000;

export type Operation =
  | { readonly kind: 'get' }
  | { readonly kind: 'set'; readonly value: number }
  | { readonly kind: 'incr' }
  | { readonly kind: 'cas'; readonly expected: number; readonly value: number }
  | { readonly kind: 'del' };

/** What a change is to the register core: the operation and who waits for it. */
export interface Change {
  readonly operation: Operation;
  done(outcome: ClientOutcome): void;
}

export type ClientOutcome =
  | { readonly kind: 'done'; readonly reply: number }
  /** It certainly did not happen. */
  | { readonly kind: 'failed' }
  | { readonly kind: 'uncertain' };

/** Runs one operation on a state. `undefined` is an absent row. */
export function applyOperation(
  state: number | undefined,
  operation: Operation,
): { state: number | undefined; reply: number } {
  const number = state ?? 0;
  switch (operation.kind) {
    case 'get':
      return { state, reply: number };
    case 'set':
      return { state: operation.value, reply: 1 };
    case 'incr':
      return { state: number + INCREMENT, reply: number + INCREMENT };
    case 'cas':
      return number === operation.expected ? { state: operation.value, reply: 1 } : { state, reply: 0 };
    case 'del':
      return { state: undefined, reply: number };
    default:
      return unreachable(operation);
  }
}
