/** Hashes of keys that will be looked up soon (see `Memtable.touch`). Invariant: `count` ≤ MAX_EXPECTED. */

/** Keys that are touched at a time; more are looked up as if they had not been expected. */
const MAX_EXPECTED = 512;

export class ExpectedHashes {
  count = 0;
  readonly hashes = new Uint32Array(MAX_EXPECTED);
  /** Room for where they lead to. */
  readonly places = new Uint32Array(MAX_EXPECTED);
  /** Made of what was read, lest the compiler find that nobody needs the reads. */
  seen = 0;

  add(hash: number): void {
    if (this.count < MAX_EXPECTED) this.hashes[this.count++] = hash;
  }

  clear(): void {
    this.count = 0;
  }
}
