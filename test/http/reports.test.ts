import { describe, expect, test } from 'vitest'
import type { JobContext } from '../../src/index.ts'
import { deferred } from '../support/deferred.ts'
import { openEvents } from '../support/event-stream.ts'
import { startHttp } from '../support/server.ts'
import { aHandler, until } from '../support/system.ts'

const instant = expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/)

/** A server with jobs that run until `end`, the contexts of those that have begun, and one that logs and ends. */
async function startReporting(options: Parameters<typeof startHttp>[0] = {}) {
  const contexts: JobContext[] = []
  const { promise, resolve: end } = deferred()
  const held = aHandler('held', (_: never, context) => {
    contexts.push(context)
    return promise
  })
  const logging = aHandler('logging', (_: never, { log, progress }) => {
    for (let n = 1; n <= 150; n++) log.info({ n }, `line <${n}>`)
    progress({ step: 'done' })
  })
  const server = await startHttp({ handlers: [held, logging], ...options })
  const begin = async (more: object = {}) => {
    const { body } = await server.post('/jobs', { type: 'held', payload: null, ...more })
    await until(() => contexts.some(({ jobId }) => jobId === body.id))
    return contexts.find(({ jobId }) => jobId === body.id)!
  }
  return { ...server, begin, end }
}

describe('GET /jobs/:id', () => {
  test('has the progress of a job, of which attempt and when', async () => {
    const { begin, get, end, untilState } = await startReporting()
    const { jobId, progress } = await begin()
    const none = { progress: null, progress_at: null, progress_attempt: null }
    expect((await get(`/jobs/${jobId}`)).body).toMatchObject(none)

    progress({ done: 1, total: 2 })
    await until(async () => (await get(`/jobs/${jobId}`)).body.progress !== null)

    const reported = { progress: { done: 1, total: 2 }, progress_at: instant, progress_attempt: 1 }
    expect((await get(`/jobs/${jobId}`)).body).toMatchObject({ state: 'running', ...reported })
    expect((await get('/jobs')).body.jobs).toMatchObject([reported])
    end()
    expect(await untilState(jobId, 'succeeded')).toMatchObject(reported)
  })
})

describe('GET /jobs/:id/log', () => {
  test('pages through the lines of a job', async () => {
    const { post, get, untilState } = await startReporting()
    const { id } = (await post('/jobs', { type: 'logging', payload: null })).body
    await untilState(id, 'succeeded')

    const { status, body } = await get(`/jobs/${id}/log?limit=2`)

    expect(status).toBe(200)
    const line = { at: instant, attempt: 1, level: 'info' }
    expect(body).toEqual({
      lines: [
        { ...line, n: 1, message: 'line <1>', fields: { n: 1 } },
        { ...line, n: 2, message: 'line <2>', fields: { n: 2 } },
      ],
      first: 1,
      last: 150,
    })
    const rest = (await get(`/jobs/${id}/log?after=148`)).body
    expect(rest.lines.map(({ n }: { n: number }) => n)).toEqual([149, 150])
    expect((await get(`/jobs/${id}/log`)).body.lines).toHaveLength(150)
  })

  test('refuses a job that does not exist, and a wrong page', async () => {
    const { get } = await startReporting()

    expect(await get('/jobs/9/log')).toMatchObject({ status: 404 })
    expect((await get('/jobs/9/log?limit=1001')).body.errors).toMatchObject([{ path: 'limit' }])
    expect((await get('/jobs/9/log?from=1')).body.errors).toMatchObject([{ path: 'from' }])
  })
})

describe('the progress of jobs on /events', () => {
  test('comes as it is stored, without an id, and to those whose filter it passes', async () => {
    const { begin, port, end } = await startReporting()
    const { jobId, progress } = await begin({ queue: 'mail' })
    progress(1)
    const streams = await Promise.all(
      ['', `?job_id=${jobId}`, '?queue=mail', '?type=held', '?queue=other', '?state=running'].map((query) =>
        openEvents(port, query),
      ),
    )
    const [all] = streams
    const position = all!.lastId

    progress(2)
    await all!.untilEvents(1)

    const event = {
      event: 'progress',
      data: { job_id: jobId, progress: 2, attempt: 1, at: instant, type: 'held', queue: 'mail' },
    }
    const told = () => streams.map(({ events }) => events.filter(({ data }) => data.progress === 2).length)
    await until(() =>
      told()
        .slice(0, 4)
        .every((count) => count === 1),
    )
    expect(all!.events.at(-1)).toMatchObject(event)
    expect(all!.lastId).toBe(position)
    progress(3)
    await until(() => all!.events.at(-1)?.data.progress === 3)
    expect(told()).toEqual([1, 1, 1, 1, 0, 0])
    end()
    await until(() => all!.events.at(-1)?.data.to === 'succeeded')
  })

  test.each([-1, 1])('comes though the clock of this process is off by %i day from that of the store', async (days) => {
    const { begin, port } = await startReporting({ now: () => Date.now() + days * 86_400_000 })
    const { progress } = await begin()
    const stream = await openEvents(port)

    progress(1)

    await stream.untilEvents(1)
    expect(stream.events.map(({ data }) => data.progress)).toEqual([1])
  })

  test('is not told again to a client that comes back', async () => {
    const { begin, port, get } = await startReporting()
    const { jobId, progress } = await begin()
    const stream = await openEvents(port)
    progress(1)
    await stream.untilEvents(1)
    stream.leave()
    progress(2)
    await until(async () => (await get(`/jobs/${jobId}`)).body.progress === 2)

    const next = await openEvents(port, '', { 'Last-Event-ID': stream.lastId })
    progress(3)
    await next.untilEvents(1)

    expect(next.events.map(({ event, data }) => [event, data.progress])).toEqual([['progress', 3]])
  })
})

describe('the page of a job', () => {
  test('shows a percentage and a part of a total as a bar, other progress as it is', async () => {
    const { begin, get } = await startReporting()
    const { jobId, progress } = await begin()
    const shown = async (value: unknown, text: string) => {
      progress(value)
      const body = await (async () => {
        let page = ''
        await until(async () => {
          page = (await get(`/dashboard/jobs/${jobId}`)).body
          return page.includes(text)
        })
        return page
      })()
      return body.slice(body.indexOf('id="progress"'), body.indexOf('Its path'))
    }

    expect(await shown(40, '40 %')).toContain('<progress max="100" value="40"')
    const part = await shown({ done: 1_500, total: 3_000 }, '1,500 of 3,000')
    expect(part).toContain('<progress max="3000" value="1500"')
    expect(part).not.toContain('<pre')
    const more = await shown({ done: 1, total: 2, step: '<b>' }, '1 of 2')
    expect(more).toContain('&lt;b&gt;')
    expect(await shown('<i>soon</i>', '&lt;i&gt;soon')).not.toContain('<progress')
    expect(await shown(140, '140')).not.toContain('<progress')
  })

  test('shows the newest lines of its log, and where the others are', async () => {
    const { post, get, untilState } = await startReporting()
    const { id } = (await post('/jobs', { type: 'logging', payload: null })).body
    await untilState(id, 'succeeded')

    const { body } = await get(`/dashboard/jobs/${id}`)

    expect(body).toContain('line &lt;150&gt;')
    expect(body).toContain('line &lt;51&gt;')
    expect(body).not.toContain('line &lt;50&gt;')
    expect(body).toContain('50 earlier lines are not shown')
    expect(body).toContain(`href="/jobs/${id}/log"`)
  })
})
