/**
 * The addresses that clients are served on: `bind` and `port`, also when CONFIG SET changes them.
 *
 * Invariant: outside of a change, either all addresses of `bind` that must be there are listened on, or none (port 0).
 */

import { OptionError } from './config-option.ts';
import type { Listener, Log } from './env.ts';
import type { Client } from './commands/client.ts';
import type { Server } from './commands/server-state.ts';
import type { RespServer } from './resp/server.ts';

interface Door {
  readonly host: string;
  /** A leading `-` in `bind`: no error if the machine does not have this address. */
  readonly optional: boolean;
}

export class Doors {
  private readonly server: Server;
  private readonly front: RespServer<Client>;
  private readonly log: Log;
  private listeners: { readonly host: string; readonly listener: Listener }[] = [];
  private bind: readonly string[];
  private port: number;

  constructor(options: { server: Server; front: RespServer<Client>; log: Log }) {
    const { server } = options;
    this.server = server;
    this.front = options.front;
    this.log = options.log;
    this.bind = server.config.get('bind');
    this.port = server.config.get('port');
    server.config.onChange('bind', (bind) => this.change(bind, this.port, 'Failed to bind to specified addresses.'));
    server.config.onChange('port', (port) =>
      this.change(this.bind, port, 'Unable to listen on this port. Check server logs.'),
    );
  }

  get addresses(): readonly string[] {
    return this.listeners.map(({ host, listener }) => `${host.includes(':') ? `[${host}]` : host}:${listener.port}`);
  }

  /** Listens. Rejects when an address that must be there cannot be had. */
  async open(): Promise<void> {
    if (this.port === 0) return;
    const backlog = this.server.config.get('tcp-backlog');
    try {
      for (const { host, optional } of doorsOf(this.bind)) {
        try {
          const listener = await this.front.listen({ host, port: this.port, backlog });
          this.listeners.push({ host, listener });
        } catch (error) {
          if (!optional) throw error;
          this.log.debug('an optional address is not there', { host, error: String(error) });
        }
      }
    } catch (error) {
      await this.shut();
      throw error;
    }
    if (this.listeners.length === 0) throw new Error(`none of the addresses '${this.bind.join(' ')}' can be had`);
    this.server.port = this.listeners[0]?.listener.port ?? 0;
  }

  private async shut(): Promise<void> {
    const { listeners } = this;
    this.listeners = [];
    this.server.port = 0;
    await Promise.all(listeners.map(({ listener }) => listener.close()));
  }

  private async change(bind: readonly string[], port: number, refusal: string): Promise<void> {
    const before = { bind: this.bind, port: this.port };
    if (port === before.port && bind.join(' ') === before.bind.join(' ')) return;
    await this.shut();
    this.bind = bind;
    this.port = port;
    try {
      await this.open();
    } catch (error) {
      this.log.warn('cannot listen as CONFIG SET asked; going back', { bind, port, error: String(error) });
      this.bind = before.bind;
      this.port = before.port;
      await this.open();
      throw new OptionError(refusal);
    }
  }
}

/** Hosts to listen on. `*` with `::*` is one listener that takes both families, or IPv4 alone where there is no IPv6. */
function doorsOf(bind: readonly string[]): Door[] {
  const doors = bind.map((word) => {
    const optional = word.startsWith('-');
    const host = optional ? word.slice(1) : word;
    return { host: host === '*' ? '0.0.0.0' : host === '::*' ? '::' : host, optional };
  });
  const takesAll = doors.some(({ host }) => host === '0.0.0.0') && doors.some(({ host }) => host === '::');
  if (!takesAll) return doors;
  // Listening on :: takes IPv4 too; whichever comes second may then be missing.
  return [
    { host: '::', optional: true },
    { host: '0.0.0.0', optional: true },
    ...doors.filter(({ host }) => host !== '::' && host !== '0.0.0.0'),
  ];
}
