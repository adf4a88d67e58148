/**
 * A user of the ACL: whether it may log in, and what it may do (redis.io, "Access Control List"). What a user may do is said by
 * its root permissions and any number of selectors: a command is allowed when one of them allows it with all its keys and
 * channels.
 *
 * Rules are applied one after another, as ACL SETUSER's words say them; `describe` writes words that make the same user.
 * Command rules are shown in the order in which they were given, where Redis 7.0 works out a shorter list of its own.
 */

import { latin1 } from '../bytes.ts';
import type { Args } from './args.ts';
import { CATEGORIES, categoriesOf } from './categories.ts';
import type { Command } from './command.ts';
import { CommandError } from './errors.ts';
import { globMatches } from './glob.ts';
import { keyFlagsOfCall } from './key-flags.ts';
import { passwordHash } from './password-hash.ts';
import { keyIndexes } from './table.ts';

/** What a user lacks. */
export interface Denial {
  readonly reason: 'command' | 'key' | 'channel';
  /** The name of the command, the key or the channel. */
  readonly object: string;
}

interface KeyPattern {
  readonly pattern: Uint8Array;
  readonly reads: boolean;
  readonly writes: boolean;
}

/** Every command by its full name, subcommands as `config|get`. */
export type CommandNames = ReadonlyMap<string, Command>;

const ALL = Buffer.from('*');

/** How each channel command names its channels: patterns must be given to the user as they are. */
const CHANNEL_WORDS: Readonly<Record<string, { readonly last: number; readonly literal: boolean }>> = {
  subscribe: { last: -1, literal: false },
  ssubscribe: { last: -1, literal: false },
  psubscribe: { last: -1, literal: true },
  publish: { last: 1, literal: false },
  spublish: { last: 1, literal: false },
};

export class Permissions {
  /** Full names of what is allowed; undefined: everything. */
  private allowed: Set<string> | undefined = new Set();
  /** Command rules as they were given since the last `+@all` or `-@all`. */
  private rules: string[] = [];
  private beganWithAll = false;
  private keys: KeyPattern[] = [];
  private channels: Uint8Array[] = [];

  /** Everything is allowed with every key and channel. */
  get isEverything(): boolean {
    return this.allowed === undefined && this.hasAll(this.keys) && this.channels.some((each) => isAll(each));
  }

  private hasAll(keys: readonly KeyPattern[]): boolean {
    return keys.some(({ pattern, reads, writes }) => reads && writes && isAll(pattern));
  }

  /** Applies one rule; false: it is none about permissions. Throws `CommandError` with what is wrong with it. */
  apply(rule: string, names: CommandNames): boolean {
    const lower = rule.toLowerCase();
    if (lower === 'allkeys') this.addKey('*', true, true);
    else if (lower === 'resetkeys') this.keys = [];
    else if (lower === 'allchannels') this.channels = [ALL];
    else if (lower === 'resetchannels') this.channels = [];
    else if (lower === 'allcommands' || lower === '+@all') this.allowAll();
    else if (lower === 'nocommands' || lower === '-@all') this.denyAll();
    else if (rule.startsWith('~')) this.addKey(rule.slice(1), true, true);
    else if (rule.startsWith('%')) this.addTypedKey(rule);
    else if (rule.startsWith('&')) this.addChannel(rule.slice(1));
    else if (rule.startsWith('+') || rule.startsWith('-')) this.applyCommand(lower, names);
    else return false;
    return true;
  }

  private allowAll(): void {
    this.allowed = undefined;
    this.beganWithAll = true;
    this.rules = [];
  }

  private denyAll(): void {
    this.allowed = new Set();
    this.beganWithAll = false;
    this.rules = [];
  }

  private addKey(text: string, reads: boolean, writes: boolean): void {
    if (this.hasAll(this.keys) && text !== '*') {
      throw new CommandError(
        "Adding a pattern after the * pattern (or the 'allkeys' flag) is not valid and does not have any effect. Try 'resetkeys' to start with an empty list of patterns",
      );
    }
    const pattern = Buffer.from(text, 'latin1');
    if (reads && writes && text === '*') this.keys = [];
    if (this.keys.some((each) => each.reads === reads && each.writes === writes && pattern.equals(each.pattern)))
      return;
    this.keys.push({ pattern, reads, writes });
  }

