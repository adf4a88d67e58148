/** A log that says nothing. */

import type { Log } from '../../src/env.ts';

export const silent: Log = { debug() {}, info() {}, warn() {}, error() {} };
