import { mergeConfig } from 'vitest/config'
import common from './vitest.config.ts'

const config = mergeConfig(common, { test: { env: { TEST_STORE: 'postgres' } } })

/**
 * The tests of behaviour, on PostgreSQL: `vitest.config.ts` runs them on SQLite. What is about a file skips itself, or is in one of the
 * excluded files.
 */
config.test!.include = [
  'test/system*.test.ts',
  'test/engine/**/*.test.ts',
  'test/http/**/*.test.ts',
  'test/observe/**/*.test.ts',
]
config.test!.exclude = ['test/system-sql.test.ts', 'test/system-unreadable.test.ts']

export default config
