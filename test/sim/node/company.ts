/**
 * Clients that work together on several keys of different slots, and the judge of what they were told. What it judges by
 * is operations and replies alone.
 */

import type { Prng } from '../prng.ts';
import { Talker, type RawReply, type TalkerWorld } from './talker.ts';

/** Operations of one company: judges compare them with one another. */
const MAX_TURNS = 250;

export abstract class Company {
  /** Its rows, for the check that their owners come to hold the same. */
  abstract readonly keys: readonly string[];
  protected readonly world: TalkerWorld;
  protected readonly random: Prng;
  protected readonly talkers: readonly Talker[];
  private turns = 0;
  private busy = 0;

  constructor(world: TalkerWorld, options: { readonly name: string; readonly random: Prng; readonly clients: number }) {
    this.world = world;
    this.random = options.random;
    this.talkers = Array.from({ length: options.clients }, (_, i) => {
      const name = `${options.name}.${i + 1}`;
      return new Talker(world, { name, random: options.random.split(name) });
    });
  }

  get isIdle(): boolean {
    return this.busy === 0;
  }

  get asked(): number {
    return this.talkers.reduce((sum, { asked }) => sum + asked, 0);
  }

  get answered(): number {
    return this.talkers.reduce((sum, { answered }) => sum + answered, 0);
  }

  /** While nothing goes wrong yet. */
  async prepare(checker: Talker): Promise<void> {
    void checker;
  }

  /** Its clients work until the world closes. */
  start(): void {
    for (const talker of this.talkers) void this.work(talker);
  }

  /** Says what is wrong. Nothing goes wrong any more, and nobody works. */
  abstract finish(checker: Talker): Promise<void>;

  /** What one client does next. */
  protected abstract turn(talker: Talker): Promise<void>;

  private async work(talker: Talker): Promise<void> {
    this.busy++;
    for (;;) {
      await talker.think();
      if (!this.world.isOpen() || this.turns >= MAX_TURNS) break;
      this.turns++;
      await this.turn(talker);
    }
    this.busy--;
  }
}

/** The elements of an array reply. */
export function elementsOf(reply: RawReply | undefined): readonly RawReply[] {
  return Array.isArray(reply) ? reply : [];
}

/** A number told as a number, as text, or not at all. */
export function numberOf(reply: RawReply | undefined): number {
  return Number(reply ?? 0);
}

/** MULTI, these commands, EXEC. */
export function together(...commands: readonly (readonly string[])[]): (readonly string[])[] {
  return [['MULTI'], ...commands, ['EXEC']];
}
