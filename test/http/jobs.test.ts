import { describe, expect, test } from 'vitest'
import { claimedHere, onPostgres } from '../support/database.ts'
import { openConnection, request } from '../support/raw-http.ts'
import { aWaitingJob, startHttp } from '../support/server.ts'

const instant = expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/)
const problemOf = (status: number, code: string, message: string, more: object = {}) => ({
  type: `urn:jobmachine:${code}`,
  title: expect.any(String),
  status,
  detail: message,
  code,
  message,
  ...more,
})

describe.each(['/createJob', '/jobs'])('POST %s of one job', (path) => {
  test('answers 201 with the job and its address', async () => {
    const { post, get } = await startHttp()

    const { status, headers, body } = await post(path, aWaitingJob())

    expect(status).toBe(201)
    expect(body).toEqual({ id: 1, state: 'scheduled', created: true, message: 'job 1 is stored' })
    expect(headers.get('content-type')).toBe('application/json; charset=utf-8')
    expect(headers.get('location')).toBe('/jobs/1')
    expect(headers.has('idempotent-replayed')).toBe(false)
    expect((await get('/jobs/1')).status).toBe(200)
  })

  test('answers 200 with the first job if its key was used with the same content', async () => {
    const { post, get } = await startHttp()
    await post(path, aWaitingJob({ idempotency_key: 'k' }))

    const { status, headers, body } = await post(path, aWaitingJob({ idempotency_key: 'k' }))

    expect(status).toBe(200)
    expect(body).toEqual({
      id: 1,
      state: 'scheduled',
      created: false,
      message: 'job 1 was stored before, with this idempotency key',
    })
    expect(headers.get('location')).toBe('/jobs/1')
    expect(headers.get('idempotent-replayed')).toBe('true')
    expect((await get('/jobs')).body.jobs).toHaveLength(1)
  })

  test('answers 409 with the first job if its key was used with other content', async () => {
    const { post, get } = await startHttp()
    await post(path, aWaitingJob({ idempotency_key: 'k' }))

    const { status, headers, body } = await post(path, aWaitingJob({ idempotency_key: 'k', payload: { n: 2 } }))

    expect(status).toBe(409)
    expect(headers.get('content-type')).toBe('application/problem+json')
    expect(body).toEqual(
      problemOf(409, 'idempotency_conflict', 'the idempotency key was used for job 1 with other content', { id: 1 }),
    )
    expect((await get('/jobs')).body.jobs).toHaveLength(1)
  })
})

describe('an idempotency key', () => {
  test('makes one job of 100 simultaneous requests', async () => {
    const { post, get } = await startHttp()

    const answers = await Promise.all(
      Array.from({ length: 100 }, () => post('/createJob', { type: 'echo', payload: 1, idempotency_key: 'k' })),
    )

    expect(answers.filter(({ status }) => status === 201)).toHaveLength(1)
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(99)
    expect(new Set(answers.map(({ body }) => body.id)).size).toBe(1)
    expect(answers.every(({ status, body }) => body.created === (status === 201))).toBe(true)
    expect((await get('/jobs')).body.jobs).toHaveLength(1)
  })

  test.each([
    ['a finished job', 'echo', 'succeeded'],
    ['a dead letter', 'broken', 'dead'],
  ])('stays used by %s', async (_, type, state) => {
    const { post, untilState } = await startHttp()
    const job = { type, payload: {}, max_retries: 0, idempotency_key: 'k' }
    await post('/createJob', job)
    await untilState(1, state)

    const { status, body } = await post('/createJob', job)

    expect([status, body.id, body.state, body.created]).toEqual([200, 1, state, false])
  })

  test('accepts members in another order, and numbers in another notation, as the same content', async () => {
    const { fetch } = await startHttp()
    const send = (body: string) =>
      fetch('/createJob', { method: 'POST', headers: { 'content-type': 'application/json' }, body })

    const first = await send('{"type":"echo","payload":{"a":1,"b":[10]},"idempotency_key":"k","delay_ms":1000}')
    const same = await send(
      '{ "delay_ms": 1e3, "payload": {"b":[1e1], "a":1.0}, "idempotency_key": "k", "type": "echo" }',
    )

    expect([first.status, same.status]).toEqual([201, 200])
  })

  test.each([
    ['a default written out', { priority: 0 }],
    ['another delay', { delay_ms: 3_600_001 }],
    ['the order of an array', { payload: { n: [2, 1] } }],
  ])('treats %s as other content', async (_, change) => {
    const { post } = await startHttp()
    await post('/createJob', aWaitingJob({ payload: { n: [1, 2] }, idempotency_key: 'k' }))

    const { status } = await post(
      '/createJob',
      aWaitingJob({ payload: { n: [1, 2] }, idempotency_key: 'k', ...change }),
    )

    expect(status).toBe(409)
  })

  test('may have 255 characters, even if they take four bytes each', async () => {
    const { post, get } = await startHttp()
    const key = '🔑'.repeat(255)

    const { status } = await post('/createJob', aWaitingJob({ idempotency_key: key }))

    expect(status).toBe(201)
    expect((await get('/jobs/1')).body.idempotency_key).toBe(key)
  })
})

