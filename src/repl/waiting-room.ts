/**
 * Requests that an owner takes up again later, with what they hold in memory: bounded in number and in bytes. Whoever does
 * not get in is refused for now.
 */

import { copyOf } from '../bytes.ts';
import type { OwnerRequest } from './owner-message.ts';

/** Requests that wait for the disk, for a document, or for the engine to take writes. */
export const MAX_DEFERRED = 20_000;

/** Bytes of their names and states. */
export const MAX_DEFERRED_BYTES = 64 * 1024 * 1024;

export interface RoomLimits {
  readonly requests: number;
  readonly bytes: number;
}

export class WaitingRoom {
  private readonly limits: RoomLimits;
  private count = 0;
  private bytes = 0;

  constructor(limits: Partial<RoomLimits> = {}) {
    this.limits = { requests: MAX_DEFERRED, bytes: MAX_DEFERRED_BYTES, ...limits };
  }

  /** Requests in it. */
  get size(): number {
    return this.count;
  }

  /** The request with a state in memory of its own, which is in the room from now on; undefined: it is full. */
  enter<R extends OwnerRequest<Uint8Array>>(request: R): R | undefined {
    const bytes = bytesOf(request);
    if (this.count >= this.limits.requests || this.bytes + bytes > this.limits.bytes) return undefined;
    this.count++;
    this.bytes += bytes;
    if (request.kind !== 'accept' || request.value === undefined) return request;
    return { ...request, value: copyOf(request.value) };
  }

  /** A request that `enter` gave is taken up again, or given up. */
  leave(request: OwnerRequest<Uint8Array>): void {
    this.count--;
    this.bytes -= bytesOf(request);
  }
}

function bytesOf(request: OwnerRequest<Uint8Array>): number {
  return request.row.length + (request.kind === 'accept' ? (request.value?.length ?? 0) : 0);
}
