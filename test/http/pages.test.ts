import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest'
import { z } from 'zod'
import { defineHandler } from '../../src/handlers/define.ts'
import { aWaitingJob, holdingHandlers, startHttp, type TestServer } from '../support/server.ts'
import { cleanUp } from '../support/temp.ts'

let server: TestServer
beforeAll(async () => {
  server = await startHttp()
  await server.post('/jobs', [aWaitingJob(), { type: 'broken', payload: 1, max_retries: 0 }])
  await server.untilState(2, 'dead')
})
afterAll(cleanUp)

/** As a page's form does, without a script. */
function submit(path: string, fields: Record<string, string> = {}, headers: Record<string, string> = {}) {
  return server.fetch(path, { method: 'POST', body: new URLSearchParams(fields), redirect: 'manual', headers })
}

test.each([
  '/',
  '/dashboard/jobs',
  '/dashboard/jobs/1',
  '/dashboard/jobs/2?at=1',
  '/dashboard/nodes',
  '/dashboard/schedules',
  '/docs',
])('%s is a page, and needs its script only for what changes', async (path) => {
  const { status, headers, body } = await server.get(path)

  expect([status, headers.get('content-type')]).toEqual([200, 'text/html; charset=utf-8'])
  expect(headers.get('content-security-policy')).toContain("script-src 'self'; style-src 'self'")
  expect(headers.get('cache-control')).toBe('no-store')
  expect(body).not.toMatch(/<script(?![^>]*src="\/assets\/)|<style|style="|onclick/)
  for (const [, asset] of body.matchAll(/(?:src|href)="(\/assets\/[^"]+)"/g)) {
    expect([asset, (await server.get(asset)).status]).toEqual([asset, 200])
  }
})

test('the page of nodes and GET /nodes show the one process of a file', async () => {
  const { body } = await server.get('/dashboard/nodes')
  const { nodes } = (await server.get('/nodes')).body

  expect(body).toContain(`${process.pid} on `)
  expect(body).toContain('(this one)')
  expect(body).toContain('lives')
  expect(nodes).toMatchObject([{ id: 1, pid: process.pid, is_own: true, serves: true, ended_at: null, duties: [] }])
})

describe('a page that cannot be shown says why', () => {
  test.each([
    ['/dashboard/jobs/9', 404, 'no job has the id 9'],
    ['/dashboard/jobs/x', 404, 'no job has the id'],
    ['/dashboard/jobs/2?at=99', 400, 'must be a whole number from 1 to 4'],
    ['/dashboard/jobs/2?at=0', 400, 'must be a whole number'],
    ['/dashboard/jobs/2?x=1', 400, 'is not a known parameter'],
    ['/dashboard/jobs?state=asleep', 400, 'must be one of: blocked, scheduled'],
    ['/dashboard/jobs?created_from=yesterday', 400, 'must be a date and a time'],
    ['/dashboard/jobs?cursor=x', 400, 'must be the cursor that came with the page before'],
    [`/dashboard/jobs?text=${'x'.repeat(201)}`, 400, 'must be 1 to 200 characters'],
    ['/dashboard/bulk/x', 404, 'there is no such bulk action'],
    ['/dashboard/nope', 404, 'there is nothing at /dashboard/nope'],
    ['/dashboard/jobs/1/cancel', 405, 'GET is not allowed here'],
  ])('%s', async (path, status, reason) => {
    const answer = await server.get(path)

    expect([answer.status, answer.headers.get('content-type')]).toEqual([status, 'text/html; charset=utf-8'])
    expect(answer.body).toContain(reason)
  })
})

