import { existsSync } from 'node:fs'

/** Files that Docker and Podman create in their containers. */
const marks = ['/.dockerenv', '/run/.containerenv']
/** How long both leave a container between SIGTERM and SIGKILL by default, in ms. */
const usualStopMs = 10_000
/** How long a stop may take beyond its grace, in ms. */
const beyondGraceMs = 2_000

/**
 * Whether this process runs in a container that is probably killed before a grace of this many ms is over. The time that the container
 * allows is not visible from inside.
 */
export function isKilledEarly(graceMs: number, exists: (path: string) => boolean = existsSync): boolean {
  return graceMs + beyondGraceMs > usualStopMs && marks.some((mark) => exists(mark))
}
