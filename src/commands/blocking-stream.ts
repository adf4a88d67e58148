/** Streams that are waited for: XREAD and XREADGROUP with BLOCK. The commands stand in stream-read.ts; here is how they wait. */

import { rowType } from '../repl/head.ts';
import type { View } from '../repl/view.ts';
import { Args } from './args.ts';
import type { Blocking, Command } from './command.ts';
import { ErrorReply, MapReply, type Reply } from './reply.ts';
import { textOfId } from './stream-id.ts';
import { readOptions, type ReadOptions, readStreamCommands, startsOf } from './stream-read.ts';

const GONE = 'UNBLOCKED the stream key no longer exists';
const GROUP_GONE = 'NOGROUP the consumer group this client was blocked on no longer exists';

function timeoutMs(args: Args): number | undefined {
  const { blockMs } = readOptions(args);
  return blockMs === 0 ? Number.POSITIVE_INFINITY : blockMs;
}

/** The words in front of the keys, then key and id of one stream. */
function only(args: Args, i: number): Args {
  const { keysAt, keyCount } = readOptions(args);
  const options = Array.from({ length: keysAt }, (_, n) => args.at(n));
  return Args.of(...options, args.at(i), args.at(i + keyCount));
}

/** The words with other ids, where `idOf` knows one. */
function withIds(args: Args, { keysAt, keyCount }: ReadOptions, idOf: (n: number) => string | undefined): Args {
  const words = Array.from({ length: args.count }, (_, i): string | Uint8Array => args.at(i));
  for (let n = 0; n < keyCount; n++) {
    const at = keysAt + keyCount + n;
    words[at] = idOf(n) ?? args.at(at);
  }
  return Args.of(...words);
}

function isWord(args: Args, i: number, word: string): boolean {
  return args.length(i) === 1 && args.text(i) === word;
}

/** `$` is the last id of the moment in which the command came; so is `+`, where there was no entry. */
function settled(view: View, args: Args): Args {
  const options = readOptions(args);
  const starts = startsOf(view, args, options);
  return withIds(args, options, (n) => {
    const start = starts[n];
    const at = options.keysAt + options.keyCount + n;
    if (start === undefined || !(isWord(args, at, '$') || isWord(args, at, '+'))) return undefined;
    return textOfId(start);
  });
}

async function settledFar(args: Args, ask: (words: Args) => Promise<Reply>): Promise<Args> {
  const options = readOptions(args);
  const ids = new Map<number, string>();
  for (let n = 0; n < options.keyCount; n++) {
    if (!isWord(args, options.keysAt + options.keyCount + n, '$')) continue;
    ids.set(n, lastIdIn(await ask(Args.of('xinfo', 'stream', args.at(options.keysAt + n)))));
  }
  return withIds(args, options, (n) => ids.get(n));
}

/** The last id in the reply of XINFO STREAM; of a stream that is not there the least one. */
function lastIdIn(reply: Reply): string {
  const entries = reply instanceof MapReply ? reply.entries : [];
  const found = entries.find(([name]) => String(name) === 'last-generated-id')?.[1];
  if (found instanceof Uint8Array) return Buffer.from(found).toString();
  return typeof found === 'string' ? found : '0-0';
}

const READ: Blocking = { type: rowType.STREAM, timeoutMs, only, settled, settledFar };

const READ_GROUP: Blocking = {
  type: rowType.STREAM,
  timeoutMs,
  only,
  gone: () => new ErrorReply(GONE),
  failed: (error) => (error.message.startsWith('NOGROUP ') ? new ErrorReply(GROUP_GONE) : error),
};

export const blockingStreamCommands: readonly Command[] = readStreamCommands.map((command) => ({
  ...command,
  blocks: command.name === 'xread' ? READ : READ_GROUP,
}));
