/**
 * A bank whose tellers are Lua scripts: amounts move between strings, a hash and a sorted set of different slots, in one
 * EVAL each, with the keys declared or found by the script as it goes. Whoever looks at all accounts at once sees a sum of zero.
 * Each transfer takes the next number of a counter, so that none is made twice.
 */

import { Company, elementsOf, numberOf, together } from './company.ts';
import type { RawReply, Talker } from './talker.ts';

/** Keys say what they are; `next` names the account that the next transfer of `choosing` goes to. */
const ACCOUNTS = ['string:vault0', 'hash:vault1', 'sorted:vault2', 'string:vault3'] as const;
const COUNTER = 'transfers';
const POINTER = 'pointer';

const COMMON = `
local function read(key)
  local kind = key:match('^%a+')
  if kind == 'hash' then return tonumber(redis.call('HGET', key, 'n') or 0) end
  if kind == 'sorted' then return tonumber(redis.call('ZSCORE', key, 'n') or 0) end
  return tonumber(redis.call('GET', key) or 0)
end
local function write(key, amount)
  local kind = key:match('^%a+')
  if kind == 'hash' then redis.call('HSET', key, 'n', amount)
  elseif kind == 'sorted' then redis.call('ZADD', key, amount, 'n')
  else redis.call('SET', key, amount) end
end
local function transfer(from, to, amount)
  local had, has = read(from), read(to)
  write(from, had - amount)
  write(to, has + amount)
  assert(read(from) == had - amount and read(to) == has + amount)
  return redis.call('INCR', '${COUNTER}')
end
`;

/** Keys: from, to, the counter. */
const DECLARED = `${COMMON} return transfer(KEYS[1], KEYS[2], tonumber(ARGV[1]))`;

/** No keys: arguments say which they are. */
const UNDECLARED = `${COMMON} return transfer(ARGV[2], ARGV[3], tonumber(ARGV[1]))`;

/** Where it goes to stands in a key, which then names the account that it came from. */
const CHOOSING = `${COMMON}
local to = redis.call('GET', '${POINTER}') or ARGV[3]
if to == ARGV[2] then to = ARGV[3] end
redis.call('SET', '${POINTER}', ARGV[2])
return transfer(ARGV[2], to, tonumber(ARGV[1]))`;

const AUDIT = `${COMMON}
local balances = {}
for i, key in ipairs(KEYS) do balances[i] = read(key) end
return balances`;

const LOOK = together(
  ['EVAL_RO', AUDIT, String(ACCOUNTS.length), ...ACCOUNTS],
  ['GET', COUNTER],
  ['GET', ACCOUNTS[0]],
  ['HGET', ACCOUNTS[1], 'n'],
  ['ZSCORE', ACCOUNTS[2], 'n'],
  ['GET', ACCOUNTS[3]],
);

export class ScriptsCompany extends Company {
  readonly keys = [...ACCOUNTS, COUNTER, POINTER];
  /** Numbers of transfers that were answered. */
  private readonly numbers = new Set<number>();
  private unknown = 0;

  async finish(checker: Talker): Promise<void> {
    const [balances, made, ...single] = elementsOf(await checker.askSurely(LOOK));
    this.audit(elementsOf(balances), 'at the end');
    this.audit(single, 'at the end, without a script');
    const count = numberOf(made);
    if (count < this.numbers.size || count > this.numbers.size + this.unknown) {
      const known = `${this.numbers.size} were answered, ${this.unknown} are unknown`;
      this.world.violation(`${count} transfers were made by scripts: ${known}`);
    }
  }

  protected async turn(talker: Talker): Promise<void> {
    const { random } = this;
    const [from, to] = random.shuffle([...ACCOUNTS]) as [string, string];
    const amount = String(1 + random.below(100));
    const dice = random.next();
    if (dice < 0.3) await this.transfer(talker, [['EVAL', DECLARED, '3', from, to, COUNTER, amount]]);
    else if (dice < 0.45) await this.transfer(talker, [['EVAL', UNDECLARED, '0', amount, from, to]]);
    else if (dice < 0.6) await this.transfer(talker, [['EVAL', CHOOSING, '1', from, amount, from, to]]);
    else if (dice < 0.68) await this.transfer(talker, together(['EVAL', UNDECLARED, '1', from, amount, from, to]));
    else if (dice < 0.8) {
      const told = await talker.ask([['EVAL', AUDIT, String(ACCOUNTS.length), ...random.shuffle([...ACCOUNTS])]]);
      if (told.kind === 'done') this.audit(elementsOf(told.reply), `seen by ${talker.name}`);
    } else if (dice < 0.9) {
      const told = await talker.ask([['EVAL_RO', AUDIT, String(ACCOUNTS.length), ...ACCOUNTS]]);
      if (told.kind === 'done') this.audit(elementsOf(told.reply), `seen by ${talker.name}`);
    } else {
      const told = await talker.ask(LOOK);
      if (told.kind === 'done') this.audit(elementsOf(told.reply).slice(2), `seen by ${talker.name}`);
    }
  }

  private async transfer(talker: Talker, commands: readonly (readonly string[])[]): Promise<void> {
    const told = await talker.ask(commands);
    if (told.kind === 'unknown') this.unknown++;
    if (told.kind !== 'done') return;
    const number = numberOf(Array.isArray(told.reply) ? told.reply[0] : told.reply);
    if (this.numbers.has(number)) this.world.violation(`two transfers by scripts have the number ${number}`);
    this.numbers.add(number);
  }

  private audit(balances: readonly RawReply[], when: string): void {
    const amounts = balances.map(numberOf);
    const sum = amounts.reduce((total, amount) => total + amount, 0);
    if (sum === 0 && amounts.length === ACCOUNTS.length) return;
    this.world.violation(`the accounts of scripts ${amounts.join(' ')} do not make zero, ${when}`);
  }
}
