/**
 * The topology document in bytes, as it is stored and gossiped: about 100 KB. Big-endian.
 *
 * ```
 * u32  magic "KvTp"          u16  version (1)
 * u32  length of what follows the checksum      u32  CRC32C of it
 * --
 * u64  epoch    16 bytes cluster id    u8 replicas    u32 next member number
 * owners of the voters
 * u16  members, each: u32 id, 20 bytes identity, u16 port, u16 bus port, f64 weight, texts host, rack, data centre
 * u32  length, then the policies as JSON
 * u16  distinct sets of owners, each: owners
 * 16,384 × { u16 index of the set of owners, u32 epoch − since }
 *
 * owners = u8 current, u8 incoming, then u16 index of the member for each        text = u8 length, UTF-8
 * ```
 *
 * A document is valid if and only if magic, version, length and checksum fit, nothing is left over, every index is in
 * range and `checkTopology` finds no broken invariant. Anything else is a `DamagedError`; there is nothing to recover,
 * another member has the document. A later version is refused: a node stores what it understands.
 */

import { crc32c } from '@node-rs/crc32';
import { AssertionError } from '../assert.ts';
import { copyOf, textOf, utf8 } from '../bytes.ts';
import { readU32 } from './big-endian.ts';
import { ByteReader, ByteWriter, DamagedError } from './byte-cursor.ts';
import type { Member, MemberId } from './member.ts';
import type { Owners } from './owners.ts';
import type { Policy } from './policy.ts';
import { SLOT_COUNT } from './slot.ts';
import { checkTopology, MAX_MEMBERS, type SlotEntry, type Topology } from './topology.ts';

const MAGIC = 0x4b_76_54_70;
const VERSION = 1;
const HEADER_BYTES = 14;
const IDENTITY_BYTES = 20;
const CLUSTER_ID_BYTES = 16;
const SLOT_BYTES = 6;

/** A document above this is refused before it is read. */
export const MAX_TOPOLOGY_BYTES = 4 * 1024 * 1024;

export function encodeTopology(topology: Topology): Uint8Array {
  const body = new ByteWriter();
  const indexOf = new Map(topology.members.map((member, index) => [member.id, index]));
  body.u64(topology.epoch).raw(Buffer.from(topology.clusterId, 'hex')).u8(topology.replicas).u32(topology.nextId);
  writeOwners(body, topology.voters, indexOf);
  body.u16(topology.members.length);
  for (const member of topology.members) writeMember(body, member);
  body.block(utf8(JSON.stringify(topology.policies)));
  const sets = new Map<Owners, number>();
  for (const { owners } of topology.slots) if (!sets.has(owners)) sets.set(owners, sets.size);
  body.u16(sets.size);
  for (const owners of sets.keys()) writeOwners(body, owners, indexOf);
  for (const { owners, since } of topology.slots) {
    body.u16(sets.get(owners) as number).u32(Math.min(0xffff_ffff, topology.epoch - since));
  }
  const bytes = body.written();
  return new ByteWriter().u32(MAGIC).u16(VERSION).u32(bytes.length).u32(crc32c(bytes)).raw(bytes).finish();
}

/** Documents that were decoded last are kept, with their bytes: so many. */
const KEPT_DOCUMENTS = 4;
const kept: { readonly bytes: Uint8Array; readonly topology: Topology }[] = [];

/**
 * The document, with its own copies of everything. Throws `DamagedError`. Each document comes to a node several times: to
 * be promised, to be accepted, to be fetched, from two places of its disk. Being immutable, it is made once.
 */
export function decodeTopology(bytes: Uint8Array): Topology {
  const at = kept.findIndex((each) => Buffer.compare(each.bytes, bytes) === 0);
  const known = kept[at] ?? { bytes: copyOf(bytes), topology: readDocument(bytes) };
  if (at !== 0) {
    if (at > 0) kept.splice(at, 1);
    kept.unshift(known);
    kept.length = Math.min(kept.length, KEPT_DOCUMENTS);
  }
  return known.topology;
}

function readDocument(bytes: Uint8Array): Topology {
  if (bytes.length > MAX_TOPOLOGY_BYTES) throw new DamagedError('a topology document too large');
  const header = new ByteReader(bytes, 0, Math.min(HEADER_BYTES, bytes.length));
  if (header.u32() !== MAGIC) throw new DamagedError('no topology document');
  if (header.u16() !== VERSION) throw new DamagedError('a topology document of another version');
  if (header.u32() !== bytes.length - HEADER_BYTES) throw new DamagedError('a topology document of another length');
  const checksum = header.u32();
  if (checksum !== crc32c(bytes.subarray(HEADER_BYTES))) throw new DamagedError('the checksum of a topology document');
  const topology = readBody(new ByteReader(bytes, HEADER_BYTES));
  try {
    checkTopology(topology);
  } catch (error) {
    if (error instanceof AssertionError) throw new DamagedError(`a topology document: ${error.message}`);
    throw error;
  }
  return topology;
}

