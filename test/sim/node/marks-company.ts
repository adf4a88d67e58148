/**
 * Lists to which clients append marks, one list at a time and several in one transaction, with and without WATCH: the
 * lists at the end tell the order of all transactions (transaction/history.ts).
 */

import { type Operation, violations } from '../transaction/history.ts';
import { Company, elementsOf, together } from './company.ts';
import { padded, unpadded } from './operation.ts';
import type { RawReply, Talker, Told } from './talker.ts';

const KEYS = 4;

export class MarksCompany extends Company {
  readonly keys = Array.from({ length: KEYS }, (_, i) => `marks${i}`);
  private readonly operations: Operation[] = [];

  async finish(checker: Talker): Promise<void> {
    // All at once: what is not known to have happened may still happen between two looks.
    const lists = elementsOf(await checker.askSurely(together(...this.keys.map(reading))));
    const last = new Map(this.keys.map((key, i): [string, number[]] => [key, marksOf(lists[i] ?? null)]));
    for (const wrong of violations(this.operations, last)) this.world.violation(`transactions: ${wrong}`);
  }

  protected async turn(talker: Talker): Promise<void> {
    const { random } = this;
    const several = random.shuffle([...this.keys]).slice(0, random.between(2, 3));
    const dice = random.next();
    if (dice < 0.2) await this.appendOne(talker, several.slice(0, 1));
    else if (dice < 0.35) await this.readOne(talker, several.slice(0, 1));
    else if (dice < 0.7) await this.transact(talker, several, { looks: random.chance(0.6), writes: true });
    else if (dice < 0.85) await this.transact(talker, several, { looks: true, writes: false });
    else await this.watchAndAppend(talker, several);
  }

  private async appendOne(talker: Talker, keys: readonly string[]): Promise<void> {
    const operation = this.begin(keys, true);
    this.end(operation, await talker.ask(keys.map((key) => this.appending(key, operation.id))));
  }

  private async readOne(talker: Talker, keys: readonly string[]): Promise<void> {
    const operation = this.begin(keys, false);
    const told = await talker.ask(keys.map(reading));
    if (this.end(operation, told)) operation.seen = new Map(keys.map((key) => [key, marksOf(replyOf(told))]));
  }

  private async transact(
    talker: Talker,
    keys: readonly string[],
    { looks, writes }: { readonly looks: boolean; readonly writes: boolean },
  ): Promise<void> {
    const operation = this.begin(keys, writes);
    const reads = looks ? keys.map(reading) : [];
    const changes = writes ? keys.map((key) => this.appending(key, operation.id)) : [];
    const told = await talker.ask(together(...reads, ...changes));
    if (!this.end(operation, told) || !looks) return;
    const replies = elementsOf(replyOf(told));
    operation.seen = new Map(keys.map((key, i) => [key, marksOf(replies[i] ?? null)]));
  }

  /** Reads, and appends to all if nothing has changed meanwhile. */
  private async watchAndAppend(talker: Talker, keys: readonly string[]): Promise<void> {
    const operation = this.begin(keys, true);
    const first = await talker.askAll([['WATCH', ...keys], ...keys.map(reading)]);
    if (first === undefined) {
      operation.outcome = 'nothing';
      return;
    }
    const seen = new Map(keys.map((key, i) => [key, marksOf(first[1 + i] ?? null)]));
    const told = await talker.ask(together(...keys.map((key) => this.appending(key, operation.id))));
    if (this.end(operation, told)) operation.seen = seen;
  }

  private appending(key: string, id: number): string[] {
    return ['RPUSH', key, padded(String(id), this.world.swarm.padding)];
  }

  private begin(keys: readonly string[], writes: boolean): Operation {
    const operation: Operation = {
      id: this.operations.length + 1,
      startMs: this.world.loop.nowUs / 1000,
      endMs: Number.POSITIVE_INFINITY,
      keys,
      writes,
      outcome: 'unknown',
    };
    this.operations.push(operation);
    return operation;
  }

  private end(operation: Operation, told: Told): boolean {
    if (told.kind === 'unknown') return false;
    operation.endMs = this.world.loop.nowUs / 1000;
    operation.outcome = told.kind === 'done' && told.reply !== null ? 'done' : 'nothing';
    return operation.outcome === 'done';
  }
}

function reading(key: string): string[] {
  return ['LRANGE', key, '0', '-1'];
}

function replyOf(told: Told): RawReply {
  return told.kind === 'done' ? told.reply : null;
}

function marksOf(reply: RawReply): number[] {
  return elementsOf(reply).map((element) => Number(unpadded(String(element))));
}
