/** A few commands to one node on a connection of their own, as an operator sends them. */

import type { Life } from '../event-loop.ts';
import type { Host, SimNetwork } from './network.ts';
import type { ReplyText } from './operation.ts';
import { RespClient } from './resp-client.ts';
import { CLIENT_PORT } from './setting.ts';

/** The last reply, or undefined when it did not come within `timeoutMs`. Requires: somebody drives the loop. */
export function askOnce(
  from: { network: SimNetwork; host: Host; life: Life },
  question: { target: string; commands: readonly (readonly string[])[]; timeoutMs: number },
): Promise<ReplyText | undefined> {
  const { network, host, life } = from;
  let replies = 0;
  return new Promise((resolve) => {
    const client: RespClient = new RespClient(
      network.of(host, life),
      { host: question.target, port: CLIENT_PORT },
      {
        onOpen: () => client.send(question.commands),
        onReply: (reply) => {
          if (++replies < question.commands.length) return;
          client.drop();
          resolve(reply);
        },
        onBroken: () => resolve(undefined),
      },
    );
    life.after(question.timeoutMs, () => {
      client.drop();
      resolve(undefined);
    });
  });
}
