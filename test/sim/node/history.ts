/** What the clients of one run saw, key by key, and what must be true of it. Knows nothing of the product. */

import { linearizable, type Observed, type Verdict } from '../cluster/linearizable.ts';
import { stepOf, type Operation, type ReplyText, type Seen } from './operation.ts';

export type Outcome = 'done' | 'unknown' | 'certainly not';

interface Entry {
  readonly key: string;
  readonly client: string;
  readonly operation: Operation;
  readonly callUs: number;
  outcome: Outcome | undefined;
  reply: ReplyText | undefined;
  watched: ReplyText | undefined;
  returnUs: number;
}

/** Lines of a key's history that a failure shows. */
const SHOWN_LINES = 80;

/** An operation that a client has begun; `end` is called at most once. */
export interface Begun {
  end(outcome: Outcome, atUs: number, reply?: ReplyText): void;
  watched(reply: ReplyText): void;
}

export class History {
  private readonly entries: Entry[] = [];

  get size(): number {
    return this.entries.length;
  }

  count(outcome: Outcome): number {
    return this.entries.filter((entry) => (entry.outcome ?? 'unknown') === outcome).length;
  }

  begin(parts: { key: string; client: string; operation: Operation; callUs: number }): Begun {
    const entry: Entry = {
      ...parts,
      outcome: undefined,
      reply: undefined,
      watched: undefined,
      returnUs: Number.POSITIVE_INFINITY,
    };
    this.entries.push(entry);
    return {
      watched: (reply) => {
        entry.watched = reply;
      },
      end: (outcome, atUs, reply) => {
        entry.outcome = outcome;
        if (outcome !== 'done') return;
        entry.reply = reply;
        entry.returnUs = atUs;
      },
    };
  }

  /**
   * What is wrong with the history of `key`. `skewMs`: by how much any clock of a node may have been wrong, for values
   * with a time to live.
   */
  judge(key: string, skewMs: number): { violation: string | undefined; undecided: boolean } {
    const entries = this.entries.filter((entry) => entry.key === key && entry.outcome !== 'certainly not');
    const late = this.readAfterItsTime(entries, skewMs);
    if (late !== undefined) return { violation: late, undecided: false };
    // A write of unknown outcome that nobody has seen most likely did not happen: the search is short without them.
    const seen = entries.map(({ reply }) => reply ?? '').join('\n');
    const isSeen = ({ operation, outcome }: Entry): boolean =>
      outcome === 'done' || !('value' in operation) || !isOnce(operation) || seen.includes(operation.value ?? '');
    let verdict = verdictOf(entries.filter(isSeen), skewMs);
    if (verdict !== 'yes') verdict = verdictOf(entries, skewMs);
    if (verdict !== 'no') return { violation: undefined, undecided: verdict === 'undecided' };
    return { violation: `${key} is not linearizable:\n${this.linesOf(entries)}`, undecided: false };
  }

  /** A value must not be seen once its time is over on every clock. */
  private readAfterItsTime(entries: readonly Entry[], skewMs: number): string | undefined {
    for (const set of entries) {
      if (set.operation.kind !== 'setpx' && set.operation.kind !== 'setnxpx') continue;
      if (set.outcome !== 'done') continue;
      const overUs = set.returnUs + (set.operation.px + skewMs) * 1000;
      const { value } = set.operation;
      const late = entries.find(
        (entry) => entry.operation.kind === 'get' && entry.callUs > overUs && entry.reply === `$${value}`,
      );
      if (late !== undefined) return `${set.key}: ${value} is seen after its time:\n${this.linesOf(entries)}`;
    }
    return undefined;
  }

  private linesOf(entries: readonly Entry[]): string {
    return entries
      .slice(-SHOWN_LINES)
      .map(({ client, operation, callUs, returnUs, reply, watched, outcome }) => {
        const until = Number.isFinite(returnUs) ? String(returnUs) : '?';
        const { kind, ...rest } = operation;
        const what = `${kind} ${JSON.stringify(rest)}${watched === undefined ? '' : ` watched ${watched}`}`;
        return `  ${callUs}..${until} ${client} ${what} → ${reply ?? outcome ?? 'no answer'}`;
      })
      .join('\n');
  }
}

/** Whether its value is written by nobody else. */
function isOnce(operation: Operation): boolean {
  return operation.kind !== 'cell' || operation.value?.startsWith('c') === true;
}

function verdictOf(entries: readonly Entry[], skewMs: number): Verdict {
  return linearizable<Seen, string>(
    entries.flatMap((entry) => observedOf(entry, skewMs)),
    '',
    (state, { op }) => stepOf(state, op),
    ({ operation, watched }) => JSON.stringify([operation, watched]),
  );
}

function isRead(operation: Operation): boolean {
  return operation.kind === 'get' || (operation.kind === 'cell' && READS.has(operation.command));
}

const READS: ReadonlySet<string> = new Set(
  'HGET HLEN HGETALL LLEN LRANGE SISMEMBER SCARD SMEMBERS ZSCORE ZRANGE'.split(' '),
);

/** An operation, and with a time to live the end of its value; nothing for what tells nothing. */
function observedOf(entry: Entry, skewMs: number): Observed<Seen>[] {
  const { operation, reply, watched, callUs, returnUs } = entry;
  if (isRead(operation) && entry.outcome !== 'done') return [];
  // A swap whose GET was never answered has not come to its EXEC.
  if (operation.kind === 'swap' && watched === undefined) return [];
  const own = { op: { operation, reply, watched }, callMs: callUs, returnMs: returnUs };
  if (operation.kind !== 'setpx' && operation.kind !== 'setnxpx') return [own];
  const expiry: Operation = { kind: 'expiry', value: operation.value };
  const overUs = Math.max(callUs, callUs + (operation.px - skewMs) * 1000);
  return [own, { op: { operation: expiry, reply: undefined }, callMs: overUs, returnMs: Number.POSITIVE_INFINITY }];
}
