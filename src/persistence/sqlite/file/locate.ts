import { existsSync, lstatSync, mkdirSync, readFileSync, realpathSync, type Stats, statSync } from 'node:fs'
import { basename, dirname, join, resolve } from 'node:path'
import { DatabaseUnusableError } from '../../../errors.ts'

/** The files beside the database that belong to it: the log, the index of the log, the lock of the server, and the mark. */
export const fileSuffixes = ['-wal', '-shm', '-lock', '-mark'] as const

/**
 * The path of a database without links, so that every way to name the file leads to the same log and the same lock. Throws
 * `DatabaseUnusableError` if they would be elsewhere: for a link to nothing, a second name of the file (a hard link) or a file that is its
 * own mount, and if the path is not that of a file. Creates the folder if it is missing.
 */
export function locateDatabase(path: string): string {
  const given = resolve(path)
  const found = lookFor(given)
  if (!found) return inRealFolder(given)
  if (found.isSymbolicLink() && !existsSync(given)) {
    throw new DatabaseUnusableError(
      `${given} is a symbolic link to nothing; mount or restore its target, or remove the link`,
    )
  }
  const real = realpathSync(given)
  assertFile(real)
  assertOneName(real)
  assertCompanions(real)
  assertNotMounted(real)
  return real
}

/**
 * Creates a folder and those above it, for their owner alone. Level by level, because Node 20's recursive mkdir loops forever if a level
 * cannot be created (/proc).
 */
export function makeFolder(path: string): void {
  if (existsSync(path)) return
  makeFolder(dirname(path))
  mkdirSync(path, { mode: 0o700 })
}

/** The real path of a file that is to be created. */
function inRealFolder(path: string): string {
  const folder = dirname(path)
  try {
    makeFolder(folder)
  } catch (error) {
    throw new DatabaseUnusableError(
      `the folder of ${path} cannot be created: ${(error as Error).message}; check the permissions`,
      {
        cause: error,
      },
    )
  }
  const real = join(realpathSync(folder), basename(path))
  assertCompanions(real)
  return real
}

function lookFor(path: string): Stats | undefined {
  try {
    return lstatSync(path, { throwIfNoEntry: false })
  } catch (error) {
    const isUnderFile = (error as NodeJS.ErrnoException).code === 'ENOTDIR'
    const fault = isUnderFile
      ? 'is inside a file, not a folder; use the path of a file in a folder'
      : `cannot be accessed: ${(error as Error).message}; check the path and the permissions of its folders`
    throw new DatabaseUnusableError(`${path} ${fault}`, { cause: error })
  }
}

/** Throws `DatabaseUnusableError` if the path leads to something other than a file. */
export function assertFile(path: string): void {
  const found = statSync(path)
  if (found.isFile()) return
  throw new DatabaseUnusableError(
    found.isDirectory()
      ? `${path} is a folder; use the path of a file in it, such as ${join(path, 'jobs.db')}`
      : `${path} is a device, a pipe or a socket; use the path of a file`,
  )
}

function assertOneName(path: string): void {
  const { nlink } = statSync(path)
  if (nlink <= 1) return
  throw new DatabaseUnusableError(
    `${path} has ${nlink} names (hard links), and each name would get its own log; keep one: find . -inum ${statSync(path).ino} lists those in a folder`,
  )
}

function assertCompanions(path: string): void {
  for (const suffix of fileSuffixes) {
    const file = `${path}${suffix}`
    const found = lstatSync(file, { throwIfNoEntry: false })
    if (!found || found.isFile()) continue
    throw new DatabaseUnusableError(
      `${file} is a ${found.isSymbolicLink() ? 'symbolic link' : 'folder or device'}; it must be a plain file beside the database: stop the programs that use the database, put the file itself there, and start again`,
    )
  }
}

function assertNotMounted(path: string): void {
  const points = mountPoints()
  for (const file of [path, ...fileSuffixes.map((suffix) => `${path}${suffix}`)]) {
    const isAlone = points ? points.has(file) : isOnOtherDevice(file)
    if (!isAlone) continue
    throw new DatabaseUnusableError(
      `${file} is a separate mount, so the files beside it would not be kept; mount its folder instead`,
    )
  }
}

/** A guess, for systems that list no mounts: on overlayfs a file may have another device than its folder. */
function isOnOtherDevice(file: string): boolean {
  const found = statSync(file, { throwIfNoEntry: false })
  return found !== undefined && found.dev !== statSync(dirname(file)).dev
}

/** The mount points of this process, on Linux; null if they cannot be read. */
function mountPoints(): ReadonlySet<string> | null {
  try {
    const lines = readFileSync('/proc/self/mountinfo', 'utf8').split('\n')
    return new Set(lines.map((line) => unescaped(line.split(' ')[4] ?? '')))
  } catch {
    return null
  }
}

/** Spaces and the like are written as `\040` there. */
function unescaped(path: string): string {
  return path.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)))
}
