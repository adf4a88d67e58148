/**
 * Tokens in lists that only move, with LMOVE, RENAMENX, and RENAME under WATCH: whoever looks at all lists at once sees
 * each token once, whatever became of moves that were never answered.
 */

import { Company, elementsOf, together } from './company.ts';
import { padded, unpadded } from './operation.ts';
import type { RawReply, Talker } from './talker.ts';

const HALLS = ['hall0', 'hall1', 'hall2'] as const;
const TOKENS_EACH = 2;
const NO_SUCH_KEY = '-ERR no such key';

/** All at once: what is not known to have happened may still happen between two looks. */
const LOOK = together(...HALLS.map((hall) => ['LRANGE', hall, '0', '-1']));

export class TokensCompany extends Company {
  readonly keys = [...HALLS];
  private readonly tokens = HALLS.flatMap((hall) =>
    Array.from({ length: TOKENS_EACH }, (_, i) => padded(`${hall}.${i}`, this.world.swarm.padding)),
  );

  override async prepare(checker: Talker): Promise<void> {
    for (const hall of HALLS) {
      const its = this.tokens.filter((token) => token.startsWith(hall));
      await checker.askSurely(together(['DEL', hall], ['RPUSH', hall, ...its]));
    }
  }

  async finish(checker: Talker): Promise<void> {
    this.count(elementsOf(await checker.askSurely(LOOK)), 'at the end');
  }

  protected async turn(talker: Talker): Promise<void> {
    const { random } = this;
    const [from, to] = random.shuffle([...HALLS]) as [string, string];
    const dice = random.next();
    if (dice < 0.4) await talker.ask([['LMOVE', from, to, random.pick(ENDS), random.pick(ENDS)]]);
    else if (dice < 0.55) await talker.ask([['RENAMENX', from, to]], { refusal: NO_SUCH_KEY });
    else if (dice < 0.65) await this.renameIfFree(talker, from, to);
    else {
      const told = await talker.ask(LOOK);
      if (told.kind === 'done') this.count(elementsOf(told.reply), `seen by ${talker.name}`);
    }
  }

  private async renameIfFree(talker: Talker, from: string, to: string): Promise<void> {
    const first = await talker.askAll([
      ['WATCH', from, to],
      ['EXISTS', from],
      ['EXISTS', to],
    ]);
    if (first === undefined) return;
    if (first[1] === 1 && first[2] === 0) await talker.ask(together(['RENAME', from, to]));
    else talker.move();
  }

  private count(halls: readonly RawReply[], when: string): void {
    const seen = halls.flatMap((hall) => elementsOf(hall)).map(String);
    if (seen.toSorted().join() === this.tokens.toSorted().join()) return;
    const shown = halls.map((hall) => `[${elementsOf(hall).join(' ')}]`).join(' ');
    this.world.violation(`of the tokens there are ${unpadded(shown)}, ${when}`);
  }
}

const ENDS = ['LEFT', 'RIGHT'] as const;
