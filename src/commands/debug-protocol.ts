/** DEBUG PROTOCOL: one reply of each type, so that authors of clients can test what theirs does with it. */

import { CommandError } from './errors.ts';
import {
  BigNumberReply,
  BooleanReply,
  DoubleReply,
  MapReply,
  PushReply,
  type Reply,
  SetReply,
  VerbatimReply,
} from './reply.ts';

const TYPES = 'string|integer|double|bignum|null|array|set|map|attrib|push|verbatim|true|false';

export function protocolExample(type: string, protocol: 2 | 3): Reply {
  switch (type) {
    case 'STRING':
      return 'Hello World';
    case 'INTEGER':
      return 12_345;
    case 'DOUBLE':
      return new DoubleReply(3.141);
    case 'BIGNUM':
      return new BigNumberReply('1234567999999999999999999999999999999');
    case 'NULL':
      return null;
    case 'ARRAY':
      return [0, 1, 2];
    case 'SET':
      return new SetReply([0, 1, 2]);
    case 'MAP':
      return new MapReply([0, 1, 2].map((i) => [i, new BooleanReply(i === 1)]));
    case 'PUSH':
      if (protocol === 2) throw new CommandError('ERR RESP2 is not supported by this command');
      return new PushReply(['server-cpu-usage', 42]);
    case 'VERBATIM':
      return new VerbatimReply('txt', 'This is a verbatim\nstring');
    case 'TRUE':
      return new BooleanReply(true);
    case 'FALSE':
      return new BooleanReply(false);
    default:
      throw new CommandError(`ERR Wrong protocol type name. Please use one of the following: ${TYPES}`);
  }
}
