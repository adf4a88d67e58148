/**
 * The sections of INFO. Fields have Redis's names where there is something to say; what has no meaning here and no
 * tool that needs it is left out. `kvorum` and `engine` are our own.
 */

import { typeOf } from './client-list.ts';
import { humanBytes, type InfoFields, percent, secondsOf } from './info-format.ts';
import { topicKind } from './pubsub-topics.ts';
import { REDIS_VERSION, type Server } from './server-state.ts';

const SECONDS_A_DAY = 86_400;
/** Redis's LRU clock: seconds, 24 bits. */
const LRU_CLOCK_MASK = 0xff_ffff;

export function serverFields(server: Server): InfoFields {
  const { config, machine, env } = server;
  const uptime = Math.floor((env.clock.wallMs() - server.startedMs) / 1000);
  return [
    ['redis_version', REDIS_VERSION],
    ['redis_git_sha1', '00000000'],
    ['redis_git_dirty', 0],
    ['redis_build_id', '0'],
    ['redis_mode', 'standalone'],
    ['os', machine.system],
    ['arch_bits', 64],
    ['monotonic_clock', 'libuv'],
    ['multiplexing_api', 'libuv'],
    ['process_id', machine.processId],
    ['process_supervised', 'no'],
    ['run_id', server.runId],
    ['tcp_port', server.port],
    ['server_time_usec', server.wallClockUs.now()],
    ['uptime_in_seconds', uptime],
    ['uptime_in_days', Math.floor(uptime / SECONDS_A_DAY)],
    ['hz', config.get('hz')],
    ['configured_hz', config.get('hz')],
    ['lru_clock', Math.floor(env.clock.wallMs() / 1000) & LRU_CLOCK_MASK],
    ['executable', machine.executable],
    ['config_file', config.path ?? ''],
    ['io_threads_active', 0],
  ];
}

export function clientFields(server: Server): InfoFields {
  let longestInput = 0;
  let longestOutput = 0;
  let pubsub = 0;
  for (const client of server.clients.values()) {
    const counters = client.connection.counters();
    longestInput = Math.max(longestInput, counters.queryBuffer);
    longestOutput = Math.max(longestOutput, counters.outputBuffer + counters.outputMemory);
    if (typeOf(client) === 'pubsub') pubsub++;
  }
  return [
    ['connected_clients', server.clients.size],
    ['cluster_connections', 0],
    ['maxclients', server.config.get('maxclients')],
    ['client_recent_max_input_buffer', longestInput],
    ['client_recent_max_output_buffer', longestOutput],
    ['blocked_clients', server.pause.waiting + server.blocked.count],
    ['tracking_clients', server.tracking.clients.size],
    ['pubsub_clients', pubsub],
    ['clients_in_timeout_table', server.blocked.timed],
  ];
}

export function memoryFields(server: Server): InfoFields {
  const { machine, config } = server;
  const { residentBytes, heapBytes, heapTotalBytes, externalBytes } = machine.memory();
  const used = heapBytes + externalBytes;
  const peak = server.notePeakMemory(used);
  const maxmemory = config.get('maxmemory');
  return [
    ['used_memory', used],
    ['used_memory_human', humanBytes(used)],
    ['used_memory_rss', residentBytes],
    ['used_memory_rss_human', humanBytes(residentBytes)],
    ['used_memory_peak', peak],
    ['used_memory_peak_human', humanBytes(peak)],
    ['used_memory_peak_perc', percent(used, peak)],
    ['used_memory_overhead', heapBytes],
    ['used_memory_startup', 0],
    ['used_memory_dataset', externalBytes],
    ['used_memory_dataset_perc', percent(externalBytes, used)],
    ['allocator_allocated', used],
    ['allocator_active', heapTotalBytes + externalBytes],
    ['allocator_resident', residentBytes],
    ['total_system_memory', machine.totalMemoryBytes],
    ['total_system_memory_human', humanBytes(machine.totalMemoryBytes)],
    ['used_memory_lua', 0],
    ['used_memory_lua_human', humanBytes(0)],
    ['used_memory_scripts', 0],
    ['used_memory_scripts_human', humanBytes(0)],
    ['number_of_cached_scripts', 0],
    ['number_of_functions', 0],
    ['number_of_libraries', 0],
    ['maxmemory', maxmemory],
    ['maxmemory_human', humanBytes(maxmemory)],
    ['maxmemory_policy', config.get('maxmemory-policy')],
    ['mem_fragmentation_ratio', used === 0 ? '0.00' : (residentBytes / used).toFixed(2)],
    ['mem_fragmentation_bytes', residentBytes - used],
    ['mem_not_counted_for_evict', 0],
    ['mem_replication_backlog', 0],
    ['mem_clients_slaves', 0],
    ['mem_clients_normal', clientMemory(server)],
    ['mem_aof_buffer', 0],
    ['mem_allocator', machine.runtime.replace(' ', '-')],
    ['active_defrag_running', 0],
    ['lazyfree_pending_objects', 0],
    ['lazyfreed_objects', 0],
  ];
}

