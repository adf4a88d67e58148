/** SORT and SORT_RO: the elements of a list, a set or a sorted set in another order, or what they point to. */

import { compareBytes, copyOf, EMPTY, latin1 } from '../bytes.ts';
import type { CellsAhead } from '../repl/cells-ahead.ts';
import { type RowType, rowType } from '../repl/head.ts';
import { Miss } from '../repl/miss.ts';
import type { Row, View } from '../repl/view.ts';
import type { Args } from './args.ts';
import { membersOfSet, membersOfSortedSet, valuesOfList } from './collection-content.ts';
import { BulksReply } from './bulks-reply.ts';
import { eachSliced, SLICED_FROM } from './collection-row.ts';
import { eachStepSliced } from './collection-steps.ts';
import type { Command, KeyFinder } from './command.ts';
import { CommandError, WRONG_TYPE } from './errors.ts';
import { FIRST_KEY, rowAt } from './key-row.ts';
import { addListed, listToFill } from './list-row.ts';
import { inTurns, putSliced } from './long-store.ts';
import { memberCopy } from './member-key.ts';
import { clampedIntegerOf } from './number.ts';
import { optionName, syntaxError } from './options.ts';
import type { Reply } from './reply.ts';
import type { Sliced } from './sliced.ts';
import { sortSliced } from './sort-sliced.ts';
import { memberOfOrder, SortedSet } from './sorted-set-row.ts';
import { hasStar, lookUpPattern, type SortPattern, sortPattern } from './sort-pattern.ts';

const NOT_DOUBLES = "ERR One or more scores can't be converted into double";

/** The key, and that of STORE. */
const SORT_KEYS: KeyFinder = {
  range: FIRST_KEY,
  find(args) {
    const keys = [1];
    for (let i = 2; i < args.count; i++) {
      const name = optionName(args, i);
      if (name === 'LIMIT') i += 2;
      else if (name === 'BY' || name === 'GET') i++;
      else if (name === 'STORE' && i + 1 < args.count) keys[1] = ++i;
    }
    return keys;
  },
};

/** Elements written into a long reply between two rests: about a millisecond. */
const WRITTEN_BETWEEN_RESTS = 3000;

const SORTED_TYPES: ReadonlySet<RowType> = new Set([rowType.LIST, rowType.SET, rowType.SORTED_SET]);

const COMPLEXITY = 'O(N+M*log(M)) for M returned of N elements';

export const sortCommands: readonly Command[] = [
  {
    name: 'sort',
    arity: -2,
    flags: ['write', 'denyoom', 'movablekeys'],
    keys: SORT_KEYS,
    access: 'transaction',
    mayMeetOtherRows: true,
    categories: ['set', 'sortedset', 'list', 'dangerous'],
    takesTurns: true,
    doc: {
      summary: 'Returns or stores the elements of a list, a set or a sorted set in another order.',
      since: '1.0.0',
      group: 'generic',
      complexity: COMPLEXITY,
    },
    run: (view, args) => sort(view, args, true),
    isLong: (view, args) => isLong(view, args, true),
    runSliced: (view, args) => sortAlone(view, args, true),
  },
  {
    name: 'sort_ro',
    arity: -2,
    flags: ['readonly', 'movablekeys'],
    keys: { range: FIRST_KEY, find: () => [1] },
    access: 'read',
    mayMeetOtherRows: true,
    categories: ['set', 'sortedset', 'list', 'dangerous'],
    doc: {
      summary: 'Returns the elements of a list, a set or a sorted set in another order.',
      since: '7.0.0',
      group: 'generic',
      complexity: COMPLEXITY,
    },
    run: (view, args) => sort(view, args, false),
    isLong: (view, args) => isLong(view, args, false),
    runSliced: (view, args) => sortAlone(view, args, false),
  },
];

interface SortOptions {
  descending: boolean;
  alpha: boolean;
  skip: number;
  /** Below 0: all. */
  count: number;
  /** undefined: by the elements themselves; a pattern without a star: as they come. */
  by: Uint8Array | undefined;
  readonly get: SortPattern[];
  /** Word of the key that takes the result; 0: none. */
  storeAt: number;
}

