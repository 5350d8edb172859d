import { existsSync } from 'node:fs'

/** What Docker and Podman put into their containers. */
const marks = ['/.dockerenv', '/run/.containerenv']
/** What both leave a container between SIGTERM and SIGKILL unless told otherwise, in ms. */
const usualStopMs = 10_000
/** What a stop may take beyond its grace, in ms. */
const beyondGraceMs = 2_000

/**
 * Whether this process runs in a container that is probably killed before a grace period of this many ms is over. The time that the
 * container allows cannot be seen from inside.
 */
export function isKilledEarly(graceMs: number, exists: (path: string) => boolean = existsSync): boolean {
  return graceMs + beyondGraceMs > usualStopMs && marks.some((mark) => exists(mark))
}
