import { hasTag } from '../../machines/edges.ts'
import { exclusiveMs, isExclusiveToEnd, suspectCrashes } from '../../machines/guards.ts'
import type { JobFacts } from '../../persistence/store.ts'
import type { Facts } from './facts.ts'
import { duration, instant, number } from './text.ts'

/**
 * Says that a job runs alone now: `runs alone until …, because …`, and until when at most, in epoch ms; null if it does not, or no longer.
 */
export function describeExclusive(
  exclusive: JobFacts['exclusive'],
  now: number,
): { readonly clause: string; readonly until: number | null } | null {
  if (!exclusive) return null
  const { startedAt, timeoutMs, crashes } = exclusive
  const isLast = isExclusiveToEnd(exclusive)
  const limitMs = isLast ? timeoutMs : exclusiveMs
  const until = startedAt === null || limitMs === null ? null : startedAt + limitMs
  const isPast = until !== null && until <= now
  if (isPast && !isLast) return null
  const end = until === null || isPast ? 'until it has ended' : `until ${instant(until)} at the latest`
  return { clause: `runs alone ${end}, because the process ended ${times(crashes)} while it ran`, until }
}

/** Says that a job runs or will run alone, or that the process ended once too often while it ran; otherwise empty. */
export function explainSuspect(facts: Facts): string {
  const { jobFacts, now } = facts
  const { job, isSuspect, exclusive } = jobFacts
  if (job.crashes < suspectCrashes) return ''
  const isLast = isExclusiveToEnd(job)
  if (isSuspect) {
    const length = isLast ? 'to its end' : `for ${duration(exclusiveMs)}`
    const stake = isLast ? '; if it ends once more meanwhile, the job is dead' : ''
    return `It runs before others, and alone ${length}, because the process ended ${times(job.crashes)} while it ran${stake}.`
  }
  if (!hasTag(job.state, 'executing')) return ''
  if (facts.isOrphan && isLast)
    return `The process has ended ${times(job.crashes + 1)} while it ran, so the job counts as the cause and becomes dead: correct its handler, then requeue it.`
  const said = exclusive?.id === job.id ? describeExclusive(exclusive, now) : null
  return said ? `It ${said.clause}.` : ''
}

/** `once`, `twice`, `3 times`. */
function times(n: number): string {
  return n === 1 ? 'once' : n === 2 ? 'twice' : `${number(n)} times`
}
