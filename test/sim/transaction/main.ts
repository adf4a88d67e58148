/** Seeds of transactions: `npm run sim -- --transactions --seed S --seeds N [--mutant M]`. */

import { runScene } from './scene.ts';

/** Runs seeds; true: none was found wrong. With a mutant one must be: then true when it was. */
export async function runTransactionSeeds(options: {
  readonly seed: number;
  readonly seeds: number;
  readonly seconds: number;
  readonly keep: boolean;
  readonly mutant?: string | undefined;
}): Promise<boolean> {
  const until = performance.now() + options.seconds * 1000;
  const sum = { seeds: 0, operations: 0, transactions: 0, committed: 0, unknown: 0, failed: 0 };
  for (let seed = options.seed; seed < options.seed + options.seeds && performance.now() < until; seed++) {
    const outcome = await runScene(seed);
    sum.seeds++;
    for (const key of ['operations', 'transactions', 'committed', 'unknown'] as const) sum[key] += outcome[key];
    if (outcome.errors.length === 0) continue;
    sum.failed++;
    if (options.mutant !== undefined) {
      console.log(`caught by seed ${seed}: ${outcome.errors[0]}`);
      return true;
    }
    console.log(`seed ${seed}:\n  ${outcome.errors.slice(0, 5).join('\n  ')}`);
    if (!options.keep) break;
  }
  console.log(
    Object.entries(sum)
      .map(([name, value]) => `${value} ${name}`)
      .join(', '),
  );
  if (options.mutant !== undefined) console.log(`not caught in ${sum.seeds} seeds`);
  return options.mutant === undefined && sum.failed === 0;
}
