/** ioredis 5, which many programs still use: RESP2. */

import type { Redis } from 'ioredis';
import { Redis as Redis5 } from 'ioredis-5';

import { ioredisProgram } from './ioredis-program.ts';

// The calls of the program are the same in both versions; only the declarations differ.
ioredisProgram('ioredis 5', (options) => new Redis5(options) as unknown as Redis);
