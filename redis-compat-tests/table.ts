/**
 * Prints the compatibility table: for each command the replies compared with redis-server, how many were alike, how many
 * differ by design and how many differ; and in a cluster how many belong to cases about what is not served there (`%apart`).
 *
 *     node dist/redis-compat-tests/table.js [--self] [--differences] [--file NAME] [--nodes N] [--save FILE]
 *     node dist/redis-compat-tests/table.js --readme ONE THREE
 *
 * --self compares two redis-servers (a check of the cases); --differences tells every difference as it is found, on
 * standard error; --file NAME runs one case file; --nodes N asks a cluster of N nodes, each connection another one.
 * --save keeps the counts, and --readme prints the table of the README by groups from those of one node and of three.
 */

import { readFileSync, writeFileSync } from 'node:fs';

import { commandLine } from '../test/support/command-line.ts';
import { TestConnection } from './harness/connection.ts';
import { loadCases } from './harness/load-cases.ts';
import { describe, Reset, runCase } from './harness/run-case.ts';
import { startServers } from './harness/servers.ts';
import { leafBytes, type Tree } from './harness/tree.ts';

/** Cases that take longer are named on standard error. */
const SLOW_MS = 500;

/** Bytes as they are, broken requests among them. */
const RAW = '(bytes)';

const NEWER = 'newer than Redis 7.0';

interface Saved {
  /** Groups of the real server by command. */
  readonly groups: readonly (readonly [command: string, group: string])[];
  readonly rows: readonly (readonly [command: string, row: TableRow])[];
}

interface TableRow {
  alike: number;
  byDesign: number;
  differs: number;
  notServed: number;
}

const HELP = `npm run compat -- [options]
  --self           compares two redis-servers: a check of the cases
  --differences    tells every difference as it is found, on standard error
  --file NAME      one file of cases
  --nodes N        a cluster of N nodes, each connection another one (default 1)
  --save FILE      keeps the counts
  --readme A B     prints the table of the README from what was saved of one node and of three
`;

async function main(): Promise<void> {
  const { values, positionals } = commandLine(HELP, {
    options: {
      self: { type: 'boolean' },
      differences: { type: 'boolean' },
      file: { type: 'string' },
      nodes: { type: 'string', default: '1' },
      save: { type: 'string' },
      readme: { type: 'boolean' },
    },
    allowPositionals: true,
  });
  if (values.readme === true) {
    printGroups(positionals.map((file) => JSON.parse(readFileSync(file, 'utf8')) as Saved));
    return;
  }
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
          const command = outcome.step.kind === 'raw' ? RAW : outcome.command;
          const row = rows.get(command) ?? { alike: 0, byDesign: 0, differs: 0, notServed: 0 };
          rows.set(command, row);
          if (outcome.verdict === 'alike') row.alike++;
          else if (outcome.verdict === 'differs-by-design') row.byDesign++;
          else if (outcome.verdict === 'not-served') row.notServed++;
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
  if (values.save !== undefined) {
    const saved: Saved = { groups: await groupsAt(servers.ports.oracle), rows: [...rows] };
    writeFileSync(values.save, JSON.stringify(saved));
  }
  await servers.stop();
  print(rows, cases, skipped);
  process.exitCode = differences.length === 0 ? 0 : 1;
}

async function groupsAt(port: number): Promise<[string, string][]> {
  const connection = await TestConnection.open(port);
  const docs = await connection.send('COMMAND', 'DOCS');
  connection.close();
  const groups: [string, string][] = [];
  const items = docs.kind === 'array' ? docs.items : [];
  for (let i = 0; i + 1 < items.length; i += 2) {
    const doc = items[i + 1] as Tree;
    const fields = doc.kind === 'array' ? doc.items.map((field) => leafBytes(field).toString()) : [];
    groups.push([
      leafBytes(items[i] as Tree)
        .toString()
        .toUpperCase(),
      fields[fields.indexOf('group') + 1] ?? '',
    ]);
  }
  return groups;
}

/** One line a group: on one node and on several. */
function printGroups(runs: readonly Saved[]): void {
  const groups = new Map(runs[0]?.groups ?? []);
  const groupOf = (command: string): string =>
    command === RAW ? 'protocol' : (groups.get(command.split(' ', 1)[0] ?? '') ?? NEWER);
  const totals = runs.map(({ rows }) => {
    const byGroup = new Map<string, TableRow>();
    for (const [command, row] of rows) {
      for (const group of [groupOf(command), 'all']) {
        const sum = byGroup.get(group) ?? { alike: 0, byDesign: 0, differs: 0, notServed: 0 };
        byGroup.set(group, sum);
        sum.alike += row.alike;
        sum.byDesign += row.byDesign;
        sum.differs += row.differs;
        sum.notServed += row.notServed;
      }
    }
    return byGroup;
  });
  const names = [...new Set(totals.flatMap((each) => [...each.keys()]))].sort((a, b) =>
    a === 'all' ? 1 : b === 'all' ? -1 : a < b ? -1 : 1,
  );
  console.log(
    `| group |${runs.map((_, i) => ` ${i === 0 ? 'one node' : 'three nodes'}: alike | by design | differ |${i === 0 ? '' : ' not served there |'}`).join('')}`,
  );
  console.log(`|---|${runs.map((_, i) => `---:|---:|---:|${i === 0 ? '' : '---:|'}`).join('')}`);
  for (const name of names) {
    const cells = totals.map((each) => each.get(name) ?? { alike: 0, byDesign: 0, differs: 0, notServed: 0 });
    const texts = cells.map(
      ({ alike, byDesign, differs, notServed }, i) =>
        ` ${number(alike)} | ${byDesign} | ${differs} |${i === 0 ? '' : ` ${notServed} |`}`,
    );
    console.log(`| ${name} |${texts.join('')}`);
  }
}

function number(value: number): string {
  return value.toLocaleString('en');
}

function print(rows: Map<string, TableRow>, cases: number, skipped: number): void {
  const total: TableRow = { alike: 0, byDesign: 0, differs: 0, notServed: 0 };
  console.log('| command | alike | differs by design | differs | not served in a cluster |\n|---|---:|---:|---:|---:|');
  for (const [command, row] of [...rows].sort(([a], [b]) => (a < b ? -1 : 1))) {
    console.log(`| ${command} | ${row.alike} | ${row.byDesign} | ${row.differs} | ${row.notServed} |`);
    total.alike += row.alike;
    total.byDesign += row.byDesign;
    total.differs += row.differs;
    total.notServed += row.notServed;
  }
  console.log(`| all | ${total.alike} | ${total.byDesign} | ${total.differs} | ${total.notServed} |`);
  console.log(`\n${cases} cases, each in one protocol; ${skipped} skipped for lack of a command`);
}

await main();
