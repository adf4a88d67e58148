/**
 * Places as numbers that sort like a space-filling curve: 26 bits of longitude and 26 of latitude in turn, longitude first,
 * as Redis keeps them in the scores of a sorted set. Every number here fits a double.
 *
 * A cell is a square of the grid with 2^step columns and rows.
 */

/** A place in degrees. */
export interface Place {
  readonly longitude: number;
  readonly latitude: number;
}

/** Column and row of a cell among 2^step. */
export interface Cell {
  readonly column: number;
  readonly row: number;
  readonly step: number;
}

/** Where a cell lies, in degrees. */
export interface Area {
  readonly west: number;
  readonly east: number;
  readonly south: number;
  readonly north: number;
}

export const LONGITUDE_MAX = 180;
/** Where the Mercator projection becomes a square: the poles are not on the map. */
export const LATITUDE_MAX = 85.05112878;

export const MAX_STEP = 26;

const HALF_BITS = 13;
const HALF = 2 ** HALF_BITS;

/** As the Earth's in Redis, in metres. */
const EARTH_RADIUS = 6372797.560856;

/** Half the circumference of the Earth on the map, in metres. */
const MERCATOR_MAX = 20037726.37;

const RADIANS = Math.PI / 180;

export function radians(degrees: number): number {
  return degrees * RADIANS;
}

/** Degrees of latitude that so many metres are. */
export function degreesOf(metres: number): number {
  return metres / EARTH_RADIUS / RADIANS;
}

/**
 * The cell of a place whose latitude runs to ±`latitudeMax`. The very east and the very north are in cells of their own, one
 * beyond the last, as in Redis.
 */
export function cellOf({ longitude, latitude }: Place, step: number, latitudeMax = LATITUDE_MAX): Cell {
  const side = 2 ** step;
  const column = Math.floor(((longitude + LONGITUDE_MAX) / (2 * LONGITUDE_MAX)) * side);
  const row = Math.floor(((latitude + latitudeMax) / (2 * latitudeMax)) * side);
  return { column, row, step };
}

export function areaOf({ column, row, step }: Cell): Area {
  const side = 2 ** step;
  const width = 2 * LONGITUDE_MAX;
  const height = 2 * LATITUDE_MAX;
  return {
    west: -LONGITUDE_MAX + (column / side) * width,
    east: -LONGITUDE_MAX + ((column + 1) / side) * width,
    south: -LATITUDE_MAX + (row / side) * height,
    north: -LATITUDE_MAX + ((row + 1) / side) * height,
  };
}

/** The cell so many columns east and rows north, round the world. */
export function neighbour({ column, row, step }: Cell, east: number, north: number): Cell {
  const side = 2 ** step;
  return {
    column: east === 0 ? column : (column + east + side) % side,
    row: north === 0 ? row : (row + north + side) % side,
    step,
  };
}

/** The bits of a cell, 2 × step of them; one or two more at the very east and north. */
export function bitsOf({ column, row }: Cell): number {
  const high = interleave(Math.floor(row / HALF), Math.floor(column / HALF));
  return high * HALF * HALF + interleave(row % HALF, column % HALF);
}

/** The score of a place. */
export function scoreOfPlace(place: Place): number {
  return bitsOf(cellOf(place, MAX_STEP));
}

/** The place of a score: the middle of its cell. */
export function placeOfScore(score: number): Place {
  const bits = Math.floor(Math.abs(score)) % 2 ** (2 * MAX_STEP + 2);
  const high = Math.floor(bits / (HALF * HALF));
  const low = bits % (HALF * HALF);
  const row = everySecond(high) * HALF + everySecond(low);
  const column = everySecond(high >>> 1) * HALF + everySecond(low >>> 1);
  const { west, east, south, north } = areaOf({ column, row, step: MAX_STEP });
  return {
    longitude: clamp((west + east) / 2, LONGITUDE_MAX),
    latitude: clamp((south + north) / 2, LATITUDE_MAX),
  };
}

/** The scores of the places in a cell: [least, end). */
export function scoresOf(cell: Cell): readonly [least: number, end: number] {
  const width = 2 ** (2 * (MAX_STEP - cell.step));
  const bits = bitsOf(cell);
  return [bits * width, (bits + 1) * width];
}

/** Bits of `even` in the even places, of `odd` in the odd ones. Requires: 14 bits each. */
function interleave(even: number, odd: number): number {
  let bits = 0;
  for (let i = 0; i <= HALF_BITS; i++) {
    bits |= ((even >>> i) & 1) << (2 * i);
    bits |= ((odd >>> i) & 1) << (2 * i + 1);
  }
  return bits;
}

/** The bits in the even places. Requires: 28 bits. */
function everySecond(bits: number): number {
  let found = 0;
  for (let i = 0; i <= HALF_BITS; i++) found |= ((bits >>> (2 * i)) & 1) << i;
  return found;
}

function clamp(value: number, most: number): number {
  return Math.max(-most, Math.min(most, value));
}

/** Metres between two places on a sphere, by the haversine formula. */
export function distanceOf(a: Place, b: Place): number {
  const v = Math.sin((radians(b.longitude) - radians(a.longitude)) / 2);
  if (v === 0) return latitudeDistanceOf(a.latitude, b.latitude);
  const [aLatitude, bLatitude] = [radians(a.latitude), radians(b.latitude)];
  const u = Math.sin((bLatitude - aLatitude) / 2);
  return 2 * EARTH_RADIUS * Math.asin(Math.sqrt(u * u + Math.cos(aLatitude) * Math.cos(bLatitude) * v * v));
}

/** Metres between two latitudes. */
export function latitudeDistanceOf(a: number, b: number): number {
  return EARTH_RADIUS * Math.abs(radians(b) - radians(a));
}

/** The step whose cells are so large that a cell and its neighbours hold a circle of this radius in metres. */
export function stepFor(radius: number, latitude: number): number {
  if (radius === 0) return MAX_STEP;
  let step = 1;
  for (let reach = radius; reach < MERCATOR_MAX; reach *= 2) step++;
  // The first doubling makes up for a place at the edge of its cell, the second for both sides of it.
  step -= 2;
  // Towards the poles the cells are narrower than they look.
  if (Math.abs(latitude) > 66) step--;
  if (Math.abs(latitude) > 80) step--;
  return Math.max(1, Math.min(MAX_STEP, step));
}
