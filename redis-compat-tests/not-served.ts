/** Commands and options of redis-server 7.0 that are not compared, each with the reason. */

const NO_SLOT_COMMANDS = 'which node has which slot is the topology, which nodes agree on by themselves; refused';
const NO_ROLES = 'no node leads or follows another one; refused';
const NO_REPLICATION = 'the replication stream of Redis is not spoken; refused';
const NO_MODULES = 'modules of Redis are machine code for redis-server; refused';

export const NOT_SERVED: ReadonlyMap<string, string> = new Map([
  ['CLUSTER ADDSLOTS', NO_SLOT_COMMANDS],
  ['CLUSTER ADDSLOTSRANGE', NO_SLOT_COMMANDS],
  ['CLUSTER BUMPEPOCH', NO_SLOT_COMMANDS],
  ['CLUSTER DELSLOTS', NO_SLOT_COMMANDS],
  ['CLUSTER DELSLOTSRANGE', NO_SLOT_COMMANDS],
  ['CLUSTER FAILOVER', NO_ROLES],
  ['CLUSTER FLUSHSLOTS', NO_SLOT_COMMANDS],
  ['CLUSTER REPLICATE', NO_ROLES],
  ['CLUSTER RESET', 'a node leaves by CLUSTER FORGET; refused'],
  ['CLUSTER SET-CONFIG-EPOCH', NO_SLOT_COMMANDS],
  ['CLUSTER SETSLOT', NO_SLOT_COMMANDS],
  ['FAILOVER FORCE', NO_ROLES],
  ['FAILOVER TIMEOUT', NO_ROLES],
  ['FAILOVER TO', NO_ROLES],
  ['MIGRATE', 'not there: keys need not be moved by hand; DUMP and RESTORE carry them to another server'],
  ['MODULE LOAD', NO_MODULES],
  ['MODULE LOADEX', NO_MODULES],
  ['PSYNC', NO_REPLICATION],
  ['REPLCONF', NO_REPLICATION],
  ['RESTORE-ASKING', 'not there: a part of MIGRATE, between nodes of Redis Cluster'],
  ['SYNC', NO_REPLICATION],
]);
