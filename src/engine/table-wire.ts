/** Descriptions of tables as they travel to and from threads: structured cloning keeps plain objects only. */

import { RangeTombstones, type TombstoneFragment } from './range-tombstones.ts';
import type { TableMeta } from './sstable-format.ts';

export type WireTable = Omit<TableMeta, 'rangeTombstones'> & { readonly fragments: readonly TombstoneFragment[] };

export function toWire(table: TableMeta): WireTable {
  const { rangeTombstones, ...rest } = table;
  return { ...rest, fragments: rangeTombstones.fragments };
}

export function fromWire(wire: WireTable): TableMeta {
  const { fragments, ...rest } = wire;
  return { ...rest, rangeTombstones: fragments.length === 0 ? RangeTombstones.NONE : new RangeTombstones(fragments) };
}
