/**
 * The text format of compatibility cases (`cases/*.txt`), made so that adding one takes a minute.
 *
 *     # A line that starts with # is a comment.
 *     == title of a case
 *     SET key "a \x00 value"            words are quoted as in redis-cli
 *     GET key                           every reply must equal redis-server's
 *     KEYS *            # unordered     how to compare: after a lone #
 *     @b GET key                        on a second connection named b (the first is a)
 *
 * How replies are compared: `exact` (default, but times have some room); `unordered` (the items of the outermost array, set or map in any
 * order); `masked` (every number counts as any other); `fields` (masked,
 * and Kvorum may show more `name=value` words than redis-server); `command-info` (COMMAND INFO up to the ACL categories, sets in any order); `command-docs` (COMMAND DOCS without texts and names of arguments, history and subcommands); `pairs` (a flat array of pairs in any order); `shape` (same kinds all the way down, values free); `type`
 * (same kind); `code` (the first word of an error); `about N` (integers not further apart than N); `lines a b` (the
 * lines `a:…` and `b:…` of a text); `has a b` (both texts have such lines); `ignore`; `differs REASON` (differs by
 * design: counted, and it must differ).
 *
 * `# apart REASON`, which may follow one of these, says that in a cluster the reply may differ by design.
 *
 * `# as NAME` keeps the reply: `$NAME` in a later word of its own is the same server's reply, `$other.NAME` the other
 * server's, `$NAME.2` its third item. `$now+N`, `$now-N` (seconds) and `$nowms+N` are the clock, read once a case.
 * `{repeat BYTES COUNT}` is COUNT times BYTES, also inside double quotes.
 *
 *     => "bytes" | 1 | OK | -ERR text | nil | [1 2] | any | ~ regular expression
 *                              the written expectation for the line above (see asWritten in compare.ts)
 *     %from URL or section     the case is newer than redis-server 7.0: only Kvorum runs it, against its `=>` lines
 *     %oracle cluster          the redis-server to compare with runs in cluster mode
 *     %together                about what a node has of its own (clients, MONITOR): in a cluster on connections to one node
 *     %everywhere              in a cluster what connection b says, and every CONFIG SET, is said to all nodes, and the pushes
 *                              of b are those of all of them, in any order
 *     %apart REASON            about what is not served in a cluster: not run there, and its replies are counted apart
 *     %needs COMMAND …         skipped, and said so, while the subject does not know one of the commands
 *     %only resp2 | resp3      otherwise a case runs in both
 *     %times N COMMAND         sends the command N times in one pipeline, `{i}` counts from 0; replies are one array
 *     %scan COMMAND 0 …        follows the cursor from 0 to the end; the reply is the sorted set of all keys seen
 *     %raw "bytes" [# replies N | # closes]      bytes as they are (inline commands, broken requests)
 *     %later @b COMMAND        sends without waiting; `%await @b` compares its reply
 *     %none @b                 nothing must have come on b
 *     %next @b                 compares the next reply that comes on b (MONITOR)
 *     %push @b                 compares the pushes of b so far
 *     %sleep MS
 *
 * `%together` and `%apart` before the first case are for all cases of the file.
 */

export type Comparison =
  | { readonly how: (typeof PLAIN)[number] }
  | { readonly how: 'about'; readonly tolerance: number }
  | { readonly how: 'lines' | 'has'; readonly names: readonly string[] }
  | { readonly how: 'differs'; readonly reason: string };

export type StepKind = 'command' | 'times' | 'scan' | 'raw' | 'later' | 'await' | 'none' | 'next' | 'push' | 'sleep';

export interface Step {
  readonly kind: StepKind;
  readonly line: number;
  /** The line as written. */
  readonly source: string;
  readonly connection: string;
  readonly words: readonly Buffer[];
  /** How often (`times`), milliseconds (`sleep`), replies expected (`raw`). */
  readonly count: number;
  readonly comparison: Comparison;
  /** `raw`: the server must close the connection after the replies. */
  readonly closes: boolean;
  readonly keepAs: string | undefined;
  /** Why in a cluster the reply may differ. */
  readonly apart: string | undefined;
  /** Written expectation, in the notation of `show` (see tree.ts). */
  expected: string | undefined;
}

export interface Case {
  readonly file: string;
  readonly line: number;
  readonly title: string;
  readonly steps: Step[];
  protocols: readonly (2 | 3)[];
  /** Source of the written expectations; the case then runs against Kvorum only. */
  from: string | undefined;
  /** Commands that the subject must know. */
  needs: readonly string[];
  oracle: 'single' | 'cluster';
  /** In a cluster all connections go to one node. */
  together: boolean;
  /** In a cluster connection b and CONFIG SET speak to every node. */
  everywhere: boolean;
  /** Why it is not run in a cluster. */
  apart: string | undefined;
}