export function clientMemory(server: Server): number {
  let bytes = 0;
  for (const client of server.clients.values()) {
    const counters = client.connection.counters();
    bytes += counters.queryBuffer + counters.queryBufferFree + counters.outputBuffer + counters.outputMemory;
  }
  return bytes;
}

export function persistenceFields(server: Server): InfoFields {
  const isFailing = server.keyspace.store.refusal !== undefined;
  const { saves } = server;
  const { save, rewrite } = saves;
  const nowUs = server.env.clock.monotonicUs();
  return [
    ['loading', 0],
    ['async_loading', 0],
    ['rdb_changes_since_last_save', saves.changesSinceLastSave],
    ['rdb_bgsave_in_progress', save.isRunning ? 1 : 0],
    ['rdb_last_save_time', Math.floor(saves.lastSaveMs / 1000)],
    ['rdb_last_bgsave_status', save.isLastGood ? 'ok' : 'err'],
    ['rdb_last_bgsave_time_sec', save.lastSeconds],
    ['rdb_current_bgsave_time_sec', save.secondsSoFar(nowUs)],
    ['rdb_saves', saves.count],
    ['rdb_last_cow_size', 0],
    ['aof_enabled', 1],
    ['aof_rewrite_in_progress', rewrite.isRunning ? 1 : 0],
    ['aof_rewrite_scheduled', 0],
    ['aof_last_rewrite_time_sec', rewrite.lastSeconds],
    ['aof_current_rewrite_time_sec', rewrite.secondsSoFar(nowUs)],
    ['aof_last_bgrewrite_status', rewrite.isLastGood ? 'ok' : 'err'],
    ['aof_last_write_status', isFailing ? 'err' : 'ok'],
    ['aof_last_cow_size', 0],
    ['aof_pending_bio_fsync', 0],
    ['aof_delayed_fsync', 0],
    ['last_checkpoint', saves.lastCheckpoint],
  ];
}

export function statFields(server: Server): InfoFields {
  const { front, keyspace } = server;
  return [
    ['total_connections_received', front.connectionsReceived],
    ['total_commands_processed', server.commandsRun],
    ['instantaneous_ops_per_sec', Math.round(server.opsRate.perSecond)],
    ['total_net_input_bytes', front.bytesIn],
    ['total_net_output_bytes', front.bytesOut],
    ['total_net_repl_input_bytes', 0],
    ['total_net_repl_output_bytes', 0],
    ['instantaneous_input_kbps', (server.inputRate.perSecond / 1024).toFixed(2)],
    ['instantaneous_output_kbps', (server.outputRate.perSecond / 1024).toFixed(2)],
    ['instantaneous_input_repl_kbps', '0.00'],
    ['instantaneous_output_repl_kbps', '0.00'],
    ['rejected_connections', front.connectionsRejected],
    ['sync_full', 0],
    ['sync_partial_ok', 0],
    ['sync_partial_err', 0],
    ['expired_keys', keyspace.expiredRows],
    ['expired_stale_perc', '0.00'],
    ['expired_time_cap_reached_count', 0],
    ['evicted_keys', 0],
    ['evicted_clients', 0],
    ['keyspace_hits', server.keyspaceHits],
    ['keyspace_misses', server.keyspaceMisses],
    ['pubsub_channels', server.pubsub.topics.count(topicKind.CHANNEL)],
    ['pubsub_patterns', server.pubsub.topics.count(topicKind.PATTERN)],
    ['pubsubshard_channels', server.pubsub.topics.count(topicKind.SHARD)],
    ['latest_fork_usec', 0],
    ['total_forks', 0],
    ['migrate_cached_sockets', 0],
    ['tracking_total_keys', server.tracking.keyCount],
    ['tracking_total_items', server.tracking.items],
    ['tracking_total_prefixes', server.tracking.prefixCount],
    ['unexpected_error_replies', 0],
    ['total_error_replies', server.errorStats.total],
    ['client_limit_disconnections', front.closedByLimit],
    ['protocol_errors', front.protocolErrors],
  ];
}

