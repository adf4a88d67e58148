/**
 * What commands of collections mean on one key, as Redis documents them: a hash, a list, a set or a sorted set as text,
 * absent being ''. A list is its elements with commas between; the others are `name=value` in the order of names (a
 * member of a set has no value). Names and values hold no comma, blank or equals sign.
 */

import { unreachable } from '../../../src/assert.ts';
import type { Effect, ReplyText } from './operation.ts';

export const cellCommands = [
  ...(['HSET', 'HSETNX', 'HGET', 'HINCRBY', 'HDEL', 'HLEN', 'HGETALL'] as const),
  ...(['RPUSH', 'LPUSH', 'LPUSHX', 'LPOP', 'RPOP', 'LREM', 'LLEN', 'LRANGE'] as const),
  ...(['SADD', 'SREM', 'SISMEMBER', 'SCARD', 'SMEMBERS'] as const),
  ...(['ZADD', 'ZADD NX', 'ZADD GT', 'ZINCRBY', 'ZREM', 'ZSCORE', 'ZPOPMIN', 'ZRANGE', 'UNLINK'] as const),
] as const;
export type CellCommand = (typeof cellCommands)[number];

/** One command on a collection: a name, a value, both or neither, as the command wants. */
export interface CellOperation {
  readonly kind: 'cell';
  readonly command: CellCommand;
  readonly name?: string;
  /** What is written; a number for those that count or score. */
  readonly value?: string;
}

const NIL = 'nil';

export function cellWords({ command, name = '', value = '' }: CellOperation, key: string): string[] {
  switch (command) {
    case 'HSET':
    case 'HSETNX':
    case 'HINCRBY':
      return [command, key, name, value];
    case 'HGET':
    case 'HDEL':
    case 'SADD':
    case 'SREM':
    case 'SISMEMBER':
    case 'ZREM':
    case 'ZSCORE':
      return [command, key, name];
    case 'RPUSH':
    case 'LPUSH':
    case 'LPUSHX':
      return [command, key, value];
    case 'LREM':
      return ['LREM', key, '0', value];
    case 'LRANGE':
      return ['LRANGE', key, '0', '-1'];
    case 'ZRANGE':
      return ['ZRANGE', key, '0', '-1', 'WITHSCORES'];
    case 'ZADD':
      return ['ZADD', key, 'CH', value, name];
    case 'ZADD NX':
      return ['ZADD', key, 'NX', value, name];
    case 'ZADD GT':
      return ['ZADD', key, 'GT', 'CH', value, name];
    case 'ZINCRBY':
      return ['ZINCRBY', key, value, name];
    case 'HLEN':
    case 'HGETALL':
    case 'LPOP':
    case 'RPOP':
    case 'LLEN':
    case 'SCARD':
    case 'SMEMBERS':
    case 'ZPOPMIN':
    case 'UNLINK':
      return [command, key];
    default:
      return unreachable(command);
  }
}

/** Replies whose order Redis leaves open come in the order of names. */
export function inOrder({ command }: CellOperation, reply: ReplyText): ReplyText {
  if (!reply.startsWith('[') || (command !== 'HGETALL' && command !== 'SMEMBERS')) return reply;
  const words = reply.slice(1, -1).split(' ').filter(Boolean);
  if (command === 'SMEMBERS') return `[${words.sort().join(' ')}]`;
  const pairs = words.flatMap((word, i) => (i % 2 === 0 ? [`${word} ${words[i + 1] ?? ''}`] : []));
  return `[${pairs.sort().join(' ')}]`;
}

export function applyCell(state: string, operation: CellOperation): Effect {
  const { command } = operation;
  if (command === 'UNLINK') return { state: '', reply: state === '' ? ':0' : ':1' };
  return isOfList(command) ? applyToList(state, operation) : applyToNames(state, operation);
}

function isOfList(command: CellCommand): boolean {
  return command.startsWith('L') || command === 'RPUSH' || command === 'RPOP';
}

function applyToList(state: string, { command, value = '' }: CellOperation): Effect {
  const elements = state === '' ? [] : state.split(',');
  const is = (next: readonly string[], reply: ReplyText): Effect => ({ state: next.join(','), reply });
  const popped = (element: string | undefined): ReplyText => (element === undefined ? NIL : `$${element}`);
  switch (command) {
    case 'RPUSH':
      return is([...elements, value], `:${elements.length + 1}`);
    case 'LPUSH':
      return is([value, ...elements], `:${elements.length + 1}`);
    case 'LPUSHX':
      return elements.length === 0 ? is([], ':0') : is([value, ...elements], `:${elements.length + 1}`);
    case 'LPOP':
      return is(elements.slice(1), popped(elements[0]));
    case 'RPOP':
      return is(elements.slice(0, -1), popped(elements.at(-1)));
    case 'LREM': {
      const left = elements.filter((element) => element !== value);
      return is(left, `:${elements.length - left.length}`);
    }
    case 'LLEN':
      return is(elements, `:${elements.length}`);
    default:
      return is(elements, `[${elements.map((element) => `$${element}`).join(' ')}]`);
  }
}

function applyToNames(state: string, { command, name = '', value = '' }: CellOperation): Effect {
  const cells = new Map(state === '' ? [] : state.split(',').map((cell) => cell.split('=') as [string, string]));
  const had = cells.get(name);
  const is = (reply: ReplyText): Effect => {
    const sorted = [...cells].sort(([a], [b]) => (a < b ? -1 : 1));
    return { state: sorted.map(([each, its]) => `${each}=${its}`).join(','), reply };
  };
  const put = (its: string, reply: ReplyText): Effect => {
    cells.set(name, its);
    return is(reply);
  };
  const sum = String(Number(had ?? 0) + Number(value));
  switch (command) {
    case 'HSET':
      return put(value, had === undefined ? ':1' : ':0');
    case 'HSETNX':
      return had === undefined ? put(value, ':1') : is(':0');
    case 'HINCRBY':
      return put(sum, `:${sum}`);
    case 'ZINCRBY':
      return put(sum, `$${sum}`);
    case 'ZADD':
      return put(value, had === value ? ':0' : ':1');
    case 'ZADD NX':
      return had === undefined ? put(value, ':1') : is(':0');
    case 'ZADD GT':
      return had === undefined || Number(value) > Number(had) ? put(value, ':1') : is(':0');
    case 'SADD':
      return put('', had === undefined ? ':1' : ':0');
    case 'HDEL':
    case 'SREM':
    case 'ZREM':
      cells.delete(name);
      return is(had === undefined ? ':0' : ':1');
    case 'HGET':
    case 'ZSCORE':
      return is(had === undefined ? NIL : `$${had}`);
    case 'SISMEMBER':
      return is(had === undefined ? ':0' : ':1');
    case 'HLEN':
    case 'SCARD':
      return is(`:${cells.size}`);
    case 'ZPOPMIN': {
      const [least] = byScore(cells);
      if (least === undefined) return is('[]');
      cells.delete(least[0]);
      return is(`[$${least[0]} $${least[1]}]`);
    }
    case 'ZRANGE':
      return is(
        `[${byScore(cells)
          .map(([member, score]) => `$${member} $${score}`)
          .join(' ')}]`,
      );
    case 'SMEMBERS':
      return is(`[${[...cells.keys()].map((member) => `$${member}`).join(' ')}]`);
    default:
      return is(`[${[...cells].map(([field, its]) => `$${field} $${its}`).join(' ')}]`);
  }
}

function byScore(cells: ReadonlyMap<string, string>): [string, string][] {
  return [...cells].sort(([a, x], [b, y]) => Number(x) - Number(y) || (a < b ? -1 : 1));
}
