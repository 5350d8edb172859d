/** A field of a job that is stored as given, in a column of its name. */
export interface StoredField {
  /** The stored default. */
  readonly unset: unknown
  /** Whether it is stored as JSON text. */
  readonly isJson?: true
  /** Whether readers can get a stored value that is not JSON. */
  isValid(value: unknown): boolean
  /** Its label on the job's page; left out if the page describes it in its own words. */
  readonly title?: string
}

const isText = (value: unknown) => typeof value === 'string'
const isInteger = (value: unknown) => Number.isSafeInteger(value)
const isPositive = (value: unknown) => isInteger(value) && (value as number) > 0

/**
 * The fields of `fields.ts` that are stored as given. They have their own file because the store's thread loads them, and the schemas of
 * requests would take more of its memory than all else.
 */
export const stored = {
  type: { unset: '', isValid: isText },
  queue: { unset: 'default', isValid: isText },
  priority: { unset: 0, isValid: isInteger, title: 'Priority' },
  timeoutMs: { unset: null, isValid: (value) => value === null || isPositive(value) },
} satisfies Readonly<Record<string, StoredField>>

export type StoredName = keyof typeof stored

/** The fields with a column, and what is stored of each. */
export const storedFields = Object.entries(stored) as readonly (readonly [name: StoredName, stored: StoredField])[]
export const storedNames = storedFields.map(([name]) => name)

/** The last instant with a year of four digits in ISO 8601. */
export const instantMax = Date.UTC(9999, 11, 31, 23, 59, 59, 999)

export const snakeCase = (camel: string) => camel.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
