/**
 * The fields of a hash as commands see them: those past their deadlines (repl/field-deadlines.ts) are not there. While
 * no deadline has passed that costs one comparison a command.
 */

import { EMPTY } from '../bytes.ts';
import {
  DEADLINE,
  earliestDeadline,
  fieldDeadline,
  removeDueFields,
  setFieldDeadline,
} from '../repl/field-deadlines.ts';
import { type Elements, type ElementSteps, ELEMENT, type TagRange } from '../repl/elements.ts';
import { rowType } from '../repl/head.ts';
import { readStamp } from '../repl/row-key.ts';
import type { Row, View } from '../repl/view.ts';
import type { Args } from './args.ts';
import { typedRowAt } from './collection-row.ts';
import type { Walkable } from './collection-steps.ts';
import { memberKey } from './member-key.ts';

/** Fields past their deadlines that a command which changes the hash removes first; the rest is the sweeper's. */
const REMOVED_FIRST = 100;

export class HashFields implements Walkable {
  readonly elements: Elements;
  private readonly nowMs: number;
  /** A field may be past its deadline. */
  private someDue: boolean;

  constructor(elements: Elements, nowMs: number) {
    this.elements = elements;
    this.nowMs = nowMs;
    this.someDue = isPast(earliestDeadline(elements.meta), nowMs);
  }

  /** Fields, those past their deadlines that are not removed yet included: what HLEN answers, as in Redis. */
  get count(): number {
    return this.elements.count;
  }

  /** Removes fields past their deadlines. Throws `Miss`. */
  sweep(): void {
    if (!this.someDue) return;
    removeDueFields(this.elements, this.nowMs, REMOVED_FIRST);
    this.someDue = isPast(earliestDeadline(this.elements.meta), this.nowMs);
  }

  /** The value; valid until the turn ends. Throws `Miss`. */
  get(key: Uint8Array): Uint8Array | undefined {
    const value = this.elements.get(ELEMENT, key);
    return value !== undefined && this.someDue && this.isDue(key) ? undefined : value;
  }

  /** Sets a field, whose deadline ends; true when there was none. Throws `Miss`. */
  set(key: Uint8Array, value: Uint8Array): boolean {
    const { elements } = this;
    if (elements.meta.length === 0) return elements.set(ELEMENT, key, value);
    const wasDue = this.someDue && this.isDue(key);
    setFieldDeadline(elements, key, 0);
    return elements.set(ELEMENT, key, value) || wasDue;
  }

  /** As `set`; a field that is there keeps its deadline. */
  change(key: Uint8Array, value: Uint8Array): void {
    if (this.someDue && this.isDue(key)) this.set(key, value);
    else this.elements.set(ELEMENT, key, value);
  }

  /** Deletes a field; true when it was there. Throws `Miss`. */
  delete(key: Uint8Array): boolean {
    const { elements } = this;
    if (elements.meta.length === 0) return elements.delete(ELEMENT, key);
    const wasDue = this.someDue && this.isDue(key);
    setFieldDeadline(elements, key, 0);
    return elements.delete(ELEMENT, key) && !wasDue;
  }

  /** Deadline of a field that is there, in ms since 1970; 0: it has none. Throws `Miss`. */
  deadline(key: Uint8Array): number {
    return this.elements.meta.length === 0 ? 0 : fieldDeadline(this.elements, key);
  }

  /** Gives a field that is there another deadline; 0: none. Throws `Miss`. */
  setDeadline(key: Uint8Array, deadlineMs: number): void {
    setFieldDeadline(this.elements, key, deadlineMs);
  }

  /** A walk over the fields by their keys (member-key.ts). Must be closed. */
  walk(range: TagRange): ElementSteps {
    const fields = this.elements.walk(ELEMENT, range);
    return this.someDue ? new LiveSteps(fields, this.elements.walk(DEADLINE, range), this.nowMs) : fields;
  }

  private isDue(key: Uint8Array): boolean {
    return isPast(fieldDeadline(this.elements, key), this.nowMs);
  }
}

function isPast(deadlineMs: number, nowMs: number): boolean {
  return deadlineMs !== 0 && deadlineMs <= nowMs;
}

/** Fields without those past their deadlines: two walks side by side, forwards. */
class LiveSteps implements ElementSteps {
  private readonly fields: ElementSteps;
  private readonly deadlines: ElementSteps;
  private readonly nowMs: number;
  /** The field has been stepped to and not judged. */
  private ahead = false;
  /** The deadlines stand on one whose field has not come yet. */
  private held = false;
  private ended = false;
  key: Uint8Array = EMPTY;
  value: Uint8Array = EMPTY;

  constructor(fields: ElementSteps, deadlines: ElementSteps, nowMs: number) {
    this.fields = fields;
    this.deadlines = deadlines;
    this.nowMs = nowMs;
  }

  next(): boolean {
    const { fields } = this;
    for (;;) {
      if (!this.ahead) {
        if (!fields.next()) return false;
        this.ahead = true;
      }
      const deadline = this.deadlineOf(fields.key);
      this.ahead = false;
      if (isPast(deadline, this.nowMs)) continue;
      this.key = fields.key;
      this.value = fields.value;
      return true;
    }
  }

  close(): void {
    this.fields.close();
    this.deadlines.close();
  }

  /** Throws `Miss`; then it is asked again. */
  private deadlineOf(field: Uint8Array): number {
    const { deadlines } = this;
    if (!this.held && !this.ended) {
      this.held = deadlines.next();
      this.ended = !this.held;
    }
    // Each deadline is of a field that is there, so the walk over the fields comes by.
    if (!this.held || Buffer.compare(deadlines.key, field) !== 0) return 0;
    this.held = false;
    return readStamp(deadlines.value, 0);
  }
}

/** The key of the field that word i names, in memory of its own. */
export function fieldKeyAt(args: Args, i: number): Uint8Array {
  return memberKey(args.bytes, args.starts[i], args.ends[i]);
}

/** The fields of the hash that word 1 names, for a reader; undefined: there is no such key. Throws `Miss`, `CommandError`. */
export function fieldsAt(view: View, args: Args): HashFields | undefined {
  const row = typedRowAt(view, args, 1, rowType.HASH);
  return row.live ? new HashFields(view.elements(row), view.nowMs) : undefined;
}

/** As `fieldsAt`, for a reader that takes more than a turn. */
export function lastingFieldsAt(view: View, args: Args): HashFields | undefined {
  const row = typedRowAt(view, args, 1, rowType.HASH);
  return row.live ? new HashFields(view.lastingElements(row), view.nowMs) : undefined;
}

/** The fields of a hash that is there, to be changed. Throws `Miss`. */
export function fieldsOf(view: View, row: Row): HashFields {
  const fields = new HashFields(view.elements(row), view.nowMs);
  fields.sweep();
  return fields;
}

/** The fields of the hash that word 1 names, to be changed; a missing key becomes an empty hash, which the caller must fill. */
export function fieldsToFill(view: View, args: Args): HashFields {
  const row = typedRowAt(view, args, 1, rowType.HASH);
  return row.live ? fieldsOf(view, row) : new HashFields(view.create(row, rowType.HASH), view.nowMs);
}
