/** Who this node is, as its data directory remembers: the clock's ceiling, the actor of its versions, its name. */

import type { DurableValues } from './cluster/durable-values.ts';
import type { Env } from './env.ts';
import { CLOCK_CEILING, Hlc } from './repl/hlc.ts';

export interface Identity {
  readonly hlc: Hlc;
  /** The clock's ceiling that the last life persisted, a stamp: whatever that life promised lies below. 0: no life before. */
  readonly ceilingBefore: number;
  /** u32, not 0. */
  readonly actor: number;
  /** 40 hex digits. */
  readonly nodeId: string;
}

const NODE_ID_BYTES = 20;

/** Remembers, or on a fresh directory makes, the identity of this node. */
export async function identify(env: Env, values: DurableValues): Promise<Identity> {
  const known = values.getValue('node-id');
  const id = known?.length === NODE_ID_BYTES ? known : env.random.bytes(NODE_ID_BYTES);
  if (known === undefined) await values.setValue('node-id', id);
  const ceiling = values.getValue(CLOCK_CEILING);
  const ceilingBefore = ceiling === undefined ? 0 : Number(Buffer.from(ceiling).toString('latin1'));
  const hlc = new Hlc({
    wallMs: () => env.clock.wallMs(),
    ceiling: ceilingBefore,
    persist: (stamp) => values.setValue(CLOCK_CEILING, Buffer.from(String(stamp), 'latin1')),
  });
  await hlc.ready;
  // One node is one actor: its identity's first bytes. Stamps never come twice, so its lives need not differ in it.
  const actor = Buffer.from(id).readUInt32BE(0) || 1;
  return { hlc, ceilingBefore, actor, nodeId: Buffer.from(id).toString('hex') };
}
