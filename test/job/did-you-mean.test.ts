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

test.each([
  ['data', 'payload'],
  ['concurrency', 'workers'],
])('%s, as other libraries call it, is taken for %s', (written, meant) => {
  expect(didYouMean(written, known)).toBe(`; did you mean ${meant}?`)
})

test('a known name may be one that every object has', () => {
  expect(didYouMean('data', ['constructor', '__proto__'])).toBe('')
})

test.each(['l', '', 'x'.repeat(1_000_000), '__proto__'])('nothing is similar to %.20s', (written) => {
  expect(didYouMean(written, known)).toBe('')
})
