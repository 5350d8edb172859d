import { z } from 'zod'
import { jobStates, newJobSchema } from '../engine/front-door.ts'

/** The named parts of the API's description: each schema once, referenced by the others. */
export const components = z.registry<{ id: string }>()

export function named<Schema extends z.ZodType>(id: string, schema: Schema): Schema {
  components.add(schema, { id })
  return schema
}

/** A value of a schema, as the function beside the schema builds it. */
export type Wire<Schema extends z.ZodType> = Immutable<z.output<Schema>>
type Immutable<T> = T extends object ? { readonly [Key in keyof T]: Immutable<T[Key]> } : T

export const instant = z
  .string()
  .regex(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/)
  .meta({ format: 'date-time' })

/** An instant as every answer has it; null if it does not apply. */
export function instantOf<At extends number | null>(at: At): string | Extract<At, null> {
  return (at === null ? null : new Date(at).toISOString()) as string | Extract<At, null>
}

export const state = z.enum(jobStates)
export const count = z.int().min(0)

export const jobId = z.int().min(1).describe('Rising, and never used again.')

export const traceId = z
  .string()
  .nullable()
  .describe('The trace in which it was enqueued, to find it in a tracing tool; `null` if there was none.')

export const newJob = named('NewJob', newJobSchema)
