/**
 * Which level of consistency a command runs at, and what the policies of key prefixes say (design, section 8).
 *
 * The level comes from KV.WITH, else KV.LEVEL, else READONLY (reads), else the policy of the key's longest prefix, else
 * `default-level`.
 */

import { latin1 } from '../bytes.ts';
import type { ClusterView } from '../cluster/cluster-view.ts';
import { type Policy, policyOf } from '../cluster/policy.ts';
import type { Config } from '../config.ts';
import { isAboveQuorum, isBelowQuorum, type Level, levelNamed, levelOfPolicy, ONE, QUORUM } from '../repl/level.ts';
import type { LevelRun } from '../repl/level-run.ts';
import { type RowName, slotOfRow } from '../repl/owner-message.ts';
import { bitCount, tallyOf } from '../repl/quorum.ts';
import { keyOfHead } from '../repl/row-key.ts';
import type { Args } from './args.ts';
import type { Client } from './client.ts';
import type { Command } from './command.ts';
import { CommandError } from './errors.ts';
import { NOT_JOINED } from './errors-cluster.ts';
import { ErrorReply, OK, type Reply } from './reply.ts';
import type { RowHandler } from './row-handler.ts';
import { stringOptions } from './string-options.ts';

/** WAIT without a timeout waits so long. */
const MAX_WAIT_MS = 24 * 3_600_000;

const NO_POLICIES: readonly Policy[] = [];

/** Changes the policies in the topology document. Rejects with an error fit for an operator. */
export type ChangePolicies = (
  change: (before: readonly Policy[]) => readonly Policy[],
  deadlineMs: number,
) => Promise<unknown>;

export class ClusterLevels {
  /** Of commands that name no level. */
  defaultLevel: Level = QUORUM;
  readonly runs: LevelRun;
  private readonly view: ClusterView;
  private readonly putPolicies: ChangePolicies;
  /** The policies that the handler knows. */
  private followed: readonly Policy[] = NO_POLICIES;

  constructor(options: { view: ClusterView; runs: LevelRun; config: Config; changePolicies: ChangePolicies }) {
    this.view = options.view;
    this.runs = options.runs;
    this.putPolicies = options.changePolicies;
    options.config.follow('default-level', (name) => {
      this.defaultLevel = levelNamed(name) ?? QUORUM;
    });
  }

  get policies(): readonly Policy[] {
    return this.view.topology?.policies ?? NO_POLICIES;
  }

  levelOf(client: Client, row: RowName, isRead: boolean): Level {
    const { cluster } = client;
    const named = cluster.once ?? cluster.level;
    if (named !== undefined) return named;
    if (isRead && client.readonly) return ONE;
    const { policies } = this;
    if (policies.length === 0) return this.defaultLevel;
    return levelOfPolicy(policyOf(policies, keyTextOf(row))) ?? this.defaultLevel;
  }

  /** Whether a command may be put to the owners without a look at the old value. */
  mayOverwrite(level: Level, row: RowName, command: Command, args: Args): boolean {
    // What is written without a look would take siblings away unseen.
    return this.isBelow(level, row) && isBlind(command, args) && !this.keepsSiblings(row);
  }

  /** Whether fewer owners than a majority are enough for a write at this level. */
  isBelow(level: Level, row: RowName): boolean {
    return isBelowQuorum(level, this.ownersOf(row));
  }

  /** Whether more owners than a majority must have a write at this level. */
  isAbove(level: Level, row: RowName): boolean {
    return isAboveQuorum(level, this.ownersOf(row));
  }

  /** Whether the row's policy keeps siblings. */
  keepsSiblings(row: RowName): boolean {
    const { policies } = this;
    return policies.length > 0 && policyOf(policies, keyTextOf(row))?.conflict === 'siblings';
  }

  /** Makes the handler obey the policies of this moment: deadlines of rows, siblings. */
  follow(handler: RowHandler): void {
    const { policies } = this;
    if (policies === this.followed) return;
    this.followed = policies;
    const hasTtl = policies.some((policy) => policy.ttlMs !== undefined);
    const hasSiblings = policies.some((policy) => policy.conflict === 'siblings');
    handler.dotOf = hasSiblings ? (row) => (this.keepsSiblings(row) ? this.runs.newVersion() : undefined) : undefined;
    handler.ttlMsOf = hasTtl ? (row) => policyOf(policies, keyTextOf(row))?.ttlMs ?? 0 : undefined;
  }

  /** KV.POLICY; the reply. */
  async changePolicies(change: (before: readonly Policy[]) => readonly Policy[], deadlineMs: number): Promise<Reply> {
    if (this.view.topology === undefined) return new ErrorReply(NOT_JOINED);
    try {
      await this.putPolicies(change, deadlineMs);
      return OK;
    } catch (thrown) {
      const reason = thrown instanceof Error ? thrown.message : 'unknown';
      return new ErrorReply(`ERR the policies were not changed: ${reason}`);
    }
  }

  /** WAIT: on how many owners besides one the last writes of the client are, once that is `wanted` or the time is over. */
  async wait(client: Client, wanted: number, timeoutMs: number): Promise<number> {
    const limitMs = timeoutMs === 0 ? MAX_WAIT_MS : Math.min(timeoutMs, MAX_WAIT_MS);
    const deadlineMs = this.runs.nowMs() + limitMs;
    const counts = await Promise.all(
      [...client.cluster.lastWrites()].map(
        ([row, version]) =>
          new Promise<number>((resolve) => {
            this.runs.holders(row, version, deadlineMs, (mask, isLast) => {
              const count = Math.max(0, bitCount(mask) - 1);
              const isOver = count >= wanted || isLast || tallyOf(this.view.owners(slotOfRow(row))).isAll(mask);
              if (isOver) resolve(count);
              return isOver;
            });
          }),
      ),
    );
    if (counts.length > 0) return Math.min(...counts);
    // Nothing was written: what there is to acknowledge, all owners have.
    return this.view.topology === undefined ? 0 : this.view.owners(0).current.length - 1;
  }

  private ownersOf(row: RowName): number {
    return this.view.owners(slotOfRow(row)).current.length;
  }
}

/** Whether a command ignores the old value. */
function isBlind(command: Command, args: Args): boolean {
  if (command.access !== 'overwrite') return false;
  if (command.name !== 'set' || args.count === 3) return true;
  try {
    const options = stringOptions(args, 3, 'set');
    const looks = options.get || options.existence !== 'any' || options.comparison !== undefined;
    return !looks && options.expiry !== 'keep';
  } catch (thrown) {
    // The words are wrong: the handler says so.
    if (thrown instanceof CommandError) return true;
    throw thrown;
  }
}

function keyTextOf(row: RowName): string {
  return latin1(keyOfHead(Buffer.from(row, 'latin1')));
}
