import { expect, test } from 'vitest'
import { didYouMean } from '../../src/job/did-you-mean.ts'

const known = ['type', 'payload', 'maxRetries', 'runAt', 'delayMs', 'handlers', 'workers', 'log']

test.each([
  ['handler', 'handlers'],
  ['worker', 'workers'],
  ['wrokers', 'workers'],
  ['max_retries', 'maxRetries'],
  ['MaxRetries', 'maxRetries'],
  ['delay', 'delayMs'],
  ['runat', 'runAt'],
  ['paylod', 'payload'],
])('%s is taken for %s', (written, meant) => {
  expect(didYouMean(written, known)).toBe(`; did you mean ${meant}?`)
})

test.each(['data', 'concurrency', 'l', '', 'x'.repeat(1_000_000), '__proto__'])(
  'nothing is similar to %.20s',
  (written) => {
    expect(didYouMean(written, known)).toBe('')
  },
)
