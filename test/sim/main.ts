/**
 * `npm run sim -- [--nodes N] …`: with `--nodes` whole nodes of the product (node/main.ts), else the engine alone
 * (engine-main.ts); with `--transactions` transactions alone (transaction/main.ts). All take `--seed S --seeds N --seconds T --keep`; `--trace` prints every event of nodes.
 * `--mutant M` breaks the product in one place (node/mutants.ts) and looks for a seed that notices; `--mutant all`: each.
 */

import { commandLine, refuse } from '../support/command-line.ts';
import { applyMutant, hunt } from './node/mutant-run.ts';
import { mutantOf, mutants } from './node/mutants.ts';
import { transactionMutants } from './transaction/mutants.ts';

const HELP = `npm run sim -- [options]
  --nodes N        whole nodes of the product; without it the engine alone
  --transactions   transactions over simulated rows
  --seed S         the first seed (default 1)
  --seeds N        how many (default 1000 of the engine, else 100)
  --seconds T      no further seed after so long
  --keep           goes on after a seed that failed
  --trace          prints every event (whole nodes)
  --mutant M       breaks the product in one place and looks for a seed that notices; all: each place in turn
`;

const { values } = commandLine(
  HELP,
  {
    options: {
      nodes: { type: 'string' },
      engine: { type: 'boolean', default: false },
      transactions: { type: 'boolean', default: false },
      seed: { type: 'string', default: '1' },
      seeds: { type: 'string' },
      seconds: { type: 'string', default: 'Infinity' },
      keep: { type: 'boolean', default: false },
      trace: { type: 'boolean', default: false },
      mutant: { type: 'string' },
    },
  },
  ['nodes', 'seed', 'seeds', 'seconds'],
);

const common = { seed: Number(values.seed), seconds: Number(values.seconds), keep: values.keep };

async function run(): Promise<boolean> {
  const { mutant, trace } = values;
  const seeds = Number(values.seeds ?? 100);
  if (values.transactions) {
    if (mutant !== undefined) breakProduct(mutant, transactionMutants);
    const { runTransactionSeeds } = await import('./transaction/main.ts');
    return runTransactionSeeds({ ...common, seeds, mutant });
  }
  if (mutant === 'all') return huntAll(seeds);
  if (mutant !== undefined) {
    breakProduct(mutant, mutants);
    const { huntSeeds } = await import('./node/main.ts');
    return huntSeeds({ ...common, seeds, mutant: mutantOf(mutant), trace });
  }
  if (values.nodes !== undefined && !values.engine) {
    const { runNodeSeeds } = await import('./node/main.ts');
    return runNodeSeeds({ ...common, seeds, nodes: Number(values.nodes), trace });
  }
  const { runEngineSeeds } = await import('./engine-main.ts');
  return runEngineSeeds({ ...common, seeds: Number(values.seeds ?? 1000) });
}

function breakProduct(mutant: string, among: Parameters<typeof applyMutant>[1]): void {
  if (among[mutant] === undefined) refuse(`no mutant ${mutant}; there are ${Object.keys(among).join(', ')}`);
  applyMutant(mutant, among);
}

async function huntAll(seeds: number): Promise<boolean> {
  let missed = 0;
  for (const name of Object.keys(mutants)) {
    const { caught, output } = await hunt(name, { seed: common.seed, seeds });
    console.log(`${name}: ${output.trim().split('\n').at(-1)}`);
    if (!caught) missed++;
  }
  return missed === 0;
}

process.exitCode = (await run()) ? 0 : 1;
