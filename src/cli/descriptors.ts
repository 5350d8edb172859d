import { readFileSync } from 'node:fs'

/** Descriptors for the database's files, threads, the log and what is loaded late: some 60 are open when all of it is in use. */
const ownMax = 96
/** Of one attempt: its connection, and a file or a name that is looked up. */
const perWorker = 2

/**
 * How many of the files and sockets that this process may have open at once can be connections of clients: a quarter at least, and what the
 * server does not need for itself. `limits`: as Linux tells them in /proc; the soft one counts, which Node has raised as far as it goes.
 */
export function connectionsMax(workers: number, limits = readLimits()): number {
  const soft = /^Max open files\s+(\d+)/m.exec(limits)?.[1]
  if (soft === undefined) return Number.POSITIVE_INFINITY
  return Math.max(Number(soft) - ownMax - perWorker * workers, Math.floor(Number(soft) / 4))
}

/** Empty if the system does not say. */
function readLimits(): string {
  try {
    return readFileSync('/proc/self/limits', 'utf8')
  } catch {
    return ''
  }
}
