/**
 * `npm run sim -- [--nodes N] …`: with `--nodes` whole nodes of the product (node/main.ts), else the engine alone
 * (engine-main.ts). Both take `--seed S --seeds N --seconds T --keep`; `--trace` prints every event of nodes.
 */

import { parseArgs } from 'node:util';
import { runEngineSeeds } from './engine-main.ts';
import { runNodeSeeds } from './node/main.ts';

const { values } = parseArgs({
  options: {
    nodes: { type: 'string' },
    engine: { type: 'boolean', default: false },
    seed: { type: 'string', default: '1' },
    seeds: { type: 'string' },
    seconds: { type: 'string', default: 'Infinity' },
    keep: { type: 'boolean', default: false },
    trace: { type: 'boolean', default: false },
  },
});

const common = { seed: Number(values.seed), seconds: Number(values.seconds), keep: values.keep };
const isRight =
  values.nodes === undefined || values.engine
    ? await runEngineSeeds({ ...common, seeds: Number(values.seeds ?? 1000) })
    : await runNodeSeeds({
        ...common,
        seeds: Number(values.seeds ?? 100),
        nodes: Number(values.nodes),
        trace: values.trace,
      });
process.exitCode = isRight ? 0 : 1;
