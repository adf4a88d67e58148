/**
 * Which events of keyspace notifications a command has brought about, told from its row of the table and from what it
 * did to its rows: handlers know nothing of events.
 *
 * Names and classes are Redis's. What a row has come to decides the rest: `new` for one that was not there, `del` for one
 * that has lost its last element.
 */

import { keyOfHead } from '../repl/row-key.ts';
import type { Row } from '../repl/view.ts';
import type { Args } from './args.ts';
import type { TopicKind } from './pubsub-topics.ts';

/** Classes of events, and the two kinds of channels; bits. The letters are those of `notify-keyspace-events`. */
export const eventClass = {
  g: 1,
  $: 2,
  l: 4,
  s: 8,
  h: 16,
  z: 32,
  x: 64,
  e: 128,
  t: 256,
  d: 512,
  m: 1024,
  n: 2048,
  K: 4096,
  E: 8192,
} as const;
export type EventLetter = keyof typeof eventClass;

/** `A` stands for these. */
const LETTERS_OF_A = 'g$lshzxetd';

/** The bits that the letters of `notify-keyspace-events` ask for; 0 when nothing can come of them. */
export function eventMask(letters: string): number {
  let mask = 0;
  for (const letter of letters.replace('A', LETTERS_OF_A)) mask |= eventClass[letter as EventLetter];
  return (mask & (eventClass.K | eventClass.E)) === 0 ? 0 : mask;
}

/** What is told once what a command did is committed. */
export type Note = KeyNote | Publication;

/** A message that a script has published. In memory of their own. */
export interface Publication {
  readonly kind: TopicKind;
  readonly channel: Uint8Array;
  readonly message: Uint8Array;
}

/** An event of one key. */
export interface KeyNote {
  readonly letter: EventLetter;
  readonly event: string;
  /** In memory of their own. */
  readonly key: Uint8Array;
  /** Logical. */
  readonly database: number;
}

export const NO_NOTES: readonly Note[] = [];

/** A row that a command has changed. */
export interface TouchedRow {
  readonly row: Row;
  readonly database: number;
  /** It was there when the command began. */
  readonly wasLive: boolean;
  /** It was there, but its deadline had passed. */
  readonly wasExpired: boolean;
}

type Rule = (touched: readonly TouchedRow[], args: Args, put: Put) => void;
type Put = (letter: EventLetter, event: string, touched: TouchedRow) => void;

/** Every row has this event, and `del` behind it when it is no more. */
function each(letter: EventLetter, event: string): Rule {
  return (touched, _args, put) => {
    for (const one of touched) {
      put(letter, event, one);
      if (!one.row.live) put('g', 'del', one);
    }
  };
}

/** Every row that is there has this event, one that is no more `del`. */
function stores(letter: EventLetter, event: string): Rule {
  return (touched, _args, put) => {
    for (const one of touched) {
      if (one.row.live) put(letter, event, one);
      else put('g', 'del', one);
    }
  };
}

const SIMPLE: readonly (readonly [letter: EventLetter, events: string])[] = [
  ['$', 'append setrange incrbyfloat setbit pfadd'],
  ['g', 'persist restore'],
  ['l', 'lpush rpush lpop rpop linsert lset lrem ltrim'],
  ['s', 'sadd srem spop'],
  ['h', 'hset hdel hincrby hincrbyfloat hpersist'],
  ['z', 'zadd zrem zremrangebyscore zremrangebyrank zremrangebylex zpopmin zpopmax'],
  ['t', 'xadd xdel xtrim xsetid'],
];

const STORING: readonly (readonly [letter: EventLetter, events: string])[] = [
  ['s', 'sinterstore sunionstore sdiffstore'],
  ['z', 'zunionstore zinterstore zdiffstore zrangestore geosearchstore'],
];

/** Commands whose event has another name than they. */
const RENAMED: readonly (readonly [event: string, commands: string])[] = [
  ['lpush', 'lpushx'],
  ['rpush', 'rpushx'],
  ['lpop', 'blpop'],
  ['rpop', 'brpop'],
  ['hset', 'hsetnx hmset'],
  ['hdel', 'hgetdel'],
  ['zadd', 'geoadd'],
  ['zpopmin', 'bzpopmin'],
  ['zpopmax', 'bzpopmax'],
  ['setbit', 'bitfield'],
  ['pfadd', 'pfmerge'],
];

const DELETES = stores('g', 'del');
const SETS = stores('$', 'set');
const INCREMENTS = each('$', 'incrby');

/** SET with a deadline of its own has two events. */
const setWithDeadline: Rule = (touched, args, put) => {
  SETS(touched, args, put);
  const isGiven = args.upper(0).endsWith('SETEX') || hasWord(args, /^(?:EX|PX|EXAT|PXAT)$/);
  if (!isGiven) return;
  for (const one of touched) if (one.row.live) put('g', 'expire', one);
};

const expires: Rule = stores('g', 'expire');

const getAndExpire: Rule = (touched, _args, put) => {
  for (const one of touched) {
    const { row } = one;
    put('g', row.live ? (row.expiresAtMs === 0 ? 'persist' : 'expire') : 'del', one);
  }
};

/** From a row that is gone to one that is there. */
function moves(from: string, to: string): Rule {
  return (touched, _args, put) => {
    for (const one of touched) if (!one.row.live) put('g', from, one);
    for (const one of touched) if (one.row.live) put('g', to, one);
  };
}

