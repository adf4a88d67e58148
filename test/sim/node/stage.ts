/** A formed cluster on which nothing goes wrong by itself, for directed schedules. */

import { must } from '../../../src/assert.ts';
import type { Node } from '../../../src/node.ts';
import { EventLoop, type Life } from '../event-loop.ts';
import { Prng } from '../prng.ts';
import { askOnce } from './ask-once.ts';
import { formationOf } from './formation.ts';
import {
  forwardsOf,
  heldBy,
  isSettled,
  ownerCountsOf,
  ownersOf,
  memberOf,
  suspectSlotsOf,
  topologyOf,
  versionAt,
  type OwnerCounts,
} from './inside.ts';
import { Machine } from './machine.ts';
import { SimNetwork, type Host } from './network.ts';
import type { ReplyText } from './operation.ts';
import { argumentsOf, machineName } from './setting.ts';

const WAITING_MS = 20_000;
const STEP_MS = 10;
const ANSWER_MS = 10_000;
/** Less than any answer takes. */
const SHORT_MS = 0.05;

export class Stage {
  readonly loop = new EventLoop();
  readonly network: SimNetwork;
  readonly machines: Machine[] = [];
  readonly violations: string[] = [];
  private readonly operator: { readonly network: SimNetwork; readonly host: Host; readonly life: Life };

  private constructor(seed: number) {
    this.network = new SimNetwork({ loop: this.loop, random: new Prng(seed).split('network') });
    this.operator = { network: this.network, host: this.network.addHost('operator', false), life: this.loop.life() };
  }

  /** `later`: machines with empty disks that are not started: nodes that join when they are. */
  static async open(options: { nodes: number; seed: number; appendfsync?: string; later?: number }): Promise<Stage> {
    const { nodes, seed, later = 0 } = options;
    const stage = new Stage(seed);
    const replicas = Math.min(nodes, 3);
    const formation = nodes === 1 ? undefined : await formationOf({ nodes, replicas });
    stage.loop.wallOffsetMs += formation?.ms ?? 0;
    const world = {
      loop: stage.loop,
      network: stage.network,
      random: new Prng(seed),
      note: () => {},
      violation: (what: string) => stage.violations.push(what),
    };
    const setting = { nodes, replicas, appendfsync: options.appendfsync ?? 'always', requestTimeoutMs: 1_000 };
    for (let index = 0; index < nodes + later; index++) {
      const args = argumentsOf({ ...setting, index, seeds: [machineName((index + 1) % nodes)] });
      const name = machineName(index);
      stage.machines.push(new Machine(world, { name, args, skewMs: 0, drift: 0, image: formation?.images[index] }));
    }
    const first = stage.machines.slice(0, nodes);
    for (const machine of first) machine.start();
    const isReady = (): boolean => {
      const serving = first.map(({ node }) => node);
      return nodes === 1 ? serving[0] !== undefined : isSettled(serving, nodes);
    };
    await stage.until(isReady, 'the cluster starts', STEP_MS);
    return stage;
  }

  /** Lets time pass until it is so. Throws when it does not come to that. */
  async until(isSo: () => boolean, what: string, stepMs = SHORT_MS): Promise<void> {
    const untilUs = this.loop.nowUs + WAITING_MS * 1000;
    while (!isSo()) {
      if (this.loop.nowUs > untilUs) throw new Error(`it never comes to this: ${what}`);
      await this.loop.advance(stepMs);
    }
  }

  /** Nothing moves any more among these machines, which know of so many members that own something. */
  async settled(indices: readonly number[], members: number): Promise<void> {
    const isReady = (): boolean =>
      isSettled(
        indices.map((index) => this.machines[index]?.node),
        members,
      );
    await this.until(isReady, 'all is settled', STEP_MS);
  }

  /** What this machine's node has done as an owner so far. */
  ownerCounts(index: number): OwnerCounts {
    return ownerCountsOf(this.nodeOf(index));
  }

  /** Members that this machine's node knows of, those that own nothing yet too. */
  members(index: number): number {
    return topologyOf(this.nodeOf(index))?.members.length ?? 0;
  }

  /** The reply of one command sent to the machine of this index. */
  ask(index: number, ...words: string[]): Promise<ReplyText | undefined> {
    return this.askAll(index, [words]);
  }

  /** As `ask`, without waiting: for commands that block. */
  begin(index: number, ...words: string[]): Promise<ReplyText | undefined> {
    return askOnce(this.operator, { target: machineName(index), commands: [words], timeoutMs: ANSWER_MS });
  }

  /** The last reply of several commands sent on one connection. */
  askAll(index: number, commands: readonly (readonly string[])[]): Promise<ReplyText | undefined> {
    const question = { target: machineName(index), commands, timeoutMs: ANSWER_MS };
    return this.loop.settle(askOnce(this.operator, question));
  }

  /** Indices of the machines that own a key, the first owner first. */
  ownersOf(key: string): number[] {
    const up = this.machines.flatMap(({ node }, index) => (node === undefined ? [] : [index]));
    const byMember = new Map(up.map((index) => [memberOf(this.nodeOf(index)), index]));
    return ownersOf(this.nodeOf(0), key).map((id) => must(byMember.get(id), 'an owner is a machine'));
  }

  /** What this machine's node holds of a key. */
  held(index: number, key: string): Promise<string> {
    return this.loop.settle(heldBy(this.nodeOf(index), key));
  }

  /** Slots that this machine's node does not vote on, since it may have forgotten something. */
  suspectSlots(index: number): number {
    return suspectSlotsOf(this.nodeOf(index));
  }

  /** The version that this machine's node has of a key, voting or not. */
  versionAt(index: number, key: string): Promise<string> {
    return this.loop.settle(versionAt(this.nodeOf(index), key));
  }

  /** Until this machine's node has sent one more change to another node. */
  async forwards(index: number): Promise<void> {
    const before = forwardsOf(this.nodeOf(index));
    await this.until(() => forwardsOf(this.nodeOf(index)) > before, 'a change is forwarded');
  }

  /** No bytes pass between this machine and the others, one way or both. */
  isolate(index: number, ways: 'out' | 'in' | 'both'): void {
    for (const { name } of this.machines) {
      if (name === machineName(index)) continue;
      if (ways !== 'in') this.network.cut(machineName(index), name);
      if (ways !== 'out') this.network.cut(name, machineName(index));
    }
  }

  private nodeOf(index: number): Node {
    return must(this.machines[index]?.node, 'it serves');
  }
}