  private addTypedKey(rule: string): void {
    const match = /^%([RWrw]+)~(.*)$/s.exec(rule);
    if (match === null) throw new CommandError('Syntax error');
    const kinds = (match[1] as string).toUpperCase();
    this.addKey(match[2] as string, kinds.includes('R'), kinds.includes('W'));
  }

  private addChannel(text: string): void {
    if (this.channels.some((each) => isAll(each)) && text !== '*') {
      throw new CommandError(
        "Adding a pattern after the * pattern (or the 'allchannels' flag) is not valid and does not have any effect. Try 'resetchannels' to start with an empty list of channels",
      );
    }
    const pattern = Buffer.from(text, 'latin1');
    if (text === '*') this.channels = [];
    if (!this.channels.some((each) => pattern.equals(each))) this.channels.push(pattern);
  }

  private applyCommand(rule: string, names: CommandNames): void {
    const wanted = namesOf(rule.slice(1), names);
    const allowed = (this.allowed ??= new Set(names.keys()));
    for (const name of wanted) {
      if (rule.startsWith('+')) allowed.add(name);
      else allowed.delete(name);
    }
    const opposite = (rule.startsWith('+') ? '-' : '+') + rule.slice(1);
    this.rules = [...this.rules.filter((each) => each !== rule && each !== opposite), rule];
  }

  /** The command rules as words. */
  get commandText(): string {
    return [this.beganWithAll ? '+@all' : '-@all', ...this.rules].join(' ');
  }

  get keyText(): string {
    return this.keys.map(keyWord).join(' ');
  }

  get channelText(): string {
    return this.channels.map((each) => `&${latin1(each)}`).join(' ');
  }

  /** All of it as words. */
  describe(): string {
    const channels = this.channels.some((each) => isAll(each)) ? '&*' : `resetchannels ${this.channelText}`.trim();
    return [this.keyText, channels, this.commandText].filter((word) => word !== '').join(' ');
  }

  /** What stands in the way of a call; undefined: nothing. */
  denial(name: string, command: Command, args: Args): Denial | undefined {
    if (this.allowed !== undefined && !this.allowed.has(name)) return { reason: 'command', object: name };
    return this.keyDenial(name, command, args) ?? this.channelDenial(command.name, args);
  }

  private keyDenial(name: string, command: Command, args: Args): Denial | undefined {
    if (this.hasAll(this.keys)) return undefined;
    for (const [position, i] of keyIndexes(command, args).entries()) {
      const flags = keyFlagsOfCall(name, command, args, position);
      if (flags.includes('not_key')) continue;
      const reads = flags.includes('access');
      const writes = !flags.includes('RO');
      const key = args.at(i);
      const isAllowed = this.keys.some(
        (each) => (each.reads || !reads) && (each.writes || !writes) && globMatches(each.pattern, key),
      );
      if (!isAllowed) return { reason: 'key', object: args.text(i) };
    }
    return undefined;
  }

  private channelDenial(name: string, args: Args): Denial | undefined {
    const words = CHANNEL_WORDS[name];
    if (words === undefined) return undefined;
    const last = words.last < 0 ? args.count - 1 : words.last;
    for (let i = 1; i <= last; i++) {
      const channel = args.at(i);
      const isAllowed = this.channels.some(
        (each) => isAll(each) || (words.literal ? Buffer.compare(each, channel) === 0 : globMatches(each, channel)),
      );
      if (!isAllowed) return { reason: 'channel', object: args.text(i) };
    }
    return undefined;
  }
}

function isAll(pattern: Uint8Array): boolean {
  return pattern.length === 1 && pattern[0] === 0x2a;
}

function keyWord({ pattern, reads, writes }: KeyPattern): string {
  const text = latin1(pattern);
  if (reads && writes) return `~${text}`;
  return `%${reads ? 'R' : ''}${writes ? 'W' : ''}~${text}`;
}

/** The full names that a rule without its sign is about. Throws `CommandError`. */
function namesOf(word: string, names: CommandNames): string[] {
  const unknown = new CommandError('Unknown command or category name in ACL');
  if (word.startsWith('@')) {
    const category = word.slice(1);
    if (!CATEGORIES.includes(category)) throw unknown;
    return [...names].filter(([, command]) => categoriesOf(command).includes(category)).map(([name]) => name);
  }
  if (!names.has(word)) throw unknown;
  // A container stands for all its subcommands.
  return [...names.keys()].filter((name) => name === word || name.startsWith(`${word}|`));
}

