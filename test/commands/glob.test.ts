import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { globMatches, literalPrefix, matchesAll } from '../../src/commands/glob.ts';

function matches(pattern: string, text: string): boolean {
  return globMatches(Buffer.from(pattern, 'latin1'), Buffer.from(text, 'latin1'));
}

/** Pattern, what it matches, what it does not; each tried with KEYS on redis-server 7.0.15. */
const CASES: readonly (readonly [pattern: string, yes: readonly string[], no: readonly string[]])[] = [
  ['a', ['a'], ['', 'b', 'aa', 'A']],
  ['a*', ['a', 'ab', 'a*'], ['ba']],
  ['*a', ['a', 'ba', 'aa'], ['ab']],
  ['*a*b*', ['ab', 'xaybz'], ['ba']],
  ['?', ['a', '\xff'], ['aa']],
  ['a?c', ['abc', 'a?c'], ['ac']],
  ['[abc]', ['a', 'c'], ['d', 'ab']],
  ['[a-c]', ['a', 'b', 'c'], ['d', '-']],
  ['[c-a]', ['a', 'b', 'c'], ['d', '-']],
  ['[^a]', ['b', '^'], ['a']],
  ['[a^]', ['a', '^'], ['b']],
  ['[\\]]', [']'], ['\\']],
  ['[]', [], [']', '[]', 'a']],
  ['[^]', ['a', '^'], []],
  ['[a', ['a'], ['b', '[a']],
  ['[a-', ['a', '-'], ['b']],
  ['\\*', ['*'], ['a']],
  ['\\a', ['a'], ['\\a']],
  ['a\\', ['a\\'], ['a']],
  ['h[ae]llo*', ['hallo', 'hello world'], ['hillo']],
  ['**', ['a', 'abc'], ['']],
];

test('written patterns', () => {
  for (const [pattern, yes, no] of CASES) {
    for (const text of yes) assert.equal(matches(pattern, text), true, `${pattern} takes ${text}`);
    for (const text of no) assert.equal(matches(pattern, text), false, `${pattern} does not take ${text}`);
  }
});

/** The textbook matcher, for patterns without classes and escapes. */
function plainMatches(pattern: string, text: string): boolean {
  if (pattern === '') return text === '';
  if (pattern[0] === '*') {
    for (let i = 0; i <= text.length; i++) if (plainMatches(pattern.slice(1), text.slice(i))) return true;
    return false;
  }
  return text !== '' && (pattern[0] === '?' || pattern[0] === text[0]) && plainMatches(pattern.slice(1), text.slice(1));
}

test('stars and question marks agree with the textbook matcher', () => {
  const pattern = fc.string({ unit: fc.constantFrom('a', 'b', '*', '?'), maxLength: 8 });
  const text = fc.string({ unit: fc.constantFrom('a', 'b'), minLength: 1, maxLength: 10 });
  fc.assert(fc.property(pattern, text, (p, t) => assert.equal(matches(p, t), plainMatches(p, t))));
});

test('a pattern made to be slow is not', () => {
  // Exponential for a matcher that tries every place of every star: 2^30 tries here.
  assert.equal(matches(`${'a*'.repeat(30)}b`, 'a'.repeat(5000)), false);
});

test('every match begins with the literal prefix', () => {
  const unit = fc.constantFrom('a', '{', '}', '*', '?', '[', ']', '\\', '^', '-');
  fc.assert(
    fc.property(fc.string({ unit, maxLength: 6 }), fc.string({ unit, maxLength: 6 }), (p, t) => {
      if (!matches(p, t)) return;
      const prefix = Buffer.from(literalPrefix(Buffer.from(p))).toString();
      assert.ok(t.startsWith(prefix), `${t} begins with ${prefix}`);
    }),
  );
});

test('only one star alone stands for all keys', () => {
  assert.equal(matchesAll(Buffer.from('*')), true);
  assert.equal(matchesAll(Buffer.from('**')), false);
  assert.equal(matchesAll(Buffer.from('')), false);
});
