/** Which way a command goes in a cluster of several nodes, by its row of the table and its words. */

import type { Args } from './args.ts';
import type { Command } from './command.ts';
import { keyIndexes } from './table.ts';

/**
 * `LOCAL`: touches no row, or only what this node has; `ROW`: one row; `READ`: reads of several rows; `EXEC`; `KEYSPACE`: whole databases; `ROWS`: changes of several rows.
 */
export const plan = { LOCAL: 0, ROW: 1, READ: 2, EXEC: 3, KEYSPACE: 4, ROWS: 5 } as const;
export type Plan = (typeof plan)[keyof typeof plan];

/** What this node has of a slot: cluster-aware tools ask for it and expect no more. */
const LOCAL_READS: ReadonlySet<string> = new Set(['countkeysinslot', 'getkeysinslot']);

/** What is known of a command from its row alone. */
interface Shape {
  /** The word of its only key; 0 when its keys have to be looked for. */
  readonly keyAt: number;
  /** Not ROW: what it is when it has not exactly one key. */
  readonly otherwise: Plan;
}

const shapes = new WeakMap<Command, Shape>();

/** The word that names the only row of this command, when its plan is `ROW`; filled by `planOf`. */
export class Planned {
  kind: Plan = plan.LOCAL;
  keyAt = 0;
}

/** Fills `planned`. */
export function planOf(command: Command, args: Args, planned: Planned): void {
  let shape = shapes.get(command);
  if (shape === undefined) shapes.set(command, (shape = shapeOf(command)));
  planned.kind = shape.otherwise;
  planned.keyAt = shape.keyAt;
  if (shape.keyAt !== 0) {
    planned.kind = plan.ROW;
    return;
  }
  if (shape.otherwise !== plan.READ && shape.otherwise !== plan.ROWS) return;
  // WATCH leaves a mark at the connection: it is never run by the row's coordinator.
  if (command.name === 'watch') return;
  const keys = keyIndexes(command, args);
  if (command.mayMeetOtherRows === true) return;
  if (keys.length === 1) {
    planned.kind = plan.ROW;
    planned.keyAt = keys[0] as number;
  } else if (keys.length === 0) planned.kind = plan.LOCAL;
}

function shapeOf(command: Command): Shape {
  const { access, keys, name } = command;
  if (access === 'none' || LOCAL_READS.has(name)) return { keyAt: 0, otherwise: plan.LOCAL };
  if (name === 'exec') return { keyAt: 0, otherwise: plan.EXEC };
  if (keys === undefined) return { keyAt: 0, otherwise: plan.KEYSPACE };
  const several = access === 'read' ? plan.READ : plan.ROWS;
  const isOne =
    'first' in keys && keys.first === keys.last && access !== 'transaction' && command.mayMeetOtherRows !== true;
  return { keyAt: isOne ? keys.first : 0, otherwise: several };
}
