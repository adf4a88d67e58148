/** The repository checks itself: import arrows, the one door to the world, sizes, comments, dead files, cycles. */

import assert from 'node:assert/strict';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

/** A file longer than this is several concepts. */
const MAX_LINES = 1000;
/** Worth a look: printed, not refused. */
const LONG_LINES = 600;

/** Folder → folders under src/ it may import from, besides itself and the root files. */
const arrows: Readonly<Record<string, readonly string[]>> = {
  engine: [],
  cluster: [],
  repl: ['engine', 'cluster'],
  commands: ['repl', 'engine', 'cluster'],
  resp: ['commands', 'repl', 'engine', 'cluster'],
  tools: ['repl', 'engine', 'cluster'],
};

/** Root files that every folder may import. `log` and `env-node` belong to main and node. */
const commonRoot = /^(?:env|assert|bytes|config[a-z-]*)\.ts$/;

const bannedModules = ['node:fs', 'node:fs/promises', 'node:net', 'node:tls', 'node:worker_threads', 'node:timers'];
const bannedCalls =
  /\b(?:Date\.now|new Date\(\)|Math\.random|performance\.now|process\.hrtime)|\b(?:setTimeout|setInterval|setImmediate)\(/;

const bannedComments = [
  { pattern: /\b(?:TODO|FIXME|XXX|HACK)\b/, what: 'a note of unfinished work' },
  { pattern: /@ts-(?:ignore|nocheck|expect-error)/, what: 'a type error that is hidden' },
  { pattern: /(?:oxlint|eslint|prettier|oxfmt)-(?:disable|ignore)/, what: 'a lint rule that is switched off' },
];
const anyType = /(?::\s*|<|as\s+|\|\s*|,\s*)any\b(?=\s*[;,)>|=[\]{]|$)/;
/** Modules that something starts by their address rather than by an import. */
const threadEntry = /(?:-thread|-thread-main|-filter)\.ts$/;

const root = resolve(dirname(fileURLToPath(import.meta.url)), '../..');
const source = join(root, 'src');

interface SourceFile {
  /** Relative to src/ (or to the root, for tests), with forward slashes. */
  readonly path: string;
  readonly text: string;
  readonly imports: readonly { readonly target: string; readonly typeOnly: boolean }[];
}

function filesUnder(directory: string): string[] {
  if (!existsSync(directory)) return [];
  const entries = readdirSync(directory, { withFileTypes: true });
  return entries
    .flatMap((entry) => {
      const path = join(directory, entry.name);
      return entry.isDirectory() ? filesUnder(path) : entry.name.endsWith('.ts') ? [path] : [];
    })
    .sort();
}

/** The text without its comments, so that a word in a sentence is not taken for code. Strings stay. */
function withoutComments(text: string): string {
  return text.replaceAll(
    /('(?:\\.|[^'\\\n])*'|`(?:\\.|[^`\\])*`)|\/\*[\s\S]*?\*\/|\/\/[^\n]*/g,
    (all, literal?: string) => (literal === undefined ? all.replaceAll(/[^\n]/g, ' ') : all),
  );
}

