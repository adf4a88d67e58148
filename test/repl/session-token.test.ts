import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { MAX_SESSION_ROWS, SessionToken } from '../../src/repl/session-token.ts';
import { compareVersions, type Version, ZERO_VERSION } from '../../src/repl/version.ts';

const version = fc.record({ stamp: fc.nat(1000), actor: fc.nat(5) });
const row = fc.string({
  unit: fc.integer({ min: 0, max: 255 }).map((code) => String.fromCharCode(code)),
  minLength: 4,
  maxLength: 8,
});

void test('whatever was seen is covered by nothing older, through export and import too', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(row, version), { maxLength: 30 }), version, (seen, asked) => {
      const token = new SessionToken();
      const highest = new Map<string, Version>();
      for (const [name, of] of seen) {
        token.note(name, of);
        const known = highest.get(name) ?? ZERO_VERSION;
        if (compareVersions(of, known) > 0) highest.set(name, of);
      }
      const copy = SessionToken.decode(token.encode()) as SessionToken;
      const joined = new SessionToken();
      joined.join(copy);
      for (const [name, of] of highest) {
        for (const each of [token, copy, joined]) {
          assert.ok(each.isCovered(name, of));
          if (compareVersions(asked, of) < 0) assert.ok(!each.isCovered(name, asked));
        }
      }
    }),
  );
});

void test('rows beyond the limit go into the floor, so that nothing that was seen is taken for unseen', () => {
  const token = new SessionToken();
  for (let i = 1; i <= MAX_SESSION_ROWS + 50; i++) token.note(`row ${i}`, { stamp: i, actor: 1 });
  assert.ok(!token.isCovered('row 3', { stamp: 2, actor: 1 }));
  assert.ok(!token.isCovered('never seen', { stamp: 2, actor: 1 }), 'it might have been one of those');
  assert.ok(token.isCovered('never seen', { stamp: 60, actor: 1 }));
});

void test('of a row that is not kept a majority tells all, unless fewer owners than that may have it', () => {
  const token = new SessionToken();
  token.raiseFloor({ stamp: 10, actor: 1 }, true);
  token.raiseFloor({ stamp: 20, actor: 1 }, false);
  const older = { stamp: 5, actor: 1 };
  const between = { stamp: 15, actor: 1 };
  assert.ok(!token.isCovered('row', between));
  assert.ok(token.isCovered('row', between, 'majority'));
  assert.ok(!token.isCovered('row', older, 'majority'));
  assert.ok(token.isCovered('row', older, 'all'));
  token.note('row', between);
  assert.ok(!token.isCovered('row', older, 'all'), 'it was seen newer');
});

void test('what is no token is refused', () => {
  const text = new SessionToken().encode();
  for (const bad of ['', 'x', `${text}A`, text.slice(1), `B${text.slice(1)}`]) {
    assert.equal(SessionToken.decode(bad), undefined, bad);
  }
});
