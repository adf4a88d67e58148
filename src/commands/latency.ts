/** LATENCY: what took long, and how times of commands are spread. */

import type { View } from '../repl/view.ts';
import type { Args } from './args.ts';
import type { Command, Context } from './command.ts';
import { CommandError } from './errors.ts';
import type { LatencyEvent } from './latency-monitor.ts';
import { MapReply, type Reply, VerbatimReply } from './reply.ts';
import { ADMIN, container, plainRow, type PlainRow } from './server-row.ts';

const GRAPH_COLUMNS = 80;
const GRAPH_ROWS = 8;

function texts(args: Args, from: number): string[] {
  return Array.from({ length: Math.max(0, args.count - from) }, (_, i) => args.utf8(i + from));
}

function latest(_view: View, _args: Args, { server }: Context): Reply {
  return server.latency.events().map((event) => {
    const last = event.samples.at(-1);
    return [event.name, last?.time ?? 0, last?.ms ?? 0, event.maxMs];
  });
}

function history(_view: View, args: Args, { server }: Context): Reply {
  return (server.latency.event(args.utf8(2))?.samples ?? []).map(({ time, ms }) => [time, ms]);
}

function graph(_view: View, args: Args, { server }: Context): Reply {
  const event = server.latency.event(args.utf8(2));
  if (event === undefined) throw new CommandError(`ERR No samples available for event '${args.text(2)}'`);
  return new VerbatimReply('txt', drawGraph(event));
}

/** A column a sample, newest on the right; the longest is as high as the graph. */
function drawGraph(event: LatencyEvent): string {
  const samples = event.samples.slice(-GRAPH_COLUMNS);
  const worst = samples.reduce((max, { ms }) => Math.max(max, ms), 0);
  const best = samples.reduce((min, { ms }) => Math.min(min, ms), worst);
  const lines = [`${event.name} - high ${worst} ms, low ${best} ms (all time high ${event.maxMs} ms)`, '-'.repeat(80)];
  for (let row = GRAPH_ROWS; row > 0; row--) {
    lines.push(
      samples
        .map(({ ms }) => ((ms * GRAPH_ROWS) / worst > row - 1 ? '#' : ' '))
        .join('')
        .trimEnd(),
    );
  }
  return `${lines.join('\n')}\n`;
}

function reset(_view: View, args: Args, { server }: Context): Reply {
  return server.latency.reset(texts(args, 2));
}

function doctor(_view: View, _args: Args, { server }: Context): Reply {
  const { latency } = server;
  if (latency.thresholdMs === 0) {
    return new VerbatimReply(
      'txt',
      'Latency monitoring is off. Turn it on with CONFIG SET latency-monitor-threshold <milliseconds>.\n',
    );
  }
  const events = latency.events();
  if (events.length === 0) {
    return new VerbatimReply(
      'txt',
      `Nothing took ${latency.thresholdMs} ms or more since the start or the last reset.\n`,
    );
  }
  const lines = events.map(({ name, samples, maxMs }) => {
    const mean = samples.reduce((sum, { ms }) => sum + ms, 0) / samples.length;
    return `${name}: ${samples.length} slow seconds, mean ${mean.toFixed(0)} ms, worst ${maxMs} ms`;
  });
  return new VerbatimReply(
    'txt',
    `${lines.join('\n')}\nSLOWLOG GET shows the commands, INFO engine the work of the disk.\n`,
  );
}

function histogram(_view: View, args: Args, { server }: Context): Reply {
  const names = new Set(texts(args, 2).map((name) => name.toLowerCase()));
  const isWanted = (name: string): boolean =>
    names.size === 0 || names.has(name) || names.has(name.slice(0, Math.max(0, name.indexOf('|'))));
  const stats = [...server.commandStats.all()].filter((stat) => stat.hasTimes && isWanted(stat.name));
  return new MapReply(
    stats.map((stat) => [
      stat.name,
      new MapReply([
        ['calls', stat.calls],
        ['histogram_usec', new MapReply(stat.cumulative())],
      ]),
    ]),
  );
}

const rows: readonly PlainRow[] = [
  {
    name: 'latest',
    arity: 2,
    flags: ADMIN,
    since: '2.8.13',
    summary: 'The latest sample of every event.',
    run: latest,
  },
  { name: 'history', arity: 3, flags: ADMIN, since: '2.8.13', summary: 'The samples of one event.', run: history },
  { name: 'graph', arity: 3, flags: ADMIN, since: '2.8.13', summary: 'The samples of one event, drawn.', run: graph },
  { name: 'reset', arity: -2, flags: ADMIN, since: '2.8.13', summary: 'Forgets samples.', run: reset },
  { name: 'doctor', arity: 2, flags: ADMIN, since: '2.8.13', summary: 'The events in words.', run: doctor },
  {
    name: 'histogram',
    arity: -2,
    flags: ADMIN,
    since: '7.0.0',
    summary: 'How the times of commands are spread.',
    complexity: 'O(N) for N commands',
    run: histogram,
  },
];

export const latencyCommands: readonly Command[] = [
  container({
    name: 'latency',
    group: 'server',
    since: '2.8.13',
    summary: 'What took long.',
    subcommands: rows.map((row) => plainRow('server', row)),
    help: [
      'LATEST',
      '    Return the latest sample of every event.',
      'HISTORY <event>',
      '    Return the samples of an event.',
      'GRAPH <event>',
      '    Draw the samples of an event.',
      'RESET [<event> ...]',
      '    Forget the samples of these events, or of all.',
      'DOCTOR',
      '    Tell in words what took long.',
      'HISTOGRAM [<command> ...]',
      '    Return how many calls took at most 1, 2, 4, ... microseconds.',
    ],
  }),
];
