/** Random commands on bits, HyperLogLogs, streams and SORT, for random-commands.ts. Replies do not depend on the moment. */

import type { SeededRandom } from '../test/crash/seeded-random.ts';

const TYPES = ['u1', 'u8', 'i8', 'i5', 'u16', 'i64', 'u63', 'u64', 'i16', 'x'];
const BIG = ['4294967296', '-1', '9223372036854775807', '-9223372036854000000', 'abc'];

/** A command on bits of the string at `key`. */
export function drawBits(random: SeededRandom, key: string, keys: readonly string[]): string[] {
  const offset = (): string => (random.next() < 0.9 ? String(random.below(200)) : random.pick(BIG));
  const edge = (): string => String(random.below(60) - 30);
  const step = (): string[] =>
    random.pick([
      () => ['GET', random.pick(TYPES), random.pick([offset(), `#${random.below(9)}`])],
      () => ['SET', random.pick(TYPES), offset(), random.pick([String(random.below(600) - 300), ...BIG])],
      () => ['INCRBY', random.pick(TYPES), offset(), random.pick([String(random.below(600) - 300), ...BIG])],
      () => ['OVERFLOW', random.pick(['WRAP', 'SAT', 'FAIL', 'x'])],
    ])();
  return random.pick([
    () => ['SETBIT', key, offset(), random.pick(['0', '1', '1', '2'])],
    () => ['GETBIT', key, offset()],
    () => ['BITCOUNT', key],
    () => ['BITCOUNT', key, edge(), edge(), ...random.pick([[], ['BIT'], ['BYTE'], ['x']])],
    () => ['BITPOS', key, random.pick(['0', '1', '2']), ...random.pick([[], [edge()], [edge(), edge()]])],
    () => ['BITPOS', key, random.pick(['0', '1']), edge(), edge(), random.pick(['BIT', 'BYTE'])],
    () => ['BITOP', random.pick(['AND', 'OR', 'XOR', 'NOT']), key, ...keys],
    () => ['BITFIELD', key, ...step(), ...step(), ...step()],
    () => ['BITFIELD_RO', key, ...step()],
  ])();
}

/** A command on HyperLogLogs, which have keys of their own: GET would show when they were counted. */
export function drawSketch(random: SeededRandom): string[] {
  const key = (): string => `hll${random.below(3)}`;
  const element = (): string => `element ${random.below(3000)}`;
  return random.pick([
    () => ['PFADD', key(), ...Array.from({ length: random.below(30) }, element)],
    () => ['PFADD', key(), ...Array.from({ length: random.below(300) }, element)],
    () => ['PFCOUNT', key()],
    () => ['PFCOUNT', key(), key()],
    () => ['PFMERGE', key(), key(), key()],
    () => ['PFDEBUG', 'ENCODING', key()],
    () => ['PFDEBUG', 'DECODE', key()],
    () => ['DEL', key()],
  ])();
}

/** A command on streams, mostly on three keys of their own; `key` is any other. */
export function drawStream(random: SeededRandom, key: string): string[] {
  const stream = random.next() < 0.93 ? `s${random.below(3)}` : key;
  const id = (): string => `${random.below(40)}-${random.below(3)}`;
  const start = (): string => random.pick(['-', '0', id(), id(), `(${id()}`, String(random.below(40))]);
  const end = (): string => random.pick(['+', '+', id(), `(${id()}`, String(random.below(40))]);
  const count = (): string[] => (random.next() < 0.5 ? [] : ['COUNT', String(random.below(8) - 1)]);
  const group = (): string => `g${random.below(2)}`;
  const consumer = (): string => `c${random.below(3)}`;
  const draws: readonly (() => string[])[] = [
    () => ['XADD', stream, `${random.below(60)}-*`, 'f', String(random.below(100))],
    () => ['XADD', stream, id(), 'f', 'v', 'g', 'x'.repeat(random.below(80))],
    () => ['XADD', stream, 'MAXLEN', String(random.below(20)), `${random.below(60)}-*`, 'f', 'v'],
    () => ['XADD', stream, 'NOMKSTREAM', 'MINID', id(), `${random.below(60)}-*`, 'f', 'v'],
    () => ['XLEN', stream],
    () => ['XRANGE', stream, start(), end(), ...count()],
    () => ['XREVRANGE', stream, end(), start(), ...count()],
    () => ['XDEL', stream, id(), id()],
    () => ['XTRIM', stream, random.pick(['MAXLEN', 'MINID']), String(random.below(30))],
    () => ['XSETID', stream, id(), ...random.pick([[], [], ['ENTRIESADDED', '30'], ['MAXDELETEDID', id()]])],
    () => ['XREAD', ...count(), 'STREAMS', stream, `s${random.below(3)}`, id(), random.pick([id(), '$', '0'])],
    () => ['XGROUP', 'CREATE', stream, group(), random.pick(['$', '0', id()]), ...random.pick([[], ['MKSTREAM']])],
    () => ['XGROUP', 'SETID', stream, group(), random.pick(['$', '0', id()])],
    () => ['XGROUP', random.pick(['CREATECONSUMER', 'CREATECONSUMER', 'DELCONSUMER']), stream, group(), consumer()],
    () => (random.next() < 0.3 ? ['XGROUP', 'DESTROY', stream, group()] : ['XINFO', 'GROUPS', stream]),
    () => [
      'XREADGROUP',
      'GROUP',
      group(),
      consumer(),
      ...count(),
      'STREAMS',
      stream,
      random.pick(['>', '>', '0', id()]),
    ],
    () => ['XREADGROUP', 'GROUP', group(), consumer(), 'NOACK', 'STREAMS', stream, '>'],
    () => ['XACK', stream, group(), id(), id(), id()],
    () => ['XPENDING', stream, group()],
    () => ['XPENDING', stream, group(), start(), end(), '10', ...random.pick([[], [consumer()]])],
    () => ['XCLAIM', stream, group(), consumer(), '0', id(), id(), ...random.pick([[], ['FORCE'], ['JUSTID']])],
    () => ['XAUTOCLAIM', stream, group(), consumer(), '0', start(), ...random.pick([[], ['JUSTID'], ['COUNT', '2']])],
    () => ['XINFO', 'STREAM', stream],
    () => ['XINFO', 'STREAM', stream, 'FULL'],
    () => ['XINFO', 'CONSUMERS', stream, group()],
    () => (random.next() < 0.1 ? ['DEL', stream] : ['TYPE', stream]),
  ];
  return random.pick(draws)();
}

/** SORT of whatever stands at a key. */
export function drawSort(random: SeededRandom, key: string): string[] {
  const words = [random.pick(['SORT', 'SORT_RO']), key];
  while (random.next() < 0.6) {
    words.push(
      ...random.pick([
        ['ASC'],
        ['DESC'],
        ['ALPHA'],
        ['ALPHA'],
        ['LIMIT', String(random.below(6) - 1), String(random.below(6) - 1)],
        ['BY', random.pick(['k*', '{a}*', 'k*->f'])],
        ['GET', random.pick(['k*', '#', '{a}*', 'k*->f'])],
      ]),
    );
  }
  return words;
}
