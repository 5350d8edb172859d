import { stateHasTag } from './transitions.ts'

/** Why a queued job is put aside, so that no claim meets it: no handler here runs its type, or it is a suspect, to be run alone. */
export const parkedAs = { unhandled: 1, suspect: 2 } as const

/** Queued jobs that a lease here may take with others. */
export const isReady = `${stateHasTag('ready')} AND jobs.parked = 0`
/** Queued jobs that are put aside, whatever for. */
export const isParked = `${stateHasTag('ready')} AND jobs.parked > 0`
// Both terms, for SQLite uses the index if its own stands in the statement.
export const isUnhandled = `${isParked} AND jobs.parked = ${parkedAs.unhandled}`
export const isSuspect = `${isParked} AND jobs.parked = ${parkedAs.suspect}`
/** Jobs that wait for their `run_at`. */
export const isTimed = stateHasTag('timed')
export const isHeld = 'jobs.lease_token IS NOT NULL'
