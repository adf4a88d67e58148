/** What all connections share: the state that commands, the dispatcher and INFO see. */

import type { Env } from '../env.ts';
import type { Keyspace } from '../repl/keyspace.ts';
import type { Client } from './client.ts';
import type { CommandObserver } from './observer.ts';

export interface Server {
  readonly env: Env;
  readonly keyspace: Keyspace;
  readonly clients: Map<number, Client>;
  readonly observer: CommandObserver;
}