export class CaseSyntaxError extends Error {
  override readonly name = 'CaseSyntaxError';
}

const ESCAPES: Readonly<Record<string, number>> = { n: 10, r: 13, t: 9, b: 8, a: 7 };

interface Word {
  readonly bytes: Buffer;
  readonly quoted: boolean;
}

/** Remaining times differ by the moments between the two servers: room for these unless the case says otherwise. */
const TIME_TOLERANCE: Readonly<Record<string, number>> = {
  TTL: 1,
  EXPIRETIME: 1,
  PTTL: 1_500,
  PEXPIRETIME: 1_500,
};

/** Splits a line into words with redis-cli's quoting. */
export function splitWords(line: string): Word[] {
  const words: Word[] = [];
  let at = 0;
  while (at < line.length) {
    if (line[at] === ' ') {
      at++;
      continue;
    }
    const bytes: Buffer[] = [];
    let quoted = false;
    while (at < line.length && line[at] !== ' ') {
      const mark = line[at];
      if (mark === '"' || mark === "'") {
        quoted = true;
        const end = mark === '"' ? readDoubleQuoted(line, at + 1, bytes) : readSingleQuoted(line, at + 1, bytes);
        at = end;
      } else if (line.startsWith('{repeat ', at)) {
        at = readRepeat(line, at, bytes);
      } else {
        const character = characterAt(line, at);
        bytes.push(Buffer.from(character));
        at += character.length;
      }
    }
    words.push({ bytes: Buffer.concat(bytes), quoted });
  }
  return words;
}

function readRepeat(line: string, from: number, into: Buffer[]): number {
  const end = line.indexOf('}', from);
  const [, unit = '', times = '0'] = line.slice(from, end).split(' ');
  into.push(Buffer.from(unit.repeat(Number(times))));
  return end + 1;
}

/** A whole code point, so that UTF-8 comes out right. */
function characterAt(line: string, at: number): string {
  return String.fromCodePoint(line.codePointAt(at) as number);
}

function readDoubleQuoted(line: string, from: number, into: Buffer[]): number {
  let at = from;
  while (line[at] !== '"') {
    if (at >= line.length) throw new CaseSyntaxError('a double quote is not closed');
    if (line.startsWith('{repeat ', at)) {
      at = readRepeat(line, at, into);
      continue;
    }
    if (line[at] !== '\\') {
      const character = characterAt(line, at);
      into.push(Buffer.from(character));
      at += character.length;
      continue;
    }
    const next = line[at + 1] ?? '';
    if (next === 'x') {
      into.push(Buffer.from([Number.parseInt(line.slice(at + 2, at + 4), 16)]));
      at += 4;
    } else {
      into.push(Buffer.from([ESCAPES[next] ?? next.charCodeAt(0)]));
      at += 2;
    }
  }
  return at + 1;
}

function readSingleQuoted(line: string, from: number, into: Buffer[]): number {
  let at = from;
  while (line[at] !== "'") {
    if (at >= line.length) throw new CaseSyntaxError('a single quote is not closed');
    const escaped = line[at] === '\\' && line[at + 1] === "'";
    const character = escaped ? "'" : characterAt(line, at);
    into.push(Buffer.from(character));
    at += escaped ? 2 : character.length;
  }
  return at + 1;
}

