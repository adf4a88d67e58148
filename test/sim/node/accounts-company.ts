/**
 * A bank: amounts move between a string, a field of a hash, a member of a sorted set and another string, in one
 * transaction each, so that the sum is always zero; with WATCH a transfer must find what was read before. And twins, two
 * strings that are only ever written together with MSET.
 */

import { Company, elementsOf, numberOf, together } from './company.ts';
import type { RawReply, Talker } from './talker.ts';

interface Account {
  readonly key: string;
  readonly read: readonly string[];
  add(amount: number): readonly string[];
}

const accounts: readonly Account[] = [
  { key: 'account0', read: ['GET', 'account0'], add: (amount) => ['INCRBY', 'account0', String(amount)] },
  { key: 'account1', read: ['HGET', 'account1', 'n'], add: (amount) => ['HINCRBY', 'account1', 'n', String(amount)] },
  { key: 'account2', read: ['ZSCORE', 'account2', 'n'], add: (amount) => ['ZINCRBY', 'account2', String(amount), 'n'] },
  { key: 'account3', read: ['GET', 'account3'], add: (amount) => ['DECRBY', 'account3', String(-amount)] },
];

const TWINS = ['twin0', 'twin1'] as const;

/** All at once: what is not known to have happened may still happen between two looks. */
const LOOK = together(...accounts.map(({ read }) => read), ...TWINS.map((twin) => ['GET', twin]));

export class AccountsCompany extends Company {
  readonly keys = [...accounts.map(({ key }) => key), ...TWINS];
  private serial = 0;

  async finish(checker: Talker): Promise<void> {
    this.audit(elementsOf(await checker.askSurely(LOOK)), 'at the end');
  }

  protected async turn(talker: Talker): Promise<void> {
    const { random } = this;
    const [from, to] = random.shuffle([...accounts]) as [Account, Account];
    const amount = 1 + random.below(100);
    const dice = random.next();
    if (dice < 0.4) await talker.ask(together(from.add(-amount), to.add(amount)));
    else if (dice < 0.55) await this.transferIfUnchanged(talker, from, to, amount);
    else if (dice < 0.75) {
      const value = `${talker.name}.${++this.serial}`;
      await talker.ask([['MSET', ...random.shuffle([...TWINS]).flatMap((twin) => [twin, value])]]);
    } else {
      const told = await talker.ask(
        together(...accounts.map(({ read }) => read), ...TWINS.map((twin) => ['GET', twin])),
      );
      if (told.kind === 'done') this.audit(elementsOf(told.reply), `seen by ${talker.name}`);
    }
  }

  private async transferIfUnchanged(talker: Talker, from: Account, to: Account, amount: number): Promise<void> {
    const first = await talker.askAll([['WATCH', from.key, to.key], from.read, to.read]);
    if (first === undefined) return;
    const [, had, has] = first;
    const told = await talker.ask(together(from.add(-amount), to.add(amount)));
    if (told.kind !== 'done' || told.reply === null) return;
    const [left, gained] = elementsOf(told.reply);
    if (numberOf(left) !== numberOf(had) - amount || numberOf(gained) !== numberOf(has) + amount) {
      const seen = `${numberOf(had)} and ${numberOf(has)}`;
      const made = `${numberOf(left)} and ${numberOf(gained)}`;
      this.world.violation(`${talker.name}: EXEC made ${made} of ${seen} under WATCH and ${amount}`);
    }
  }

  private audit(replies: readonly RawReply[], when: string): void {
    const balances = replies.slice(0, accounts.length).map(numberOf);
    const [one, other] = replies.slice(accounts.length);
    const sum = balances.reduce((total, balance) => total + balance, 0);
    if (sum !== 0) this.world.violation(`the accounts ${balances.join(' ')} do not make zero, ${when}`);
    if (one !== other) this.world.violation(`MSET was seen half done: ${String(one)} and ${String(other)}, ${when}`);
  }
}
