/** Which start of the machine this is. */

import { readFileSync } from 'node:fs';

/** Linux tells it; elsewhere there is none. In a container it is the host's, which is what counts. */
const BOOT_ID_PATH = '/proc/sys/kernel/random/boot_id';

/** Another text each time that the machine has started; empty where it cannot be told. */
export function readBootId(): string {
  try {
    return readFileSync(BOOT_ID_PATH, 'latin1').trim();
  } catch {
    return '';
  }
}
