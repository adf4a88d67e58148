/**
 * The crash test at full length:
 *
 *     node dist/test/crash/main.js [--kills 50] [--seed N] [--appendfsync always|everysec|no] [--writers 6]
 *         [--pipeline 32] [--load-ms 1500] [--redis] [-- words for the server]
 *
 * --redis tests redis-server instead, to test the test.
 */

import { parseArgs } from 'node:util';

import { startRedis } from '../support/redis-process.ts';
import { crashTest, type CrashOptions } from './kill.ts';

const { values, positionals } = parseArgs({
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
});
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
