/** ioredis 6, which speaks RESP3 unless told otherwise. */

import { Redis } from 'ioredis';

import { ioredisProgram } from './ioredis-program.ts';

ioredisProgram('ioredis 6, RESP3', (options) => new Redis(options));
ioredisProgram('ioredis 6, RESP2', (options) => new Redis({ ...options, protocol: 2 }));
