import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import fc from 'fast-check';
import { directivesOfArguments, quoteWord, splitWords } from '../src/config-file.ts';
import { OptionError } from '../src/config-option.ts';
import { Config, ConfigError, ConfigSetError } from '../src/config.ts';
import { NodeDisk } from '../src/env-node-disk.ts';

const disk = new NodeDisk();
const directory = mkdtempSync(join(tmpdir(), 'kvorum-config-'));
after(() => rmSync(directory, { recursive: true, force: true }));

let files = 0;
function file(text: string, name = `${files++}.conf`): string {
  const path = join(directory, name);
  writeFileSync(path, text);
  return path;
}

function load(text: string, ...args: string[]): Config {
  return Config.load(disk, { path: file(text), args });
}

/** What is wrong, without the directory of the file. */
function problems(text: string, ...args: string[]): string[] {
  try {
    load(text, ...args);
  } catch (error) {
    assert.ok(error instanceof ConfigError);
    return error.problems.map(({ place, message }) => `${place.replace(/^.*\/\d+\.conf/, 'conf')}: ${message}`);
  }
  return [];
}

function shown(config: Config, ...patterns: string[]): Record<string, string> {
  return Object.fromEntries(config.matching(patterns));
}

async function refusal(config: Config, ...pairs: [string, string][]): Promise<string> {
  try {
    await config.set(pairs);
  } catch (error) {
    assert.ok(error instanceof ConfigSetError);
    return error.message;
  }
  return 'OK';
}

test('a file is read as redis-server reads it', () => {
  const config = load(
    [
      '# a comment',
      '',
      'PORT 7000',
      "  dir '/tmp/a dir'  ",
      'requirepass "s\\x41\\n\\"x"',
      'save 900 1',
      'save 300 10 60 5',
      'client-output-buffer-limit pubsub 1mb 2k 30',
      'client-output-buffer-limit replica 0 0 0',
      'bind 127.0.0.1 -::1',
      'proto-max-bulk-len 2gb',
      'slowlog-log-slower-than -1',
    ].join('\r\n'),
  );
  assert.equal(config.get('port'), 7000);
  assert.equal(config.get('dir'), '/tmp/a dir');
  assert.equal(config.get('requirepass'), 'sA\n"x');
  assert.deepEqual(shown(config, 'save', 'client-output-buffer-limit', 'bind', 'proto-max-bulk-len', 'slowlog-log*'), {
    save: '900 1 300 10 60 5',
    'client-output-buffer-limit': 'normal 0 0 0 slave 0 0 0 pubsub 1048576 2000 30',
    bind: '127.0.0.1 -::1',
    'proto-max-bulk-len': '2147483648',
    'slowlog-log-slower-than': '-1',
  });
});

test('flags stand above the file and add up among themselves', () => {
  const config = load(
    'port 7000\nsave 900 1\nmaxclients 5',
    '--port',
    '7001',
    '--save',
    '60',
    '1',
    '--save',
    '30',
    '2',
  );
  assert.deepEqual(shown(config, 'port', 'save', 'maxclients'), { port: '7001', save: '60 1 30 2', maxclients: '5' });
  assert.equal(load('save 900 1', '--save', '').get('save').length, 0);
  assert.equal(load('', '--port=7002').get('port'), 7002);
});

test('memory values have units', () => {
  for (const [word, bytes] of [
    ['5242880', 5_242_880],
    ['5242880b', 5_242_880],
    ['2000K', 2_000_000],
    ['2048kB', 2_097_152],
    ['3m', 3_000_000],
    ['3MB', 3_145_728],
    ['1g', 1_000_000_000],
    ['1gb', 1_073_741_824],
  ] as const) {
    assert.equal(load(`client-query-buffer-limit ${word}`).get('client-query-buffer-limit'), bytes);
  }
});

