/**
 * The frame of HSCAN, SSCAN and ZSCAN: walks over one collection, a step for each call.
 *
 * A cursor is a place in the scatter of the elements' keys (member-key.ts), which never changes for an element: so each one
 * that is there from the first call of a walk to its last is returned, whatever is written meanwhile, and none comes twice
 * unless it went and came back. The server keeps nothing: a cursor holds for ever, and at every node of a cluster.
 * Elements of the same scatter come together. A small collection comes whole, whatever COUNT says, as in Redis.
 */

import { PackedElements } from '../repl/element-pack.ts';
import type { Elements } from '../repl/elements.ts';
import type { RowType } from '../repl/head.ts';
import type { View } from '../repl/view.ts';
import type { Args } from './args.ts';
import { SLICED_FROM, typedRowAt } from './collection-row.ts';
import { eachStepSliced, type Walkable } from './collection-steps.ts';
import type { Command } from './command.ts';
import { globMatches } from './glob.ts';
import { FIRST_KEY } from './key-row.ts';
import { memberOf, SCATTER_RANGE, scatterKey, scatterOf } from './member-key.ts';
import { optionName, syntaxError } from './options.ts';
import type { Reply } from './reply.ts';
import { cursorOf, DEFAULT_SCAN_COUNT, readScanOption, type ScanBounds } from './scan.ts';
import { inOneGo, type Sliced } from './sliced.ts';

/** A packed collection of up to so many elements comes whole. */
const WHOLE_COUNT = 512;

/** The word of the cursor. */
const CURSOR_AT = 2;

/** What HSCAN, SSCAN and ZSCAN do differently. */
export interface ScanRow {
  readonly name: string;
  readonly type: RowType;
  /** ACL category. */
  readonly category: string;
  /** As COMMAND DOCS writes it; undefined: as the category. */
  readonly group?: string;
  readonly summary: string;
  /** The elements to walk over, whose keys are scattered. */
  open(elements: Elements, view: View): Walkable;
  /** Adds what the reply shows of one element; key and value are valid during the call. */
  show(items: Reply[], key: Uint8Array, value: Uint8Array, withValues: boolean): void;
  /** Takes NOVALUES. */
  readonly mayOmitValues: boolean;
}

interface Filter extends ScanBounds {
  withValues: boolean;
}

/** The row of the table of a scan. */
export function scanRow(scan: ScanRow): Command {
  return {
    name: scan.name,
    arity: -3,
    flags: ['readonly'],
    keys: FIRST_KEY,
    categories: [scan.category],
    access: 'read',
    doc: {
      summary: scan.summary,
      since: '2.8.0',
      group: scan.group ?? scan.category,
      complexity: 'O(1) a call, O(N) a whole walk',
    },
    run: (view, args) => inOneGo(step(scan, view, args)),
    isLong: (view, args) => isLong(scan, view, args),
    runSliced: (view, args) => step(scan, view, args),
  };
}

function isLong(scan: ScanRow, view: View, args: Args): boolean {
  if (args.count <= 3) return false;
  // In the order in which a step finds faults.
  cursorOf(args, CURSOR_AT);
  const row = typedRowAt(view, args, 1, scan.type);
  return row.live && filterOf(scan, args).count > SLICED_FROM && view.elements(row).count > SLICED_FROM;
}

function* step(scan: ScanRow, view: View, args: Args): Sliced<Reply> {
  const cursor = cursorOf(args, CURSOR_AT);
  const row = typedRowAt(view, args, 1, scan.type);
  const items: Reply[] = [];
  if (!row.live) return ['0', items];
  const { count, pattern, withValues } = filterOf(scan, args);
  const elements = view.lastingElements(row);
  const limit = elements.base instanceof PackedElements && elements.count <= WHOLE_COUNT ? Infinity : count;
  const lower = cursor < SCATTER_RANGE ? scatterKey(cursor) : undefined;
  if (lower === undefined) return ['0', items];
  let seen = 0;
  let last = -1;
  let next = 0;
  const steps = scan.open(elements, view).walk(cursor === 0 ? {} : { lower });
  yield* eachStepSliced(steps, (key, value) => {
    const scatter = scatterOf(key);
    if (seen >= limit && scatter !== last) {
      next = scatter;
      return false;
    }
    seen++;
    last = scatter;
    if (pattern === undefined || globMatches(pattern, memberOf(key))) scan.show(items, key, value, withValues);
    return true;
  });
  return [String(next), items];
}

/** Throws `CommandError`. */
function filterOf({ mayOmitValues }: ScanRow, args: Args): Filter {
  const filter: Filter = { count: DEFAULT_SCAN_COUNT, pattern: undefined, withValues: true };
  let i = CURSOR_AT + 1;
  while (i < args.count) {
    const name = optionName(args, i);
    if (name === 'NOVALUES' && mayOmitValues) {
      filter.withValues = false;
      i++;
      continue;
    }
    if (!readScanOption(filter, name, args, i)) throw syntaxError();
    i += 2;
  }
  return filter;
}
