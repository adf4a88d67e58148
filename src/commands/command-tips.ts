/**
 * Tips of COMMAND INFO: what a client or a proxy in front of several nodes may know of a command (Redis's "command
 * tips"). Facts of Redis 7.0 by full name.
 */

const ORDER = 'nondeterministic_output_order';
const VARIES = 'nondeterministic_output';
const ALL_SHARDS = 'request_policy:all_shards';
const ALL_NODES = 'request_policy:all_nodes';
const MULTI_SHARD = 'request_policy:multi_shard';
const SPECIAL = 'response_policy:special';
const SUCCEED = 'response_policy:all_succeeded';
const SUM = 'response_policy:agg_sum';
const MIN = 'response_policy:agg_min';

const BY_TIPS: readonly (readonly [tips: readonly string[], names: string])[] = [
  [[ALL_SHARDS, SUM], 'dbsize'],
  [
    [ORDER],
    'command command|docs command|info command|list hgetall hkeys hvals module|list sdiff sinter smembers sunion',
  ],
  [[MULTI_SHARD, MIN], 'msetnx'],
  [[ALL_SHARDS, VARIES], 'randomkey'],
  [[MULTI_SHARD], 'mget'],
  [[ALL_SHARDS, SUCCEED], 'flushall flushdb memory|purge ping'],
  [[MULTI_SHARD, SUM], 'del exists touch unlink'],
  [[ALL_SHARDS, MIN], 'wait'],
  [[ALL_SHARDS, ORDER], 'keys'],
  [[VARIES, ALL_SHARDS, SPECIAL], 'info memory|doctor memory|malloc-stats memory|stats'],
  [[ALL_NODES, SUCCEED], 'config|set latency|reset slowlog|reset'],
  [[VARIES, ALL_NODES, SPECIAL], 'latency|doctor latency|graph latency|histogram latency|history latency|latest'],
  [[VARIES, 'request_policy:special'], 'scan'],
  [
    [VARIES],
    'client|info client|list cluster|bumpepoch cluster|count-failure-reports cluster|getkeysinslot cluster|info ' +
      'cluster|links cluster|nodes cluster|replicas cluster|shards cluster|slaves cluster|slots dump hrandfield hscan ' +
      'lastsave object|encoding object|freq object|idletime object|refcount pttl spop srandmember sscan time ttl xadd ' +
      'xautoclaim xclaim xinfo|consumers xpending xtrim zrandmember zscan',
  ],
  [[ALL_NODES, SUM, VARIES], 'slowlog|len'],
  [[MULTI_SHARD, SUCCEED], 'mset msetex'],
  [[ALL_NODES, VARIES], 'slowlog|get'],
];

const BY_NAME: ReadonlyMap<string, readonly string[]> = new Map(
  BY_TIPS.flatMap(([tips, names]) => names.split(' ').map((name) => [name, tips])),
);

export function tipsOf(fullName: string): readonly string[] {
  return BY_NAME.get(fullName) ?? [];
}
