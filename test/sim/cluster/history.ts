/**
 * What the clients of one run saw, and what must be true of it. Knows operations and outcomes; nothing of ballots,
 * quorums or owners.
 */

import type { RowName } from '../../../src/repl/owner-message.ts';
import { linearizable, type Observed } from './linearizable.ts';
import { applyOperation, INCREMENT, type ClientOutcome, type Operation } from './operation.ts';

export interface Operated {
  readonly operation: Operation;
  /** undefined: unknown. */
  readonly reply: number | undefined;
}

interface Open {
  readonly row: RowName;
  readonly operation: Operation;
  readonly callMs: number;
  outcome: ClientOutcome | undefined;
  returnMs: number;
}

export class History {
  private readonly operations: Open[] = [];

  get size(): number {
    return this.operations.length;
  }

  get answered(): number {
    return this.operations.filter((open) => open.outcome?.kind === 'done').length;
  }

  get uncertain(): number {
    return this.operations.filter((open) => open.outcome === undefined || open.outcome.kind === 'uncertain').length;
  }

  /** An operation begins; the returned function notes its outcome. Without one its outcome is unknown. */
  begin(row: RowName, operation: Operation, nowMs: number): (outcome: ClientOutcome, nowMs: number) => void {
    const open: Open = { row, operation, callMs: nowMs, outcome: undefined, returnMs: Number.POSITIVE_INFINITY };
    this.operations.push(open);
    return (outcome, atMs) => {
      open.outcome = outcome;
      if (outcome.kind === 'done') open.returnMs = atMs;
    };
  }

  /** Operations of one row that may have happened, and reads that were answered. */
  of(row: RowName): Observed<Operated>[] {
    return this.operations
      .filter((open) => open.row === row && open.outcome?.kind !== 'failed')
      .filter((open) => open.operation.kind !== 'get' || open.outcome?.kind === 'done')
      .map((open) => ({
        op: { operation: open.operation, reply: open.outcome?.kind === 'done' ? open.outcome.reply : undefined },
        callMs: open.callMs,
        returnMs: open.returnMs,
      }));
  }

  /** What is wrong with the history of `row`; `undecided` is told apart: the search for an order was too long. */
  judge(row: RowName): { violations: string[]; undecided: boolean } {
    const found: string[] = [];
    const verdict = linearizable(this.of(row), 0, stepOf, ({ operation }) => JSON.stringify(operation));
    if (verdict === 'no') found.push('not linearizable');
    for (const { op } of this.of(row)) {
      if (op.operation.kind === 'get' && op.reply !== undefined && !this.mayHold(row, op.reply)) found.push('invented');
    }
    return { violations: found, undecided: verdict === 'undecided' };
  }

  /** Whether a row can hold this number by what was asked for, whatever the order. */
  mayHold(row: RowName, value: number): boolean {
    const mine = this.operations.filter((open) => open.row === row);
    const base = value % INCREMENT;
    const increments = Math.floor(value / INCREMENT);
    if (increments > mine.filter((open) => open.operation.kind === 'incr').length) return false;
    return base === 0 || mine.some(({ operation }) => 'value' in operation && operation.value % INCREMENT === base);
  }
}

function stepOf(state: number, observed: Observed<Operated>): number | undefined {
  const { operation, reply } = observed.op;
  const result = applyOperation(state === 0 ? undefined : state, operation);
  return reply === undefined || reply === result.reply ? (result.state ?? 0) : undefined;
}
