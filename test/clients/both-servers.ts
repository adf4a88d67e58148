/**
 * Runs one client program against Kvorum and, with KVORUM_TEST_ORACLE=1, against the real redis-server first, which
 * shows that the program is right.
 */

import { after, before, describe } from 'node:test';

import { startRedis } from '../support/redis-process.ts';
import { type ServerProcess, startKvorum } from '../support/server-process.ts';

/** The server of the running program; it may be killed and started again in place. */
export interface Target {
  readonly name: string;
  readonly port: number;
  /** kill -9, then the same data on the same port. */
  restart(): Promise<void>;
}

const FLAGS: Readonly<Record<string, readonly string[]>> = {
  'redis-server': ['--appendonly', 'yes', '--appendfsync', 'always'],
  kvorum: ['--appendfsync', 'always'],
};

/** Declares the program's tests for each server. `target` may be used inside tests only. */
export function onBothServers(title: string, program: (target: Target) => void): void {
  for (const [name, start] of [['redis-server', startRedis] as const, ['kvorum', startKvorum] as const]) {
    if (name === 'redis-server' && process.env['KVORUM_TEST_ORACLE'] !== '1') continue;
    describe(`${title} on ${name}`, () => {
      let server: ServerProcess;
      before(async () => {
        server = await start({ flags: FLAGS[name] as readonly string[] });
      });
      after(() => server?.stop());
      program({
        name,
        get port() {
          return server.port;
        },
        async restart() {
          await server.kill();
          const { port, directory } = server;
          server.disown();
          server = await start({ port, directory, flags: FLAGS[name] as readonly string[], ownsDirectory: true });
        },
      });
    });
  }
}
