/**
 * What the engine refuses or gives up with. `code` is stable:
 *
 * - `corruption`: bytes that were known to be durable are not what was written; the message names file and offset.
 * - `io`: the disk failed in a way after which nothing may be acknowledged any more.
 * - `refused`: writes are not taken for the time being (`Store.refusal` says why).
 * - `too-large`: a batch beyond the limit of its format.
 * - `closed`: the engine is closed or closing.
 */
export class EngineError extends Error {
  override readonly name = 'EngineError';
  readonly code: 'corruption' | 'io' | 'refused' | 'too-large' | 'closed';
  constructor(code: EngineError['code'], message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
  }
}
