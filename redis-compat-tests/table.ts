/**
 * Prints the compatibility table for the README: for each command the replies compared with redis-server, how many
 * were alike, how many differ by design and how many differ.
 *
 *     node dist/redis-compat-tests/table.js [--self] [--differences] [--file NAME] [--nodes N]
 *
 * --self compares two redis-servers (a check of the cases); --differences tells every difference as it is found, on standard error; --file NAME runs
 * one case file; --nodes N asks a cluster of N nodes, each connection another one.
 */

import { parseArgs } from 'node:util';

import { loadCases } from './harness/load-cases.ts';
import { describe, Reset, runCase } from './harness/run-case.ts';
import { startServers } from './harness/servers.ts';

/** Cases that take longer are named on standard error. */
const SLOW_MS = 500;

interface TableRow {
  alike: number;
  byDesign: number;
  differs: number;
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      self: { type: 'boolean' },
      differences: { type: 'boolean' },
      file: { type: 'string' },
      nodes: { type: 'string', default: '1' },
    },
  });
  const servers = await startServers(values.self === true ? 'self' : Number(values.nodes));
  const reset = new Reset(servers.ports);
  const rows = new Map<string, TableRow>();
  const differences: string[] = [];
  let cases = 0;
  let skipped = 0;
  for (const [file, entries] of loadCases()) {
    if (values.file !== undefined && file !== values.file) continue;
    for (const entry of entries) {
      if (values.self === true && (entry.from !== undefined || entry.oracle === 'cluster')) continue;
      if ((await reset.missing(entry.needs)).length > 0) {
        skipped++;
        continue;
      }
      for (const protocol of entry.protocols) {
        cases++;
        const started = performance.now();
        const outcomes = await runCase(entry, protocol, servers.ports, reset);
        const elapsedMs = performance.now() - started;
        if (elapsedMs > SLOW_MS) console.error(`${file}: ${entry.title}: ${elapsedMs.toFixed(0)} ms`);
        for (const outcome of outcomes) {
          if (values.self === true && outcome.step.comparison.how === 'differs') continue;
          if (outcome.verdict === 'not-compared') continue;
          const row = rows.get(outcome.command) ?? { alike: 0, byDesign: 0, differs: 0 };
          rows.set(outcome.command, row);
          if (outcome.verdict === 'alike') row.alike++;
          else if (outcome.verdict === 'differs-by-design') row.byDesign++;
          else {
            row.differs++;
            const difference = `RESP${protocol} "${entry.title}" ${describe(outcome, file)}`;
            differences.push(difference);
            if (values.differences === true) console.error(difference);
          }
        }
      }
    }
  }
  reset.close();
  await servers.stop();
  print(rows, cases, skipped);
  process.exitCode = differences.length === 0 ? 0 : 1;
}

function print(rows: Map<string, TableRow>, cases: number, skipped: number): void {
  const total: TableRow = { alike: 0, byDesign: 0, differs: 0 };
  console.log('| command | alike | differs by design | differs |\n|---|---:|---:|---:|');
  for (const [command, row] of [...rows].sort(([a], [b]) => (a < b ? -1 : 1))) {
    console.log(`| ${command} | ${row.alike} | ${row.byDesign} | ${row.differs} |`);
    total.alike += row.alike;
    total.byDesign += row.byDesign;
    total.differs += row.differs;
  }
  console.log(`| all | ${total.alike} | ${total.byDesign} | ${total.differs} |`);
  console.log(`\n${cases} cases, each in one protocol; ${skipped} skipped for lack of a command`);
}

await main();
