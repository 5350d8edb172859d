import { fstatSync, openSync, readSync, statSync } from 'node:fs'
import { basename, dirname } from 'node:path'
import { DatabaseLostError } from '../../../errors.ts'
import { type FileId, HeldLock, openDescriptors } from './held-locks.ts'

type Descriptors = ReturnType<typeof openDescriptors>

/** For how long a folder's time must have stood still before it proves that no entry changed: the clock behind it ticks every 10 ms at most. */
const settledMs = 50
/**
 * At most so long between looks at the names while commits follow one another, in ms. Beyond it there is a look before a commit too, which
 * may hide that a file was cut.
 */
const restMs = 1
/** At most so long between looks at everything, each file by its name, its size, the server's lock, and the next tick of whoever looks. */
const thoroughMs = 50
// https://sqlite.org/fileformat2.html
const databaseHeaderSize = 32
const pageSizeAt = 16
const pageCountAt = 28
const logHeaderSize = 32
const frameHeaderSize = 24
/** Of the log's index, in `-shm`: the size of a page, and the frames of the log that count. */
const indexHeaderSize = 48
const indexPageSizeAt = 14
const indexFramesAt = 16

/** One of the files that an open database consists of. */
interface Watched extends FileId {
  readonly path: string
  /** Some descriptor of SQLite's, to be asked and never closed; null if /proc shows none. */
  fd: number | null
  readonly lock: HeldLock | null
  size: number
}

/**
 * Watches the files of an open database: database, log (`-wal`), the log's index (`-shm`) and, for a server, `-lock`. SQLite itself goes on
 * writing into a file that was removed, replaced or cut, and calls it a success; and it does not know that this process has lost its locks.
 *
 * Why a check after a commit suffices: another program removes the log only under SQLite's exclusive lock, which it cannot have had while
 * this process held its shared one, and a lock that is held after the commit was held all the time. People remove files without a lock, at any
 * moment: that is seen within `restMs`, and what the log holds can still be moved into the database then.
 *
 * Only `stat`, and reads through descriptors that are SQLite's: to open and close one of the files would drop the locks on it (POSIX).
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
  /** When a commit was checked last, the names were looked at, and everything was. */
  #checkedAt = 0
  #namesAt = 0
  #thoroughAt = 0

  /** To be made when the database is open and its log is there. `lock`: a server's, as it was when it was taken. */
  constructor(path: string, lock: FileId | null) {
    this.#folder = openFolder(dirname(path))
    const descriptors = openDescriptors()
    this.#database = watch(path, descriptors, HeldLock.onDatabase)
    this.#log = watch(`${path}-wal`, descriptors, null)
    this.#index = watch(`${path}-shm`, descriptors, HeldLock.onIndex)
    this.#watched = [this.#database, this.#log, this.#index]
    if (lock) this.#watched = [...this.#watched, watch(`${path}-lock`, descriptors, HeldLock.onDatabase, lock)]
  }

  /** Whether a lock that this process loses would be seen. */
  get seesLocks(): boolean {
    return this.#watched.some(({ lock }) => lock !== null)
  }

  /**
   * Call it after each commit, before any caller is answered. Checks that the lock which keeps others from removing the log is still held
   * and, unless checked within `restMs`, that no name in the folder came or went. Throws `DatabaseLostError`.
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

  /** Call it when `restMs` are over: checks the names, and everything if that is due. Returns whether it was. */
  look(): boolean {
    const now = performance.now()
    this.#namesAt = now
    const isDue = now - this.#thoroughAt > thoroughMs || !this.#isFolderSettled(now)
    if (isDue) this.check()
    return isDue
  }

  /** In how many ms the names are to be looked at again if no commit does it: there was one since. */
  get restMs(): number {
    return this.#checkedAt > this.#namesAt ? restMs : Number.POSITIVE_INFINITY
  }

  /** To be called before a commit: a log that was cut is as long as before once it was written again. */
  checkBefore(): void {
    if (performance.now() - this.#checkedAt > restMs) this.check()
  }

  /** Looks at everything; to be called now and then. Throws `DatabaseLostError`. */
  check(): void {
    this.#thoroughAt = performance.now()
    this.#namesAt = this.#thoroughAt
    this.#checkedAt = this.#thoroughAt
    this.#isFolderSettled(this.#thoroughAt)
    for (const file of this.#watched) if (!isSame(file)) throw nameLost(file)
    this.#checkSizes()
    for (const file of this.#watched) assertHeld(file)
  }

  /** The length of the log, when it was looked at last. */
  get logBytes(): number {
    return this.#log.size
  }

  /**
   * Whether all that was committed can be moved from a log whose name is gone into the database: that one is in its place, and nobody else
   * can have opened it since.
   */
  get canSaveLog(): boolean {
    return (
      (this.#database.lock?.isHeld() ?? false) &&
      (this.#index.lock?.isHeld() ?? false) &&
      isSame(this.#database) &&
      // Another that is empty was made by a look at the file.
      !isSame(this.#log) &&
      (statSync(this.#log.path, { throwIfNoEntry: false })?.size ?? 0) === 0 &&
      (isSame(this.#index) || !statSync(this.#index.path, { throwIfNoEntry: false }))
    )
  }

  /** Its time tells whether a name in it came or went, once it has stood still for longer than the clock behind it takes to tick. */
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

  /** A file that is shorter than it was must have at least the size that its own header asks for. */
  #checkSize(file: Watched, wanted: () => number): void {
    const size = sizeOf(file)
    if (size === null) return
    if (size < file.size && size < wanted()) throw cut(file.path, size)
    file.size = size
  }

  /** It shrinks when someone has run VACUUM. */
  #pagesSize(): number {
    const header = readHeader(this.#database.fd!, databaseHeaderSize)
    if (header === null) return Number.POSITIVE_INFINITY
    const pageSize = header.getUint16(pageSizeAt)
    return (pageSize === 1 ? 65_536 : pageSize) * header.getUint32(pageCountAt)
  }

  /** It shrinks if all that is in it was moved into the database: then the index counts no frame. */
  #framesSize(): number {
    const header = this.#index.fd === null ? null : readHeader(this.#index.fd, indexHeaderSize)
    if (header === null) return Number.POSITIVE_INFINITY
    const frames = header.getUint32(indexFramesAt, littleEndian)
    const pageSize = header.getUint16(indexPageSizeAt, littleEndian)
    return frames === 0 ? 0 : logHeaderSize + frames * (frameHeaderSize + (pageSize === 1 ? 65_536 : pageSize))
  }
}

/** The index is written as the machine has it. */
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

/** The descriptor may be another connection's of this process, and closed since: then another is looked for. */
function sizeOf(file: Watched): number | null {
  for (let tries = 0; file.fd !== null && tries < 2; tries++) {
    try {
      const { dev, ino, size } = fstatSync(file.fd)
      if (ino === Number(file.ino) && dev === Number(file.dev)) return size
    } catch {
      // It is closed.
    }
    file.fd = descriptorOf(file, openDescriptors())
  }
  return null
}

/** Kept open, one for each folder: it is closed with the thread. */
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
