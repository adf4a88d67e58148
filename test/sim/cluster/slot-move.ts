/**
 * Moves one slot to other owners while everything goes on: the product's move core, driven by some node. When that node
 * crashes another one begins anew from what the document says. Leavers forget the slot at some time after the move.
 */

import type { MemberId } from '../../../src/cluster/member.ts';
import type { Owners } from '../../../src/cluster/owners.ts';
import {
  MoveCore,
  type MoveAnswer,
  type MoveEffect,
  type MoveEvent,
  type MoveRequest,
} from '../../../src/repl/move-core.ts';
import { slotOfRow, type RowName } from '../../../src/repl/owner-message.ts';
import type { Prng } from '../prng.ts';
import type { SimNode, World } from './node.ts';

/** How often it is looked whether the driver is still there. */
const WATCH_MS = 10;

/** Deadline of settling one row. */
const SETTLE_MS = 60;

export class SlotMove {
  private finished = false;
  private readonly world: World;
  private readonly random: Prng;
  private readonly slot: number;
  private readonly owners: Owners;
  private readonly epoch: number;
  private driver: SimNode | undefined;
  private life = 0;
  private core: MoveCore | undefined;

  constructor(options: { world: World; random: Prng; slot: number; to: readonly MemberId[] }) {
    this.world = options.world;
    this.random = options.random;
    this.slot = options.slot;
    const { placement } = this.world;
    const from = placement.owners(placement.latest, this.slot).current;
    this.owners = { current: from, incoming: options.to };
    this.epoch = placement.commit(this.slot, this.owners);
    this.tell(this.epoch);
    this.watch();
  }

  /** Tells everybody of an epoch, each after a while of its own. */
  private tell(epoch: number): void {
    for (const node of this.world.nodes) {
      this.world.kernel.after(this.random.next() * 250, () => {
        if (node.up) node.view = Math.max(node.view, epoch);
      });
    }
  }

  private watch(): void {
    if (this.finished) return;
    if (this.driver === undefined || !this.driver.up || this.driver.life !== this.life) this.begin();
    this.world.kernel.after(WATCH_MS, () => this.watch());
  }

  private begin(): void {
    const driver = this.random.pick(this.world.nodes);
    if (!driver.up) return;
    driver.view = Math.max(driver.view, this.epoch);
    this.driver = driver;
    this.life = driver.life;
    const limits = { listLimit: 1, settleWindow: 2, timeoutMs: 25, retryMs: 10 };
    this.core = new MoveCore({ slot: this.slot, owners: this.owners, limits });
    this.step(this.core, { kind: 'start' });
  }

  private step(core: MoveCore, event: MoveEvent): void {
    const driver = this.driver as SimNode;
    if (core !== this.core || this.finished || !driver.up || driver.life !== this.life) return;
    for (const effect of core.step(event, this.world.kernel.nowMs)) this.carryOut(core, driver, effect);
    const wakeInMs = core.wakeAtMs - this.world.kernel.nowMs;
    if (wakeInMs !== Number.POSITIVE_INFINITY) {
      this.world.kernel.after(wakeInMs, () => {
        if (core.wakeAtMs <= this.world.kernel.nowMs) this.step(core, { kind: 'wake' });
      });
    }
  }

  private carryOut(core: MoveCore, driver: SimNode, effect: MoveEffect): void {
    switch (effect.kind) {
      case 'ask': {
        const owner = this.world.nodes[effect.to] as SimNode;
        this.world.network.send(driver.id, effect.to, () => {
          if (!owner.up) return;
          const answer = this.answer(owner, effect.request);
          this.world.network.send(effect.to, driver.id, () =>
            this.step(core, { kind: 'answer', id: effect.id, answer }),
          );
        });
        break;
      }
      case 'settle':
        this.settle(core, driver, effect.row);
        break;
      case 'done':
        this.complete();
        break;
    }
  }

  private answer(owner: SimNode, request: MoveRequest): MoveAnswer {
    if (this.world.rules.fences) owner.view = Math.max(owner.view, this.epoch);
    if (request.kind === 'fence') return { kind: 'fenced' };
    const { after, limit } = request;
    const rows = owner.store
      .rows()
      .filter((row) => slotOfRow(row) === request.slot && (after === undefined || row > after))
      .sort();
    return { kind: 'rows', rows: rows.slice(0, limit), complete: rows.length <= limit };
  }

  private settle(core: MoveCore, driver: SimNode, row: RowName): void {
    const { rules, kernel } = this.world;
    if (rules.copies !== 'majority') {
      if (rules.copies === 'one') this.copyFromOne(row);
      kernel.after(0, () => this.step(core, { kind: 'settled', row, done: true }));
      return;
    }
    let waits = true;
    const settled = (done: boolean): void => {
      if (waits) this.step(core, { kind: 'settled', row, done });
      waits = false;
    };
    driver.change(row, { kind: 'get' }, kernel.nowMs + SETTLE_MS, (outcome) => settled(outcome.kind === 'done'));
    kernel.after(4 * SETTLE_MS, () => settled(false));
  }

  /** What a hurried implementation does. */
  private copyFromOne(row: RowName): void {
    const source = this.world.nodes[this.owners.current[0] as MemberId] as SimNode;
    const held = source.store.read(row)?.held;
    if (held === undefined) return;
    for (const member of this.owners.incoming) {
      const target = this.world.nodes[member] as SimNode;
      const there = target.store.read(row)?.held;
      if (there === undefined || there.version.stamp < held.version.stamp) target.store.write(row, held);
      target.store.sync(target.store.unsynced);
    }
  }

  private complete(): void {
    const epoch = this.world.placement.commit(this.slot, { current: this.owners.incoming, incoming: [] });
    this.tell(epoch);
    this.finished = true;
    for (const member of this.owners.current) {
      if (this.owners.incoming.includes(member)) continue;
      const leaver = this.world.nodes[member] as SimNode;
      this.world.kernel.after(this.random.next() * 300, () => this.leave(leaver, epoch));
    }
  }

  private leave(leaver: SimNode, epoch: number): void {
    if (!leaver.up) return;
    leaver.view = Math.max(leaver.view, epoch);
    const { placement } = this.world;
    const owners = placement.owners(placement.latest, this.slot);
    if (!owners.current.includes(leaver.id) && !owners.incoming.includes(leaver.id)) leaver.leave(this.slot);
  }
}
