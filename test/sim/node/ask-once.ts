/** One command to one node, as an operator sends it. */

import type { Life } from '../event-loop.ts';
import type { Host, SimNetwork } from './network.ts';
import type { ReplyText } from './operation.ts';
import { RespClient } from './resp-client.ts';
import { CLIENT_PORT } from './setting.ts';

/** The reply, or undefined when there was none within `timeoutMs`. Requires: somebody drives the loop. */
export function askOnce(
  from: { network: SimNetwork; host: Host; life: Life },
  question: { target: string; words: readonly string[]; timeoutMs: number },
): Promise<ReplyText | undefined> {
  const { network, host, life } = from;
  return new Promise((resolve) => {
    const client: RespClient = new RespClient(
      network.of(host, life),
      { host: question.target, port: CLIENT_PORT },
      {
        onOpen: () => client.send([question.words]),
        onReply: (reply) => {
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