test('everything that is wrong is told at once, with its place and what would be right', () => {
  assert.deepEqual(
    problems(
      [
        'prot 6379',
        'maxclients many',
        'port 6379 6380',
        'appendonly no',
        'maxmemory-policy allkeys-lru',
        'unixsocket /tmp/s',
        'daemonize yes',
        'loadmodule x.so',
        'dir "unbalanced',
        'xyzzy 1',
        'save 1',
        'replicaof 10.0.0.1 6379',
        'include /nowhere/*.conf',
      ].join('\n'),
      '--port',
      '99999',
      'x',
      '--loglevel',
      'loud',
    ),
    [
      'conf:9: unbalanced quotes',
      "conf:1: unknown directive 'prot': did you mean 'port'?",
      "conf:2: 'maxclients many': argument couldn't be parsed into an integer (initially: 10000)",
      'conf:4: \'appendonly no\': every write goes to the log, which cannot be turned off; say "appendonly yes" or leave it out (initially: yes)',
      "conf:5: 'maxmemory-policy allkeys-lru': data lives on disk and is never evicted: the only policy is noeviction (initially: noeviction)",
      "conf:6: 'unixsocket /tmp/s': unix sockets are not served; use bind 127.0.0.1 and a port (initially: )",
      "conf:7: 'daemonize yes': Kvorum stays in the foreground; run it under systemd, a container or nohup (initially: no)",
      "conf:8: 'loadmodule': Kvorum loads no modules of Redis",
      "conf:10: unknown directive 'xyzzy'; see --help",
      "conf:11: 'save 1': Invalid save parameters (initially: 3600 1 300 100 60 10000)",
      "conf:12: 'replicaof 10.0.0.1 6379': a node of Kvorum copies to no replicas in the manner of Redis; its cluster comes by its own directives (initially: )",
      "--port: 'port 99999 x': wrong number of arguments (initially: 6379)",
      "--loglevel: 'loglevel loud': argument(s) must be one of the following: debug, verbose, notice, warning (initially: notice)",
    ],
  );
});

test('a file that cannot be read names its place', () => {
  assert.throws(() => Config.load(disk, { path: '/nowhere/kvorum.conf' }), /cannot read '\/nowhere\/kvorum\.conf'/);
});

test('directives of Redis without a use here are taken, shown and can be set', async () => {
  const config = load('hash-max-ziplist-entries 64\nrdbcompression no\nmaxmemory 100mb');
  assert.deepEqual(shown(config, 'hash-max-*-entries'), {
    'hash-max-listpack-entries': '64',
    'hash-max-ziplist-entries': '64',
  });
  assert.equal(config.warnings.length, 1);
  assert.equal(await refusal(config, ['list-max-listpack-size', '5']), 'OK');
  assert.equal(shown(config, 'list-max-ziplist-size')['list-max-ziplist-size'], '5');
});

test('include takes files in order, and a circle ends', () => {
  file('port 7100\ndatabases 4', 'part-a.inc');
  file('port 7101', 'part-b.inc');
  const config = load(`port 1\ninclude ${directory}/part-*.inc\nmaxclients 9`);
  assert.deepEqual([config.get('port'), config.get('databases'), config.get('maxclients')], [7101, 4, 9]);
  const circle = join(directory, 'circle.conf');
  writeFileSync(circle, `include ${circle}\n`);
  assert.throws(() => Config.load(disk, { path: circle }), /include each other/);
});