describe('without a script', () => {
  test('a form changes a job, and redirects back to its page', async () => {
    const { status, headers } = await submit('/dashboard/jobs/1/cancel')

    expect([status, headers.get('location')]).toEqual([303, '/dashboard/jobs/1'])
    expect((await server.get('/jobs/1')).body.state).toBe('cancelled')
  })

  test('a form that the machine refuses gets an answer that says so', async () => {
    const { status, body } = await submit('/dashboard/jobs/1/cancel')

    expect(status).toBe(409)
    expect(body).toContain('job 1 is cancelled, which does not allow cancel; it allows requeue')
  })

  test('a form that changes a job sends only what its user changed', async () => {
    const own = await startHttp({ started: false })
    await own.post('/jobs', aWaitingJob())
    const path = '/dashboard/jobs/1/edit'
    const shown = await own.get(path)
    const save = (fields: Record<string, string>) =>
      own.fetch(path, { method: 'POST', body: new URLSearchParams(fields), redirect: 'manual' })
    const untouched = { seq: '1', payload: '{\r\n  "n": 1\r\n}', priority: '0', max_retries: '3', reason: '' }

    const same = await save(untouched)
    const saved = await save({ ...untouched, priority: '7', reason: 'it is urgent' })
    const late = await save({ ...untouched, priority: '9' })

    expect(shown.body).toContain('&quot;n&quot;: 1')
    expect([same.status, saved.status, late.status]).toEqual([303, 303, 409])
    expect(late.body).toContain('The job has changed since this form was shown')
    expect((await own.get('/jobs/1/history')).body.history.slice(1)).toMatchObject([
      { cause: 'dashboard', reason: 'it is urgent', changes: { priority: { from: 0, to: 7 } } },
    ])
  })

  test('a payload that the app hides is not offered to be changed, and an empty field keeps it', async () => {
    const own = await startHttp({ started: false, redact: () => 'hidden' })
    await own.post('/jobs', aWaitingJob({ payload: 'secret' }))
    const path = '/dashboard/jobs/1/edit'

    const { body } = await own.get(path)
    const given = new URLSearchParams({ seq: '1', payload: '', priority: '7' })
    await own.fetch(path, { method: 'POST', body: given, redirect: 'manual' })

    expect(body).toContain('It is hidden here.')
    expect(body).not.toContain('secret')
    expect((await own.get('/jobs/1/payload?at=1')).body).toEqual({ id: 1, payload: 'hidden' })
    expect(await own.system.find(1)).toMatchObject({ payload: 'secret', priority: 7 })
  })

  test('there is no form for a job that runs or has succeeded', async () => {
    const { letGo, handlers } = holdingHandlers()
    const own = await startHttp({ handlers })
    await own.post('/jobs', { type: 'held', payload: 1 })
    await own.untilState(1, 'running')

    const { status, headers } = await own.fetch('/dashboard/jobs/1/edit', { redirect: 'manual' })
    letGo()

    expect([status, headers.get('location')]).toEqual([303, '/dashboard/jobs/1'])
  })

  test('a list links to the older jobs, with the same filter', async () => {
    const more = await startHttp({ started: false })
    await more.post(
      '/jobs',
      Array.from({ length: 51 }, () => ({ type: 'echo', payload: '<&>', queue: 'a' })),
    )

    const { body } = await more.get(`/dashboard/jobs?queue=a&text=${encodeURIComponent('<&>')}`)
    const [, href] = /href="([^"]*cursor=[^"]*)"/.exec(body)!
    const next = await more.get(href!.replaceAll('&amp;', '&'))

    expect([...next.body.matchAll(/<tr id="job-(\d+)"/g)].map(([, id]) => id)).toEqual(['1'])
  })

  test('a bulk action shows its count before anything changes', async () => {
    const begun = await submit('/dashboard/bulk', { command: 'requeue', state: 'dead' })
    const path = begun.headers.get('location')!
    const bulk = server.system.findBulk(path.split('/').at(-1)!)!
    await bulk.settled()
    const shown = await server.get(path)
    const wrong = await submit(`${path}/run`, { matched: '2' })
    const before = (await server.get('/jobs/2')).body.state
    const run = await submit(`${path}/run`, { matched: '1' })
    await bulk.settled()

    expect(begun.status).toBe(303)
    expect(shown.body).toContain('Requeue 1 job')
    expect([wrong.status, before]).toEqual([409, 'dead'])
    expect([run.status, bulk.moved]).toEqual([303, 1])
    expect((await submit('/dashboard/bulk', { command: 'explode' })).status).toBe(400)
    expect((await server.get('/dashboard/jobs?state=succeeded')).body).toContain('A succeeded job allows no command.')
  })

  test('a form of another site changes nothing', async () => {
    const { status, headers } = await submit(
      '/dashboard/bulk',
      { command: 'cancel' },
      { origin: 'https://evil.example' },
    )

    expect([status, headers.get('content-type')]).toEqual([403, 'text/html; charset=utf-8'])
  })
})

