/** The clients that MONITOR: each gets a line for every command that runs. */

import { latin1 } from '../bytes.ts';
import type { Args } from './args.ts';
import type { Client } from './client.ts';
import { hiddenWords } from './hidden-words.ts';
import { SimpleString } from './reply.ts';

export class MonitorFeed {
  private readonly watchers = new Set<Client>();

  /** Asked before each command, so that nothing is done when nobody watches. */
  get active(): boolean {
    return this.watchers.size > 0;
  }

  add(client: Client): void {
    client.monitor = true;
    client.noteFeeds();
    this.watchers.add(client);
  }

  remove(client: Client): void {
    if (!this.watchers.delete(client)) return;
    client.monitor = false;
    client.noteFeeds();
  }

  /** Tells every watcher. `timeUs` since 1970. */
  show(client: Client, args: Args, timeUs: number): void {
    const line = new SimpleString(monitorLine(client, args, timeUs));
    for (const watcher of this.watchers) watcher.connection.push(line);
  }
}

/** `1339518083.107412 [0 127.0.0.1:60866] "set" "k" "v"`. */
export function monitorLine(client: Client, args: Args, timeUs: number): string {
  const hidden = hiddenWords(args);
  const seconds = Math.floor(timeUs / 1_000_000);
  const micros = String(Math.floor(timeUs % 1_000_000)).padStart(6, '0');
  let line = `${seconds}.${micros} [${client.database} ${client.connection.peer}]`;
  for (let i = 0; i < args.count; i++) {
    line += hidden.has(i) ? ' "(redacted)"' : ` ${quoted(args.at(i))}`;
  }
  return line;
}

const ESCAPES: Readonly<Record<string, string>> = {
  '"': '\\"',
  '\\': '\\\\',
  '\n': '\\n',
  '\r': '\\r',
  '\t': '\\t',
  '\u0007': '\\a',
  '\b': '\\b',
};

/** A word in double quotes, with escapes for what is not printable ASCII. */
export function quoted(word: Uint8Array): string {
  const escaped = latin1(word).replace(/[^ !#-[\]-~]/g, (character) => {
    return ESCAPES[character] ?? `\\x${character.charCodeAt(0).toString(16).padStart(2, '0')}`;
  });
  return `"${escaped}"`;
}
