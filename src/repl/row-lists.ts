/**
 * Rows of the whole cluster: what the owners of slots list and count, merged.
 *
 * ```
 * list    a quorum of the owners of each slot lists its rows, deleted ones too; of two copies of a row the higher version
 *         counts; known are the rows up to where the list of every owner that has more of them ends
 * count   a quorum of the owners of each slot counts its live rows; the highest number counts
 * ```
 *
 * Every row that was acknowledged at a quorum before the call, and still is there, is listed. Lists and counts are of a
 * moment for each slot and owner, not one moment for all, as SCAN and DBSIZE of a store that goes on changing.
 *
 * Invariants: one call asks each member at most once a round; rounds, rows and slots of one call are bounded.
 */

import { busMethod } from '../cluster/bus-method.ts';
import type { MemberId } from '../cluster/member.ts';
import type { Timers } from '../env.ts';
import { distinctOwners, type Owners } from '../cluster/owners.ts';
import type { ClusterView } from '../cluster/cluster-view.ts';
import type { RowName } from './owner-message.ts';
import { tallyOf } from './quorum.ts';
import {
  decodeCounts,
  decodeList,
  encodeCountRequest,
  encodeListRequest,
  type ListedRow,
  type RowList,
  slotRanges,
  type SlotRange,
} from './slot-list.ts';
import { compareVersions } from './version.ts';

/**
 * How often members are asked before the call fails. Those that do not answer are replaced by others, and asked again
 * where there are no others: while slots move, an owner may not know the epoch of the request yet.
 */
const MAX_ROUNDS = 8;

/** Wait before the second round; it doubles. */
const RETRY_MS = 20;

/** How long one member may take: it may read from disk. */
const ROUND_TIMEOUT_MS = 5_000;

export interface AskRequest {
  readonly method: number;
  readonly payload: Uint8Array;
  readonly epoch: number;
  readonly timeoutMs: number;
}

/** Asks a member, this node included; `answered` is called once, with nothing when there was no answer. */
export type AskMember = (
  to: MemberId,
  request: AskRequest,
  answered: (payload: Uint8Array | undefined) => void,
) => void;

export interface ListOptions {
  /** Slots [from, end). */
  readonly slots: SlotRange;
  /** Physical. */
  readonly database: number;
  readonly limit: number;
  readonly after: RowName | undefined;
}

export interface MergedRows {
  /** In the order of their names, deleted ones left out. */
  readonly rows: readonly ListedRow[];
  /** Where the next call goes on; undefined: nothing comes after these. */
  readonly after: RowName | undefined;
}

export class RowLists {
  private readonly view: ClusterView;
  private readonly ask: AskMember;
  private readonly timers: Pick<Timers, 'after'>;

  constructor(options: { view: ClusterView; ask: AskMember; timers: Pick<Timers, 'after'> }) {
    this.view = options.view;
    this.timers = options.timers;
    this.ask = options.ask;
  }

  /** undefined: a quorum of some slot does not answer. */
  async list(options: ListOptions): Promise<MergedRows | undefined> {
    const lists = await this.ofQuorums(options.slots, (slots) => {
      const { database, limit, after } = options;
      return { method: busMethod.LIST, payload: encodeListRequest({ slots, database, deleted: true, limit, after }) };
    });
    if (lists === undefined) return undefined;
    return mergeLists(lists.map(({ payload }) => decodeList(payload)));
  }

  /** Live rows of each slot, for slots [from, end). undefined: a quorum of some slot does not answer. */
  async counts(slots: SlotRange, database: number): Promise<Uint32Array | undefined> {
    const answers = await this.ofQuorums(slots, (ranges) => ({
      method: busMethod.COUNT,
      payload: encodeCountRequest({ slots: ranges, database, bySlot: true }),
    }));
    if (answers === undefined) return undefined;
    const highest = new Uint32Array(slots.end - slots.from);
    for (const { ranges, payload } of answers) {
      const counts = decodeCounts(payload, true);
      let at = 0;
      for (const { from, end } of ranges) {
        for (let slot = from; slot < end; slot++) {
          const count = counts[at++] ?? 0;
          if (count > (highest[slot - slots.from] as number)) highest[slot - slots.from] = count;
        }
      }
    }
    return highest;
  }

