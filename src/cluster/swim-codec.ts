/**
 * Messages of membership in bytes: the payload of a message of the bus. Big-endian.
 *
 * ```
 * u8 version (1) | u8 kind: 1 probe, 2 ack, 3 probe-for, 4 nack, 5 gossip, 6 compare | text name of the sender
 * text address of the sender
 * probe, ack, nack   u64 number
 * probe-for          u64 number | text target | text address of the target
 * compare            u8 reply
 * then               u16 pieces of news, each: text name | u8 status: 1 alive, 2 suspect, 3 dead, 4 left
 *                    u64 incarnation | text address | text from | text about
 * ```
 * text = u8 length, UTF-8
 *
 * Valid if and only if version, kind and statuses are known, there are at most `MAX_KNOWN` × 4 pieces of news and
 * nothing is left over; anything else is a `DamagedError`.
 */

import { unreachable } from '../assert.ts';
import { ByteReader, ByteWriter, DamagedError } from './byte-cursor.ts';
import { MAX_KNOWN } from './swim-config.ts';
import type { MemberStatus, News, NodeName, SwimMessage } from './swim-message.ts';

const VERSION = 1;

/** Append-only: a kind's number is its place. */
const KINDS = ['probe', 'ack', 'probe-for', 'nack', 'gossip', 'compare'] as const satisfies SwimMessage['kind'][];
const STATUSES = ['alive', 'suspect', 'dead', 'left'] as const satisfies MemberStatus[];

export interface Envelope {
  readonly from: NodeName;
  readonly address: string;
  readonly message: SwimMessage;
}

export function encodeSwim(envelope: Envelope): Uint8Array {
  const { from, address, message } = envelope;
  const writer = new ByteWriter()
    .u8(VERSION)
    .u8(KINDS.indexOf(message.kind) + 1)
    .text(from)
    .text(address);
  if ('probe' in message) writer.u64(message.probe);
  if (message.kind === 'probe-for') writer.text(message.target).text(message.address);
  if (message.kind === 'compare') writer.u8(Number(message.reply));
  writer.u16(message.news.length);
  for (const news of message.news) {
    writer
      .text(news.name)
      .u8(STATUSES.indexOf(news.status) + 1)
      .u64(news.incarnation);
    writer.text(news.address).text(news.from).text(news.about);
  }
  return writer.finish();
}

/** Throws `DamagedError`. */
export function decodeSwim(bytes: Uint8Array): Envelope {
  const reader = new ByteReader(bytes);
  if (reader.u8() !== VERSION) throw new DamagedError('a message of membership of another version');
  const kind = KINDS[reader.u8() - 1];
  if (kind === undefined) throw new DamagedError('a message of membership of no known kind');
  const from = reader.text();
  const address = reader.text();
  const message = readMessage(reader, kind);
  reader.finish();
  return { from, address, message };
}

function readMessage(reader: ByteReader, kind: SwimMessage['kind']): SwimMessage {
  switch (kind) {
    case 'probe':
    case 'ack':
    case 'nack':
      return { kind, probe: reader.u64(), news: readNews(reader) };
    case 'probe-for': {
      const probe = reader.u64();
      const target = reader.text();
      return { kind, probe, target, address: reader.text(), news: readNews(reader) };
    }
    case 'gossip':
      return { kind, news: readNews(reader) };
    case 'compare':
      return { kind, reply: reader.u8() !== 0, news: readNews(reader) };
    default:
      return unreachable(kind);
  }
}

function readNews(reader: ByteReader): News[] {
  const count = reader.u16();
  if (count > 4 * MAX_KNOWN) throw new DamagedError('too much news');
  const all: News[] = [];
  for (let i = 0; i < count; i++) {
    const name = reader.text();
    const status = STATUSES[reader.u8() - 1];
    if (status === undefined) throw new DamagedError('a status that is none');
    const incarnation = reader.u64();
    const address = reader.text();
    const from = reader.text();
    all.push({ name, status, incarnation, address, from, about: reader.text() });
  }
  return all;
}
