import { expect, test } from 'vitest'
import { aWaitingJob, startHttp } from '../support/server.ts'

const unique = (more: object = {}) => aWaitingJob({ unique: { key: 'customer-7', ...more } })

test.each(['/createJob', '/jobs'])('POST %s says whether a job holds the unique key, and which', async (path) => {
  const { post, get } = await startHttp()

  const first = await post(path, unique())
  const again = await post(path, unique())
  const refused = await post(path, unique({ on_conflict: 'refuse' }))

  expect([first.status, again.status, refused.status]).toEqual([201, 200, 409])
  expect(first.body).toEqual({
    id: 1,
    state: 'scheduled',
    created: true,
    unique: 'stored',
    message: 'job 1 is stored',
  })
  expect(again.body).toEqual({
    ...(first.body as object),
    created: false,
    unique: 'returned',
    message: 'job 1 holds the unique key',
  })
  expect(again.headers.has('idempotent-replayed')).toBe(false)
  expect(again.headers.get('location')).toBe('/jobs/1')
  expect(refused.body).toMatchObject({ code: 'unique_conflict', id: 1, message: 'job 1 holds the unique key' })
  expect((await get('/jobs/1')).body).toMatchObject({ unique_key: 'customer-7' })
})

test('an item of an array whose key an earlier one holds is refused with all of them, by its path', async () => {
  const { post, get } = await startHttp()

  const { status, body } = await post('/jobs', [unique(), unique({ on_conflict: 'refuse' })])

  expect(status).toBe(409)
  expect(body).toMatchObject({ id: null, errors: [{ path: '1.unique' }] })
  expect((await get('/jobs')).body).toMatchObject({ jobs: [] })
})

test('a requeue that would make a second holder is refused, and names the first', async () => {
  const { post } = await startHttp()
  await post('/jobs', unique())
  await post('/jobs/1/cancel')
  await post('/jobs', unique())

  const { status, body } = await post('/jobs/1/requeue')

  expect(status).toBe(409)
  expect(body).toMatchObject({
    code: 'unique_conflict',
    id: 2,
    message:
      'job 1 cannot be requeued, because job 2 holds its unique key: cancel that job, or wait until it no longer does',
  })
})

test('a debounced request changes the job that waits, and says so', async () => {
  const { post, get } = await startHttp()
  const ask = (payload: number, more: object = {}) =>
    post('/jobs', {
      type: 'echo',
      payload,
      delay_ms: 60_000,
      unique: { key: 'k', on_conflict: 'debounce', max_wait_ms: 90_000, ...more },
    })
  await ask(1)

  const { status, body } = await ask(2)
  const loose = await post('/jobs', { type: 'echo', payload: 1, unique: { key: 'k', on_conflict: 'debounce' } })
  const idle = await ask(3, { on_conflict: 'replace' })

  expect(status).toBe(200)
  expect(body).toMatchObject({
    id: 1,
    created: false,
    unique: 'debounced',
    message: 'job 1 was put off and has what this request says',
  })
  expect((await get('/jobs/1')).body).toMatchObject({ payload: 2 })
  expect(loose.body).toMatchObject({ code: 'invalid_input', errors: [{ path: 'delay_ms' }] })
  expect(idle.body).toMatchObject({ errors: [{ path: 'unique.max_wait_ms', message: 'is only for debounce' }] })
})

test.each([
  [{}, 'unique.key', /1 to 255 printable characters/],
  [7, 'unique', 'must be an object with a key'],
  [
    { key: 'k', until: 'end' },
    'unique.until',
    'must be started, ended, or a whole number of ms from 1 to 3155760000000',
  ],
  [{ key: 'k', until: 0 }, 'unique.until', /a whole number of ms from 1/],
  [{ key: 'k', on_conflict: 'ignore' }, 'unique.on_conflict', /^must be return.* or /],
  [{ key: 'k', onConflict: 'refuse' }, 'unique', 'has no member "onConflict"; did you mean on_conflict?'],
])('%j is refused, with the place of the fault and what is allowed', async (given, path, message) => {
  const { post } = await startHttp({ started: false })

  const { status, body } = await post('/jobs', [aWaitingJob(), aWaitingJob({ unique: given })])

  expect(status).toBe(400)
  const errors = [{ path: `1.${path}`, message: message instanceof RegExp ? expect.stringMatching(message) : message }]
  expect(body).toMatchObject({ errors })
})
