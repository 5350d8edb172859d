import { abortGraceMs } from '../../config.ts'
import { AttemptTimeoutError, ShutdownError } from '../../errors.ts'
import type { EventType } from '../../machines/job.ts'
import type { RunningAttempt } from '../../machines/slots.ts'
import type { Facts, ServerFacts } from './facts.ts'
import type { Obstacle } from './obstacle.ts'
import { ago, duration, instant, sayInstant, sayOwner } from './text.ts'

/** What prevents an event of a job that is or was leased. */
export function obstaclesOfLease(event: EventType, facts: Facts): Obstacle[] {
  if (facts.isElsewhere && event !== 'expire') return facts.server ? heldElsewhere(facts) : []
  switch (event) {
    case 'start':
      return orphaned(facts)
    case 'succeed':
    case 'fail':
    case 'reject':
    case 'snooze':
      return [...orphaned(facts), ...notCalled(facts), ...settled(facts), ...alreadyAborted(event, facts)]
    case 'release':
      return [...orphaned(facts), ...settled(facts), ...notStopping(facts)]
    case 'expire':
      return leaseHeld(facts)
    default:
      return []
  }
}

/** Only the node that holds it knows. */
function heldElsewhere({ jobFacts: { lease } }: Facts): Obstacle[] {
  return [{ code: 'node_elsewhere', message: `only ${sayHolder(lease)}, which holds it, knows`, until: null }]
}

/** `process 12 on db1, node 3`. */
function sayHolder(lease: Facts['jobFacts']['lease']): string {
  return `${sayOwner(lease?.owner ?? null)}${lease?.other ? `, node ${lease.other.id}` : ''}`
}

/** Whether the node that holds it has missed a heartbeat: nodes are heard of three times in a lease. */
export function isHolderSilent({ isElsewhere, jobFacts: { lease } }: Facts): boolean {
  return isElsewhere && lease!.other!.silentMs >= lease!.other!.leaseMs / 2
}

/** Whether the node that holds it lives, and when it counts as dead. */
function sayHeard(facts: Facts): string {
  const { jobFacts, now } = facts
  if (!facts.isElsewhere) return ''
  const { silentMs, leftMs } = jobFacts.lease!.other!
  const heard = `was heard of ${ago(now - silentMs, now)}`
  if (!isHolderSilent(facts)) return ` (it ${heard})`
  if (leftMs === 0) return ` (it ${heard}, and is declared dead at any moment; the job then runs elsewhere)`
  return ` (it ${heard}: if it stays silent, it is declared dead ${sayInstant(now + leftMs, now)}, and the job then runs elsewhere)`
}

/** Its handler is called when a worker is free. */
function notCalled(facts: Facts): Obstacle[] {
  return facts.isNext ? [{ code: 'no_free_worker', message: 'no worker is free for it yet', until: null }] : []
}

/** What happens to it, by what the server that found it is doing. */
const fates: Readonly<Partial<Record<ServerFacts['phase'], string>>> = {
  created: 'this server requeues it when it starts',
  recovering: 'this server is requeuing it',
}

/** Its holder is dead. */
function orphaned(facts: Facts): Obstacle[] {
  if (!facts.server || !facts.isOrphan) return []
  const fate = fates[facts.server.phase] ?? 'the next server to start requeues it'
  return [{ code: 'holder_gone', message: `the process that held it has ended, and ${fate}`, until: null }]
}

/** Its attempt has ended in this process; its outcome can no longer change. */
function settled(facts: Facts): Obstacle[] {
  const { server } = facts
  const over = sayOver(facts)
  if (!server || over === null) return []
  const message = server.trouble
    ? `${over}, and its outcome waits in memory until it can be stored`
    : `${over}, and its outcome is on its way to disk`
  return [{ code: 'outcome_pending', message, until: null }]
}

/** Whether its handler is known to have ended or was given up, so that only the outcome is not yet on disk. */
export function isOver(facts: Facts): boolean {
  return sayOver(facts) !== null && (facts.attempt !== undefined || facts.outcome !== null || !facts.hasJustStarted)
}

/** How its attempt has ended here, as far as that is known; null if it has not. */
function sayOver(facts: Facts): string | null {
  if (!facts.server || facts.isOrphan || facts.isElsewhere || !facts.isExecuting) return null
  const attempt = facts.attempt
  if (attempt) return attempt.phase === 'stuck' ? 'its handler did not end when it was told to' : null
  if (facts.outcome !== null) return endings[facts.outcome] ?? 'it is given back'
  return facts.hasJustStarted ? 'its handler is being called, or has ended' : 'its handler has ended'
}

/** By the event that is to be stored. */
const endings: Readonly<Partial<Record<EventType, string>>> = {
  succeed: 'its handler has succeeded',
  fail: 'its handler has failed',
  reject: 'its handler has failed for good',
  snooze: 'its handler has asked to be run later',
}

/** Its handler was told to stop, which rules out this end of the attempt. */
function alreadyAborted(event: EventType, facts: Facts): Obstacle[] {
  const aborted = facts.attempt?.aborted
  if (!aborted || endsAfter(aborted.reason).includes(event)) return []
  return [{ code: 'attempt_aborted', message: sayAborted(aborted, facts.now), until: null }]
}

