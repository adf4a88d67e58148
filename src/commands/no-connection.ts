/** The connection of a client that has none: of commands that other nodes send, or that this node runs by itself. */

import type { ClientConnection } from './client.ts';

function nothing(): void {
  return;
}

export const NO_CONNECTION: ClientConnection = {
  peer: '',
  local: '',
  setProtocol: nothing,
  authenticated: true,
  replyMode: 'off',
  setReplyMode: nothing,
  outputClass: 'normal',
  idleExempt: true,
  isBlocked: false,
  isOpen: true,
  push: nothing,
  closeAfterReply: nothing,
  close: nothing,
  pauseReading: nothing,
  resumeReading: nothing,
  counters: () => ({
    queryBuffer: 0,
    queryBufferFree: 0,
    outputBuffer: 0,
    outputMemory: 0,
    outputChunks: 0,
    bytesIn: 0,
    bytesOut: 0,
    pending: 0,
    idleSeconds: 0,
  }),
};
