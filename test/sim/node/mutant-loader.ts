/**
 * A loader hook (node:module `register`) that patches one compiled file of `src/` as it is loaded. Threads have hooks of
 * their own, but the simulation has no threads.
 */

import type { LoadHook } from 'node:module';

export interface Patch {
  readonly file: string;
  readonly find: string;
  readonly replace: string;
}

let patch: Patch | undefined;

/** Called by node:module with what `register` was given. */
export function initialize(given: Patch): void {
  patch = given;
}

export const load: LoadHook = async (url, context, nextLoad) => {
  const loaded = await nextLoad(url, context);
  if (patch === undefined || !url.endsWith(`/src/${patch.file}`)) return loaded;
  const source = String(loaded.source instanceof Uint8Array ? Buffer.from(loaded.source) : loaded.source);
  if (source.split(patch.find).length !== 2) {
    throw new Error(`the mutant no longer fits: ${patch.file} must have exactly once: ${patch.find}`);
  }
  return { ...loaded, source: source.replace(patch.find, () => (patch as Patch).replace) };
};
