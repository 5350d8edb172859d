import { closeSync, fstatSync, openSync, readSync } from 'node:fs'
import { DatabaseUnusableError } from '../../../errors.ts'

// https://sqlite.org/fileformat2.html#walformat
const headerSize = 32
const frameHeaderSize = 24
/** All bits except the lowest, which gives the byte order of the words for the checksum. */
const magic = 0x377f0682
/** The page size of files that this program creates; used if the log does not say. */
const usualPageSize = 4_096
/** Ms between two checks of a log that seems damaged, and how many there are: another process may be writing it. */
const lookAgainMs = 20
const looksMax = 5

/** A log that is valid up to some frame and continues after it. */
interface Cut {
  /** The first frame that does not match its checksum, from 1; 0 for the header. */
  readonly frame: number
  readonly frames: number
  /** Complete commits after it. */
  readonly commitsBehind: number
  /** Differs if the log was written in between. */
  readonly version: string
}

/**
 * Throws `DatabaseUnusableError` if the write-ahead log of a database is damaged between acknowledged commits. SQLite reads a log up to the
 * first frame that does not match its checksum, and silently drops the rest. That is right for a transaction that a power cut tore: it is
 * the last one, because each is flushed before the next is written. If two complete commits follow that place, at least one of them was
 * flushed. With only one this cannot be decided, and SQLite drops it.
 *
 * Opens and closes only the log: SQLite holds no locks on that file.
 */
export function assertWalWhole(path: string): void {
  let seen: string | undefined
  for (let look = 0; look < looksMax; look++) {
    const cut = findCut(`${path}-wal`)
    if (!cut || cut.commitsBehind < 2) return
    if (cut.version === seen) throw damaged(path, cut)
    seen = cut.version
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, lookAgainMs)
  }
}

function damaged(path: string, { frame, frames, commitsBehind }: Cut): DatabaseUnusableError {
  const place = frame === 0 ? 'its header' : `frame ${frame} of ${frames}`
  return new DatabaseUnusableError(
    `${path}-wal is damaged at ${place}, and SQLite would drop the ${commitsBehind} commits after it, with acknowledged jobs; restore both files from a backup or, to continue without those commits, run: sqlite3 '${path}' 'PRAGMA journal_mode = DELETE'`,
  )
}

/** Where the log stops being valid; null if it is valid, or missing. */
function findCut(path: string): Cut | null {
  const file = openIfThere(path)
  if (file === null) return null
  try {
    const { size, mtimeMs } = fstatSync(file)
    const header = read(file, 0, headerSize)
    const isValid = header !== null && isHeader(header)
    const pageSize = isValid ? header.getUint32(8) : usualPageSize
    const frameSize = frameHeaderSize + pageSize
    const frames = Math.floor((size - headerSize) / frameSize)
    const first = frames > 0 ? read(file, headerSize, frameSize) : null
    if (!header || !first) return null
    const littleEndian = (header.getUint32(0) & 1) === 0
    const salts = isValid ? header.getBigUint64(16) : first.getBigUint64(8)
    let cutAt = isValid ? null : 0
    let commitsBehind = 0
    let before = header.getBigUint64(24)
    for (let frame = 1; frame <= frames; frame++) {
      const view = read(file, headerSize + (frame - 1) * frameSize, frameSize)
      if (!view) break
      const isWhole =
        view.getBigUint64(8) === salts && frameSum(view, pageSize, before, littleEndian) === view.getBigUint64(16)
      if (!isWhole) cutAt ??= frame
      else if (cutAt !== null && view.getUint32(4) !== 0) commitsBehind++
      before = view.getBigUint64(16)
    }
    const version = `${size} ${mtimeMs} ${salts}`
    return cutAt === null ? null : { frame: cutAt, frames, commitsBehind, version }
  } finally {
    closeSync(file)
  }
}

function openIfThere(path: string): number | null {
  try {
    return openSync(path, 'r')
  } catch (error) {
    // SQLite reports a log that may not be read.
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'EACCES') return null
    throw error
  }
}

function read(file: number, at: number, length: number): DataView | null {
  const bytes = new Uint8Array(length)
  return readSync(file, bytes, 0, length, at) === length ? new DataView(bytes.buffer) : null
}

function isHeader(header: DataView): boolean {
  const word = header.getUint32(0)
  return (word & ~1) >>> 0 === magic && sum(header, 0, 24, 0n, (word & 1) === 0) === header.getBigUint64(24)
}

function frameSum(frame: DataView, pageSize: number, before: bigint, littleEndian: boolean): bigint {
  return sum(frame, frameHeaderSize, frameHeaderSize + pageSize, sum(frame, 0, 8, before, littleEndian), littleEndian)
}

/** SQLite's checksum over the words from `start` to `end`, continued from another: two words of 32 bits. */
function sum(view: DataView, start: number, end: number, before: bigint, littleEndian: boolean): bigint {
  let high = Number(before >> 32n)
  let low = Number(before & 0xffff_ffffn)
  for (let at = start; at < end; at += 8) {
    high = (high + view.getUint32(at, littleEndian) + low) >>> 0
    low = (low + view.getUint32(at + 4, littleEndian) + high) >>> 0
  }
  return (BigInt(high) << 32n) | BigInt(low)
}
