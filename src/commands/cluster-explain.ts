/** What KV.EXPLAIN tells of the owners of a row. */

import type { ClusterView } from '../cluster/cluster-view.ts';
import { priority } from '../cluster/frame.ts';
import type { MemberId } from '../cluster/member.ts';
import type { Clock } from '../env.ts';
import type { Coordinator } from '../repl/coordinator.ts';
import { type RowName, slotOfRow } from '../repl/owner-message.ts';
import { tallyOf } from '../repl/quorum.ts';
import { versionText } from '../repl/version.ts';
import { MapReply, type Reply } from './reply.ts';

interface Asked {
  readonly view: ClusterView;
  readonly coordinator: Coordinator;
  readonly clock: Clock;
}

/** What each owner says of a row: its version, and how long the answer took. */
export function explainOwners(asked: Asked, row: RowName): Promise<Reply[]> {
  const { members } = tallyOf(asked.view.owners(slotOfRow(row)));
  return Promise.all(members.map((id) => explainOwner(asked, row, id)));
}

function explainOwner({ view, coordinator, clock }: Asked, row: RowName, id: MemberId): Promise<Reply> {
  const startUs = clock.monotonicUs();
  return new Promise((resolve) => {
    coordinator.deliver(id, { kind: 'read', row, digest: true }, priority.CLIENT, (answer) => {
      resolve(
        new MapReply([
          ['member', id],
          ['node', view.nameOf(id)],
          ['healthy', Number(view.isHealthy(id))],
          ['answer', answer.kind],
          ['version', answer.kind === 'held' ? versionText(answer.version) : null],
          ['microseconds', Math.round(clock.monotonicUs() - startUs)],
        ]),
      );
    });
  });
}