function sortOptions(args: Args, mayStore: boolean): SortOptions {
  const options: SortOptions = {
    descending: false,
    alpha: false,
    skip: 0,
    count: -1,
    by: undefined,
    get: [],
    storeAt: 0,
  };
  for (let i = 2; i < args.count; i++) {
    const name = optionName(args, i);
    const left = args.count - i - 1;
    if (name === 'ASC') options.descending = false;
    else if (name === 'DESC') options.descending = true;
    else if (name === 'ALPHA') options.alpha = true;
    else if (name === 'LIMIT' && left >= 2) {
      options.skip = clampedIntegerOf(args, ++i);
      options.count = clampedIntegerOf(args, ++i);
    } else if (name === 'STORE' && mayStore && left >= 1) options.storeAt = ++i;
    else if (name === 'BY' && left >= 1) options.by = args.at(++i);
    else if (name === 'GET' && left >= 1) options.get.push(sortPattern(args.at(++i)));
    else throw syntaxError();
  }
  return options;
}

function sort(view: View, args: Args, mayStore: boolean): Reply {
  const options = sortOptions(args, mayStore);
  const row = rowAt(view, args, 1);
  if (options.storeAt !== 0) {
    const becoming = { type: rowType.LIST, expiresAtMs: 0, isLong: isLargeRow(view, row) && isAlone(options) };
    const target = rowAt(view, args, options.storeAt);
    const stored = inTurns(view, target, becoming, (cells) => storeSliced(view, row, options, cells));
    if (stored !== undefined) return stored;
  }
  const sorted = inOrder(view, elementsOf(view, row), row, options);
  const shown = cut(sorted, options);
  const results = options.get.length === 0 ? shown : pointedTo(view, shown, options.get);
  if (options.storeAt === 0) return results.map((each) => each ?? null);
  const target = rowAt(view, args, options.storeAt);
  view.remove(target);
  if (results.length > 0) {
    const list = listToFill(view, target);
    for (const each of results) list.push('tail', each ?? EMPTY);
  }
  return results.length;
}

/** Whether many elements are sorted by themselves and returned, which is done in slices. Throws `Miss`, `CommandError`. */
function isLong(view: View, args: Args, mayStore: boolean): boolean {
  if (!isLargeRow(view, rowAt(view, args, 1))) return false;
  const options = sortOptions(args, mayStore);
  return options.storeAt === 0 && isAlone(options);
}

function isLargeRow(view: View, row: Row): boolean {
  return row.live && SORTED_TYPES.has(row.type) && view.elements(row).count > SLICED_FROM;
}

/** Only the elements themselves are looked at. */
function isAlone({ by, get }: SortOptions): boolean {
  return (by === undefined || !hasStar(by)) && get.length === 0;
}

/** As `sort` over several turns, of elements that are sorted by themselves and returned. */
function* sortAlone(view: View, args: Args, mayStore: boolean): Sliced<Reply> {
  const options = sortOptions(args, mayStore);
  const row = rowAt(view, args, 1);
  const reply = new BulksReply('array');
  if (!row.live) return reply;
  for (const [i, { element }] of (yield* inOrderSliced(view, row, options)).entries()) {
    reply.add(element);
    if (i % WRITTEN_BETWEEN_RESTS === WRITTEN_BETWEEN_RESTS - 1) yield undefined;
  }
  return reply;
}

function* storeSliced(view: View, row: Row, options: SortOptions, cells: CellsAhead): Sliced<Reply> {
  cells.begin();
  const elements = yield* inOrderSliced(view, row, options);
  yield* putSliced(elements, 1, ({ element }, index) => addListed(cells, index, element));
  return cells.count;
}

/** The elements of a live row that are asked for, sorted by themselves or, with a constant BY, as they come. */
function* inOrderSliced(view: View, row: Row, options: SortOptions): Sliced<readonly Weighed[]> {
  const { type } = row;
  const { by, descending, storeAt } = options;
  const mustSort = by === undefined || (type === rowType.SET && storeAt !== 0);
  const alpha = options.alpha || by !== undefined;
  const weighed: Weighed[] = [];
  const take = (element: Uint8Array): void => {
    weighed.push({ element, weight: element, score: alpha ? 0 : scoreOf(element) });
  };
  const elements = view.lastingElements(row);
  if (type === rowType.SORTED_SET) {
    yield* eachStepSliced(new SortedSet(elements).walk({}), (key) => take(copyOf(memberOfOrder(key))));
  } else yield* eachSliced(elements, {}, (key, value) => take(type === rowType.LIST ? copyOf(value) : memberCopy(key)));
  const compare = alpha ? compareWeights : compareScores;
  let sorted = weighed;
  if (mustSort) sorted = yield* sortSliced(weighed, descending ? (a, b) => compare(b, a) : compare);
  else if (descending && type !== rowType.SET) sorted.reverse();
  return cut(sorted, options);
}

