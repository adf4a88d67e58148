/**
 * Streams with a consumer group each: entries are added, read, acknowledged, claimed from one another, moved on to the other
 * stream in a transaction. No entry may come twice to different consumers unless it was claimed, none may be lost, and what
 * XPENDING, XACK and a consumer's history say of it must be true in some order (entry-history.ts).
 */

import { Company, elementsOf, together } from './company.ts';
import { EntryHistory, finalState, type Seen, stateAt } from './entry-history.ts';
import { padded, unpadded } from './operation.ts';
import type { RawReply, Talker, Told } from './talker.ts';

const STREAMS = ['stream0', 'stream1'] as const;
type Stream = (typeof STREAMS)[number];

const GROUP = 'group';
/** The consumer that gets at the end what nobody was given. */
const LAST = 'last';
/** As many as there are. */
const ALL = '100000';

export class StreamsCompany extends Company {
  readonly keys = [...STREAMS];
  private readonly histories = new Map(STREAMS.map((stream) => [stream, new EntryHistory()]));
  /** The element that was added under an id, by stream and id, and the other way round. */
  private readonly elements = new Map<string, string>();
  private readonly ids = new Map<string, string>();
  /** Elements, and whether they may be there. */
  private readonly added = new Map<string, Told['kind']>();
  /** Ids that somebody was given. */
  private readonly given = new Map<Stream, string[]>(STREAMS.map((stream) => [stream, []]));

  override async prepare(checker: Talker): Promise<void> {
    const groups = STREAMS.flatMap((stream) => [
      ['DEL', stream],
      ['XGROUP', 'CREATE', stream, GROUP, '0', 'MKSTREAM'],
    ]);
    await checker.askSurely(together(...groups));
  }

  async finish(checker: Talker): Promise<void> {
    // All at once: what is not known to have happened may still happen between two looks.
    const looks = STREAMS.flatMap((stream) => [
      ['XREADGROUP', 'GROUP', GROUP, LAST, 'COUNT', ALL, 'STREAMS', stream, '>'],
      ['XRANGE', stream, '-', '+'],
      ['XPENDING', stream, GROUP, '-', '+', ALL],
    ]);
    const callUs = this.world.loop.nowUs;
    const replies = elementsOf(await checker.askSurely(together(...looks)));
    for (const [i, stream] of STREAMS.entries()) {
      this.seeFinally(stream, callUs, replies.slice(3 * i, 3 * i + 3));
      for (const wrong of this.historyOf(stream).judge((entry) => this.ids.get(entry) ?? `${stream} ${entry}`)
        .violations) {
        this.world.violation(`${stream}: ${unpadded(wrong)}`);
      }
    }
    for (const [element, told] of this.added) {
      const isThere = this.ids.has(element);
      if (told === 'done' && !isThere) this.world.violation(`${unpadded(element)} was added and is in no stream`);
      if (told === 'nothing' && isThere)
        this.world.violation(`${unpadded(element)} was never added and is in a stream`);
    }
  }

  protected async turn(talker: Talker): Promise<void> {
    const { random } = this;
    const stream = random.pick(STREAMS);
    const dice = random.next();
    if (dice < 0.33) await this.add(talker, stream);
    else if (dice < 0.55) await this.read(talker, random.chance(0.3) ? random.shuffle([...STREAMS]) : [stream]);
    else if (dice < 0.7) await this.acknowledge(talker, stream);
    else if (dice < 0.76) await this.moveOn(talker, stream);
    else if (dice < 0.84) await this.claim(talker, stream);
    else if (dice < 0.9) await this.claimAny(talker, stream);
    else if (dice < 0.95) await this.readAgain(talker, stream);
    else await this.lookAtPending(talker, stream);
  }

  // --- what a client does ----------------------------------------------------------------------------------------------

  private async add(talker: Talker, stream: Stream): Promise<void> {
    const element = this.newElement(talker);
    const seen = this.begin(talker, stream, `XADD ${element}`);
    const told = await talker.ask([['XADD', stream, '*', 'v', element]]);
    this.added.set(element, told.kind);
    seen.steps.set(element, { kind: 'add' });
    this.end(stream, seen, told);
    if (told.kind === 'done') this.know(stream, String(told.reply), element);
  }

