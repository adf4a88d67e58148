/**
 * What a simulated node is made of. `productRules` is the product's own code; a mutant (mutants.ts) replaces one part.
 */

import { Acceptor, type AcceptVerdict } from '../../../src/repl/acceptor.ts';
import type { RowName } from '../../../src/repl/owner-message.ts';
import { ReadCore } from '../../../src/repl/read-core.ts';
import { RegisterCore } from '../../../src/repl/register-core.ts';
import { ceilingVersion, type Version } from '../../../src/repl/version.ts';
import type { Change } from './operation.ts';

type RegisterOptions = ConstructorParameters<typeof RegisterCore<number, Change, number>>[0];

export interface Rules {
  acceptor(options: ConstructorParameters<typeof Acceptor>[0]): Acceptor;
  register(options: RegisterOptions): RegisterCore<number, Change, number>;
  read(options: ConstructorParameters<typeof ReadCore<number>>[0]): ReadCore<number>;
  /** What a new life counts as promised, given the clock ceiling that the last one persisted. */
  promisedBefore(ceiling: number): Version;
  /** How an owner judges a value that a third party delivers. */
  redelivered(acceptor: Acceptor, row: RowName, ballot: Version, held: Version): AcceptVerdict;
  /** Answers that show a version wait until it is durable. */
  readonly waitsForDisk: boolean;
  /** The bus delivers no copy of a request twice. */
  readonly deliversOnce: boolean;
  /** A refusal that may pass is told from one that holds for ever. */
  readonly tellsPassingRefusals: boolean;
  /** During a move a quorum is one of the old and of the new owners. */
  readonly joinsQuorums: boolean;
  /** An owner that knows of a change of owners refuses requests of before. */
  readonly fences: boolean;
  /** How a move brings the rows over. */
  readonly copies: 'majority' | 'one' | 'none';
}

export const productRules: Rules = {
  acceptor: (options) => new Acceptor(options),
  register: (options) => new RegisterCore(options),
  read: (options) => new ReadCore(options),
  promisedBefore: ceilingVersion,
  redelivered: (acceptor, row, ballot, held) => acceptor.accept(row, ballot, ballot, held),
  waitsForDisk: true,
  deliversOnce: true,
  tellsPassingRefusals: true,
  joinsQuorums: true,
  fences: true,
  copies: 'majority',
};