test('POST /createJob accepts no array', async () => {
  const { post } = await startHttp()

  const { status, body } = await post('/createJob', [aWaitingJob()])

  expect(status).toBe(400)
  expect(body.errors).toEqual([{ path: '', message: 'must be one job; POST /jobs accepts an array' }])
})

describe('POST /jobs of an array', () => {
  test('stores all, and answers in the same order', async () => {
    const { post, get } = await startHttp()

    const { status, headers, body } = await post('/jobs', [
      aWaitingJob(),
      { type: 'echo', payload: 2, run_at: '2030-01-01T00:00:00Z' },
    ])

    expect(status).toBe(201)
    expect(headers.has('location')).toBe(false)
    expect(body).toEqual([
      { id: 1, state: 'scheduled', created: true, message: 'job 1 is stored' },
      { id: 2, state: 'scheduled', created: true, message: 'job 2 is stored' },
    ])
    expect((await get('/jobs')).body.jobs.map(({ payload }: { payload: unknown }) => payload)).toEqual([2, { n: 1 }])
  })

  test('accepts 1,000', async () => {
    const { post } = await startHttp()

    const { status, body } = await post(
      '/jobs',
      Array.from({ length: 1_000 }, () => aWaitingJob()),
    )

    expect(status).toBe(201)
    expect(body.map(({ id }: { id: number }) => id)).toEqual(Array.from({ length: 1_000 }, (_, index) => index + 1))
  })

  test('says which of its jobs are new, including a key that an earlier item used', async () => {
    const { post } = await startHttp()
    await post('/jobs', aWaitingJob({ idempotency_key: 'old' }))

    const { status, body } = await post('/jobs', [
      aWaitingJob({ idempotency_key: 'old' }),
      aWaitingJob({ idempotency_key: 'new' }),
      aWaitingJob({ idempotency_key: 'new' }),
    ])

    expect(status).toBe(201)
    expect(body.map(({ id, created }: { id: number; created: boolean }) => [id, created])).toEqual([
      [1, false],
      [2, true],
      [2, false],
    ])
  })

  test('answers 200 if nothing in it is new', async () => {
    const { post } = await startHttp()
    await post('/jobs', aWaitingJob({ idempotency_key: 'old' }))

    const { status, headers } = await post('/jobs', [aWaitingJob({ idempotency_key: 'old' })])

    expect(status).toBe(200)
    expect(headers.has('idempotent-replayed')).toBe(false)
  })

  test('stores none if one is bad, and begins every path with its index', async () => {
    const { post, get } = await startHttp()

    const { status, body } = await post('/jobs', [
      aWaitingJob(),
      aWaitingJob({ priority: 101, retries: 1 }),
      { type: 'sleep', payload: { ms: 1 } },
      7,
      { type: 'echo' },
    ])

    expect([status, body.code]).toEqual([400, 'invalid_input'])
    expect(body.errors.map(({ path }: { path: string }) => path).sort()).toEqual([
      '1.priority',
      '1.retries',
      '3',
      '4.payload',
    ])
    expect((await get('/jobs')).body.jobs).toEqual([])
  })

  test('stores none if payloads are bad, and names each', async () => {
    const { post, get } = await startHttp()

    const { status, body } = await post('/jobs', [
      aWaitingJob(),
      { type: 'sleep', payload: { ms: -1 } },
      { type: 'unheard', payload: {} },
    ])

    expect(status).toBe(400)
    expect(body.errors.map(({ path }: { path: string }) => path)).toEqual(['1.payload.ms', '2.type'])
    expect((await get('/jobs')).body.jobs).toEqual([])
  })

  test('stores none if a key was used with other content, and names the job', async () => {
    const { post, get } = await startHttp()
    await post('/jobs', aWaitingJob({ idempotency_key: 'old' }))

    const { status, body } = await post('/jobs', [aWaitingJob(), aWaitingJob({ idempotency_key: 'old', priority: 1 })])

    const message = 'the idempotency key was used for job 1 with other content'
    expect(status).toBe(409)
    expect(body).toEqual(
      problemOf(409, 'idempotency_conflict', message, { id: 1, errors: [{ path: '1.idempotency_key', message }] }),
    )
    expect((await get('/jobs')).body.jobs).toHaveLength(1)
  })

  test('stores none if two of its items have the same key and different content', async () => {
    const { post, get } = await startHttp()

    const { status, body } = await post('/jobs', [
      aWaitingJob({ idempotency_key: 'k' }),
      aWaitingJob({ idempotency_key: 'k', priority: 1 }),
    ])

    expect([status, body.id]).toEqual([409, null])
    expect(body.errors[0].path).toBe('1.idempotency_key')
    expect((await get('/jobs')).body.jobs).toEqual([])
  })
})