  /** Asks a quorum of the owners of each slot; members that do not answer are replaced as long as that is possible. */
  private async ofQuorums(
    slots: SlotRange,
    requestOf: (ranges: readonly SlotRange[]) => { readonly method: number; readonly payload: Uint8Array },
  ): Promise<{ readonly ranges: readonly SlotRange[]; readonly payload: Uint8Array }[] | undefined> {
    const failed = new Set<MemberId>();
    for (let round = 0; round < MAX_ROUNDS; round++) {
      if (round > 0) await this.rest(RETRY_MS * 2 ** (round - 1));
      let byMember = this.quorums(slots, failed);
      if (byMember === undefined) {
        failed.clear();
        byMember = this.quorums(slots, failed) as Map<MemberId, number[]>;
      }
      const epoch = this.view.topology?.epoch ?? 0;
      const answers = await Promise.all(
        [...byMember].map(async ([member, of]) => {
          const ranges = slotRanges(of);
          const request = { ...requestOf(ranges), epoch, timeoutMs: ROUND_TIMEOUT_MS };
          const payload = await this.askOne(member, request);
          if (payload === undefined) failed.add(member);
          return { ranges, payload };
        }),
      );
      const given = answers.flatMap(({ ranges, payload }) => (payload === undefined ? [] : [{ ranges, payload }]));
      if (given.length === answers.length) return given;
    }
    return undefined;
  }

  private rest(ms: number): Promise<void> {
    return new Promise((resolve) => this.timers.after(ms, resolve));
  }

  private askOne(to: MemberId, request: AskRequest): Promise<Uint8Array | undefined> {
    // The answer is valid only during the call.
    return new Promise((resolve) => this.ask(to, request, (payload) => resolve(payload && Uint8Array.from(payload))));
  }

  /** Which slots each member is asked for; undefined: too few are left for one of them. */
  private quorums(slots: SlotRange, failed: ReadonlySet<MemberId>): Map<MemberId, number[]> | undefined {
    const chosen = new Map<Owners, readonly MemberId[] | undefined>();
    const byMember = new Map<MemberId, number[]>();
    for (let slot = slots.from; slot < slots.end; slot++) {
      const owners = this.view.owners(slot);
      if (!chosen.has(owners)) chosen.set(owners, this.quorumOf(owners, failed));
      const members = chosen.get(owners);
      if (members === undefined) return undefined;
      for (const member of members) {
        const of = byMember.get(member);
        if (of === undefined) byMember.set(member, [slot]);
        else of.push(slot);
      }
    }
    return byMember;
  }

  private quorumOf(owners: Owners, failed: ReadonlySet<MemberId>): readonly MemberId[] | undefined {
    const tally = tallyOf(owners);
    const cost = (id: MemberId): number => (id === this.view.self ? -1 : Number(!this.view.isHealthy(id)));
    const ranked = distinctOwners(owners)
      .filter((id) => !failed.has(id))
      .sort((a, b) => cost(a) - cost(b));
    let mask = 0;
    for (const [i, id] of ranked.entries()) {
      mask |= tally.bitOf(id);
      if (tally.isQuorum(mask)) return ranked.slice(0, i + 1);
    }
    return undefined;
  }
}

/** Of each row the highest version; only what every list has come to. */
export function mergeLists(lists: readonly RowList[]): MergedRows {
  let frontier: RowName | undefined;
  for (const { rows, complete } of lists) {
    const last = rows.at(-1)?.name;
    if (!complete && last !== undefined && (frontier === undefined || last < frontier)) frontier = last;
  }
  const best = new Map<RowName, ListedRow>();
  for (const { rows } of lists) {
    for (const row of rows) {
      if (frontier !== undefined && row.name > frontier) break;
      const known = best.get(row.name);
      if (known === undefined || compareVersions(row.version, known.version) > 0) best.set(row.name, row);
    }
  }
  const rows = [...best.values()].filter((row) => row.type !== 0);
  rows.sort((a, b) => (a.name < b.name ? -1 : 1));
  return { rows, after: frontier };
}
