/**
 * Redis's patterns over bytes: `*` any run, `?` any byte, `[a-c]` and `[^a-c]` one of (or none of) these, `\` takes
 * the next byte as it is. A class that is not closed takes the rest of the pattern.
 *
 * Matching is iterative and goes back only to the last `*`, so that its cost is at most the product of both lengths,
 * whatever the pattern (Redis's recursive matcher can be made to take exponential time).
 */

const STAR = 0x2a;
const QUESTION = 0x3f;
const OPEN = 0x5b;
const CLOSE = 0x5d;
const CARET = 0x5e;
const DASH = 0x2d;
const BACKSLASH = 0x5c;

/** Whether the whole text matches the pattern. An empty text matches only an empty pattern, as in Redis. */
export function globMatches(pattern: Uint8Array, text: Uint8Array): boolean {
  if (text.length === 0) return pattern.length === 0;
  let at = 0;
  let textAt = 0;
  let starAt = -1;
  let starTextAt = 0;
  while (textAt < text.length) {
    if (at < pattern.length && pattern[at] === STAR) {
      starAt = ++at;
      starTextAt = textAt;
      continue;
    }
    const next = at < pattern.length ? matchOne(pattern, at, text[textAt] as number) : -1;
    if (next >= 0) {
      at = next;
      textAt++;
    } else if (starAt >= 0) {
      at = starAt;
      textAt = ++starTextAt;
    } else return false;
  }
  while (at < pattern.length && pattern[at] === STAR) at++;
  return at === pattern.length;
}

/** Where the pattern goes on when its element at `at` takes `byte`; −1 when it does not. */
function matchOne(pattern: Uint8Array, at: number, byte: number): number {
  const element = pattern[at];
  if (element === QUESTION) return at + 1;
  if (element === OPEN) return matchClass(pattern, at + 1, byte);
  const literal = element === BACKSLASH && at + 1 < pattern.length ? at + 1 : at;
  return pattern[literal] === byte ? literal + 1 : -1;
}

function matchClass(pattern: Uint8Array, start: number, byte: number): number {
  let at = start;
  const inverted = pattern[at] === CARET;
  if (inverted) at++;
  let inside = false;
  while (at < pattern.length && pattern[at] !== CLOSE) {
    if (pattern[at] === BACKSLASH && at + 1 < pattern.length) {
      inside ||= pattern[at + 1] === byte;
      at += 2;
    } else if (pattern[at + 1] === DASH && at + 2 < pattern.length) {
      const a = pattern[at] as number;
      const b = pattern[at + 2] as number;
      inside ||= byte >= Math.min(a, b) && byte <= Math.max(a, b);
      at += 3;
    } else {
      inside ||= pattern[at] === byte;
      at++;
    }
  }
  return inside === inverted ? -1 : Math.min(at + 1, pattern.length);
}

/** Whether the pattern is `*`, which stands for all keys, the empty one too. */
export function matchesAll(pattern: Uint8Array): boolean {
  return pattern.length === 1 && pattern[0] === STAR;
}

/**
 * The bytes that every match begins with: the pattern up to its first special byte. Used to look only where keys
 * with that hash tag can be.
 */
export function literalPrefix(pattern: Uint8Array): Uint8Array {
  const bytes: number[] = [];
  for (let at = 0; at < pattern.length; at++) {
    const byte = pattern[at] as number;
    if (byte === STAR || byte === QUESTION || byte === OPEN) break;
    if (byte === BACKSLASH && at + 1 < pattern.length) bytes.push(pattern[++at] as number);
    else bytes.push(byte);
  }
  return Uint8Array.from(bytes);
}
