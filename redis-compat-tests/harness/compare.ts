/** When two replies are alike. */

import type { Comparison } from './case-file.ts';
import { leafBytes, quote, show, type Tree } from './tree.ts';

/** The kinds of a tree all the way down, without the values. Items of equal shape count once; maps have no order. */
function shape(tree: Tree): string {
  switch (tree.kind) {
    case 'array':
    case 'set':
    case 'push':
      return `${tree.kind}[${[...new Set(tree.items.map(shape))].join(' ')}]`;
    case 'map':
      return `map{${tree.entries
        .map(([key, value]) => `${show(key)}: ${shape(value)}`)
        .sort()
        .join(', ')}}`;
    default:
      return tree.kind;
  }
}

function unordered(tree: Tree): string {
  if (tree.kind === 'array' || tree.kind === 'set' || tree.kind === 'push')
    return `${tree.kind}[${tree.items.map(show).sort().join(' ')}]`;
  if (tree.kind === 'map')
    return `map{${tree.entries
      .map(([key, value]) => `${show(key)}: ${show(value)}`)
      .sort()
      .join(', ')}}`;
  return show(tree);
}

function pairs(tree: Tree): string {
  if (tree.kind !== 'array') return unordered(tree);
  const texts: string[] = [];
  for (let i = 0; i < tree.items.length; i += 2)
    texts.push(
      tree.items
        .slice(i, i + 2)
        .map(show)
        .join(' '),
    );
  return `pairs[${texts.sort().join(', ')}]`;
}

function lines(tree: Tree, names: readonly string[], withValues: boolean): string {
  const text = leafBytes(tree).toString();
  const found = names.map((name) => {
    const line = text.split(/\r?\n/).find((candidate) => candidate.startsWith(`${name}:`));
    if (line === undefined) return `${name} is missing`;
    return withValues ? line : name;
  });
  return `${tree.kind}(${found.join(', ')})`;
}

/** Name, arity, flags, keys and ACL categories of each row: what clients read. */
function commandInfo(tree: Tree): string {
  if (tree.kind !== 'array') return show(tree);
  return tree.items
    .map((row) => (row.kind === 'array' ? row.items.slice(0, 7).map(unordered).join(' ') : show(row)))
    .join('\n');
}

/** The pairs of a map of RESP3, or of the flat array that it is in RESP2. */
function pairsOf(tree: Tree): [string, Tree][] {
  if (tree.kind === 'map') return tree.entries.map(([key, value]) => [leafBytes(key).toString(), value]);
  if (tree.kind !== 'array') return [];
  const found: [string, Tree][] = [];
  for (let i = 0; i + 1 < tree.items.length; i += 2) {
    found.push([leafBytes(tree.items[i] as Tree).toString(), tree.items[i + 1] as Tree]);
  }
  return found;
}

/** What is written anew for Kvorum, or not kept (who changed what when, and since when an argument is there). */
const OWN_WORDS: ReadonlySet<string> = new Set(['summary', 'complexity', 'replaced_by', 'history', 'subcommands']);
const OWN_ARGUMENT_WORDS: ReadonlySet<string> = new Set([
  'name',
  'since',
  'deprecated_since',
  'summary',
  'display_text',
]);

function docArgument(tree: Tree): string {
  const fields = pairsOf(tree).filter(([name]) => !OWN_ARGUMENT_WORDS.has(name));
  return `${tree.kind}(${fields.map(docField).join(', ')})`;
}

function docField([name, value]: [string, Tree]): string {
  const isList = name === 'arguments' && value.kind === 'array';
  return `${name}: ${isList ? value.items.map(docArgument).join(' ') : unordered(value)}`;
}

/** Of each command what clients read: group, version, flags, and the shape of its arguments; in the order of names. */
function commandDocs(tree: Tree): string {
  return pairsOf(tree)
    .map(([name, doc]) => {
      const fields = pairsOf(doc).filter(([field]) => !OWN_WORDS.has(field));
      return `${name} ${doc.kind} ${fields.map(docField).join(', ')}`;
    })
    .sort()
    .join('\n');
}

/** What of a reply is compared, as text. */
export function aspect(tree: Tree, comparison: Comparison): string {
  switch (comparison.how) {
    case 'exact':
    case 'differs':
    case 'about':
      return show(tree);
    case 'unordered':
      return unordered(tree);
    case 'masked':
    case 'fields':
      return show(tree).replace(/-?\d+(\.\d+)?/g, '0');
    case 'command-info':
      return commandInfo(tree);
    case 'command-docs':
      return commandDocs(tree);
    case 'pairs':
      return pairs(tree);
    case 'shape':
      return shape(tree);
    case 'type':
      return tree.kind;
    case 'code':
      return tree.kind === 'error' ? `-${tree.text.split(' ')[0]}` : show(tree);
    case 'ignore':
      return '';
    case 'lines':
    case 'has':
      return lines(tree, comparison.names, comparison.how === 'lines');
    default:
      throw new Error(`no such comparison: ${String(comparison satisfies never)}`);
  }
}

/** The words of a text in quotes, without its last line's end. */
function wordsOf(shown: string): string[] {
  return shown.replace(/^"|(\\n)?"$/g, '').split(' ');
}

/** Whether a reply is like the oracle's. */
export function alike(oracle: Tree, subject: Tree, comparison: Comparison): boolean {
  // Negative times are no times: -1 (no expiry) and -2 (no key) are exact.
  const times = Number(leafBytes(oracle).toString()) >= 0 && Number(leafBytes(subject).toString()) >= 0;
  if (comparison.how === 'about' && oracle.kind === 'integer' && subject.kind === 'integer' && times)
    return Math.abs(Number(oracle.digits) - Number(subject.digits)) <= comparison.tolerance;
  const expected = aspect(oracle, comparison);
  const got = aspect(subject, comparison);
  if (comparison.how !== 'fields') return expected === got;
  const words = new Set(wordsOf(got));
  return oracle.kind === subject.kind && wordsOf(expected).every((word) => words.has(word));
}

/**
 * Whether a reply is as written after `=>`. The notation is that of `show` in tree.ts, with shorter forms: `nil` is
 * any null, `1` an integer, `OK` a status, `[a b]` a list of any kind and also a map of one pair (so that one text
 * serves RESP2 and RESP3), `any` is anything but an error, and `~ …` a regular expression over `show`.
 */
export function asWritten(tree: Tree, written: string): boolean {
  if (written === 'any') return tree.kind !== 'error' && tree.kind !== 'closed' && tree.kind !== 'timeout';
  if (written === 'nil') return tree.kind === 'null' || tree.kind === 'null-bulk' || tree.kind === 'null-array';
  if (written.startsWith('~ ')) return new RegExp(written.slice(2)).test(show(tree));
  return [show(tree), brief(tree)].includes(written);
}

function brief(tree: Tree): string {
  switch (tree.kind) {
    case 'simple':
      return tree.text;
    case 'integer':
      return tree.digits;
    case 'null':
    case 'null-bulk':
    case 'null-array':
      return 'nil';
    case 'bulk':
      return quote(tree.bytes);
    case 'array':
    case 'set':
    case 'push':
      return `[${tree.items.map(brief).join(' ')}]`;
    case 'map':
      return `[${tree.entries.map(([key, value]) => `${brief(key)} ${brief(value)}`).join(' ')}]`;
    default:
      return show(tree);
  }
}
