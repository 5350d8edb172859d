import type { SystemLog } from './job-system.ts'

/** Of whoever gives none. */
export const silentLog: SystemLog = { debug() {}, info() {}, warn() {}, error() {}, child: () => silentLog }

/** The same log, with what it throws or rejects with dropped: nothing that a log does may change what becomes of a job. */
export function harmless(log: SystemLog): SystemLog {
  return {
    debug: (fields, message) => quietly(() => log.debug(fields, message)),
    info: (fields, message) => quietly(() => log.info(fields, message)),
    warn: (fields, message) => quietly(() => log.warn(fields, message)),
    error: (fields, message) => quietly(() => log.error(fields, message)),
    child(fields) {
      let child = log
      quietly(() => {
        child = log.child(fields)
      })
      return harmless(child)
    },
  }
}

function quietly(tell: () => unknown): void {
  try {
    const told = tell()
    if (isThenable(told)) told.then(undefined, () => {})
  } catch {
    // A log that cannot even be called is of no use to tell of it.
  }
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof (value as PromiseLike<unknown> | null | undefined)?.then === 'function'
}
