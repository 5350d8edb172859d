import { z } from 'zod'
import {
  type ChartName,
  charts,
  filterFields,
  historyLimitMax,
  issuesOf,
  listLimitDefault,
  listLimitMax,
} from '../engine/front-door.ts'
import { type InputIssue, InvalidInputError } from '../errors.ts'

/** A whole number, as a query writes it: in digits alone. `byDefault`: what is taken where it is left out. */
export function whole(min: number, max: number, byDefault?: number) {
  const takes = `takes a whole number from ${min} to ${max}`
  const read = (text: unknown) => (typeof text === 'string' && /^[0-9]{1,16}$/.test(text) ? Number(text) : text)
  // On the number, not on what reads it: zod drops the default of a schema that transforms from its JSON Schema.
  const number = z.int(takes).min(min, takes).max(max, takes)
  return z.preprocess(read, byDefault === undefined ? number : number.meta({ default: byDefault })).exactOptional()
}

/** `GET /jobs` */
export const listQuery = z.strictObject({
  ...filterFields,
  limit: whole(1, listLimitMax, listLimitDefault).describe('Jobs on one page.'),
  cursor: z.string().exactOptional().describe('`next_cursor` of the page before.'),
})

/** `GET /jobs/:id/history` */
export const historyQuery = z.strictObject({
  after: whole(0, Number.MAX_SAFE_INTEGER, 0).describe('Only transitions after the one with this `seq`.'),
  limit: whole(1, historyLimitMax, historyLimitMax).describe('Transitions on one page.'),
})

/** `GET /events` */
export const eventsQuery = z.strictObject({
  state: filterFields.state.describe('Only transitions that lead to it.'),
  type: filterFields.type.describe('Only of jobs of it.'),
  queue: filterFields.queue.describe('Only of jobs in it.'),
  job_id: whole(1, Number.MAX_SAFE_INTEGER).describe('Only of this job.'),
})

/** Of what takes no parameters. */
export const noQuery = z.strictObject({})

/** `GET /jobs/:id/machine.svg` */
export const pathQuery = z.strictObject({
  at: whole(1, Number.MAX_SAFE_INTEGER).describe(
    'As it was after the transition with this `seq`; now where it is left out.',
  ),
})

const chartNames = Object.keys(charts) as ChartName[]

/** `GET /machine` and `/machine.svg` */
export const machineQuery = z.strictObject({
  of: z
    .enum(chartNames, `takes one of ${chartNames.join(', ')}`)
    .default('job')
    .describe('Which machine.'),
})

/** The parameters of a request, each known to the schema and given once; throws `InvalidInputError` with every fault. */
export function parseQuery<Schema extends z.ZodObject>(schema: Schema, query: URLSearchParams): z.output<Schema> {
  const known = Object.keys(schema.shape)
  const issues = [...new Set(query.keys())].flatMap((name): InputIssue[] => {
    if (!known.includes(name))
      return [{ path: name, message: `is not a known parameter; there are ${known.join(', ') || 'none'}` }]
    return query.getAll(name).length > 1 ? [{ path: name, message: 'is given twice' }] : []
  })
  if (issues.length > 0) throw new InvalidInputError(issues)
  const parsed = schema.safeParse(Object.fromEntries(query))
  if (parsed.success) return parsed.data
  // One for each: a number out of its range may also be none that is safe.
  const faults = new Map(parsed.error.issues.map(({ path, message }) => [path.join('.'), message]))
  throw new InvalidInputError([...faults].map(([path, message]) => ({ path, message })))
}

/** A body of an object; throws `InvalidInputError` with every fault. */
export function parseBody<Schema extends z.ZodObject>(schema: Schema, body: unknown): z.output<Schema> {
  const parsed = schema.safeParse(body)
  if (parsed.success) return parsed.data
  throw new InvalidInputError(issuesOf(parsed.error))
}
