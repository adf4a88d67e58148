/**
 * Who owns which slot in which epoch: the topology document as the simulation keeps it, every epoch of it. The register
 * that would hold it is taken as linearizable.
 */

import { must } from '../../../src/assert.ts';
import type { Owners } from '../../../src/cluster/owners.ts';

export class PlacementLog {
  private readonly epochs: (readonly Owners[])[];

  constructor(first: readonly Owners[]) {
    this.epochs = [first];
  }

  get latest(): number {
    return this.epochs.length - 1;
  }

  get slots(): number {
    return must(this.epochs[0], 'a first epoch').length;
  }

  owners(epoch: number, slot: number): Owners {
    return must(this.epochs[epoch]?.[slot], `owners of slot ${slot} in epoch ${epoch}`);
  }

  /** A new epoch in which `slot` has these owners; the others keep theirs. */
  commit(slot: number, owners: Owners): number {
    const next = [...must(this.epochs.at(-1), 'a last epoch')];
    next[slot] = owners;
    this.epochs.push(next);
    return this.latest;
  }

  /** Whether the slot's owners are the same in both epochs and in every one between. */
  unchanged(slot: number, from: number, to: number): boolean {
    for (let epoch = from + 1; epoch <= to; epoch++) {
      if (this.owners(epoch, slot) !== this.owners(epoch - 1, slot)) return false;
    }
    return true;
  }
}
