/**
 * Formations kept between processes, in the directory for temporary files: forming a cluster costs seconds. A kept one
 * counts only for the very same compiled product, of which its name has a digest.
 */

import { createHash } from 'node:crypto';
import { existsSync, readFileSync, readdirSync, renameSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { deserialize, serialize } from 'node:v8';
import { imageOf, type DiskImage } from '../disk.ts';
import type { Formation } from './formation.ts';

/** What stands in the file. */
interface Kept {
  readonly ms: number;
  readonly images: readonly { readonly files: [path: string, bytes: Uint8Array][]; readonly directories: string[] }[];
}

let productDigest: string | undefined;

/** Files of the simulation that a formation depends on, below its folder. */
const SIMULATION = [
  'disk',
  'event-loop',
  'inode',
  'mounted-disk',
  'platter',
  'prng',
  'threads',
  'node/formation',
  'node/inside',
  'node/machine',
  'node/machine-clock',
  'node/network',
  'node/network-faults',
  'node/setting',
  'node/stream',
];

/** Of all compiled files under src/, and those of the simulation. */
function digestOfProduct(): string {
  if (productDigest !== undefined) return productDigest;
  const source = fileURLToPath(new URL('../../../src', import.meta.url));
  const simulation = fileURLToPath(new URL('..', import.meta.url));
  const product = readdirSync(source, { recursive: true })
    .map(String)
    .filter((name) => name.endsWith('.js'))
    .sort();
  const hash = createHash('sha256');
  for (const name of product) hash.update(name).update(readFileSync(join(source, name)));
  for (const name of SIMULATION) hash.update(name).update(readFileSync(join(simulation, `${name}.js`)));
  productDigest = hash.digest('hex').slice(0, 16);
  return productDigest;
}

function pathOf(name: string): string {
  return join(tmpdir(), `kvorum-formation-${name}-${digestOfProduct()}.bin`);
}

export function keptFormation(name: string): Formation | undefined {
  const path = pathOf(name);
  if (!existsSync(path)) return undefined;
  const { ms, images } = deserialize(readFileSync(path)) as Kept;
  return { ms, images: images.map(({ files, directories }) => imageOf(files, directories)) };
}

export function keepFormation(name: string, formation: Formation): void {
  const images = formation.images.map(({ platter, directories }: DiskImage) => ({
    files: [...platter.names].map(([path, { seen }]): [string, Uint8Array] => [path, seen.bytes.slice(0, seen.length)]),
    directories: [...directories],
  }));
  const path = pathOf(name);
  // Whole or not at all: several processes may make the same one.
  const temporary = `${path}.${process.pid}`;
  writeFileSync(temporary, serialize({ ms: formation.ms, images } satisfies Kept));
  renameSync(temporary, path);
}
