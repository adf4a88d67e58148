/**
 * What may stand behind the name of each command, for COMMAND DOCS: one line a command, `name: arguments`. The notation is
 * read by syntax.ts:
 *
 * ```
 * NX            a word that stands for itself            [ ]   may be left out
 * value         any word; :i integer :d double           ( )   a group
 *               :p pattern :u unix time :k key           a|b   one of them
 * EX seconds:i  a word and what follows it               ...   once or more; .. each with its word before it
 *                                                        { }   a block, whatever is in it
 * ```
 *
 * Words in capitals followed by one argument belong to it; followed by several, within a group, to the group.
 */

const UNIT = '(M|KM|FT|MI)';
const ORDER = '[ASC|DESC]';
const WITH_PLACE = '[WITHCOORD] [WITHDIST] [WITHHASH]';
const COUNT_ANY = '[(COUNT count:i [ANY])]';
const LIMIT = '[(LIMIT offset:i count:i)]';
const ENDS = '(LEFT|RIGHT)';
const AGGREGATE = '[AGGREGATE (SUM|MIN|MAX)]';
const EXPIRATION = '(EX seconds:i|PX milliseconds:i|EXAT unix-time-seconds:u|PXAT unix-time-milliseconds:u';
const WHEN = '[NX|XX|GT|LT]';
const FIELDS = '(FIELDS numfields:i field...)';
const SYNC = '[ASYNC|SYNC]';
const TRIM = '(MAXLEN|MINID) [=|~] threshold [LIMIT count:i]';
const SEARCH_SHAPE = `(FROMMEMBER member|(FROMLONLAT longitude:d latitude:d)) ({BYRADIUS radius:d ${UNIT}}|{BYBOX width:d height:d ${UNIT}}) ${ORDER} ${COUNT_ANY}`;

/** Strings and keys. */
const PLAIN = `
append: key value
decr: key
decrby: key decrement:i
get: key
getdel: key
getex: key [${EXPIRATION}|PERSIST)]
getrange: key start:i end:i
getset: key value
incr: key
incrby: key increment:i
incrbyfloat: key increment:d
lcs: key1:k key2:k0 [LEN] [IDX] [MINMATCHLEN len:i] [WITHMATCHLEN]
mget: key...
mset: (key value)...
msetnx: (key value)...
psetex: key milliseconds:i value
set: key value [NX|XX] [GET] [${EXPIRATION}|KEEPTTL)]
setex: key seconds:i value
setnx: key value
setrange: key offset:i value
strlen: key
substr: key start:i end:i
copy: source:k destination:k [DB destination-db:i] [REPLACE]
del: key...
dump: key
exists: key...
expire: key seconds:i ${WHEN}
expireat: key unix-time-seconds:u ${WHEN}
expiretime: key
keys: pattern:p
move: key db:i
object|encoding: key
object|freq: key
object|idletime: key
object|refcount: key
persist: key
pexpire: key milliseconds:i ${WHEN}
pexpireat: key unix-time-milliseconds:u ${WHEN}
pexpiretime: key
pttl: key
rename: key newkey:k
renamenx: key newkey:k
restore: key ttl:i serialized-value [REPLACE] [ABSTTL] [IDLETIME seconds:i] [FREQ frequency:i]
scan: cursor:i [MATCH pattern:p] [COUNT count:i] [TYPE type]
sort: key [BY by-pattern:p1] ${LIMIT} [GET get-pattern:p1].. ${ORDER} [ALPHA] [STORE destination:k2]
sort_ro: key [BY by-pattern:p1] ${LIMIT} [GET get-pattern:p1].. ${ORDER} [ALPHA]
touch: key...
ttl: key
type: key
unlink: key...
wait: numreplicas:i timeout:i
bitcount: key [start:i end:i [BYTE|BIT]]
bitfield: key [(GET encoding offset:i)|([OVERFLOW (WRAP|SAT|FAIL)] ((SET encoding offset:i value:i)|(INCRBY encoding offset:i increment:i)))]...
bitfield_ro: key [(GET encoding offset:i)]..
bitop: operation destkey:k key...
bitpos: key bit:i [start:i [end:i [BYTE|BIT]]]
getbit: key offset:i
setbit: key offset:i value:i
pfadd: key [element]...
pfcount: key...
pfdebug: subcommand key
pfmerge: destkey:k sourcekey:k...
`;