test('more jobs than may wait are refused together, with 429 and when to try again', async () => {
  const { post, get } = await startHttp({ maxQueueDepth: 3 })
  await post('/jobs', [aWaitingJob(), aWaitingJob()])

  const { status, headers, body } = await post('/jobs', [aWaitingJob(), aWaitingJob()])

  expect([status, body.code]).toEqual([429, 'backpressure'])
  expect(headers.get('retry-after')).toBe('1')
  expect((await get('/jobs')).body.jobs).toHaveLength(2)
  expect((await post('/jobs', [aWaitingJob()])).status).toBe(201)
})

test('a queue that would exceed its share is refused by name, and others are not', async () => {
  const { post } = await startHttp({ maxQueueDepth: 10 })
  const eight = Array.from({ length: 8 }, () => aWaitingJob({ queue: 'greedy' }))
  await post('/jobs', eight)

  const { status, body } = await post('/jobs', [aWaitingJob({ queue: 'other' }), aWaitingJob({ queue: 'greedy' })])

  expect([status, body.code]).toEqual([429, 'backpressure'])
  expect(body.message).toMatch(
    /8 jobs are waiting in the queue greedy.*limit for one queue is 8 \(maxDepthPerQueue, MAX_DEPTH_PER_QUEUE\)/,
  )
  expect((await post('/jobs', [aWaitingJob({ queue: 'other' }), aWaitingJob({ queue: 'third' })])).status).toBe(201)
})

