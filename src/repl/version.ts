/**
 * The one version type of Kvorum: an HLC stamp and the actor that gave it. It is a ballot, a last-write-wins
 * timestamp, a sibling's dot and a session token (design, section 3).
 *
 * On the bus and on disk: u64 stamp, u32 actor, big-endian (12 bytes), so that bytes compare as versions do.
 *
 * Versions are immutable values. Two versions given by different lives of a node differ in their actor, two of one
 * life in their stamp: no version is given twice.
 */

import { readU32, writeU32 } from '../cluster/big-endian.ts';
import { readStamp, writeStamp } from './row-key.ts';

export interface Version {
  /** HLC stamp: milliseconds × 2048 + counter, a safe integer. */
  readonly stamp: number;
  /** Node and incarnation, u32. */
  readonly actor: number;
}

/** Below every version that is ever given: the version of a row that was never written. */
export const ZERO_VERSION: Version = { stamp: 0, actor: 0 };

export const MAX_ACTOR = 0xffff_ffff;

export const VERSION_BYTES = 12;

/** Negative, 0 or positive: by stamp, then by actor. */
export function compareVersions(a: Version, b: Version): number {
  return a.stamp === b.stamp ? a.actor - b.actor : a.stamp - b.stamp;
}

export function equalVersions(a: Version, b: Version): boolean {
  return a.stamp === b.stamp && a.actor === b.actor;
}

export function maxVersion(a: Version, b: Version): Version {
  return compareVersions(a, b) < 0 ? b : a;
}

/** The highest version with this stamp. */
export function ceilingVersion(stamp: number): Version {
  return { stamp, actor: MAX_ACTOR };
}

export function writeVersion(target: Uint8Array, at: number, version: Version): void {
  writeStamp(target, at, version.stamp);
  writeU32(target, at + 8, version.actor);
}

export function readVersion(source: Uint8Array, at: number): Version {
  return { stamp: readStamp(source, at), actor: readU32(source, at + 8) };
}

/** For logs and test output. */
export function versionText(version: Version): string {
  return `${version.stamp}.${version.actor}`;
}
