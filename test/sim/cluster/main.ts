/**
 * The cluster simulator: `node dist/test/sim/cluster/main.js --seed S --seeds N [--mutant M] [--moves on|off] [--stop K]`
 *
 * Runs N seeds from S on and prints, for each violation, the seed and all that was drawn from it; the same seed replays
 * exactly. With `--mutant M` the rule M is broken (`--mutant all`: each in turn) and a violation is what is wanted.
 * Exits 1 when the product's rules were violated, or a mutant was not caught.
 */

import { commandLine, refuse } from '../../support/command-line.ts';
import { mutants, rareMutants } from './mutants.ts';
import { productRules, type Rules } from './rules.ts';
import { runScene } from './scene.ts';

const HELP = `npm run sim:cluster -- [options]
  --seed S         the first seed (default 1)
  --seeds N        how many (default 100)
  --moves on|off   whether slots move; without it the seed decides
  --mutant M       breaks a rule, and a violation is what is wanted; all: each rule in turn
  --stop K         ends after so many failing seeds (default 5)
  --verbose        prints what was drawn for violations of mutants too
`;

const { values } = commandLine(
  HELP,
  {
    options: {
      seed: { type: 'string', default: '1' },
      seeds: { type: 'string', default: '100' },
      mutant: { type: 'string' },
      moves: { type: 'string' },
      /** Stop after so many failing seeds. */
      stop: { type: 'string', default: '5' },
      verbose: { type: 'boolean', default: false },
    },
  },
  ['seed', 'seeds', 'stop'],
);

interface Tally {
  failing: number;
  first: number | undefined;
  seeds: number;
  readonly kinds: Map<string, number>;
  operations: number;
  answered: number;
  uncertain: number;
  undecided: number;
  crashes: number;
  moves: number;
  redelivered: number;
}

const PROGRESS_MS = 5_000;

function runSeeds(name: string, rules: Rules, from: number, count: number, stop: number): Tally {
  const tally: Tally = {
    failing: 0,
    first: undefined,
    seeds: 0,
    kinds: new Map(),
    operations: 0,
    answered: 0,
    uncertain: 0,
    undecided: 0,
    crashes: 0,
    moves: 0,
    redelivered: 0,
  };
  const started = Date.now();
  let shown = started;
  for (let seed = from; seed < from + count && tally.failing < stop; seed++) {
    const moves = values.moves === undefined ? {} : { moves: values.moves === 'on' };
    const result = runScene({ seed, rules, ...moves });
    tally.seeds++;
    tally.operations += result.operations;
    tally.answered += result.answered;
    tally.uncertain += result.uncertain;
    tally.undecided += result.undecided;
    tally.crashes += result.crashes;
    tally.moves += result.moves;
    tally.redelivered += result.redelivered;
    if (result.violations.length > 0) {
      tally.failing++;
      tally.first ??= seed;
      for (const kind of result.violations) tally.kinds.set(kind, (tally.kinds.get(kind) ?? 0) + 1);
      if (rules === productRules || values.verbose) console.log(`seed ${seed}:`, JSON.stringify(result, null, 1));
    }
    if (Date.now() - shown > PROGRESS_MS) {
      shown = Date.now();
      console.log(`… ${name}: ${tally.seeds}/${count} seeds, ${tally.failing} failing`);
    }
  }
  const seconds = ((Date.now() - started) / 1000).toFixed(1);
  const kinds = [...tally.kinds].map(([kind, number]) => `${kind} ×${number}`).join(', ');
  console.log(
    `${name}: ${tally.seeds} seeds from ${from}, ${tally.failing} failing` +
      (tally.first === undefined ? '' : `, first ${tally.first} (${kinds})`) +
      `; ${tally.operations} operations, ${tally.answered} answered, ${tally.uncertain} uncertain, ` +
      `${tally.crashes} crashes, ${tally.moves} moves, ${tally.redelivered} redelivered, ${tally.undecided} undecided; ${seconds} s`,
  );
  return tally;
}

const from = Number(values.seed);
const count = Number(values.seeds);
const stop = Number(values.stop);
let failed = false;
if (values.mutant === undefined) {
  failed = runSeeds('product', productRules, from, count, stop).failing > 0;
} else {
  const names = values.mutant === 'all' ? Object.keys(mutants) : [values.mutant];
  for (const name of names) {
    const rules = mutants[name] ?? rareMutants[name];
    if (rules === undefined) refuse(`no mutant ${name}; there are ${Object.keys(mutants).join(', ')}`);
    if (runSeeds(name, rules, from, count, stop).failing === 0) failed = true;
  }
}
process.exitCode = failed ? 1 : 0;
