/** Places one by one: GEOADD, GEOPOS, GEODIST, GEOHASH. */

import { rowType } from '../repl/head.ts';
import type { View } from '../repl/view.ts';
import type { Args } from './args.ts';
import { typedRowAt } from './collection-row.ts';
import type { Command } from './command.ts';
import { bitsOf, cellOf, distanceOf, MAX_STEP, type Place, scoreOfPlace } from './geo-hash.ts';
import { distanceText, geoCommand, geoDoc, placeAt, placeOfMember, placeReply, unitAt } from './geo-row.ts';
import { optionName, syntaxError } from './options.ts';
import { NULL_ARRAY, type Reply } from './reply.ts';
import { putScore } from './sorted-set-plain.ts';
import { sortedSetAt, sortedSetToFill } from './sorted-set-row.ts';

export const plainGeoCommands: readonly Command[] = [
  geoCommand({
    name: 'geoadd',
    arity: -5,
    flags: ['write', 'denyoom'],
    access: 'update',
    doc: geoDoc('Gives members places.', '3.2.0', 'O(log(N)) for each member'),
    run: add,
  }),
  geoCommand({
    name: 'geopos',
    arity: -2,
    flags: ['readonly'],
    access: 'read',
    doc: geoDoc('Returns the places of members.', '3.2.0', 'O(N) for N members'),
    run: (view, args) => eachMember(view, args, NULL_ARRAY, placeReply),
  }),
  geoCommand({
    name: 'geodist',
    arity: -4,
    flags: ['readonly'],
    access: 'read',
    doc: geoDoc('Returns the distance between two members.', '3.2.0', 'O(log(N))'),
    run: distance,
  }),
  geoCommand({
    name: 'geohash',
    arity: -2,
    flags: ['readonly'],
    access: 'read',
    doc: geoDoc('Returns the places of members as geohashes.', '3.2.0', 'O(log(N)) for each member'),
    run: (view, args) => eachMember(view, args, null, geohashText),
  }),
];

function add(view: View, args: Args): Reply {
  const given = new Set<string>();
  let first = 2;
  for (; first < args.count; first++) {
    const name = optionName(args, first);
    if (name !== 'NX' && name !== 'XX' && name !== 'CH') break;
    given.add(name);
  }
  const words = args.count - first;
  if (words === 0 || words % 3 !== 0 || (given.has('NX') && given.has('XX'))) throw syntaxError();
  const scores: number[] = [];
  for (let i = first; i < args.count; i += 3) scores.push(scoreOfPlace(placeAt(args, i)));
  const row = typedRowAt(view, args, 1, rowType.SORTED_SET);
  if (!row.live && given.has('XX')) return 0;
  const only = given.has('NX') ? 'absent' : given.has('XX') ? 'present' : 'any';
  const set = sortedSetToFill(view, row);
  let added = 0;
  let changed = 0;
  scores.forEach((score, i) => {
    const put = putScore(set, args.at(first + 3 * i + 2), score, { only, direction: 'any' });
    if (put === 'added') added++;
    else if (put === 'changed') changed++;
  });
  return given.has('CH') ? added + changed : added;
}

function eachMember(view: View, args: Args, absent: Reply, show: (place: Place) => Reply): Reply {
  const set = sortedSetAt(view, args, 1);
  const replies: Reply[] = [];
  for (let i = 2; i < args.count; i++) {
    const place = set === undefined ? undefined : placeOfMember(set, args.at(i));
    replies.push(place === undefined ? absent : show(place));
  }
  return replies;
}

function distance(view: View, args: Args): Reply {
  const unit = args.count > 4 ? unitOf(args) : 1;
  const set = sortedSetAt(view, args, 1);
  const a = set === undefined ? undefined : placeOfMember(set, args.at(2));
  const b = set === undefined ? undefined : placeOfMember(set, args.at(3));
  return a === undefined || b === undefined ? null : distanceText(distanceOf(a, b) / unit);
}

function unitOf(args: Args): number {
  if (args.count > 5) throw syntaxError();
  return unitAt(args, 4);
}

const DIGITS = '0123456789bcdefghjkmnpqrstuvwxyz';
const GEOHASH_LATITUDE_MAX = 90;
const GEOHASH_DIGITS = 10;

/** Ten digits of five bits, and a zero for the eleventh, of which only two bits are known. */
function geohashText(place: Place): string {
  let bits = bitsOf(cellOf(place, MAX_STEP, GEOHASH_LATITUDE_MAX));
  bits = Math.floor(bits / 4);
  let text = '0';
  for (let i = 0; i < GEOHASH_DIGITS; i++) {
    text = (DIGITS[bits % 32] as string) + text;
    bits = Math.floor(bits / 32);
  }
  return text;
}
