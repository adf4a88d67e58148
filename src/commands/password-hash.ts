/** Passwords as they are kept and compared. */

import { createHash, timingSafeEqual } from 'node:crypto';

function digest(bytes: Uint8Array): Buffer {
  return createHash('sha256').update(bytes).digest();
}

/** SHA-256 of a password in hex, as ACL LIST shows it. */
export function passwordHash(password: Uint8Array): string {
  return digest(password).toString('hex');
}

/** Compared in a time that does not depend on how much of it is right. */
export function isPassword(password: Uint8Array, hash: string): boolean {
  return timingSafeEqual(digest(password), Buffer.from(hash, 'hex'));
}
