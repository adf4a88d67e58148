/** The command lines of the tools: `kvorum check DIR`, `kvorum dump DIR [--records]`, `kvorum repair DIR`. */

import { unreachable } from '../assert.ts';
import { check } from './check.ts';
import { dump } from './dump.ts';
import { repair } from './repair.ts';
import { isToolName, type ToolName } from './tool-names.ts';
import { messageOf, type ToolParts } from './tool.ts';

export const toolsHelp = `kvorum check DIR             reads everything in a data directory and says what is wrong
kvorum dump DIR [--records]  prints what is in it
kvorum repair DIR            makes it one that starts again; damaged files go to DIR/lost

The server must not be running on DIR.`;

/** Exit codes: what was asked for is in order, problems were found, the command line makes no sense. */
export const exitCode = { FINE: 0, PROBLEMS: 1, MISTAKE: 2 } as const;

/** Runs `kvorum <argv>`; the exit code. `nowMs` is the wall clock. */
export async function runTool(argv: readonly string[], parts: ToolParts, nowMs: number): Promise<number> {
  const [name, ...rest] = argv;
  const flags = rest.filter((word) => word.startsWith('--'));
  const [directory, ...more] = rest.filter((word) => !word.startsWith('--'));
  const known = flags.every((flag) => name === 'dump' && flag === '--records');
  if (!isToolName(name) || directory === undefined || more.length > 0 || !known) {
    parts.print(toolsHelp);
    return flags.includes('--help') ? exitCode.FINE : exitCode.MISTAKE;
  }
  try {
    const problems = await run(name, directory, parts, { records: flags.includes('--records'), nowMs });
    return problems === 0 ? exitCode.FINE : exitCode.PROBLEMS;
  } catch (error) {
    parts.print(`kvorum ${name}: ${messageOf(error)}`);
    return exitCode.PROBLEMS;
  }
}

function run(
  name: ToolName,
  directory: string,
  parts: ToolParts,
  options: { records: boolean; nowMs: number },
): Promise<number> {
  switch (name) {
    case 'check':
      return check(parts, directory);
    case 'dump':
      return dump(parts, directory, options);
    case 'repair':
      return repair(parts, directory, options);
    default:
      return unreachable(name);
  }
}