test('a job’s page says who asked for each change', async () => {
  const own = await startHttp({ started: false })
  const form = (path: string, fields = {}) =>
    own.fetch(path, { method: 'POST', body: new URLSearchParams(fields), redirect: 'manual' })
  await own.post('/createJob', aWaitingJob())
  await form('/dashboard/jobs/1/cancel')
  await own.system.requeue(1, { by: { cause: 'library', actor: '<ada>', reason: 'a & b' } })
  const { headers } = await form('/dashboard/bulk', { command: 'cancel' })
  const path = headers.get('location')!
  const bulk = own.system.findBulk(path.split('/').at(-1)!)!
  await bulk.settled()
  await form(`${path}/run`, { matched: '1' })
  await bulk.settled()
  await own.post('/jobs/1/requeue')

  const page = (await own.get('/dashboard/jobs/1')).body
  const { history } = (await own.get('/jobs/1/history')).body

  const told = [...page.matchAll(/<span class="cause muted">(.*?)<\/span>/g)].map(([, text]) =>
    text!.replace(/<[^>]*>/g, ''),
  )
  expect(told).toEqual([
    'by an HTTP client',
    'by a user of the dashboard',
    'by the application (&lt;ada&gt;): a &amp; b',
    'by a user of the dashboard, in a bulk action',
    'by an HTTP client',
  ])
  expect(history).toMatchObject([
    { event: 'enqueue', cause: 'http' },
    { event: 'cancel', cause: 'dashboard' },
    { event: 'requeue', cause: 'library', actor: '<ada>', reason: 'a & b' },
    { event: 'cancel', cause: 'dashboard', bulk: bulk.id },
    { event: 'requeue', cause: 'http' },
  ])
})

test('a job’s page has the stack of each error folded, as text', async () => {
  class CardDeclined extends Error {
    readonly code = '<b>E_CARD</b>'
  }
  const charge = defineHandler({
    type: 'charge',
    payload: z.unknown(),
    maxRetries: 0,
    run() {
      throw new CardDeclined('no', { cause: new AggregateError([new Error('<i>bank 1</i>')]) })
    },
  })
  const own = await startHttp({ handlers: [charge] })
  await own.post('/jobs', { type: 'charge', payload: 1 })
  await own.untilState(1, 'dead')

  const { body } = await own.get('/dashboard/jobs/1')

  const details = /<details data-own[^>]*><summary>Stack<\/summary><pre[^>]*>(.*?)<\/pre><\/details>/s.exec(body)?.[1]
  expect(details?.split('\n').slice(0, 3)).toEqual([
    'code: &lt;b&gt;E_CARD&lt;/b&gt;',
    'cause: AggregateError: 1 error: &lt;i&gt;bank 1&lt;/i&gt;',
    'error: Error: &lt;i&gt;bank 1&lt;/i&gt;',
  ])
  expect(details).toMatch(/\nat Object\.run .*pages\.test/)
})

test('a page shows the beginning of a long payload, and a link to all of it', async () => {
  let nested: unknown = Array(1_000).fill(0)
  for (let depth = 0; depth < 60; depth++) nested = [nested]
  const { body } = await server.post('/jobs', aWaitingJob({ payload: [nested, nested, nested] }))

  const page = (await server.get(`/dashboard/jobs/${body.id}`)).body

  expect(page.length).toBeLessThan(60_000)
  expect(page).toContain(`<a href="/jobs/${body.id}">all of it</a>`)
})

test('the series arrive in columns of the same length', async () => {
  const { status, body } = await server.get('/dashboard/series')

  expect(status).toBe(200)
  expect(new Set(Object.values<unknown[]>(body).map(({ length }) => length)).size).toBe(1)
  expect(Object.keys(body)).toEqual(expect.arrayContaining(['at', 'enqueued_per_s', 'in_queue_p99_ms']))
})

test('a draining server shows its pages, and that it is not ready', async () => {
  const { handlers, letGo } = holdingHandlers()
  const draining = await startHttp({ handlers })
  await draining.post('/jobs', { type: 'held', payload: null })
  await draining.untilState(1, 'running')

  const stopped = draining.system.stop({ graceMs: 600_000 })
  const { status, body } = await draining.get('/')
  letGo()
  await stopped

  expect(status).toBe(200)
  expect(body).toContain('not ready: draining')
})

test('a producer shows the file, and that it runs nothing', async () => {
  const producer = await startHttp({ handlers: undefined } as never)
  await producer.post('/jobs', { type: 'anything', payload: 1 })

  const overview = await producer.get('/')
  const job = await producer.get('/dashboard/jobs/1')

  expect([overview.status, job.status]).toEqual([200, 200])
  expect(overview.body).toContain('0 of 0 busy')
})

test('the overview is rendered once for all viewers', async () => {
  const own = await startHttp()
  let made = 0
  const { metrics } = own.system
  own.system.metrics = () => {
    made++
    return metrics.call(own.system)
  }

  // A busy machine may serve twenty pages in more time than one is shared for.
  const now = vi.spyOn(performance, 'now').mockReturnValue(performance.now())
  onTestFinished(() => now.mockRestore())

  const pages = await Promise.all(Array.from({ length: 20 }, () => own.get('/')))

  expect(pages.every(({ status }) => status === 200)).toBe(true)
  expect(made).toBe(1)
})
