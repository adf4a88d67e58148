/**
 * What clients say about consistency: KV.LEVEL, KV.WITH, KV.TOKEN, KV.POLICY, KV.EXPLAIN, KV.LEDGER.
 *
 * A node without a cluster takes them too: with one copy every level is the same.
 */

import { compareBytes } from '../bytes.ts';
import { levelText, QUORUM } from '../repl/level.ts';
import { MAX_LEDGER_ENTRIES } from '../repl/ledger.ts';
import { versionText } from '../repl/version.ts';
import { keyOfHead } from '../repl/row-key.ts';
import { decodeRowState } from '../repl/row-state.ts';
import { DamagedError } from '../cluster/byte-cursor.ts';
import { SessionToken } from '../repl/session-token.ts';
import type { View } from '../repl/view.ts';
import type { Args } from './args.ts';
import type { Client } from './client.ts';
import type { Command, Context } from './command.ts';
import { CommandError, wrongArity } from './errors.ts';
import { levelAt } from './level-words.ts';
import { optionName, syntaxError } from './options.ts';
import { policyAt, policyReply } from './policy-words.ts';
import { MapReply, OK, type Reply } from './reply.ts';
import { container, FAST, integerOf, plainRow, type PlainRow } from './server-row.ts';

const NO_CLUSTER = 'ERR this node belongs to no cluster';

/** KV.LEVEL [level | DEFAULT] */
function level(_view: View, args: Args, { client, server }: Context): Reply {
  if (args.count === 1) return levelText(client.cluster.level ?? server.rows?.rules.defaultLevel ?? QUORUM);
  if (args.count === 2 && args.text(1).toLowerCase() === 'default') {
    client.cluster.level = undefined;
    return OK;
  }
  const { level: wanted, next } = levelAt(args, 1);
  if (next !== args.count) throw syntaxError();
  client.cluster.level = wanted;
  // What the session has seen so far counts.
  if (wanted.name === 'session') void client.cluster.session;
  return OK;
}

/** The words of the command that KV.WITH names, after the level was noted for it. Throws `CommandError`. */
export function unwrapWith(args: Args, client: Client): Args {
  const { level: wanted, next } = levelAt(args, 1);
  if (next >= args.count) throw new CommandError(wrongArity('kv.with'));
  client.cluster.once = wanted;
  return args.from(next);
}

/** KV.TOKEN [token] */
function token(_view: View, args: Args, { client }: Context): Reply {
  const { session } = client.cluster;
  if (args.count === 1) return session.encode();
  const other = SessionToken.decode(args.text(1));
  if (other === undefined) throw new CommandError('ERR this is no token of KV.TOKEN');
  session.join(other);
  return OK;
}

/** KV.LEDGER [COUNT n | RESET] */
function ledger(_view: View, args: Args, { server }: Context): Reply {
  const kept = server.rows?.ledger;
  if (args.count === 2 && optionName(args, 1) === 'RESET') {
    kept?.clear();
    return OK;
  }
  if (args.count !== 1 && (args.count !== 3 || optionName(args, 1) !== 'COUNT')) throw syntaxError();
  const limit = args.count === 3 ? integerOf(args, 2, 'ERR COUNT must be a number', 0, MAX_LEDGER_ENTRIES) : 10;
  return (kept?.entries(limit) ?? []).map(
    (entry) =>
      new MapReply([
        ['key', keyOfHead(Buffer.from(entry.row, 'latin1'))],
        ['database', entry.row.charCodeAt(2)],
        ['time', entry.atMs],
        ['level', entry.level],
        ['version', versionText(entry.version)],
        ['newer', versionText(entry.newer)],
        ['value', valueOf(entry.state)],
      ]),
  );
}

function valueOf(state: Uint8Array | undefined): Reply {
  if (state === undefined) return null;
  try {
    return decodeRowState(state).value.slice();
  } catch (thrown) {
    if (thrown instanceof DamagedError) return null;
    throw thrown;
  }
}

// --- KV.POLICY -------------------------------------------------------------------------------------------------------

async function setPolicy(_view: View, args: Args, { server }: Context): Promise<Reply> {
  const policy = policyAt(args, 2);
  if (server.rows === undefined) throw new CommandError(NO_CLUSTER);
  return await server.rows.changePolicies((before) => [
    ...before.filter((each) => each.prefix !== policy.prefix),
    policy,
  ]);
}

