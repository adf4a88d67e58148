/** What `bench types` measures: the lines of redis-benchmark's default run and a script; beside three nodes, updates. */

/** Elements of one command that fills a collection. */
const FILLED_AT_ONCE = 100;

/** Elements of the list that LRANGE reads. */
const RANGED_ELEMENTS = 1000;

type Words = readonly string[];

export interface Line {
  readonly name: string;
  /** Words of redis-benchmark: one of its tests or a command. Of a line of transactions: undefined. */
  readonly words?: Words;
  /** What is done before each measurement and not measured: a collection is emptied or filled. */
  readonly before?: (requests: number) => Words[];
  /** The commands of one transaction, made from a number below the number of keys. */
  readonly transaction?: (number: number) => Words[];
  /** Of redis-benchmark's requests at P1, so many a hundred: for lines whose operation is long. */
  readonly share?: number;
}

const test = (name: string): Words => ['-t', name];

function emptied(key: string): () => Words[] {
  return () => [['DEL', key]];
}

/** The key with so many elements as the pops will ask for. */
function filled(key: string, command: string, words: (number: number) => Words) {
  return (requests: number): Words[] => {
    const commands: Words[] = [['DEL', key]];
    for (let from = 0; from < requests; from += FILLED_AT_ONCE) {
      const count = Math.min(FILLED_AT_ONCE, requests - from);
      commands.push([command, key, ...Array.from({ length: count }, (_, i) => words(from + i)).flat()]);
    }
    return commands;
  };
}

const fullList = filled('mylist', 'RPUSH', () => ['xxx']);
const ranged = (): Words[] => fullList(RANGED_ELEMENTS);

/** A member as redis-benchmark names them. */
function member(number: number): string {
  return `element:${String(number).padStart(12, '0')}`;
}

function lineOfTest(name: string, more: Omit<Line, 'name' | 'words'> = {}): Line {
  return { name: name.toUpperCase(), words: test(name), ...more };
}

function lineOfRange(count: number): Line {
  const words = ['LRANGE', 'mylist', '0', String(count - 1)];
  return { name: `LRANGE_${count}`, words, before: ranged, share: count > 100 ? 20 : 40 };
}

/** The default run of redis-benchmark, in its order, then pops from sets that have what they ask for, and EVAL. */
export const ONE_NODE_LINES: readonly Line[] = [
  ...['ping_inline', 'ping_mbulk', 'set', 'get', 'incr'].map((name) => lineOfTest(name)),
  lineOfTest('lpush', { before: emptied('mylist') }),
  lineOfTest('rpush', { before: emptied('mylist') }),
  lineOfTest('lpop', { before: fullList }),
  lineOfTest('rpop', { before: fullList }),
  lineOfTest('sadd', { before: emptied('myset') }),
  lineOfTest('hset', { before: emptied('myhash') }),
  lineOfTest('spop'),
  lineOfTest('zadd', { before: emptied('myzset') }),
  lineOfTest('zpopmin'),
  ...[100, 300, 500, 600].map(lineOfRange),
  lineOfTest('mset', { share: 50 }),
  // In the default run these two find one member and then nothing.
  {
    ...lineOfTest('spop', { before: filled('myset', 'SADD', (number) => [member(number)]), share: 50 }),
    name: 'filled: SPOP',
  },
  {
    ...lineOfTest('zpopmin', {
      before: filled('myzset', 'ZADD', (number) => [String(number), member(number)]),
      share: 50,
    }),
    name: 'filled: ZPOPMIN',
  },
  { name: 'EVAL', words: ['EVAL', "return redis.call('INCR',KEYS[1])", '1', 'counter:__rand_int__'] },
];

/** Beside three nodes: `keys` rows of each type, as `-r` spreads them; and all on one row. */
export const CLUSTER_LINES: readonly Line[] = [
  { name: 'INCR', words: ['INCR', 'counter:__rand_int__'] },
  { name: 'LPUSH', words: ['LPUSH', 'list:__rand_int__', 'xxx'] },
  { name: 'LPOP', words: ['LPOP', 'list:__rand_int__'] },
  { name: 'SADD', words: ['SADD', 'set:__rand_int__', 'element:__rand_int__'] },
  { name: 'HSET', words: ['HSET', 'hash:__rand_int__', 'field:__rand_int__', 'xxx'] },
  { name: 'ZADD', words: ['ZADD', 'zset:__rand_int__', '__rand_int__', 'element:__rand_int__'] },
  {
    name: 'MSET (10 keys)',
    words: ['MSET', ...Array.from({ length: 10 }, () => ['key:__rand_int__', 'xxx']).flat()],
    share: 25,
  },
  {
    name: 'MULTI of 4, one tag',
    transaction: (number) => ['a', 'b', 'c', 'd'].map((name) => ['INCR', `{${number}}:${name}`]),
    share: 25,
  },
  {
    name: 'MULTI of 4, four slots',
    transaction: (number) => ['a', 'b', 'c', 'd'].map((name) => ['INCR', `${name}:${number}`]),
    share: 25,
  },
];
