/** Members that go from a sorted set by where they stand: a few at once, many in turns (repl/long-change.ts). */

import { copyOf } from '../bytes.ts';
import type { CellsAhead } from '../repl/cells-ahead.ts';
import { keyAfter, type TagRange } from '../repl/elements.ts';
import { rowType } from '../repl/head.ts';
import { LongChange, mostInPlace } from '../repl/long-change.ts';
import type { Row, View } from '../repl/view.ts';
import { BulksReply } from './bulks-reply.ts';
import { removeIfEmpty } from './collection-row.ts';
import { eachStepSliced, WRITTEN_ELEMENTS } from './collection-steps.ts';
import type { Sliced } from './sliced.ts';
import { addScored, memberOfOrder, scoreBulk, type Scored, scoreOfOrder, SortedSet } from './sorted-set-row.ts';

/** Members [skip, skip + most) of a walk over a range. */
export interface Selection {
  readonly range: TagRange;
  readonly skip: number;
  readonly most: number;
}

interface Taken {
  readonly count: number;
  /** Empty unless they are wanted so. */
  readonly members: readonly Scored[];
  /** Members and scores in turn, of many that are wanted so. */
  readonly bulks?: BulksReply;
}

/** What is told of the members that go. */
type Told = 'number' | 'members' | 'bulks';

/** Removes the members of a selection from a live sorted set; returns their number. Throws `Miss`, `LongChange`. */
export function removeScored(view: View, row: Row, selection: Selection): number {
  const { range, skip, most } = selection;
  const { count } = view.elements(row);
  if (range.lower === undefined && range.upper === undefined && skip === 0 && most >= count) {
    view.remove(row);
    return count;
  }
  return take(view, row, selection, 'number').count;
}

/** As `removeScored`; returns the members in memory of their own, in the order of the walk. Throws `Miss`, `LongChange`. */
export function takeScored(view: View, row: Row, selection: Selection): readonly Scored[] {
  return take(view, row, selection, 'members').members;
}

/** As `takeScored`; many come as bulk strings, each followed by its score. */
export function takeScoredBulks(view: View, row: Row, selection: Selection): readonly Scored[] | BulksReply {
  const { members, bulks } = take(view, row, selection, 'bulks');
  return bulks ?? members;
}

function take(view: View, row: Row, selection: Selection, told: Told): Taken {
  const made = view.made(row);
  if (made !== undefined) {
    view.setWritten(row, rowType.SORTED_SET, made.cells, row.expiresAtMs);
    return made.answer as Taken;
  }
  const { range, skip, most } = selection;
  const set = new SortedSet(view.elements(row));
  const limit = view.mayTakeTurns ? mostInPlace(set.count, 2) : Infinity;
  const members = set.list(range, Math.min(most, limit + 1), skip);
  if (members.length > limit) throw new LongChange(row, (cells) => keepOthers(set, selection, told, cells));
  if (members.length === set.count) view.remove(row);
  else for (const each of members) set.drop(each);
  removeIfEmpty(view, row);
  return { count: members.length, members };
}

/** Makes a sorted set of the members that are not selected. */
function* keepOthers(set: SortedSet, { range, skip, most }: Selection, told: Told, cells: CellsAhead): Sliced<Taken> {
  cells.begin();
  const members: Scored[] = [];
  const bulks = told === 'bulks' ? new BulksReply('array') : undefined;
  let count = 0;
  let toSkip = skip;
  let first: Uint8Array | undefined;
  let last: Uint8Array | undefined;
  yield* eachStepSliced(set.walk(range), (key) => {
    if (toSkip-- > 0) return true;
    first ??= copyOf(key);
    last = copyOf(key);
    bulks?.add(memberOfOrder(key));
    bulks?.add(scoreBulk(scoreOfOrder(key)));
    if (told === 'members') members.push({ member: copyOf(memberOfOrder(key)), score: scoreOfOrder(key) });
    return ++count < most;
  });
  if (first === undefined || last === undefined)
    return bulks === undefined ? { count, members } : { count, members, bulks };
  const [least, greatest] = range.reverse === true ? [last, first] : [first, last];
  for (const part of [{ upper: least }, { lower: keyAfter(greatest) }]) {
    const keep = (key: Uint8Array): void => addScored(cells, memberOfOrder(key), scoreOfOrder(key));
    yield* eachStepSliced(set.walk(part), keep, WRITTEN_ELEMENTS);
  }
  return bulks === undefined ? { count, members } : { count, members, bulks };
}
