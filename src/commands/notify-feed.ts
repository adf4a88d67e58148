/**
 * Keyspace notifications: events of commands, kept until what they did is committed, then published to subscribers of
 * this node.
 *
 * ```
 * __keyspace@0__:key    the name of the event        flag K
 * __keyevent@0__:event  the key                      flag E
 * ```
 *
 * As in Redis Cluster a node publishes the events of the changes that it coordinates, to its own subscribers: who wants all
 * of a cluster's events subscribes at every node. An event is published at most once, and not at all when its node ends
 * between the commit and the publication.
 *
 * Invariant: nothing is done, but for one look, while nobody asks for events or nobody listens.
 */

import type { Keyspace } from '../repl/keyspace.ts';
import { databaseOfHead, keyOfHead } from '../repl/row-key.ts';
import type { Row, View } from '../repl/view.ts';
import type { Args } from './args.ts';
import type { Command } from './command.ts';
import {
  addNotes,
  eventClass,
  eventMask,
  type KeyNote,
  type Note,
  type Publication,
  type TouchedRow,
} from './notify-events.ts';
import type { PubSubFeed } from './pubsub-feed.ts';
import { topicKind } from './pubsub-topics.ts';

/** What was known of a row before one of the commands of an EXEC. */
interface RowBefore {
  readonly isDirty: boolean;
  readonly isLive: boolean;
}

/** Commands that run others, which are noted one by one. */
const COMPOSED: ReadonlySet<string> = new Set([
  'exec',
  'eval',
  'evalsha',
  'eval_ro',
  'evalsha_ro',
  'fcall',
  'fcall_ro',
]);

/** Commands that write and say of a missing key what commands that read say. */
const READING_WRITES: ReadonlySet<string> = new Set(['getdel', 'getex', 'getset']);

/** Commands that look at keys without anybody being told that they are missing. */
const SILENT_READS = /^(?:object\||memory\||debug|watch$|kv\.)/;

export class NotifyFeed {
  private mask = 0;
  private readonly pubsub: PubSubFeed;
  private readonly nameOf: (command: Command) => string;
  /** Of commands that ran and are not committed yet. */
  private notes: Note[] = [];

  /** `nameOf`: the full name of a row of the table. */
  constructor(options: { pubsub: PubSubFeed; nameOf(command: Command): string }) {
    this.pubsub = options.pubsub;
    this.nameOf = (command) => options.nameOf(command);
  }

  /** `letters`: `notify-keyspace-events`. */
  setEvents(letters: string): void {
    this.mask = eventMask(letters);
  }

  /** Whether there is anything to do. */
  get isActive(): boolean {
    if (this.mask === 0) return false;
    const { topics } = this.pubsub;
    return topics.count(topicKind.CHANNEL) > 0 || topics.count(topicKind.PATTERN) > 0;
  }

  /** Messages to be published when what is under way is committed. */
  keep(messages: readonly Publication[]): void {
    this.notes.push(...messages);
  }

  /** Forgets what was kept: the command runs again from its start. */
  clear(): void {
    if (this.notes.length > 0) this.notes = [];
  }

  /** Before one of several commands that share a view. */
  mark(view: View): ReadonlyMap<Row, RowBefore> {
    const before = new Map<Row, RowBefore>();
    for (let i = 0; i < view.rowCount; i++) {
      const row = view.rows[i] as Row;
      before.set(row, { isDirty: row.dirty, isLive: row.live });
      row.dirty = false;
    }
    return before;
  }

  /** After a command has run over its view and before that is committed. `before`: of `mark`. */
  collect(view: View, command: Command, args: Args, before?: ReadonlyMap<Row, RowBefore>): void {
    const touched: TouchedRow[] = [];
    const name = this.nameOf(command);
    const isComposed = COMPOSED.has(name);
    for (let i = 0; i < view.rowCount; i++) {
      const row = view.rows[i] as Row;
      const known = before?.get(row);
      const isPast = isPastBefore(row, view.nowMs);
      const wasLive = known?.isLive ?? (row.counted && !isPast);
      if (row.dirty && !isComposed) {
        const wasExpired = known === undefined && row.counted && isPast;
        touched.push({ row, database: logicalOf(view, row), wasLive, wasExpired });
      }
      if (known?.isDirty === true) row.dirty = true;
      if (!wasLive && !isComposed) this.collectMiss(view, command, name, row);
    }
    if (touched.length > 0) addNotes(this.notes, name, args, touched);
  }

  /** What was collected before the command was left for a while. */
  restore(notes: readonly Note[]): void {
    this.notes = [...notes];
  }

  /** Hands over what was collected. */
  take(): readonly Note[] {
    const { notes } = this;
    if (notes.length > 0) this.notes = [];
    return notes;
  }

  /** What was collected is committed. */
  committed(): void {
    if (this.notes.length > 0) this.publish(this.take());
  }

  publish(notes: readonly Note[]): void {
    for (const note of notes) {
      if ('channel' in note) this.pubsub.publish(note.kind, note.channel, note.message);
      else this.tell(note);
    }
  }

  /** A row was found past its deadline and ended. `head`: its physical key. */
  expiredRow(keyspace: Keyspace, head: Uint8Array): void {
    if (!this.isActive) return;
    const database = keyspace.logicalDatabase(databaseOfHead(head));
    this.tell({ letter: 'x', event: 'expired', key: keyOfHead(head), database });
  }

  private collectMiss(view: View, command: Command, name: string, row: Row): void {
    if ((this.mask & eventClass.m) === 0) return;
    if (command.access !== 'read' ? !READING_WRITES.has(name) : SILENT_READS.test(name)) return;
    const key = keyOfHead(row.head.subarray(0, row.headLength));
    this.notes.push({ letter: 'm', event: 'keymiss', key, database: logicalOf(view, row) });
  }

  private tell({ letter, event, key, database }: KeyNote): void {
    const { mask, pubsub } = this;
    if ((mask & eventClass[letter]) === 0) return;
    const name = Buffer.from(event);
    if ((mask & eventClass.K) !== 0) {
      pubsub.deliver(topicKind.CHANNEL, Buffer.concat([Buffer.from(`__keyspace@${database}__:`), key]), name);
    }
    if ((mask & eventClass.E) !== 0) {
      pubsub.deliver(topicKind.CHANNEL, Buffer.from(`__keyevent@${database}__:${event}`), key);
    }
  }
}

/** Whether the deadline that the row had before this view has passed. */
function isPastBefore({ before }: Row, nowMs: number): boolean {
  return before.expiresAtMs !== 0 && before.expiresAtMs <= nowMs;
}

/** The logical database of a row. */
function logicalOf(view: View, row: Row): number {
  const physical = databaseOfHead(row.head);
  if (view.physicalDatabase(view.database) === physical) return view.database;
  return view.keyspace.logicalDatabase(physical);
}
