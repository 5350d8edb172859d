import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { defineHandler } from '../../src/handlers/define.ts'
import { createHttp } from '../../src/http/index.ts'
import { createTestSystem } from '../../src/testing/index.ts'
import { aWaitingJob, startHttp, testHandlers } from '../support/server.ts'
import { whenDone } from '../support/temp.ts'

const entities: Readonly<Record<string, string>> = { lt: '<', gt: '>', quot: '"', '#39': "'", amp: '&' }

const instant = expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/)

describe('GET /jobs/:id/explain', () => {
  test('explains in snake_case and ISO instants why a job is in its state and what comes next', async () => {
    const { post, get } = await startHttp()
    const runAt = new Date(Date.now() + 3_600_000).toISOString()
    await post('/createJob', { type: 'echo', payload: { secret: 'hunter2' }, run_at: runAt })

    const { status, headers, body } = await get('/jobs/1/explain')

    expect(status).toBe(200)
    expect(headers.get('content-type')).toBe('application/json; charset=utf-8')
    expect(body).toEqual({
      at: instant,
      job_id: 1,
      state: 'scheduled',
      meaning: 'has a run_at in the future',
      summary: expect.stringMatching(
        /^Job 1 \(echo\) is scheduled: an HTTP client enqueued it .+, with a delay of 1 h\. It can run in .+, at .+\.$/,
      ),
      advice:
        'Wait: it runs by itself at that time. To let it run now, edit it: set `run_at` to the present (`runAt` in the library).',
      because: {
        seq: 1,
        event: 'enqueue',
        cause: 'http',
        at: instant,
        attempt: 0,
        max_attempts: 4,
        error: null,
        sentence: expect.stringMatching(/^An HTTP client enqueued it .+\.$/),
      },
      last_failure: null,
      next: [
        {
          event: 'due',
          to: 'queued',
          cause: 'clock',
          possible: false,
          obstacles: [{ code: 'not_due', message: expect.stringContaining(runAt), until: runAt }],
          sentence: expect.stringMatching(
            /^Its time comes \(due\): the job becomes queued\. Not now: it is due in .+\.$/,
          ),
        },
        {
          event: 'cancel',
          to: 'cancelled',
          cause: 'person',
          possible: true,
          obstacles: [],
          sentence: 'A user stops it (cancel): the job becomes cancelled. It can happen now.',
        },
        {
          event: 'amend',
          to: 'scheduled',
          cause: 'person',
          possible: true,
          obstacles: [],
          sentence: 'A user changes it (amend): the job becomes scheduled. It can happen now.',
        },
      ],
      obstacles: [{ code: 'not_due', message: expect.stringContaining(runAt), until: runAt }],
      workers: [],
      replays: null,
      trace_id: null,
      line: null,
      earliest_run_at: runAt,
      earliest: expect.stringContaining(runAt),
      removed_at: null,
    })
    expect(JSON.stringify(body)).not.toContain('hunter2')
  })

  test('gives a place in line', async () => {
    const { post, get, untilState } = await startHttp({ workers: 1 })
    await post('/createJob', { type: 'sleep', payload: { ms: 60_000 } })
    await untilState(1, 'running')
    await post('/jobs', [
      { type: 'echo', payload: 1 },
      { type: 'echo', payload: 2 },
    ])

    const { body } = await get('/jobs/3/explain')

    const [one, none] = [
      { count: 1, more: false },
      { count: 0, more: false },
    ]
    expect(body.line).toEqual({ ahead: one, higher: none, highest: 0, queues: one })
    expect(body.workers).toEqual([{ job_id: 1, type: 'sleep', since: instant, until: instant, aborted_at: null }])
    expect(body.obstacles.map(({ code }: { code: string }) => code)).toEqual(['behind_others', 'no_free_worker'])
  })

  test('returns an error as text, whatever its handler put into it', async () => {
    const hostile = `"}],"x":{"\\u0000\n\u202e<script>alert(1)</script>\ud800 ' OR 1=1 --`
    const failing = defineHandler({
      type: 'failing',
      payload: z.unknown(),
      run() {
        throw Object.assign(new Error(hostile), { name: '</script><b>' })
      },
    })
    const { post, get, untilState } = await startHttp({ handlers: [failing] })
    await post('/createJob', { type: 'failing', payload: 1, max_retries: 0 })
    await untilState(1, 'dead')

    const { status, headers, body } = await get('/jobs/1/explain')

    expect(status).toBe(200)
    expect(headers.get('x-content-type-options')).toBe('nosniff')
    expect(body.last_failure.error).toEqual({ name: '</script><b>', message: hostile.toWellFormed() })
    expect(body.because.sentence).toContain(`with </script><b>: "}],"x":{"\\u0000 <script>alert(1)</script>`)
    expect(body.summary).not.toMatch(/\p{C}/u)
  })

  test('answers 404 if there is no such job', async () => {
    const { get } = await startHttp()

    const { status, body } = await get('/jobs/1/explain')

    expect([status, body.code, body.message]).toEqual([404, 'job_not_found', 'no job has the id 1'])
  })

  test('refuses parameters, because it has none', async () => {
    const { post, get } = await startHttp()
    await post('/createJob', aWaitingJob())

    const { status, body } = await get('/jobs/1/explain?verbose=1')

    expect([status, body.code]).toEqual([400, 'invalid_input'])
    expect(body.errors).toEqual([{ path: 'verbose', message: 'is not a known parameter; known are none' }])
  })
})

