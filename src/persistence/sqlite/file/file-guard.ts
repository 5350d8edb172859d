import { fstatSync, openSync, readSync, statSync } from 'node:fs'
import { basename, dirname } from 'node:path'
import { DatabaseLostError } from '../../../errors.ts'
import { type FileId, HeldLock, openDescriptors } from './held-locks.ts'

type Descriptors = ReturnType<typeof openDescriptors>

/**
 * How long a folder's modification time must not have changed before it proves that no entry changed: the clock behind it ticks at least
 * every 10 ms.
 */
const settledMs = 50
/**
 * The longest time between checks of the names while commits follow one another, in ms. After a longer pause the sizes are also checked
 * before a commit, because the commit may hide that a file was cut.
 */
const restMs = 1
/** After a longer pause than this, in ms, a commit does not follow another: everything is checked before it. */
const pauseMs = 3
/**
 * The longest time between checks of everything: each file by name and size, and the lock of the server. The check happens at the next
 * tick.
 */
const thoroughMs = 50
/** The same while there are no commits, each of which checks everything before it. A file that is removed or replaced is noticed sooner. */
const quietThoroughMs = 950
// https://sqlite.org/fileformat2.html
const databaseHeaderSize = 32
const pageSizeAt = 16
const pageCountAt = 28
const logHeaderSize = 32
const frameHeaderSize = 24
/** The `-shm` index: its header, the size of a page, and the number of valid frames of the log. */
const indexHeaderSize = 48
const indexPageSizeAt = 14
const indexFramesAt = 16

/** One of the files of an open database. */
interface Watched extends FileId {
  readonly path: string
  /** One of SQLite's descriptors, to be read from and never closed; null if /proc shows none. */
  fd: number | null
  readonly lock: HeldLock | null
  size: number
}

/**
 * Watches the files of an open database: database, log (`-wal`), the log's index (`-shm`) and, for a server, `-lock`. SQLite itself
 * continues to write into a file that was removed, replaced or cut, and reports success; and it does not notice that this process has lost
 * its locks.
 *
 * Why a check after a commit is enough: another program removes the log only under SQLite's exclusive lock, which it cannot have had while
 * this process held its shared one, and a lock that is held after the commit was held all the time. People may remove files without a lock,
 * at any moment: that is noticed within `restMs`, and the contents of the log can still be moved into the database then.
 *
 * Uses only `stat`, and reads through SQLite's own descriptors: opening and closing one of the files would drop the locks on it (POSIX).
 */
export class FileGuard {
  /** An open descriptor. */
  readonly #folder: number
  readonly #database: Watched
  readonly #log: Watched
  readonly #index: Watched
  readonly #watched: readonly Watched[]
  #folderMs = -1
  #folderSince = 0
  /** When a commit was last checked, when the names were, and when everything was. */
  #checkedAt = 0
  #namesAt = 0
  #thoroughAt = 0

  /** Create it when the database is open and its log exists. `lock`: that of a server, as it was when it was taken. */
  constructor(path: string, lock: FileId | null) {
    this.#folder = openFolder(dirname(path))
    const descriptors = openDescriptors()
    this.#database = watch(path, descriptors, HeldLock.onDatabase)
    this.#log = watch(`${path}-wal`, descriptors, null)
    this.#index = watch(`${path}-shm`, descriptors, HeldLock.onIndex)
    this.#watched = [this.#database, this.#log, this.#index]
    if (lock) this.#watched = [...this.#watched, watch(`${path}-lock`, descriptors, HeldLock.onDatabase, lock)]
  }

  get paths(): string[] {
    return this.#watched.map(({ path }) => path)
  }

