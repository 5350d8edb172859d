import { z } from 'zod'
import { InvalidInputError } from '../errors.ts'
import { edgesOn, jobStates } from '../machines/edges.ts'
import { type Command, commands } from '../machines/events.ts'
import type { JobState } from '../machines/job.ts'
import { instantMax, instantText, name } from './fields.ts'
import { issuesOf } from './input-issues.ts'

/** Which jobs to list; without filters, all jobs. */
export interface JobFilter {
  readonly state?: JobState
  readonly type?: string
  readonly queue?: string
  /**
   * 1 to 200 characters that occur in the JSON of the payload or of the last error, as written or with the escapes of JSON. ASCII letters
   * match in either case.
   */
  readonly text?: string
  /** Epoch ms: created then or later. */
  readonly createdFrom?: number
  /** Epoch ms: created before. A time range may miss jobs that were stored while the clock was set back by more than ten minutes. */
  readonly createdTo?: number
  /** 1 to 500, 50 by default. */
  readonly limit?: number
  /** `nextCursor` of the previous page. */
  readonly cursor?: string
}

/** Which jobs a bulk action is for. Without `state`: jobs in any state that allows the command. */
export type BulkFilter = Omit<JobFilter, 'limit' | 'cursor'>

/** Characters of a search text. */
const textMax = 200

const takesText = `must be 1 to ${textMax} characters`
const takesInstant = 'must be epoch ms, to the year 9999'

const fields = {
  state: z
    .enum(jobStates, `must be one of: ${jobStates.join(', ')}`)
    .exactOptional()
    .describe('Only jobs in this state.'),
  type: name.exactOptional().describe('Only jobs of this type.'),
  queue: name.exactOptional().describe('Only jobs in this queue.'),
  text: z
    .string(takesText)
    .regex(new RegExp(`^[\\s\\S]{1,${textMax}}$`, 'u'), takesText)
    .exactOptional()
    .describe('Text that occurs in the JSON of the payload or of the last error; ASCII letters match in either case.'),
}
const instant = z.int(takesInstant).min(-instantMax, takesInstant).max(instantMax, takesInstant)
const librarySchema = z.strictObject(
  { ...fields, createdFrom: instant.exactOptional(), createdTo: instant.exactOptional() },
  'must be a filter',
)

/** The filters of a list, as HTTP writes them in a query or in JSON. */
export const filterFields = {
  ...fields,
  created_from: instantText.exactOptional().describe('Created then or later.'),
  created_to: instantText.exactOptional().describe('Created before.'),
}

/** The same filters as the library accepts them. */
export function fromWire<Given extends { readonly created_from?: number; readonly created_to?: number }>({
  created_from,
  created_to,
  ...same
}: Given) {
  return {
    ...same,
    ...(created_from === undefined ? {} : { createdFrom: created_from }),
    ...(created_to === undefined ? {} : { createdTo: created_to }),
  }
}

/** Checks a filter as the library accepts it; undefined members filter nothing. Throws `InvalidInputError`. */
export function parseFilter(input: BulkFilter): BulkFilter {
  const parsed = librarySchema.safeParse(isObject(input) ? withoutUndefined(input) : input)
  if (!parsed.success) throw new InvalidInputError(issuesOf(parsed.error, Object.keys(librarySchema.shape)))
  return parsed.data
}

/** Checks that it is a command, and that the machine allows it in the filter's state. Throws `InvalidInputError`. */
export function assertTaken(command: Command, { state }: BulkFilter): void {
  if (!commands.includes(command)) {
    throw new InvalidInputError([{ path: 'command', message: `must be one of: ${commands.join(', ')}` }])
  }
  const states = [...new Set(edgesOn(command).map(({ from }) => from))]
  if (state === undefined || states.includes(state)) return
  const message = `a ${state} job does not allow ${command}; those in ${states.join(', ')} do`
  throw new InvalidInputError([{ path: 'state', message }])
}

function isObject(input: unknown): input is object {
  return typeof input === 'object' && input !== null && !Array.isArray(input)
}

function withoutUndefined(input: object) {
  return Object.fromEntries(Object.entries(input).filter(([, value]) => value !== undefined))
}
