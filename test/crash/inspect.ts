/** Reads everything a server holds, after a restart. */

import { TestConnection } from '../../redis-compat-tests/harness/connection.ts';
import { leafBytes, show, type Tree } from '../../redis-compat-tests/harness/tree.ts';
import type { Held, State } from './expected-state.ts';

export interface Contents {
  readonly keys: State;
  /** Server clock before the first and after the last read, in milliseconds. */
  readonly beforeMs: number;
  readonly afterMs: number;
  readonly problems: readonly string[];
}

const READ_AT_ONCE = 200;
/** How long expired keys may still be counted by DBSIZE. */
const SWEEP_MS = 10_000;

export async function readContents(port: number): Promise<Contents> {
  const connection = await TestConnection.open(port);
  try {
    const beforeMs = Date.now();
    const names = await scanAll(connection);
    const keys: State = new Map();
    const problems: string[] = [];
    for (let i = 0; i < names.length; i += READ_AT_ONCE) {
      const held = await Promise.all(names.slice(i, i + READ_AT_ONCE).map((name) => readKey(connection, name)));
      for (const one of held) {
        if (typeof one === 'string') problems.push(one);
        else if (one !== undefined) keys.set(one[0], one[1]);
      }
    }
    const afterMs = Date.now();
    problems.push(...(await compareCounts(connection)));
    return { keys, beforeMs, afterMs, problems };
  } finally {
    connection.close();
  }
}

async function scanAll(connection: TestConnection): Promise<string[]> {
  const names = new Set<string>();
  let cursor = '0';
  do {
    const reply = await connection.send('SCAN', cursor, 'COUNT', '1000');
    const [next, page] = reply.kind === 'array' ? reply.items : [];
    if (next === undefined || page?.kind !== 'array') throw new Error(`SCAN answered ${show(reply)}`);
    for (const item of page.items) names.add(leafBytes(item).toString());
    cursor = leafBytes(next).toString();
  } while (cursor !== '0');
  return [...names];
}

async function readKey(connection: TestConnection, name: string): Promise<[string, Held] | string | undefined> {
  const [value, deadline] = await Promise.all([connection.send('GET', name), connection.send('PEXPIRETIME', name)]);
  const expiresAtMs = integer(deadline);
  if (value.kind !== 'bulk') return expiresAtMs === -2 ? undefined : gone(name, value, expiresAtMs);
  if (expiresAtMs === undefined) return `PEXPIRETIME ${name} answered ${show(deadline)}`;
  // -2: it expired between the two reads.
  return expiresAtMs === -2
    ? undefined
    : [name, { value: value.bytes.toString(), expiresAtMs: Math.max(expiresAtMs, 0) }];
}

function gone(name: string, value: Tree, expiresAtMs: number | undefined): string {
  return `SCAN names ${name} but GET answers ${show(value)} and PEXPIRETIME ${expiresAtMs}`;
}

function integer(tree: Tree): number | undefined {
  return tree.kind === 'integer' ? Number(tree.digits) : undefined;
}

/** DBSIZE must come to equal what SCAN finds, once the sweeper has been by. */
async function compareCounts(connection: TestConnection): Promise<string[]> {
  const deadline = Date.now() + SWEEP_MS;
  for (;;) {
    const counted = integer(await connection.send('DBSIZE'));
    const found = (await scanAll(connection)).length;
    if (counted === found) return [];
    if (Date.now() > deadline) return [`DBSIZE is ${counted}, SCAN finds ${found}`];
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}
