/**
 * Rows of our own that every node of a cluster goes by: the libraries of functions and the users of the ACL.
 *
 * ```
 * changed by a client of this node ─▶ read again here, and by every node in reach ─▶ the client is answered
 * a node that was out of reach     ─▶ users: reads them every second; functions: when one is called
 * ```
 *
 * So what a client was told holds at every node that could be asked, and at the others a second after they are in reach.
 *
 * Invariant: of two reads of a row what the one brings that was begun first is dropped when the other was begun before it
 * ended.
 */

import type { Coordinator } from '../repl/coordinator.ts';
import { SYSTEM_DATABASE } from '../repl/row-key.ts';
import { rowNameOf } from '../repl/row-namer.ts';
import { decodeRowState } from '../repl/row-state.ts';
import { USERS_KEY } from './acl-users.ts';
import type { ClusterTransactions } from './cluster-transactions.ts';
import { decodeCodes, FUNCTIONS_KEY } from './function-libraries.ts';
import type { Server } from './server-state.ts';

/** For so long, in ms, a node goes by functions and users as it knows them. */
const FOLLOW_MS = 1_000;

export class SystemRows {
  /** Lets the other nodes in reach read the rows again, and waits for them, but not for long. */
  rereadElsewhere: (() => Promise<unknown>) | undefined = undefined;
  private readonly server: Server;
  private readonly coordinator: Coordinator;
  private readonly transactions: ClusterTransactions;
  private readonly deadlineMs: () => number;

  constructor(options: {
    server: Server;
    coordinator: Coordinator;
    transactions: ClusterTransactions;
    /** When a read begun now is given up. */
    deadlineMs(): number;
  }) {
    this.server = options.server;
    this.coordinator = options.coordinator;
    this.transactions = options.transactions;
    this.deadlineMs = () => options.deadlineMs();
  }

  /** A client of this node has changed one of them: when it is settled, the nodes in reach go by it. */
  async changed(): Promise<void> {
    await Promise.all([this.reread(), this.rereadElsewhere?.()]);
  }

  /** Reads them again at once. */
  async reread(): Promise<void> {
    const { functions, users } = this.server;
    functions.readAtMs = Number.NEGATIVE_INFINITY;
    users.readAtMs = Number.NEGATIVE_INFINITY;
    await Promise.all([this.followFunctions(), this.followUsers()]);
  }

  /** The libraries as they were a second ago at most; what they were, where they cannot be read. */
  followFunctions(): Promise<void> {
    const { functions } = this.server;
    return this.follow(FUNCTIONS_KEY, functions, (value, stamp) => functions.follow(decodeCodes(value), stamp));
  }

  /** The same of users; to be called by the clock too, since rights may be taken away. */
  followUsers(): Promise<void> {
    const { users } = this.server;
    return this.follow(USERS_KEY, users, (value, stamp) => users.follow(value, stamp));
  }

  private async follow(
    key: Uint8Array,
    follower: { readAtMs: number },
    follow: (value: Uint8Array, stamp: number) => void,
  ): Promise<void> {
    const nowMs = this.coordinator.nowMs();
    if (nowMs - follower.readAtMs < FOLLOW_MS) return;
    follower.readAtMs = nowMs;
    const row = rowNameOf(SYSTEM_DATABASE, key, 0, key.length);
    const outcome = await this.transactions.readThrough(row, this.deadlineMs());
    if (outcome.kind !== 'done' || follower.readAtMs > nowMs) return;
    const state = outcome.state === undefined ? undefined : decodeRowState(outcome.state);
    follow(state === undefined ? new Uint8Array(0) : state.value, state?.modified.stamp ?? 0);
  }
}
