/**
 * Sets made of sets: SINTER, SINTERCARD, SUNION, SDIFF and their STORE forms.
 *
 * Members of all sets stand in the same order, so sets of like size are gone through side by side. Members of a small
 * set are looked up in a large one instead.
 */

import { EMPTY } from '../bytes.ts';
import type { CellsAhead } from '../repl/cells-ahead.ts';
import { type Elements, type ElementSteps, ELEMENT, eachStep } from '../repl/elements.ts';
import { rowType } from '../repl/head.ts';
import type { View } from '../repl/view.ts';
import type { Args } from './args.ts';
import { BulksReply } from './bulks-reply.ts';
import { lastingElementsAt, SLICED_FROM } from './collection-row.ts';
import { eachStepSliced, WRITTEN_ELEMENTS } from './collection-steps.ts';
import type { Command } from './command.ts';
import { CommandError } from './errors.ts';
import { ALL_KEYS, rowAt } from './key-row.ts';
import { inTurns } from './long-store.ts';
import { memberCopy, memberOf } from './member-key.ts';
import { clampToSafe, parseInt64 } from './number.ts';
import { numberedKeys } from './numkeys.ts';
import { optionName, syntaxError } from './options.ts';
import { type Reply, SetReply } from './reply.ts';
import { membersAt, setCommand, setDoc } from './set-row.ts';
import { LookedUp, MembershipSteps, MOST_PASSED, SideBySide, UnionSteps } from './set-steps.ts';
import { inOneGo, type Sliced } from './sliced.ts';

/**
 * The walk over a set that is made of others; undefined: an empty one. What takes more than a turn goes through walks
 * only, which see their sets as they were when it began.
 */
interface Algebra {
  readonly steps: (sets: readonly (Elements | undefined)[], mayLookUp: boolean) => ElementSteps | undefined;
  /** How many members a walk goes through, more or less. */
  readonly work: (counts: readonly number[]) => number;
}

/** From so many times the members on, a set is looked into rather than gone through. */
const LOOKED_INTO = 4;

/** The keys of SINTERCARD. */
const NUMBERED = numberedKeys(1);

const INTERSECTION: Algebra = { steps: intersect, work: (counts) => Math.min(...counts) };
const UNION: Algebra = { steps: unite, work: (counts) => counts.reduce((sum, count) => sum + count, 0) };
const DIFFERENCE: Algebra = { steps: subtract, work: ([first = 0]) => first };

export const algebraSetCommands: readonly Command[] = [
  ...both(
    'sinter',
    'Returns the members that all of several sets have.',
    INTERSECTION,
    'O(N*M) for N members of the smallest of M sets',
  ),
  ...both('sunion', 'Returns the members that any of several sets has.', UNION, 'O(N) for N members of all sets'),
  ...both(
    'sdiff',
    'Returns the members that the first set has and the others have not.',
    DIFFERENCE,
    'O(N) for N members of all sets',
  ),
  setCommand({
    name: 'sintercard',
    arity: -3,
    flags: ['readonly', 'movablekeys'],
    keys: NUMBERED,
    access: 'read',
    doc: setDoc(
      'Counts the members that all of several sets have.',
      '7.0.0',
      'O(N*M) for N members of the smallest of M sets',
    ),
    run: (view, args) => inOneGo(countIntersection(view, args, true)),
    isLong: (view, args) => isLong(view, args, INTERSECTION, { from: 2, end: 2 + NUMBERED.find(args).length }),
    runSliced: (view, args) => countIntersection(view, args, false),
  }),
];

/** The row that returns what an algebra makes, and the one that stores it. */
function both(name: string, summary: string, algebra: Algebra, complexity: string): readonly Command[] {
  return [
    setCommand({
      name,
      arity: -2,
      flags: ['readonly'],
      keys: ALL_KEYS,
      access: 'read',
      doc: setDoc(summary, '1.0.0', complexity),
      run: (view, args) => membersOf(view, args, algebra),
      isLong: (view, args) => isLong(view, args, algebra, { from: 1, end: args.count }),
      runSliced: (view, args) => membersOfSliced(view, args, algebra),
    }),
    setCommand({
      name: `${name}store`,
      arity: -3,
      flags: ['write', 'denyoom'],
      keys: ALL_KEYS,
      access: 'transaction',
      doc: setDoc(summary.replace('Returns', 'Stores'), '1.0.0', complexity),
      takesTurns: true,
      run: (view, args) => store(view, args, algebra),
    }),
  ];
}

function membersOf(view: View, args: Args, algebra: Algebra): Reply {
  const members: Reply[] = [];
  const steps = algebra.steps(setsAt(view, args, { from: 1, inOneTurn: true }), true);
  if (steps !== undefined) eachStep(steps, (key) => void members.push(memberCopy(key)));
  return new SetReply(members);
}

function* membersOfSliced(view: View, args: Args, algebra: Algebra): Sliced<Reply> {
  const members = new BulksReply('set');
  const steps = algebra.steps(setsAt(view, args, { from: 1, inOneTurn: false }), false);
  if (steps !== undefined) yield* eachStepSliced(steps, (key) => members.add(memberOf(key)));
  return members;
}

