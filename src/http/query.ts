import { z } from 'zod'
import { InvalidInputError } from '../errors.ts'
import { didYouMean } from '../job/did-you-mean.ts'

/** An integer as a query writes it: only digits. `byDefault`: the value if it is left out. */
export function whole(min: number, max: number, byDefault?: number) {
  const takes = `must be a whole number from ${min} to ${max}`
  const read = (text: unknown) => (typeof text === 'string' && /^[0-9]{1,16}$/.test(text) ? Number(text) : text)
  // On the number, not on the schema that reads it, because zod drops the default of a transforming schema from its JSON Schema.
  const number = z.int(takes).min(min, takes).max(max, takes)
  return z.preprocess(read, byDefault === undefined ? number : number.meta({ default: byDefault })).exactOptional()
}

/** The query of a picture of a job's path. */
export const pathQuery = z.strictObject({
  at: whole(1, Number.MAX_SAFE_INTEGER).describe(
    'As it was after the transition with this `seq`; if it is left out, as it is now.',
  ),
})

/** The parameters of a request, each known to the schema and given once. Throws `InvalidInputError` with every fault. */
export function parseQuery<Schema extends z.ZodObject>(schema: Schema, query: URLSearchParams): z.output<Schema> {
  const known = Object.keys(schema.shape)
  const parsed = schema.safeParse(Object.fromEntries([...query].filter(([name]) => known.includes(name))))
  // One fault for each parameter, although a number out of range may also be unsafe.
  const faults = new Map(parsed.error?.issues.map(({ path, message }) => [path.join('.'), message]))
  for (const name of query.keys()) {
    if (!known.includes(name))
      faults.set(
        name,
        `is not a known parameter${didYouMean(name, known) || `; known are ${known.join(', ') || 'none'}`}`,
      )
    else if (query.getAll(name).length > 1) faults.set(name, 'is given twice')
  }
  if (parsed.success && faults.size === 0) return parsed.data
  throw new InvalidInputError([...faults].map(([path, message]) => ({ path, message })))
}
