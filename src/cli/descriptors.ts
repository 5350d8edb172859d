import { readFileSync } from 'node:fs'

/**
 * Descriptors for the database's files, threads, the log and modules that are loaded late: some 60 are open when all of them are in use.
 */
const ownMax = 96
/** Descriptors of one attempt: its connection, and a file or a name lookup. */
const perWorker = 2

/**
 * How many of this process's open files and sockets may be client connections: everything that the server does not need itself, but at
 * least a quarter. `limits` is the text of /proc/self/limits. The soft limit counts, which Node has already raised as far as possible.
 */
export function connectionsMax(workers: number, limits = readLimits()): number {
  const soft = /^Max open files\s+(\d+)/m.exec(limits)?.[1]
  if (soft === undefined) return Number.POSITIVE_INFINITY
  return Math.max(Number(soft) - ownMax - perWorker * workers, Math.floor(Number(soft) / 4))
}

/** Returns an empty text if the system does not report limits. */
function readLimits(): string {
  try {
    return readFileSync('/proc/self/limits', 'utf8')
  } catch {
    return ''
  }
}
