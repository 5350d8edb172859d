import { readFileSync } from 'node:fs'

/** Descriptors for the database's files, threads, the log and what is loaded late: some 60 are open when all of it is in use. */
const ownMax = 96
/** Of one attempt: its connection, and a file or a name that is looked up. */
const perWorker = 2

/** How many files and sockets this process may have open at once; null where the system does not say. Node has raised it as far as it goes. */
export function descriptorsMax(): number | null {
  try {
    return limitIn(readFileSync('/proc/self/limits', 'utf8'))
  } catch {
    return null
  }
}

/** The soft limit as Linux tells it in /proc; null where there is none. */
export function limitIn(limits: string): number | null {
  const soft = /^Max open files\s+(\d+)/m.exec(limits)?.[1]
  return soft === undefined ? null : Number(soft)
}

/** Of `descriptors`, how many may be connections of clients: a quarter at least, and what the server does not need for itself. */
export function connectionsWithin(descriptors: number | null, workers: number): number {
  if (descriptors === null) return Number.POSITIVE_INFINITY
  return Math.max(descriptors - ownMax - perWorker * workers, Math.floor(descriptors / 4))
}
