/** What the commands on places share: words, units, and places of members. A place is a member of a sorted set. */

import type { Args } from './args.ts';
import { commandsOf, docsOf } from './collection-row.ts';
import { CommandError } from './errors.ts';
import { LATITUDE_MAX, LONGITUDE_MAX, type Place, placeOfScore } from './geo-hash.ts';
import { optionName } from './options.ts';
import { DecimalReply, type Reply } from './reply.ts';
import type { SortedSet } from './sorted-set-row.ts';
import { scoreAt } from './sorted-set-words.ts';

export const geoCommand = commandsOf('geo');
export const geoDoc = docsOf('geo');

/** Metres of each unit. */
const UNITS: Readonly<Record<string, number>> = { M: 1, KM: 1000, FT: 0.3048, MI: 1609.34 };

/** Word i, a unit, in metres. Throws `CommandError`. */
export function unitAt(args: Args, i: number): number {
  const metres = UNITS[optionName(args, i)];
  if (metres === undefined) throw new CommandError('ERR unsupported unit provided. please use M, KM, FT, MI');
  return metres;
}

/** Words i and i + 1 as longitude and latitude. Throws `CommandError`. */
export function placeAt(args: Args, i: number): Place {
  const longitude = scoreAt(args, i);
  const latitude = scoreAt(args, i + 1);
  if (Math.abs(longitude) > LONGITUDE_MAX || Math.abs(latitude) > LATITUDE_MAX) {
    throw new CommandError(`ERR invalid longitude,latitude pair ${sixDecimals(longitude)},${sixDecimals(latitude)}`);
  }
  return { longitude, latitude };
}

function sixDecimals(value: number): string {
  if (!Number.isFinite(value)) return value < 0 ? '-inf' : 'inf';
  return Math.abs(value) < 1e21 ? value.toFixed(6) : `${BigInt(value)}.000000`;
}

/** Undefined: no such member. Throws `Miss`. */
export function placeOfMember(set: SortedSet, member: Uint8Array): Place | undefined {
  const score = set.score(member);
  return score === undefined ? undefined : placeOfScore(score);
}

/** Longitude and latitude as a reply. */
export function placeReply({ longitude, latitude }: Place): Reply {
  return [new DecimalReply(degreesText(longitude)), new DecimalReply(degreesText(latitude))];
}

/** A distance as Redis writes it. */
export function distanceText(distance: number): string {
  return distance.toFixed(4);
}

const DEGREE_DECIMALS = 17;
/** No coordinate of a cell has more: 26 bits of the grid, and some of a latitude's own. */
const EXACT_DECIMALS = 80;

/** 17 decimals without the zeros at the end. JavaScript rounds an exact half up, C to the even digit. */
function degreesText(value: number): string {
  const up = Math.abs(value).toFixed(DEGREE_DECIMALS);
  const exact = Math.abs(value).toFixed(EXACT_DECIMALS);
  const rest = exact.slice(exact.length - EXACT_DECIMALS + DEGREE_DECIMALS);
  const down = exact.slice(0, exact.length - rest.length);
  const rounded = /^50*$/.test(rest) && Number(down.at(-1)) % 2 === 0 ? down : up;
  const text = rounded.replace(/\.?0+$/, '');
  return value < 0 && text !== '0' ? `-${text}` : text;
}
