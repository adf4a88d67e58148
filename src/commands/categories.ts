/** ACL categories: those a row names and those that follow from its flags, in the order in which Redis lists them. */

import type { Command } from './command.ts';

export const CATEGORIES: readonly string[] = [
  'keyspace',
  'read',
  'write',
  'set',
  'sortedset',
  'list',
  'hash',
  'string',
  'bitmap',
  'hyperloglog',
  'geo',
  'stream',
  'pubsub',
  'admin',
  'fast',
  'slow',
  'blocking',
  'dangerous',
  'connection',
  'transaction',
  'scripting',
];

export function categoriesOf(command: Command): readonly string[] {
  const { flags } = command;
  const named = new Set(command.categories);
  named.add(flags.includes('fast') ? 'fast' : 'slow');
  if (flags.includes('write')) named.add('write');
  // Scripts read and write what they will.
  const isScript = command.categories.includes('scripting') && command.mayMeetOtherRows === true;
  if (flags.includes('readonly') && !isScript) named.add('read');
  if (flags.includes('blocking')) named.add('blocking');
  if (flags.includes('pubsub')) named.add('pubsub');
  if (flags.includes('admin')) named.add('admin').add('dangerous');
  return CATEGORIES.filter((category) => named.has(category));
}
