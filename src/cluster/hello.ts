/**
 * How two nodes meet: who they are, which version they speak, and that both know the cluster's secret.
 *
 * ```
 * caller → called   HELLO          both HELLOs together are what the proofs are about
 * called → caller   HELLO
 * caller → called   PROOF
 * called → caller   PROOF          from here on both may send anything
 * either, instead   REFUSAL        and closes
 * ```
 * Each is the payload of one message of type HELLO, its method says which; big-endian, texts are UTF-8 after a length of
 * one byte. Frames of this handshake are of version 1 for ever, whatever is spoken after it.
 * ```
 * HELLO (1)    u16 lowest version | u16 highest version | 32 bytes nonce | 8 bytes instance
 *              | text identity | text address | text cluster id, empty: none
 * PROOF (2)    32 bytes HMAC-SHA256(secret, text "kvorum caller" or "kvorum called"
 *              | u32 length | HELLO of the caller | u32 length | HELLO of the called)
 * REFUSAL (3)  u8 code | text reason, for an operator
 * ```
 * A HELLO is valid if it holds these fields and an identity; what stands behind them is of a later version and is
 * covered by the proofs. Both speak the highest version that both know. Who called proves first: whoever merely calls is
 * given nothing to try secrets on. Each side's nonce makes both proofs new, and the roles in them keep a proof from
 * being played back to its maker. The proofs do not hide or guard what is said afterwards: that takes TLS.
 */

import { createHmac, timingSafeEqual } from 'node:crypto';
import { copyOf } from '../bytes.ts';
import { ByteReader, ByteWriter, DamagedError } from './byte-cursor.ts';
import type { NodeName } from './swim-message.ts';

/** Versions of what is said after the handshake that this node speaks. */
export const BUS_VERSION = { lowest: 1, highest: 1 } as const;

export const NONCE_BYTES = 32;
export const INSTANCE_BYTES = 8;
const PROOF_BYTES = 32;

/** Larger than any HELLO: what a stranger may make a node hold. */
export const MAX_HELLO_FRAME_BYTES = 4_096;

export const helloStep = { HELLO: 1, PROOF: 2, REFUSAL: 3 } as const;

export const refusal = {
  /** No version that both speak. */
  VERSION: 1,
  SECRET: 2,
  /** The pair has a connection already, or will have in a moment. */
  DUPLICATE: 3,
  /** Somebody called itself. */
  SELF: 4,
  /** No room for more nodes, or about to stop. */
  BUSY: 5,
} as const;

export interface Refusal {
  readonly code: number;
  readonly reason: string;
}

/** What a node says of itself. */
export interface HelloSelf {
  readonly identity: NodeName;
  readonly address: string;
  readonly clusterId: string | undefined;
  /** Drawn at the start of the process: two connections of one instance are two to the same living process. */
  readonly instance: Uint8Array;
  readonly secret: string;
  readonly versions?: { readonly lowest: number; readonly highest: number };
}

/** What is known of the other side. */
export interface HelloPeer {
  readonly identity: NodeName;
  readonly address: string;
  readonly clusterId: string | undefined;
  /** Hexadecimal. */
  readonly instance: string;
  /** What both will speak. */
  readonly version: number;
}

export interface HelloMessage {
  readonly method: number;
  readonly payload: Uint8Array;
}

export interface HandshakeStep {
  readonly send?: HelloMessage;
  /** How it ended; undefined: it goes on. `byPeer`: the other side refused. */
  readonly met?: HelloPeer;
  readonly refused?: Refusal & { readonly byPeer: boolean };
}

interface Hello extends HelloPeer {
  readonly lowest: number;
  readonly highest: number;
}

export type HandshakeRole = 'caller' | 'called';

/** One handshake, of either side: messages in, what to send and how it ended out. */
export class Handshake {
  private readonly role: HandshakeRole;
  private readonly self: HelloSelf;
  private readonly own: Uint8Array;
  private readonly judge: (peer: HelloPeer) => Refusal | undefined;
  /** The other side's HELLO, as it came and as it reads. */
  private others: Uint8Array | undefined;
  private peer: HelloPeer | undefined;

  /**
   * `judge` is asked when the peer is known, right before the own proof is sent (of the side that was called: after the
   * peer's proof was found right).
   */
  constructor(options: {
    role: HandshakeRole;
    self: HelloSelf;
    nonce: Uint8Array;
    judge(peer: HelloPeer): Refusal | undefined;
  }) {
    this.role = options.role;
    this.self = options.self;
    this.own = encodeHello(options.self, options.nonce);
    this.judge = (peer) => options.judge(peer);
  }