const importPattern =
  /^\s*(?:import|export)\s+(type\s)?[^;'"]*?from\s+'([^']+)'|^\s*import\s+'([^']+)'|\bimport\('([^']+)'\)/gm;

function load(absolute: string, base: string): SourceFile {
  const text = readFileSync(absolute, 'utf8');
  const imports = [...withoutComments(text).matchAll(importPattern)].map((match) => ({
    target: match[2] ?? match[3] ?? match[4] ?? '',
    typeOnly: match[1] !== undefined,
  }));
  return { path: relative(base, absolute).replaceAll('\\', '/'), text, imports };
}

const sources = filesUnder(source).map((path) => load(path, source));
const everything = ['src', 'test', 'redis-compat-tests'].flatMap((folder) =>
  filesUnder(join(root, folder)).map((path) => load(path, root)),
);

/** Path under src/ that a relative import leads to. */
function targetOf(file: SourceFile, target: string): string | undefined {
  return target.startsWith('.') ? relative(source, resolve(source, dirname(file.path), target)) : undefined;
}

function folderOf(path: string): string {
  return path.includes('/') ? path.slice(0, path.indexOf('/')) : '';
}

function isWorld(path: string): boolean {
  return /^env-node[a-z-]*\.ts$/.test(path);
}

function none(problems: readonly string[], rule: string): void {
  assert.deepEqual(problems, [], `${rule}:\n  ${problems.join('\n  ')}`);
}

void test('the rules see the source', () => {
  const imports = sources.flatMap((file) => file.imports.map(({ target }) => targetOf(file, target)));
  assert.ok(sources.length > 10 && imports.filter((target) => target === 'env.ts').length > 3);
  assert.ok(bannedCalls.test('x = Date.now();') && bannedCalls.test('setTimeout(f, 1)'));
  assert.match(withoutComments("a // setTimeout(\nb '// kept'"), /^a +\nb '\/\/ kept'$/);
  assert.ok(anyType.test('const x: any = 1') && anyType.test('x as any;') && !anyType.test('has any rights'));
});

void test('imports follow the arrows between folders', () => {
  const problems = sources.flatMap((file) => {
    const folder = folderOf(file.path);
    return file.imports.flatMap(({ target }) => {
      const to = targetOf(file, target);
      if (to === undefined) return [];
      if (to.startsWith('..')) return [`${file.path} imports ${target}, which is outside src/`];
      const toFolder = folderOf(to);
      if (folder === '')
        return toFolder === '' || /^(?:main|main-[a-z-]+|cli|node|node-[a-z-]+)\.ts$/.test(file.path)
          ? []
          : [`${file.path} → ${to}`];
      const allowed = toFolder === '' ? commonRoot.test(to) : toFolder === folder || arrows[folder]?.includes(toFolder);
      return allowed === true ? [] : [`${file.path} → ${to}`];
    });
  });
  none(problems, 'nothing imports upward (main → node → resp → commands → repl → engine, cluster)');
});

void test('the world comes in through env.ts only', () => {
  const problems = sources.flatMap((file) => {
    if (isWorld(file.path)) return [];
    const modules = file.imports.filter(({ target }) => bannedModules.includes(target)).map(({ target }) => target);
    const calls = withoutComments(file.text)
      .split('\n')
      .flatMap((line, index) => (bannedCalls.test(line) ? [`line ${index + 1}: ${line.trim()}`] : []));
    return [...modules, ...calls].map((what) => `${file.path}: ${what}`);
  });
  none(problems, 'clock, timers, randomness, files, sockets and threads only in src/env-node*.ts');
});

void test('no file is too long', (context) => {
  const lengths = everything.map((file) => ({ path: file.path, lines: file.text.split('\n').length }));
  for (const { path, lines } of lengths) {
    if (lines > LONG_LINES) context.diagnostic(`long: ${path} has ${lines} lines`);
  }
  const problems = lengths.filter(({ lines }) => lines > MAX_LINES).map(({ path, lines }) => `${path}: ${lines} lines`);
  none(problems, `no file over ${MAX_LINES} lines`);
});

void test('no hidden errors, no unfinished work, no any', () => {
  const problems = everything.flatMap((file) => {
    if (file.path === 'test/house-rules.test.ts') return [];
    const lines = file.text.split('\n');
    const bare = withoutComments(file.text).split('\n');
    return lines.flatMap((line, index) => {
      const found = bannedComments.filter(({ pattern }) => pattern.test(line)).map(({ what }) => what);
      if (anyType.test((bare[index] ?? '').replaceAll(/'[^']*'|`[^`]*`/g, "''"))) found.push('the type any');
      return found.map((what) => `${file.path}:${index + 1}: ${what}`);
    });
  });
  none(problems, 'the source hides nothing');
});

void test('file names are kebab-case', () => {
  const problems = everything.filter(({ path }) => !/^(?:[a-z0-9-]+\/)*[a-z0-9-]+(?:\.test)?\.ts$/.test(path));
  none(
    problems.map(({ path }) => path),
    'kebab-case',
  );
});

void test('imports under src/ make no cycle', () => {
  const byPath = new Map(sources.map((file) => [file.path, file]));
  const state = new Map<string, 'open' | 'done'>();
  const problems: string[] = [];
  const visit = (path: string, trail: readonly string[]): void => {
    if (state.get(path) === 'done') return;
    if (state.get(path) === 'open') {
      problems.push([...trail.slice(trail.indexOf(path)), path].join(' → '));
      return;
    }
    const file = byPath.get(path);
    if (file === undefined) return;
    state.set(path, 'open');
    for (const { target, typeOnly } of file.imports) {
      const to = targetOf(file, target);
      // A type is gone once built: two concepts may name each other's shapes.
      if (to !== undefined && !typeOnly) visit(to, [...trail, path]);
    }
    state.set(path, 'done');
  };
  for (const file of sources) visit(file.path, []);
  none(problems, 'no import cycles');
});

/**
 * Cores of the cluster that are driven in simulation (test/sim/cluster/) and by their tests before any socket sees them:
 * the shells that wire them into main.ts come next, and each name leaves this list with its shell.
 */
const CORES_BEFORE_THEIR_SHELLS = [
  'cluster/placement.ts',
  'cluster/swim-codec.ts',
  'cluster/swim-core.ts',
  'cluster/topology-codec.ts',
  'repl/acceptor.ts',
  'repl/move-core.ts',
  'repl/owner-codec.ts',
  'repl/read-core.ts',
  'repl/register-core.ts',
];

void test('every file under src/ is reached from main.ts, is started as a thread or is a core under simulation', (context) => {
  const byPath = new Map(sources.map((file) => [file.path, file]));
  if (!byPath.has('main.ts')) {
    context.skip('there is no src/main.ts yet');
    return;
  }
  const reached = new Set<string>();
  const threads = sources.filter(({ path }) => threadEntry.test(path)).map(({ path }) => path);
  const queue = ['main.ts', ...threads, ...CORES_BEFORE_THEIR_SHELLS];
  none(
    CORES_BEFORE_THEIR_SHELLS.filter((path) => !byPath.has(path)),
    'cores that are not there',
  );
  for (let path = queue.pop(); path !== undefined; path = queue.pop()) {
    const file = byPath.get(path);
    if (file === undefined || reached.has(path)) continue;
    reached.add(path);
    for (const { target } of file.imports) {
      const to = targetOf(file, target);
      if (to !== undefined) queue.push(to);
    }
  }
  const dead = sources.filter(({ path }) => !reached.has(path)).map(({ path }) => path);
  none(dead, 'files that nothing imports');
});
