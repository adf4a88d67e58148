/**
 * Queues: some push, some pop, some wait. No element may come out twice, none that was not put in, and none that was put
 * in may be missing, but as many as there are pops whose outcome nobody knows.
 */

import { Company, elementsOf, together } from './company.ts';
import { padded, unpadded } from './operation.ts';
import type { RawReply, Talker, Told } from './talker.ts';

/** Of one slot: what moves between them runs where that is coordinated. */
const QUEUES = ['{queue}0', '{queue}1'] as const;

/** A waiter is served within this once nothing goes wrong. */
const WAKE_MS = 10_000;
const WAKE_TRIES = 20;
const PUSH_AFTER_MS = 100;

export class QueuesCompany extends Company {
  readonly keys = [...QUEUES];
  private readonly pushes = new Map<string, Told['kind']>();
  private readonly popped: string[] = [];
  private unknownPops = 0;

  async finish(checker: Talker): Promise<void> {
    // All at once: what is not known to have happened may still happen between two looks.
    const looks = together(...QUEUES.map((queue) => ['LRANGE', queue, '0', '-1']));
    const left = elementsOf(await checker.askSurely(looks)).flatMap((queue) => elementsOf(queue).map(String));
    const out = [...this.popped, ...left];
    const seen = new Set(out);
    const twice = out.filter((element, i) => out.indexOf(element) !== i);
    const wrong = [...seen].filter((element) => (this.pushes.get(element) ?? 'nothing') === 'nothing');
    const lost = [...this.pushes].flatMap(([element, told]) =>
      told === 'done' && !seen.has(element) ? [element] : [],
    );
    if (twice.length > 0) this.world.violation(`elements came out of the queues twice: ${unpadded(twice.join(' '))}`);
    if (wrong.length > 0)
      this.world.violation(`the queues had elements that were never put in: ${unpadded(wrong.join(' '))}`);
    if (lost.length > this.unknownPops) {
      this.world.violation(`the queues lost ${unpadded(lost.join(' '))}; ${this.unknownPops} pops are unknown`);
    }
    await this.wakeUp(checker);
  }

  protected async turn(talker: Talker): Promise<void> {
    const { random } = this;
    const queue = random.pick(QUEUES);
    const dice = random.next();
    const seconds = random.pick([0.05, 0.2, 0.6]);
    const waits = { waitMs: seconds * 1000 };
    if (dice < 0.45) {
      const element = padded(`${talker.name}.${this.pushes.size}`, this.world.swarm.padding);
      this.pushes.set(element, 'unknown');
      const { kind } = await talker.ask([[random.pick(['LPUSH', 'RPUSH']), queue, element]]);
      this.pushes.set(element, kind);
    } else if (dice < 0.6) this.pop(await talker.ask([[random.pick(['LPOP', 'RPOP']), queue]]));
    else if (dice < 0.65) this.pop(await talker.ask([['LMPOP', '2', ...QUEUES, 'LEFT']]));
    else if (dice < 0.85) {
      const queues = random.chance(0.5) ? random.shuffle([...QUEUES]) : [queue];
      this.pop(await talker.ask([[random.pick(['BLPOP', 'BRPOP']), ...queues, String(seconds)]], waits));
    } else if (dice < 0.92) {
      this.pop(await talker.ask([['BLMPOP', String(seconds), '2', ...QUEUES, 'RIGHT']], waits));
    } else {
      // Nothing comes out.
      const [from, to] = random.shuffle([...QUEUES]) as [string, string];
      await talker.ask([['BLMOVE', from, to, 'LEFT', 'RIGHT', String(seconds)]], waits);
    }
  }

  private pop(told: Told): void {
    if (told.kind === 'unknown') this.unknownPops++;
    if (told.kind === 'done') this.popped.push(...elementIn(told.reply));
  }

  /** Somebody who waits gets what is put in. */
  private async wakeUp(checker: Talker): Promise<void> {
    await checker.askSurely([['DEL', ...QUEUES]]);
    const [waiter] = this.talkers as [Talker];
    waiter.move();
    const queue = this.random.pick(QUEUES);
    const begunUs = this.world.loop.nowUs;
    const waiting = waiter.ask([['BLPOP', ...QUEUES, String(WAKE_MS / 1000)]], { waitMs: WAKE_MS });
    await checker.sleep(PUSH_AFTER_MS);
    await checker.askSurely([['RPUSH', queue, 'at last']]);
    let told = await waiting;
    // Its first look at the queues may be refused like any command, and a push of before that nobody knew of may come late.
    for (let tries = 0; tries < WAKE_TRIES; tries++) {
      if (told.kind === 'unknown' || (told.kind === 'done' && elementIn(told.reply).length === 0)) break;
      if (told.kind === 'done' && elementIn(told.reply)[0] === 'at last') return;
      told = await waiter.ask([['BLPOP', ...QUEUES, String(WAKE_MS / 1000)]], { waitMs: WAKE_MS });
    }
    const ms = Math.round((this.world.loop.nowUs - begunUs) / 1000);
    const got = told.kind === 'nothing' ? told.why : told.kind === 'done' ? elementIn(told.reply).join(' ') : told.kind;
    this.world.violation(`${waiter.name} waited ${ms} ms for what was in ${queue}: ${got}`);
  }
}

/** The element of a pop's reply: itself, or after its key, or in a list after its key; none when nothing was there. */
function elementIn(reply: RawReply): string[] {
  if (reply === null) return [];
  if (!Array.isArray(reply)) return [String(reply)];
  const last = reply.at(-1) ?? null;
  return Array.isArray(last) ? last.map(String) : [String(last)];
}
