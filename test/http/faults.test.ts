import { expect, test } from 'vitest'
import {
  BackpressureError,
  IdempotencyConflictError,
  IllegalTransitionError,
  JobNotFoundError,
  type JobSystem,
  PayloadError,
  StorageFullError,
  UnavailableError,
  UnknownTypeError,
} from '../../src/index.ts'
import { startHttp, type TestServer } from '../support/server.ts'

/** The API over a system whose writes and reads by id all end in `error`. */
function failingWith(error: unknown): Promise<TestServer> {
  const fail = () => Promise.reject(error)
  return startHttp({ system: { submit: fail, find: fail, cancel: fail } as unknown as JobSystem })
}

test.each([
  { error: new PayloadError([{ path: 'payload.ms', message: 'is required' }]), status: 400, retryAfter: null },
  { error: new UnknownTypeError('nope', ['echo']), status: 400, retryAfter: null },
  { error: new JobNotFoundError(7), status: 404, retryAfter: null },
  { error: new IdempotencyConflictError(7), status: 409, retryAfter: null },
  { error: new IllegalTransitionError(7, 'cancel', 'succeeded', []), status: 409, retryAfter: null },
  { error: new BackpressureError('too many', 1), status: 429, retryAfter: '1' },
  { error: new BackpressureError('too many', 1_001), status: 429, retryAfter: '2' },
  { error: new UnavailableError('the file is locked', { retryAfterMs: 2_000 }), status: 503, retryAfter: '2' },
  { error: new StorageFullError({ cause: new Error('SQLITE_FULL') }), status: 507, retryAfter: null },
])('$error.code is answered with $status and Retry-After $retryAfter', async ({ error, status, retryAfter }) => {
  const { post, logLines } = await failingWith(error)

  const answer = await post('/createJob', { type: 'echo', payload: 1 })

  expect([answer.status, answer.headers.get('retry-after')]).toEqual([status, retryAfter])
  expect(answer.headers.get('content-type')).toBe('application/problem+json')
  expect(answer.body).toMatchObject({ status, code: error.code, type: `urn:jobmachine:${error.code}` })
  expect(answer.body.detail).toBe(answer.body.message)
  expect(JSON.stringify(answer.body)).not.toMatch(/SQLITE|stack|cause/)
  expect(logLines.filter((line) => line.includes('a request failed'))).toEqual([])
})

test.each([
  ['an error', new Error('SELECT payload FROM jobs at /home/someone/jobs.db')],
  ['an error of the system that is no answer to a request', Object.assign(new StorageFullError(), { code: 'nobody' })],
  ['a text, which is no error,', 'SELECT payload FROM jobs'],
  ['nothing at all', undefined],
])('an unexpected %s is answered with a plain 500, and logged once', async (_what, thrown) => {
  const { get, post, fetch, logLines } = await failingWith(thrown)

  const answers = [
    await get('/jobs/1'),
    await post('/jobs/1/cancel'),
    await post('/createJob', { type: 'echo', payload: 1 }),
    await fetch('/jobs/1', { method: 'HEAD' }),
  ]

  expect(answers.map(({ status }) => status)).toEqual([500, 500, 500, 500])
  expect(answers.map(({ body }) => body.code).slice(0, 3)).toEqual(Array(3).fill('internal_error'))
  expect(JSON.stringify(answers.map(({ body }) => body))).not.toMatch(/SELECT|jobs\.db|stack/)
  expect(logLines.filter((line) => line.includes('a request failed'))).toHaveLength(answers.length)
})
