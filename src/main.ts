#!/usr/bin/env node
/**
 * The program: reads the command line, starts a node and ends it on SIGTERM, SIGINT or a failed disk; or runs a tool on a
 * data directory that no node has open.
 */

import { fileURLToPath } from 'node:url';
import { readMachine } from './node-machine.ts';
import { type DirectoryLock, lockDirectory } from './env-node-lock.ts';
import type { Disk } from './env.ts';
import { NodeDisk } from './env-node-disk.ts';
import { createNodeEnv } from './env-node.ts';
import { LmdbManifest } from './engine/manifest-lmdb.ts';
import { helpText, parseCommandLine } from './cli.ts';
import { Config, ConfigError } from './config.ts';
import { createLog, type NodeLog } from './log.ts';
import { announce, removePidFile, writePidFile } from './main-start.ts';
import { Node } from './node.ts';
import { readVersion } from './version.ts';

const NARROWEST_COLUMNS = 80;
const WIDEST_COLUMNS = 120;

async function main(argv: readonly string[]): Promise<void> {
  const line = parseCommandLine(argv);
  const disk = new NodeDisk();
  const version = readVersion(disk);
  if (line.kind === 'version') console.log(`kvorum ${version}`);
  else if (line.kind === 'help') {
    const columns = process.stdout.columns ?? NARROWEST_COLUMNS;
    console.log(await helpText(Math.min(Math.max(columns, NARROWEST_COLUMNS), WIDEST_COLUMNS)));
  } else if (line.kind === 'mistake') refuse(line.message);
  else if (line.kind === 'tool') {
    // Loaded here: a server has no use for it.
    const { runToolHere } = await import('./main-tool.ts');
    process.exitCode = await runToolHere(line.argv);
  } else if (line.kind === 'backup') {
    const { runBackupHere } = await import('./main-backup.ts');
    process.exitCode = await runBackupHere(line.argv);
  } else if (line.kind === 'demo') {
    const { runDemoHere } = await import('./main-demo.ts');
    process.exitCode = await runDemoHere(line.argv, fileURLToPath(import.meta.url));
  } else {
    try {
      await run(Config.load(disk, { path: line.path, args: line.args }), version);
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      refuse(`the configuration cannot be used:\n${indented(error.message)}`);
    }
  }
}

async function run(config: Config, version: string): Promise<void> {
  const log = await createLog({
    level: config.get('loglevel'),
    file: config.get('logfile'),
    isTerminal: process.stdout.isTTY,
    name: 'kvorum',
  });
  config.onChange('loglevel', (level) => log.setLevel(level));
  for (const warning of config.warnings) log.warn(warning);
  process.on('uncaughtException', (error) => {
    log.error('a bug: the process ends; what was acknowledged is in the log of the data', { stack: error.stack });
    process.exit(1);
  });
  try {
    await serve(config, version, log);
  } catch (error) {
    log.error('the node could not start', { reason: messageOf(error) });
    process.exitCode = 1;
  }
}

async function serve(config: Config, version: string, log: NodeLog): Promise<void> {
  const env = createNodeEnv({ log });
  env.disk.makeDirectory(config.get('dir'));
  const lock = await lockDirectory(config.get('dir'));
  if (lock === undefined) log.warn('this file system has no sockets: nothing keeps a second process off the data');
  let node: Node;
  try {
    node = await Node.start({
      env,
      config,
      version,
      machine: readMachine(),
      openManifest: (directory) => LmdbManifest.open(env.disk, directory),
      onFatal(error) {
        log.error('the disk failed; nothing more is acknowledged, the process ends', { reason: error.message });
        process.exit(1);
      },
      onShutdown: (failed) => finish(config, env.disk, lock, log, failed ? 1 : 0),
    });
  } catch (error) {
    lock?.release();
    throw error;
  }
  writePidFile(env.disk, config, log);
  announce(log, node, config, version);
  endOnSignals(node, log, () => finish(config, env.disk, lock, log));
}

function endOnSignals(node: Node, log: NodeLog, finished: () => void): void {
  let isEnding = false;
  const end = (signal: NodeJS.Signals): void => {
    if (isEnding) process.exit(1);
    isEnding = true;
    log.info(`${signal}: shutting down; a second signal ends at once`);
    node.close().then(finished, (error: unknown) => {
      log.error('the shutdown failed', { reason: messageOf(error) });
      process.exit(1);
    });
  };
  process.on('SIGTERM', end);
  process.on('SIGINT', end);
}

function finish(config: Config, disk: Disk, lock: DirectoryLock | undefined, log: NodeLog, code = 0): void {
  removePidFile(disk, config);
  lock?.release();
  log.info('bye');
  process.exit(code);
}

function refuse(message: string): void {
  console.error(`kvorum: ${message}`);
  process.exitCode = 1;
}

function indented(text: string): string {
  return text.replaceAll(/^/gm, '  ');
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

await main(process.argv.slice(2));