describe('GET /jobs/:id', () => {
  test('answers with all members of a waiting job', async () => {
    const { post, get } = await startHttp()
    const job = {
      type: 'echo',
      payload: { text: 'ä\u2028🎈', list: [null, true, -1.5e-7] },
      queue: 'mail:fast',
      priority: -100,
      max_retries: 1_000,
      idempotency_key: 'a key, printable',
      timeout_ms: 86_400_000,
      run_at: '9999-12-31T22:59:59.999-01:00',
    }
    await post('/createJob', job)

    const { status, body } = await get('/jobs/1')

    expect(status).toBe(200)
    expect(body).toEqual({
      ...job,
      id: 1,
      state: 'scheduled',
      attempt: 0,
      crashes: 0,
      run_at: '9999-12-31T23:59:59.999Z',
      created_at: instant,
      started_at: null,
      finished_at: null,
      error: null,
      trace_id: null,
      unique_key: null,
      progress: null,
      progress_at: null,
      progress_attempt: null,
    })
  })

  test('answers with defaults and nulls for what was not given', async () => {
    const { post, get, untilState } = await startHttp()
    await post('/createJob', { type: 'echo', payload: null })

    await untilState(1, 'succeeded')

    const { body } = await get('/jobs/1')
    expect(body).toEqual({
      id: 1,
      type: 'echo',
      queue: 'default',
      state: 'succeeded',
      priority: 0,
      payload: null,
      attempt: 1,
      max_retries: 3,
      crashes: 0,
      idempotency_key: null,
      timeout_ms: null,
      run_at: instant,
      created_at: instant,
      started_at: instant,
      finished_at: instant,
      error: null,
      trace_id: null,
      unique_key: null,
      progress: null,
      progress_at: null,
      progress_attempt: null,
    })
  })

  test('has the name and message of the last error, and nothing else of it', async () => {
    const { post, untilState } = await startHttp()
    await post('/createJob', { type: 'broken', payload: 1, max_retries: 0 })

    const { error } = await untilState(1, 'dead')

    expect(error).toEqual({ name: 'Error', message: 'out of luck' })
  })

  test('returns a very long delay to the millisecond', async () => {
    const { post, get } = await startHttp()

    await post('/createJob', { type: 'echo', payload: 1, delay_ms: 3_155_760_000_000 })

    const { body } = await get('/jobs/1')
    expect(Date.parse(body.run_at) - Date.parse(body.created_at)).toBe(3_155_760_000_000)
  })

  test.each([{ delay_ms: 0 }, { run_at: '1999-01-01T00:00:00Z' }, { run_at: '0000-01-01T00:00:00+23:59' }])(
    'treats %j as now',
    async (when) => {
      const { post, untilState } = await startHttp()

      const { body } = await post('/createJob', { type: 'echo', payload: 1, ...when })

      expect(body.state).toBe('queued')
      const job = await untilState(1, 'succeeded')
      expect(job.run_at).toEqual(instant)
    },
  )
})

