import { stateHasTag } from './transitions.ts'

/** Why a queued job is set aside, so that claims skip it: its type has no handler here, or it is a suspect, to be run alone. */
export const parkedAs = { unhandled: 1, suspect: 2 } as const

/** Queued jobs that a lease may take together with others. */
export const isReady = `${stateHasTag('ready')} AND jobs.parked = 0`
/** Queued jobs that are set aside, for any reason. */
export const isParked = `${stateHasTag('ready')} AND jobs.parked > 0`
// Both terms are needed: SQLite uses the index only if its own condition is in the statement.
export const isUnhandled = `${isParked} AND jobs.parked = ${parkedAs.unhandled}`
export const isSuspect = `${isParked} AND jobs.parked = ${parkedAs.suspect}`
/** Jobs that wait for their `run_at`. */
export const isTimed = stateHasTag('timed')
export const isHeld = 'jobs.lease_token IS NOT NULL'
