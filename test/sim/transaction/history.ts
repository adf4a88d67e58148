/**
 * What clients saw, and whether it can be: every key is a list of marks, each appended by one operation, so the last state
 * of a key tells the order of all that changed it. Knows nothing of the protocol.
 *
 * Strict serializability is that one order of all operations explains what each saw, and that an operation which had
 * ended before another began comes first (list-append: Kingsbury and Alvaro, "Elle", VLDB 2020).
 */

export interface Operation {
  readonly id: number;
  readonly startMs: number;
  /** Infinity: its client never heard. */
  endMs: number;
  readonly keys: readonly string[];
  /** It appends its id to each of its keys; else it only looks. */
  readonly writes: boolean;
  outcome: 'done' | 'nothing' | 'unknown';
  /** By key the marks that it saw before its own; undefined: it did not look. */
  seen?: ReadonlyMap<string, readonly number[]>;
}

/** What is wrong; empty: nothing. `last`: by key the marks at the end. */
export function violations(operations: readonly Operation[], last: ReadonlyMap<string, readonly number[]>): string[] {
  const errors: string[] = [];
  const places = new Map<string, Map<number, number>>();
  for (const [key, marks] of last) {
    const at = new Map(marks.map((mark, i) => [mark, i]));
    if (at.size !== marks.length) errors.push(`${key}: a mark stands twice`);
    places.set(key, at);
  }
  const known = new Set(operations.filter((each) => each.writes).map((each) => each.id));
  for (const [key, marks] of last)
    for (const mark of marks) if (!known.has(mark)) errors.push(`${key}: ${mark} was never written`);
  for (const { id, keys, writes, outcome } of operations) {
    if (!writes) continue;
    const there = keys.filter((key) => places.get(key)?.has(id) === true).length;
    if (there !== 0 && there !== keys.length) errors.push(`${id} stands at ${there} of its ${keys.length} keys`);
    if (outcome === 'done' && there === 0) errors.push(`${id} was acknowledged and is lost`);
    if (outcome === 'nothing' && there !== 0) errors.push(`${id} was refused and stands`);
  }
  const happened = operations.filter((each) => (each.writes ? isThere(each, places) : each.outcome === 'done'));
  errors.push(...wrongReads(happened, last));
  if (errors.length > 0) return errors;
  return hasCycle(happened, last) ? ['no order of all operations explains what was seen'] : [];
}

function isThere({ id, keys }: Operation, places: ReadonlyMap<string, ReadonlyMap<number, number>>): boolean {
  return keys.some((key) => places.get(key)?.has(id) === true);
}

/** Whatever is seen of a key is how it began. */
function wrongReads(operations: readonly Operation[], last: ReadonlyMap<string, readonly number[]>): string[] {
  const errors: string[] = [];
  for (const { id, seen } of operations) {
    for (const [key, marks] of seen ?? []) {
      const whole = last.get(key) ?? [];
      if (marks.some((mark, i) => whole[i] !== mark)) errors.push(`${id} saw of ${key} what it never was`);
    }
  }
  return errors;
}

function hasCycle(operations: readonly Operation[], last: ReadonlyMap<string, readonly number[]>): boolean {
  const byId = new Map(operations.map((each, i) => [each.id, i]));
  const after: number[][] = operations.map(() => []);
  const before = (a: number | undefined, b: number | undefined): void => {
    if (a !== undefined && b !== undefined && a !== b) (after[a] as number[]).push(b);
  };
  for (const [, marks] of last) {
    for (let i = 1; i < marks.length; i++) before(byId.get(marks[i - 1] as number), byId.get(marks[i] as number));
  }
  for (const [i, { seen, id, writes }] of operations.entries()) {
    for (const [key, marks] of seen ?? []) {
      const whole = last.get(key) ?? [];
      before(byId.get(marks.at(-1) ?? -1), i);
      const next = whole[marks.length];
      // What it wrote itself comes right after what it saw.
      if (next !== id) before(i, byId.get(next ?? -1));
      else if (!writes) before(i, byId.get(whole[marks.length + 1] ?? -1));
      if (writes && next !== id && whole.includes(id)) return true;
    }
  }
  for (const [a, first] of operations.entries()) {
    for (const [b, second] of operations.entries()) if (first.endMs < second.startMs) before(a, b);
  }
  return isCyclic(after);
}

function isCyclic(after: readonly (readonly number[])[]): boolean {
  const left = after.map(() => 0);
  for (const each of after) for (const to of each) left[to] = (left[to] as number) + 1;
  const ready = left.flatMap((count, i) => (count === 0 ? [i] : []));
  let done = 0;
  for (let at = ready.pop(); at !== undefined; at = ready.pop()) {
    done++;
    for (const to of after[at] as readonly number[]) {
      left[to] = (left[to] as number) - 1;
      if (left[to] === 0) ready.push(to);
    }
  }
  return done < after.length;
}
