/** What a simulated client is waiting for: the replies to commands that it sent in one piece. */

import type { Life } from '../event-loop.ts';
import type { RespClient } from './resp-client.ts';

/** One piece at a time; `R` is a reply as the client wants it. */
export class Exchange<R> {
  private readonly life: Life;
  private running:
    | { readonly replies: R[]; readonly wanted: number; done(replies: readonly R[] | undefined): void }
    | undefined;

  constructor(life: Life) {
    this.life = life;
  }

  /** `done` is called once: with all replies, or undefined when they have not come within this time or the connection broke. */
  start(
    connection: RespClient | undefined,
    commands: readonly (readonly string[])[],
    withinMs: number,
    done: (replies: readonly R[] | undefined) => void,
  ): void {
    const running = { replies: [], wanted: commands.length, done };
    this.running = running;
    this.life.after(withinMs, () => {
      if (this.running === running) this.finish(undefined);
    });
    connection?.send(commands);
  }

  /** False: nothing was asked. */
  heard(reply: R): boolean {
    const { running } = this;
    if (running === undefined) return false;
    running.replies.push(reply);
    if (running.replies.length === running.wanted) this.finish(running.replies);
    return true;
  }

  /** Whoever waits waits for nothing more. */
  breakOff(): void {
    this.finish(undefined);
  }

  private finish(replies: readonly R[] | undefined): void {
    const { running } = this;
    this.running = undefined;
    running?.done(replies);
  }
}
