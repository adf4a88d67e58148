/**
 * Moves one slot to other owners while everything goes on (design, section 9): the document says {O → O'}, a majority
 * of O acknowledges the epoch and lists its rows, each row is changed by a change that changes nothing under the joint
 * quorum, the document says O', and whoever left forgets. Any node that is up does the next step: all that is
 * remembered here are facts.
 */

import type { RowName } from '../../../src/repl/owner-message.ts';
import type { MemberId } from '../../../src/cluster/member.ts';
import { slotOfRow } from '../../../src/repl/owner-message.ts';
import type { Prng } from '../prng.ts';
import type { SimNode, World } from './node.ts';

const STEP_MS = 10;

export class SlotMove {
  finished = false;
  private readonly world: World;
  private readonly random: Prng;
  private readonly slot: number;
  private readonly from: readonly MemberId[];
  private readonly to: readonly MemberId[];
  private readonly epoch: number;
  private readonly fenced = new Set<MemberId>();
  private readonly rows = new Set<RowName>();
  private readonly copied = new Set<RowName>();

  constructor(options: { world: World; random: Prng; slot: number; to: readonly MemberId[] }) {
    this.world = options.world;
    this.random = options.random;
    this.slot = options.slot;
    this.to = options.to;
    const { placement } = this.world;
    this.from = placement.owners(placement.latest, this.slot).current;
    this.epoch = placement.commit(this.slot, { current: this.from, incoming: this.to });
    this.tell(this.epoch);
    this.step();
  }

  /** Tells everybody of an epoch, each after a while of its own. */
  private tell(epoch: number): void {
    for (const node of this.world.nodes) {
      this.world.kernel.after(this.random.next() * 250, () => {
        if (node.up) node.view = Math.max(node.view, epoch);
      });
    }
  }

  private step(): void {
    if (this.finished) return;
    const node = this.random.pick(this.world.nodes);
    if (node.up) {
      node.view = Math.max(node.view, this.epoch);
      if (2 * this.fenced.size <= this.from.length) this.fence(node);
      else if (this.copied.size < this.rows.size) this.copy(node);
      else this.complete();
    }
    this.world.kernel.after(STEP_MS, () => this.step());
  }

  private fence(controller: SimNode): void {
    for (const member of this.from) {
      const owner = this.world.nodes[member] as SimNode;
      this.world.network.send(controller.id, member, () => {
        if (!owner.up) return;
        if (this.world.rules.fences) owner.view = Math.max(owner.view, this.epoch);
        const rows = owner.store.rows().filter((row) => slotOfRow(row) === this.slot);
        this.world.network.send(member, controller.id, () => {
          if (2 * this.fenced.size > this.from.length) return;
          this.fenced.add(member);
          for (const row of rows) this.rows.add(row);
        });
      });
    }
  }

  private copy(controller: SimNode): void {
    const { rules, kernel } = this.world;
    for (const row of this.rows) {
      if (this.copied.has(row)) continue;
      if (rules.copies !== 'majority') {
        this.copied.add(row);
        if (rules.copies === 'one') this.copyFromOne(row);
        continue;
      }
      controller.change(row, { kind: 'get' }, kernel.nowMs + 60, (outcome) => {
        if (outcome.kind === 'done') this.copied.add(row);
      });
    }
  }

  /** What a hurried implementation does. */
  private copyFromOne(row: RowName): void {
    const source = this.world.nodes[this.from[0] as MemberId] as SimNode;
    const held = source.store.read(row)?.held;
    if (held === undefined) return;
    for (const member of this.to) {
      const target = this.world.nodes[member] as SimNode;
      const there = target.store.read(row)?.held;
      if (there === undefined || there.version.stamp < held.version.stamp) target.store.write(row, held);
      target.store.sync(target.store.unsynced);
    }
  }

  private complete(): void {
    const epoch = this.world.placement.commit(this.slot, { current: this.to, incoming: [] });
    this.tell(epoch);
    this.finished = true;
    for (const member of this.from) {
      if (this.to.includes(member)) continue;
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