async function deletePolicy(_view: View, args: Args, { server }: Context): Promise<Reply> {
  const prefix = args.text(2);
  if (server.rows === undefined) throw new CommandError(NO_CLUSTER);
  let removed = 0;
  const reply = await server.rows.changePolicies((before) => {
    const after = before.filter((each) => each.prefix !== prefix);
    removed = before.length - after.length;
    return after;
  });
  return reply === OK ? removed : reply;
}

function getPolicy(_view: View, args: Args, { server }: Context): Reply {
  const policy = server.rows?.rules.policies.find((each) => each.prefix === args.text(2));
  return policy === undefined ? null : policyReply(policy);
}

function listPolicies(_view: View, _args: Args, { server }: Context): Reply {
  const policies = [...(server.rows?.rules.policies ?? [])];
  policies.sort((a, b) => compareBytes(Buffer.from(a.prefix, 'latin1'), Buffer.from(b.prefix, 'latin1')));
  return policies.map(policyReply);
}

// --- KV.EXPLAIN ------------------------------------------------------------------------------------------------------

async function explain(_view: View, args: Args, { client, server }: Context): Promise<Reply> {
  if (server.rows === undefined) throw new CommandError(NO_CLUSTER);
  return await server.rows.explain(client, args.from(1).copy());
}

const POLICY_ROWS: readonly PlainRow[] = [
  {
    name: 'set',
    arity: -4,
    flags: ['admin'],
    since: '0.1.0',
    summary: 'Sets the policy of the keys with a prefix: LEVEL, R, W, CONFLICT, TTL.',
    run: setPolicy,
  },
  {
    name: 'get',
    arity: 3,
    flags: FAST,
    since: '0.1.0',
    summary: 'Returns the policy of a prefix.',
    run: getPolicy,
  },
  { name: 'list', arity: 2, flags: FAST, since: '0.1.0', summary: 'Returns all policies.', run: listPolicies },
  { name: 'del', arity: 3, flags: ['admin'], since: '0.1.0', summary: 'Removes a policy.', run: deletePolicy },
];

const rows: readonly PlainRow[] = [
  {
    name: 'kv.level',
    arity: -1,
    flags: FAST,
    since: '0.1.0',
    summary: 'Returns or sets the level of consistency of the connection.',
    run: level,
  },
  {
    name: 'kv.token',
    arity: -1,
    flags: FAST,
    since: '0.1.0',
    summary: 'Returns what the session has seen, or takes in what another one has seen.',
    run: token,
  },
  {
    name: 'kv.ledger',
    arity: -1,
    flags: FAST,
    since: '0.1.0',
    summary: 'Returns the overwrites that gave way to newer ones, the last first.',
    run: ledger,
  },
  {
    name: 'kv.explain',
    arity: -2,
    flags: ['no_multi'],
    since: '0.1.0',
    summary: 'Runs a command and returns how: where, at which level, which owners hold which version.',
    run: explain,
  },
];

export const levelCommands: readonly Command[] = [
  ...rows.map((row) => plainRow('connection', { ...row, categories: ['connection'] })),
  {
    ...plainRow('connection', {
      name: 'kv.with',
      arity: -3,
      flags: FAST,
      since: '0.1.0',
      summary: 'Runs one command at a level of consistency.',
      categories: ['connection'],
      run: () => {
        throw new CommandError('ERR KV.WITH cannot be used here');
      },
    }),
    unwrap: unwrapWith,
  },
  container({
    name: 'kv.policy',
    group: 'server',
    since: '0.1.0',
    summary: 'Policies of key prefixes.',
    subcommands: POLICY_ROWS.map((row) => plainRow('server', row)),
    help: [
      'SET <prefix> [LEVEL <level>] [R <owners>] [W <owners>] [CONFLICT register|siblings] [TTL <ms>]',
      '    Sets the policy of the keys with this prefix; of several prefixes the longest counts.',
      'GET <prefix>',
      '    Returns the policy of a prefix.',
      'LIST',
      '    Returns all policies.',
      'DEL <prefix>',
      '    Removes a policy; returns how many there were.',
    ],
  }),
];
