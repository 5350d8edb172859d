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
/**
 * The row has what transitions compute with and CHECKs ask for. On a row that a hand has damaged a statement fails, and so it would for all
 * jobs that take the event with it: such a row stays as it is.
 */
export const isValidRow = `(jobs.finished_at IS NOT NULL) = ${stateHasTag('ended')}
  AND (jobs.lease_token IS NOT NULL) = ${stateHasTag('held')} AND (jobs.lease_token IS NULL) = (jobs.lease_expires_at IS NULL)
  AND typeof(jobs.seq) = 'integer' AND jobs.seq > 0 AND typeof(jobs.attempt) = 'integer'
  AND typeof(jobs.max_attempts) = 'integer' AND jobs.attempt BETWEEN 0 AND jobs.max_attempts
  AND typeof(jobs.crashes) = 'integer' AND typeof(jobs.run_at) = 'integer'`