describe('GET /jobs/:id/history', () => {
  test('has every transition, oldest first, without a gap', async () => {
    const { post, get, untilState } = await startHttp({ retryBaseMs: 1, retryMaxMs: 1 })
    await post('/createJob', { type: 'broken', payload: 1, max_retries: 1 })
    await untilState(1, 'dead')

    const { status, body } = await get('/jobs/1/history')

    const error = {
      name: 'Error',
      message: 'out of luck',
      stack: expect.stringMatching(/^at Object\.run .*server\.ts/),
    }
    const lease = { event: 'lease', from: 'queued', to: 'leased', at: instant, cause: 'dispatcher', ...claimedHere }
    expect(status).toBe(200)
    expect(body).toEqual({
      history: [
        { seq: 1, event: 'enqueue', from: null, to: 'queued', attempt: 0, at: instant, cause: 'http' },
        { ...lease, seq: 2, attempt: 0 },
        { seq: 3, event: 'start', from: 'leased', to: 'running', attempt: 1, at: instant, cause: 'dispatcher' },
        { seq: 4, event: 'fail', from: 'running', to: 'retrying', attempt: 1, at: instant, cause: 'handler', error },
        { seq: 5, event: 'due', from: 'retrying', to: 'queued', attempt: 1, at: instant, cause: 'clock' },
        { ...lease, seq: 6, attempt: 1 },
        { seq: 7, event: 'start', from: 'leased', to: 'running', attempt: 2, at: instant, cause: 'dispatcher' },
        { seq: 8, event: 'fail', from: 'running', to: 'dead', attempt: 2, at: instant, cause: 'handler', error },
      ],
    })
  })

  test('is the only place with the stack: no job, list, event, explanation or log has it', async () => {
    const { post, get, untilState, system, logLines } = await startHttp()
    await post('/createJob', { type: 'broken', payload: 1, max_retries: 0 })
    await untilState(1, 'dead')

    const job = await get('/jobs/1')
    const others = await Promise.all(['/jobs', '/jobs/1/explain'].map((path) => get(path)))
    const { transitions } = await system.transitions({ after: 0 })

    expect(job.body.error).toEqual({ name: 'Error', message: 'out of luck' })
    expect(transitions.at(-1)?.error).toEqual(job.body.error)
    expect(JSON.stringify([others.map(({ body }) => body), logLines])).not.toContain('at Object.run')
    expect(logLines.join()).toContain('attempt failed')
  })

  test('continues after a seq, with as many as requested', async () => {
    const { post, get, untilState } = await startHttp()
    await post('/createJob', { type: 'echo', payload: 1 })
    await untilState(1, 'succeeded')

    const seqs = async (query: string) =>
      (await get(`/jobs/1/history${query}`)).body.history.map(({ seq }: { seq: number }) => seq)

    expect(await seqs('?limit=2')).toEqual([1, 2])
    expect(await seqs('?after=2&limit=1')).toEqual([3])
    expect(await seqs('?after=3')).toEqual([4])
    expect(await seqs('?after=4')).toEqual([])
    expect(await seqs('?after=999999999999999&limit=1000')).toEqual([])
  })
})

describe('GET /jobs', () => {
  test('lists nothing if there are no jobs', async () => {
    const { get } = await startHttp()

    const { status, body } = await get('/jobs')

    expect(status).toBe(200)
    expect(body).toEqual({ jobs: [], next_cursor: null })
  })

  test('lists the newest first, 50 by default, and pages to the end', async () => {
    const { post, get } = await startHttp()
    await post(
      '/jobs',
      Array.from({ length: 120 }, () => aWaitingJob()),
    )

    const ids: number[] = []
    const sizes: number[] = []
    let cursor: string | null = null
    do {
      const { body } = await get(`/jobs${cursor === null ? '' : `?cursor=${cursor}`}`)
      ids.push(...body.jobs.map(({ id }: { id: number }) => id))
      sizes.push(body.jobs.length)
      cursor = body.next_cursor
    } while (cursor !== null)

    expect(ids).toEqual(Array.from({ length: 120 }, (_, index) => 120 - index))
    expect(sizes.slice(0, 3)).toEqual([50, 50, 20])
  })

  test('does not repeat or skip jobs if new ones arrive between two pages', async () => {
    const { post, get } = await startHttp()
    await post(
      '/jobs',
      Array.from({ length: 4 }, () => aWaitingJob()),
    )
    const first = await get('/jobs?limit=2')
    await post('/jobs', [aWaitingJob()])

    const second = await get(`/jobs?limit=2&cursor=${first.body.next_cursor}`)

    expect([...first.body.jobs, ...second.body.jobs].map(({ id }) => id)).toEqual([4, 3, 2, 1])
  })

  test('gives 500 on a page', async () => {
    const { post, get } = await startHttp()
    await post(
      '/jobs',
      Array.from({ length: 501 }, () => aWaitingJob()),
    )

    const { body } = await get('/jobs?limit=500')

    expect(body.jobs).toHaveLength(500)
    expect(body.next_cursor).not.toBeNull()
  })

  test('filters by state, type and queue, alone and together', async () => {
    const { post, get, untilState } = await startHttp()
    await post('/jobs', [
      aWaitingJob({ queue: 'a' }),
      aWaitingJob({ queue: 'b' }),
      { type: 'broken', payload: 1, queue: 'a', max_retries: 0 },
      { type: 'echo', payload: 1, queue: 'a' },
    ])
    await untilState(3, 'dead')
    await untilState(4, 'succeeded')

    const ids = async (query: string) => (await get(`/jobs?${query}`)).body.jobs.map(({ id }: { id: number }) => id)

    expect(await ids('state=scheduled')).toEqual([2, 1])
    expect(await ids('type=echo')).toEqual([4, 2, 1])
    expect(await ids('queue=a')).toEqual([4, 3, 1])
    expect(await ids('queue=a&type=echo&state=succeeded')).toEqual([4])
    expect(await ids('text=a%27%20OR%20%271%27=%271')).toEqual([])
    expect(await ids('type=unheard')).toEqual([])
  })
})

