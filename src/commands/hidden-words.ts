/** Which words of a command are secrets, never shown by MONITOR, SLOWLOG or the log. */

import type { Args } from './args.ts';

const NONE: ReadonlySet<number> = new Set();

export function hiddenWords(args: Args): ReadonlySet<number> {
  const length = args.length(0);
  if (length < 3 || length > 7) return NONE;
  switch (args.upper(0)) {
    case 'AUTH':
      return range(1, args.count);
    case 'HELLO':
      return afterOption(args, 2, 'AUTH', 2);
    case 'MIGRATE':
      return new Set([...afterOption(args, 6, 'AUTH', 1), ...afterOption(args, 6, 'AUTH2', 2)]);
    case 'ACL':
      return args.count > 2 && args.upper(1) === 'SETUSER' ? range(2, args.count) : NONE;
    case 'CONFIG':
      return args.count > 3 && args.upper(1) === 'SET' ? passwordValues(args) : NONE;
    default:
      return NONE;
  }
}

function range(from: number, to: number): Set<number> {
  const indexes = new Set<number>();
  for (let i = from; i < to; i++) indexes.add(i);
  return indexes;
}

/** The words after each `option` from word `from` on. */
function afterOption(args: Args, from: number, option: string, count: number): Set<number> {
  const indexes = new Set<number>();
  for (let i = from; i < args.count; i++) {
    if (args.upper(i) !== option) continue;
    for (let k = i + 1; k <= i + count && k < args.count; k++) indexes.add(k);
  }
  return indexes;
}

function passwordValues(args: Args): Set<number> {
  const indexes = new Set<number>();
  for (let i = 2; i + 1 < args.count; i += 2) {
    const name = args.upper(i);
    if (name === 'REQUIREPASS' || name === 'MASTERAUTH' || name.endsWith('-PASS')) indexes.add(i + 1);
  }
  return indexes;
}
