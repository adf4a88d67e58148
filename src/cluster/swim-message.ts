/** What members tell one another, and what the membership core is told and asks for. */

/** A node's identity: 40 hexadecimal digits. */
export type NodeName = string;

export type MemberStatus = 'alive' | 'suspect' | 'dead' | 'left';

/** What members tell one another about one of them. */
export interface News {
  readonly name: NodeName;
  readonly status: MemberStatus;
  readonly incarnation: number;
  /** Where it can be reached; of the accused, as the accuser knows it. */
  readonly address: string;
  /** Who says so: the member itself, or an accuser. */
  readonly from: NodeName;
  /** What a member tells of itself: rack, version, topology epoch. At most a few hundred bytes. */
  readonly about: string;
}

export type SwimMessage =
  | { readonly kind: 'probe'; readonly probe: number; readonly news: readonly News[] }
  | { readonly kind: 'ack'; readonly probe: number; readonly news: readonly News[] }
  /** Probe `target` in my stead. */
  | {
      readonly kind: 'probe-for';
      readonly probe: number;
      readonly target: NodeName;
      readonly address: string;
      readonly news: readonly News[];
    }
  /** I have asked the target and it does not answer, but I am here. */
  | { readonly kind: 'nack'; readonly probe: number; readonly news: readonly News[] }
  | { readonly kind: 'gossip'; readonly news: readonly News[] }
  /** All that the sender knows; `reply`: send all that you know. */
  | { readonly kind: 'compare'; readonly reply: boolean; readonly news: readonly News[] };

export type SwimEvent =
  | { readonly kind: 'start'; readonly seeds: readonly string[] }
  /** Addresses at which members are: those that are not known are called, and called again while nobody is known. */
  | { readonly kind: 'seeds'; readonly seeds: readonly string[] }
  | { readonly kind: 'message'; readonly from: NodeName; readonly address: string; readonly message: SwimMessage }
  | { readonly kind: 'wake' }
  /** A turn of the event loop began this much late. */
  | { readonly kind: 'loop-delay'; readonly delayMs: number }
  /** What this member tells of itself has changed. */
  | { readonly kind: 'about'; readonly about: string }
  | { readonly kind: 'leave' };

export type SwimEffect =
  | { readonly kind: 'send'; readonly to: string; readonly message: SwimMessage }
  /** What is known of a member has changed. */
  | { readonly kind: 'changed'; readonly member: Readonly<Known> };

/** What is known of a member. */
export interface Known {
  readonly name: NodeName;
  status: MemberStatus;
  incarnation: number;
  address: string;
  about: string;
  /** When the status was taken. */
  sinceMs: number;
}
