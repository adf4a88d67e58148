/** What the bus counts from its start on. */
export class BusCounters {
  framesIn = 0;
  framesOut = 0;
  messagesIn = 0;
  messagesOut = 0;
  /** Requests that came in batches. */
  partsIn = 0;
  bytesIn = 0;
  bytesOut = 0;
  /** Connections that were made once more between two nodes that had been connected. */
  reconnections = 0;
  /** Frames for which a connection was closed: corrupt, oversized or foreign. */
  framesDamaged = 0;
  /** Handshakes that one of both sides refused (but for double connections), or that were too slow. */
  handshakesFailed = 0;
  /** Requests that were never sent, and requests that were sent and never answered. */
  requestsUnsent = 0;
  requestsUnknown = 0;
}
