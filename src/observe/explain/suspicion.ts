import { hasTag } from '../../machines/edges.ts'
import { aloneMs, runsAloneToItsEnd, suspectCrashes } from '../../machines/guards.ts'
import type { JobFacts } from '../../persistence/store.ts'
import type { Facts } from './facts.ts'
import { isOrphan } from './held.ts'
import { duration, instant, times } from './words.ts'

/** Until when at most a suspect that was started keeps others waiting, in epoch ms; null where that is not known. */
export function endOfAlone({ startedAt, timeoutMs, crashes }: NonNullable<JobFacts['alone']>): number | null {
  const limitMs = runsAloneToItsEnd({ crashes }) ? timeoutMs : aloneMs
  return startedAt === null || limitMs === null ? null : startedAt + limitMs
}

/** `runs alone until …, because …`, of a job that does so now; null where it does not, or no longer. */
export function sayAlone(alone: JobFacts['alone'], now: number): string | null {
  if (!alone) return null
  const at = endOfAlone(alone)
  if (at !== null && at <= now && !runsAloneToItsEnd(alone)) return null
  const until = at !== null && at > now ? `until ${instant(at)} at the latest` : 'until it has ended'
  return `runs alone ${until}, because the process ended ${times(alone.crashes)} while it ran`
}

/** That a job is to run alone, or does, or that the process ended once too often while it ran; empty where it is nothing to wonder at. */
export function explainSuspect(facts: Facts): string {
  const { jobFacts, now } = facts
  const { job, isSuspect, alone } = jobFacts
  if (job.crashes < suspectCrashes) return ''
  const isLast = runsAloneToItsEnd(job)
  if (isSuspect) {
    const length = isLast ? 'to its end' : `for ${duration(aloneMs)}`
    const stake = isLast ? '; if it ends once more meanwhile, the job is dead' : ''
    return `It runs before others, and alone ${length}, because the process ended ${times(job.crashes)} while it ran${stake}.`
  }
  if (!hasTag(job.state, 'executing')) return ''
  if (isOrphan(facts) && isLast)
    return `The process has ended ${times(job.crashes + 1)} while it ran, so the job counts as the cause and becomes dead: correct its handler, then requeue it.`
  const said = alone?.id === job.id ? sayAlone(alone, now) : null
  return said ? `It ${said}.` : ''
}
