import { InvalidInputError, LeaseLostError } from '../../../errors.ts'
import type { TransactionClient } from '../../../job/client.ts'
import { inTransaction } from '../functions.ts'
import type { Reads } from '../reads.ts'

/** Where a connection leads: two with equal texts are connected to one database of one server that runs. */
const placeSql = `json_build_object('server', pg_postmaster_start_time(), 'database', (SELECT oid FROM pg_database WHERE datname = current_database()))`

/** What a client may do there; a null if the schema is not there. */
const rightsSql = `
  SELECT json_build_object('place', ${placeSql}, 'database', current_database(), 'role', current_user,
    'maySee', has_schema_privilege(pg_namespace.oid, 'USAGE'),
    'mayCall', (SELECT bool_and(has_function_privilege(pg_proc.oid, 'EXECUTE')) FROM pg_proc
      WHERE pronamespace = pg_namespace.oid AND proname IN (${Object.values(inTransaction).map(({ name }) => `'${name}'`)}))) AS answer
  FROM (SELECT $1::text AS name) AS asked LEFT JOIN pg_namespace ON nspname = name`

interface Rights {
  readonly place: unknown
  readonly database: string
  readonly role: string
  readonly maySee: boolean | null
  readonly mayCall: boolean | null
}

/** Calls the functions for transactions on clients of users. */
export class Clients {
  readonly #reads: Reads
  readonly #schema: string
  /** Connections are made to one place for good; those of a library may be wrapped anew for each transaction. */
  readonly #known = new WeakSet<object>()

  constructor(reads: Reads, schema: string) {
    this.#reads = reads
    this.#schema = schema
  }

  /** Rejects with `InvalidInputError` if it is not a client, is not connected to the database of this system, or may not use the schema. */
  async check(given: unknown): Promise<TransactionClient> {
    const client = toClient(given)
    if (this.#known.has(client)) return client
    const own = this.#reads.one<{ answer: unknown }>(`SELECT ${placeSql} AS answer`)
    own.catch(() => {})
    const rights = (await ask(client, rightsSql, this.#schema)) as Rights
    const fault = faultOf(rights, (await own)!.answer, this.#schema)
    if (fault) throw clientError(fault)
    this.#known.add(client)
    return client
  }

  /**
   * Calls one of the functions. Rejects with `LeaseLostError` if it says so, with `InvalidInputError` if it was not in one transaction with
   * the call before, or that is older than the attempt, else with the error of the client.
   */
  async call(client: TransactionClient, name: keyof typeof inTransaction, request: object): Promise<unknown> {
    const sql = `SELECT "${this.#schema}".${inTransaction[name].name}($1::text) AS answer`
    const answer = await ask(client, sql, JSON.stringify(request)).catch((error) => {
      throw isLost(error) ? new LeaseLostError({ cause: error }) : error
    })
    assertInside(answer as { outcome?: string })
    return answer
  }
}

function assertInside({ outcome }: { readonly outcome?: string }): void {
  if (outcome === 'outside')
    throw clientError(
      'is not in a transaction: begin one on it, and pass the client that runs that transaction, not a pool or a client of its own',
    )
  if (outcome === 'began before')
    throw clientError('is in a transaction that began before this attempt: begin one in the handler')
}

function clientError(message: string): InvalidInputError {
  return new InvalidInputError([{ path: 'client', message }])
}

function toClient(given: unknown): TransactionClient {
  if (typeof (given as Partial<TransactionClient> | null)?.query === 'function') return given as TransactionClient
  const what = typeof given === 'object' && given !== null && 'prepare' in given ? 'this one is of SQLite' : ''
  throw clientError(
    `must be a client of pg, or an object whose query(text, values) runs a statement in your transaction${what && `; ${what}, and the jobs are on PostgreSQL`}`,
  )
}

function faultOf({ place, database, role, maySee, mayCall }: Rights, own: unknown, schema: string): string | null {
  if (JSON.stringify(place) !== JSON.stringify(own))
    return `is connected to the database ${database} of another server, or to another database than the jobs are in`
  if (maySee === null) return `does not find the schema ${schema} in its database`
  if (!maySee)
    return `has the role ${role}, which may not use the schema ${schema}: GRANT USAGE ON SCHEMA "${schema}" TO "${role}"`
  if (!mayCall)
    return `has the role ${role}, which may not call its functions: GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA "${schema}" TO "${role}"`
  return null
}

/** The one value of the one row. */
async function ask(client: TransactionClient, sql: string, value: string): Promise<unknown> {
  const result = await client.query(sql, [value])
  const rows = Array.isArray(result) ? result : (result as { rows?: unknown } | null)?.rows
  const answer = (rows as { answer?: unknown }[] | undefined)?.[0]?.answer
  if (answer === undefined) throw clientError('must resolve with the rows of a statement, or with { rows }')
  return typeof answer === 'string' ? JSON.parse(answer) : answer
}

/** Libraries wrap the errors of the server. */
function isLost(error: unknown): boolean {
  for (
    let at = error as { code?: unknown; message?: unknown; cause?: unknown } | null | undefined;
    at;
    at = at.cause as typeof at
  )
    if (at.code === 'JM002' || /JM002|jobmachine: the lease of job/.test(String(at.message))) return true
  return false
}
