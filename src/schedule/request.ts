import type { z } from 'zod'
import { type InputIssue, InvalidInputError } from '../errors.ts'
import { didYouMean } from '../job/did-you-mean.ts'
import { fieldsNamed, type Naming, snakeCase } from '../job/fields.ts'
import { parseCron } from './cron.ts'
import { type NewSchedule, type Schedule, scheduleFields } from './fields.ts'
import { type Timing, ticksOf } from './ticks.ts'
import { zoneIssues } from './zone.ts'

type Given = Readonly<Record<string, unknown>>
/** Fields that were accepted, by their names in the library. */
type Values = { -readonly [Field in keyof NewSchedule]?: unknown }

/** Of a job, what its schedule decides. */
const setBySchedule: readonly string[] = ['runAt', 'delayMs', 'idempotencyKey']
/** The most unknown fields that one error lists. */
const unknownMax = 100

/**
 * Checks a caller's input and completes it. `checkJob` checks the job in the caller's names and throws as `toRow` does. Throws
 * `InvalidInputError` with every fault.
 */
export function parseSchedule(input: unknown, naming: Naming, checkJob: (job: unknown) => unknown): Schedule {
  if (typeof input !== 'object' || input === null || Array.isArray(input))
    throw new InvalidInputError([{ path: '', message: 'must be an object that describes one schedule' }])
  const given = input as Given
  const values: Values = {}
  const issues: InputIssue[] = []
  for (const [field, name, takes] of scheduleFields(naming)) {
    const { data, faults } = readField(field, name, given[name], takes)
    if (faults.length === 0) values[field] = data
    issues.push(...faults)
  }
  issues.push(...unknownIssues(given, naming))
  if (values.job !== undefined) issues.push(...jobIssues(values.job as Given, naming, checkJob))
  const timing = timingOf(values)
  issues.push(...timingIssues(given, timing, issues.length === 0, naming))
  if (issues.length > 0) throw new InvalidInputError(issues)
  return complete(values, timing, naming)
}

function readField(field: keyof NewSchedule, path: string, value: unknown, takes: z.ZodType) {
  if (value === undefined && (field === 'name' || field === 'job'))
    return { data: undefined, faults: [{ path, message: 'is required' }] }
  const { data, error } = takes.safeParse(value)
  if (error) return { data, faults: [{ path, message: error.issues[0]!.message }] }
  return { data, faults: value === undefined ? [] : textIssues(field, value, path) }
}

/** What is wrong with an expression or a zone. */
function textIssues(field: keyof NewSchedule, value: unknown, path: string): readonly InputIssue[] {
  if (field === 'zone') return zoneIssues(value, path)
  const cron = field === 'cron' ? parseCron(value, path) : []
  return Array.isArray(cron) ? cron : []
}

function timingOf({ cron, everyMs, zone, startsAt, endsAt }: Values): Timing {
  return {
    cron: typeof cron === 'string' ? cron.trim().replace(/\s+/g, ' ') : null,
    everyMs: (everyMs as number | undefined) ?? null,
    zone: (zone as string | undefined) ?? 'UTC',
    startsAt: (startsAt as number | undefined) ?? null,
    endsAt: (endsAt as number | undefined) ?? null,
  }
}

/** What is wrong with the fields of a timing together; looks for ticks only if each field by itself is right. */
function timingIssues(given: Given, timing: Timing, isWhole: boolean, naming: Naming): InputIssue[] {
  const every = written('everyMs', naming)
  const hasInterval = given[every] !== undefined
  if (given.cron === undefined && !hasInterval)
    return [{ path: 'cron', message: `is required, or ${every} for an interval` }]
  if (given.cron !== undefined && hasInterval)
    return [{ path: every, message: `set either cron or ${every}, not both` }]
  const { startsAt, endsAt } = timing
  if (startsAt === null || endsAt === null) return []
  const path = written('endsAt', naming)
  if (endsAt <= startsAt) return [{ path, message: `must be after ${written('startsAt', naming)}` }]
  if (!isWhole || ticksOf(timing, startsAt).next(startsAt - 1) !== null) return []
  return [{ path, message: `is before the first tick from ${written('startsAt', naming)} on` }]
}

function jobIssues(job: Given, naming: Naming, checkJob: (job: unknown) => unknown): InputIssue[] {
  const decided = setBySchedule.map((field) => written(field, naming)).filter((name) => job[name] !== undefined)
  if (decided.length > 0)
    return decided.map((name) => ({
      path: `job.${name}`,
      message: 'is decided by the schedule at each tick: leave it out',
    }))
  try {
    checkJob(job)
    return []
  } catch (error) {
    if (!(error instanceof InvalidInputError)) throw error
    return error.issues.map(({ path, message }) => ({ path: path === '' ? 'job' : `job.${path}`, message }))
  }
}

function unknownIssues(given: Given, naming: Naming): InputIssue[] {
  const known = scheduleFields(naming).map(([, name]) => name)
  const unknown = Object.keys(given).filter((name) => !known.includes(name))
  return unknown.slice(0, unknownMax).map((path) => {
    const hint = fieldsNamed[naming].has(path) ? `; it belongs in job: write job.${path}` : didYouMean(path, known)
    return { path, message: `is not a known field${hint}` }
  })
}

/** All values were accepted. */
function complete(values: Values, timing: Timing, naming: Naming): Schedule {
  const { name, overlap = 'allow', missed = 'one', jitterMs = 0 } = values as NewSchedule
  const job = Object.entries(values.job as Given).flatMap(([name, value]) => {
    const known = fieldsNamed[naming].get(name)!
    // Read here, because the members of `unique` have names in two ways too.
    return value === undefined ? [] : [[known.field, known.read(value)]]
  })
  return { name, timing, job: Object.fromEntries(job), overlap, missed, jitterMs }
}

function written(field: string, naming: Naming): string {
  return naming === 'camelCase' ? field : snakeCase(field)
}
