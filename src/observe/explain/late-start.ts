import { hasTag } from '../../machines/edges.ts'
import type { JobState } from '../../machines/job.ts'
import type { Facts } from './facts.ts'
import { duration } from './text.ts'

/** A start that is later than this is explained, in ms. */
const lateStartMs = 60_000

/** That an attempt started long after the job was due. */
export function explainLateStart({ jobFacts: { job } }: Facts): string {
  const lateMs = job.startedAt === null || !hasStarted(job.state) ? 0 : job.startedAt - job.runAt
  if (lateMs < lateStartMs) return ''
  return `It started ${duration(lateMs)} after it was due: no server ran meanwhile, or no worker was free.`
}

function hasStarted(state: JobState): boolean {
  return hasTag(state, 'executing') || hasTag(state, 'ended')
}
