/**
 * The constants of membership: memberlist's defaults for a LAN (HashiCorp, `DefaultLANConfig`), each with its reason.
 */

export interface SwimConfig {
  /** One member is probed in this time, so that each is probed about once in (members × this). */
  readonly probeIntervalMs: number;
  /** Wait for a direct answer: several times a LAN's round trip, and well within the interval. */
  readonly probeTimeoutMs: number;
  /** Members asked to probe in one's stead: 3 find a way around most broken links (SWIM, section 3.1). */
  readonly indirectProbes: number;
  /** Suspicion lasts at least this × log10(members) × interval: several rounds of gossip, time enough to refute. */
  readonly suspicionMult: number;
  /** Without confirmation it lasts up to this many times longer (Lifeguard): a lone accuser may be the sick one. */
  readonly suspicionMaxMult: number;
  /** News is told this × log10(members + 1) times by each: enough for all to hear with high probability. */
  readonly retransmitMult: number;
  /** News that did not find a probe to ride on is told to `gossipNodes` members at this interval. */
  readonly gossipIntervalMs: number;
  readonly gossipNodes: number;
  /** Two members compare all they know at this interval: repairs what gossip missed. */
  readonly pushPullIntervalMs: number;
  /** A member that counts as dead is called again at this interval: after a cut both sides count the other as dead. */
  readonly reconnectIntervalMs: number;
  /** The dead are told news for this long, so that they can refute. */
  readonly gossipToDeadMs: number;
  /** Local health is a score in [0, this): waits grow by score + 1 (Lifeguard, section 4.1). */
  readonly maxAwareness: number;
  /** A turn of the event loop that is late by this lowers one's own health: answers may have waited here. */
  readonly loopDelayMs: number;
  /** Accusers that it takes to call a member dead, where there are so many: one may be the one that is cut off. */
  readonly accusers: number;
}

/** Strangers that are called at a time; one that answers is enough, and two members compare all they know. */
export const MAX_CALLED = 8;

export const LAN: SwimConfig = {
  probeIntervalMs: 1_000,
  probeTimeoutMs: 500,
  indirectProbes: 3,
  suspicionMult: 4,
  suspicionMaxMult: 6,
  retransmitMult: 4,
  gossipIntervalMs: 200,
  gossipNodes: 3,
  pushPullIntervalMs: 30_000,
  reconnectIntervalMs: 10_000,
  gossipToDeadMs: 30_000,
  maxAwareness: 8,
  loopDelayMs: 100,
  accusers: 2,
};

/** Pieces of news in one message: a member is about 100 bytes, so a message stays small beside what it rides on. */
export const MAX_NEWS = 32;

/** Members that are known at most: bounds memory against a broken or hostile peer. */
export const MAX_KNOWN = 4_096;

/** Shortest time under suspicion in a cluster of `members`. */
export function shortestSuspicionMs(config: SwimConfig, members: number): number {
  return config.suspicionMult * Math.max(1, Math.log10(Math.max(1, members))) * config.probeIntervalMs;
}

/**
 * Time under suspicion after `confirmations` by others: from the longest down to the shortest, logarithmically
 * (Lifeguard, section 4.2). `expected`: confirmations that make it the shortest; 0: there is nobody to confirm.
 */
export function suspicionMs(config: SwimConfig, members: number, confirmations: number, expected: number): number {
  const shortest = shortestSuspicionMs(config, members);
  if (expected < 1) return shortest;
  const longest = shortest * config.suspicionMaxMult;
  const share = Math.log(Math.min(confirmations, expected) + 1) / Math.log(expected + 1);
  return Math.max(shortest, longest - (longest - shortest) * share);
}

/** How often one member tells a piece of news. */
export function tellings(config: SwimConfig, members: number): number {
  return config.retransmitMult * Math.ceil(Math.log10(members + 1));
}
