import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { DurableValues } from '../../src/cluster/durable-values.ts';
import { messageType } from '../../src/cluster/frame.ts';
import { aboutOf, Membership } from '../../src/cluster/membership.ts';
import type { Log } from '../../src/env.ts';
import { EventLoop, type Life } from '../sim/event-loop.ts';
import { Prng } from '../sim/prng.ts';

/** Memberships that send each other notices with a delay. */
class Village {
  readonly loop = new EventLoop();
  readonly random = new Prng(5);
  readonly warnings: string[] = [];
  private readonly homes = new Map<string, Home>();

  async add(name: string): Promise<Home> {
    const home = this.homes.get(name) ?? new Home(name);
    this.homes.set(name, home);
    home.timers?.kill();
    home.timers = this.loop.life();
    const log: Log = {
      debug: () => {},
      info: () => {},
      warn: () => {},
      error: (message) => this.warnings.push(message),
    };
    const { timers } = home;
    const random = { next: () => this.random.next(), bytes: (length: number) => this.random.bytes(length) };
    home.membership = await Membership.open({
      env: { clock: this.loop.clock, timers, random, log },
      bus: {
        noticeAt: (address, { method, epoch, payload }) => {
          this.loop.post(500 + this.random.next() * 1_000, () => {
            const to = this.homes.get(address);
            if (to === undefined || to.isGone || home.isGone) return;
            const rest = { type: messageType.NOTICE, priority: 0, requestId: 0, timeLeftMs: 0 } as const;
            to.membership.onNotice({ from: name, address: name, message: { ...rest, method, epoch, payload } });
          });
        },
      },
      values: home.values,
      identity: name,
      address: name,
      about: () => ({ epoch: home.epoch, version: '1.2.3' }),
    });
    return home;
  }
}

class Home {
  readonly name: string;
  readonly kept = new Map<string, Uint8Array>();
  readonly values: DurableValues = {
    getValue: (name) => this.kept.get(name),
    setValue: (name, value) => {
      this.kept.set(name, value);
      return Promise.resolve();
    },
  };
  timers: Life | undefined = undefined;
  membership!: Membership;
  isGone = false;
  epoch = 1;

  constructor(name: string) {
    this.name = name;
  }
}

void test('members know one another through seeds, and what each tells of itself', async () => {
  const village = new Village();
  const [a, b, c] = [await village.add('a:1'), await village.add('b:1'), await village.add('c:1')];
  a.membership.start([]);
  b.membership.start(['a:1']);
  c.membership.start(['b:1']);
  await village.loop.advance(5_000);
  for (const home of [a, b, c]) {
    assert.deepEqual(
      home.membership
        .all()
        .map(({ name, status }) => `${name} ${status}`)
        .sort(),
      ['a:1 alive', 'b:1 alive', 'c:1 alive'],
    );
  }
  const heard: number[] = [];
  c.membership.onChange((member) => {
    if (member.name === 'a:1') heard.push(aboutOf(member.about).epoch);
  });
  a.epoch = 7;
  await village.loop.advance(5_000);
  assert.deepEqual(heard, [7]);
  assert.deepEqual(aboutOf(c.membership.get('a:1')?.about ?? ''), { epoch: 7, version: '1.2.3' });
  assert.deepEqual(aboutOf('what=ever epoch=x'), { epoch: 0, version: '' });
  // A goodbye is known at once; the next life is above the one that said it.
  b.membership.leave();
  b.membership.close();
  await village.loop.advance(2_000);
  assert.equal(a.membership.isGone('b:1'), true);
  const before = a.membership.get('b:1')?.incarnation ?? 0;
  const again = await village.add('b:1');
  again.membership.start(['c:1']);
  await village.loop.advance(3_000);
  assert.equal(a.membership.isGone('b:1'), false);
  assert.ok((a.membership.get('b:1')?.incarnation ?? 0) > before + 60_000);
  assert.deepEqual(village.warnings, []);
});

void test('one that started alone is told later where the others are; a silent one counts as dead in the end', async () => {
  const village = new Village();
  const homes = [await village.add('a:1'), await village.add('b:1'), await village.add('c:1')];
  for (const home of homes) home.membership.start([]);
  await village.loop.advance(3_000);
  assert.equal(homes[0]?.membership.all().length, 1);
  for (const home of homes) home.membership.meet(['a:1', 'b:1', 'c:1']);
  await village.loop.advance(3_000);
  for (const home of homes) assert.equal(home.membership.all().length, 3);
  const [a, b, c] = homes as [Home, Home, Home];
  c.isGone = true;
  c.membership.close();
  await village.loop.advance(60_000);
  for (const home of [a, b]) assert.equal(home.membership.isGone('c:1'), true);
  assert.equal(a.membership.isGone('b:1'), false);
});

void test('what is no message of membership is dropped and reported', async () => {
  const village = new Village();
  const home = await village.add('a:1');
  home.membership.start([]);
  const rest = { type: messageType.NOTICE, priority: 0, requestId: 0, timeLeftMs: 0, method: 2, epoch: 0 } as const;
  home.membership.onNotice({ from: 'x', address: 'x', message: { ...rest, payload: Uint8Array.of(9, 9) } });
  assert.equal(village.warnings.length, 1);
  assert.equal(home.membership.all().length, 1);
});
