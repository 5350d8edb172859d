import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { patchedFiles } from '../support/patched-build.ts'
import { cleanUp, tempFolder } from '../support/temp.ts'
import { mutations, share } from './mutations.ts'
import { findFailing, tryMutation } from './try-mutation.ts'

/** `npm run test:mutations`: all of them, as many at once as it says. */
const isFull = process.env.ALL_MUTATIONS !== undefined
const tried = isFull ? mutations : share

let folder: string
beforeAll(() => {
  folder = tempFolder()
})
afterAll(cleanUp)

describe('a seeded bug is caught', { concurrent: isFull, timeout: 120_000 }, () => {
  for (const [index, mutation] of tried.entries()) {
    const { file, test: name } = mutation.caughtBy
    test(`${mutation.bug} — by ${file} > ${name}`, async ({ skip }) => {
      const { status, message } = await tryMutation(mutation, join(folder, `${index}`))

      if (status === 'skipped') skip('the test that must catch it cannot run here')
      expect([status, status === 'failed' ? '' : message]).toEqual(['failed', ''])
    })
  }
})

test.each(mutations)('what it changes stands in the code: $bug', ({ patches }) => {
  expect(() => patchedFiles(patches)).not.toThrow()
})

test('no bug is tried twice', () => {
  expect(new Set(mutations.map(({ bug }) => bug)).size).toBe(mutations.length)
})

// Where a share is tried, those tests run beside this one.
test.runIf(isFull)('the tests that catch them pass without them', { timeout: 300_000 }, async () => {
  const own = join(folder, 'none')
  mkdirSync(own)

  expect(
    await findFailing(
      mutations.map(({ caughtBy }) => caughtBy),
      own,
    ),
  ).toEqual([])
})
