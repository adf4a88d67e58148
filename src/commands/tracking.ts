/** CLIENT TRACKING, CLIENT CACHING, CLIENT GETREDIR, CLIENT TRACKINGINFO. */

import { latin1 } from '../bytes.ts';
import type { View } from '../repl/view.ts';
import type { Args } from './args.ts';
import type { Client } from './client.ts';
import type { Context } from './command.ts';
import { CommandError, NOT_AN_INTEGER } from './errors.ts';
import { INT64_MIN } from './number.ts';
import { MapReply, OK, type Reply, SetReply } from './reply.ts';
import { integerOf, syntaxError } from './server-row.ts';
import type { Server } from './server-state.ts';
import { Tracking } from './tracking-feed.ts';

const NOT_IN_A_CLUSTER =
  'ERR client tracking is not available in a cluster of several nodes: changes that other nodes make would not be told';
const OTHER_BROADCAST =
  "ERR You can't switch BCAST mode on/off before disabling tracking for this client, and then re-enabling it with a different mode.";
const OTHER_OPTION =
  "ERR You can't switch OPTIN/OPTOUT mode before disabling tracking for this client, and then re-enabling it with a different mode.";
const NOT_CACHING =
  'ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or OPTOUT mode enabled';

/** What CLIENT TRACKING asks for. */
interface TrackingWords {
  readonly tracking: Tracking;
  readonly prefixes: readonly string[];
}

/** Reads the options from word 3 on. Throws `CommandError`. */
function trackingWords(args: Args, server: Server): TrackingWords {
  const tracking = new Tracking();
  const prefixes: string[] = [];
  for (let i = 3; i < args.count; i++) {
    const name = args.upper(i);
    const hasNext = i + 1 < args.count;
    if (name === 'REDIRECT' && hasNext) {
      if (tracking.redirect !== 0) {
        throw new CommandError('ERR A client can only redirect to a single other client');
      }
      const id = integerOf(args, ++i, NOT_AN_INTEGER, INT64_MIN);
      if (!server.clients.has(id)) throw new CommandError('ERR The client ID you want redirect to does not exist');
      tracking.redirect = id;
    } else if (name === 'BCAST') tracking.isBroadcast = true;
    else if (name === 'OPTIN') tracking.isOptIn = true;
    else if (name === 'OPTOUT') tracking.isOptOut = true;
    else if (name === 'NOLOOP') tracking.isNoLoop = true;
    else if (name === 'PREFIX' && hasNext) prefixes.push(latin1(args.at(++i)));
    else throw syntaxError();
  }
  return { tracking, prefixes };
}

export function setTracking(_view: View, args: Args, { client, server }: Context): Reply {
  const { tracking, prefixes } = trackingWords(args, server);
  const mode = args.upper(2);
  if (mode === 'OFF') {
    server.tracking.end(client);
    return OK;
  }
  if (mode !== 'ON') throw syntaxError();
  if (server.rows?.isShared === true) throw new CommandError(NOT_IN_A_CLUSTER);
  checkTracking(client.tracking, tracking, prefixes);
  const known = client.tracking;
  if (known !== undefined) for (const prefix of known.prefixes) tracking.prefixes.add(prefix);
  client.tracking = tracking;
  server.tracking.clients.add(client);
  if (tracking.isBroadcast) {
    // Without a prefix every key is meant.
    const isAny = prefixes.length === 0 && tracking.prefixes.size === 0;
    server.tracking.addPrefixes(client, tracking, isAny ? [''] : prefixes);
  }
  return OK;
}

/** Throws `CommandError`. */
function checkTracking(before: Tracking | undefined, asked: Tracking, prefixes: readonly string[]): void {
  const { isBroadcast, isOptIn, isOptOut } = asked;
  if (!isBroadcast && prefixes.length > 0) {
    throw new CommandError('ERR PREFIX option requires BCAST mode to be enabled');
  }
  if (before !== undefined && before.isBroadcast !== isBroadcast) throw new CommandError(OTHER_BROADCAST);
  if (isBroadcast && (isOptIn || isOptOut)) {
    throw new CommandError('ERR OPTIN and OPTOUT are not compatible with BCAST');
  }
  if (isOptIn && isOptOut) throw new CommandError("ERR You can't specify both OPTIN mode and OPTOUT mode");
  if (before !== undefined && ((isOptIn && before.isOptOut) || (isOptOut && before.isOptIn))) {
    throw new CommandError(OTHER_OPTION);
  }
  checkPrefixes([...(before?.prefixes ?? [])], prefixes);
}

/** No key may have two of a client's prefixes. Throws `CommandError`. */
function checkPrefixes(known: readonly string[], prefixes: readonly string[]): void {
  const overlap = (one: string, other: string): boolean => one.startsWith(other) || other.startsWith(one);
  for (const [i, prefix] of prefixes.entries()) {
    const existing = known.find((each) => overlap(each, prefix));
    if (existing !== undefined) throw overlapping(prefix, `an existing prefix '${existing}'`);
    const provided = prefixes.slice(i + 1).find((each) => overlap(each, prefix));
    if (provided !== undefined) throw overlapping(prefix, `another provided prefix '${provided}'`);
  }
}

function overlapping(prefix: string, other: string): CommandError {
  return new CommandError(
    `ERR Prefix '${prefix}' overlaps with ${other}. Prefixes for a single client must not overlap.`,
  );
}

export function setCaching(_view: View, args: Args, { client }: Context): Reply {
  const { tracking } = client;
  if (tracking === undefined) throw new CommandError(NOT_CACHING);
  const word = args.upper(2);
  if (word === 'YES') {
    if (!tracking.isOptIn) {
      throw new CommandError('ERR CLIENT CACHING YES is only valid when tracking is enabled in OPTIN mode.');
    }
  } else if (word === 'NO') {
    if (!tracking.isOptOut) {
      throw new CommandError('ERR CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode.');
    }
  } else throw syntaxError();
  tracking.isNamed = true;
  return OK;
}

/** −1: it does not track; 0: it is told itself. */
export function redirectOf({ tracking }: Client): number {
  return tracking === undefined ? -1 : tracking.redirect;
}

export function trackingInfo(_view: View, _args: Args, { client, server }: Context): Reply {
  const { tracking } = client;
  const flags = tracking === undefined ? ['off'] : flagsOf(tracking, server);
  const prefixes = [...(tracking?.prefixes ?? [])].filter((prefix) => prefix !== '' || tracking?.isBroadcast === true);
  return new MapReply([
    ['flags', new SetReply(flags)],
    ['redirect', redirectOf(client)],
    ['prefixes', prefixes.map((prefix) => Buffer.from(prefix, 'latin1'))],
  ]);
}

function flagsOf(tracking: Tracking, server: Server): string[] {
  const flags = ['on'];
  if (tracking.isBroadcast) flags.push('bcast');
  if (tracking.isOptIn) flags.push('optin');
  if (tracking.isOptIn && tracking.isNamed) flags.push('caching-yes');
  if (tracking.isOptOut) flags.push('optout');
  if (tracking.isOptOut && tracking.isNamed) flags.push('caching-no');
  if (tracking.isNoLoop) flags.push('noloop');
  if (tracking.redirect !== 0 && !server.clients.has(tracking.redirect)) flags.push('broken_redirect');
  return flags;
}