  /** What the group has given to nobody, of one stream or of both at once. */
  private async read(talker: Talker, streams: readonly Stream[]): Promise<void> {
    const { random } = this;
    const blockMs = random.pick([0, 0, 50, 200]);
    const block = blockMs === 0 ? [] : ['BLOCK', String(blockMs)];
    const count = random.pick(['1', '2', '5']);
    const words = ['XREADGROUP', 'GROUP', GROUP, talker.name, 'COUNT', count, ...block, 'STREAMS'];
    const seen = streams.map((stream) => this.begin(talker, stream, 'XREADGROUP >'));
    const told = await talker.ask([[...words, ...streams, ...streams.map(() => '>')]], { waitMs: blockMs });
    for (const [i, stream] of streams.entries()) {
      const its = seen[i] as Seen;
      if (told.kind === 'done') {
        for (const id of this.entriesOf(stream, told.reply)) {
          its.steps.set(id, { kind: 'deliver', to: talker.name });
          this.given.get(stream)?.push(id);
        }
      } else its.others = { kind: 'deliver', to: talker.name };
      this.end(stream, its, told);
    }
  }

  private async acknowledge(talker: Talker, stream: Stream): Promise<void> {
    const id = this.someId(stream);
    if (id === undefined) return;
    const seen = this.begin(talker, stream, 'XACK');
    const told = await talker.ask([['XACK', stream, GROUP, id]]);
    this.endAcknowledging(stream, seen, id, told, told.kind === 'done' ? told.reply : null);
  }

  /** Acknowledges an entry and adds another one to the other stream, both or none. */
  private async moveOn(talker: Talker, stream: Stream): Promise<void> {
    const id = this.someId(stream);
    if (id === undefined) return;
    const other = STREAMS.find((each) => each !== stream) as Stream;
    const element = this.newElement(talker);
    const acknowledging = this.begin(talker, stream, 'XACK and XADD');
    const adding = this.begin(talker, other, `XADD ${element} and XACK`);
    const told = await talker.ask(together(['XACK', stream, GROUP, id], ['XADD', other, '*', 'v', element]));
    const [count, added] = told.kind === 'done' ? elementsOf(told.reply) : [];
    this.added.set(element, told.kind);
    adding.steps.set(element, { kind: 'add' });
    this.end(other, adding, told);
    if (told.kind === 'done') this.know(other, String(added), element);
    this.endAcknowledging(stream, acknowledging, id, told, count ?? null);
  }

  private endAcknowledging(stream: Stream, seen: Seen, id: string, told: Told, count: RawReply): void {
    const isMissed = told.kind === 'done' && count === 0;
    seen.steps.set(id, { kind: isMissed ? 'not pending' : 'acknowledge' });
    this.end(stream, seen, told);
  }

  private async claim(talker: Talker, stream: Stream): Promise<void> {
    const id = this.someId(stream);
    if (id === undefined) return;
    const seen = this.begin(talker, stream, 'XCLAIM');
    const told = await talker.ask([['XCLAIM', stream, GROUP, talker.name, '0', id]]);
    const isMissed = told.kind === 'done' && elementsOf(told.reply).length === 0;
    seen.steps.set(id, isMissed ? { kind: 'not pending' } : { kind: 'claim', to: talker.name });
    this.end(stream, seen, told);
  }

  private async claimAny(talker: Talker, stream: Stream): Promise<void> {
    const seen = this.begin(talker, stream, 'XAUTOCLAIM');
    const told = await talker.ask([['XAUTOCLAIM', stream, GROUP, talker.name, '0', '0-0', 'COUNT', '2']]);
    if (told.kind === 'done') {
      for (const entry of elementsOf(elementsOf(told.reply)[1])) {
        seen.steps.set(this.heard(stream, entry), { kind: 'claim', to: talker.name });
      }
    } else seen.others = { kind: 'claim', to: talker.name };
    this.end(stream, seen, told);
  }

  /** What is pending at this consumer. */
  private async readAgain(talker: Talker, stream: Stream): Promise<void> {
    const seen = this.begin(talker, stream, 'XREADGROUP 0');
    const told = await talker.ask([['XREADGROUP', 'GROUP', GROUP, talker.name, 'STREAMS', stream, '0']]);
    if (told.kind === 'done') {
      for (const id of this.entriesOf(stream, told.reply)) {
        seen.steps.set(id, { kind: 'at', consumer: talker.name });
      }
    }
    seen.others = { kind: 'not at', consumer: talker.name };
    this.end(stream, seen, told);
  }

