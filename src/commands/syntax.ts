/** Reads the notation of syntax-words.ts: what may stand behind a command's name, as COMMAND DOCS shows it. Pure. */

import { assert } from '../assert.ts';
import { SYNTAX_WORDS } from './syntax-words.ts';

export type ArgumentType =
  | 'string'
  | 'integer'
  | 'double'
  | 'key'
  | 'pattern'
  | 'unix-time'
  | 'pure-token'
  | 'oneof'
  | 'block';

export interface Argument {
  name: string;
  readonly type: ArgumentType;
  /** The word before it, or the word that it is. */
  token: string | undefined;
  /** Which of the command's key specifications it is of. */
  readonly keySpec: number | undefined;
  isOptional: boolean;
  isMultiple: boolean;
  /** The word before it comes with each. */
  isMultipleToken: boolean;
  readonly inner: readonly Argument[] | undefined;
}

const TYPES: Readonly<Record<string, ArgumentType>> = {
  i: 'integer',
  d: 'double',
  p: 'pattern',
  u: 'unix-time',
  s: 'string',
  k: 'key',
};

const PIECES = /[[\](){}|]|\.\.\.?|[^\s[\](){}|.]+/g;

let known: ReadonlyMap<string, string> | undefined;

/** The arguments of a command by its full name (`xgroup|create`); none: it has none, or they are not written down. */
export function argumentsOf(name: string): readonly Argument[] {
  known ??= new Map(
    SYNTAX_WORDS.split('\n')
      .filter((line) => line !== '')
      .map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1)]),
  );
  const words = known.get(name);
  return words === undefined ? [] : new Reader(words).all();
}

class Reader {
  private readonly pieces: readonly string[];
  private at = 0;
  private keySpecs = 0;

  constructor(words: string) {
    this.pieces = words.match(PIECES) ?? [];
  }

  all(): readonly Argument[] {
    const found = this.sequence();
    assert(this.at === this.pieces.length, 'a line of syntax that ends early');
    return joinWords(found);
  }

  /** Arguments up to the end of a group or of an alternative; a word and what follows it are not joined yet. */
  private sequence(): Argument[] {
    const found: Argument[] = [];
    for (let piece = this.pieces[this.at]; piece !== undefined; piece = this.pieces[this.at]) {
      if (piece === ']' || piece === ')' || piece === '}' || piece === '|') break;
      this.at++;
      const argument = this.argument(piece);
      const dots = this.pieces[this.at];
      if (dots === '...' || dots === '..') {
        this.at++;
        argument.isMultiple = true;
        argument.isMultipleToken = dots === '..';
      }
      found.push(argument);
    }
    return found;
  }

  private argument(piece: string): Argument {
    if (piece === '[' || piece === '(') return this.group(piece === '[');
    if (piece !== '{') return this.word(piece);
    const inner = joinWords(this.sequence());
    this.at++;
    return newArgument('block', { inner });
  }

  private group(isOptional: boolean): Argument {
    const alternatives: Argument[] = [];
    do alternatives.push(oneOf(this.sequence()));
    while (this.pieces[this.at++] === '|');
    const [first] = alternatives;
    assert(first !== undefined, 'a group has something in it');
    const argument = alternatives.length === 1 ? first : newArgument('oneof', { inner: alternatives });
    // A group that may be left out as a whole, of one that may be left out anyway.
    argument.isOptional ||= isOptional;
    return argument;
  }

  private word(piece: string): Argument {
    const colon = piece.indexOf(':');
    const name = colon < 0 ? piece : piece.slice(0, colon);
    const suffix = colon < 0 ? '' : piece.slice(colon + 1);
    if (suffix === '' && !/[a-z]/.test(name))
      return newArgument('pure-token', { name: name.toLowerCase(), token: name });
    const type = suffix === '' ? (name === 'key' ? 'key' : 'string') : (TYPES[suffix.slice(0, 1)] as ArgumentType);
    const said = suffix.slice(1);
    const keySpec = said !== '' ? Number(said) : type === 'key' ? this.keySpecs++ : undefined;
    return newArgument(type, { name, keySpec });
  }
}

function newArgument(type: ArgumentType, given: Partial<Argument>): Argument {
  return {
    name: type,
    type,
    token: undefined,
    keySpec: undefined,
    isOptional: false,
    isMultiple: false,
    isMultipleToken: false,
    inner: undefined,
    ...given,
  };
}

/** A word in capitals that is followed by an argument without one is that argument's word. */
function joinWords(found: readonly Argument[]): readonly Argument[] {
  const joined: Argument[] = [];
  for (let i = 0; i < found.length; i++) {
    const argument = found[i] as Argument;
    const next = found[i + 1];
    const isFree = next !== undefined && next.type !== 'pure-token' && next.token === undefined && !next.isOptional;
    if (argument.type === 'pure-token' && !argument.isOptional && isFree) {
      next.token = argument.token;
      i++;
      joined.push(next);
    } else joined.push(argument);
  }
  return joined;
}

/** What stands between two bars: one argument, or a block of several. */
function oneOf(found: readonly Argument[]): Argument {
  const [first, ...rest] = found;
  assert(first !== undefined, 'an alternative has something in it');
  const required = rest.filter(({ isOptional }) => !isOptional);
  const hasWord = first.type === 'pure-token' && !first.isOptional && rest.length > 0;
  // Several that belong together behind one word, or a word and options of its own.
  if (hasWord && (required.length > 1 || (required.length === 0 && rest.length === 1))) {
    const inner = required.length > 1 ? joinWords(rest) : [first, ...rest];
    const name = first.name;
    return newArgument('block', { name, inner, token: required.length > 1 ? first.token : undefined });
  }
  const joined = joinWords(found);
  const [only] = joined;
  return joined.length === 1 && only !== undefined ? only : newArgument('block', { inner: joined });
}
