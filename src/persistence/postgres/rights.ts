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
  /** The tables to grant: all, or one by one if the schema has others besides. */
  readonly tables: string | null
}

/** Says which rights the role of a connection lacks, and who can give them how. */
export async function toRightsError(
  client: pg.ClientBase,
  schema: string,
  own: readonly string[],
  error: Error,
): Promise<DatabaseUnusableError> {
  const { rows } = await client.query<Holder>(holderSql, [schema, own])
  const { role, database, isThere, tables } = rows[0]!
  const advice = isThere
    ? `let its owner bring it up to date with "jobmachine migrate", and run: ${grants(schema, tables, role)}`
    : `let a superuser, or the owner of the database ${database}, run: CREATE SCHEMA "${schema}" AUTHORIZATION ${role}`
  return new DatabaseUnusableError(`the role ${role} may not use the schema ${schema}: ${error.message}; ${advice}`, {
    cause: error,
  })
}

/** Rejects with `DatabaseUnusableError` if the role of a connection may not do all that a node does. */
export async function assertRights(client: pg.ClientBase, schema: string, own: readonly string[]): Promise<void> {
  const { rows } = await client.query<{ lacking: string }>(lackingSql, [schema, own])
  if (rows[0]) throw await toRightsError(client, schema, own, new Error(`permission denied for ${rows[0].lacking}`))
}

function grants(schema: string, tables: string | null, role: string): string {
  return [
    `GRANT USAGE ON SCHEMA "${schema}" TO ${role}`,
    `GRANT SELECT, INSERT, UPDATE, DELETE ON ${tables ?? `ALL TABLES IN SCHEMA "${schema}"`} TO ${role}`,
    `GRANT USAGE ON SEQUENCE "${schema}".job_ids TO ${role}`,
  ].join('; ')
}

const holderSql = `
  SELECT quote_ident(current_user) AS role, quote_ident(current_database()) AS database, EXISTS (SELECT 1 FROM pg_namespace WHERE nspname = $1) AS "isThere",
    (SELECT string_agg(format('%I.%I', $1, relname), ', ' ORDER BY relname) FILTER (WHERE relname = ANY ($2)) FROM pg_class
      WHERE relkind IN ('r', 'v', 'm', 'p', 'f') AND relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = $1)
      HAVING NOT bool_and(relname = ANY ($2))) AS tables`
const may = (right: string) => `has_table_privilege(oid, '${right}')`
const lackingSql = `
  SELECT relname AS lacking FROM pg_class WHERE relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = $1)
    AND CASE WHEN relname = 'job_ids' THEN NOT has_sequence_privilege(oid, 'USAGE')
      WHEN relkind = 'r' AND relname = ANY ($2) THEN NOT (${['SELECT', 'INSERT', 'UPDATE', 'DELETE'].map(may).join(' AND ')}) ELSE false END
  ORDER BY relname LIMIT 1`
