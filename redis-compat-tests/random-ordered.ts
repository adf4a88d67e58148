/**
 * Random commands on lists, sorted sets and places, for random-commands.ts: on few keys of their own, so that some grow
 * beyond what stands in a head, and now and then on keys of other types.
 */

import type { SeededRandom } from '../test/crash/seeded-random.ts';

const INDEXES = ['0', '1', '-1', '5', '-5', '100', '-100', '9223372036854775807', 'x'];
const BOUNDS = ['-inf', '+inf', '0', '(0', '10', '(10', '-5', '(-5', '3.5', 'x', '50'];
const LEX_BOUNDS = ['-', '+', '[m1', '(m1', '[m3', '(m3', '[', '(m', 'm1'];
const UNITS = ['m', 'km', 'mi', 'ft', 'yd'];

export function drawList(random: SeededRandom, other: string): string[] {
  const key = random.below(15) === 0 ? other : `l${random.below(4)}`;
  const end = (): string => random.pick(['LEFT', 'RIGHT']);
  const index = (): string => (random.below(4) === 0 ? random.pick(INDEXES) : String(random.below(80) - 40));
  return random.pick([
    () => [random.pick(['LPUSH', 'RPUSH']), key, ...itemsOf(random, 'v')],
    () => [random.pick(['LPUSH', 'RPUSH']), key, ...itemsOf(random, 'v')],
    () => [random.pick(['LPUSHX', 'RPUSHX']), key, ...itemsOf(random, 'v')],
    () => [random.pick(['LPOP', 'RPOP']), key],
    () => [random.pick(['LPOP', 'RPOP']), key, random.pick(['0', '1', '3', '20', '-1', 'x'])],
    () => ['LLEN', key],
    () => ['LINDEX', key, index()],
    () => ['LSET', key, index(), item(random, 'v')],
    () => ['LRANGE', key, index(), index()],
    () => ['LRANGE', key, '0', '-1'],
    () => ['LINSERT', key, random.pick(['BEFORE', 'AFTER', 'AT']), item(random, 'v'), item(random, 'v')],
    () => ['LREM', key, String(random.below(7) - 3), item(random, 'v')],
    () => ['LTRIM', key, String(random.below(4)), String(-1 - random.below(4))],
    () => ['LTRIM', key, index(), index()],
    () => ['LPOS', key, item(random, 'v'), ...positionOptions(random)],
    () => ['LMOVE', key, `l${random.below(4)}`, end(), end()],
    () => ['RPOPLPUSH', key, `l${random.below(4)}`],
    () => ['LMPOP', '2', key, `l${random.below(4)}`, end(), ...random.pick([[], ['COUNT', '3'], ['COUNT', '0']])],
  ])();
}

function positionOptions(random: SeededRandom): string[] {
  const words: string[] = [];
  while (random.below(3) === 0) {
    words.push(random.pick(['RANK', 'COUNT', 'MAXLEN']), random.pick(['0', '1', '2', '-1', '-2', '10', 'x']));
  }
  return words;
}

export function drawSortedSet(random: SeededRandom, other: string): string[] {
  const key = random.below(15) === 0 ? other : `z${random.below(3)}`;
  const bounds = (): string[] => [random.pick(BOUNDS), random.pick(BOUNDS)];
  const places = (): string[] => [String(random.below(60) - 30), String(random.below(60) - 30)];
  const limit = random.pick([[], [], ['LIMIT', '1', '5'], ['LIMIT', '0', '-1'], ['LIMIT', '-1', '2']]);
  const withScores = random.pick([[], ['WITHSCORES']]);
  return random.pick([
    () => ['ZADD', key, ...addOptions(random), ...pairsOf(random)],
    () => ['ZADD', key, ...pairsOf(random)],
    () => ['ZADD', key, ...pairsOf(random)],
    () => ['ZINCRBY', key, score(random), item(random, 'm')],
    () => ['ZREM', key, ...itemsOf(random, 'm')],
    () => ['ZMSCORE', key, ...itemsOf(random, 'm')],
    () => [random.pick(['ZSCORE', 'ZRANK', 'ZREVRANK']), key, item(random, 'm')],
    () => [random.pick(['ZCARD', 'ZPOPMIN', 'ZPOPMAX']), key],
    () => [random.pick(['ZPOPMIN', 'ZPOPMAX']), key, random.pick(['0', '2', '5', 'x'])],
    () => [random.pick(['ZCOUNT', 'ZREMRANGEBYSCORE']), key, ...bounds()],
    () => [random.pick(['ZRANGE', 'ZREVRANGE']), key, ...places(), ...withScores],
    () => ['ZRANGE', key, '0', '-1', 'WITHSCORES'],
    () => [random.pick(['ZRANGEBYSCORE', 'ZREVRANGEBYSCORE']), key, ...bounds(), ...withScores, ...limit],
    () => ['ZRANGE', key, ...bounds(), 'BYSCORE', ...random.pick([[], ['REV']]), ...limit],
    () => ['ZREMRANGEBYRANK', key, ...places()],
    () => ['ZRANGESTORE', `z${random.below(3)}`, key, ...places()],
    () => ['ZMPOP', '2', key, `z${random.below(3)}`, random.pick(['MIN', 'MAX', 'MEAN'])],
    () => combination(random, key),
    () => drawLex(random),
    () => drawLex(random),
  ])();
}

