import { statSync } from 'node:fs'
import { basename, dirname } from 'node:path'
import { DatabaseLockedError } from '../../../errors.ts'

/** The key under which all copies of this package on one thread find each other. */
const key = Symbol.for('jobmachine.open')

interface OpenFile {
  /** The copy of the package; each has its own SQLite. */
  readonly copy: object
  count: number
}

const thisCopy = {}

/**
 * Records that this process has the database open, until the returned function is called. Throws `DatabaseLockedError` if another copy of
 * this package has it open here already: by closing a file, the SQLite of each copy would drop the locks of the other (POSIX). Copies on
 * other threads are not noticed.
 */
export function noteOpen(path: string, ownPid: number): () => void {
  const files = openFiles()
  const name = nameOf(path)
  const file = files.get(name) ?? { copy: thisCopy, count: 0 }
  if (file.copy !== thisCopy) throw new DatabaseLockedError(path, { pid: ownPid, byOtherCopy: true })
  file.count++
  files.set(name, file)
  let isOpen = true
  return () => {
    if (!isOpen) return
    isOpen = false
    file.count--
    if (file.count === 0) files.delete(name)
  }
}

function openFiles(): Map<string, OpenFile> {
  const shared = process as unknown as Record<symbol, Map<string, OpenFile> | undefined>
  shared[key] ??= new Map()
  return shared[key]
}

/** The same name through any mount, even if the file does not exist yet. */
function nameOf(path: string): string {
  const { dev, ino } = statSync(dirname(path), { bigint: true })
  return `${dev}:${ino}/${basename(path)}`
}
