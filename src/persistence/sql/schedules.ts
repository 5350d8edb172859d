import type { JobState } from '../../machines/job.ts'
import type { ScheduleTag } from '../../machines/schedule.ts'
import { hasScheduleTag, scheduleStates } from '../../machines/schedule-edges.ts'
import type { ScheduleEntry, SchedulePage } from '../store.ts'
import { stateHasTag } from './transitions.ts'

/** True if a schedule carries the tag. */
export function scheduleHasTag(tag: ScheduleTag): string {
  const states = scheduleStates.filter((state) => hasScheduleTag(state, tag))
  return `(${states.map((state) => `schedules.state = '${state}'`).join(' OR ')})`
}

/** The columns to select from `schedules` for a `ScheduleRow`. */
const scheduleColumns = `schedules.id, schedules.name, schedules.state, schedules.seq, schedules.source, schedules.spec, schedules.overlap, schedules.since,
  schedules.last_tick AS "lastTick", schedules.next_tick AS "nextTick", schedules.tz_version AS "tzVersion", schedules.problem,
  schedules.created_at AS "createdAt", schedules.updated_at AS "updatedAt"`

/** A row as the database returns it. */
export type EntryColumns = Omit<ScheduleEntry, 'lastJob'> & {
  readonly lastJobId: number | null
  readonly lastJobTick: number | null
  readonly lastJobState: JobState | null
}

/** The jobs of a schedule that its `overlap` looks at: the newest. */
const overlapJobsMax = 10

const unended = `CASE WHEN schedules.overlap = 'skip' THEN (
    SELECT min(newest.job_id) FROM (
      SELECT job_id FROM schedule_events WHERE schedule_id = schedules.id AND job_id IS NOT NULL ORDER BY job_id DESC LIMIT ${overlapJobsMax}
    ) AS newest JOIN jobs ON jobs.id = newest.job_id WHERE NOT ${stateHasTag('ended')}) END AS unended`

/** With the job of the newest tick that made one: `schedule_events_ticks` ends with it, but for ticks that were skipped since. */
export const selectEntries = `
  SELECT ${scheduleColumns}, ${unended}, last_job.job_id AS "lastJobId", last_job.tick AS "lastJobTick",
    (SELECT state FROM jobs WHERE jobs.id = last_job.job_id) AS "lastJobState"
  FROM schedules LEFT JOIN schedule_events AS last_job ON last_job.schedule_id = schedules.id AND last_job.seq = (
    SELECT seq FROM schedule_events WHERE schedule_id = schedules.id AND tick IS NOT NULL AND job_id IS NOT NULL ORDER BY tick DESC LIMIT 1)`

export function toEntry({ lastJobId, lastJobTick, lastJobState, ...row }: EntryColumns): ScheduleEntry {
  if (lastJobId === null || lastJobTick === null) return { ...row, lastJob: null }
  return { ...row, lastJob: { id: lastJobId, tick: lastJobTick, state: lastJobState } }
}

/** Where the order of due schedules puts one: without a next tick it is due at once. */
export const duePlace = 'coalesce(schedules.next_tick, 0)'

/** Active schedules in the order of their ticks. */
export const selectDue = `
  SELECT ${scheduleColumns}, ${unended}
  FROM schedules WHERE ${scheduleHasTag('ticking')}`

/** The columns to select from `schedule_events` for a `ScheduleHistoryRow`. */
export const scheduleEventColumns = `seq, event, from_state AS "from", to_state AS "to", at, tick, job_id AS "jobId",
  (SELECT state FROM jobs WHERE jobs.id = schedule_events.job_id) AS "jobState", details`

/** Characters of schedules after which a page of them ends, so that large payloads do not fill the memory. */
const lengthMax = 4_194_304

/** The first of the rows that fit on a page: at least one. */
export function withinLength<Row extends { readonly spec: string }>(rows: Iterable<Row>): Row[] {
  const kept: Row[] = []
  let length = 0
  for (const row of rows) {
    kept.push(row)
    length += row.spec.length
    if (length > lengthMax) break
  }
  return kept
}

/** A page of at most `limit`, of rows that were read to one more than that. */
export function toPage(rows: Iterable<EntryColumns>, limit: number): SchedulePage {
  const schedules: ScheduleEntry[] = []
  let length = 0
  for (const row of rows) {
    if (schedules.length === limit || length > lengthMax) return { schedules, next: schedules.at(-1)!.name }
    schedules.push(toEntry(row))
    length += row.spec.length
  }
  return { schedules, next: null }
}
