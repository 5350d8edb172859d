import { canonicalJson } from '../../job/canonical-json.ts'
import type { ScheduleEntry, ScheduleHistoryRow } from '../../persistence/store.ts'
import type { Schedule } from '../../schedule/fields.ts'
import type { ScheduleDetails, ScheduleHistoryEvent, ScheduleInfo } from './schedules.ts'

/** A schedule as it is stored: the same text for the same schedule, however it was written. */
export function specOf(schedule: Schedule): string {
  return canonicalJson(JSON.parse(JSON.stringify(schedule)))
}

/** A stored schedule as readers see it. One that cannot be read has no timing and no job. */
export function toScheduleInfo({
  spec,
  id: _,
  since: __,
  tzVersion: ___,
  unended: ____,
  lastTick: _____,
  ...row
}: ScheduleEntry): ScheduleInfo {
  const { timing, job, missed, jitterMs } = parse(spec)
  return { ...row, ...timing, job, missed, jitterMs }
}

/** The fields of which two stored schedules differ. */
export function changedFields(before: string, after: string): string[] {
  const [old, given] = [flat(parse(before)), flat(parse(after))]
  return [...new Set([...Object.keys(old), ...Object.keys(given)])].filter((field) => old[field] !== given[field])
}

function flat({ timing, ...others }: Schedule): Record<string, string> {
  const fields = Object.entries({ ...timing, ...others })
  return Object.fromEntries(fields.map(([field, value]) => [field, JSON.stringify(value)]))
}

const unreadable: Schedule = {
  name: '',
  timing: { cron: null, everyMs: null, zone: 'UTC', startsAt: null, endsAt: null },
  job: { type: '', payload: null },
  overlap: 'allow',
  missed: 'one',
  jitterMs: 0,
}

function parse(spec: string): Schedule {
  try {
    return { ...unreadable, ...(JSON.parse(spec) as Schedule) }
  } catch {
    return unreadable
  }
}

export function toHistoryEvent({ details, ...row }: ScheduleHistoryRow): ScheduleHistoryEvent {
  return { ...row, ...(details === null ? {} : (JSON.parse(details) as ScheduleDetails)) }
}
