/**
 * One process a data directory: a unix socket in the directory is the lock.
 *
 * Node has no file locks. A file with a process id is wrong after a crash (the id may be another process's by then,
 * or mean nothing in another container); a listening socket is not: the kernel closes it with its process, and a
 * connection through the shared file tells from any container whether somebody listens.
 *
 * Taking a lock: bind `kvorum.lock`. It is there already → connect: answered by its owner (refuse), or refused (its
 * owner is gone): move the name away, make sure nobody listens behind it after all, remove it, bind again.
 */

import { closeSync, openSync, renameSync, unlinkSync } from 'node:fs';
import { connect, createServer, type Server } from 'node:net';
import { join } from 'node:path';

export const LOCK_NAME = 'kvorum.lock';
/** Two processes that clean up after a third one may each have to try again. */
const MAX_ATTEMPTS = 5;
/** An owner whose loop is busy may answer late; the connection itself is what counts. */
const ANSWER_TIMEOUT_MS = 1_000;
/** Bytes of a socket's path that the kernel takes. */
const MAX_SOCKET_PATH_BYTES = 107;

export class DirectoryInUse extends Error {
  override readonly name = 'DirectoryInUse';
}

export interface DirectoryLock {
  release(): void;
}

/**
 * Rejects with `DirectoryInUse` when another process has the directory. `undefined`: this file system has no sockets,
 * so nothing keeps a second process out.
 */
export async function lockDirectory(directory: string): Promise<DirectoryLock | undefined> {
  const real = join(directory, LOCK_NAME);
  // The kernel's limit on socket paths is short; through an open directory any path fits.
  const isLong = Buffer.byteLength(real) > MAX_SOCKET_PATH_BYTES;
  const descriptor = isLong ? openSync(directory, 'r') : -1;
  const path = isLong ? `/proc/self/fd/${descriptor}/${LOCK_NAME}` : real;
  try {
    for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
      const bound = await bind(path);
      if (bound === 'unsupported') return undefined;
      if (bound !== 'taken') return { release: () => bound.close() };
      await refuseIfAlive(path, directory);
      const aside = `${path}.${process.pid}-${attempt}`;
      if (!moved(path, aside)) continue;
      const owner = await ownerOf(aside);
      if (owner !== undefined) {
        // Somebody else cleaned up and took the lock between our look and our move: give it back.
        moved(aside, path);
        throw inUse(directory, owner);
      }
      unlinkSync(aside);
    }
  } finally {
    if (descriptor >= 0) closeSync(descriptor);
  }
  throw new DirectoryInUse(`${directory} is being taken by other processes at the same time`);
}

async function refuseIfAlive(path: string, directory: string): Promise<void> {
  const owner = await ownerOf(path);
  if (owner !== undefined) throw inUse(directory, owner);
}

function inUse(directory: string, owner: string): DirectoryInUse {
  return new DirectoryInUse(`${directory} is in use by another Kvorum (process ${owner}); stop it, or use another dir`);
}

function bind(path: string): Promise<Server | 'taken' | 'unsupported'> {
  return new Promise((resolve, reject) => {
    const server = createServer((socket) => {
      socket.on('error', () => socket.destroy());
      socket.end(String(process.pid));
    });
    server.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EADDRINUSE') resolve('taken');
      else if (error.code === 'EPERM' || error.code === 'EOPNOTSUPP' || error.code === 'ENOTSUP')
        resolve('unsupported');
      else reject(error);
    });
    server.listen(path, () => {
      server.unref();
      resolve(server);
    });
  });
}

/** Process id of whoever listens at `path`, `unknown` if it does not say; undefined: nobody does. */
function ownerOf(path: string): Promise<string | undefined> {
  return new Promise((resolve) => {
    let isConnected = false;
    let text = '';
    const socket = connect({ path });
    socket.setTimeout(ANSWER_TIMEOUT_MS, () => socket.destroy());
    socket.on('connect', () => {
      isConnected = true;
    });
    socket.on('data', (chunk) => {
      text += chunk.toString();
    });
    socket.on('error', () => socket.destroy());
    socket.on('close', () => resolve(isConnected ? text || 'unknown' : undefined));
  });
}

function moved(from: string, to: string): boolean {
  try {
    renameSync(from, to);
    return true;
  } catch {
    return false;
  }
}
