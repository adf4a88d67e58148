/**
 * A whole manifest as one string of bytes, for files that are replaced as a whole (manifest-file.ts, manifest-copy.ts).
 *
 * ```
 * tables   counters | n, n × table          (each a byte string; see manifest.ts)
 * values   n, n × { name | value }
 * ```
 *
 * Both are valid if and only if they can be read to the end and the counters agree with the tables; their checksum is the
 * business of the file that they stand in.
 */

import { textOf, utf8 } from '../bytes.ts';
import {
  countersOf,
  encodeCounters,
  encodeTable,
  manifestDamage,
  readCounters,
  readTable,
  stateOf,
  tableWord,
  type ManifestState,
} from './manifest.ts';
import type { TableMeta } from './sstable-format.ts';
import { VarintReader, VarintWriter } from './varint.ts';
import type { Placed } from './version.ts';

export type NamedValues = ReadonlyMap<string, Uint8Array>;

const TWO_32 = 0x1_0000_0000;

interface TableRecord {
  readonly level: number;
  readonly bytes: Uint8Array;
  readonly word: number;
}

/** Records of tables by their description: most stay the same from one version to the next. */
const records = new WeakMap<TableMeta, TableRecord>();

function recordOf(placed: Placed): TableRecord {
  const known = records.get(placed.table);
  if (known !== undefined && known.level === placed.level) return known;
  const bytes = encodeTable(placed);
  const record = { level: placed.level, bytes, word: tableWord(bytes) };
  records.set(placed.table, record);
  return record;
}

export function writeState(writer: VarintWriter, state: ManifestState): void {
  const tables = state.version.placed().map(recordOf);
  let sum = 0;
  for (const { word } of tables) sum = (sum + word) % TWO_32;
  writer.string(encodeCounters(countersOf(state, sum))).number(tables.length);
  for (const { bytes } of tables) writer.string(bytes);
}

/** Throws `corruption`, naming `path`, when the tables are not those that were counted. */
export function readState(reader: VarintReader, path: string): ManifestState {
  const counters = readCounters(new VarintReader(reader.string()));
  const tables = [];
  let sum = 0;
  for (let count = reader.number(); count > 0; count--) {
    const record = reader.string();
    sum = (sum + tableWord(record)) % TWO_32;
    tables.push(readTable(new VarintReader(record)));
  }
  const state = stateOf(counters, tables, sum);
  if (typeof state === 'string') throw manifestDamage(path, state);
  return state;
}

export function writeValues(writer: VarintWriter, values: NamedValues): void {
  writer.number(values.size);
  for (const [name, value] of values) writer.string(utf8(name)).string(value);
}

export function readValues(reader: VarintReader): Map<string, Uint8Array> {
  const values = new Map<string, Uint8Array>();
  for (let count = reader.number(); count > 0; count--) values.set(textOf(reader.string()), reader.string());
  return values;
}
