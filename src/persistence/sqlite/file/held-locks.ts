import { fstatSync, openSync, readdirSync, readFileSync, readSync } from 'node:fs'

// https://sqlite.org/src/file/src/os_unix.c and wal.c: the bytes of each file that SQLite locks.
/** In the database: the byte that every connection locks (shared) for as long as it is open. */
const sharedByte = 0x40000002
/** In `-shm`: the byte that each process locks that has it open. */
const openByte = 128

const textMax = 8_192

/** A file's numbers in the kernel. */
export interface FileId {
  readonly dev: bigint
  readonly ino: bigint
}

/** A descriptor of this process, whoever opened it. SQLite's must not be closed, but may be read. */
interface Descriptor extends FileId {
  readonly fd: number
}

/** The open descriptors of this process, on Linux; none if /proc does not show them. */
export function openDescriptors(): readonly Descriptor[] {
  let names: string[]
  try {
    names = readdirSync('/proc/self/fd')
  } catch {
    return []
  }
  return names.flatMap((name) => {
    try {
      const { dev, ino } = fstatSync(Number(name), { bigint: true })
      return [{ fd: Number(name), dev, ino }]
    } catch {
      // Closed since, such as the one that read the folder.
      return []
    }
  })
}

/**
 * Watches a POSIX lock of this process. When the process closes any descriptor of a file, whichever code opened it, the kernel silently
 * drops all locks of the process on that file. /proc/self/fdinfo shows a lock with the descriptor through which it was taken.
 */
export class HeldLock {
  readonly #fdinfo: number
  readonly #byte: number
  readonly #text = Buffer.alloc(textMax)
  /** The last text that showed the lock: usually it is the same again. */
  #seen = Buffer.alloc(0)

  private constructor(fdinfo: number, byte: number) {
    this.#fdinfo = fdinfo
    this.#byte = byte
  }

  /** The lock that every connection holds on a database for as long as it is open; as `find`. */
  static onDatabase(descriptors: readonly Descriptor[], file: FileId): HeldLock | null {
    return HeldLock.#find(descriptors, file, sharedByte)
  }

  /** The lock that each process holds that has a `-shm` open; as `find`. */
  static onIndex(descriptors: readonly Descriptor[], file: FileId): HeldLock | null {
    return HeldLock.#find(descriptors, file, openByte)
  }

  /** The lock on that byte of a file, with the descriptor that shows it; null if none of the given ones does. */
  static #find(descriptors: readonly Descriptor[], { dev, ino }: FileId, byte: number): HeldLock | null {
    for (const { fd } of descriptors.filter((each) => each.dev === dev && each.ino === ino)) {
      try {
        const lock = new HeldLock(fdinfoOf(fd), byte)
        if (lock.isHeld()) return lock
      } catch {
        // This kernel has no such file.
      }
    }
    return null
  }

  /** Whether the lock has been held all the time: SQLite takes it once, so a dropped lock does not come back. */
  isHeld(): boolean {
    const length = this.#read()
    if (length > 0 && this.#text.compare(this.#seen, 0, this.#seen.length, 0, length) === 0) return true
    if (!covers(this.#text.toString('latin1', 0, length), this.#byte)) return false
    this.#seen = Buffer.from(this.#text.subarray(0, length))
    return true
  }

  #read(): number {
    try {
      return readSync(this.#fdinfo, this.#text, 0, textMax, 0)
    } catch {
      // The descriptor is closed.
      return 0
    }
  }
}

/**
 * The processes that have a POSIX lock on a file, as far as /proc/locks shows: none outside Linux, none in another container, and none on a
 * file system whose device number there differs from that of `stat`.
 */
export function lockHoldersOf({ dev, ino }: FileId): number[] {
  const hex = (number: bigint) => number.toString(16).padStart(2, '0')
  // As makedev(3) combines them.
  const major = ((dev >> 8n) & 0xfffn) | ((dev >> 32n) & ~0xfffn)
  const minor = (dev & 0xffn) | ((dev >> 12n) & ~0xffn)
  const lock = new RegExp(`^\\d+: POSIX +\\S+ +\\S+ +(\\d+) +${hex(major)}:${hex(minor)}:${ino} `, 'gm')
  return [...locksOfAll().matchAll(lock)].map(([, pid]) => Number(pid))
}

function locksOfAll(): string {
  try {
    return readFileSync('/proc/locks', 'utf8')
  } catch {
    return ''
  }
}

/** Kept open, because reading costs a third of opening. What it says is about whatever has that number by then. */
const fdinfos = new Map<number, number>()

function fdinfoOf(fd: number): number {
  const open = fdinfos.get(fd) ?? openSync(`/proc/self/fdinfo/${fd}`, 'r')
  fdinfos.set(fd, open)
  return open
}

/** Locks on neighbouring bytes are shown as one. */
function covers(fdinfo: string, byte: number): boolean {
  for (const [, first, last] of fdinfo.matchAll(/^lock:.* POSIX .* (\d+) (\d+|EOF)$/gm))
    if (Number(first) <= byte && (last === 'EOF' || byte <= Number(last))) return true
  return false
}
