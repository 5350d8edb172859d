import { readFileSync, statSync } from 'node:fs'
import { basename, dirname } from 'node:path'
import { type DatabaseHolder, DatabaseLockedError } from '../../../errors.ts'
import { openDescriptors } from './held-locks.ts'
import { openKept } from './kept.ts'

/**
 * The key under which all copies of this package on one thread find each other, in this format. On `process`, because code in another VM context
 * has another `globalThis`.
 */
const key = Symbol.for('jobmachine.open@1')

/** A system that has a file open. */
type OpenSystem = Extract<DatabaseHolder, { how: unknown }> & {
  /** The copy of the package; each has its own SQLite. */
  readonly copy: object
  readonly isServer: boolean
}

const thisCopy = {}

/**
 * Records that a system of this process has the database open, until the returned function is called. Throws `DatabaseLockedError` if
 * another server has it open on this thread, or another copy of this package in this process: by closing a file, the SQLite of each copy
 * would drop the locks of the other (POSIX).
 */
export function noteOpen(path: string, system: Omit<OpenSystem, 'copy' | 'how'>): () => void {
  const files = openFiles()
  const name = nameOf(path)
  const systems = files.get(name) ?? []
  const other = systems.find(({ copy }) => copy !== thisCopy)
  if (other) throw new DatabaseLockedError(path, { ...other, how: 'copy' })
  const server = system.isServer && systems.find(({ isServer }) => isServer)
  if (server) throw new DatabaseLockedError(path, { ...server, how: 'system' })
  if (systems.length === 0 && isOpenByOtherDriver(path))
    throw new DatabaseLockedError(path, { pid: system.pid, startedAt: null, where: null, how: 'copy' })
  const own: OpenSystem = { ...system, how: 'system', copy: thisCopy }
  files.set(name, [...systems, own])
  return () => {
    const left = (files.get(name) ?? []).filter((each) => each !== own)
    if (left.length > 0) files.set(name, left)
    else files.delete(name)
  }
}

function openFiles(): Map<string, readonly OpenSystem[]> {
  const shared = process as unknown as Record<symbol, Map<string, readonly OpenSystem[]> | undefined>
  shared[key] ??= new Map()
  return shared[key]
}

/** The same name through any mount, even if the file does not exist yet. */
function nameOf(path: string): string {
  const { dev, ino } = statSync(dirname(path), { bigint: true })
  return `${dev}:${ino}/${basename(path)}`
}

/** Another thread cannot be asked, but Linux shows what the process has open, and whether SQLite was loaded twice. */
function isOpenByOtherDriver(path: string): boolean {
  const found = statSync(path, { bigint: true, throwIfNoEntry: false })
  if (!found || !openDescriptors().some(({ dev, ino }) => dev === found.dev && ino === found.ino)) return false
  // Now the driver of this copy is loaded too.
  openKept(':memory:').close()
  return loadedDrivers().size > 1
}

function loadedDrivers(): ReadonlySet<string> {
  try {
    const maps = readFileSync('/proc/self/maps', 'utf8')
    return new Set([...maps.matchAll(/ (\S+ \d+) +\S*better_sqlite3\.node$/gm)].map(([, device]) => device!))
  } catch {
    return new Set()
  }
}
