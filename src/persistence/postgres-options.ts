import { Addresses } from './postgres/addresses.ts'

/** A database of PostgreSQL, and how to use it. */
export interface PostgresOptions {
  /** `postgres://user:password@host:port/database`; several servers as `host1:port1,host2:port2`. It must lead to the server itself, or to a pooler in session mode. */
  readonly connectionString: string
  /** The schema that holds the tables; it is created if it is missing. `jobmachine` unless given. */
  readonly schema?: string
  /** The most connections of this process, 3 to 100; 6 unless given. */
  readonly maxConnections?: number
}

/** What is used where nothing is said, and what may be. */
export const postgresDefaults = { schema: 'jobmachine', maxConnections: { byDefault: 6, min: 3, max: 100 } }

/** What an address and a schema must be. */
export const validPostgres = {
  address:
    'an address such as postgres://user:password@host:5432/app, in which special characters of the password are written as %23 and the like',
  schema: '1 to 63 lower-case letters, digits and _, that begins with no digit and not with pg_',
  schemaPattern: /^(?!pg_)[a-z_][a-z0-9_]{0,62}$/,
}

/** What is wrong with an address or options that are to name a database of PostgreSQL. An address is not repeated: it may have a password in it. */
export function postgresProblems(given: unknown): string[] {
  const options = typeof given === 'string' ? { connectionString: given } : given
  if (given === undefined) return ['is undefined: is the variable set that has its address, such as DATABASE_URL?']
  if (typeof options !== 'object' || options === null)
    return [`must be ${validPostgres.address}, or an object with connectionString`]
  const { connectionString, schema, maxConnections, ...others } = options as Partial<Record<string, unknown>>
  const { min, max } = postgresDefaults.maxConnections
  const isWhole =
    Number.isSafeInteger(maxConnections) && (maxConnections as number) >= min && (maxConnections as number) <= max
  return [
    ...(typeof connectionString === 'string' && isPostgresAddress(connectionString)
      ? []
      : [
          `has ${connectionString === undefined ? 'no connectionString' : 'an invalid connectionString'}; it must be ${validPostgres.address}`,
        ]),
    ...(schema === undefined || (typeof schema === 'string' && validPostgres.schemaPattern.test(schema))
      ? []
      : [`has a schema that is not ${validPostgres.schema}`]),
    ...(maxConnections === undefined || isWhole
      ? []
      : [`has a maxConnections that is not a whole number from ${min} to ${max}`]),
    ...Object.keys(others).map((name) => `has no option ${name}`),
  ]
}

/** The address without its password, and the schema. */
export function describeAddress({ connectionString, schema }: PostgresOptions): string {
  const address = connectionString.replace(/\?.*/s, '').replace(/^([a-z]+:\/\/).*@/is, '$1')
  return `${address}${schema === undefined ? '' : `, schema ${schema}`}`
}

/** As the driver reads it, which takes an address without a host. */
export function isPostgresAddress(text: string): boolean {
  if (!/^postgres(ql)?:\/\//i.test(text)) return false
  return new Addresses(text).all.every((each) => URL.canParse(each.replaceAll(' ', '%20').replace('@/', '@host/')))
}