export class AclUser {
  readonly name: string;
  isOn = false;
  isOpen = false;
  /** Said of it; payloads of RESTORE are always checked. */
  isSanitizing = false;
  readonly passwords = new Set<string>();
  root = new Permissions();
  selectors: Permissions[] = [];

  constructor(name: string) {
    this.name = name;
  }

  /** Applies one word of ACL SETUSER. Throws `CommandError` with what is wrong with it. */
  apply(rule: string, names: CommandNames): void {
    const lower = rule.toLowerCase();
    if (lower === 'on' || lower === 'off') this.isOn = lower === 'on';
    else if (lower === 'nopass') {
      this.isOpen = true;
      this.passwords.clear();
    } else if (lower === 'resetpass') {
      this.isOpen = false;
      this.passwords.clear();
    } else if (lower === 'reset') this.reset();
    else if (lower === 'clearselectors') this.selectors = [];
    else if (lower === 'sanitize-payload') this.isSanitizing = true;
    else if (lower === 'skip-sanitize-payload') this.isSanitizing = false;
    else if (rule.startsWith('(') && rule.endsWith(')')) this.addSelector(rule.slice(1, -1), names);
    else if (/^[><#!]/.test(rule)) this.applyPassword(rule);
    else if (!this.root.apply(rule, names)) throw new CommandError('Syntax error');
  }

  private reset(): void {
    this.isOn = false;
    this.isOpen = false;
    this.isSanitizing = true;
    this.passwords.clear();
    this.root = new Permissions();
    this.selectors = [];
  }

  private addSelector(text: string, names: CommandNames): void {
    const selector = new Permissions();
    for (const word of text.split(' ').filter((each) => each !== '')) {
      if (!selector.apply(word, names)) throw new CommandError('Syntax error');
    }
    this.selectors.push(selector);
  }

  private applyPassword(rule: string): void {
    const sign = rule[0];
    const text = rule.slice(1);
    const isHash = sign === '#' || sign === '!';
    if (isHash && !/^[0-9a-f]{64}$/.test(text)) {
      throw new CommandError(
        'The password hash must be exactly 64 characters and contain only lowercase hexadecimal characters',
      );
    }
    const hash = isHash ? text : passwordHash(Buffer.from(text, 'latin1'));
    if (sign === '>' || sign === '#') {
      this.passwords.add(hash);
      this.isOpen = false;
    } else if (!this.passwords.delete(hash)) {
      throw new CommandError('The password you are trying to remove from the user does not exist');
    }
  }

  get isEverything(): boolean {
    return this.root.isEverything;
  }

  /** What stands in the way of a call; undefined: nothing. Of several the one that came furthest. */
  denial(name: string, command: Command, args: Args): Denial | undefined {
    let worst = this.root.denial(name, command, args);
    for (const selector of this.selectors) {
      if (worst === undefined) return undefined;
      const denial = selector.denial(name, command, args);
      if (denial === undefined) return undefined;
      if (worst.reason === 'command') worst = denial;
    }
    return worst;
  }

  /** As ACL LIST shows it, without `user` and the name. */
  describe(): string {
    const words = [this.isOn ? 'on' : 'off'];
    if (this.isOpen) words.push('nopass');
    if (this.isSanitizing) words.push('sanitize-payload');
    for (const hash of this.passwords) words.push(`#${hash}`);
    words.push(this.root.describe());
    for (const selector of this.selectors) words.push(`(${selector.describe()})`);
    return words.join(' ');
  }
}

/** Words of ACL SETUSER with those of a selector, which may come in several, in one. Throws `CommandError`. */
export function joinSelectors(words: readonly string[]): string[] {
  const joined: string[] = [];
  let open: string | undefined;
  for (const word of words) {
    if (open !== undefined) open += ` ${word}`;
    else if (word.startsWith('(')) open = word;
    else {
      joined.push(word);
      continue;
    }
    if (!open.endsWith(')')) continue;
    joined.push(open);
    open = undefined;
  }
  if (open !== undefined) throw new CommandError(`ERR Unmatched parenthesis in acl selector starting at '${open}'.`);
  return joined;
}
