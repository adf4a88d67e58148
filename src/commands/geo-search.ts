/** Places near another: GEOSEARCH, GEOSEARCHSTORE and the older GEORADIUS family. */

import type { CellsAhead } from '../repl/cells-ahead.ts';
import { rowType } from '../repl/head.ts';
import type { View } from '../repl/view.ts';
import type { Args } from './args.ts';
import { SLICED_FROM } from './collection-row.ts';
import { eachStepSliced } from './collection-steps.ts';
import type { Command, KeyFinder } from './command.ts';
import { CommandError } from './errors.ts';
import { type Place, placeOfScore, scoresOf } from './geo-hash.ts';
import { distanceText, geoCommand, geoDoc, placeAt, placeOfMember, placeReply, unitAt } from './geo-row.ts';
import { cellsAround, distanceWithin, type Shape } from './geo-shape.ts';
import { FIRST_KEY, rowAt, TWO_KEYS } from './key-row.ts';
import { inTurns } from './long-store.ts';
import { clampedIntegerOf } from './number.ts';
import { optionName, syntaxError } from './options.ts';
import type { Reply } from './reply.ts';
import { inOneGo, type Sliced } from './sliced.ts';
import { sortSliced } from './sort-sliced.ts';
import {
  memberOfOrder,
  orderRange,
  type Scored,
  scoreOfOrder,
  type SortedSet,
  sortedSetAt,
  storeScoredSliced,
  storeSortedSet,
} from './sorted-set-row.ts';
import { scoreAt } from './sorted-set-words.ts';

const COMPLEXITY = 'O(N+log(M)) for N members in the cells around the shape and M in the shape';

/** Matches made into members between two rests. */
const TURNED_BETWEEN_RESTS = 10_000;

/** What the name of a command says about its words. */
interface Form {
  readonly kind: 'search' | 'radius' | 'radius-by-member';
  /** GEOSEARCHSTORE always stores; the GEORADIUS family may, by its options. */
  readonly store: 'always' | 'option' | 'never';
  /** The word of the sorted set. */
  readonly key: number;
  /** The word of the first option. */
  readonly options: number;
}

/** GEORADIUS and its kin: the sorted set, and what STORE or STOREDIST names. */
const WITH_STORED: KeyFinder = {
  range: FIRST_KEY,
  find(args) {
    let stored: number | undefined;
    for (let i = 5; i + 1 < args.count; i++) {
      const name = optionName(args, i);
      if (name === 'STORE' || name === 'STOREDIST') stored = ++i;
    }
    return stored === undefined ? [1] : [1, stored];
  },
};

export const geoSearchCommands: readonly Command[] = [
  geoCommand({
    name: 'geosearch',
    arity: -7,
    flags: ['readonly'],
    access: 'read',
    doc: geoDoc('Returns the members in a circle or a box.', '6.2.0', COMPLEXITY),
    run: (view, args) => search(view, args, { kind: 'search', store: 'never', key: 1, options: 2 }),
  }),
  geoCommand({
    name: 'geosearchstore',
    arity: -8,
    flags: ['write', 'denyoom'],
    keys: TWO_KEYS,
    access: 'transaction',
    takesTurns: true,
    doc: geoDoc('Stores the members in a circle or a box as a sorted set.', '6.2.0', COMPLEXITY),
    run: (view, args) => search(view, args, { kind: 'search', store: 'always', key: 2, options: 3 }),
  }),
  ...bothRadius('georadius', -6, 'Returns the members in a circle around a place.', {
    kind: 'radius',
    store: 'option',
    key: 1,
    options: 6,
  }),
  ...bothRadius('georadiusbymember', -5, 'Returns the members in a circle around a member.', {
    kind: 'radius-by-member',
    store: 'option',
    key: 1,
    options: 5,
  }),
];

function bothRadius(name: string, arity: number, summary: string, form: Form): readonly Command[] {
  return [
    geoCommand({
      name,
      arity,
      flags: ['write', 'denyoom', 'movablekeys'],
      keys: WITH_STORED,
      access: 'transaction',
      takesTurns: true,
      doc: geoDoc(summary, '3.2.0', COMPLEXITY),
      run: (view, args) => search(view, args, form),
    }),
    geoCommand({
      name: `${name}_ro`,
      arity,
      flags: ['readonly'],
      access: 'read',
      doc: geoDoc(`${summary} Never stores.`, '3.2.10', COMPLEXITY),
      run: (view, args) => search(view, args, { ...form, store: 'never' }),
    }),
  ];
}

