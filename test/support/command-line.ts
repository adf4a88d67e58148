/** Command lines of the simulators, benches and long tests: one way to give help and to refuse what is not understood. */

import { parseArgs, type ParseArgsConfig } from 'node:util';

type Config = Omit<ParseArgsConfig, 'strict' | 'tokens' | 'args'> & { readonly args?: readonly string[] };
type Parsed<T extends Config> = ReturnType<typeof parseArgs<Omit<T, 'args'>>>;

/**
 * The options of a command line as `parseArgs` of Node reads them. `--help` or `-h` prints `help` and ends the process; what
 * is not understood is told in one line on standard error, and the process ends with exit code 2. `numbers`: options that must be numbers.
 */
export function commandLine<T extends Config>(help: string, config: T, numbers: readonly string[] = []): Parsed<T> {
  const { args = process.argv.slice(2), ...rest } = config;
  const end = args.indexOf('--');
  const words = end < 0 ? args : args.slice(0, end);
  if (words.includes('--help') || words.includes('-h')) {
    console.log(help.trimEnd());
    process.exit(0);
  }
  try {
    const parsed = parseArgs({ ...rest, args: [...args] });
    for (const name of numbers) {
      const value = (parsed.values as Readonly<Record<string, unknown>>)[name];
      if (typeof value === 'string' && (value === '' || Number.isNaN(Number(value)))) {
        throw new Error(`--${name} takes a number, not '${value}'`);
      }
    }
    return parsed as Parsed<T>;
  } catch (thrown) {
    return refuse(thrown instanceof Error ? thrown.message : String(thrown));
  }
}

/** Says in one line what is wrong with the command line, and ends the process with exit code 2. */
export function refuse(why: string): never {
  // Node adds hints on further sentences.
  console.error(`${why.split('. ', 1)[0]}; --help tells what there is`);
  process.exit(2);
}
