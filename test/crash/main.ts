/** The crash test at full length: `npm run crash -- [options] [-- words for the server]`. */

import { commandLine } from '../support/command-line.ts';
import { startRedis } from '../support/redis-process.ts';
import { crashTest, type CrashOptions } from './kill.ts';

const HELP = `npm run crash -- [options] [-- words for the server]
  --kills N        default 50
  --seed N         repeats the choices (not the timing)
  --appendfsync P  always, everysec or no (default always)
  --writers N      connections that write (default 6)
  --pipeline N     commands under way on each (default 32)
  --load-ms N      time between a start and the kill (default 1500)
  --redis          tests redis-server instead, to test the test
`;

const { values, positionals } = commandLine(
  HELP,
  {
    allowPositionals: true,
    options: {
      kills: { type: 'string', default: '50' },
      seed: { type: 'string', default: String(Date.now() % 1_000_000) },
      appendfsync: { type: 'string', default: 'always' },
      writers: { type: 'string', default: '6' },
      pipeline: { type: 'string', default: '32' },
      'load-ms': { type: 'string', default: '1500' },
      redis: { type: 'boolean', default: false },
    },
  },
  ['kills', 'seed', 'writers', 'pipeline', 'load-ms'],
);
console.log(`seed ${values.seed}, appendfsync ${values.appendfsync}`);
const options: CrashOptions = {
  kills: Number(values.kills),
  seed: Number(values.seed),
  appendfsync: values.appendfsync as CrashOptions['appendfsync'],
  writers: Number(values.writers),
  pipeline: Number(values.pipeline),
  loadMs: Number(values['load-ms']),
  flags: values.redis ? ['--appendonly', 'yes', ...positionals] : positionals,
  ...(values.redis ? { start: startRedis } : {}),
  report: (line) => console.log(line),
};
const report = await crashTest(options);
const slowest = Math.max(...report.restartsMs).toFixed(0);
console.log(`${report.acknowledged} operations acknowledged, slowest restart ${slowest} ms`);
for (const problem of report.problems) console.log(`PROBLEM ${problem}`);
process.exitCode = report.problems.length === 0 ? 0 : 1;