/** What a search asks for, as its words are read. */
interface Request {
  /** Undefined: not given, or that of a member of a sorted set that is not there. */
  centre: Place | undefined;
  from: 'member' | 'place' | undefined;
  shape: Shape | undefined;
  /** Metres of the unit in which distances are answered. */
  unit: number;
  withDistance: boolean;
  withHash: boolean;
  withPlace: boolean;
  order: 'asc' | 'desc' | undefined;
  /** 0: all. */
  count: number;
  takesAny: boolean;
  /** The word of the key to store in. */
  target: number | undefined;
  storeDistances: boolean;
}

/** Reads the words in the order in which Redis does, for its errors. Throws `Miss`, `CommandError`. */
function requestOf(args: Args, form: Form, set: SortedSet | undefined): Request {
  const request: Request = {
    centre: undefined,
    from: undefined,
    shape: undefined,
    unit: 1,
    withDistance: false,
    withHash: false,
    withPlace: false,
    order: undefined,
    count: 0,
    takesAny: false,
    target: form.store === 'always' ? 1 : undefined,
    storeDistances: false,
  };
  if (form.kind === 'radius') {
    request.centre = placeAt(args, 2);
    circleAt(args, 4, request);
  } else if (form.kind === 'radius-by-member' && set !== undefined) {
    request.centre = placeNamed(args, 2, set);
    circleAt(args, 3, request);
  }
  for (let i = form.options; i < args.count; i++) i += readOption(args, i, form, set, request);
  check(args, form, request);
  return request;
}

/** Reads the option at word i; returns how many words it takes besides its name. */
function readOption(args: Args, i: number, form: Form, set: SortedSet | undefined, request: Request): number {
  const left = args.count - 1 - i;
  const name = optionName(args, i);
  if (name === 'WITHDIST') request.withDistance = true;
  else if (name === 'WITHHASH') request.withHash = true;
  else if (name === 'WITHCOORD') request.withPlace = true;
  else if (name === 'ANY') request.takesAny = true;
  else if (name === 'ASC') request.order = 'asc';
  else if (name === 'DESC') request.order = 'desc';
  else if (name === 'COUNT' && left >= 1) {
    request.count = countAt(args, i + 1);
    return 1;
  } else if ((name === 'STORE' || name === 'STOREDIST') && left >= 1 && form.store === 'option') {
    request.target = i + 1;
    request.storeDistances = name === 'STOREDIST';
    return 1;
  } else if (name === 'STOREDIST' && form.store === 'always') request.storeDistances = true;
  else if (form.kind === 'search') return readSearchOption(args, i, set, request);
  else throw syntaxError();
  return 0;
}

function readSearchOption(args: Args, i: number, set: SortedSet | undefined, request: Request): number {
  const left = args.count - 1 - i;
  const name = optionName(args, i);
  if (name === 'FROMMEMBER' && left >= 1 && request.from !== 'place') {
    request.from = 'member';
    if (set !== undefined) request.centre = placeNamed(args, i + 1, set);
    return 1;
  }
  if (name === 'FROMLONLAT' && left >= 2 && request.from !== 'member') {
    request.from = 'place';
    request.centre = placeAt(args, i + 1);
    return 2;
  }
  if (name === 'BYRADIUS' && left >= 2 && request.shape?.kind !== 'box') {
    circleAt(args, i + 1, request);
    return 2;
  }
  if (name === 'BYBOX' && left >= 3 && request.shape?.kind !== 'circle') {
    boxAt(args, i + 1, request);
    return 3;
  }
  throw syntaxError();
}

function check(args: Args, form: Form, request: Request): void {
  if (request.target !== undefined && (request.withDistance || request.withHash || request.withPlace)) {
    const what = form.store === 'always' ? 'GEOSEARCHSTORE' : 'STORE option in GEORADIUS';
    throw new CommandError(`ERR ${what} is not compatible with WITHDIST, WITHHASH and WITHCOORD options`);
  }
  if (form.kind === 'search' && request.from === undefined) {
    throw new CommandError(`ERR exactly one of FROMMEMBER or FROMLONLAT can be specified for ${args.text(0)}`);
  }
  if (form.kind === 'search' && request.shape === undefined) {
    throw new CommandError(`ERR exactly one of BYRADIUS and BYBOX can be specified for ${args.text(0)}`);
  }
  if (request.takesAny && request.count === 0) throw new CommandError('ERR the ANY argument requires COUNT argument');
}

