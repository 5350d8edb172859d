import type { SystemLog } from './job-system.ts'

/** The log of a system that was given none. */
export const noopLog: SystemLog = { debug() {}, info() {}, warn() {}, error() {}, child: () => noopLog }

/** The same log, but what it throws or rejects with is dropped: a log must not affect a job. */
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
    // A log that cannot be called cannot report that either.
  }
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof (value as PromiseLike<unknown> | null | undefined)?.then === 'function'
}
