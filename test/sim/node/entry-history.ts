/**
 * What consumers saw of the entries of one stream and its group, and whether it can have happened one at a time. Each entry
 * is judged by itself: what a command did to it, or showed of it, is one step of its life.
 *
 * ```
 * not there ── XADD ──▶ new ── XREADGROUP > ──▶ at a consumer ◀── XCLAIM, XAUTOCLAIM ──▶ at another one
 *                                                   └── XACK ──▶ acknowledged
 * ```
 *
 * Knows Redis's documented behaviour and nothing of the product.
 */

import { linearizable, type Observed } from '../cluster/linearizable.ts';

/** What one command did to, or showed of, one entry. */
export type EntryStep =
  | { readonly kind: 'add' }
  /** XREADGROUP >, XCLAIM and XAUTOCLAIM gave it to this consumer. */
  | { readonly kind: 'deliver' | 'claim'; readonly to: string }
  | { readonly kind: 'acknowledge' }
  /** XCLAIM or XACK that named it found that it is pending nowhere. */
  | { readonly kind: 'not pending' }
  /** Of XPENDING and of a consumer's history: it is pending there; or it is not. */
  | { readonly kind: 'at' | 'not at'; readonly consumer: string }
  /** At the end everything new was given to a last consumer; then it was like this. */
  | { readonly kind: 'finally'; readonly last: string; readonly state: string };

const ABSENT = '';
const NEW = 'new';
const ACKNOWLEDGED = 'acknowledged';

/** States of an entry in the group's hands. */
export function stateAt(consumer: string): string {
  return `at ${consumer}`;
}

export const finalState = { ABSENT, ACKNOWLEDGED } as const;

function isPending(state: string): boolean {
  return state.startsWith('at ');
}

/** The state after a step; undefined: in this state it cannot have been. */
export function stepOf(state: string, step: EntryStep): string | undefined {
  switch (step.kind) {
    case 'add':
      return state === ABSENT ? NEW : undefined;
    case 'deliver':
      return state === NEW ? stateAt(step.to) : undefined;
    case 'claim':
      return isPending(state) ? stateAt(step.to) : undefined;
    case 'acknowledge':
      return isPending(state) ? ACKNOWLEDGED : undefined;
    case 'not pending':
      return isPending(state) ? undefined : state;
    case 'at':
      return state === stateAt(step.consumer) ? state : undefined;
    case 'not at':
      return state === stateAt(step.consumer) ? undefined : state;
    default: {
      const after = state === NEW ? stateAt(step.last) : state;
      return after === step.state ? after : undefined;
    }
  }
}

/** One command as its client saw it. */
export interface Seen {
  readonly client: string;
  readonly words: string;
  readonly callUs: number;
  /** Infinity: its outcome is unknown. */
  returnUs: number;
  /** Of the entries that it names or shows. */
  readonly steps: Map<string, EntryStep>;
  /** Of every entry that it does not show. */
  others: EntryStep | undefined;
}

export class EntryHistory {
  private readonly all: Seen[] = [];

  begin(client: string, words: string, callUs: number): Seen {
    const seen: Seen = {
      client,
      words,
      callUs,
      returnUs: Number.POSITIVE_INFINITY,
      steps: new Map(),
      others: undefined,
    };
    this.all.push(seen);
    return seen;
  }

  /** It has certainly not happened. */
  forget(seen: Seen): void {
    this.all.splice(this.all.indexOf(seen), 1);
  }

  /**
   * What is wrong; `undecided`: entries whose history was too long a search. `nameOf`: what an entry is called in the end,
   * which was noted under another name as long as less was known of it.
   */
  judge(nameOf = (entry: string): string => entry): {
    readonly violations: readonly string[];
    readonly undecided: number;
  } {
    const all = this.all.map((seen) => ({
      ...seen,
      steps: new Map([...seen.steps].map(([entry, step]) => [nameOf(entry), step])),
    }));
    const entries = new Set(all.flatMap(({ steps }) => [...steps.keys()]));
    const violations: string[] = [];
    let undecided = 0;
    for (const entry of entries) {
      const lines: string[] = [];
      const observed: Observed<EntryStep>[] = [];
      for (const { client, words, callUs, returnUs, steps, others } of all) {
        const step = steps.get(entry) ?? others;
        // What is only shown says nothing when it was never answered.
        if (step === undefined || (returnUs === Number.POSITIVE_INFINITY && !changes(step))) continue;
        observed.push({ op: step, callMs: callUs, returnMs: returnUs });
        const until = Number.isFinite(returnUs) ? String(returnUs) : '?';
        lines.push(`  ${callUs}..${until} ${client} ${words}: ${JSON.stringify(step)}`);
      }
      const verdict = linearizable<EntryStep, string>(observed, ABSENT, (state, { op }) => stepOf(state, op), textOf);
      if (verdict === 'undecided') undecided++;
      if (verdict === 'no') violations.push(`${entry} cannot have lived so:\n${lines.join('\n')}`);
    }
    return { violations, undecided };
  }
}

function changes({ kind }: EntryStep): boolean {
  return kind === 'add' || kind === 'deliver' || kind === 'claim' || kind === 'acknowledge';
}

function textOf(step: EntryStep): string {
  return JSON.stringify(step);
}
