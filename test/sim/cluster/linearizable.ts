/**
 * Whether the operations on one row could have happened one at a time, each between its call and its return (Wing and
 * Gong 1993, with Lowe's memory of configurations already tried, as in Porcupine). An operation whose outcome is
 * unknown has no return: it may have taken effect at any time after its call, or never.
 */

import { Prng } from '../prng.ts';

/** One operation as its client saw it. */
export interface Observed<Op> {
  readonly op: Op;
  readonly callMs: number;
  /** Infinity: unknown. */
  readonly returnMs: number;
}

interface Node {
  readonly index: number;
  readonly isCall: boolean;
  previous: Node;
  next: Node | undefined;
  /** Of a call: its return. */
  match: Node | undefined;
}

export type Verdict = 'yes' | 'no' | 'undecided';

/** Configurations tried before the search gives up. */
const MAX_STEPS = 1_000_000;

/**
 * `step` gives the state after an operation, or undefined when the operation cannot have had its outcome in this state.
 * States must be primitive. `undecided` when the search was too long.
 *
 * `nameOf` gives operations that do the same the same name. Of those with an unknown outcome an earlier call may take
 * effect whenever a later one may, so they are only tried in the order of their calls.
 */
export function linearizable<Op, State extends number | string>(
  operations: readonly Observed<Op>[],
  initial: State,
  step: (state: State, observed: Observed<Op>) => State | undefined,
  nameOf: (op: Op) => string,
): Verdict {
  const search = new Search(operations, (index) => nameOf((operations[index] as Observed<Op>).op));
  let state = initial;
  let node = search.head.next;
  const trail: { node: Node; state: State }[] = [];
  for (let steps = 0; steps < MAX_STEPS; steps++) {
    if (search.open === 0) return 'yes';
    if (node?.isCall === true) {
      const next = search.isTurnOf(node.index) ? step(state, operations[node.index] as Observed<Op>) : undefined;
      if (next !== undefined && search.enter(node.index, next)) {
        trail.push({ node, state });
        state = next;
        search.lift(node);
        node = search.head.next;
      } else node = node.next;
      continue;
    }
    const last = trail.pop();
    if (last === undefined) return 'no';
    state = last.state;
    search.unlift(last.node);
    node = last.node.next;
  }
  return 'undecided';
}

/** The calls and returns in order of time as a list from which operations are lifted once they have been placed. */
class Search {
  readonly head: Node;
  /** Operations with a return that are not placed yet. */
  open: number;
  private readonly placed: Uint32Array;
  private readonly known: readonly boolean[];
  /** Configurations that were tried, by state: the placed operations as a sum of their words in both halves. */
  private readonly seen = new Map<number | string, Set<number>>();
  private readonly words: Uint32Array;
  private high = 0;
  private low = 0;
  /** Of an operation with an unknown outcome: the one before it that does the same; -1 when there is none. */
  private readonly twin: Int32Array;

  constructor(operations: readonly Observed<unknown>[], nameOf: (index: number) => string) {
    const events = operations.flatMap((observed, index) => [
      { atMs: observed.callMs, isCall: true, index },
      { atMs: observed.returnMs, isCall: false, index },
    ]);
    // A call before a return at the same moment: they may overlap.
    events.sort((a, b) => a.atMs - b.atMs || Number(b.isCall) - Number(a.isCall));
    const head = { index: -1, isCall: false, next: undefined, match: undefined } as unknown as Node;
    head.previous = head;
    const calls = new Map<number, Node>();
    let previous = head;
    for (const event of events) {
      const node: Node = { index: event.index, isCall: event.isCall, previous, next: undefined, match: undefined };
      previous.next = node;
      previous = node;
      if (event.isCall) calls.set(event.index, node);
      else (calls.get(event.index) as Node).match = node;
    }
    this.head = head;
    this.known = operations.map((observed) => observed.returnMs !== Number.POSITIVE_INFINITY);
    this.open = this.known.filter(Boolean).length;
    this.placed = new Uint32Array(Math.ceil(operations.length / 32));
    this.words = new Uint32Array(2 * operations.length);
    const random = new Prng(operations.length);
    for (let i = 0; i < this.words.length; i++) this.words[i] = random.word();
    this.twin = new Int32Array(operations.length).fill(-1);
    const last = new Map<string, number>();
    for (const { isCall, index } of events) {
      if (!isCall || this.known[index] === true) continue;
      this.twin[index] = last.get(nameOf(index)) ?? -1;
      last.set(nameOf(index), index);
    }
  }

  /** False when another operation that does the same must be placed before. */
  isTurnOf(index: number): boolean {
    const twin = this.twin[index] as number;
    return twin < 0 || ((this.placed[twin >> 5] as number) & (1 << (twin & 31))) !== 0;
  }

  /**
   * Places an operation; false when this configuration has been tried. Configurations are told apart by 53 bits drawn for
   * each operation (Zobrist 1970): two of them that collide would cut a branch of the search once in 10^10 searches.
   */
  enter(index: number, state: number | string): boolean {
    this.toggle(index);
    let configurations = this.seen.get(state);
    if (configurations === undefined) {
      configurations = new Set();
      this.seen.set(state, configurations);
    }
    const name = this.high * 0x20_0000 + (this.low >>> 11);
    if (!configurations.has(name)) {
      configurations.add(name);
      return true;
    }
    this.toggle(index);
    return false;
  }

  private toggle(index: number): void {
    const word = index >> 5;
    this.placed[word] = (this.placed[word] as number) ^ (1 << (index & 31));
    this.high = (this.high ^ (this.words[2 * index] as number)) >>> 0;
    this.low ^= this.words[2 * index + 1] as number;
  }

  lift(call: Node): void {
    unlink(call);
    unlink(call.match as Node);
    if (this.known[call.index] === true) this.open--;
  }

  unlift(call: Node): void {
    link(call.match as Node);
    link(call);
    this.toggle(call.index);
    if (this.known[call.index] === true) this.open++;
  }
}

function unlink(node: Node): void {
  node.previous.next = node.next;
  if (node.next !== undefined) node.next.previous = node.previous;
}

function link(node: Node): void {
  node.previous.next = node;
  if (node.next !== undefined) node.next.previous = node;
}
