/** Every limit of the front door. Those with a name in redis.conf come in by `SessionLimits`; the rest are here. */

/** A line (inline request, count or length) longer than this is refused. Redis: PROTO_INLINE_MAX_SIZE. */
export const LINE_MAX_BYTES = 64 * 1024;
/** Words of one command, as Redis 7.0 (INT_MAX). What a client really sends is bounded by the query buffer. */
export const MULTIBULK_MAX_COUNT = 2 ** 31 - 1;
/** Words of one command, and bytes of one word, before the client has authenticated. As Redis. */
export const UNAUTHENTICATED_MAX_COUNT = 10;
export const UNAUTHENTICATED_MAX_BULK_BYTES = 16 * 1024;
/** Offsets of words are 32 bits wide, so no query buffer may grow past this, whatever is configured. */
export const QUERY_BUFFER_CEILING_BYTES = 2 ** 32 - 1;

/** Bytes of one read from which on it is looked at for keys: less is hardly more than one command. */
export const SCOUTED_MIN_BYTES = 128;
/** Keys that one such look finds at most; their records stay in the processor's second cache until they are used. */
export const SCOUTED_MAX_KEYS = 512;

/** Input kept for a session that may not run commands now; reading stops above it. */
export const HELD_INPUT_MAX_BYTES = 64 * 1024;

/** The first buffer of a session's output: sixteen replies of 100 bytes fit with room to spare. */
export const CHUNK_FIRST_BYTES = 4 * 1024;
/** Output grows by doubling up to this; more goes to further chunks, so that a long reply is copied at most twice. */
export const CHUNK_MAX_BYTES = 64 * 1024;
/** A bulk string from this size on gets a chunk of its own, of just its size. */
export const OWN_CHUNK_BULK_BYTES = 32 * 1024;

/**
 * A session that holds more output than this runs no further command and is not read from until the client has taken
 * some. It is large because blocking clients send a whole pipeline before they read the first reply: with one whose
 * replies come to more than this they wait for us and we for them.
 */
export const OUTPUT_HIGH_WATER_BYTES = 128 * 1024 * 1024;
/** Output of all sessions together from which on the crowded mark holds for each, so that the total stays bounded. */
export const OUTPUT_TOTAL_HIGH_WATER_BYTES = 256 * 1024 * 1024;
export const OUTPUT_CROWDED_HIGH_WATER_BYTES = 256 * 1024;
/** A client that is not read from, and has taken nothing for so long, is closed: an error instead of an endless wait. */
export const OUTPUT_STALL_SECONDS = 60;

/** Buffers kept for reuse: powers of two between these sizes, and not more than so many bytes in all. */
export const POOL_SMALLEST_BYTES = 1024;
export const POOL_LARGEST_BYTES = 256 * 1024;
export const POOL_MAX_BYTES = 32 * 1024 * 1024;

/** A connection that ends is destroyed when nothing has gone out for so long and the client has not closed its side. */
export const CLOSE_GRACE_SECONDS = 10;
/** How often idle clients and soft output limits are looked at. */
export const SWEEP_INTERVAL_MS = 1000;

/** `client-output-buffer-limit` of one class; 0 is no limit. */
export interface OutputLimit {
  readonly hardBytes: number;
  readonly softBytes: number;
  readonly softSeconds: number;
}

export type OutputClass = 'normal' | 'pubsub';

/** The limits that CONFIG SET may change while clients are connected: read at each use. */
export interface SessionLimits {
  /** `proto-max-bulk-len`. */
  protoMaxBulkBytes: number;
  /** `client-query-buffer-limit`. */
  queryBufferBytes: number;
  /** `client-output-buffer-limit`. */
  output: Readonly<Record<OutputClass, OutputLimit>>;
  /** `timeout`; 0 is never. */
  idleTimeoutSeconds: number;
}

/** Redis's defaults. */
export function defaultSessionLimits(): SessionLimits {
  return {
    protoMaxBulkBytes: 512 * 1024 * 1024,
    queryBufferBytes: 1024 * 1024 * 1024,
    output: {
      normal: { hardBytes: 0, softBytes: 0, softSeconds: 0 },
      pubsub: { hardBytes: 32 * 1024 * 1024, softBytes: 8 * 1024 * 1024, softSeconds: 60 },
    },
    idleTimeoutSeconds: 0,
  };
}
