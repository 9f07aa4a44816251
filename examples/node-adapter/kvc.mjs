// A reader of KVC files, written from spec/kvc.md. The numbers at the steps are those of its chapter 1.4.

import { createHash } from 'node:crypto';
import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';

export const PROFILES = ['auto', 'ds4-abi0', 'ds4-abi2', 'ds4-abi3'];

const PROFILE_OF_BYTE20 = new Map([[0, 'ds4-abi0'], [2, 'ds4-abi2'], [3, 'ds4-abi3']]);
const FIXED_PART_BYTES = 52n;
const FILE_OFFSET_MAX = 2n ** 63n - 1n; // KVC-FILE-4
const TEXT_BYTES_MAX = 268_435_456n; // KVC-LIMIT-3
const TITLE_BYTES_MAX = 65_536; // KVC-TITLE-3
const TOOL_COUNT_MAX = 400_000; // KVC-TOOLMAP-3
const TOOL_ID_BYTES_MAX = 256; // KVC-TOOLMAP-4
const TOOL_BLOCK_BYTES_MAX = 536_870_912; // KVC-TOOLMAP-5
const FLAG_TOOL_MAP = 1;
const FLAG_TITLE = 8;
const HASHED_BYTES_MAX = 16_777_216n; // of longer ones no case expects the hash (conformance.md, chapter 3)
const WINDOW_BYTES = 1 << 18;

/** The file is rejected: category, clause and field as in chapter 1.4. */
export class Rejection extends Error {
  constructor(category, clause, field, message) {
    super(message);
    this.category = category;
    this.clause = clause;
    this.field = field;
  }
}

/** The end of the file came too early: whoever asked says what that means. */
class CutShort extends Error {}

/** Where a tool map is damaged (KVC-TOOLMAP-6). */
class Damage extends Error {
  constructor(field, message) {
    super(message);
    this.field = field;
  }
}

/** The bytes of an open file, read through one window, so that no length in the file decides what is allocated. */
class Bytes {
  #window = Buffer.alloc(WINDOW_BYTES);
  #start = 0n;
  #held = 0;

  constructor(descriptor, size) {
    this.descriptor = descriptor;
    this.size = size;
  }

  /** KVC-LIMIT-1: n bytes at o are there if n <= size - o; o <= size holds by the tests before. */
  has(offset, count) {
    return BigInt(count) <= this.size - offset;
  }

