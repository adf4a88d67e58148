/**
 * The damage test at full length:
 *
 *     node dist/test/crash/damage-main.js [--trials 60] [--seed N] [--writes 30000] [--ending kill|stop]
 */

import { parseArgs } from 'node:util';

import { damageTest, isBad } from './damage.ts';

const { values } = parseArgs({
  options: {
    trials: { type: 'string', default: '60' },
    seed: { type: 'string', default: String(Date.now() % 1_000_000) },
    writes: { type: 'string', default: '30000' },
    ending: { type: 'string', default: 'kill' },
  },
});
console.log(`seed ${values.seed}`);
const trials = await damageTest({
  trials: Number(values.trials),
  seed: Number(values.seed),
  writes: Number(values.writes),
  ending: values.ending === 'stop' ? 'stop' : 'kill',
  flags: ['--memtable-size', '1mb'],
  report: (line) => console.log(line),
});
for (const verdict of ['refused', 'unchanged', 'cut', 'read errors', 'DIED', 'WRONG'])
  console.log(`${verdict}: ${trials.filter((trial) => trial.verdict === verdict).length}`);
process.exitCode = trials.some(isBad) ? 1 : 0;
