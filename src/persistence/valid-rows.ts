import { instantMax, snakeCase, storedFields } from '../job/fields.ts'
import { unreadable } from '../job/row.ts'
import { eventTypes, hasTag, jobStates } from '../machines/edges.ts'
import type { JobState } from '../machines/job.ts'
import type { HistoryEvent, JobRow, StoredError } from './store.ts'

type Check = (value: unknown) => boolean

/** What a member of a row must be, and what readers get if it is something else. */
type Members<Row> = { readonly [Name in keyof Row]?: readonly [isValid: Check, otherwise: Row[Name]] }

const isText: Check = (value) => typeof value === 'string'
const isCount: Check = (value) => Number.isSafeInteger(value) && (value as number) >= 0
const isInstant: Check = (value) => Number.isSafeInteger(value) && Math.abs(value as number) <= instantMax
const isState: Check = (value) => jobStates.includes(value as JobState)
const orNull =
  (is: Check): Check =>
  (value) =>
    value === null || is(value)

/** Like a dead letter, a job in a state that does not exist does not run until a person has done something. */
const otherState = jobStates.find((state) => hasTag(state, 'ended') && !hasTag(state, 'expendable'))!

const jobMembers: Members<JobRow> = {
  ...Object.fromEntries(
    storedFields.map(([name, { read, unset, isJson }]) => [
      name,
      isJson ? [isText, JSON.stringify(unset)] : [(value: unknown) => read.safeParse(value).success, unset],
    ]),
  ),
  state: [isState, otherState],
  // It stays empty: whoever parses it notices, as with an invalid payload.
  payload: [isText, ''],
  attempt: [isCount, 0],
  maxAttempts: [isCount, 1],
  crashes: [isCount, 0],
  idempotencyKey: [orNull(isText), null],
  uniqueKey: [orNull(isText), null],
  runAt: [isInstant, 0],
  createdAt: [isInstant, 0],
  startedAt: [orNull(isInstant), null],
  finishedAt: [orNull(isInstant), null],
}

const eventMembers: Members<HistoryEvent> = {
  seq: [isCount, 0],
  from: [orNull(isState), null],
  to: [isState, otherState],
  attempt: [isCount, 0],
  at: [isInstant, 0],
}

/**
 * A row whose unreadable values are replaced, with the reason in its `error`. No later use of it fails, and each reader sees what is wrong.
 */
export function validJob<Row extends object>(row: Row & { readonly error: string | null }) {
  return validRow(row, jobMembers)
}

/** The same of an event; undefined if it is none that there is. */
export function validEvent<Row extends { readonly event: unknown; readonly error: string | null }>(row: Row) {
  return eventTypes.some((type) => type === row.event) ? validRow(row, eventMembers) : undefined
}

/** Whether all of it can be read. */
export function isEvent(row: Partial<HistoryEvent>): boolean {
  return eventTypes.includes(row.event!) && Object.keys(invalidMembers(row, eventMembers)).length === 0
}

/** What of a row cannot be read, as a clause; null if all can. */
export function unreadableColumns(row: object): string | null {
  return describeFaults(Object.keys(invalidMembers(row, jobMembers)))
}

function validRow<Row extends { readonly error: string | null }>(row: Row, members: Members<object>) {
  const instead = invalidMembers(row, members)
  const names = Object.keys(instead)
  const error = parseError(row.error)
  if (names.length === 0 && error !== undefined) return { ...row, error }
  const fault = describeFaults(error === undefined ? [...names, 'error'] : names)!
  return { ...row, ...instead, error: unreadable(fault) }
}

function invalidMembers(row: object, members: Members<object>): Record<string, unknown> {
  const instead: Record<string, unknown> = {}
  for (const [name, value] of Object.entries(row)) {
    const [isValid, otherwise] = (members as Members<Record<string, unknown>>)[name] ?? []
    if (isValid && !isValid(value)) instead[name] = otherwise
  }
  return instead
}

function describeFaults(names: readonly string[]): string | null {
  return names.length === 0 ? null : `its ${names.map(snakeCase).join(', ')} cannot be read`
}

/** Undefined if it is none. */
function parseError(text: string | null): StoredError | null | undefined {
  if (text === null) return null
  try {
    const error = JSON.parse(text)
    return isText(error?.name) && isText(error.message) ? error : undefined
  } catch {
    return undefined
  }
}
