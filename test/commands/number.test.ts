import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  addInt64,
  INT64_MAX,
  INT64_MIN,
  integerBytes,
  negateInt64,
  parseInt64,
  parseSafeInteger,
} from '../../src/commands/number.ts';

const int64 = fc.oneof(
  fc.bigInt({ min: INT64_MIN, max: INT64_MAX }),
  fc.bigInt({ min: -(2n ** 53n) - 5n, max: -(2n ** 53n) + 5n }),
  fc.bigInt({ min: 2n ** 53n - 5n, max: 2n ** 53n + 5n }),
  fc.bigInt({ min: INT64_MAX - 5n, max: INT64_MAX }),
  fc.bigInt({ min: INT64_MIN, max: INT64_MIN + 5n }),
  fc.bigInt({ min: -20n, max: 20n }),
);

/** As the code under test has them: a number when safe. */
function narrow(value: bigint): number | bigint {
  return Number.isSafeInteger(Number(value)) ? Number(value) : value;
}

function parse(text: string): number | bigint | undefined {
  // Between other bytes, so that reading beyond the range shows.
  const bytes = Buffer.from(`9${text}9`, 'latin1');
  return parseInt64(bytes, 1, bytes.length - 1);
}

test('every 64-bit integer is read back from its text', () => {
  fc.assert(
    fc.property(int64, (value) => {
      const text = Buffer.from(integerBytes(narrow(value))).toString();
      assert.equal(text, value.toString());
      assert.equal(parse(text), narrow(value));
    }),
  );
});

test('text is an integer exactly if it is what printing that integer gives', () => {
  const digits = fc.string({ unit: fc.constantFrom('0', '1', '9', '-', '+', ' ', '.', 'x'), maxLength: 22 });
  fc.assert(
    fc.property(digits, (text) => {
      const valid = /^(?:0|-?[1-9][0-9]*)$/.test(text) && BigInt(text) >= INT64_MIN && BigInt(text) <= INT64_MAX;
      assert.equal(parse(text), valid ? narrow(BigInt(text)) : undefined);
    }),
  );
});

test('the ends of 64 bits', () => {
  assert.equal(parse('9223372036854775807'), INT64_MAX);
  assert.equal(parse('9223372036854775808'), undefined);
  assert.equal(parse('-9223372036854775808'), INT64_MIN);
  assert.equal(parse('-9223372036854775809'), undefined);
  assert.equal(parse('9007199254740991'), Number.MAX_SAFE_INTEGER);
  assert.equal(parse('9007199254740992'), 9007199254740992n);
});

test('a safe integer is a number, anything else is not', () => {
  const read = (text: string): number => parseSafeInteger(Buffer.from(text), 0, text.length);
  assert.equal(read('9007199254740991'), Number.MAX_SAFE_INTEGER);
  assert.ok(Number.isNaN(read('9007199254740993')));
  assert.ok(Number.isNaN(read('-0')));
  assert.ok(Number.isNaN(read('')));
  assert.ok(Object.is(read('0'), 0));
});

test('sums are exact or overflow', () => {
  fc.assert(
    fc.property(int64, int64, (a, b) => {
      const sum = a + b;
      const fits = sum >= INT64_MIN && sum <= INT64_MAX;
      assert.equal(addInt64(narrow(a), narrow(b)), fits ? narrow(sum) : undefined);
    }),
  );
});

test('only the least integer has no negative', () => {
  assert.equal(negateInt64(INT64_MIN), undefined);
  assert.equal(negateInt64(INT64_MAX), -INT64_MAX);
  assert.ok(Object.is(negateInt64(0), 0));
});
