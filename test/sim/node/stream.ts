/**
 * One end of a simulated connection, with the pieces that are on their way to it.
 *
 * Invariants: pieces arrive in the order in which they were sent, none is lost but by the end of the connection;
 * `onClose` is called once and last; nothing is called on a process that is dead.
 */

import { must } from '../../../src/assert.ts';
import type { Connection, ConnectionEvents } from '../../../src/env.ts';
import type { Life } from '../event-loop.ts';
import type { Host, SimNetwork } from './network.ts';

/** Bytes on their way in one direction above which `write` says that not all was taken. */
const WINDOW_BYTES = 256 * 1024;

/** What travels: bytes, the word that no more come, or the word that the connection is gone. */
type Piece = { readonly bytes: Uint8Array | 'end' | 'reset'; readonly dueUs: number };

export class Endpoint implements Connection {
  readonly host: Host;
  local = '';
  /** The other side's address. */
  peer = '';
  private readonly network: SimNetwork;
  private readonly life: Life;
  private far: Endpoint | undefined;
  private events: ConnectionEvents | undefined;
  /** On their way to this end. */
  private readonly pieces: Piece[] = [];
  private inboundBytes = 0;
  private lastDueUs = 0;
  private isPumpPosted = false;
  private isPaused = false;
  private hasEnded = false;
  private hasPeerEnded = false;
  private isClosed = false;
  /** Its process is dead: what arrives is answered with a reset by a machine that runs. */
  private isGone = false;
  private hasSentReset = false;
  private wantsDrain = false;

  constructor(network: SimNetwork, host: Host, life: Life) {
    this.network = network;
    this.host = host;
    this.life = life;
    host.endpoints.add(this);
  }

  join(far: Endpoint, names: { local: string; peer: string }): void {
    this.far = far;
    this.local = names.local;
    this.peer = names.peer;
  }

  get other(): Endpoint {
    return must(this.far, 'both ends are joined');
  }

  get isUsable(): boolean {
    return !this.isClosed && !this.isGone;
  }

  /** The process takes its end; what has arrived before waits for this. */
  open(take: (connection: Connection) => ConnectionEvents): void {
    this.life.run(() => {
      if (this.isGone) return;
      this.events = take(this);
      this.pumpSoon();
      if (this.isClosed) this.sayClosed();
    });
  }

  get unsentBytes(): number {
    return Math.max(0, this.other.inboundBytes - WINDOW_BYTES);
  }

  write(bytes: Uint8Array): boolean {
    if (!this.isUsable || this.hasEnded || bytes.length === 0 || !this.life.alive) return true;
    const { network, other } = this;
    const slow = network.faults.slowWriteChance > 0 && network.random.chance(network.faults.slowWriteChance);
    // A copy also of a Buffer, whose `slice` is none.
    other.send(new Uint8Array(bytes));
    if (slow && !this.wantsDrain) network.loop.post(network.delayUs(this.host, this.host), () => this.drained());
    else if (other.inboundBytes <= WINDOW_BYTES) return true;
    this.wantsDrain = true;
    return false;
  }

  pause(): void {
    this.isPaused = true;
  }

  resume(): void {
    this.isPaused = false;
    this.pumpSoon();
  }

  end(): void {
    if (!this.isUsable || this.hasEnded || !this.life.alive) return;
    this.hasEnded = true;
    this.other.arriveLater('end');
    if (this.hasPeerEnded) this.close();
  }

  destroy(): void {
    if (!this.isUsable || !this.life.alive) return;
    const { network } = this;
    // With input unread a kernel resets; else it ends after what was sent.
    if (this.inboundBytes > 0 || network.random.chance(0.3)) this.other.cutShort();
    else if (!this.hasEnded) this.other.arriveLater('end');
    this.hasEnded = true;
    this.close();
  }

  /** The connection is gone, as after a reset from the other side or from the middle. */
  reset(): void {
    if (this.isGone || this.isClosed) return;
    this.close();
  }

  /** The process is dead. `told`: its machine runs and closes the connection. */
  abandon(told: boolean): void {
    if (this.isGone) return;
    const wasOpen = !this.isClosed;
    this.isGone = true;
    this.dropInbound();
    if (!told) return;
    this.leave();
    if (!wasOpen || this.hasSentReset) return;
    // A connection that was ended in order is reset all the same once the other side writes on.
    this.hasSentReset = this.network.random.chance(0.5);
    if (this.hasSentReset) this.other.arriveLater('reset');
    else if (!this.hasEnded) this.other.arriveLater('end');
  }

  /** Looks again at what has arrived, soon: a cut was mended, the process thawed, reading goes on. */
  pumpSoon(): void {
    if (this.pieces.length === 0 || this.isPumpPosted) return;
    this.postPump(Math.max(0, (this.pieces[0] as Piece).dueUs - this.network.loop.nowUs));
  }