export function replicationFields(server: Server): InfoFields {
  return [
    ['role', 'master'],
    ['connected_slaves', 0],
    ['master_failover_state', 'no-failover'],
    ['master_replid', server.runId],
    ['master_replid2', '0'.repeat(40)],
    ['master_repl_offset', 0],
    ['second_repl_offset', -1],
    ['repl_backlog_active', 0],
    ['repl_backlog_size', 0],
    ['repl_backlog_first_byte_offset', 0],
    ['repl_backlog_histlen', 0],
  ];
}

export function cpuFields(server: Server): InfoFields {
  const { userUs, systemUs } = server.machine.cpu();
  return [
    ['used_cpu_sys', secondsOf(systemUs)],
    ['used_cpu_user', secondsOf(userUs)],
    ['used_cpu_sys_children', secondsOf(0)],
    ['used_cpu_user_children', secondsOf(0)],
  ];
}

export function commandStatFields(server: Server): InfoFields {
  return [...server.commandStats.all()]
    .filter((stat) => stat.calls > 0 || stat.rejected > 0)
    .map((stat) => {
      const mean = stat.calls === 0 ? 0 : stat.totalUs / stat.calls;
      const times = `calls=${stat.calls},usec=${stat.totalUs},usec_per_call=${mean.toFixed(2)}`;
      return [`cmdstat_${stat.name}`, `${times},rejected_calls=${stat.rejected},failed_calls=${stat.failed}`];
    });
}

export function errorStatFields(server: Server): InfoFields {
  return [...server.errorStats.entries()]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([code, count]) => [`errorstat_${code}`, `count=${count}`]);
}

export function latencyStatFields(server: Server): InfoFields {
  const percentiles = server.config.get('latency-tracking-info-percentiles');
  return [...server.commandStats.all()]
    .filter((stat) => stat.hasTimes)
    .map((stat) => {
      const shown = percentiles.map((one) => `p${one}=${stat.percentileUs(one).toFixed(3)}`);
      return [`latency_percentiles_usec_${stat.name}`, shown.join(',')];
    });
}

export function keyspaceFields({ keyspace, settings }: Server): InfoFields {
  const fields: [string, string][] = [];
  for (let database = 0; database < settings.databases; database++) {
    const keys = keyspace.size(keyspace.physicalDatabase(database));
    if (keys > 0) fields.push([`db${database}`, `keys=${keys},expires=0,avg_ttl=0`]);
  }
  return fields;
}

export function kvorumFields(server: Server): InfoFields {
  return [
    ['kvorum_version', server.version],
    ['node_id', server.nodeId],
    ['runtime', server.machine.runtime],
    ['appendfsync', server.config.get('appendfsync')],
    ['writes_refused', server.keyspace.store.refusal?.code ?? 'no'],
    ['write_delay_ms', server.keyspace.store.writeDelayMs],
  ];
}

/** How commands on rows went in the cluster; nothing where there is none. */
export function coordinationFields(server: Server): InfoFields {
  const metrics = server.rows?.metrics() ?? {};
  return Object.entries(metrics).map(([name, value]) => [
    name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`),
    value,
  ]);
}

export function engineFields(server: Server): InfoFields {
  return Object.entries(server.keyspace.store.metrics());
}