describe('GET /jobs narrowed by text and time', () => {
  test('finds what a person sees, literally', async () => {
    const { post, get } = await startHttp()
    const payloads = [
      'say "hi"',
      '100%',
      'a_b',
      'back\\slash',
      'two\nlines',
      '🎈 grüße',
      '<script>x</script>',
      "' OR 1=1 --",
    ]
    await post(
      '/jobs',
      payloads.map((text) => aWaitingJob({ payload: { text } })),
    )

    for (const [index, text] of payloads.entries()) {
      const { body } = await get(`/jobs?text=${encodeURIComponent(text)}`)
      expect([text, body.jobs.map(({ id }: { id: number }) => id)]).toEqual([text, [index + 1]])
    }
    expect((await get('/jobs?text=%25')).body.jobs).toHaveLength(1)
    expect((await get('/jobs?text=SAY+%22HI%22&state=scheduled&queue=default&type=echo')).body.jobs).toHaveLength(1)
    expect((await get('/jobs?text=SAY+%22HI%22&state=dead')).body.jobs).toEqual([])
  })

  test('accepts instants with any offset, the first inclusive and the last exclusive', async () => {
    const { post, get } = await startHttp()
    await post('/createJob', aWaitingJob())
    const at = Date.parse((await get('/jobs/1')).body.created_at)
    const text = (ms: number) => new Date(ms).toISOString()
    const found = async (query: string) => (await get(`/jobs?${query}`)).body.jobs.length

    expect(await found(`created_from=${text(at)}&created_to=${text(at + 1)}`)).toBe(1)
    expect(await found(`created_to=${text(at)}`)).toBe(0)
    expect(await found(`created_from=${text(at + 1)}`)).toBe(0)
    const elsewhere = encodeURIComponent(text(at + 7_200_000).replace('Z', '+02:00'))
    expect(await found(`created_from=${elsewhere}`)).toBe(1)
  })

  test.each([
    ['text=', 'text'],
    [`text=${'x'.repeat(201)}`, 'text'],
    ['text=a&text=b', 'text'],
    ['created_from=', 'created_from'],
    ['created_from=2030-01-01', 'created_from'],
    ['created_to=2030-01-01T00:00:00', 'created_to'],
    ['created_to=1893456000000', 'created_to'],
    ['createdTo=2030-01-01T00:00:00Z', 'createdTo'],
    ['state=lost', 'state'],
  ])('refuses ?%s with 400', async (query, path) => {
    const { get } = await startHttp()

    const { status, body } = await get(`/jobs?${query}`)

    expect([status, body.code]).toEqual([400, 'invalid_input'])
    expect(body.errors.map((error: { path: string }) => error.path)).toEqual([path])
  })
})

