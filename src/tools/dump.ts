/**
 * `kvorum dump DIR`: what is in a data directory, for people. With `records`, every record too. Damage is printed where
 * it stands and does not end the dump; nothing is changed.
 */

import { kind } from '../engine/record.ts';
import { tableName, type TableMeta } from '../engine/sstable-format.ts';
import { TableScan } from '../engine/table-scan.ts';
import { textOf } from '../bytes.ts';
import { readTableMeta } from './table-file.ts';
import { bytesText, counted, dataFiles, messageOf, printable, type ToolParts } from './tool.ts';
import { readWalFile, type WalFileContent } from './wal-file.ts';

export interface DumpOptions {
  /** Print each record of tables and WALs. */
  readonly records: boolean;
}

const kindNames = { [kind.PUT]: 'put', [kind.DELETE]: 'delete', [kind.DELETE_RANGE]: 'delete range' };

/** Prints the contents; the number of things that could not be read. */
export async function dump(parts: ToolParts, directory: string, options: DumpOptions): Promise<number> {
  const files = dataFiles(parts.disk, directory);
  let unreadable = 0;
  const attempt = (what: string, action: () => void): void => {
    try {
      action();
    } catch (error) {
      unreadable++;
      parts.print(`${what}: ${messageOf(error)}`);
    }
  };
  const levels = new Map<number, number>();
  if (files.manifests.length > 0) {
    try {
      for (const [table, level] of await dumpManifest(parts, directory)) levels.set(table, level);
    } catch (error) {
      unreadable++;
      parts.print(`manifest: ${messageOf(error)}`);
    }
  }
  for (const number of files.tables) {
    attempt(tableName(number), () => dumpTable(parts, directory, { number, level: levels.get(number), ...options }));
  }
  for (const name of files.wals) {
    attempt(name, () => dumpWal(parts, readWalFile(parts.disk, `${directory}/${name}`), options));
  }
  for (const name of files.halfWritten) parts.print(`${name}: a half-written table, which the next start removes`);
  return unreadable;
}

/** Prints the manifest; pairs of table number and level. */
async function dumpManifest(parts: ToolParts, directory: string): Promise<[table: number, level: number][]> {
  const { print } = parts;
  const manifest = await parts.openManifest(directory);
  try {
    const { version, nextFileNumber, oldestWal, flushedSequence } = manifest.state;
    print(`manifest: next file ${nextFileNumber}, oldest WAL ${oldestWal}, flushed up to sequence ${flushedSequence}`);
    for (const [level, tables] of version.levels.entries()) {
      if (tables.length === 0) continue;
      print(`  level ${level}: ${counted(tables.length, 'table')}, ${bytesText(version.bytesIn(level))}`);
    }
    return version.placed().map(({ level, table }) => [table.number, level]);
  } finally {
    await manifest.close();
  }
}

interface TableDump extends DumpOptions {
  readonly number: number;
  readonly level: number | undefined;
}

function dumpTable(parts: ToolParts, directory: string, options: TableDump): void {
  const { disk, print } = parts;
  const { number, level } = options;
  const meta = readTableMeta(disk, directory, number);
  const place = level === undefined ? 'in no manifest' : `level ${level}`;
  print(`${tableName(number)}: ${place}, ${bytesText(meta.bytes)}, ${countsOf(meta)}`);
  print(`  keys ${printable(meta.lower)} to ${printable(meta.upper)} (exclusive)`);
  for (const { start, end, sequence } of meta.rangeTombstones.list()) {
    print(`  range tombstone ${printable(start)} to ${printable(end)}, sequence ${sequence}`);
  }
  const scan = new TableScan(disk, directory, meta);
  try {
    const properties = [...scan.tail.properties].filter(([name]) => name !== 'lower' && name !== 'upper');
    print(`  ${properties.map(([name, value]) => `${name}=${textOf(value)}`).join(' ')}`);
    if (options.records) dumpRecords(parts, scan);
  } finally {
    scan.close();
  }
}

function countsOf(meta: TableMeta): string {
  const tombstones = meta.tombstones === 0 ? '' : `, ${counted(meta.tombstones, 'tombstone')}`;
  return `${counted(meta.records, 'record')}${tombstones}, sequences ${meta.minSequence} to ${meta.maxSequence}`;
}

function dumpRecords({ print }: ToolParts, scan: TableScan): void {
  const { cursor } = scan;
  while (scan.next()) {
    const key = printable(cursor.keyBytes.subarray(cursor.keyStart, cursor.keyEnd));
    const value =
      cursor.kind === kind.PUT ? ` = ${printable(cursor.block.subarray(cursor.valueStart, cursor.valueEnd))}` : '';
    print(`  ${cursor.sequence} ${kindNames[cursor.kind]} ${key}${value}`);
  }
}

function dumpWal({ print }: ToolParts, wal: WalFileContent, { records }: DumpOptions): void {
  const { path, header, groups, bytes, end, lastSequence } = wal;
  const name = path.slice(path.lastIndexOf('/') + 1);
  if (header === undefined) {
    print(`${name}: ${bytesText(bytes.length)}, without a valid header: never used, or damaged`);
    return;
  }
  print(`${name}: number ${header.number}, ${bytesText(bytes.length)}, generation ${header.generation}`);
  print(`  ${counted(groups.length, 'group')} to offset ${end}, sequences ${header.firstSequence} to ${lastSequence}`);
  if (!records) return;
  let sequence = header.firstSequence;
  for (const group of groups) {
    const closed = group.isCleanClose ? ', closed cleanly' : '';
    print(`  group at ${group.offset}: ${group.bytes} bytes, durable then up to ${group.durableOffset}${closed}`);
    for (const record of group.records) {
      const key = printable(bytes.subarray(record.keyStart, record.keyEnd));
      const value =
        record.kind === kind.DELETE ? '' : ` = ${printable(bytes.subarray(record.keyEnd, record.valueEnd))}`;
      print(`    ${sequence++} ${kindNames[record.kind]} ${key}${value}`);
    }
  }
}
