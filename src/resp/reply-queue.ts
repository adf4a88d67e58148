/**
 * Replies of one connection that are under way, in the order of their requests: a pipeline's commands on different
 * rows run side by side in a cluster, and are answered in order.
 *
 * Invariant: bounded by `MAX_PENDING_REPLIES`; the session starts no command beyond it.
 */

import { PendingReply } from '../commands/pending-reply.ts';
import { ownBytes, type Reply } from '../commands/reply.ts';

/** Commands of one connection under way at a time: what fills the round trip, and bounds the copies kept for it. */
export const MAX_PENDING_REPLIES = 256;

export class ReplyQueue {
  /** Replies with what must be durable before each may leave. */
  private readonly entries: { readonly pending: PendingReply; readonly sequence: number }[] = [];
  private first = 0;

  get length(): number {
    return this.entries.length - this.first;
  }

  get isFull(): boolean {
    return this.length >= MAX_PENDING_REPLIES;
  }

  add(pending: PendingReply): void {
    this.entries.push({ pending, sequence: 0 });
  }

  /** A reply that is there, behind those that are not. */
  addReady(reply: Reply, sequence: number): void {
    const pending = new PendingReply();
    pending.reply = ownBytes(reply);
    this.entries.push({ pending, sequence });
  }

  /** Hands over, in order, the replies that may be sent. */
  sendReady(send: (reply: Reply, sequence: number) => void): void {
    const { entries } = this;
    for (; this.first < entries.length; this.first++) {
      const { pending, sequence } = entries[this.first] as (typeof entries)[number];
      if (pending.reply === undefined) break;
      send(pending.reply, sequence);
    }
    if (this.first < entries.length && this.first < MAX_PENDING_REPLIES) return;
    entries.splice(0, this.first);
    this.first = 0;
  }
}