describe('POST /jobs/:id/cancel and /requeue', () => {
  test('cancel a waiting job, without a body and a content type', async () => {
    const { post, fetch } = await startHttp()
    await post('/createJob', aWaitingJob())

    const { status, body } = await fetch('/jobs/1/cancel', { method: 'POST' })

    expect(status).toBe(200)
    expect(body).toMatchObject({ id: 1, state: 'cancelled', finished_at: instant, payload: { n: 1 } })
  })

  test('cancel a running job, whose worker is free at once', async () => {
    const { post, untilState } = await startHttp({ workers: 1 })
    await post('/createJob', { type: 'sleep', payload: { ms: 86_400_000 } })
    await untilState(1, 'running')

    const { body } = await post('/jobs/1/cancel')

    expect(body.state).toBe('cancelled')
    await post('/createJob', { type: 'echo', payload: 1 })
    await untilState(2, 'succeeded')
    expect((await untilState(1, 'cancelled')).attempt).toBe(1)
  })

  test('requeue a dead letter, whose attempts start again', async () => {
    const { post, get, untilState } = await startHttp()
    await post('/createJob', { type: 'broken', payload: 1, max_retries: 0 })
    await untilState(1, 'dead')

    const { status, body } = await post('/jobs/1/requeue')

    expect(status).toBe(200)
    // On PostgreSQL the commit that requeues it may also have started it again.
    const requeued = onPostgres ? { id: 1 } : { id: 1, state: 'queued', attempt: 0, finished_at: null }
    expect(body).toMatchObject(requeued)
    await untilState(1, 'dead')
    const { history } = (await get('/jobs/1/history')).body
    expect(
      history.map(({ event }: { event: string }) => event).filter((event: string) => event === 'start'),
    ).toHaveLength(2)
  })

  test.each([
    ['cancel', 'succeeded', []],
    ['requeue', 'succeeded', []],
    ['requeue', 'scheduled', ['due', 'cancel', 'amend']],
    ['cancel', 'cancelled', ['requeue']],
  ])('answer 409 to %s of a job that is %s, with its state and what it allows', async (command, state, events) => {
    const { post, get, untilState } = await startHttp()
    const waits = state === 'scheduled' || state === 'cancelled'
    await post('/createJob', {
      type: 'echo',
      payload: 1,
      max_retries: 0,
      delay_ms: waits ? 1e9 : 0,
    })
    if (state === 'cancelled') await post('/jobs/1/cancel')
    const before = await untilState(1, state)

    const { status, headers, body } = await post(`/jobs/1/${command}`)

    const then = events.length > 0 ? `it allows ${events.join(', ')}` : 'nothing leaves that state'
    expect(status).toBe(409)
    expect(headers.get('content-type')).toBe('application/problem+json')
    expect(body).toEqual(
      problemOf(409, 'illegal_transition', `job 1 is ${state}, which does not allow ${command}; ${then}`, {
        id: 1,
        state,
        events,
      }),
    )
    expect((await get('/jobs/1')).body).toEqual(before)
  })

  test('let one of ten simultaneous requests through', async () => {
    const { post, get } = await startHttp()
    await post('/createJob', aWaitingJob())

    const answers = await Promise.all(Array.from({ length: 10 }, () => post('/jobs/1/cancel')))

    expect(answers.map(({ status }) => status).sort()).toEqual([200, ...Array(9).fill(409)])
    expect((await get('/jobs/1/history')).body.history).toHaveLength(2)
  })

  test('refuse a body that is not JSON, and answer the next request of the connection', async () => {
    const { port, post } = await startHttp()
    await post('/createJob', aWaitingJob())
    const connection = await openConnection(port)

    connection.write(request('POST /jobs/1/cancel', { 'content-type': 'text/plain' }, 'not JSON'))
    const refused = await connection.answer()
    connection.write(request('GET /jobs/1'))

    expect(refused.status).toBe(415)
    expect(JSON.parse((await connection.answer()).body).state).toBe('scheduled')
  })
})
