/** The damage test at full length: `node dist/test/crash/damage-main.js [options]`. */

import { commandLine } from '../support/command-line.ts';
import { damageTest, isBad } from './damage.ts';

const HELP = `node dist/test/crash/damage-main.js [options]
  --trials N       default 60
  --seed N         repeats the choices (not the timing)
  --writes N       of each trial (default 30000)
  --ending E       kill or stop (default kill)
`;

const { values } = commandLine(
  HELP,
  {
    options: {
      trials: { type: 'string', default: '60' },
      seed: { type: 'string', default: String(Date.now() % 1_000_000) },
      writes: { type: 'string', default: '30000' },
      ending: { type: 'string', default: 'kill' },
    },
  },
  ['trials', 'seed', 'writes'],
);
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