test('CONFIG SET changes all or nothing, with the errors of Redis', async () => {
  const config = load('');
  const failed = (name: string, why: string): string =>
    `ERR CONFIG SET failed (possibly related to argument '${name}') - ${why}`;
  const cases: readonly [[string, string][], string][] = [
    [
      [
        ['timeout', '5'],
        ['nosuch', '1'],
      ],
      "ERR Unknown option or number of arguments for CONFIG SET - 'nosuch'",
    ],
    [
      [
        ['timeout', '5'],
        ['Timeout', '6'],
      ],
      failed('Timeout', 'duplicate parameter'),
    ],
    [
      [
        ['timeout', '5'],
        ['maxclients', '0'],
      ],
      failed('maxclients', 'argument must be between 1 and 4294967295 inclusive'),
    ],
    [
      [['slowlog-max-len', '-1']],
      failed('slowlog-max-len', 'argument must be between 0 and 9223372036854775807 inclusive'),
    ],
    [[['maxmemory', 'x']], failed('maxmemory', 'argument must be a memory value')],
    [[['databases', '4']], failed('databases', "can't set immutable config")],
    [[['dir', '/tmp']], failed('dir', "can't set protected config")],
    [[['save', '1 x']], failed('save', 'Invalid save parameters')],
    [
      [['notify-keyspace-events', 'Q']],
      failed('notify-keyspace-events', "Invalid event class character. Use 'Ag$lshzxeKEtmdn'."),
    ],
  ];
  for (const [pairs, error] of cases) assert.equal(await refusal(config, ...pairs), error);
  assert.equal(config.get('timeout'), 0);
  assert.equal(await refusal(config, ['TIMEOUT', '5'], ['save', '']), 'OK');
  assert.deepEqual(shown(config, 'timeout', 'save'), { timeout: '5', save: '' });
});

test('a listener that refuses undoes the whole change', async () => {
  const config = load('');
  const heard: number[] = [];
  config.follow('timeout', (seconds) => void heard.push(seconds));
  config.onChange('port', (port) => {
    if (port === 1) throw new OptionError('Unable to listen on this port. Check server logs.');
  });
  assert.match(await refusal(config, ['timeout', '9'], ['port', '1']), /argument 'port'\) - Unable to listen/);
  assert.deepEqual([config.get('timeout'), config.get('port')], [0, 6379]);
  assert.deepEqual(heard, [0, 9, 0]);
});

test('CONFIG REWRITE keeps comments and order', async () => {
  const config = load('# top\nport 7000\n\nsave 900 1\n# mid\nsave 300 10\ntimeout 0010\nmaxclients 5\n# end\n');
  await config.set([
    ['save', '60 1'],
    ['timeout', '10'],
    ['maxclients', '10000'],
    ['requirepass', 'a b\n"'],
    ['loglevel', 'debug'],
  ]);
  config.rewrite(disk);
  const text = readFileSync(config.path as string, 'utf8');
  assert.equal(
    text,
    [
      '# top',
      'port 7000',
      '',
      'save 60 1',
      '# mid',
      'timeout 0010',
      'maxclients 10000',
      '# end',
      '# Generated by CONFIG REWRITE',
      'requirepass "a b\\x0a\\""',
      'loglevel debug',
      '',
    ].join('\n'),
  );
  const again = Config.load(disk, { path: config.path });
  assert.deepEqual(again.matching(['*']), config.matching(['*']));
  again.rewrite(disk);
  assert.equal(readFileSync(config.path as string, 'utf8'), text);
});

test('CONFIG REWRITE without a file is refused', () => {
  assert.throws(
    () => Config.initial().rewrite(disk),
    new ConfigSetError('ERR The server is running without a config file'),
  );
});

test('words of any bytes survive quoting', () => {
  fc.assert(
    fc.property(fc.array(fc.string({ unit: 'binary', maxLength: 12 }), { maxLength: 5 }), (words) => {
      const line = Buffer.from(words.map(quoteWord).join(' ')).toString('latin1');
      const read = splitWords(line)?.map((word) => Buffer.from(word, 'latin1').toString('utf8'));
      assert.deepEqual(
        read,
        words.map((word) => Buffer.from(word).toString('utf8')),
      );
    }),
  );
});

test('any line is words or unbalanced, never an exception', () => {
  fc.assert(fc.property(fc.string({ unit: 'binary' }), (line) => void splitWords(line)));
});

test('arguments before the first flag are a problem', () => {
  const found: { place: string; message: string }[] = [];
  assert.deepEqual(directivesOfArguments(['x', '--port', '1'], found), [
    { place: '--port', name: 'port', words: ['1'] },
  ]);
  assert.deepEqual(found, [{ place: 'command line', message: "'x' is no --directive" }]);
});
