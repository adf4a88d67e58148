/**
 * What a writer's keys must hold after a crash: an expected state outside the server, with pending marks, after
 * RocksDB's db_crashtest.
 *
 * Invariants:
 * - Each key belongs to one writer, and a writer sends over one connection, so the order of its operations is known.
 * - `base` holds the effect of every operation that is settled; `unsettled` are the later ones in the order sent. The
 *   first `acknowledged` of them were answered: after a crash these must be there, and of the rest some prefix may be.
 */

/** A key's value and its deadline in milliseconds since 1970 (0: none). */
export interface Held {
  readonly value: string;
  readonly expiresAtMs: number;
}

export type State = Map<string, Held>;

/** One command or one MULTI … EXEC, and what it does to the state when it succeeds. */
export interface Operation {
  /** Commands in the order they are sent; more than one stand between MULTI and EXEC. */
  readonly commands: readonly (readonly string[])[];
  apply(state: State): void;
}

export class WriterModel {
  private base: State = new Map();
  private readonly unsettled: Operation[] = [];
  private acknowledged = 0;

  sent(operation: Operation): void {
    this.unsettled.push(operation);
  }

  /** The oldest operation without an answer was answered. Settled operations are folded into the base. */
  answered(): void {
    this.acknowledged++;
    if (this.acknowledged < 1_000) return;
    for (const operation of this.unsettled.splice(0, this.acknowledged)) operation.apply(this.base);
    this.acknowledged = 0;
  }

  get inFlight(): number {
    return this.unsettled.length - this.acknowledged;
  }

  /** The state after everything sent. */
  latest(): State {
    const state = new Map(this.base);
    for (const operation of this.unsettled) operation.apply(state);
    return state;
  }

  /**
   * Compares with what the restarted server holds. Returns the number of in-flight operations that had taken effect,
   * or a message. On success what was found is the new base. Keys whose deadline lies between `beforeMs` and now may
   * be there or not; those with a deadline before `beforeMs` must be gone.
   */
  settle(actual: State, beforeMs: number, afterMs: number): number | string {
    const state = new Map(this.base);
    for (const operation of this.unsettled.slice(0, this.acknowledged)) operation.apply(state);
    const pending = this.unsettled.slice(this.acknowledged);
    let first = '';
    for (let taken = 0; ; taken++) {
      const difference = differenceOf(state, actual, beforeMs, afterMs);
      if (difference === undefined) {
        this.base = withoutExpired(state, beforeMs);
        this.unsettled.length = 0;
        this.acknowledged = 0;
        return taken;
      }
      if (taken === 0) first = difference;
      const next = pending[taken];
      if (next === undefined) break;
      next.apply(state);
    }
    const lost = `${first}; ${pending.length} operations were in flight`;
    return `no prefix of what was in flight explains the keys: with the acknowledged ones only, ${lost}`;
  }
}

function withoutExpired(state: State, nowMs: number): State {
  return new Map([...state].filter(([, held]) => held.expiresAtMs === 0 || held.expiresAtMs > nowMs));
}

/** The first difference between what must be and what is, as text. */
function differenceOf(expected: State, actual: State, beforeMs: number, afterMs: number): string | undefined {
  for (const [key, held] of expected) {
    const found = actual.get(key);
    const mayBeGone = held.expiresAtMs !== 0 && held.expiresAtMs <= afterMs;
    if (found === undefined) {
      if (!mayBeGone) return `${key} is missing, expected ${show(held)}`;
    } else if (held.expiresAtMs !== 0 && held.expiresAtMs <= beforeMs) {
      return `${key} is there ${beforeMs - held.expiresAtMs} ms after it expired`;
    } else if (found.value !== held.value || found.expiresAtMs !== held.expiresAtMs) {
      return `${key} holds ${show(found)}, expected ${show(held)}`;
    }
  }
  for (const [key, found] of actual) if (!expected.has(key)) return `${key} holds ${show(found)}, expected nothing`;
  return undefined;
}

function show(held: Held): string {
  const text = held.value.length > 60 ? `${held.value.slice(0, 60)}… (${held.value.length} bytes)` : held.value;
  return held.expiresAtMs === 0 ? `"${text}"` : `"${text}" until ${held.expiresAtMs}`;
}
