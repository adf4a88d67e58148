/** The command line: `kvorum [kvorum.conf] [--directive value …]`, with Redis's directives as flags. */

import type { Option } from './config-option.ts';
import { optionGroups, options } from './config-table.ts';
import { isBackupName } from './tools/backup-names.ts';
import { isToolName, toolNames } from './tools/tool-names.ts';

export type CommandLine =
  | { readonly kind: 'help' }
  | { readonly kind: 'version' }
  /** Start a node: the file, if one was named, and the `--directive value …` arguments as they stand. */
  | { readonly kind: 'start'; readonly path: string | undefined; readonly args: readonly string[] }
  /** A tool for a data directory: `check`, `dump` or `repair` and what follows. */
  | { readonly kind: 'tool'; readonly argv: readonly string[] }
  /** `backup` or `restore` and what follows. */
  | { readonly kind: 'backup'; readonly argv: readonly string[] }
  /** Several nodes on this machine: what follows `demo`. */
  | { readonly kind: 'demo'; readonly argv: readonly string[] }
  /** The line makes no sense; `message` says what would. */
  | { readonly kind: 'mistake'; readonly message: string };

/** What the arguments after the program's name ask for. */
export function parseCommandLine(argv: readonly string[]): CommandLine {
  const [first] = argv;
  if (isToolName(first)) return { kind: 'tool', argv };
  if (isBackupName(first)) return { kind: 'backup', argv };
  if (first === 'demo') return { kind: 'demo', argv: argv.slice(1) };
  if (first === '-h' || argv.includes('--help')) return { kind: 'help' };
  if (first === '-v' || argv.includes('--version')) return { kind: 'version' };
  const hasPath = first !== undefined && !first.startsWith('--');
  if (hasPath && first.startsWith('-')) {
    return { kind: 'mistake', message: `unknown flag '${first}'; directives begin with --, see --help` };
  }
  return { kind: 'start', path: hasPath ? first : undefined, args: hasPath ? argv.slice(1) : argv };
}

const USAGE = `$0 [kvorum.conf] [--directive value ...]

A Redis server whose data lives on disk, with the names of redis.conf;
flags stand above the file. Without either it serves 127.0.0.1:6379, data in ./data.

$0 ${toolNames.join('|')} DIR  looks at or mends the data of a server that is not running.
$0 backup ... TARGET, $0 restore SOURCE --dir DIR: see $0 backup --help.
$0 demo --nodes 3  starts a cluster on this machine and says what to try.`;

/** The text of `--help`, as wide as `columns` allows. */
export async function helpText(columns: number): Promise<string> {
  // Loaded here: it takes longer than all else that a start needs.
  const { default: yargs } = await import('yargs');
  let parser = yargs([])
    .scriptName('kvorum')
    .usage(USAGE)
    .help(false)
    .version(false)
    .option('help', { alias: 'h', type: 'boolean', describe: 'this text' })
    .option('version', { alias: 'v', type: 'boolean', describe: 'the version' })
    .example('$0 --port 7000 --appendfsync always', 'a write is on the disk before it is answered')
    .example('$0 /etc/kvorum.conf --loglevel debug', 'the file, with one directive replaced')
    .wrap(columns);
  for (const [group, names] of Object.entries(optionGroups)) {
    for (const name of names) {
      const option = options[name] as Option<unknown>;
      const initial = option.format(option.initial);
      parser = parser.option(name, {
        group,
        describe: option.summary,
        defaultDescription: initial === '' ? 'empty' : name === 'dir' ? String(option.initial) : initial,
        default: initial,
      });
    }
  }
  return await parser.getHelp();
}
