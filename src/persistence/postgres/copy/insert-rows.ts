import type pg from 'pg'
import { arrayText } from '../array-text.ts'

/** The columns of a table that are written, and the value of each. */
export type Columns<Row> = Readonly<Record<string, (row: Row) => string | number | boolean | null>>

/** Rows of one statement: a job may have any number of transitions. */
const rowsMax = 20_000

/** Inserts rows; `more` is what follows in the statement, such as ON CONFLICT. */
export async function insertRows<Row>(
  client: pg.ClientBase,
  table: string,
  columns: Columns<Row>,
  rows: readonly Row[],
  more = '',
): Promise<void> {
  for (let from = 0; from < rows.length; from += rowsMax) {
    const { source, values } = given(columns, rows.slice(from, from + rowsMax))
    await client.query(`INSERT INTO ${table} (${Object.keys(columns)}) SELECT * FROM ${source} ${more}`, values)
  }
}

/** Rows as the source `given` of a statement, and the values of its parameters. */
export function given<Row>(columns: Columns<Row>, rows: readonly Row[]): { source: string; values: string[] } {
  const names = Object.keys(columns)
  const lists = names.map((name) => rows.map(columns[name]!))
  // The database assigns a bigint to a column of any type that these values have, and null too.
  const arrays = lists.map((list, index) => {
    const isText = list.some((value) => typeof value === 'string')
    return `$${index + 1}::${isText ? 'text' : 'bigint'}[]`
  })
  return { source: `unnest(${arrays}) AS given (${names})`, values: lists.map(arrayText) }
}
