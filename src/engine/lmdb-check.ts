/**
 * Looks over an LMDB file before LMDB does: LMDB trusts its pages, and a page that is cut off, zeroed or overwritten
 * makes it read outside of its memory and takes the process with it. Here the same damage becomes a sentence.
 *
 * What is checked is the shape only (contents have checksums of their own, manifest-lmdb.ts): from the newer of the two
 * meta pages, every page that the two trees lead to is there, is of the right kind, and its nodes stand within it. Layout of
 * version 2 of the format, as the `lmdb` package writes it on 64-bit little-endian machines:
 *
 * ```
 * page   number u64 | transaction u64 | pad u16 | flags u16 | lower u16, upper u16 (or: overflow pages u32) | contents
 * meta   magic u32 | version u32 | address u64 | map size u64 | free tree 48 bytes | main tree 48 bytes | last page u64 |
 *        transaction u64
 * tree   page size u32 (free tree only) | flags u16 | depth u16 | 4 × u64 | root u64
 * node   low u16 | high u16 | flags u16 | key length u16 | key | data; a branch: child = low, high, flags; a leaf: length
 *        = low, high, and with flag 1 the data is the number of the first overflow page
 * ```
 */

const HEADER_BYTES = 24;
const NODE_BYTES = 8;
const MAGIC = 0xbeefc0de;
const KNOWN_VERSION = 2;
const NO_ROOT = 0xffff_ffff_ffff_ffffn;
const MIN_PAGE_BYTES = 256;

const flag = { BRANCH: 1, LEAF: 2, OVERFLOW: 4, META: 8 } as const;
const NODE_OVERFLOW = 1;

/** Deeper than any tree of 2^32 pages. */
const MAX_DEPTH = 32;

/** What is wrong with the shape of an LMDB file; undefined: nothing, or it is of a version that only LMDB knows. */
export function lmdbDamage(bytes: Uint8Array): string | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  try {
    return new Check(view).run();
  } catch (error) {
    // Reading past the end of the file.
    if (error instanceof RangeError) return 'it is cut off';
    throw error;
  }
}

class Check {
  readonly #view: DataView;
  #pageBytes = 0;
  #pages = 0;
  /** Pages that a tree has led to: one that comes twice is part of a circle. */
  readonly #seen = new Set<number>();

  constructor(view: DataView) {
    this.#view = view;
  }

  run(): string | undefined {
    const view = this.#view;
    if (view.getUint32(HEADER_BYTES, true) !== MAGIC) return 'its first page is not LMDB’s';
    if (view.getUint32(HEADER_BYTES + 4, true) !== KNOWN_VERSION) return undefined;
    this.#pageBytes = view.getUint32(HEADER_BYTES + 24, true);
    const sane = this.#pageBytes >= MIN_PAGE_BYTES && (this.#pageBytes & (this.#pageBytes - 1)) === 0;
    if (!sane) return `pages of ${this.#pageBytes} bytes`;
    this.#pages = Math.floor(view.byteLength / this.#pageBytes);
    const second = this.#pageBytes;
    if (view.getUint32(second + HEADER_BYTES, true) !== MAGIC) return 'its second page is not LMDB’s';
    const newer = this.#transaction(0) >= this.#transaction(second) ? 0 : second;
    const freeRoot = view.getBigUint64(newer + HEADER_BYTES + 64, true);
    const mainRoot = view.getBigUint64(newer + HEADER_BYTES + 112, true);
    return this.#checkTree(freeRoot, 0) ?? this.#checkTree(mainRoot, 0);
  }

  #transaction(meta: number): bigint {
    return this.#view.getBigUint64(meta + HEADER_BYTES + 128, true);
  }

  #checkTree(root: bigint, depth: number): string | undefined {
    if (root === NO_ROOT) return undefined;
    if (depth > MAX_DEPTH) return 'a tree is too deep';
    const number = Number(root);
    const page = number * this.#pageBytes;
    const missing = this.#claim(number, 1);
    if (missing !== undefined) return missing;
    const flags = this.#view.getUint16(page + 18, true);
    const lower = this.#view.getUint16(page + 20, true);
    const isBranch = (flags & flag.BRANCH) !== 0;
    if (isBranch === ((flags & flag.LEAF) !== 0)) return `page ${number} is neither branch nor leaf`;
    // `lower` and `upper` count from after the header.
    if (lower % 2 !== 0 || HEADER_BYTES + lower > this.#pageBytes) return `page ${number} has no valid number of nodes`;
    for (let i = 0; i < lower / 2; i++) {
      const node = HEADER_BYTES + this.#view.getUint16(page + HEADER_BYTES + 2 * i, true);
      const damage = this.#checkNode(number, page + node, this.#pageBytes - node, isBranch, depth);
      if (damage !== undefined) return damage;
    }
    return undefined;
  }

  #checkNode(number: number, at: number, room: number, isBranch: boolean, depth: number): string | undefined {
    const view = this.#view;
    if (room < NODE_BYTES) return `page ${number} has a node outside of it`;
    const size = view.getUint32(at, true);
    const flags = view.getUint16(at + 4, true);
    const keyBytes = view.getUint16(at + 6, true);
    if (isBranch) {
      if (NODE_BYTES + keyBytes > room) return `page ${number} has a node outside of it`;
      return this.#checkTree(BigInt(size) + (BigInt(flags) << 32n), depth + 1);
    }
    const inPage = (flags & NODE_OVERFLOW) === 0 ? size : 8;
    if (NODE_BYTES + keyBytes + inPage > room) return `page ${number} has a node outside of it`;
    if (inPage === size) return undefined;
    const overflow = Number(view.getBigUint64(at + NODE_BYTES + keyBytes, true));
    const pages = Math.ceil((HEADER_BYTES + size) / this.#pageBytes);
    const missing = this.#claim(overflow, pages);
    if (missing !== undefined) return missing;
    const overflowFlags = view.getUint16(overflow * this.#pageBytes + 18, true);
    return (overflowFlags & flag.OVERFLOW) === 0 ? `page ${overflow} is no overflow page` : undefined;
  }

  /** Checks that pages are there, carry their number, and are led to once. */
  #claim(number: number, count: number): string | undefined {
    if (number < 2 || number + count > this.#pages) return `page ${number} is not there`;
    const own = this.#view.getBigUint64(number * this.#pageBytes, true);
    if (own !== BigInt(number)) return `page ${number} says that it is page ${own}`;
    for (let page = number; page < number + count; page++) {
      if (this.#seen.has(page)) return `page ${page} is in two places`;
      this.#seen.add(page);
    }
    return undefined;
  }
}
