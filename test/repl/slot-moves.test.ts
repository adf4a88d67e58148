/** Which moves go on when the document changes. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { applyChanges, type Topology } from '../../src/cluster/topology.ts';
import { SlotMoves, type SlotMovesOptions } from '../../src/repl/slot-moves.ts';
import { EventLoop } from '../sim/event-loop.ts';
import { threeMembers } from './owner-bench.ts';

const MOVE = [{ slot: 7, to: [1, 2, 3] }];

void test('a move that was cancelled and began anew is another one: what was copied for the first counts for nothing', async () => {
  const loop = new EventLoop();
  const moving = applyChanges(threeMembers(), [{ kind: 'start-moves', moves: MOVE }]);
  const other = applyChanges(moving, [{ kind: 'start-moves', moves: [{ slot: 8, to: [1, 2, 3] }] }]);
  const cancelled = applyChanges(other, [{ kind: 'cancel-moves', slots: [7] }]);
  const again = applyChanges(cancelled, [{ kind: 'start-moves', moves: MOVE }]);
  let topology: Topology = moving;
  let tell: (next: Topology) => void = () => undefined;
  const env = {
    clock: loop.clock,
    timers: loop.life(),
    log: { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} },
  };
  const options = {
    env,
    view: {
      get topology() {
        return topology;
      },
      onTopology: (listener: (next: Topology, previous: Topology | undefined) => void) => {
        tell = (next) => {
          const previous = topology;
          topology = next;
          listener(next, previous);
        };
        return () => undefined;
      },
    },
    world: { env, ask: () => undefined, settle: () => undefined },
  } satisfies SlotMovesOptions;
  const moves = new SlotMoves(options);
  let outcome = 'open';
  moves.run(7).then(
    () => (outcome = 'done'),
    () => (outcome = 'given up'),
  );
  await loop.advance(10);
  tell(other);
  await loop.advance(10);
  assert.equal(outcome, 'open', 'another move is no reason');
  // This node has missed the document in between.
  tell(again);
  await loop.advance(10);
  assert.equal(outcome, 'given up');
  moves.close();
});
