/**
 * The script that has run for longer than `busy-reply-threshold` and rests now and then, so that the node hears who asks
 * for its end. Until it is over clients are told `BUSY`, but for the commands with the flag `allow_busy`.
 *
 * ```
 * handler throws Resting ─▶ begin ─▶ the turn ends ─▶ the handler goes on ─▶ Resting … ─▶ its reply ─▶ end
 *                                        └─ SCRIPT KILL, FUNCTION KILL, the end of the node
 * ```
 *
 * A script that has missed block after block on disk rests where it misses the next one, since from its start it might never come to
 * an end. Before the threshold others wait for it; from then on they are told.
 *
 * It goes for rows that are this node's alone. What the script stages nobody sees before its commit, so those who read need
 * no barrier; whoever writes asks `isOn` first, or waits for `whenOver`.
 *
 * Invariant: one script at a time is between `begin` and `end`, since no other command of a client runs then.
 */

import type { View } from '../repl/view.ts';
import type { Args } from './args.ts';
import type { Command } from './command.ts';
import { CommandError } from './errors.ts';
import type { Resting } from './lua-host.ts';
import { ErrorReply, MapReply, OK, type Reply } from './reply.ts';

const BUSY_SCRIPT = 'BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.';
const BUSY_FUNCTION = 'BUSY Redis is busy running a script. You can only call FUNCTION KILL or SHUTDOWN NOSAVE.';
const NOT_BUSY = 'NOTBUSY No scripts in execution right now.';
const ENDED_WITH_NODE = 'ERR the server shuts down; nothing that the script has written stays';
const UNKILLABLE =
  'UNKILLABLE Sorry the script already executed write commands against the dataset. ' +
  'You can either wait the script termination or kill the server in a hard way using the SHUTDOWN NOSAVE command.';

export class BusyScript {
  /** Where scripts may rest: the view of the dispatcher's next command, and that of the one that rests. */
  view: View | undefined = undefined;
  private restingView: View | undefined = undefined;
  /** The view of a script that has missed so many blocks that it will wait for the next one where it is. */
  slowView: View | undefined = undefined;
  private resting: Resting | undefined = undefined;
  private args: Args | undefined = undefined;
  private startUs = 0;
  /** It is to end whatever it has written: the node ends. */
  private isAbandoned = false;
  private waiters: (() => void)[] = [];
  private readonly limitMs: () => number;

  /** `limitMs`: `busy-reply-threshold`. */
  constructor(limitMs: () => number) {
    this.limitMs = limitMs;
  }

  get isOn(): boolean {
    return this.resting !== undefined;
  }

  /** Whether a script over this view may be left and gone on with. */
  mayRest(view: View): boolean {
    return view === this.view || view === this.restingView;
  }

  isSlow(view: View): boolean {
    return view === this.slowView || view === this.restingView;
  }

  /** Whether a script over this view has run for longer than it should, before it missed a block and began anew. */
  isOverdue(view: View): boolean {
    return view === this.restingView;
  }

  /** A script rests, for the first time or once more. `args`: the command that runs it, in memory of their own. */
  begin(resting: Resting, options: { readonly view: View; readonly args: Args; readonly startUs: number }): void {
    this.resting = resting;
    this.restingView = options.view;
    this.args = options.args;
    this.startUs = options.startUs;
  }

  /** It is over. */
  end(): void {
    this.resting = undefined;
    this.restingView = undefined;
    this.args = undefined;
    const { waiters } = this;
    this.waiters = [];
    for (const goOn of waiters) goOn();
  }

  /** Settles when no script is busy. */
  async whenOver(): Promise<void> {
    while (this.isOn) await new Promise<void>((resolve) => this.waiters.push(resolve));
  }

  /** What clients are told meanwhile. Requires: isOn. */
  get text(): string {
    return this.resting?.isFunction === true ? BUSY_FUNCTION : BUSY_SCRIPT;
  }

  refusal(command: Command, nowUs: number): ErrorReply | undefined {
    return this.isTold(nowUs) && !command.flags.includes('allow_busy') ? new ErrorReply(this.text) : undefined;
  }

  /** When a command waits for the script, which has not run for long enough to tell its client; undefined: it need not. */
  delay(command: Command): Promise<void> | undefined {
    return this.isOn && !command.flags.includes('allow_busy') ? this.whenOver() : undefined;
  }

  /** Whether it has run for so long that clients are told. */
  isTold(nowUs: number): boolean {
    const limitMs = this.limitMs();
    return this.isOn && limitMs > 0 && nowUs - this.startUs >= limitMs * 1000;
  }

  /** SCRIPT KILL and FUNCTION KILL. Throws `CommandError`. */
  kill(what: 'script' | 'function'): Reply {
    const { resting } = this;
    if (resting === undefined) throw new CommandError(NOT_BUSY);
    if (resting.hasWritten) throw new CommandError(UNKILLABLE);
    if ((what === 'function') !== resting.isFunction) throw new CommandError(this.text);
    resting.isKilled = true;
    return OK;
  }

  /** The node ends: what the script has staged is forgotten. */
  abandon(): void {
    this.isAbandoned = true;
  }

  /** Before a script goes on. Throws `CommandError` when it is not to. */
  checkGoOn(): void {
    if (this.isAbandoned) throw new CommandError(ENDED_WITH_NODE);
  }

  /** What FUNCTION STATS tells of a function that runs. Throws `CommandError` when it is a script. */
  describe(nowUs: number): Reply {
    const { resting, args } = this;
    if (resting === undefined || args === undefined) return null;
    if (!resting.isFunction) throw new CommandError(this.text);
    return new MapReply([
      ['name', resting.run.name],
      ['command', args.words().map((word) => word.slice())],
      ['duration_ms', Math.floor((nowUs - this.startUs) / 1000)],
    ]);
  }
}
