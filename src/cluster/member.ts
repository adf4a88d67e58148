/** A member of the cluster as the topology document knows it. */

/** A member's number in the topology: given once, never again, u32. */
export type MemberId = number;

export interface Member {
  readonly id: MemberId;
  /** Identity of the node, 40 hexadecimal digits; it survives restarts and changes when the disk is lost. */
  readonly identity: string;
  /** Where clients and nodes reach it. */
  readonly host: string;
  readonly port: number;
  readonly busPort: number;
  /** Its share of the data in proportion to the others; 0 for a member that owns nothing (it drains, or only votes). */
  readonly weight: number;
  /** What fails together: a rack, or a machine that runs several nodes. Names are compared within a data centre. */
  readonly rack: string;
  readonly dataCentre: string;
}