function readBody(body: ByteReader): Topology {
  const epoch = body.u64();
  const clusterId = Buffer.from(body.raw(CLUSTER_ID_BYTES)).toString('hex');
  const replicas = body.u8();
  const nextId = body.u32();
  const voterIndexes = readIndexes(body);
  const count = body.u16();
  if (count > MAX_MEMBERS) throw new DamagedError('too many members');
  const members = Array.from({ length: count }, () => readMember(body));
  const policies = readPolicies(body.block());
  const voters = resolve(voterIndexes, members);
  const sets = Array.from({ length: body.u16() }, () => resolve(readIndexes(body), members));
  const slots = readSlots(body.raw(SLOT_BYTES * SLOT_COUNT), sets, epoch);
  body.finish();
  return { clusterId, epoch, replicas, members, nextId, voters, policies, slots };
}

/** Slots of the same owners since the same epoch share one entry. */
function readSlots(bytes: Uint8Array, sets: readonly Owners[], epoch: number): SlotEntry[] {
  const slots: SlotEntry[] = [];
  const shared = new Map<number, SlotEntry>();
  /** The last entry of each set: most sets have one. */
  const last: (SlotEntry | undefined)[] = sets.map(() => undefined);
  for (let at = 0; at < bytes.length; at += SLOT_BYTES) {
    const index = ((bytes[at] as number) << 8) | (bytes[at + 1] as number);
    const age = readU32(bytes, at + 2);
    const owners = sets[index];
    if (owners === undefined || age > epoch) throw new DamagedError('a slot of nobody or of the future');
    const since = epoch - age;
    let entry = last[index];
    if (entry === undefined || entry.since !== since) {
      const name = index * 0x1_0000_0000 + age;
      entry = shared.get(name) ?? { owners, since };
      shared.set(name, entry);
      last[index] = entry;
    }
    slots.push(entry);
  }
  return slots;
}

function writeMember(body: ByteWriter, member: Member): void {
  body.u32(member.id).raw(Buffer.from(member.identity, 'hex')).u16(member.port).u16(member.busPort).f64(member.weight);
  body.text(member.host).text(member.rack).text(member.dataCentre);
}

function readMember(body: ByteReader): Member {
  const id = body.u32();
  const identity = Buffer.from(body.raw(IDENTITY_BYTES)).toString('hex');
  const port = body.u16();
  const busPort = body.u16();
  const weight = body.f64();
  if (!(weight >= 0 && weight <= Number.MAX_SAFE_INTEGER)) throw new DamagedError('the weight of a member');
  return { id, identity, port, busPort, weight, host: body.text(), rack: body.text(), dataCentre: body.text() };
}

function writeOwners(body: ByteWriter, owners: Owners, indexOf: ReadonlyMap<MemberId, number>): void {
  body.u8(owners.current.length).u8(owners.incoming.length);
  for (const id of [...owners.current, ...owners.incoming]) body.u16(indexOf.get(id) as number);
}

interface Indexes {
  readonly current: readonly number[];
  readonly incoming: readonly number[];
}

function readIndexes(body: ByteReader): Indexes {
  const currentCount = body.u8();
  const incomingCount = body.u8();
  const current = Array.from({ length: currentCount }, () => body.u16());
  return { current, incoming: Array.from({ length: incomingCount }, () => body.u16()) };
}

function resolve(indexes: Indexes, members: readonly Member[]): Owners {
  const idAt = (index: number): MemberId => {
    const member = members[index];
    if (member === undefined) throw new DamagedError('an owner that is no member');
    return member.id;
  };
  return { current: indexes.current.map(idAt), incoming: indexes.incoming.map(idAt) };
}

function readPolicies(bytes: Uint8Array): Policy[] {
  let policies: unknown;
  try {
    policies = JSON.parse(textOf(bytes));
  } catch {
    throw new DamagedError('policies that are no JSON');
  }
  if (!Array.isArray(policies) || !policies.every(isPolicy)) throw new DamagedError('policies that are none');
  return policies;
}

function isPolicy(value: unknown): value is Policy {
  return typeof value === 'object' && value !== null && 'prefix' in value && typeof value.prefix === 'string';
}
