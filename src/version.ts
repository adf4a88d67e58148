import { fileURLToPath } from 'node:url';
import type { Disk } from './env.ts';

/** Where package.json stands seen from this module, compiled: dist/src/version.js. */
const PACKAGE = new URL('../../package.json', import.meta.url);

/** The version in package.json. */
export function readVersion(disk: Disk): string {
  const file = disk.open(fileURLToPath(PACKAGE), 'read');
  try {
    const bytes = Buffer.alloc(file.size());
    file.readSync(bytes, 0);
    const { version } = JSON.parse(bytes.toString('utf8')) as { version?: unknown };
    return typeof version === 'string' ? version : 'unknown';
  } finally {
    file.close();
  }
}