function placeNamed(args: Args, i: number, set: SortedSet): Place {
  const place = placeOfMember(set, args.at(i));
  if (place === undefined) throw new CommandError('ERR could not decode requested zset member');
  return place;
}

function circleAt(args: Args, i: number, request: Request): void {
  const radius = scoreAt(args, i, 'ERR need numeric radius');
  if (radius < 0) throw new CommandError('ERR radius cannot be negative');
  request.unit = unitAt(args, i + 1);
  request.shape = { kind: 'circle', radius: radius * request.unit };
}

function boxAt(args: Args, i: number, request: Request): void {
  const width = scoreAt(args, i, 'ERR need numeric width');
  const height = scoreAt(args, i + 1, 'ERR need numeric height');
  if (width < 0 || height < 0) throw new CommandError('ERR height or width cannot be negative');
  request.unit = unitAt(args, i + 2);
  request.shape = { kind: 'box', width: width * request.unit, height: height * request.unit };
}

function countAt(args: Args, i: number): number {
  const count = clampedIntegerOf(args, i);
  if (count <= 0) throw new CommandError('ERR COUNT must be > 0');
  return count;
}

/** A member in the shape; `distance` in metres. */
interface Match {
  readonly member: Uint8Array;
  readonly score: number;
  readonly place: Place;
  readonly distance: number;
}

function search(view: View, args: Args, form: Form): Reply {
  const set = sortedSetAt(view, args, form.key);
  const request = requestOf(args, form, set);
  const { target } = request;
  const isLong = set !== undefined && set.count > SLICED_FROM;
  if (target !== undefined) {
    const row = rowAt(view, args, target);
    const becoming = { type: rowType.SORTED_SET, expiresAtMs: 0, isLong };
    const stored = inTurns(view, row, becoming, (cells) => storeSliced(set as SortedSet, request, cells));
    return stored ?? storeSortedSet(view, row, inOneGo(scoredMatches(set, request)));
  }
  return inOneGo(matchesOf(set, request)).map((match) => matchReply(match, request));
}

function* storeSliced(set: SortedSet, request: Request, cells: CellsAhead): Sliced<Reply> {
  return yield* storeScoredSliced(cells, yield* scoredMatches(set, request));
}

/** What a search stores. */
function* scoredMatches(set: SortedSet | undefined, request: Request): Sliced<Scored[]> {
  const { unit, storeDistances } = request;
  const matches = yield* matchesOf(set, request);
  const scored: Scored[] = [];
  for (const { member, score, distance } of matches) {
    scored.push({ member, score: storeDistances ? distance / unit : score });
    if (scored.length % TURNED_BETWEEN_RESTS === 0) yield undefined;
  }
  return scored;
}

function matchReply({ member, score, place, distance }: Match, request: Request): Reply {
  const { withDistance, withHash, withPlace } = request;
  if (!withDistance && !withHash && !withPlace) return member;
  const reply: Reply[] = [member];
  if (withDistance) reply.push(distanceText(distance / request.unit));
  if (withHash) reply.push(Math.trunc(score));
  if (withPlace) reply.push(placeReply(place));
  return reply;
}

/** The members in the shape, cell after cell, in the order that is asked for. */
function* matchesOf(set: SortedSet | undefined, request: Request): Sliced<readonly Match[]> {
  const { centre, shape, takesAny, count, order } = request;
  const matches: Match[] = [];
  if (set === undefined || centre === undefined || shape === undefined) return matches;
  for (const cell of cellsAround(shape, centre)) {
    yield* eachStepSliced(set.walk(orderRange(...scoresOf(cell))), (key) => {
      const score = scoreOfOrder(key);
      const place = placeOfScore(score);
      const distance = distanceWithin(shape, centre, place);
      if (distance !== undefined) matches.push({ member: memberOfOrder(key).slice(), score, place, distance });
      return !takesAny || matches.length < count;
    });
    if (takesAny && matches.length >= count) break;
  }
  // The first so many mean the nearest, unless any will do.
  const by = order ?? (count > 0 && !takesAny ? 'asc' : undefined);
  const sign = by === 'desc' ? -1 : 1;
  const sorted = by === undefined ? matches : yield* sortSliced(matches, (a, b) => sign * (a.distance - b.distance));
  return count === 0 ? sorted : sorted.slice(0, count);
}
