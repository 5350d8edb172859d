import { createHash } from 'node:crypto'
import { expect, test } from 'vitest'
import { migrations } from '../../../src/persistence/postgres/migrate.ts'
import { newestSchema } from './newest-schema.ts'

// If this fails, databases need a migration to what the machine now requires.
test('the newest version is what the machine asks for', () => {
  expect(migrations.join('\n')).toBe(newestSchema)
})

test('no version ever changes', () => {
  const hashes = migrations.map((sql) => createHash('sha256').update(sql).digest('hex').slice(0, 16))

  expect(hashes).toEqual([
    'e0709430359eae50',
    '5d00b2333c2f1403',
    '8991176f164b2733',
    '2eaa754a7ad0af21',
    '690d2e9ab328ae7b',
    '4e158e1666961aa7',
    'bffa1d75fc85e4d7',
    'fb10de78e255d072',
    'f3211ec94ffd970b',
    '9d5fc785ea435dcd',
    'e68fa271eff91518',
    '403fe2f1329d598e',
    '3c5368cfeb90da8c',
    'c16c5767ee7b8d37',
  ])
})