function elementsOf(view: View, row: Row): Uint8Array[] {
  if (!row.live) return [];
  switch (row.type) {
    case rowType.LIST:
      return valuesOfList(view, row);
    case rowType.SET:
      return membersOfSet(view, row);
    case rowType.SORTED_SET:
      return membersOfSortedSet(view, row).map(({ member }) => member);
    default:
      throw new CommandError(WRONG_TYPE);
  }
}

/** An element with what it is sorted by; undefined: the pattern names nothing for it. */
interface Weighed {
  readonly element: Uint8Array;
  readonly weight: Uint8Array | undefined;
  readonly score: number;
}

function inOrder(view: View, elements: Uint8Array[], row: Row, options: SortOptions): Uint8Array[] {
  const { by, descending, storeAt } = options;
  const isConstant = by !== undefined && !hasStar(by);
  // What is stored must be the same everywhere, and sets have no order of their own.
  const mustSort = isConstant && row.type === rowType.SET && storeAt !== 0;
  if (isConstant && !mustSort) {
    return descending && row.type !== rowType.SET ? elements.reverse() : elements;
  }
  const pattern = by === undefined || mustSort ? undefined : sortPattern(by);
  const alpha = options.alpha || mustSort;
  const weights = pattern === undefined ? elements : allOf(elements, (each) => lookUpPattern(view, pattern, each));
  const weighed = elements.map((element, i): Weighed => {
    const weight = weights[i];
    return { element, weight, score: alpha || weight === undefined ? 0 : scoreOf(weight) };
  });
  const compare = alpha ? compareWeights : compareScores;
  weighed.sort(descending ? (a, b) => compare(b, a) : compare);
  return weighed.map(({ element }) => element);
}

function compareScores(a: Weighed, b: Weighed): number {
  if (a.score !== b.score) return a.score < b.score ? -1 : 1;
  return compareBytes(a.element, b.element);
}

function compareWeights(a: Weighed, b: Weighed): number {
  if (a.weight === undefined || b.weight === undefined)
    return Number(a.weight !== undefined) - Number(b.weight !== undefined);
  return compareBytes(a.weight, b.weight);
}

/** The number that a text spells, as C's strtod reads it. Throws `CommandError`. */
function scoreOf(weight: Uint8Array): number {
  const text = latin1(weight).trimStart();
  if (text === '') return 0;
  const infinity = /^([+-]?)inf(inity)?$/i.exec(text);
  if (infinity !== null) return infinity[1] === '-' ? -Infinity : Infinity;
  const hexadecimal = /^([+-]?)(0x[0-9a-f]+)$/i.exec(text);
  if (hexadecimal !== null) return Number(hexadecimal[2]) * (hexadecimal[1] === '-' ? -1 : 1);
  const isNumber = /^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]+)?$/i.test(text);
  const score = isNumber ? Number(text) : Number.NaN;
  const isTiny = score === 0 && /[1-9]/.test(text.split(/e/i, 1).join(''));
  if (!Number.isFinite(score) || isTiny) throw new CommandError(NOT_DOUBLES);
  return score;
}

function cut<T>(elements: readonly T[], { skip, count }: SortOptions): readonly T[] {
  const start = Math.max(skip, 0);
  return elements.slice(start, count < 0 ? undefined : start + count);
}

function pointedTo(
  view: View,
  elements: readonly Uint8Array[],
  patterns: readonly SortPattern[],
): (Uint8Array | undefined)[] {
  const pairs = elements.flatMap((element) => patterns.map((pattern) => ({ element, pattern })));
  return allOf(pairs, ({ element, pattern }) => lookUpPattern(view, pattern, element));
}

/** The results of all look-ups. Throws one `Miss` for all that must be fetched, so that it is fetched at once. */
function allOf<T, R>(items: readonly T[], lookUp: (item: T) => R): R[] {
  const results: R[] = [];
  const misses: Miss[] = [];
  for (const item of items) {
    try {
      results.push(lookUp(item));
    } catch (thrown) {
      if (!(thrown instanceof Miss)) throw thrown;
      misses.push(thrown);
    }
  }
  if (misses.length === 0) return results;
  throw new Miss(async () => {
    await Promise.all(misses.map((miss) => miss.load()));
  });
}
