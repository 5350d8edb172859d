import { expect, test } from 'vitest'
import { z } from 'zod'
import { defineHandler } from '../../src/index.ts'
import { everyPath, type Path } from '../../src/testing/index.ts'
import { isWhole } from '../support/share.ts'
import { onThreads } from '../support/store-here.ts'

onThreads()

/** A bank that charges once for each token, if it is told to check tokens. */
function aBank({ looksAtTokens }: { looksAtTokens: boolean }) {
  const charged: string[] = []
  const charge = defineHandler({
    type: 'charge',
    payload: z.strictObject({ amount: z.int() }),
    timeoutMs: 1_000,
    run(_, { idempotencyToken }) {
      if (!looksAtTokens || !charged.includes(idempotencyToken)) charged.push(idempotencyToken)
    },
  })
  const reset = () => {
    charged.length = 0
  }
  return { charge, charged, reset }
}

test.runIf(isWhole)('finds no fault in a handler whose effect is idempotent', async () => {
  const { charge, charged, reset } = aBank({ looksAtTokens: true })
  const paths: Path[] = []

  await everyPath(
    charge,
    (path) => {
      paths.push(path)
      expect(charged.length).toBeLessThanOrEqual(1)
      if (path.job.state === 'succeeded') expect(charged).toHaveLength(1)
    },
    { payload: { amount: 5 }, reset, runs: 15, seed: 7 },
  )

  const taken = new Set(paths.flatMap(({ steps }) => steps))
  expect(taken.size).toBe(8)
  expect(paths.some(({ job }) => job.state === 'cancelled')).toBe(true)
  expect(paths.some(({ history }) => history.some(({ event }) => event === 'expire'))).toBe(true)
})

test('shows the shortest path on which an effect is repeated', async () => {
  const { charge, charged, reset } = aBank({ looksAtTokens: false })
  const onlyOnce = () => expect(charged.length).toBeLessThanOrEqual(1)

  const failure = await everyPath(charge, onlyOnce, { payload: { amount: 5 }, reset, seed: 7 }).catch((error) => error)

  expect(failure.message).toMatch(/Counterexample: \[\["(fail after|time out after|crash after) effect[^\]]*"\]\]/)
})
