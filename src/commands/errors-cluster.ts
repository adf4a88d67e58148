/** Errors of commands that need other nodes: one place for all of them. */

export const NOT_JOINED = 'CLUSTERDOWN this node has not joined its cluster yet';
export const NO_QUORUM = 'NOQUORUM too few owners of this key could be reached in time; nothing was changed';
export const UNCERTAIN = 'UNCERTAIN too few owners answered in time; the change may have been made, or may yet be made';
export const OVERLOADED = 'ERR too many requests are under way at this node; nothing was changed';

export const DAMAGED_ROW = 'ERR the row cannot be read: its owners hold what is no state of a row';

export const TOO_LARGE =
  'ERR the value would be larger than 31 MiB, which nodes of a cluster do not send one another; nothing was changed';

/** Said by one node to another: the command needs more rows than the one it was given. */
export const OTHER_ROWS = 'ERR the command needs rows that its words do not name';

export const NOT_WHOLE =
  'ERR commands that change whole databases (FLUSHDB, FLUSHALL, SWAPDB) cannot be run by scripts in a cluster of several nodes';

export const TOO_MANY_ROUNDS =
  'ERR the keys of this command depend on too many values that it reads; name them as its keys; nothing was changed';

/** What cannot be run over rows that are other nodes' too: it has no handler for single rows, or is too long. */
export function notAtomic(command: string): string {
  return `ERR '${command}' cannot be run as one change of rows in a cluster`;
}

/** As Redis Cluster says: the map of databases is each node's own, and nodes cannot change it in one moment. */
export const NO_SWAP = 'ERR SWAPDB is not allowed in cluster mode';

/** A change that only this node would see. */
export function localOnly(command: string): string {
  return `ERR '${command}' would change rows at this node alone, which shares them with others; nothing was changed`;
}

/** The change is made, but not known to as many owners as the level asks for. */
export function notEverywhere(level: string): string {
  return `NOQUORUM the change was made at a majority; fewer owners than level '${level}' asks for have it yet`;
}

/** What became of a change or a read that was not done. */
export type Failure = 'no-quorum' | 'uncertain' | 'overloaded';

export function failureText(failure: Failure): string {
  if (failure === 'no-quorum') return NO_QUORUM;
  return failure === 'uncertain' ? UNCERTAIN : OVERLOADED;
}