/** Reads a file of cases. Throws `CaseSyntaxError` with the file and the line. */
export function parseCases(file: string, text: string): Case[] {
  const cases: Case[] = [];
  let current: Case | undefined;
  let apart: string | undefined;
  let together = false;
  for (const [index, raw] of text.split('\n').entries()) {
    const line = raw.trim();
    if (line === '' || line.startsWith('#')) continue;
    try {
      if (line.startsWith('== ')) {
        current = startCase(file, index + 1, line.slice(3));
        current.apart = apart;
        current.together = together;
        cases.push(current);
      } else if (current === undefined && line.startsWith('%apart ')) {
        apart = line.slice(7);
      } else if (current === undefined && line === '%together') {
        together = true;
      } else if (current === undefined) {
        throw new CaseSyntaxError('a line before the first ==');
      } else {
        addLine(current, line, index + 1);
      }
    } catch (error) {
      throw new CaseSyntaxError(`${file}:${index + 1}: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
  return cases;
}

function startCase(file: string, line: number, title: string): Case {
  return {
    file,
    line,
    title,
    steps: [],
    protocols: [2, 3],
    from: undefined,
    needs: [],
    oracle: 'single',
    together: false,
    everywhere: false,
    apart: undefined,
  };
}

function addLine(current: Case, line: string, number: number): void {
  if (line.startsWith('=>')) {
    const last = current.steps.at(-1);
    if (last === undefined) throw new CaseSyntaxError('=> without a command');
    last.expected = line.slice(2).trim();
  } else if (line.startsWith('%from ')) {
    current.from = line.slice(6);
  } else if (line.startsWith('%oracle ')) {
    current.oracle = line.slice(8).trim() === 'cluster' ? 'cluster' : 'single';
  } else if (line.startsWith('%needs ')) {
    current.needs = line.slice(7).trim().split(/ +/);
  } else if (line === '%together') {
    current.together = true;
  } else if (line === '%everywhere') {
    current.everywhere = true;
  } else if (line.startsWith('%apart ')) {
    current.apart = line.slice(7);
  } else if (line.startsWith('%only ')) {
    current.protocols = line.slice(6).trim() === 'resp2' ? [2] : [3];
  } else {
    current.steps.push(parseStep(line, number));
  }
}

const DIRECTIVES: ReadonlySet<string> = new Set<StepKind>([
  'times',
  'scan',
  'raw',
  'later',
  'await',
  'none',
  'next',
  'push',
  'sleep',
]);

function parseStep(source: string, line: number): Step {
  let words = splitWords(source);
  let kind: StepKind = 'command';
  const first = words[0]?.bytes.toString() ?? '';
  if (first.startsWith('%') && words[0]?.quoted !== true) {
    if (!DIRECTIVES.has(first.slice(1))) throw new CaseSyntaxError(`no such directive: ${first}`);
    kind = first.slice(1) as StepKind;
    words = words.slice(1);
  }
  let count = 1;
  if (kind === 'times' || kind === 'sleep') {
    count = Number(words[0]?.bytes.toString());
    if (!Number.isSafeInteger(count)) throw new CaseSyntaxError('a number is missing');
    words = words.slice(1);
  }
  let connection = 'a';
  const named = words[0];
  if (named !== undefined && !named.quoted && /^@[a-z]+$/.test(named.bytes.toString())) {
    connection = named.bytes.toString().slice(1);
    words = words.slice(1);
  }
  const cut = words.findIndex((word) => !word.quoted && word.bytes.toString() === '#');
  const note = cut < 0 ? [] : words.slice(cut + 1).map((word) => word.bytes.toString());
  if (cut >= 0) words = words.slice(0, cut);
  const { comparison: noted, keepAs, replies, closes, apart } = parseNote(note);
  const tolerance = TIME_TOLERANCE[words[0]?.bytes.toString().toUpperCase() ?? ''];
  const comparison: Comparison = noted ?? (tolerance === undefined ? { how: 'exact' } : { how: 'about', tolerance });
  return {
    kind,
    line,
    source,
    connection,
    words: words.map((word) => word.bytes),
    count: kind === 'raw' ? replies : count,
    comparison,
    closes,
    keepAs,
    apart,
    expected: undefined,
  };
}

const PLAIN = [
  'exact',
  'masked',
  'fields',
  'unordered',
  'command-info',
  'command-docs',
  'pairs',
  'shape',
  'type',
  'code',
  'ignore',
] as const;

function isPlainComparison(word: string): word is (typeof PLAIN)[number] {
  return (PLAIN as readonly string[]).includes(word);
}

function parseNote(note: readonly string[]): {
  comparison: Comparison | undefined;
  keepAs: string | undefined;
  replies: number;
  closes: boolean;
  apart: string | undefined;
} {
  let comparison: Comparison | undefined;
  let keepAs: string | undefined;
  let replies = 1;
  let closes = false;
  let apart: string | undefined;
  for (let i = 0; i < note.length; i++) {
    const word = note[i] as string;
    if (word === 'as') keepAs = note[++i];
    else if (word === 'replies') replies = Number(note[++i]);
    else if (word === 'closes') closes = true;
    else if (word === 'about') comparison = { how: 'about', tolerance: Number(note[++i]) };
    else if (word === 'lines' || word === 'has') {
      comparison = { how: word, names: note.slice(i + 1) };
      break;
    } else if (word === 'apart') {
      apart = note.slice(i + 1).join(' ');
      break;
    } else if (word === 'differs') {
      comparison = { how: 'differs', reason: note.slice(i + 1).join(' ') };
      break;
    } else if (isPlainComparison(word)) comparison = { how: word };
    else throw new CaseSyntaxError(`no such note: ${word}`);
  }
  return { comparison, keepAs, replies, closes, apart };
}
