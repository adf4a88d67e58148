/** What all connections share: the state that commands, the dispatcher and INFO see. */

import type { Env } from '../env.ts';
import type { Keyspace } from '../repl/keyspace.ts';
import type { Client } from './client.ts';
import type { CommandObserver } from './observer.ts';
import type { ScanTokens } from './scan-tokens.ts';

/** Directives that commands obey; the owner of the configuration keeps them current. */
export interface CommandSettings {
  /** `databases`: SELECT, MOVE, COPY and SWAPDB take 0 to databases − 1. */
  databases: number;
  /** `proto-max-bulk-len`, in bytes: no string grows beyond it. */
  maxBulkBytes: number;
}

export interface Server {
  readonly env: Env;
  readonly keyspace: Keyspace;
  readonly clients: Map<number, Client>;
  readonly observer: CommandObserver;
  readonly settings: CommandSettings;
  /** Where the walks of SCAN stand. */
  readonly scanTokens: ScanTokens;
}
