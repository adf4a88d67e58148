/**
 * A reply that is under way while later commands of the same connection may already run: what a pipeline of commands
 * on different rows gets, where each has to ask other nodes. Replies are sent in the order of the requests all the same.
 */

import type { Reply } from './reply.ts';

export class PendingReply {
  /** undefined until it is settled. */
  reply: Reply | undefined = undefined;
  /** Called once, when it is settled; set by whoever sends the reply. */
  onSettled: (() => void) | undefined = undefined;

  /** Gives the reply, in memory of its own and with everything that it shows durable. Once. */
  settle(reply: Reply): void {
    this.reply = reply;
    this.onSettled?.();
  }
}

/** Not a reply: the command must wait for the connection's pending replies, and is then to be given again. */
export class AfterPending {
  readonly kind = 'after-pending';
}

export const AFTER_PENDING = new AfterPending();

/** The reply once it is there. */
export function whenSettled(pending: PendingReply): Promise<Reply> {
  if (pending.reply !== undefined) return Promise.resolve(pending.reply);
  return new Promise((resolve) => {
    pending.onSettled = () => resolve(pending.reply as Reply);
  });
}
