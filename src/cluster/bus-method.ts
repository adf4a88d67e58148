/**
 * What nodes ask one another: the methods of requests and notices on the bus, and how an answer says that nothing came
 * of a request. Numbers are given once and never again.
 */

export { METHOD_BUSY } from './bus-core.ts';

export const busMethod = {
  /** The bus's own: is the peer there? Never seen by those who use the bus. */
  PING: 1,
  SWIM: 2,
  TOPOLOGY_GET: 3,
  /** A node asks to become a member. The only one, but for the bus's own, that passes between two clusters. */
  JOIN: 4,
  /** The bus's own, a notice: this node belongs to another cluster than its HELLO said. */
  CLUSTER: 5,
  /** A request of the register to a voter of the topology document: owner-codec.ts. */
  TOPOLOGY_ASK: 6,
  /** A request of the register to an owner of its row: owner-codec.ts. */
  OWNER: 16,
  FORWARD: 17,
  MOVE: 18,
  LIST: 19,
  COUNT: 20,
  FLUSH: 21,
  /** A notice: a message for subscribers: commands/pubsub-feed.ts. */
  PUBLISH: 22,
  /** Notices: a node wants to hear of changes of rows, and hears of one: repl/row-interest.ts. */
  WANT_ROWS: 23,
  ROW_CHANGED: 24,
  /** An owner that may have forgotten something asks the others: repl/slot-recovery.ts. */
  RECALL: 25,
  /** What a node knows of its subscribers: commands/pubsub-survey.ts. */
  SURVEY: 26,
  /** Rows that every node goes by have changed: read them again, then answer: commands/system-rows.ts. */
  REREAD: 27,
} as const;

/** Method of an answer as its handler gives it. */
export const METHOD_ANSWERED = 0;

/** Method of an answer that says: the request was refused or its execution failed; the payload is a text (UTF-8). */
export const METHOD_FAILED = 0xfffe;