function store(view: View, args: Args, algebra: Algebra): Reply {
  const sets = { from: 2, end: args.count };
  const becoming = { type: rowType.SET, expiresAtMs: 0, isLong: isLong(view, args, algebra, sets) };
  const stored = inTurns(view, rowAt(view, args, 1), becoming, (cells) => storeSliced(view, args, algebra, cells));
  if (stored !== undefined) return stored;
  const steps = algebra.steps(setsAt(view, args, { from: 2, inOneTurn: true }), true);
  const keys: Uint8Array[] = [];
  if (steps !== undefined) eachStep(steps, (key) => void keys.push(key.slice()));
  const target = rowAt(view, args, 1);
  if (keys.length === 0) {
    view.remove(target);
    return 0;
  }
  view.create(target, rowType.SET).addRising(ELEMENT, keys, EMPTY);
  return keys.length;
}

function* storeSliced(view: View, args: Args, algebra: Algebra, cells: CellsAhead): Sliced<Reply> {
  cells.begin();
  const steps = algebra.steps(setsAt(view, args, { from: 2, inOneTurn: false }), false);
  if (steps !== undefined) yield* eachStepSliced(steps, (key) => cells.add(ELEMENT, key, EMPTY), WRITTEN_ELEMENTS);
  return cells.count;
}

function* countIntersection(view: View, args: Args, inOneTurn: boolean): Sliced<Reply> {
  const numkeys = parseInt64(args.bytes, args.starts[1] as number, args.ends[1] as number);
  if (numkeys === undefined || numkeys <= 0) throw new CommandError('ERR numkeys should be greater than 0');
  const end = 2 + clampToSafe(numkeys);
  if (end > args.count) throw new CommandError("ERR Number of keys can't be greater than number of args");
  let limit = 0;
  for (let i = end; i < args.count; i += 2) {
    if (optionName(args, i) !== 'LIMIT' || i + 1 >= args.count) throw syntaxError();
    limit = limitOf(args, i + 1);
  }
  let count = 0;
  const steps = intersect(setsAt(view, args, { from: 2, end, inOneTurn }), inOneTurn);
  if (steps !== undefined) yield* eachStepSliced(steps, () => ++count !== limit);
  return count;
}

function limitOf(args: Args, i: number): number {
  const limit = parseInt64(args.bytes, args.starts[i] as number, args.ends[i] as number);
  if (limit === undefined || limit < 0) throw new CommandError("ERR LIMIT can't be negative");
  return clampToSafe(limit);
}

/** The sets at the words [from, end). Throws `Miss`, `CommandError`. */
function setsAt(
  view: View,
  args: Args,
  { from, end = args.count, inOneTurn }: { from: number; end?: number; inOneTurn: boolean },
): (Elements | undefined)[] {
  const sets: (Elements | undefined)[] = [];
  for (let i = from; i < end; i++) {
    sets.push(inOneTurn ? membersAt(view, args, i) : lastingElementsAt(view, args, i, rowType.SET));
  }
  return sets;
}

/** Whether the sets at the words [from, end) have so many members that the reply is made in slices. Throws `Miss`. */
function isLong(view: View, args: Args, { work }: Algebra, { from, end }: { from: number; end: number }): boolean {
  const counts: number[] = [];
  for (let i = from; i < end; i++) {
    const row = rowAt(view, args, i);
    if (row.live && row.type === rowType.SET) counts.push(view.elements(row).count);
  }
  return counts.length > 0 && work(counts) > SLICED_FROM;
}

function intersect(sets: readonly (Elements | undefined)[], mayLookUp: boolean): ElementSteps | undefined {
  const present = sets.filter((set) => set !== undefined).toSorted((a, b) => a.count - b.count);
  const [smallest, ...others] = present;
  if (smallest === undefined || present.length < sets.length) return undefined;
  return withMembership(smallest, others, { wanted: true, mayLookUp });
}

function subtract(sets: readonly (Elements | undefined)[], mayLookUp: boolean): ElementSteps | undefined {
  const [first, ...others] = sets;
  if (first === undefined) return undefined;
  return withMembership(
    first,
    others.filter((set) => set !== undefined),
    { wanted: false, mayLookUp },
  );
}

function unite(sets: readonly (Elements | undefined)[]): ElementSteps | undefined {
  let walks: ElementSteps[] = [];
  for (const set of sets) if (set !== undefined) walks.push(set.walk(ELEMENT));
  // Pairs, pairs of pairs and so on: each member is compared once for each doubling of the number of sets.
  while (walks.length > 1) {
    const pairs: ElementSteps[] = [];
    for (let i = 0; i < walks.length; i += 2) {
      const [a, b] = [walks[i] as ElementSteps, walks[i + 1]];
      pairs.push(b === undefined ? a : new UnionSteps(a, b));
    }
    walks = pairs;
  }
  return walks[0];
}

/** The members of a set that are, or are not, in each of the others. */
function withMembership(
  set: Elements,
  others: readonly Elements[],
  { wanted, mayLookUp }: { wanted: boolean; mayLookUp: boolean },
): ElementSteps {
  let steps = set.walk(ELEMENT);
  const mostPassed = mayLookUp ? Infinity : MOST_PASSED;
  for (const other of others) {
    const membership =
      mayLookUp && other.count >= LOOKED_INTO * set.count ? new LookedUp(other) : new SideBySide(other, mostPassed);
    steps = new MembershipSteps(steps, membership, wanted, mostPassed);
  }
  return steps;
}
