/** COMMAND DOCS: what commands are for, since when, and what may stand behind their names (syntax-words.ts). */

import type { Command } from './command.ts';
import { MapReply, type Reply, SetReply, SimpleString } from './reply.ts';
import { type Argument, argumentsOf } from './syntax.ts';

/** Since when another command does the same, and which. */
const DEPRECATED: ReadonlyMap<string, readonly [since: string, by: string]> = new Map([
  ['brpoplpush', ['6.2.0', '`BLMOVE` with `RIGHT` and `LEFT`']],
  ['cluster|slaves', ['5.0.0', '`CLUSTER REPLICAS`']],
  ['cluster|slots', ['7.0.0', '`CLUSTER SHARDS`']],
  ['georadius', ['6.2.0', '`GEOSEARCH` and `GEOSEARCHSTORE` with `BYRADIUS`']],
  ['georadius_ro', ['6.2.0', '`GEOSEARCH` with `BYRADIUS`']],
  ['georadiusbymember', ['6.2.0', '`GEOSEARCH` and `GEOSEARCHSTORE` with `FROMMEMBER` and `BYRADIUS`']],
  ['georadiusbymember_ro', ['6.2.0', '`GEOSEARCH` with `FROMMEMBER` and `BYRADIUS`']],
  ['getset', ['6.2.0', '`SET` with `GET`']],
  ['hmset', ['4.0.0', '`HSET` with several fields']],
  ['rpoplpush', ['6.2.0', '`LMOVE` with `RIGHT` and `LEFT`']],
  ['slaveof', ['5.0.0', '`REPLICAOF`']],
  ['substr', ['2.0.0', '`GETRANGE`']],
  ['zrangebylex', ['6.2.0', '`ZRANGE` with `BYLEX`']],
  ['zrangebyscore', ['6.2.0', '`ZRANGE` with `BYSCORE`']],
  ['zrevrange', ['6.2.0', '`ZRANGE` with `REV`']],
  ['zrevrangebylex', ['6.2.0', '`ZRANGE` with `BYLEX` and `REV`']],
  ['zrevrangebyscore', ['6.2.0', '`ZRANGE` with `BYSCORE` and `REV`']],
]);

/** Where Redis says otherwise than the row, which shares it with others of its file. */
const SINCE: ReadonlyMap<string, string> = new Map([
  ['client|help', '5.0.0'],
  ['client|pause', '2.9.50'],
  ['cluster|addslotsrange', '7.0.0'],
  ['cluster|delslotsrange', '7.0.0'],
  ['cluster|help', '5.0.0'],
  ['cluster|replicas', '5.0.0'],
  ['command|help', '5.0.0'],
  ['config|help', '5.0.0'],
  ['module|help', '5.0.0'],
  ['pubsub|help', '6.2.0'],
  ['slowlog|help', '6.2.0'],
]);
const GROUP: ReadonlyMap<string, string> = new Map([
  ['asking', 'cluster'],
  ['readonly', 'cluster'],
  ['readwrite', 'cluster'],
  ['wait', 'generic'],
]);

/** Not for users. */
const OF_THE_SYSTEM: ReadonlySet<string> = new Set(['debug', 'pfdebug', 'pfselftest', 'replconf']);

export function commandDoc(command: Command, container?: string): readonly [string, Reply] {
  const name = container === undefined ? command.name : `${container}|${command.name}`;
  const { summary, since, group, complexity } = command.doc;
  const entries: [Reply, Reply][] = [
    ['summary', summary],
    ['since', SINCE.get(name) ?? since],
    ['group', GROUP.get(name) ?? group],
    ['complexity', complexity],
  ];
  const deprecated = DEPRECATED.get(name);
  if (deprecated !== undefined || OF_THE_SYSTEM.has(name)) {
    entries.push(['doc_flags', flags([deprecated === undefined ? 'syscmd' : 'deprecated'])]);
  }
  if (deprecated !== undefined) entries.push(['deprecated_since', deprecated[0]], ['replaced_by', deprecated[1]]);
  const all = argumentsOf(name);
  if (all.length > 0) entries.push(['arguments', all.map(argumentReply)]);
  const { subcommands } = command;
  if (subcommands !== undefined && subcommands.length > 0) {
    entries.push(['subcommands', new MapReply(subcommands.map((sub) => commandDoc(sub, name)))]);
  }
  return [name, new MapReply(entries)];
}

function flags(names: readonly string[]): Reply {
  return new SetReply(names.map((name) => new SimpleString(name)));
}

function argumentReply({ name, type, token, keySpec, isOptional, isMultiple, ...rest }: Argument): Reply {
  const entries: [Reply, Reply][] = [
    ['name', name],
    ['type', type],
  ];
  if (keySpec !== undefined) entries.push(['key_spec_index', keySpec]);
  if (token !== undefined) entries.push(['token', token]);
  const said: string[] = [];
  if (isOptional) said.push('optional');
  if (isMultiple) said.push('multiple');
  if (rest.isMultipleToken) said.push('multiple_token');
  if (said.length > 0) entries.push(['flags', flags(said)]);
  if (rest.inner !== undefined) entries.push(['arguments', rest.inner.map(argumentReply)]);
  return new MapReply(entries);
}
