/**
 * A loader hook (node:module `register`) that patches a compiled file of `src/` as it is loaded. Threads have hooks of
 * their own, but the simulation has no threads.
 */

import type { LoadHook } from 'node:module';

export interface Patch {
  readonly file: string;
  readonly find: string;
  readonly replace: string;
  /** More of the same, where the product defends itself twice. */
  readonly also?: Omit<Patch, 'also'>;
}

let patches: readonly Omit<Patch, 'also'>[] = [];

/** Called by node:module with what `register` was given. */
export function initialize({ also, ...patch }: Patch): void {
  patches = also === undefined ? [patch] : [patch, also];
}

export const load: LoadHook = async (url, context, nextLoad) => {
  const loaded = await nextLoad(url, context);
  const patch = patches.find(({ file }) => url.endsWith(`/src/${file}`));
  if (patch === undefined) return loaded;
  const source = String(loaded.source instanceof Uint8Array ? Buffer.from(loaded.source) : loaded.source);
  return { ...loaded, source: patched(source, patch) };
};

/** The source with the patch made. Throws where it does not fit. */
export function patched(source: string, { file, find, replace }: Omit<Patch, 'also'>): string {
  if (source.split(find).length !== 2) {
    throw new Error(`the mutant no longer fits: ${file} must have exactly once: ${find}`);
  }
  return source.replace(find, () => replace);
}
