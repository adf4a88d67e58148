/** What holds for the keys with a prefix (design, section 8). Stored with the topology. */

export type ConsistencyLevel = 'one' | 'quorum' | 'all' | 'local-quorum' | 'each-quorum' | 'session' | 'available';

export interface Policy {
  /** One character a byte (latin1); the longest prefix of a key that has a policy decides. Empty: all keys. */
  readonly prefix: string;
  readonly n?: number;
  readonly level?: ConsistencyLevel;
  /** Explicit numbers of owners to read from and to write to, instead of a level. */
  readonly r?: number;
  readonly w?: number;
  readonly conflict?: 'register' | 'siblings' | 'crdt';
  /** Deadline of keys that are written without one. */
  readonly ttlMs?: number;
  readonly fsync?: 'always' | 'everysec' | 'no';
}

/** The policy of the longest prefix of `key` (latin1); undefined when none has one. */
export function policyOf(policies: readonly Policy[], key: string): Policy | undefined {
  let best: Policy | undefined;
  for (const policy of policies) {
    if (key.startsWith(policy.prefix) && (best === undefined || policy.prefix.length > best.prefix.length))
      best = policy;
  }
  return best;
}
