import { createHash } from 'node:crypto'
import type { ScheduleInfo } from '../../../engine/front-door.ts'
import type { InputIssue } from '../../../errors.ts'
import { scheduledJobView } from '../../routes/schedules.ts'
import { visibleJson } from './text.tsx'

/** The fields of the form, in its order. */
const scheduleFieldNames = [
  ...(['name', 'cron', 'every', 'every_unit', 'zone', 'starts_at', 'ends_at'] as const),
  ...(['type', 'payload', 'queue', 'priority', 'max_retries', 'timeout_ms', 'more'] as const),
  ...(['overlap', 'missed', 'jitter_ms'] as const),
]
export type ScheduleFieldName = (typeof scheduleFieldNames)[number]

/** The units of an interval, in ms. */
export const intervalUnits = { ms: 1, seconds: 1_000, minutes: 60_000, hours: 3_600_000, days: 86_400_000 } as const

/** The fields of the job that have one of their own in the form. */
const jobFields = ['type', 'payload', 'queue', 'priority', 'max_retries', 'timeout_ms'] as const

/** A schedule as its form has it: text, empty if unset; instants in UTC, in the format of the browser's field. */
export class ScheduleFields {
  readonly all: Readonly<Record<ScheduleFieldName, string>>

  constructor(given: { readonly get: (name: ScheduleFieldName) => string | null | undefined }) {
    const entries = scheduleFieldNames.map((name) => [name, (given.get(name) ?? '').trim()])
    this.all = Object.fromEntries(entries) as Record<ScheduleFieldName, string>
  }

  /** Those of a new schedule. */
  static empty(): ScheduleFields {
    const given = new Map<ScheduleFieldName, string>([
      ...([['every_unit', 'minutes'] as const, ['zone', 'UTC'] as const, ['payload', '{}'] as const] as const),
      ...([['overlap', 'allow'] as const, ['missed', 'one'] as const] as const),
    ])
    return new ScheduleFields(given)
  }

  /** Those of a stored schedule. */
  static of({ job, everyMs, ...schedule }: ScheduleInfo): ScheduleFields {
    const ofJob = Object.entries(scheduledJobView(job))
    const more = ofJob.filter(([field]) => !jobFields.some((own) => own === field))
    const interval = toInterval(everyMs)
    const given: Partial<Record<ScheduleFieldName, unknown>> = {
      ...schedule,
      ...Object.fromEntries(ofJob),
      every: interval?.count,
      every_unit: interval?.unit ?? 'minutes',
      starts_at: toField(schedule.startsAt),
      ends_at: toField(schedule.endsAt),
      jitter_ms: schedule.jitterMs,
      payload: visibleJson(job.payload),
      more: more.length === 0 ? '' : visibleJson(Object.fromEntries(more)),
    }
    return new ScheduleFields({ get: (name) => `${given[name] ?? ''}` })
  }

  /** Another one for other fields. */
  get fingerprint(): string {
    return createHash('sha256').update(JSON.stringify(this.all)).digest('base64url')
  }

  /** The body for `submit`. Faults are those that only a form can have, with the body's paths; the system finds the rest. */
  toBody(): { readonly body: Record<string, unknown>; readonly faults: readonly InputIssue[] } {
    const { every, every_unit: unit, starts_at, ends_at, name, cron, zone, overlap, missed } = this.all
    const faults: InputIssue[] = []
    const more = this.#json('more', faults) ?? {}
    const isObject = typeof more === 'object' && more !== null && !Array.isArray(more)
    if (!isObject)
      faults.push({ path: 'job.more', message: 'must be an object, such as {"unique": {"key": "nightly"}}' })
    const { type, queue } = this.all
    const job = {
      ...(isObject && more),
      ...given({ type, queue }),
      ...this.#numbers('priority', 'max_retries', 'timeout_ms'),
      payload: this.#json('payload', faults),
    }
    const body = {
      ...given({ name, cron, zone, overlap, missed }),
      ...this.#numbers('jitter_ms'),
      ...given({ every_ms: toMs(every, unit), starts_at: toInstant(starts_at), ends_at: toInstant(ends_at) }),
      job,
    }
    return { body, faults }
  }

  #json(field: 'payload' | 'more', faults: InputIssue[]): unknown {
    const text = this.all[field]
    if (text === '') return undefined
    try {
      return JSON.parse(text)
    } catch (error) {
      faults.push({ path: `job.${field}`, message: `must be JSON: ${(error as Error).message}` })
      return undefined
    }
  }

  #numbers(...names: readonly ScheduleFieldName[]): Record<string, unknown> {
    return Object.fromEntries(
      names.flatMap((name) => (this.all[name] === '' ? [] : [[name, toNumber(this.all[name])]])),
    )
  }
}

/** The field that a path of the body belongs to, and what of the path the field's label does not say; null: none. */
export function fieldOfPath(path: string): { readonly field: ScheduleFieldName; readonly within: string } | null {
  const [first = '', second = '', ...rest] = path.split('.')
  if (first === 'every_ms') return { field: 'every', within: '' }
  if (first !== 'job') {
    const field = scheduleFieldNames.find((name) => name === first)
    return field ? { field, within: '' } : null
  }
  if (second === '') return null
  const own = jobFields.find((field) => second === field || second.startsWith(`${field}[`))
  if (!own) return { field: 'more', within: second === 'more' ? '' : [second, ...rest].join('.') }
  return { field: own, within: [second.slice(own.length), ...rest].filter((part) => part !== '').join('.') }
}

function given(fields: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== ''))
}

/** What is not a number stays as it is, and the system says what it must be. */
function toNumber(text: string): unknown {
  return Number.isNaN(Number(text)) ? text : Number(text)
}

function toMs(count: string, unit: string): unknown {
  const number = toNumber(count)
  if (count === '' || typeof number !== 'number') return count
  const ms =
    number * (Object.hasOwn(intervalUnits, unit) ? intervalUnits[unit as keyof typeof intervalUnits] : Number.NaN)
  // 1.1 minutes are 66,000 ms, not 66,000.00000000001.
  return Math.round(ms * 1_000) / 1_000
}

function toInterval(ms: number | null): { readonly count: number; readonly unit: string } | null {
  if (ms === null) return null
  const [unit, per] = Object.entries(intervalUnits).findLast(([, per]) => ms % per === 0)!
  return { count: ms / per, unit }
}

function toInstant(text: string): string {
  const at = Date.parse(`${text}Z`)
  return Number.isNaN(at) ? text : new Date(at).toISOString()
}

function toField(at: number | null): string {
  return at === null
    ? ''
    : new Date(at)
        .toISOString()
        .slice(0, -1)
        .replace(/\.000$/, '')
}
