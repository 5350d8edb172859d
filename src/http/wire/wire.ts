import { z } from 'zod'
import { jobStates } from '../../engine/front-door.ts'

/** What the API's description names: each schema once, the others refer to it. */
export const components = z.registry<{ id: string }>()

export function named<Schema extends z.ZodType>(id: string, schema: Schema): Schema {
  components.add(schema, { id })
  return schema
}

/** A value of a schema: what the function beside the schema makes. */
export type Wire<Schema extends z.ZodType> = Immutable<z.output<Schema>>
type Immutable<T> = T extends object ? { readonly [Key in keyof T]: Immutable<T[Key]> } : T

export const instant = z
  .string()
  .regex(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/)
  .meta({ format: 'date-time' })

/** An instant as every answer has it; null where it does not apply. */
export function instantOf(at: number): string
export function instantOf(at: number | null): string | null
export function instantOf(at: number | null): string | null {
  return at === null ? null : new Date(at).toISOString()
}

export const state = z.enum(jobStates)
export const count = z.int().min(0)

export const jobId = z.int().min(1).describe('Rising, and never used again.')
