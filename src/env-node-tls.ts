/** Mutual TLS behind `Network`: node:tls, both sides with a certificate that the same authority signed. */

import { connect, createServer, type Server, type TLSSocket } from 'node:tls';
import type { TlsIdentity } from './env.ts';

/** A stranger may take so long for the handshake. */
const HANDSHAKE_MS = 2_000;

/** Nodes are reached at addresses that no certificate names: what counts is who signed it (as with Redis's bus). */
const MIN_VERSION = 'TLSv1.2';

/** `onSocket` gets connections whose other side has shown a good certificate; all others are closed. */
export function createTlsServer(tls: TlsIdentity, onSocket: (socket: TLSSocket) => void): Server {
  const server = createServer(
    {
      ...identityOf(tls),
      requestCert: true,
      rejectUnauthorized: true,
      handshakeTimeout: HANDSHAKE_MS,
      noDelay: true,
    },
    (socket) => {
      // Resets and the like end in `close`, which is all that anyone acts on.
      socket.on('error', () => {});
      onSocket(socket);
    },
  );
  server.on('tlsClientError', (_error, socket) => socket.destroy());
  return server;
}

/** The socket says `error` while there is no connection; `onOpen` when the other side has shown a good certificate. */
export function connectTls(
  to: { readonly host: string; readonly port: number; readonly timeoutMs?: number },
  tls: TlsIdentity,
  onOpen: () => void,
): TLSSocket {
  const { host, port, timeoutMs } = to;
  const socket = connect({
    ...identityOf(tls),
    host,
    port,
    rejectUnauthorized: true,
    checkServerIdentity: () => undefined,
  });
  socket.setNoDelay(true);
  if (timeoutMs !== undefined) socket.setTimeout(timeoutMs, () => socket.destroy(new Error('no answer')));
  socket.once('secureConnect', () => {
    if (timeoutMs !== undefined) socket.setTimeout(0).removeAllListeners('timeout');
    onOpen();
  });
  return socket;
}

function identityOf(tls: TlsIdentity): { cert: string; key: string; ca: string; minVersion: 'TLSv1.2' } {
  return { cert: tls.cert, key: tls.key, ca: tls.ca, minVersion: MIN_VERSION };
}
