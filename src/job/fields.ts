import { isDate } from 'node:util/types'
import { z } from 'zod'
import { defaultMaxRetries, defaults, namePattern, retriesMax, timeoutMaxMs } from '../config.ts'
import { payloadDepthMax } from './payload.ts'
import { type Unique, uniqueField } from './unique.ts'
import { delayMaxMs, keyText, wholeNumber } from './value-schemas.ts'

/** The defaults of a job that does not set its queue or its priority. */
const defaultQueue = 'default'
const defaultPriority = 0

/** How a front door writes field names: `maxRetries` in the library, `max_retries` over HTTP. */
export type Naming = 'camelCase' | 'snake_case'

/** A job to enqueue, as the library accepts it. A delay of zero, or an instant in the past, means now. */
export interface NewJob {
  readonly type: string
  /**
   * Any JSON value, at most 64 levels deep and with at most `maxPayloadValues` members and elements. The handler's schema checks it as it
   * will be stored: undefined members are left out, −0 becomes 0, and a Date or anything else with a `toJSON` becomes its result. Values
   * that JSON cannot represent are rejected, with their path.
   */
  readonly payload: unknown
  /** `default` by default. */
  readonly queue?: string
  /** −100 to 100, higher first within its queue; 0 by default. */
  readonly priority?: number
  /** Retries after the first attempt, 0 to 1,000; the handler's, else 3, by default. */
  readonly maxRetries?: number
  /** 1 to 255 printable characters. Only one job of the database has a given key, for as long as that job is kept. */
  readonly idempotencyKey?: string
  /** Makes it the only job of its type with a key, for as long as it holds that. */
  readonly unique?: Unique
  /** If a dead job has the key, whatever its content: cancels it, and its key goes to this one, in one commit. */
  readonly replaceDead?: boolean
  /** The earliest time to run: epoch ms, a Date, or RFC 3339 with an offset. */
  readonly runAt?: number | Date | string
  /** The same as a delay in ms from `createdAt`, the time at which the job is stored. */
  readonly delayMs?: number
  /** Limit for one attempt, 1 to 86,400,000 ms; the handler's, else the settings', by default. */
  readonly timeoutMs?: number
}

/** The fields of a job that may be changed while it waits. */
export type MutableName = 'payload' | 'priority' | 'maxRetries' | 'runAt' | 'delayMs'

const priorityMax = 100
/** The last instant with a year of four digits in ISO 8601. */
export const instantMax = Date.UTC(9999, 11, 31, 23, 59, 59, 999)

const nameTakes = 'must be 1 to 64 letters, digits and . _ : - and begin with a letter or digit'
/** What the name of a type or a queue must match, in filters too, since no other name can exist. */
export const name = z.string(nameTakes).regex(namePattern, nameTakes)
const instantTakes = 'must be an RFC 3339 instant with an offset, such as 2030-01-31T09:30:00Z, to the year 9999'
export const instantText = z.iso
  .datetime({ offset: true, error: instantTakes })
  .meta({ examples: ['2030-01-31T09:30:00Z'] })
  .transform((text) => Date.parse(text))
  .refine((ms) => ms <= instantMax, instantTakes)
const valueTakes = 'must be epoch ms, a Date or RFC 3339 text with an offset, to the year 9999'
/** A Date of any realm. */
const date = z.custom<Date>(isDate).transform((given) => given.getTime())
const instantValue = z
  .union([date, z.number()])
  .refine((ms) => Number.isSafeInteger(ms) && Math.abs(ms) <= instantMax, valueTakes)

/** A field of a job that a caller may set. */
interface Field {
  /** The values that it accepts. Its description, default and examples are those of the HTTP API. */
  readonly takes: z.ZodType
  /** The same in JSON, if that differs. */
  readonly inJson?: z.ZodType
  /** Set if it is stored as given, in a column of its name. */
  readonly stored?: Stored
}

interface Stored {
  /** The stored default. */
  readonly unset: unknown
  /** Whether it is stored as JSON text. */
  readonly isJson?: true
  /** The type that readers get. */
  readonly read: z.ZodType
  /** Its label on the job's page; left out if the page describes it in its own words. */
  readonly title?: string
}

/**
 * Every field that a caller may set, in the order in which errors list them. Requests, rows, columns, batches, answers, pages and the API
 * description are derived from it. `NewJob` documents what each means to callers.
 */
