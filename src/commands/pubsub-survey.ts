/**
 * PUBSUB in a cluster: what all nodes together know, since a client of any node sees one server. Who is out of reach is left
 * out. Big-endian:
 *
 * ```
 * question   u8 0 names | u8 kind | u8 has a pattern [pattern, to the end]
 *            u8 1 counts | u8 kind | u32 channels, each: u32 length | channel
 * answer     names: each u32 length | name        counts: u32 each
 * ```
 *
 * Anything else is a `DamagedError`.
 */

import { latin1 } from '../bytes.ts';
import { ByteReader, ByteWriter, DamagedError } from '../cluster/byte-cursor.ts';
import type { Client } from './client.ts';
import { type TopicKind, topicKind, type Topics } from './pubsub-topics.ts';

const question = { NAMES: 0, COUNTS: 1 } as const;

/** Puts a question to the other nodes; the answers of those that answer in time. */
export type AskOthers = (payload: Uint8Array) => Promise<readonly Uint8Array[]>;

/** The names of this kind that somebody listens to, at any node; `pattern`: those that match. */
export async function surveyNames(
  topics: Topics<Client>,
  ask: AskOthers,
  kind: TopicKind,
  pattern?: Uint8Array,
): Promise<Uint8Array[]> {
  const writer = new ByteWriter()
    .u8(question.NAMES)
    .u8(kind)
    .u8(Number(pattern !== undefined));
  if (pattern !== undefined) writer.raw(pattern);
  const names = new Map(topics.names(kind, pattern).map((name) => [latin1(name), name]));
  for (const answer of await ask(writer.finish())) {
    const reader = new ByteReader(answer);
    while (reader.left > 0) {
      const name = reader.block();
      names.set(latin1(name), name);
    }
  }
  return [...names.values()];
}

/** How many listen to each of the channels, at all nodes together. */
export async function surveyCounts(
  topics: Topics<Client>,
  ask: AskOthers,
  kind: TopicKind,
  channels: readonly Uint8Array[],
): Promise<number[]> {
  const writer = new ByteWriter().u8(question.COUNTS).u8(kind).u32(channels.length);
  for (const channel of channels) writer.block(channel);
  const counts = channels.map((channel) => topics.subscribersOf(kind, channel)?.size ?? 0);
  for (const answer of await ask(writer.finish())) {
    const reader = new ByteReader(answer);
    for (let i = 0; i < counts.length; i++) counts[i] = (counts[i] as number) + reader.u32();
  }
  return counts;
}

/** What this node answers to a question. Throws `DamagedError`. */
export function answerSurvey(topics: Topics<Client>, payload: Uint8Array): Uint8Array {
  const reader = new ByteReader(payload);
  const what = reader.u8();
  const kind = reader.u8();
  if (kind !== topicKind.CHANNEL && kind !== topicKind.PATTERN && kind !== topicKind.SHARD) {
    throw new DamagedError('a kind of channel');
  }
  const writer = new ByteWriter();
  if (what === question.NAMES) {
    const pattern = reader.u8() === 0 ? undefined : reader.raw(reader.left);
    for (const name of topics.names(kind, pattern)) writer.block(name);
  } else if (what === question.COUNTS) {
    for (let left = reader.u32(); left > 0; left--) {
      writer.u32(topics.subscribersOf(kind, reader.block())?.size ?? 0);
    }
  } else throw new DamagedError('a question about subscribers');
  return writer.finish();
}
