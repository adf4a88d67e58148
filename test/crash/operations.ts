/** Draws the operations of a crash-test writer. Every value is unique: key, writer and sequence number are in it. */

import type { Operation, State } from './expected-state.ts';
import type { SeededRandom } from './seeded-random.ts';

/** Keys of one writer; few, so that they are overwritten, deleted and renamed often. */
const KEYS = 60;
/** Long enough to outlive any test. */
const FAR_MS = 3_600_000;

/** Keys that all writers count up. */
export const SHARED = { counter: 'shared:counter', left: 'shared:left', right: 'shared:right' } as const;

function put(state: State, key: string, value: string, expiresAtMs = 0): void {
  state.set(key, { value, expiresAtMs });
}

export class OperationSource {
  private readonly writer: number;
  private readonly random: SeededRandom;
  private sequence = 0;

  constructor(writer: number, random: SeededRandom) {
    this.writer = writer;
    this.random = random;
  }

  /** Prefix of all keys of this writer. */
  static prefix(writer: number): string {
    return `w${writer}:`;
  }

  next(): Operation {
    this.sequence++;
    const draw = this.random.next();
    if (draw < 0.3) return this.set();
    if (draw < 0.36) return this.setFar();
    if (draw < 0.42) return this.setNear();
    if (draw < 0.5) return this.del();
    if (draw < 0.58) return this.increment();
    if (draw < 0.64) return this.append();
    if (draw < 0.7) return this.expire();
    if (draw < 0.74) return this.persist();
    if (draw < 0.8) return this.mset();
    if (draw < 0.87) return this.pair();
    if (draw < 0.9) return this.rename();
    if (draw < 0.95) return shared([['INCR', SHARED.counter]]);
    return shared([
      ['INCR', SHARED.left],
      ['INCR', SHARED.right],
    ]);
  }

  private key(): string {
    return `${OperationSource.prefix(this.writer)}k${this.random.below(KEYS)}`;
  }

  /** Mostly short; some cross the limit of what a head holds, a few are large. */
  private value(key: string): string {
    const draw = this.random.next();
    const length = draw < 0.85 ? this.random.below(120) : draw < 0.99 ? 900 + this.random.below(400) : 60_000;
    return `${key}/${this.writer}/${this.sequence}/${'x'.repeat(length)}`;
  }

  private set(): Operation {
    const key = this.key();
    const value = this.value(key);
    return { commands: [['SET', key, value]], apply: (state) => put(state, key, value) };
  }

  private setFar(): Operation {
    const key = this.key();
    const value = this.value(key);
    const at = Date.now() + FAR_MS + this.random.below(FAR_MS);
    return { commands: [['SET', key, value, 'PXAT', String(at)]], apply: (state) => put(state, key, value, at) };
  }

  /** Each in a key of its own that nothing else touches, so that the moment of expiry decides nothing else. */
  private setNear(): Operation {
    const key = `${OperationSource.prefix(this.writer)}near${this.sequence}`;
    const value = this.value(key);
    const at = Date.now() + 100 + this.random.below(1_500);
    return { commands: [['SET', key, value, 'PXAT', String(at)]], apply: (state) => put(state, key, value, at) };
  }

  private del(): Operation {
    const keys = this.random.next() < 0.5 ? [this.key()] : [this.key(), this.key()];
    return {
      commands: [['DEL', ...keys]],
      apply: (state) => {
        for (const key of keys) state.delete(key);
      },
    };
  }

  private increment(): Operation {
    const key = `${OperationSource.prefix(this.writer)}n`;
    return {
      commands: [['INCR', key]],
      apply: (state) => put(state, key, String(Number(state.get(key)?.value ?? 0) + 1)),
    };
  }

  private append(): Operation {
    const key = this.key();
    const more = `+${this.writer}/${this.sequence}`;
    return {
      commands: [['APPEND', key, more]],
      apply: (state) => {
        const held = state.get(key);
        put(state, key, (held?.value ?? '') + more, held?.expiresAtMs ?? 0);
      },
    };
  }

  private expire(): Operation {
    const key = this.key();
    const at = Date.now() + FAR_MS + this.random.below(FAR_MS);
    return {
      commands: [['PEXPIREAT', key, String(at)]],
      apply: (state) => {
        const held = state.get(key);
        if (held !== undefined) put(state, key, held.value, at);
      },
    };
  }

  private persist(): Operation {
    const key = this.key();
    return {
      commands: [['PERSIST', key]],
      apply: (state) => {
        const held = state.get(key);
        if (held !== undefined) put(state, key, held.value);
      },
    };
  }

  private mset(): Operation {
    const pairs = [this.key(), this.key(), this.key()].map((key) => [key, this.value(key)] as const);
    return {
      commands: [['MSET', ...pairs.flat()]],
      apply: (state) => {
        for (const [key, value] of pairs) put(state, key, value);
      },
    };
  }

  private pair(): Operation {
    const pairs = [this.key(), this.key()].map((key) => [key, this.value(key)] as const);
    return {
      commands: pairs.map(([key, value]) => ['SET', key, value]),
      apply: (state) => {
        for (const [key, value] of pairs) put(state, key, value);
      },
    };
  }

  private rename(): Operation {
    const from = this.key();
    const to = this.key();
    return {
      commands: [['RENAME', from, to]],
      apply: (state) => {
        const held = state.get(from);
        if (held === undefined || from === to) return;
        state.delete(from);
        state.set(to, held);
      },
    };
  }
}

/** Touches no key of the writer's own; `SharedCounters` watches over these. */
function shared(commands: readonly (readonly string[])[]): Operation {
  return { commands, apply: () => undefined };
}