export const fields = {
  type: {
    takes: name.meta({ description: 'The name of the handler that runs it: 1 to 64 letters, digits and `. _ : -`.' }),
    stored: { unset: '', read: z.string() },
  },
  payload: {
    takes: z.unknown().meta({
      description: `Any JSON value, at most ${payloadDepthMax} levels deep and with at most ${defaults.maxPayloadValues} members and elements in all unless the server sets another limit, checked by the type's handler before it is stored. Numbers are doubles.`,
    }),
  },
  queue: {
    takes: name.optional().meta({
      description: 'A name as for `type`. Queues take turns, whatever their names and lengths.',
      default: defaultQueue,
      examples: ['mail'],
    }),
    stored: { unset: defaultQueue, read: z.string() },
  },
  priority: {
    takes: wholeNumber(-priorityMax, priorityMax)
      .optional()
      .meta({ description: 'Higher runs first within its queue.', default: defaultPriority }),
    stored: { unset: defaultPriority, read: z.int(), title: 'Priority' },
  },
  maxRetries: {
    takes: wholeNumber(0, retriesMax)
      .optional()
      .meta({
        description: `Retries after the first attempt. By default the handler's own number (27 for email), otherwise ${defaultMaxRetries}.`,
      }),
  },
  idempotencyKey: {
    takes: keyText.optional().meta({
      description:
        '1 to 255 printable characters. Only one job of the database has a given key, for as long as that job is kept: the same request again is answered with that job, a different one with 409.',
      examples: ['order-4711-receipt'],
    }),
  },
  replaceDead: {
    takes: z.boolean('must be true or false').optional().meta({
      description:
        'If a dead job has the idempotency key, whatever its content, cancel it and give its key to this one, in one commit. Without it, or if it is false, the answer is the dead job.',
      default: false,
    }),
  },
  unique: uniqueField,
  delayMs: {
    takes: wholeNumber(0, delayMaxMs)
      .optional()
      .meta({ description: 'The delay before it may run, in ms from its commit.', default: 0, examples: [60_000] }),
  },
  timeoutMs: {
    takes: wholeNumber(1, timeoutMaxMs)
      .optional()
      .meta({
        description: "Limit for one attempt, in ms. By default the handler's, otherwise the server's.",
        examples: [30_000],
      }),
    stored: { unset: null, read: z.int().min(1).nullable() },
  },
  runAt: {
    takes: z.union([instantText, instantValue], valueTakes).optional(),
    inJson: instantText
      .optional()
      .describe(
        'The earliest time to run: RFC 3339 with an offset, to the year 9999; the past means now. Not together with `delay_ms`.',
      ),
  },
} satisfies Readonly<Record<keyof NewJob, Field>>

export type StoredName = {
  [Name in keyof NewJob]-?: (typeof fields)[Name] extends { stored: Stored } ? Name : never
}[keyof NewJob]

export const snakeCase = (camel: string) => camel.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)

const fieldNames = Object.keys(fields) as readonly (keyof NewJob)[]

/** The fields with a column, and what is stored of each. */
export const storedFields: readonly (readonly [name: StoredName, stored: Stored])[] = fieldNames.flatMap((name) => {
  const { stored }: Field = fields[name]
  return stored ? [[name as StoredName, stored] as const] : []
})
export const storedNames = storedFields.map(([name]) => name)

/** A field by one of its names. */
export class NamedField {
  readonly field: keyof NewJob
  readonly takes: z.ZodType
  /** As in `fields`; undefined if it is not stored as given. */
  readonly stored: Stored | undefined
  /** The last text or number that was accepted unchanged: most jobs have that of the job before, and the schema takes 0.1 µs. */
  #last: unknown

  constructor(field: keyof NewJob, { takes, stored }: Field) {
    this.field = field
    this.takes = takes
    this.stored = stored
  }

  /** What the field makes of a value that was given; undefined if it does not accept it. */
  read(value: unknown): unknown {
    if (value === this.#last) return value
    const { data } = this.takes.safeParse(value)
    if (data === value && typeof value !== 'object') this.#last = value
    return data
  }

  /** Why it does not accept a value, and below the field where: one fault, although a number out of range may also be unsafe. */
  faultOf(value: unknown): { readonly message: string; readonly below: string } {
    const { message, path } = this.takes.safeParse(value).error!.issues[0]!
    return { message, below: path.map((member) => `.${String(member)}`).join('') }
  }
}

/** The fields by the names that callers use, in their order. */
export const fieldsNamed: Readonly<Record<Naming, ReadonlyMap<string, NamedField>>> = {
  camelCase: new Map(fieldNames.map((field) => [field, new NamedField(field, fields[field])])),
  snake_case: new Map(
    fieldNames.map((field) => {
      const { inJson, ...about }: Field = fields[field]
      return [snakeCase(field), new NamedField(field, { ...about, takes: inJson ?? about.takes })]
    }),
  ),
}

/** Describes one job as HTTP accepts it. Whether its payload can be stored is checked separately. */
export const newJobSchema: z.ZodType = z
  .strictObject(Object.fromEntries([...fieldsNamed.snake_case].map(([name, { takes }]) => [name, takes])))
  .meta({ not: { required: ['run_at', 'delay_ms'] } })

/** What HTTP accepts to change a job. */
export const mutableFields: Readonly<Record<string, z.ZodType>> = Object.fromEntries(
  (['payload', 'priority', 'maxRetries', 'runAt', 'delayMs'] as const satisfies readonly MutableName[]).map((field) => {
    const name = snakeCase(field)
    return [name, fieldsNamed.snake_case.get(name)!.takes.optional()]
  }),
)
