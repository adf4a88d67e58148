/**
 * Commands on whole databases (KEYS, SCAN, DBSIZE, RANDOMKEY) that a script runs in a cluster. Their answers come from other
 * nodes, so the script is given up where it asks, they are asked, and it runs again from its start with what they said. They
 * are no part of what is atomic, and do not see what the script itself has changed.
 */

import type { RowName } from '../repl/owner-message.ts';
import type { Args } from './args.ts';
import type { Command } from './command.ts';
import type { Reply } from './reply.ts';
import type { ScriptMemo } from './script-run.ts';

/** Keys of an answer that may become rows of the script's transaction. */
const MAX_LIKELY_ROWS = 10_000;

/** Thrown where a script asks. */
export class WholeWanted extends Error {
  override readonly name = 'WholeWanted';
  readonly command: Command;
  readonly args: Args;
  /** Logical. */
  readonly database: number;
  private readonly memo: ScriptMemo;
  private readonly at: number;
  private readonly asked: string;

  constructor(options: {
    command: Command;
    args: Args;
    database: number;
    memo: ScriptMemo;
    /** Its number among what the script asks beside rows. */
    at: number;
    asked: string;
  }) {
    super('a script asks about a whole database');
    this.command = options.command;
    this.args = options.args;
    this.database = options.database;
    this.memo = options.memo;
    this.at = options.at;
    this.asked = options.asked;
  }

  /** What the script is told when it runs again. */
  answer(reply: Reply): void {
    this.memo.replies[this.at] = reply;
    this.memo.asked[this.at] = this.asked;
  }
}

/** Whether the command reads whole databases. */
export function readsWhole({ access, keys, systemRow }: Command): boolean {
  return access === 'read' && keys === undefined && systemRow === undefined;
}

/** The rows that a script which was told these keys is likely to ask for. */
export function likelyRows(replies: readonly Reply[], rowOf: (key: Uint8Array) => RowName): RowName[] {
  const rows: RowName[] = [];
  for (const reply of replies) {
    const items = Array.isArray(reply) ? reply.flat() : [reply];
    for (const item of items) {
      if (!(item instanceof Uint8Array)) continue;
      if (rows.length === MAX_LIKELY_ROWS) return rows;
      rows.push(rowOf(item));
    }
  }
  return rows;
}
