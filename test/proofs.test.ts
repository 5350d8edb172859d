import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'

const { scripts } = JSON.parse(readFileSync('package.json', 'utf8'))

test('npm run test:proof runs every test file of which npm test runs a share', () => {
  const filters = scripts['test:proof'].split(' ').filter((word: string) => word.startsWith('test/')) as string[]
  const files = readdirSync('test', { recursive: true, encoding: 'utf8' })
    .map((name) => join('test', name))
    .filter((file) => file.endsWith('.test.ts') && /\/share\.ts'/.test(readFileSync(file, 'utf8')))

  expect(files.length).toBeGreaterThan(10)
  expect(files.filter((file) => !filters.some((filter) => file.includes(filter)))).toEqual([])
})