  private async lookAtPending(talker: Talker, stream: Stream): Promise<void> {
    const seen = this.begin(talker, stream, 'XPENDING');
    const told = await talker.ask([['XPENDING', stream, GROUP, '-', '+', ALL]]);
    if (told.kind === 'done') {
      for (const [id, consumer] of pendingOf(told.reply)) {
        seen.steps.set(id, { kind: 'at', consumer });
      }
    }
    seen.others = { kind: 'not pending' };
    this.end(stream, seen, told);
  }

  // --- what is known ---------------------------------------------------------------------------------------------------

  private historyOf(stream: Stream): EntryHistory {
    return this.histories.get(stream) as EntryHistory;
  }

  private begin(talker: Talker, stream: Stream, words: string): Seen {
    return this.historyOf(stream).begin(talker.name, words, this.world.loop.nowUs);
  }

  private end(stream: Stream, seen: Seen, told: Told): void {
    if (told.kind === 'done') seen.returnUs = this.world.loop.nowUs;
    if (told.kind === 'nothing') this.historyOf(stream).forget(seen);
  }

  private newElement(talker: Talker): string {
    const element = padded(`${talker.name}.${this.added.size}`, this.world.swarm.padding);
    this.added.set(element, 'unknown');
    return element;
  }

  /** An id that somebody was given, more likely a new one. */
  private someId(stream: Stream): string | undefined {
    const given = this.given.get(stream) as string[];
    const recent = given.slice(-6);
    return recent.length === 0 ? undefined : this.random.pick(this.random.chance(0.9) ? recent : given);
  }

  private know(stream: Stream, id: string, element: string): void {
    const place = `${stream} ${id}`;
    const known = this.elements.get(place) ?? element;
    const before = this.ids.get(element) ?? place;
    if (known !== element) this.world.violation(`${place} is ${unpadded(known)} and ${unpadded(element)}`);
    if (before !== place) this.world.violation(`${unpadded(element)} is there twice, at ${before} and ${place}`);
    if (!this.added.has(element)) this.world.violation(`${place} has ${unpadded(element)}, which nobody has added`);
    this.elements.set(place, element);
    this.ids.set(element, place);
  }

  /** An entry as a reply has it; its id. */
  private heard(stream: Stream, entry: RawReply | undefined): string {
    const [id, fields] = elementsOf(entry);
    this.know(stream, String(id), String(elementsOf(fields)[1]));
    return String(id);
  }

  /** The ids of a stream's entries in the reply of XREADGROUP. */
  private entriesOf(stream: Stream, reply: RawReply | undefined): readonly string[] {
    const its = elementsOf(reply).find((each) => elementsOf(each)[0] === stream);
    return elementsOf(elementsOf(its)[1]).map((entry) => this.heard(stream, entry));
  }

  /** `replies`: of what was left to the last consumer, of all entries, of all that is pending. */
  private seeFinally(stream: Stream, callUs: number, replies: readonly RawReply[]): void {
    const delivered = this.entriesOf(stream, replies[0]);
    const there = elementsOf(replies[1]).map((entry) => this.heard(stream, entry));
    const pending = pendingOf(replies[2]);
    const seen = this.historyOf(stream).begin(LAST, 'finally', callUs);
    for (const id of new Set([...there, ...delivered, ...pending.keys()])) {
      const consumer = pending.get(id);
      seen.steps.set(id, {
        kind: 'finally',
        last: LAST,
        state: consumer === undefined ? finalState.ACKNOWLEDGED : stateAt(consumer),
      });
    }
    seen.others = { kind: 'finally', last: LAST, state: finalState.ABSENT };
    seen.returnUs = this.world.loop.nowUs;
  }
}

/** Consumers by id, as XPENDING with a range tells them. */
function pendingOf(reply: RawReply | undefined): Map<string, string> {
  return new Map(
    elementsOf(reply).map((each): [string, string] => {
      const [id, consumer] = elementsOf(each);
      return [String(id), String(consumer)];
    }),
  );
}
