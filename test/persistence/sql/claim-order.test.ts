import Database from 'better-sqlite3'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { claimOrder, conditionsBefore, orderBy, suspectOrder } from '../../../src/persistence/sql/claim-order.ts'

describe.each([
  ['claims', claimOrder],
  ['suspects', suspectOrder],
])('the rows before one, in the order of %s,', (_, order) => {
  // Few values, so that many are equal.
  const row = fc.record({
    crashes: fc.integer({ min: 2, max: 3 }),
    priority: fc.integer({ min: -1, max: 1 }),
    run_at: fc.integer({ min: 0, max: 2 }),
  })

  test('are those that ORDER BY puts before it', () => {
    fc.assert(
      fc.property(fc.array(row, { minLength: 1, maxLength: 30 }), (rows) => {
        const db = new Database(':memory:')
        db.exec('CREATE TABLE jobs (id INTEGER PRIMARY KEY, crashes, priority, run_at)')
        const insert = db.prepare('INSERT INTO jobs (crashes, priority, run_at) VALUES (:crashes, :priority, :run_at)')
        for (const each of rows) insert.run(each)
        const line = db.prepare(`SELECT * FROM jobs ORDER BY ${orderBy(order)}`).all()
        // Each condition counts separately: a row that matches two of them would count twice.
        const counts = conditionsBefore(order).map((before) =>
          db.prepare(`SELECT count(*) FROM jobs WHERE ${before}`).pluck(),
        )

        const ahead = line.map((each) => counts.reduce((sum, count) => sum + (count.get(each) as number), 0))

        expect(ahead).toEqual(line.map((_, index) => index))
      }),
      { numRuns: 50 },
    )
  })
})
