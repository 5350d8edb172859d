import type pg from 'pg'
import { DatabaseUnusableError } from '../../errors.ts'

/** What an error says that the server raised for lack of a right. */
export function isOfRights(error: unknown): boolean {
  return (error as { code?: string }).code === '42501'
}

interface Holder {
  readonly role: string
  readonly database: string
  readonly isThere: boolean
}

/** Says which rights the role of a connection lacks, and who can give them how. */
export async function toRightsError(
  client: pg.ClientBase,
  schema: string,
  error: Error,
): Promise<DatabaseUnusableError> {
  const { rows } = await client.query<Holder>(
    `SELECT quote_ident(current_user) AS role, quote_ident(current_database()) AS database, EXISTS (SELECT 1 FROM pg_namespace WHERE nspname = $1) AS "isThere"`,
    [schema],
  )
  const { role, database, isThere } = rows[0]!
  const advice = isThere
    ? `let its owner bring it up to date with "jobmachine migrate", and run: ${grants(schema, role)}`
    : `let a superuser, or the owner of the database ${database}, run: CREATE SCHEMA "${schema}" AUTHORIZATION ${role}`
  return new DatabaseUnusableError(`the role ${role} may not use the schema ${schema}: ${error.message}; ${advice}`, {
    cause: error,
  })
}

/** Rejects with `DatabaseUnusableError` if the role of a connection may not do all that a node does. */
export async function assertRights(client: pg.ClientBase, schema: string): Promise<void> {
  const { rows } = await client.query<{ lacking: string }>(lackingSql, [schema])
  if (rows[0]) throw await toRightsError(client, schema, new Error(`permission denied for ${rows[0].lacking}`))
}

function grants(schema: string, role: string): string {
  return [
    `GRANT USAGE ON SCHEMA "${schema}" TO ${role}`,
    `GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA "${schema}" TO ${role}`,
    `GRANT USAGE ON ALL SEQUENCES IN SCHEMA "${schema}" TO ${role}`,
  ].join('; ')
}

const may = (right: string) => `has_table_privilege(oid, '${right}')`
const lackingSql = `
  SELECT relname AS lacking FROM pg_class WHERE relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = $1)
    AND CASE WHEN relname = 'job_ids' THEN NOT has_sequence_privilege(oid, 'USAGE')
      WHEN relkind = 'r' THEN NOT (${['SELECT', 'INSERT', 'UPDATE', 'DELETE'].map(may).join(' AND ')}) ELSE false END
  ORDER BY relname LIMIT 1`