  /** What the other side says of itself, proven or not. */
  get claimed(): HelloPeer | undefined {
    return this.peer;
  }

  /** Of the caller: what is sent first. */
  begin(): HelloMessage {
    return { method: helloStep.HELLO, payload: this.own };
  }

  /** Throws `DamagedError` on what is no message of a handshake, or not the next one. */
  take(message: HelloMessage): HandshakeStep {
    if (message.method === helloStep.REFUSAL) {
      return { refused: { ...decodeRefusal(message.payload), byPeer: true } };
    }
    if (message.method === helloStep.HELLO && this.others === undefined) return this.takeHello(message.payload);
    if (message.method === helloStep.PROOF && this.peer !== undefined) {
      return this.takeProof(message.payload, this.peer);
    }
    throw new DamagedError('a message that is not the next of its handshake');
  }

  private takeHello(payload: Uint8Array): HandshakeStep {
    this.others = copyOf(payload);
    const hello = decodeHello(this.others);
    const { lowest, highest } = this.self.versions ?? BUS_VERSION;
    const version = Math.min(highest, hello.highest);
    if (version < Math.max(lowest, hello.lowest)) {
      const reason = `no version of the bus in common: ${hello.lowest} to ${hello.highest} and ${lowest} to ${highest}`;
      return refuse({ code: refusal.VERSION, reason });
    }
    const { identity, address, clusterId, instance } = hello;
    this.peer = { identity, address, clusterId, instance, version };
    if (this.role === 'called') return { send: this.begin() };
    const refused = this.judge(this.peer);
    return refused === undefined ? { send: this.proof() } : refuse(refused);
  }

  private takeProof(payload: Uint8Array, peer: HelloPeer): HandshakeStep {
    const expected = this.proofOf(this.role === 'caller' ? 'called' : 'caller');
    if (payload.length !== PROOF_BYTES || !timingSafeEqual(payload, expected)) {
      return refuse({ code: refusal.SECRET, reason: 'the two nodes have different cluster secrets' });
    }
    if (this.role === 'caller') return { met: peer };
    const refused = this.judge(peer);
    return refused === undefined ? { send: this.proof(), met: peer } : refuse(refused);
  }

  private proof(): HelloMessage {
    return { method: helloStep.PROOF, payload: this.proofOf(this.role) };
  }

  private proofOf(role: HandshakeRole): Uint8Array {
    const others = this.others ?? this.own;
    const [caller, called] = this.role === 'caller' ? [this.own, others] : [others, this.own];
    const said = new ByteWriter().text(`kvorum ${role}`).block(caller).block(called).written();
    return createHmac('sha256', this.self.secret).update(said).digest();
  }
}

function refuse(refused: Refusal): HandshakeStep {
  return {
    send: { method: helloStep.REFUSAL, payload: encodeRefusal(refused) },
    refused: { ...refused, byPeer: false },
  };
}

function encodeHello(self: HelloSelf, nonce: Uint8Array): Uint8Array {
  const { lowest, highest } = self.versions ?? BUS_VERSION;
  const writer = new ByteWriter().u16(lowest).u16(highest).raw(nonce).raw(self.instance);
  return writer
    .text(self.identity)
    .text(self.address)
    .text(self.clusterId ?? '')
    .finish();
}

function decodeHello(payload: Uint8Array): Hello {
  const reader = new ByteReader(payload);
  const lowest = reader.u16();
  const highest = reader.u16();
  reader.raw(NONCE_BYTES);
  const instance = Buffer.from(reader.raw(INSTANCE_BYTES)).toString('hex');
  const identity = reader.text();
  if (identity === '') throw new DamagedError('a node without an identity');
  const address = reader.text();
  const clusterId = reader.text();
  return {
    lowest,
    highest,
    identity,
    address,
    clusterId: clusterId === '' ? undefined : clusterId,
    instance,
    version: highest,
  };
}

function encodeRefusal(refused: Refusal): Uint8Array {
  return new ByteWriter().u8(refused.code).text(refused.reason).finish();
}

function decodeRefusal(payload: Uint8Array): Refusal {
  const reader = new ByteReader(payload);
  return { code: reader.u8(), reason: reader.text() };
}