const COLLECTIONS = `
hdel: key field...
hexists: key field
hget: key field
hgetall: key
hincrby: key field increment:i
hincrbyfloat: key field increment:d
hkeys: key
hlen: key
hmget: key field...
hmset: key (field value)...
hrandfield: key [count:i [WITHVALUES]]
hscan: key cursor:i [MATCH pattern:p] [COUNT count:i]
hset: key (field value)...
hsetnx: key field value
hstrlen: key field
hvals: key
blmove: source:k destination:k ${ENDS} ${ENDS} timeout:d
blmpop: timeout:d numkeys:i key... ${ENDS} [COUNT count:i]
blpop: key... timeout:d
brpop: key... timeout:d
brpoplpush: source:k destination:k timeout:d
lindex: key index:i
linsert: key (BEFORE|AFTER) pivot element
llen: key
lmove: source:k destination:k ${ENDS} ${ENDS}
lmpop: numkeys:i key... ${ENDS} [COUNT count:i]
lpop: key [count:i]
lpos: key element [RANK rank:i] [COUNT num-matches:i] [MAXLEN len:i]
lpush: key element...
lpushx: key element...
lrange: key start:i stop:i
lrem: key count:i element
lset: key index:i element
ltrim: key start:i stop:i
rpop: key [count:i]
rpoplpush: source:k destination:k
rpush: key element...
rpushx: key element...
sadd: key member...
scard: key
sdiff: key...
sdiffstore: destination:k key...
sinter: key...
sintercard: numkeys:i key... [LIMIT limit:i]
sinterstore: destination:k key...
sismember: key member
smembers: key
smismember: key member...
smove: source:k destination:k member
spop: key [count:i]
srandmember: key [count:i]
srem: key member...
sscan: key cursor:i [MATCH pattern:p] [COUNT count:i]
sunion: key...
sunionstore: destination:k key...
bzmpop: timeout:d numkeys:i key... (MIN|MAX) [COUNT count:i]
bzpopmax: key... timeout:d
bzpopmin: key... timeout:d
zadd: key [NX|XX] [GT|LT] [CH] [INCR] (score:d member)...
zcard: key
zcount: key min:d max:d
zdiff: numkeys:i key... [WITHSCORES]
zdiffstore: destination:k numkeys:i key...
zincrby: key increment:i member
zinter: numkeys:i key... [WEIGHTS weight:i...] ${AGGREGATE} [WITHSCORES]
zintercard: numkeys:i key... [LIMIT limit:i]
zinterstore: destination:k numkeys:i key... [WEIGHTS weight:i...] ${AGGREGATE}
zlexcount: key min max
zmpop: numkeys:i key... (MIN|MAX) [COUNT count:i]
zmscore: key member...
zpopmax: key [count:i]
zpopmin: key [count:i]
zrandmember: key [count:i [WITHSCORES]]
zrange: key start stop [BYSCORE|BYLEX] [REV] ${LIMIT} [WITHSCORES]
zrangebylex: key min max ${LIMIT}
zrangebyscore: key min:d max:d [WITHSCORES] ${LIMIT}
zrangestore: dst:k src:k min max [BYSCORE|BYLEX] [REV] ${LIMIT}
zrank: key member
zrem: key member...
zremrangebylex: key min max
zremrangebyrank: key start:i stop:i
zremrangebyscore: key min:d max:d
zrevrange: key start:i stop:i [WITHSCORES]
zrevrangebylex: key max min ${LIMIT}
zrevrangebyscore: key max:d min:d [WITHSCORES] ${LIMIT}
zrevrank: key member
zscan: key cursor:i [MATCH pattern:p] [COUNT count:i]
zscore: key member
zunion: numkeys:i key... [WEIGHTS weight:i...] ${AGGREGATE} [WITHSCORES]
zunionstore: destination:k numkeys:i key... [WEIGHTS weight:i...] ${AGGREGATE}
geoadd: key [NX|XX] [CH] (longitude:d latitude:d member)...
geodist: key member1 member2 [M|KM|FT|MI]
geohash: key member...
geopos: key member...
georadius: key longitude:d latitude:d radius:d ${UNIT} ${WITH_PLACE} ${COUNT_ANY} ${ORDER} [STORE storekey:k] [STOREDIST storedistkey:k]
georadius_ro: key longitude:d latitude:d radius:d ${UNIT} ${WITH_PLACE} ${COUNT_ANY} ${ORDER}
georadiusbymember: key member radius:d ${UNIT} ${WITH_PLACE} ${COUNT_ANY} ${ORDER} [STORE storekey:k] [STOREDIST storedistkey:k]
georadiusbymember_ro: key member radius:d ${UNIT} ${WITH_PLACE} ${COUNT_ANY} ${ORDER}
geosearch: key ${SEARCH_SHAPE} ${WITH_PLACE}
geosearchstore: destination:k source:k ${SEARCH_SHAPE} [STOREDIST]
xack: key group id...
xadd: key [NOMKSTREAM] [${TRIM}] (*|id) (field value)...
xautoclaim: key group consumer min-idle-time start [COUNT count:i] [JUSTID]
xclaim: key group consumer min-idle-time id... [IDLE ms:i] [TIME unix-time-milliseconds:u] [RETRYCOUNT count:i] [FORCE] [JUSTID] [LASTID lastid]
xdel: key id...
xgroup|create: key group (id|$) [MKSTREAM] [ENTRIESREAD entries-read:i]
xgroup|createconsumer: key group consumer
xgroup|delconsumer: key group consumer
xgroup|destroy: key group
xgroup|setid: key group (id|$) [ENTRIESREAD entries-read:i]
xinfo|consumers: key group
xinfo|groups: key
xinfo|stream: key [FULL {[COUNT count:i]}]
xlen: key
xpending: key group [[IDLE min-idle-time:i] start end count:i [consumer]]
xrange: key start end [COUNT count:i]
xread: [COUNT count:i] [BLOCK milliseconds:i] (STREAMS key... id...)
xreadgroup: (GROUP group consumer) [COUNT count:i] [BLOCK milliseconds:i] [NOACK] (STREAMS key... id...)
xrevrange: key end start [COUNT count:i]
xsetid: key last-id [ENTRIESADDED entries-added:i] [MAXDELETEDID max-deleted-id]
xtrim: key (${TRIM})
`;

