/** A backup of a running server: asks it for a checkpoint, waits for it, and copies that. */

import type { Network, Timers } from '../env.ts';
import { ServerClient, ServerError } from './ask-server.ts';
import { copyStore, type Copied } from './copy-store.ts';
import type { ToolParts } from './tool.ts';

/** How often the server is asked whether it is done. */
const POLL_MS = 100;

export interface OnlineBackup {
  readonly parts: ToolParts;
  readonly network: Network;
  readonly timers: Timers;
  readonly host: string;
  readonly port: number;
  /** Empty: none. */
  readonly password: string;
  readonly target: string;
  readonly link: boolean;
}

export async function backupRunning(options: OnlineBackup): Promise<Copied> {
  const { parts, target, link } = options;
  const source = await takeCheckpoint(options);
  if (!parts.disk.exists(source)) {
    throw new Error(`the checkpoint ${source} is not on this machine: run kvorum backup where the server runs`);
  }
  try {
    return await copyStore({ parts, source, target, link });
  } catch (error) {
    if (parts.disk.exists(source)) throw error;
    throw new Error(`another BGSAVE has replaced the checkpoint ${source} meanwhile: try again`, { cause: error });
  }
}

/** The directory of a checkpoint that was begun after this was called. */
async function takeCheckpoint(options: OnlineBackup): Promise<string> {
  const { host, port, password, parts, timers } = options;
  const server = await ServerClient.connect(options.network, { host, port });
  try {
    if (password !== '') await server.call('AUTH', password);
    await refuseWithoutCheckpoints(server);
    const pause = (): Promise<void> => new Promise((resolve) => void timers.after(POLL_MS, resolve));
    // One that runs already may have begun before the last writes: only our own will do.
    while (!(await begins(server))) await pause();
    parts.print('waiting for the checkpoint');
    let state = await persistence(server);
    for (; state.get('rdb_bgsave_in_progress') !== '0'; state = await persistence(server)) await pause();
    const path = state.get('last_checkpoint') ?? '';
    if (state.get('rdb_last_bgsave_status') !== 'ok' || path === '') {
      throw new Error('the server could not take a checkpoint; its log says why');
    }
    return path;
  } finally {
    server.close();
  }
}

async function refuseWithoutCheckpoints(server: ServerClient): Promise<void> {
  const answer = await server.call('CONFIG', 'GET', 'checkpoint-keep');
  const keep = Array.isArray(answer) ? answer[1] : undefined;
  if (keep === undefined) throw new Error('the server has no checkpoints: it is no Kvorum');
  if (keep === '0') throw new Error('the server takes no checkpoints; allow one: CONFIG SET checkpoint-keep 1');
}

/** False: another save is running. */
async function begins(server: ServerClient): Promise<boolean> {
  try {
    await server.call('BGSAVE');
    return true;
  } catch (error) {
    if (error instanceof ServerError && error.message.includes('already in progress')) return false;
    throw error;
  }
}

async function persistence(server: ServerClient): Promise<Map<string, string>> {
  const text = String(await server.call('INFO', 'persistence'));
  const fields = new Map<string, string>();
  for (const line of text.split('\r\n')) {
    const colon = line.indexOf(':');
    if (colon > 0) fields.set(line.slice(0, colon), line.slice(colon + 1));
  }
  return fields;
}
