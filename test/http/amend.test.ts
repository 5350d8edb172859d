import { expect, test } from 'vitest'
import { aWaitingJob, startHttp, type TestServerOptions } from '../support/server.ts'

async function start(options: TestServerOptions = {}) {
  const server = await startHttp(options)
  const patch = (path: string, body: unknown) =>
    server.fetch(path, {
      method: 'PATCH',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    })
  return { ...server, patch }
}

test('PATCH /jobs/:id changes a job that waits, and the history says what was changed, by whom and why', async () => {
  const { post, get, patch } = await start()
  await post('/jobs', aWaitingJob())
  const { body: before } = await get('/jobs/1')

  const { status, body } = await patch('/jobs/1', {
    payload: { n: 2 },
    priority: 9,
    max_retries: 7,
    run_at: '2100-01-01T00:00:00Z',
    actor: 'ada',
    reason: 'typo',
  })

  const changed = { payload: { n: 2 }, priority: 9, max_retries: 7, run_at: '2100-01-01T00:00:00.000Z' }
  expect([status, body]).toEqual([200, { ...before, ...changed }])
  expect((await get('/jobs/1')).body).toEqual(body)
  expect((await get('/jobs/1/history')).body.history[1]).toEqual({
    seq: 2,
    event: 'amend',
    from: 'scheduled',
    to: 'scheduled',
    attempt: 0,
    at: expect.any(String),
    cause: 'http',
    actor: 'ada',
    reason: 'typo',
    changes: {
      payload: true,
      run_at: { from: before.run_at, to: changed.run_at },
      priority: { from: 0, to: 9 },
      max_retries: { from: 3, to: 7 },
    },
  })
  expect((await get('/jobs/1/payload?at=1')).body).toEqual({ id: 1, payload: { n: 1 } })
  expect((await get('/jobs/1/payload')).body).toEqual({ id: 1, payload: { n: 2 } })
  expect((await get('/jobs/7/payload')).status).toBe(404)
})

test('GET /jobs/:id/payload answers 410 for a payload that is no longer kept, and the history and the page say so', async () => {
  const { post, get, fetch, system } = await start()
  await post('/jobs', aWaitingJob())
  for (let n = 2; n <= 110; n++) await system.amend(1, { payload: { n } })

  const { status, body } = await get('/jobs/1/payload?at=2')

  expect([status, body]).toMatchObject([410, { code: 'payload_not_kept', title: 'Gone' }])
  expect((await get('/jobs/1/payload?at=1')).body).toEqual({ id: 1, payload: { n: 1 } })
  const { history } = (await get('/jobs/1/history')).body
  expect([history[1].changes, history[2].changes]).toEqual([{ payload: true }, { payload: true, payload_gone: true }])
  const { body: shown } = await fetch('/dashboard/jobs/1?at=5')
  expect(shown).toContain('(the one before is no longer kept)')
  expect(shown).not.toContain('href="/jobs/1/payload?at=2"')
})

test.each([
  [{}, '', 'must set one of payload, priority, max_retries, delay_ms, run_at'],
  [[{ priority: 1 }], '', 'must set one of payload, priority, max_retries, delay_ms, run_at'],
  [{ queue: 'mail' }, 'queue', 'cannot be changed; payload, priority, max_retries, delay_ms, run_at can'],
  [{ id: 7 }, 'id', expect.stringContaining('is not a known field')],
  [{ max_retries: -1 }, 'max_retries', 'must be a whole number from 0 to 1000'],
  [{ run_at: 'tomorrow' }, 'run_at', expect.stringContaining('RFC 3339')],
  [{ priority: 1, actor: 7 }, 'actor', expect.stringContaining('printable')],
])('the body %j is refused with 400, the place and what is allowed', async (given, path, message) => {
  const { post, patch, get } = await start({ started: false })
  await post('/jobs', aWaitingJob())
  const { body: before } = await get('/jobs/1')

  const { status, body } = await patch('/jobs/1', given)

  expect([status, body.errors]).toEqual([400, [{ path, message }]])
  expect((await get('/jobs/1')).body).toEqual(before)
})