/** LMOVE and its kin: the target first, as Redis has it. */
function movesElement(from: (args: Args) => string, to: (args: Args) => string): Rule {
  return (touched, args, put) => {
    // The source is looked up first; a list that is its own target is one row.
    const source = touched[0];
    const target = touched.at(-1);
    if (source === undefined || target === undefined) return;
    put('l', to(args), target);
    put('l', from(args), source);
    if (!source.row.live) put('g', 'del', source);
  };
}

const movesMember: Rule = (touched, _args, put) => {
  const [source, target] = touched;
  if (source === undefined) return;
  put('s', 'srem', source);
  if (!source.row.live) put('g', 'del', source);
  if (target !== undefined) put('s', 'sadd', target);
};

function hasWord(args: Args, pattern: RegExp): boolean {
  for (let i = 1; i < args.count; i++) if (args.length(i) <= 8 && pattern.test(args.upper(i))) return true;
  return false;
}

function poppedEnd(args: Args): string {
  return hasWord(args, /^LEFT$/) ? 'lpop' : 'rpop';
}

const RULES: ReadonlyMap<string, Rule> = new Map<string, Rule>([
  ...SIMPLE.flatMap(([letter, events]) =>
    events.split(' ').map((event): [string, Rule] => [event, each(letter, event)]),
  ),
  ...STORING.flatMap(([letter, events]) =>
    events.split(' ').map((event): [string, Rule] => [event, stores(letter, event)]),
  ),
  ...RENAMED.flatMap(([event, commands]) =>
    commands
      .split(' ')
      .map((command): [string, Rule] => [
        command,
        each(SIMPLE.find(([, events]) => events.split(' ').includes(event))?.[0] ?? 'g', event),
      ]),
  ),
  ...['del', 'unlink', 'getdel', 'delex', 'delifeq'].map((name): [string, Rule] => [name, DELETES]),
  ...['setnx', 'getset', 'mset', 'msetnx', 'bitop', 'kv.set'].map((name): [string, Rule] => [name, SETS]),
  ...['set', 'setex', 'psetex', 'msetex'].map((name): [string, Rule] => [name, setWithDeadline]),
  ...['incr', 'decr', 'incrby', 'decrby'].map((name): [string, Rule] => [name, INCREMENTS]),
  ...['expire', 'pexpire', 'expireat', 'pexpireat'].map((name): [string, Rule] => [name, expires]),
  ...['hexpire', 'hpexpire', 'hexpireat', 'hpexpireat', 'hgetex'].map((name): [string, Rule] => [
    name,
    each('h', 'hexpire'),
  ]),
  ...['create', 'setid', 'destroy', 'createconsumer', 'delconsumer'].map((name): [string, Rule] => [
    `xgroup|${name}`,
    each('t', `xgroup-${name}`),
  ]),
  ...['georadius', 'georadiusbymember'].map((name): [string, Rule] => [name, stores('z', 'georadiusstore')]),
  ['kv.del', DELETES],
  ['getex', getAndExpire],
  [
    'hsetex',
    (touched, _args, put) => {
      for (const one of touched) put('h', 'hset', one);
      for (const one of touched) put('h', 'hexpire', one);
    },
  ],
  ['rename', moves('rename_from', 'rename_to')],
  ['renamenx', moves('rename_from', 'rename_to')],
  ['move', moves('move_from', 'move_to')],
  ['copy', stores('g', 'copy_to')],
  ['sort', stores('l', 'sortstore')],
  [
    'rpoplpush',
    movesElement(
      () => 'rpop',
      () => 'lpush',
    ),
  ],
  [
    'brpoplpush',
    movesElement(
      () => 'rpop',
      () => 'lpush',
    ),
  ],
  ['lmove', movesElement(popOf, pushOf)],
  ['blmove', movesElement(popOf, pushOf)],
  ['lmpop', (touched, args, put) => each('l', poppedEnd(args))(touched, args, put)],
  ['blmpop', (touched, args, put) => each('l', poppedEnd(args))(touched, args, put)],
  ['zmpop', (touched, args, put) => each('z', hasWord(args, /^MIN$/) ? 'zpopmin' : 'zpopmax')(touched, args, put)],
  ['bzmpop', (touched, args, put) => each('z', hasWord(args, /^MIN$/) ? 'zpopmin' : 'zpopmax')(touched, args, put)],
  ['zincrby', each('z', 'zincr')],
  ['zadd', (touched, args, put) => each('z', hasWord(args, /^INCR$/) ? 'zincr' : 'zadd')(touched, args, put)],
  ['smove', movesMember],
]);

function popOf(args: Args): string {
  return args.upper(3) === 'LEFT' ? 'lpop' : 'rpop';
}

function pushOf(args: Args): string {
  return args.upper(4) === 'LEFT' ? 'lpush' : 'rpush';
}

/** Adds the events of a command (`config|get` for a subcommand) that has changed these rows, in the order of their look-ups. */
export function addNotes(notes: Note[], command: string, args: Args, touched: readonly TouchedRow[]): void {
  const put: Put = (letter, event, { row, database }) => {
    notes.push({ letter, event, database, key: keyOfHead(row.head.subarray(0, row.headLength)) });
  };
  for (const one of touched) {
    if (one.wasExpired) put('x', 'expired', one);
    if (one.row.live && !one.wasLive) put('n', 'new', one);
  }
  RULES.get(command)?.(touched, args, put);
}
