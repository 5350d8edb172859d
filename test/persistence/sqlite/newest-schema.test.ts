import { expect, test } from 'vitest'
import { openKept } from '../../../src/persistence/sqlite/file/kept.ts'
import { objectsOf } from '../../../src/persistence/sqlite/file/schema-differences.ts'
import { migrations } from '../../../src/persistence/sqlite/schema.ts'
import { newestSchema } from './newest-schema.ts'

// If this fails, files need a migration to what the machine now requires.
test('the newest version is what the machine generates', () => {
  const schemaOf = (...texts: readonly string[]) => {
    const db = openKept(':memory:')
    for (const sql of texts) db.exec(sql)
    const objects = objectsOf(db)
    db.close()
    return objects
  }

  expect(schemaOf(...migrations)).toEqual(schemaOf(newestSchema))
})
