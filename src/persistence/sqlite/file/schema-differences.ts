import type Database from 'better-sqlite3'
import { migrations } from '../schema.ts'
import { openKept } from './kept.ts'

/**
 * What a file of schema `version` lacks, or has in another form, of the tables, indexes, triggers and views that its migrations create;
 * additional ones are allowed.
 */
export function schemaDifferences(db: Database.Database, version: number): string[] {
  const found = objectsOf(db)
  return [...objectsMadeFor(version)].flatMap(([name, sql]) => {
    if (!found.has(name)) return [`the ${name} is missing`]
    return found.get(name) === sql ? [] : [`the ${name} is not as schema version ${version} has it`]
  })
}

const madeFor = new Map<number, ReadonlyMap<string, string>>()

/** The objects that the migrations up to a version create; computed once for each version. */
function objectsMadeFor(version: number): ReadonlyMap<string, string> {
  const known = madeFor.get(version)
  if (known) return known
  const model = openKept(':memory:')
  for (const migration of migrations.slice(0, version)) model.exec(migration)
  const made = objectsOf(model)
  model.close()
  madeFor.set(version, made)
  return made
}

/** The text of each object by its kind and name, without blanks and quotes, which ALTER TABLE changes. */
export function objectsOf(db: Database.Database): Map<string, string> {
  const rows = db
    .prepare(
      `SELECT type || ' ' || name, sql FROM sqlite_schema WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite%' ORDER BY 1`,
    )
    .raw()
    .all() as [string, string][]
  return new Map(
    rows.map(([name, sql]) => [
      name,
      sql
        .replaceAll('"', '')
        .replace(/\s+/g, ' ')
        .replace(/ ?([(),]) ?/g, '$1'),
    ]),
  )
}