  /** A few bytes, at most the window; the view ends with the next call. */
  take(offset, count) {
    if (!this.has(offset, count)) throw new CutShort();
    if (offset < this.#start || offset + BigInt(count) > this.#start + BigInt(this.#held)) this.#fill(offset);
    const at = Number(offset - this.#start);
    if (at + count > this.#held) throw new CutShort(); // the file shrank while it was read
    return this.#window.subarray(at, at + count);
  }

  #fill(offset) {
    this.#start = offset;
    this.#held = 0;
    while (this.#held < WINDOW_BYTES) {
      const count = readSync(this.descriptor, this.#window, this.#held, WINDOW_BYTES - this.#held,
        offset + BigInt(this.#held));
      if (count === 0) return;
      this.#held += count;
    }
  }

  /** Feeds a run of bytes of any length to hashes, a window at a time. */
  feed(offset, count, ...hashes) {
    if (!this.has(offset, count)) throw new CutShort();
    for (let left = BigInt(count), at = offset; left > 0n;) {
      const piece = left < BigInt(WINDOW_BYTES) ? Number(left) : WINDOW_BYTES;
      const bytes = this.take(at, piece);
      for (const hash of hashes) hash.update(bytes);
      at += BigInt(piece);
      left -= BigInt(piece);
    }
  }

  /** The view of a byte string (spec/conformance.md, chapter 3). */
  digest(offset, count, ...more) {
    if (!this.has(offset, count)) throw new CutShort();
    const hashes = BigInt(count) > HASHED_BYTES_MAX ? more : [createHash('sha256'), ...more];
    if (hashes.length > 0) this.feed(offset, count, ...hashes);
    return { bytes: String(count), ...(hashes.length > more.length ? { sha256: hashes[0].digest('hex') } : {}) };
  }
}

function open(path) {
  // KVC-NAME-7: no link is followed, and nobody waits for the other end of a FIFO.
  try {
    return openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    if (error.code === 'ELOOP') throw new Rejection('identity-mismatch', 'KVC-NAME-7', 'name', 'a symbolic link');
    throw error;
  }
}

function fixedPart(bytes) {
  const at = bytes.take(0n, Number(FIXED_PART_BYTES));
  return {
    magic: at.toString('latin1', 0, 3),
    version: at[3],
    quantisationBits: at[4],
    reason: at[5],
    flags: at[6],
    byte7: at[7],
    tokens: at.readUInt32LE(8),
    hits: at.readUInt32LE(12),
    contextTokens: at.readUInt32LE(16),
    byte20: at[20],
    reserved: at.toString('hex', 21, 24),
    createdBytes: Buffer.from(at.subarray(24, 32)),
    created: at.readBigUInt64LE(24),
    lastUsed: at.readBigUInt64LE(32),
    payloadBytes: at.readBigUInt64LE(40),
    textBytes: at.readUInt32LE(48),
  };
}

/** Steps 2 to 6; gives the profile in force. */
function checkHeader(fixed, profile) {
  if (fixed.magic !== 'KVC') throw new Rejection('bad-magic', 'KVC-HEADER-1', 'header.magic', 'no KVC file');
  if (fixed.version !== 1) {
    throw new Rejection('unsupported-version', 'KVC-HEADER-2', 'header.version', `version ${fixed.version}`);
  }
  if (fixed.quantisationBits !== 2 && fixed.quantisationBits !== 4) {
    throw new Rejection('invalid-field', 'KVC-HEADER-3', 'header.quantisation_bits', `${fixed.quantisationBits} bits`);
  }
  if (fixed.tokens === 0) throw new Rejection('invalid-field', 'KVC-HEADER-10', 'header.tokens', 'no tokens');
  const found = PROFILE_OF_BYTE20.get(fixed.byte20);
  if (profile === 'auto') {
    if (found === undefined) {
      throw new Rejection('unsupported-profile', 'KVC-PROFILE-2', 'header.byte20', `byte 20 is ${fixed.byte20}`);
    }
    return found;
  }
  if (profile !== 'ds4-abi0' && found !== profile) {
    throw new Rejection('unsupported-profile', 'KVC-PROFILE-3', 'header.byte20', `byte 20 is ${fixed.byte20}`);
  }
  return profile;
}

/** Steps 7 to 9. */
function checkLengths(fixed, size, textBytesMax) {
  const textBytes = BigInt(fixed.textBytes);
  const sum = FIXED_PART_BYTES + textBytes + fixed.payloadBytes;
  if (sum > FILE_OFFSET_MAX) {
    throw new Rejection('limit', 'KVC-FILE-4', 'header.payload_bytes', `${sum} bytes are no size of a file`);
  }
  if (size < sum) {
    const field = size < FIXED_PART_BYTES + textBytes ? 'text' : 'payload';
    throw new Rejection('truncated', 'KVC-FILE-3', field, `${size} of ${sum} bytes are there`);
  }
  if (textBytes > textBytesMax) {
    throw new Rejection('limit', 'KVC-LIMIT-3', 'text_bytes', `a text of ${fixed.textBytes} bytes`);
  }
}

/** Reads the tool map at an offset; gives its entries and where it ends, or throws Damage at the first field. */
function readToolMap(bytes, start) {
  let at = start;
  const take = (count, field) => {
    try {
      const taken = bytes.take(at, count);
      at += BigInt(count);
      return taken;
    } catch (error) {
      if (error instanceof CutShort) throw new Damage(field, 'the file ends here');
      throw error;
    }
  };
  const string = (count, field) => {
    try {
      const view = bytes.digest(at, count);
      at += BigInt(count);
      return view;
    } catch (error) {
      if (error instanceof CutShort) throw new Damage(field, 'the file ends here');
      throw error;
    }
  };
  if (take(3, 'tool_map.magic').toString('latin1') !== 'KTM') throw new Damage('tool_map.magic', 'no KTM');
  if (take(1, 'tool_map.version')[0] !== 1) throw new Damage('tool_map.version', 'not version 1');
  const count = take(4, 'tool_map.count').readUInt32LE();
  if (count > TOOL_COUNT_MAX) throw new Damage('tool_map.count', `${count} entries`);
  const entries = []; // KVC-LIMIT-4: grows by what was read
  for (let index = 0; index < count; index++) {
    const field = `tool_map.entries[${index}]`;
    const idBytes = take(4, `${field}.id_bytes`).readUInt32LE();
    const blockBytes = take(4, `${field}.block_bytes`).readUInt32LE();
    if (idBytes < 1 || idBytes > TOOL_ID_BYTES_MAX) throw new Damage(`${field}.id_bytes`, `${idBytes} bytes`);
    if (blockBytes < 1 || blockBytes > TOOL_BLOCK_BYTES_MAX) {
      throw new Damage(`${field}.block_bytes`, `${blockBytes} bytes`);
    }
    entries.push({ id: string(idBytes, `${field}.id`), block: string(blockBytes, `${field}.block`) });
  }
  return { entries, end: at };
}

/** Steps 11 and 12. */
function readTitle(bytes, start, identity) {
  const cut = (field) => new Rejection('bad-section', 'KVC-TITLE-1', field, 'the file ends inside the title');
  if (!bytes.has(start, 4)) throw cut('title_bytes');
  const count = bytes.take(start, 4).readUInt32LE();
  if (!bytes.has(start + 4n, count)) throw cut('title');
  if (count > TITLE_BYTES_MAX) {
    throw new Rejection('limit', 'KVC-TITLE-3', 'title_bytes', `a title of ${count} bytes`);
  }
  try {
    return { title: bytes.digest(start + 4n, count, identity), end: start + 4n + BigInt(count) };
  } catch (error) {
    if (error instanceof CutShort) throw cut('title');
    throw error;
  }
}

/** Step 13: the name, where it is known, against the digest. */
function checkName(name, digest) {
  if (name === null || name === 'sysprompt.kv') return; // KVC-NAME-4
  if (!/^[0-9a-fA-F]{40}\.kv$/.test(name) || name.slice(0, 40).toLowerCase() !== digest.hex) {
    throw new Rejection('identity-mismatch', digest.clause, 'name', `the content calls for ${digest.hex}.kv`);
  }
}

function readSections(bytes, fixed, start, identity) {
  let toolMap = null;
  let title = null;
  let end = start;
  let endKnown = true;
  if (fixed.flags & FLAG_TOOL_MAP) {
    try {
      const map = readToolMap(bytes, start);
      toolMap = map.entries;
      end = map.end;
    } catch (error) {
      if (!(error instanceof Damage)) throw error;
      if (fixed.flags & FLAG_TITLE) {
        throw new Rejection('bad-section', 'KVC-TITLE-2', error.field, `damaged tool map: ${error.message}`); // step 10
      }
      endKnown = false; // KVC-TOOLMAP-6: the entry stays usable
    }
  }
  if (fixed.flags & FLAG_TITLE) ({ title, end } = readTitle(bytes, end, identity));
  return { toolMap, title, trailing: endKnown ? String(bytes.size - end) : null };
}

function readOpened(descriptor, profile, name, textBytesMax) {
  const status = fstatSync(descriptor, { bigint: true });
  if (!status.isFile()) throw new Rejection('identity-mismatch', 'KVC-NAME-7', 'name', 'not a regular file'); // step 0
  const bytes = new Bytes(descriptor, status.size);
  if (status.size < FIXED_PART_BYTES) {
    throw new Rejection('truncated', 'KVC-FILE-3', 'header', `${status.size} bytes`); // step 1
  }
  const fixed = fixedPart(bytes);
  const profileInForce = checkHeader(fixed, profile);
  checkLengths(fixed, status.size, textBytesMax);

  const payloadStart = FIXED_PART_BYTES + BigInt(fixed.textBytes);
  const titled = (fixed.flags & FLAG_TITLE) !== 0;
  const identity = createHash('sha1');
  const sections = readSections(bytes, fixed, payloadStart + fixed.payloadBytes, identity);
  const text = bytes.digest(FIXED_PART_BYTES, fixed.textBytes, ...(titled ? [] : [identity]));
  if (titled) identity.update(fixed.createdBytes); // KVC-NAME-3
  checkName(name, { hex: identity.digest('hex'), clause: titled ? 'KVC-NAME-3' : 'KVC-NAME-1' });
  const payload = bytes.digest(payloadStart, fixed.payloadBytes);
  return {
    name,
    profile: profileInForce,
    file_bytes: String(status.size),
    header: {
      version: String(fixed.version),
      quantisation_bits: String(fixed.quantisationBits),
      reason: String(fixed.reason),
      flags: String(fixed.flags),
      byte7: String(fixed.byte7),
      tokens: String(fixed.tokens),
      hits: String(fixed.hits),
      context_tokens: String(fixed.contextTokens),
      byte20: String(fixed.byte20),
      reserved: fixed.reserved,
      created: String(fixed.created),
      last_used: String(fixed.lastUsed),
      payload_bytes: String(fixed.payloadBytes),
    },
    text,
    payload,
    tool_map: sections.toolMap,
    title: sections.title,
    trailing_bytes: sections.trailing, // null behind a damaged tool map: nobody knows where they start
  };
}

/** Reads one file and gives its view; throws Rejection, or the error of the operating system. */
export function read(path, { profile = 'auto', name = null, textBytesMax = TEXT_BYTES_MAX } = {}) {
  const descriptor = open(path);
  try {
    return readOpened(descriptor, profile, name, textBytesMax);
  } catch (error) {
    if (error instanceof CutShort) throw new Rejection('truncated', 'KVC-FILE-3', 'payload', 'the file shrank');
    throw error;
  } finally {
    closeSync(descriptor);
  }
}
