import type { ScheduleState } from '../machines/schedule.ts'
import { replaySchedule, type ScheduleStep } from '../machines/schedule-edges.ts'
import type { Checks } from './verify-checks.ts'

/** A row of `schedules`, as far as its history leads to it. */
export interface CheckedSchedule {
  readonly id: number
  readonly name: string
  readonly state: ScheduleState
  readonly seq: number
  readonly lastTick: number
}

/** A row of its history; `hasJob`: whether the job that it names is there. */
export interface CheckedStep extends ScheduleStep {
  readonly tick: number | null
  readonly jobId: number | null
  readonly hasJob: boolean | 0 | 1
}

/** What is to be checked, for any store. `orphans`: histories of no schedule. */
export const scheduleChecks = {
  schedules:
    'SELECT id, name, state, seq, last_tick AS "lastTick" FROM schedules WHERE id > :after ORDER BY id LIMIT :limit',
  steps: `
  SELECT seq, event, from_state AS "from", to_state AS "to", tick, job_id AS "jobId",
    job_id IS NOT NULL AND EXISTS (SELECT 1 FROM jobs WHERE id = job_id) AS "hasJob"
  FROM schedule_events WHERE schedule_id = :id ORDER BY seq`,
  orphans:
    'SELECT DISTINCT schedule_id AS id FROM schedule_events WHERE NOT EXISTS (SELECT 1 FROM schedules WHERE id = schedule_id) LIMIT 100',
}

/**
 * The history of a schedule leads to its row, and each of its ticks made one job or none. `isWhole`: no job was ever removed, so that each
 * must be there.
 */
export function checkSchedule(
  checks: Checks,
  schedule: CheckedSchedule,
  steps: readonly CheckedStep[],
  isWhole: boolean,
): void {
  const tell = (fault: string) => checks.tell('I11', null, `schedule ${schedule.name} (${schedule.id}): ${fault}`)
  const end = replaySchedule(steps, tell)
  for (const field of ['state', 'seq'] as const)
    if (schedule[field] !== end[field])
      tell(`the row has ${field} ${schedule[field]}, its history leads to ${end[field]}`)
  const ticks = new Set<number>()
  for (const { seq, tick, jobId, hasJob } of steps) {
    if (tick !== null && ticks.has(tick)) tell(`seq ${seq} deals with the tick ${tick} again`)
    if (tick !== null && tick > schedule.lastTick)
      tell(`seq ${seq} has the tick ${tick}, after the last one, ${schedule.lastTick}`)
    if (tick !== null) ticks.add(tick)
    if (isWhole && jobId !== null && !hasJob) tell(`seq ${seq} made job ${jobId}, which is not there`)
  }
}
