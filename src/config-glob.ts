/**
 * Redis's glob patterns over text: `*`, `?`, `[abc]`, `[^a-z]`, and `\` before a character that means itself.
 * Characters are what the strings hold; for bytes, give latin1 text.
 */

/** Whether all of `text` matches `pattern`. Takes at most pattern × text steps, whatever the pattern. */
export function globMatches(pattern: string, text: string, ignoreCase = false): boolean {
  const p = ignoreCase ? pattern.toLowerCase() : pattern;
  const t = ignoreCase ? text.toLowerCase() : text;
  let at = 0;
  let in_ = 0;
  /** Where to go on when what follows the last `*` does not match: one character further. */
  let starAt = -1;
  let starIn = 0;
  while (in_ < t.length) {
    if (p[at] === '*') {
      starAt = at++;
      starIn = in_;
      continue;
    }
    const end = at < p.length ? matchOne(p, at, t[in_] as string) : -1;
    if (end >= 0) {
      at = end;
      in_++;
    } else if (starAt >= 0) {
      at = starAt + 1;
      in_ = ++starIn;
    } else return false;
  }
  while (p[at] === '*') at++;
  return at === p.length;
}

/** Where the pattern goes on after matching one character at `at`, or -1. */
function matchOne(pattern: string, at: number, character: string): number {
  const head = pattern[at];
  if (head === '?') return at + 1;
  if (head === '[') return matchSet(pattern, at + 1, character);
  if (head === '\\' && at + 1 < pattern.length) return pattern[at + 1] === character ? at + 2 : -1;
  return head === character ? at + 1 : -1;
}

/** As Redis: a set without its `]` ends with the pattern. */
function matchSet(pattern: string, start: number, character: string): number {
  let at = start;
  const negated = pattern[at] === '^';
  if (negated) at++;
  let found = false;
  while (at < pattern.length && pattern[at] !== ']') {
    if (pattern[at] === '\\' && at + 1 < pattern.length) at++;
    else if (pattern[at + 1] === '-' && at + 2 < pattern.length) {
      const [a, b] = [pattern[at] as string, pattern[at + 2] as string];
      if (character >= (a < b ? a : b) && character <= (a < b ? b : a)) found = true;
      at += 3;
      continue;
    }
    if (pattern[at] === character) found = true;
    at++;
  }
  return found === negated ? -1 : Math.min(at + 1, pattern.length);
}
