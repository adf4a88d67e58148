/**
 * `npm run nemesis -- [options]`: real nodes under load while they are killed, stopped and cut off from one another;
 * the histories that the clients recorded must be linearizable. Prints the seed, what it did, how long service took to
 * come back after each fault, and what was violated; exit code 1 when anything was.
 */

import { SeededRandom } from '../crash/seeded-random.ts';
import { Clients, type Timed } from './clients.ts';
import { canCut, World } from './world.ts';
import { commandLine } from '../support/command-line.ts';

const HELP = `npm run nemesis -- [options]
  --nodes N        nodes (default 3)
  --seconds N      time under faults (default 30)
  --faults LIST    of kill,stop,cut (default kill,stop; cut needs root for network namespaces)
  --clients N      connections to each node (default 4)
  --rows N         rows they work on (default 40)
  --pause MS       of a client between two operations (default 5)
  --seed N         repeats the choices (not the timing)
  --appendfsync P  default always
`;

/** Time without a fault before, between and after faults: what is normal is measured in it. */
const QUIET_MS = 3_000;

const FAULTS = ['kill', 'stop', 'cut'] as const;
type Fault = (typeof FAULTS)[number];

interface Done {
  readonly fault: string;
  readonly node: number;
  readonly fromMs: number;
  readonly untilMs: number;
}

function isFault(word: string): word is Fault {
  return (FAULTS as readonly string[]).includes(word);
}

const { values } = commandLine(
  HELP,
  {
    options: {
      nodes: { type: 'string', default: '3' },
      seconds: { type: 'string', default: '30' },
      faults: { type: 'string', default: 'kill,stop' },
      clients: { type: 'string', default: '4' },
      rows: { type: 'string', default: '40' },
      pause: { type: 'string', default: '5' },
      seed: { type: 'string', default: String(Math.floor(Math.random() * 1e9)) },
      appendfsync: { type: 'string', default: 'always' },
    },
  },
  ['nodes', 'seconds', 'clients', 'rows', 'pause', 'seed'],
);

async function sleep(ms: number): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, ms));
}

/** One fault from its beginning to its end. */
async function inflict(world: World, fault: Fault, random: SeededRandom): Promise<string> {
  const nodes = world.places.length;
  const node = random.below(nodes);
  const lastsMs = 1_500 + random.below(4_000);
  if (fault === 'kill') {
    await world.kill(node);
    await sleep(lastsMs);
    await world.restart(node);
    return `${node} killed`;
  }
  if (fault === 'stop') {
    world.pause(node);
    await sleep(lastsMs);
    world.resume(node);
    return `${node} stopped`;
  }
  const others = world.places.map((_, i) => i).filter((i) => i !== node);
  const kind = random.pick(['both ways', 'outwards', 'inwards']);
  const cuts = others.flatMap((other) => [
    ...(kind === 'inwards' ? [] : [[node, other] as const]),
    ...(kind === 'outwards' ? [] : [[other, node] as const]),
  ]);
  for (const [from, to] of cuts) world.cut(from, to);
  await sleep(lastsMs);
  for (const [from, to] of cuts) world.mend(from, to);
  return `${node} cut off ${kind}`;
}

/** The last moment in a fault's first part at which a client of another node still had to do without service. */
function normalAgainMs(timeline: readonly Timed[], { fromMs, untilMs, node }: Done, slowMs: number): number {
  const suffered = timeline.filter(
    (each) =>
      each.node !== node &&
      each.callMs + each.tookMs > fromMs &&
      each.callMs < untilMs &&
      (each.outcome !== 'done' || each.tookMs > slowMs),
  );
  return suffered.length === 0 ? 0 : Math.max(...suffered.map((each) => each.callMs + each.tookMs)) - fromMs;
}

async function main(): Promise<number> {
  const faults = values.faults.split(',').filter(isFault);
  const seed = Number(values.seed);
  const random = new SeededRandom(seed);
  const cuts = faults.includes('cut');
  if (cuts && !canCut()) {
    console.error('cut needs the right to make network namespaces');
    return 2;
  }
  console.log(`seed ${seed}; ${values.nodes} nodes; faults ${faults.join(', ')}; appendfsync ${values.appendfsync}`);
  let clients: Clients | undefined;
  const world = await World.start({
    nodes: Number(values.nodes),
    flags: ['--appendfsync', values.appendfsync],
    cuts,
  });
  try {
    clients = new Clients({
      addresses: world.places.map((place) => place.address),
      clientsPerNode: Number(values.clients),
      rows: Number(values.rows),
      pauseMs: Number(values.pause),
      random,
    });
    clients.start();
    await sleep(QUIET_MS);
    const slowMs = Math.max(250, 4 * percentile(clients.timeline, 0.99));
    const done: Done[] = [];
    const endMs = clients.nowMs + Number(values.seconds) * 1000;
    while (clients.nowMs < endMs && faults.length > 0) {
      const fromMs = clients.nowMs;
      const text = await inflict(world, random.pick(faults), random);
      done.push({ fault: text, node: Number.parseInt(text, 10), fromMs, untilMs: clients.nowMs });
      await sleep(QUIET_MS);
    }
    await clients.stop();
    await world.settle();
    await clients.readAll();
    return report(clients, done, slowMs);
  } finally {
    clients?.close();
    await world.stop();
  }
}

function report(clients: Clients, done: readonly Done[], slowMs: number): number {
  const { timeline, history } = clients;
  for (const each of done) {
    const during = timeline.filter(
      ({ callMs, node }) => node !== each.node && callMs > each.fromMs && callMs < each.untilMs,
    );
    const lost = (outcome: Timed['outcome']): number => during.filter((one) => one.outcome === outcome).length;
    const again = normalAgainMs(timeline, each, slowMs).toFixed(0);
    console.log(
      `node ${each.fault} for ${((each.untilMs - each.fromMs) / 1000).toFixed(1)} s: through the others ${during.length} ` +
        `operations, ${lost('failed')} refused, ${lost('uncertain')} uncertain; normal again after ${again} ms`,
    );
  }
  const errors = new Map<string, number>();
  for (const { error } of timeline) if (error !== '') errors.set(error, (errors.get(error) ?? 0) + 1);
  for (const [error, count] of errors) console.log(`  ${count} × ${error}`);
  const { violations, undecided } = clients.judge();
  for (const violation of violations) console.error(violation);
  console.log(
    `${history.size} operations, ${history.answered} answered, ${history.uncertain} uncertain; slow is above ` +
      `${slowMs.toFixed(0)} ms; ${violations.length} violations, ${undecided} rows undecided`,
  );
  return violations.length > 0 ? 1 : 0;
}

function percentile(timeline: readonly Timed[], part: number): number {
  const sorted = timeline.map((each) => each.tookMs).sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length * part)] ?? 0;
}

process.exitCode = await main();