/** Ranges of strings mean something only where all scores are the same. */
function drawLex(random: SeededRandom): string[] {
  const bounds = [random.pick(LEX_BOUNDS), random.pick(LEX_BOUNDS)];
  return random.pick([
    () => ['ZADD', 'lex', ...itemsOf(random, 'm').flatMap((member) => ['0', member])],
    () => ['ZADD', 'lex', ...itemsOf(random, 'm').flatMap((member) => ['0', member])],
    () => [random.pick(['ZRANGEBYLEX', 'ZREVRANGEBYLEX', 'ZLEXCOUNT']), 'lex', ...bounds],
    () => ['ZRANGE', 'lex', ...bounds, 'BYLEX', ...random.pick([[], ['REV'], ['LIMIT', '1', '3']])],
    () => ['ZREMRANGEBYLEX', 'lex', ...bounds],
  ])();
}

function combination(random: SeededRandom, key: string): string[] {
  const keys = [key, random.pick(['z0', 'z1', 'z2', 'none'])];
  const weights = random.pick([
    [],
    ['WEIGHTS', '2', '-3'],
    ['WEIGHTS', '1'],
    ['AGGREGATE', random.pick(['MIN', 'MAX'])],
  ]);
  const name = random.pick(['ZUNION', 'ZINTER']);
  return random.pick([
    () => [name, '2', ...keys, ...weights, 'WITHSCORES'],
    () => [`${name}STORE`, 'z0', '2', ...keys, ...weights],
    () => ['ZDIFF', '2', ...keys, 'WITHSCORES'],
    () => ['ZDIFFSTORE', 'z1', '2', ...keys],
    () => ['ZINTERCARD', '2', ...keys, ...random.pick([[], ['LIMIT', '2']])],
  ])();
}

function addOptions(random: SeededRandom): string[] {
  const words: string[] = [];
  while (random.below(2) === 0) words.push(random.pick(['NX', 'XX', 'GT', 'LT', 'CH', 'INCR']));
  return words;
}

function pairsOf(random: SeededRandom): string[] {
  return itemsOf(random, 'm').flatMap((member) => [score(random), member]);
}

function score(random: SeededRandom): string {
  const draw = random.below(20);
  if (draw === 0) return random.pick(['inf', '-inf', 'nan', 'x', '', '1e400', '0x10']);
  return draw < 4 ? String((random.below(400) - 200) / 8) : String(random.below(60) - 20);
}

export function drawPlaces(random: SeededRandom): string[] {
  const key = `g${random.below(2)}`;
  const place = (): string[] => [degrees(random, 181), degrees(random, 86)];
  const circle = ['BYRADIUS', String(random.below(5000)), random.pick(UNITS)];
  const box = ['BYBOX', String(random.below(9000)), String(random.below(5000)), random.pick(UNITS)];
  const shown = random.pick([[], ['WITHDIST'], ['WITHCOORD', 'WITHHASH'], ['COUNT', '3'], ['COUNT', '2', 'ANY']]);
  const centre = random.below(2) === 0 ? ['FROMMEMBER', item(random, 'm')] : ['FROMLONLAT', ...place()];
  return random.pick([
    () => ['GEOADD', key, ...random.pick([[], ['NX'], ['XX'], ['CH']]), ...place(), item(random, 'm')],
    () => ['GEOADD', key, ...place(), item(random, 'm'), ...place(), item(random, 'm')],
    () => [random.pick(['GEOPOS', 'GEOHASH', 'ZREM']), key, item(random, 'm'), item(random, 'm')],
    () => ['GEODIST', key, item(random, 'm'), item(random, 'm'), random.pick(UNITS)],
    () => ['GEOSEARCH', key, ...centre, ...random.pick([circle, box]), ...shown],
    () => ['GEOSEARCH', key, ...centre, ...random.pick([circle, box]), random.pick(['ASC', 'DESC']), ...shown],
    () => ['GEOSEARCHSTORE', 'g1', key, ...centre, ...random.pick([circle, box])],
  ])();
}

function degrees(random: SeededRandom, most: number): string {
  return ((random.next() * 2 - 1) * most).toFixed(4);
}

function itemsOf(random: SeededRandom, prefix: string): string[] {
  return Array.from({ length: 1 + random.below(6) }, () => item(random, prefix));
}

/** Few enough that most are met again; some long ones. */
function item(random: SeededRandom, prefix: string): string {
  const draw = random.below(30);
  return draw === 0 ? prefix.repeat(100 + random.below(50)) : `${prefix}${random.below(40)}`;
}
