import assert from 'node:assert/strict';
import { test } from 'node:test';

import { type Argument, argumentsOf } from '../../src/commands/syntax.ts';

function show({ type, token, keySpec, isOptional, isMultiple, isMultipleToken, inner }: Argument): string {
  const flags = `${isOptional ? '?' : ''}${isMultiple ? '+' : ''}${isMultipleToken ? '+' : ''}`;
  const within = inner === undefined ? '' : `(${inner.map(show).join(' ')})`;
  return `${type}${keySpec ?? ''}${token === undefined ? '' : `=${token}`}${within}${flags}`;
}

void test('words, options, groups and blocks of the notation', () => {
  for (const [name, shown] of [
    ['get', 'key0'],
    ['mset', 'block(key0 string)+'],
    ['psetex', 'key0 integer string'],
    [
      'set',
      'key0 string oneof(pure-token=NX pure-token=XX)? pure-token=GET? oneof(integer=EX integer=PX unix-time=EXAT unix-time=PXAT pure-token=KEEPTTL)?',
    ],
    ['xread', 'integer=COUNT? integer=BLOCK? block=STREAMS(key0+ string+)'],
    ['slaveof', 'oneof(block(string integer) block(pure-token=NO pure-token=ONE))'],
    ['bitfield_ro', 'key0 block=GET(string integer)?++'],
    ['nosuch', ''],
  ] as const) {
    assert.equal(argumentsOf(name).map(show).join(' '), shown, name);
  }
});