/** Once its handler was called, only a stopping server gives it back, when its grace has ended. */
function notStopping(facts: Facts): Obstacle[] {
  const { server } = facts
  if (!server || facts.isOrphan || facts.isNext) return []
  if (server.phase !== 'draining') {
    return [{ code: 'not_stopping', message: 'this server is not stopping', until: null }]
  }
  if (!facts.isExecuting) return []
  return facts.attempt?.aborted ? alreadyAborted('release', facts) : running(facts)
}

/** Its lease has not expired. */
function leaseHeld(facts: Facts): Obstacle[] {
  const { jobFacts, server, now } = facts
  const { lease } = jobFacts
  if (!lease || server?.phase === 'recovering') return []
  if (facts.isElsewhere) {
    const message = `${sayHolder(lease)} holds it for as long as it lives${sayHeard(facts)}`
    return [{ code: 'lease_held', message, until: null }]
  }
  const isRenewed = server !== null && !facts.isOrphan
  // A renewed lease has not expired, however late the renewal is.
  if (lease.expiresAt <= now && !isRenewed) return []
  const message = facts.isOrphan
    ? `the lease of a process that has ended runs out ${sayInstant(lease.expiresAt, now)}`
    : lease.expiresAt <= now
      ? `${sayOwner(lease.owner)}, this server, still holds the job, and no other can take it: the lease ran out ${sayInstant(lease.expiresAt, now)}, and is renewed as soon as the file can be written`
      : `${sayOwner(lease.owner)} holds its lease until ${instant(lease.expiresAt)} and renews it for as long as it lives`
  return [{ code: 'lease_held', message, until: lease.expiresAt }]
}

/** What is known about the attempt that is running according to the file. */
export function running(facts: Facts): Obstacle[] {
  if (facts.isOrphan) return orphaned(facts)
  const over = [...notCalled(facts), ...settled(facts)]
  if (over.length > 0) return over
  const { jobFacts, now } = facts
  const attempt = facts.attempt
  if (attempt?.aborted) {
    const { at, reason } = attempt.aborted
    const isGivenUp = reason instanceof AttemptTimeoutError
    const end = isGivenUp ? `; ${duration(abortGraceMs)} after that the attempt fails even if it is still running` : ''
    const message = `${sayAborted(attempt.aborted, now)}${end}`
    return [{ code: 'attempt_running', message, until: isGivenUp ? at + abortGraceMs : null }]
  }
  const runs = `${facts.server ? '' : 'as the file has it, '}${sayHolder(jobFacts.lease)} runs it${sayHeard(facts)}${sayStall(facts)}`
  const abort = abortOf(facts)
  if (!abort) return [{ code: 'attempt_running', message: runs, until: null }]
  // The clock may have jumped, or the process may be stopped.
  const tells = abort.at > now ? 'tells its handler to stop' : 'was to tell its handler to stop'
  const message = `${runs}, and ${tells} ${sayInstant(abort.at, now)}, if it is not done by then: ${abort.reason}`
  return [{ code: 'attempt_running', message, until: abort.at }]
}

/** When its handler will be told to stop, if it runs for that long; null if that is not known here. */
function abortOf(facts: Facts): { readonly at: number; readonly reason: string } | null {
  const { jobFacts, server } = facts
  const timeoutMs = facts.attempt?.timeoutMs ?? jobFacts.job.timeoutMs
  const { startedAt } = jobFacts.job
  const stoppedMs = facts.attempt?.stall.stoppedMs ?? 0
  const timeout =
    timeoutMs === null || startedAt === null
      ? null
      : { at: startedAt + timeoutMs + stoppedMs, reason: `its timeout is ${duration(timeoutMs)}` }
  const stopsAt = facts.isElsewhere ? null : (server?.abortsAt ?? null)
  if (stopsAt === null || (timeout && timeout.at <= stopsAt)) return timeout
  return { at: stopsAt, reason: 'the server is stopping' }
}

/** Says that the attempt could not continue for a while. */
function sayStall({ attempt }: Facts): string {
  const { stoppedMs = 0, blockedMs = 0 } = attempt?.stall ?? {}
  const stopped =
    stoppedMs > 0 ? ` (the process did not run for ${duration(stoppedMs)} of it, which does not count)` : ''
  return `${stopped}${blockedMs > 0 ? ` (the event loop was blocked for ${duration(blockedMs)} of it, by this or another handler)` : ''}`
}

function sayAborted({ at, reason }: NonNullable<RunningAttempt['aborted']>, now: number): string {
  return `its handler was told to stop ${ago(at, now)}, and has not ended: ${reason.message}`
}

/** How an attempt can end whose handler was told to stop, whatever the handler does. */
function endsAfter(reason: Error): readonly EventType[] {
  if (reason instanceof AttemptTimeoutError) return ['fail']
  return reason instanceof ShutdownError ? ['succeed', 'release'] : []
}