test('says the same in the library, over HTTP and on the page', async () => {
  const jobs = await createTestSystem({ handlers: testHandlers })
  whenDone(() => jobs.stop())
  const http = createHttp(jobs.system)
  whenDone(() => http.close())
  const textOf = async (path: string) => (await http.fetch(new Request(`https://app.example${path}`))).text()
  await jobs.enqueue({ type: 'echo', payload: 1, delayMs: 3_600_000 })
  await jobs.enqueue({ type: 'broken', payload: 2, maxRetries: 0 })
  await jobs.enqueue({ type: 'broken', payload: 3, maxRetries: 3 })
  await jobs.enqueue({ type: 'echo', payload: 4 })
  const { id: cancelled } = await jobs.enqueue({ type: 'echo', payload: 5, delayMs: 3_600_000 })
  await jobs.drain()
  await jobs.system.cancel(cancelled, { by: { cause: 'library', actor: 'ada', reason: 'a <b>bold</b> one' } })
  const states: string[] = []

  for (const { id, state } of await jobs.enqueued()) {
    states.push(state)
    const explanation = await jobs.system.explain(id)
    const page = await textOf(`/dashboard/jobs/${id}`)
    const [, section = ''] = /<section class="card explanation"([\s\S]*?)<\/section>/.exec(page) ?? []
    const shown = section
      .replace(/<[^>]*>/g, '')
      .replace(/&(lt|gt|quot|#39|amp);/g, (_, name: string) => entities[name]!)
    const { summary, advice, earliest, because, next, obstacles } = explanation

    expect(JSON.parse(await textOf(`/jobs/${id}/explain`))).toMatchObject({
      at: new Date(explanation.at).toISOString(),
      state,
      summary,
      advice,
      earliest,
      because: { sentence: because.sentence },
      next: next.map(({ event, possible, sentence }) => ({ event, possible, sentence })),
      obstacles: obstacles.map(({ code, message }) => ({ code, message })),
    })
    const reasons = obstacles.filter(({ code }) => code !== 'ended').map(({ message }) => message)
    for (const text of [summary, advice, earliest, ...next.map(({ sentence }) => sentence), ...reasons]) {
      expect(shown).toContain(text)
    }
    expect(page.includes('<dt>May run</dt>')).toBe(state === 'scheduled' || state === 'retrying')
  }

  expect(states).toEqual(['scheduled', 'dead', 'retrying', 'succeeded', 'cancelled'])
})

test('a job that a bulk action stopped names its size, and leads to its page while that is known', async () => {
  const jobs = await createTestSystem({ handlers: testHandlers })
  whenDone(() => jobs.stop())
  const http = createHttp(jobs.system)
  whenDone(() => http.close())
  const later = { type: 'echo', payload: 1, delayMs: 3_600_000 }
  const [first] = await jobs.system.enqueue([later, later])
  const bulk = await jobs.system.prepareBulk('cancel', { type: 'echo' })
  await bulk.settled()
  bulk.run(bulk.matched)
  await bulk.settled()
  const page = async () => (await http.fetch(new Request(`https://app.example/dashboard/jobs/${first!.id}`))).text()

  expect(await page()).toContain(`, in <a href="/dashboard/bulk/${bulk.id}">a bulk action</a>`)
  expect((await jobs.system.explain(first!.id)).summary).toContain('in a bulk action that changed 2 jobs')
})

test('the sentences of a page and its facts have one instant, however long its chart takes', async () => {
  const jobs = await createTestSystem({ handlers: testHandlers })
  whenDone(() => jobs.stop())
  const http = createHttp(jobs.system)
  whenDone(() => http.close())
  const { id } = await jobs.enqueue({ type: 'echo', payload: 1 })
  await jobs.drain()
  jobs.clock.advance(9_949)
  const askedAt = jobs.clock.now()
  const path = jobs.system.path
  Object.defineProperty(jobs.system, 'path', {
    value: (...given: Parameters<typeof path>) => {
      jobs.clock.advance(3_000)
      return path.apply(jobs.system, given)
    },
  })

  const page = await (await http.fetch(new Request(`https://app.example/dashboard/jobs/${id}`))).text()

  expect(jobs.clock.now()).toBe(askedAt + 3_000)
  expect(page.match(/9\.9 s ago/g)).toHaveLength(4)
  expect(page).not.toContain('13 s ago')
})