const SERVER = `
acl|cat: [category]
acl|deluser: username...
acl|dryrun: username command [arg]...
acl|genpass: [bits:i]
acl|getuser: username
acl|log: [count:i|RESET]
acl|setuser: username [rule]...
auth: [username] password
bgsave: [SCHEDULE]
client|caching: (YES|NO)
client|getname:
client|kill: (ip-port|([ID client-id:i]|[TYPE (NORMAL|MASTER|SLAVE|REPLICA|PUBSUB)]|[USER username]|[ADDR ip-port]|[LADDR ip-port]|[SKIPME yes-or-no])...)
client|list: [TYPE (NORMAL|MASTER|REPLICA|PUBSUB)] [ID {client-id:i...}]
client|no-evict: (ON|OFF)
client|pause: timeout:i [WRITE|ALL]
client|reply: (ON|OFF|SKIP)
client|setname: connection-name
client|tracking: (ON|OFF) [REDIRECT client-id:i] [PREFIX prefix].. [BCAST] [OPTIN] [OPTOUT] [NOLOOP]
client|unblock: client-id:i [TIMEOUT|ERROR]
cluster|addslots: slot:i...
cluster|addslotsrange: (start-slot:i end-slot:i)...
cluster|count-failure-reports: node-id
cluster|countkeysinslot: slot:i
cluster|delslots: slot:i...
cluster|delslotsrange: (start-slot:i end-slot:i)...
cluster|failover: [FORCE|TAKEOVER]
cluster|forget: node-id
cluster|getkeysinslot: slot:i count:i
cluster|keyslot: key:s
cluster|meet: ip port:i [cluster-bus-port:i]
cluster|replicas: node-id
cluster|replicate: node-id
cluster|reset: [HARD|SOFT]
cluster|set-config-epoch: config-epoch:i
cluster|setslot: slot:i (IMPORTING node-id|MIGRATING node-id|NODE node-id|STABLE)
cluster|slaves: node-id
command|docs: [command-name]...
command|info: [command-name]...
command|list: [FILTERBY (MODULE module-name|ACLCAT category|PATTERN pattern:p)]
config|get: {parameter}...
config|set: (parameter value)...
echo: message
eval: script numkeys:i [key]... [arg]...
eval_ro: script numkeys:i [key]... [arg]...
evalsha: sha1 numkeys:i [key]... [arg]...
evalsha_ro: sha1 numkeys:i [key]... [arg]...
failover: [(TO host port:i [FORCE])] [ABORT] [TIMEOUT milliseconds:i]
fcall: function numkeys:i [key]... [arg]...
fcall_ro: function numkeys:i [key]... [arg]...
flushall: ${SYNC}
flushdb: ${SYNC}
function|delete: library-name
function|flush: ${SYNC}
function|list: [LIBRARYNAME library-name-pattern] [WITHCODE]
function|load: [REPLACE] function-code
function|restore: serialized-value [FLUSH|APPEND|REPLACE]
hello: [protover:i [(AUTH username password)] [SETNAME clientname]]
info: [section]...
latency|graph: event
latency|histogram: [command]...
latency|history: event
latency|reset: [event]...
lolwut: [VERSION version:i]
memory|usage: key [SAMPLES count:i]
module|load: path [arg]...
module|loadex: path [(CONFIG name value)].. [ARGS {args}]...
module|unload: name
ping: [message]
psubscribe: {pattern:p}...
psync: replicationid offset:i
publish: channel message
pubsub|channels: [pattern:p]
pubsub|numsub: [channel]...
pubsub|shardchannels: [pattern:p]
pubsub|shardnumsub: [shardchannel]...
punsubscribe: [pattern:p]...
replicaof: ({host port:i}|{NO ONE})
script|debug: (YES|SYNC|NO)
script|exists: sha1...
script|flush: ${SYNC}
script|load: script
select: index:i
shutdown: [NOSAVE|SAVE] [NOW] [FORCE] [ABORT]
slaveof: ({host port:i}|{NO ONE})
slowlog|get: [count:i]
spublish: shardchannel message
ssubscribe: shardchannel...
subscribe: channel...
sunsubscribe: [shardchannel]...
swapdb: index1:i index2:i
unsubscribe: [channel]...
watch: key...
`;

/** Newer than Redis 7.0, or Kvorum's own. */
const NEWER = `
delex: key [IFEQ value|IFNE value|IFDEQ digest|IFDNE digest]
digest: key
hexpire: key seconds:i ${WHEN} ${FIELDS}
hexpireat: key unix-time-seconds:u ${WHEN} ${FIELDS}
hexpiretime: key ${FIELDS}
hgetdel: key ${FIELDS}
hgetex: key [${EXPIRATION}|PERSIST)] ${FIELDS}
hpersist: key ${FIELDS}
hpexpire: key milliseconds:i ${WHEN} ${FIELDS}
hpexpireat: key unix-time-milliseconds:u ${WHEN} ${FIELDS}
hpexpiretime: key ${FIELDS}
hpttl: key ${FIELDS}
hsetex: key [FNX|FXX] [${EXPIRATION}|KEEPTTL)] (FIELDS numfields:i (field value)...)
httl: key ${FIELDS}
msetex: numkeys:i (key value)... [NX|XX] [${EXPIRATION}|KEEPTTL)]
`;

export const SYNTAX_WORDS = `${PLAIN}${COLLECTIONS}${SERVER}${NEWER}`;