test('a job that has ended or does not exist is refused, and a dead one can be requeued with changes', async () => {
  const { post, patch, get, untilState } = await start()
  await post('/jobs', { type: 'sleep', payload: { ms: 60_000 }, max_retries: 0 })
  await post('/jobs/1/cancel')

  const ended = await patch('/jobs/1', { priority: 1 })
  const wrong = await post('/jobs/1/requeue', { payload: { ms: 'long' } })
  const requeued = await post('/jobs/1/requeue', { payload: { ms: 1 }, priority: 4, actor: 'ada' })

  expect([ended.status, ended.body.code, ended.body.state]).toEqual([409, 'illegal_transition', 'cancelled'])
  expect([wrong.status, wrong.body.errors[0].path]).toEqual([400, 'payload.ms'])
  expect([requeued.status, requeued.body.payload, requeued.body.priority]).toEqual([200, { ms: 1 }, 4])
  expect((await patch('/jobs/77', { priority: 1 })).status).toBe(404)
  await untilState(1, 'succeeded')
  const { history } = (await get('/jobs/1/history')).body
  const made = history.filter(({ actor }: { actor?: string }) => actor === 'ada')
  expect(made.map(({ event }: { event: string }) => event)).toEqual(['requeue', 'amend'])
})

test('a path that is not changed by PATCH says what it allows', async () => {
  const { patch } = await start({ started: false })

  const { status, headers } = await patch('/jobs', {})

  expect([status, headers.get('allow')]).toEqual([405, 'GET, HEAD, POST'])
})

test('a request with the key of a dead job says loudly that it is dead, and may replace it', async () => {
  const { post, get, untilState, logLines } = await start()
  const job = { type: 'broken', payload: 1, max_retries: 0, idempotency_key: 'k' }
  await post('/createJob', job)
  await untilState(1, 'dead')

  const again = await post('/createJob', job)
  const inArray = await post('/jobs', [aWaitingJob(), job])
  const replaced = await post('/createJob', { ...job, type: 'echo', replace_dead: true })

  expect([again.status, again.body.state, again.headers.get('dead-jobs')]).toEqual([200, 'dead', '1'])
  expect(again.body.message).toMatch(/it is dead and does not run: requeue it, or send replace_dead$/)
  expect([inArray.status, inArray.headers.get('dead-jobs')]).toEqual([201, '1'])
  expect(logLines.map((line) => JSON.parse(line)).filter(({ msg }) => /dead job/.test(msg))).toMatchObject([
    { level: 40, job_ids: [1] },
    { level: 40, job_ids: [1] },
  ])
  expect([replaced.status, replaced.body.replaced, replaced.headers.get('dead-jobs')]).toEqual([201, 1, null])
  expect(replaced.body.message).toBe('job 3 is stored and has the key of the dead job 1, which is cancelled')
  expect((await get('/jobs/1')).body).toMatchObject({ state: 'cancelled', idempotency_key: null })
  expect((await get('/jobs/3')).body).toMatchObject({ idempotency_key: 'k' })
  expect((await get('/jobs/1/history')).body.history.at(-1)).toMatchObject({
    event: 'cancel',
    cause: 'http',
    note: 'job 3 has its idempotency key now',
  })
  expect((await get('/jobs/1/explain')).body.summary).toContain('job 3 has its idempotency key now')
})

test.each([
  [{ replace_dead: true }, 'replace_dead', 'needs an idempotency key'],
  [{ replace_dead: 1, idempotency_key: 'k' }, 'replace_dead', 'must be true or false'],
])('%j is refused', async (given, path, message) => {
  const { post } = await start({ started: false })

  expect((await post('/jobs', aWaitingJob(given))).body.errors).toEqual([{ path, message }])
})
