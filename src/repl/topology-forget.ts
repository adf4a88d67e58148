/**
 * CLUSTER FORGET: a member leaves the document for good. One that is there must have been drained (weight 0) before; one
 * that is gone is drained now: its slots go to the others, from the majorities that are left.
 *
 * What is done stands in the document, so that whoever asks again after a failure goes on where it ended.
 */

import type { NodeName } from '../cluster/swim-message.ts';
import type { Topology, TopologyChange } from '../cluster/topology.ts';
import type { TopologyKeeper } from './topology-keeper.ts';
import { TopologyError, type TopologyPlan, type TopologyRegister } from './topology-register.ts';

export interface ForgetOptions {
  readonly keeper: Pick<TopologyKeeper, 'topology' | 'onTopology' | 'isHealthy'>;
  readonly register: Pick<TopologyRegister, 'change'>;
  readonly name: NodeName;
  /** Monotonic. */
  readonly deadlineMs: number;
  /** Fulfilled at the deadline, or never. */
  timeUp(): Promise<void>;
}

/** Fulfilled once the member is in the document no more. Rejects with `TopologyError` of code `refused` or `no-quorum`. */
export async function forgetMember(options: ForgetOptions): Promise<void> {
  const { keeper, register, name, deadlineMs } = options;
  const member = keeper.topology?.members.find((each) => each.identity === name);
  if (keeper.topology === undefined || member === undefined) return;
  const owned = slotsOf(keeper.topology, member.id);
  if (owned > 0) {
    if (keeper.isHealthy(member.id) && member.weight > 0) {
      throw new TopologyError(
        'refused',
        `the node is there and owns ${owned} slots: stop it for good, or give it weight 0 and wait until it owns none`,
      );
    }
    await register.change(draining(name), deadlineMs);
    await Promise.race([drained(keeper, member.id), options.timeUp()]);
    const left = keeper.topology === undefined ? 0 : slotsOf(keeper.topology, member.id);
    if (left > 0)
      throw new TopologyError('no-quorum', `its slots go to other members, ${left} are left; try again soon`);
  }
  for (;;) {
    const next = await register.change(removing(name), deadlineMs);
    if (!next.members.some((each) => each.identity === name)) return;
  }
}

/** Plans that the member gives away what it owns. */
export function draining(name: NodeName): TopologyPlan {
  return (topology) => {
    const member = topology.members.find((each) => each.identity === name);
    if (member === undefined || member.weight === 0) return [];
    if (topology.members.every((each) => each.weight === 0 || each === member)) {
      throw new TopologyError('refused', 'there would be nobody to own its slots');
    }
    return [{ kind: 'change-member', member: { ...member, weight: 0 } }];
  };
}

/** Plans one step towards the member's end: it votes no more, then it is gone. */
export function removing(name: NodeName): TopologyPlan {
  return (topology): TopologyChange[] => {
    const member = topology.members.find((each) => each.identity === name);
    if (member === undefined) return [];
    const { id } = member;
    if (slotsOf(topology, id) > 0) throw new TopologyError('refused', 'it owns slots again');
    const { current, incoming } = topology.voters;
    const remove: TopologyChange = { kind: 'remove-member', id };
    if (incoming.length > 0) {
      const finish: TopologyChange = { kind: 'finish-voters' };
      return incoming.includes(id) ? [finish] : [finish, remove];
    }
    if (!current.includes(id)) return [remove];
    const others = current.filter((each) => each !== id);
    if (others.length > 0) return [{ kind: 'start-voters', to: others }];
    // The only voter: first another one.
    const heir = topology.members.find((each) => each.id !== id);
    if (heir === undefined) throw new TopologyError('refused', 'it is the only member');
    return [{ kind: 'start-voters', to: [...current, heir.id] }];
  };
}

/** Slots that the member owns, or is about to. */
export function slotsOf(topology: Topology, id: number): number {
  let count = 0;
  for (const { owners } of topology.slots) if (owners.current.includes(id) || owners.incoming.includes(id)) count++;
  return count;
}

function drained(keeper: ForgetOptions['keeper'], id: number): Promise<void> {
  return new Promise((resolve) => {
    const look = (): boolean => keeper.topology === undefined || slotsOf(keeper.topology, id) === 0;
    if (look()) {
      resolve();
      return;
    }
    const stop = keeper.onTopology(() => {
      if (!look()) return;
      stop();
      resolve();
    });
  });
}