  /** Bytes that the other side sends: in one piece, in several, or broken off by a reset. */
  private send(bytes: Uint8Array): void {
    const { faults, random, injected } = this.network;
    const from = this.other.host;
    if (faults.flipChance > 0 && from.isNode && this.host.isNode && random.chance(faults.flipChance)) {
      injected.flip++;
      const at = random.below(bytes.length);
      bytes[at] = (bytes[at] as number) ^ (1 << random.below(8));
    }
    if (faults.resetChance > 0 && random.chance(faults.resetChance)) {
      injected.reset++;
      const left = random.below(bytes.length + 1);
      if (left > 0) this.arriveLater(bytes.subarray(0, left));
      this.arriveLater('reset');
      this.network.loop.post(this.network.delayUs(this.host, from), () => this.other.reset());
      return;
    }
    if (bytes.length > 1 && faults.splitChance > 0 && random.chance(faults.splitChance)) {
      injected.split++;
      const at = random.between(1, bytes.length - 1);
      this.arriveLater(bytes.subarray(0, at));
      this.arriveLater(bytes.subarray(at));
      return;
    }
    this.arriveLater(bytes);
  }

  private arriveLater(bytes: Piece['bytes']): void {
    if (this.isClosed && !this.isGone && bytes !== 'end') return;
    const { network } = this;
    const { grainUs } = network.faults;
    const due = Math.max(this.lastDueUs, network.loop.nowUs + network.delayUs(this.other.host, this.host));
    const dueUs = Math.ceil(due / grainUs) * grainUs;
    this.lastDueUs = dueUs;
    this.pieces.push({ bytes, dueUs });
    if (typeof bytes !== 'string') this.inboundBytes += bytes.length;
    if (this.pieces.length === 1) this.pumpSoon();
  }

  /** A reset overtakes nothing, but what has not arrived is lost. */
  private cutShort(): void {
    const { random } = this.network;
    const kept = random.below(this.pieces.length + 1);
    for (const { bytes } of this.pieces.splice(kept)) if (typeof bytes !== 'string') this.inboundBytes -= bytes.length;
    this.arriveLater('reset');
  }

  private postPump(delayUs: number): void {
    this.isPumpPosted = true;
    this.network.loop.post(delayUs, () => {
      this.isPumpPosted = false;
      this.pump();
    });
  }

  private pump(): void {
    const { network, host } = this;
    while (this.pieces.length > 0) {
      const piece = this.pieces[0] as Piece;
      if (piece.dueUs > network.loop.nowUs) {
        this.pumpSoon();
        return;
      }
      if (network.isCut(this.other.host, host) || !host.hasPower) {
        network.injected.held++;
        return;
      }
      if (this.isGone) {
        this.refuse();
        return;
      }
      if (this.events === undefined && !this.isClosed) return;
      if (host.isFrozen || this.isPaused || !this.life.alive) return;
      this.pieces.shift();
      this.take(piece.bytes);
      // What a process does because of one piece comes before the next one.
      if (this.pieces.length > 0) {
        this.pumpSoon();
        return;
      }
    }
  }

  private take(bytes: Piece['bytes']): void {
    if (this.isClosed) {
      if (typeof bytes !== 'string') {
        this.inboundBytes -= bytes.length;
        this.refuse();
      }
      return;
    }
    if (bytes === 'reset') this.close();
    else if (bytes === 'end') this.takeEnd();
    else {
      this.inboundBytes -= bytes.length;
      if (this.other.wantsDrain && this.inboundBytes <= WINDOW_BYTES) this.other.drained();
      this.deliver(bytes);
    }
  }

  private deliver(bytes: Uint8Array): void {
    const { readBuffer } = this.host;
    for (let at = 0; at < bytes.length && !this.isClosed; at += readBuffer.length) {
      const part = bytes.subarray(at, at + readBuffer.length);
      readBuffer.set(part);
      this.events?.onData(readBuffer, part.length);
    }
  }

  private takeEnd(): void {
    this.hasPeerEnded = true;
    if (this.hasEnded) this.close();
    else if (this.events?.onEnd !== undefined) this.events.onEnd();
    else this.end();
  }

  /** A machine that knows nothing of this connection answers with a reset. */
  private refuse(): void {
    this.dropInbound();
    this.leave();
    if (this.hasSentReset) return;
    this.hasSentReset = true;
    this.other.arriveLater('reset');
  }

  private drained(): void {
    if (!this.wantsDrain || this.other.inboundBytes > WINDOW_BYTES) return;
    this.wantsDrain = false;
    this.network.loop.post(0, () =>
      this.life.run(() => {
        if (!this.isClosed && !this.isGone) this.events?.onDrain();
      }),
    );
  }

  private close(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.dropInbound();
    this.leave();
    if (this.events !== undefined) this.sayClosed();
  }

  private sayClosed(): void {
    this.network.loop.post(0, () =>
      this.life.run(() => {
        if (!this.isGone) this.events?.onClose();
      }),
    );
  }

  private dropInbound(): void {
    this.pieces.length = 0;
    this.inboundBytes = 0;
    this.network.loop.post(0, () => this.other.drained());
  }

  private leave(): void {
    this.host.endpoints.delete(this);
  }
}
