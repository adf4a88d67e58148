/** Rows as values of RDB, and back. */

import { copyOf, EMPTY } from '../bytes.ts';
import { ELEMENT } from '../repl/elements.ts';
import { rowType } from '../repl/head.ts';
import type { Row, View } from '../repl/view.ts';
import { fieldsOfHash, membersOfSet, membersOfSortedSet, valuesOfList } from './collection-content.ts';
import { HashFields } from './hash-fields.ts';
import { List } from './list-row.ts';
import { memberKey } from './member-key.ts';
import type { ConsumerImage, GroupImage, StreamImage } from './rdb-stream.ts';
import type { RdbValue } from './rdb-value.ts';
import { SortedSet } from './sorted-set-row.ts';
import { type Consumer, Group } from './stream-group.ts';
import { GREATEST_ID, LEAST_ID } from './stream-id.ts';
import { entryOf, Stream, wordsOfEntry } from './stream-row.ts';

/** What a row holds. Requires: row.live. Throws `Miss`. */
export function valueOfRow(view: View, row: Row): RdbValue {
  switch (row.type) {
    case rowType.LIST:
      return { kind: 'list', values: valuesOfList(view, row) };
    case rowType.SET:
      return { kind: 'set', members: membersOfSet(view, row) };
    case rowType.SORTED_SET:
      return { kind: 'sorted-set', members: membersOfSortedSet(view, row) };
    case rowType.HASH:
      return hashOfRow(view, row);
    case rowType.STREAM:
      return { kind: 'stream', stream: imageOf(new Stream(view.elements(row))) };
    default:
      return { kind: 'string', value: copyOf(view.string(row)) };
  }
}

function hashOfRow(view: View, row: Row): RdbValue {
  const words = fieldsOfHash(view, row);
  const fields = new HashFields(view.elements(row), view.nowMs);
  const hasDeadlines = fields.elements.meta.length > 0;
  const names = words.filter((_, i) => i % 2 === 0);
  return { kind: 'hash', words, deadlines: hasDeadlines ? names.map((name) => fields.deadline(memberKey(name))) : [] };
}

function imageOf(stream: Stream): StreamImage {
  const entries: { id: Uint8Array; words: Uint8Array[] }[] = [];
  stream.each(LEAST_ID, GREATEST_ID, (id, entry) => {
    entries.push({ id: copyOf(id), words: wordsOfEntry(entry) });
  });
  const { lastId, maxDeletedId, added } = stream;
  return { entries, lastId, maxDeletedId, added, groups: Group.all(stream).map(imageOfGroup) };
}

function imageOfGroup(group: Group): GroupImage {
  const { name, lastId, entriesRead } = group;
  const consumers = group.allConsumers().map((consumer): ConsumerImage => {
    const ids = group.pendingIdsOf(consumer.name, LEAST_ID);
    const pending = ids.map((id) => {
      const known = group.pendingAt(id);
      return { id, deliveredMs: known?.deliveredMs ?? 0, deliveries: known?.deliveries ?? 1 };
    });
    return { name: consumer.name, seenMs: consumer.seenMs, pending };
  });
  return { name, lastId, entriesRead, consumers };
}

/** Makes a row what a value says, without a deadline, whatever it was. False: members or fields come twice. Throws `Miss`. */
export function fillRow(view: View, row: Row, value: RdbValue): boolean {
  view.remove(row);
  switch (value.kind) {
    case 'string':
      view.setString(row, value.value, 0);
      return true;
    case 'list': {
      const list = new List(view.create(row, rowType.LIST));
      for (const each of value.values) list.push('tail', each);
      return true;
    }
    case 'set': {
      const elements = view.create(row, rowType.SET);
      return value.members.every((member) => elements.set(ELEMENT, memberKey(member), EMPTY));
    }
    case 'hash':
      return fillHash(view, row, value.words, value.deadlines);
    case 'sorted-set': {
      const set = new SortedSet(view.create(row, rowType.SORTED_SET));
      return value.members.every(({ member, score }) => set.put(member, score) === 'added');
    }
    case 'stream':
      break;
  }
  return fillStream(new Stream(view.create(row, rowType.STREAM)), value.stream);
}

function fillHash(view: View, row: Row, words: readonly Uint8Array[], deadlines: readonly number[]): boolean {
  const fields = new HashFields(view.create(row, rowType.HASH), view.nowMs);
  for (let i = 0; i < words.length; i += 2) {
    const key = memberKey(words[i] as Uint8Array);
    if (!fields.elements.set(ELEMENT, key, words[i + 1] as Uint8Array)) return false;
    const deadline = deadlines[i / 2] ?? 0;
    if (deadline > 0) fields.setDeadline(key, deadline);
  }
  return true;
}

function fillStream(stream: Stream, image: StreamImage): boolean {
  stream.begin();
  for (const { id, words } of image.entries) stream.append(id, entryOf(words));
  stream.setId(image.lastId, image.added, image.maxDeletedId);
  return image.groups.every((each) => fillGroup(stream, each));
}

function fillGroup(stream: Stream, { name, lastId, entriesRead, consumers }: GroupImage): boolean {
  if (Group.find(stream, name) !== undefined) return false;
  const group = Group.create(stream, name, lastId, entriesRead);
  for (const image of consumers) {
    if (group.consumer(image.name) !== undefined) return false;
    const consumer: Consumer = group.createConsumer(image.name, image.seenMs);
    for (const { id, deliveredMs, deliveries } of image.pending) {
      if (group.pendingAt(id) !== undefined) return false;
      group.assign(id, consumer, deliveredMs, deliveries, undefined);
    }
  }
  group.save();
  return true;
}