  /**
   * Call it after each commit, before any caller is answered. Checks that the lock which keeps others from removing the log is still held
   * and, unless checked within `restMs`, that no name in the folder appeared or disappeared. Throws `DatabaseLostError`.
   */
  checkCommit(): void {
    const now = performance.now()
    this.#checkedAt = now
    if (now - this.#namesAt <= restMs) {
      assertHeld(this.#database)
      return
    }
    if (!this.look()) assertHeld(this.#database)
  }

  /** Call it when `restMs` have passed: checks the names, and everything if that is due. Returns whether it was. */
  look(): boolean {
    const now = performance.now()
    this.#namesAt = now
    const hasCommitted = this.#checkedAt > this.#thoroughAt
    const mostMs = hasCommitted ? thoroughMs : quietThoroughMs
    const isDue = now - this.#thoroughAt > mostMs || !this.#isFolderSettled(now)
    if (isDue) this.check()
    return isDue
  }

  /** In how many ms the names must be checked again if no commit does it, because there was one since. */
  get restMs(): number {
    return this.#checkedAt > this.#namesAt ? restMs : Number.POSITIVE_INFINITY
  }

  /** Call it before a commit: a log that was cut is as long as before once it was written again. */
  checkBefore(): void {
    const pausedMs = performance.now() - this.#checkedAt
    if (pausedMs > pauseMs) this.check()
    else if (pausedMs > restMs) this.#checkSizes()
  }

  /** Checks everything; call it regularly. Throws `DatabaseLostError`. */
  check(): void {
    this.#thoroughAt = performance.now()
    this.#namesAt = this.#thoroughAt
    this.#checkedAt = this.#thoroughAt
    this.#isFolderSettled(this.#thoroughAt)
    for (const file of this.#watched) if (!isSame(file)) throw nameLost(file)
    this.#checkSizes()
    for (const file of this.#watched) assertHeld(file)
  }

  /** The length of the log at the last check. */
  get logBytes(): number {
    return this.#log.size
  }

  /** The pages that the log holds now; null if that cannot be read here. */
  get logPages(): number | null {
    return sizeOf(this.#index) === null ? null : (this.#readIndex()?.getUint32(indexFramesAt, littleEndian) ?? null)
  }

  /**
   * Whether everything committed can be moved from a log without a name into the database: the database is in its place, and nobody else
   * can have opened it since.
   */
  get canSaveLog(): boolean {
    return (
      (this.#database.lock?.isHeld() ?? false) &&
      (this.#index.lock?.isHeld() ?? false) &&
      isSame(this.#database) &&
      // Somebody who only read the file created another, empty log.
      !isSame(this.#log) &&
      (statSync(this.#log.path, { throwIfNoEntry: false })?.size ?? 0) === 0 &&
      (isSame(this.#index) || !statSync(this.#index.path, { throwIfNoEntry: false }))
    )
  }

  /**
   * The folder's time shows whether a name in it appeared or disappeared, once it has not changed for longer than the clock behind it takes
   * to tick.
   */
  #isFolderSettled(now: number): boolean {
    const { ctimeMs } = fstatSync(this.#folder)
    if (ctimeMs === this.#folderMs) return now - this.#folderSince > settledMs
    this.#folderMs = ctimeMs
    this.#folderSince = now
    return false
  }

  #checkSizes(): void {
    this.#checkSize(this.#database, () => this.#pagesSize())
    this.#checkSize(this.#log, () => this.#framesSize())
    this.#checkSize(this.#index, () => Number.POSITIVE_INFINITY)
  }

  /** A file that became shorter must have at least the size in its own header. */
  #checkSize(file: Watched, wanted: () => number): void {
    const size = sizeOf(file)
    if (size === null) return
    if (size < file.size && size < wanted()) throw cut(file.path, size)
    file.size = size
  }

  /** The database shrinks when someone runs VACUUM. */
  #pagesSize(): number {
    const header = readHeader(this.#database.fd!, databaseHeaderSize)
    if (header === null) return Number.POSITIVE_INFINITY
    const pageSize = header.getUint16(pageSizeAt)
    return (pageSize === 1 ? 65_536 : pageSize) * header.getUint32(pageCountAt)
  }

  /** The log shrinks if everything in it was moved into the database: then the index counts no frame. */
  #framesSize(): number {
    const header = this.#readIndex()
    if (header === null) return Number.POSITIVE_INFINITY
    const frames = header.getUint32(indexFramesAt, littleEndian)
    const pageSize = header.getUint16(indexPageSizeAt, littleEndian)
    return frames === 0 ? 0 : logHeaderSize + frames * (frameHeaderSize + (pageSize === 1 ? 65_536 : pageSize))
  }

  #readIndex(): DataView | null {
    return this.#index.fd === null ? null : readHeader(this.#index.fd, indexHeaderSize)
  }
}

/** The index uses the machine's byte order. */
const littleEndian = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1

function watch(
  path: string,
  descriptors: Descriptors,
  lockOn: ((descriptors: Descriptors, file: FileId) => HeldLock | null) | null,
  expected?: FileId,
): Watched {
  const found = expected ?? statSync(path, { bigint: true })
  const { dev, ino } = found
  const lock = lockOn === null ? null : lockOn(descriptors, found)
  return { path, dev, ino, size: 0, fd: descriptorOf(found, descriptors), lock }
}

function descriptorOf({ dev, ino }: FileId, descriptors: Descriptors): number | null {
  return descriptors.find((each) => each.dev === dev && each.ino === ino)?.fd ?? null
}

/** The descriptor may belong to another connection of this process, and be closed since: then another one is found. */
function sizeOf(file: Watched): number | null {
  for (let tries = 0; file.fd !== null && tries < 2; tries++) {
    try {
      const { dev, ino, size } = fstatSync(file.fd)
      if (ino === Number(file.ino) && dev === Number(file.dev)) return size
    } catch {
      // The descriptor is closed.
    }
    file.fd = descriptorOf(file, openDescriptors())
  }
  return null
}

/** One per folder, kept open until the thread ends. */
const folders = new Map<string, number>()

function openFolder(path: string): number {
  const { dev, ino } = statSync(path)
  const kept = folders.get(path)
  if (kept !== undefined) {
    const found = fstatSync(kept)
    if (found.dev === dev && found.ino === ino && found.nlink > 0) return kept
  }
  const folder = openSync(path, 'r')
  folders.set(path, folder)
  return folder
}

function assertHeld({ path, lock }: Watched): void {
  if (lock && !lock.isHeld()) throw lockLost(path)
}

function isSame({ path, dev, ino }: Watched): boolean {
  const found = statSync(path, { bigint: true, throwIfNoEntry: false })
  return found !== undefined && found.dev === dev && found.ino === ino
}

function readHeader(fd: number, length: number): DataView | null {
  const bytes = new Uint8Array(length)
  return readSync(fd, bytes, 0, length, 0) === length ? new DataView(bytes.buffer) : null
}

function nameLost({ path }: Watched): DatabaseLostError {
  const what = statSync(path, { throwIfNoEntry: false }) ? 'was replaced' : 'is gone'
  return new DatabaseLostError(
    `${basename(path)} ${what} while the database was open; put the file back and start again`,
  )
}

function cut(path: string, size: number): DatabaseLostError {
  return new DatabaseLostError(
    `${basename(path)} was truncated to ${size} bytes while the database was open; find out which program did it (logrotate, a script), and start again`,
  )
}

function lockLost(path: string): DatabaseLostError {
  return new DatabaseLostError(
    `this process has lost its lock on ${basename(path)}: code in this process opened and closed that file (to copy or hash it, or through another SQLite library); use system.backup() or another process for that, and start again`,
  )
}
