import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { patchedFiles } from '../support/patched-build.ts'
import { isWhole, shareOf } from '../support/share.ts'
import { cleanUp, tempFolder } from '../support/temp.ts'
import { mutations, share } from './mutations.ts'
import { findFailing, tryMutation } from './try-mutation.ts'

/** Far beyond what any takes on a busy machine. */
const hourMs = 3_600_000

const tried = shareOf({ share, whole: mutations })

let folder: string
beforeAll(() => {
  folder = tempFolder()
})
afterAll(cleanUp)

describe('a seeded bug is caught', { concurrent: isWhole, timeout: hourMs }, () => {
  for (const [index, mutation] of tried.entries()) {
    const { file, test: name } = mutation.caughtBy
    test(`${mutation.bug} — by ${file} > ${name}`, async ({ skip }) => {
      const { status, message } = await tryMutation(mutation, join(folder, `${index}`))

      if (status === 'skipped') skip('the test that must catch it cannot run here')
      expect([status, status === 'failed' ? '' : message]).toEqual(['failed', ''])
    })
  }
})

test.each(mutations)('what it changes is in the code: $bug', ({ patches }) => {
  expect(() => patchedFiles(patches)).not.toThrow()
})

test('no bug is tried twice', () => {
  expect(new Set(mutations.map(({ bug }) => bug)).size).toBe(mutations.length)
})

// When the share runs, those tests run beside this one.
test.runIf(isWhole)('the tests that catch them pass without them', { timeout: hourMs }, async () => {
  const own = join(folder, 'none')
  mkdirSync(own)

  expect(
    await findFailing(
      mutations.map(({ caughtBy }) => caughtBy),
      own,
    ),
  ).toEqual([])
})
