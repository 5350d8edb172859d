import { EventEmitter } from 'node:events'
import { describe, expect, test } from 'vitest'
import { PermanentError } from '../../src/errors.ts'
import type { Outgoing } from '../../src/http/exchange.ts'
import { ReadLimits, ResponseMemory } from '../../src/http/read-limits.ts'
import { deferred } from '../support/deferred.ts'
import { openConnection, request } from '../support/raw-http.ts'
import { aWaitingJob, startHttp, testHandlers } from '../support/server.ts'
import { aHandler, until, untilCalled } from '../support/system.ts'

const value = { text: '<b>bold</b> & "quoted"', list: [1, null] }

/** A server whose jobs of type `held` end with what `end` gets, and whose others end at once. */
async function aServer(options: Parameters<typeof startHttp>[0] = {}) {
  const end = deferred<unknown>()
  const handlers = [
    ...testHandlers,
    aHandler('held', () => end.promise),
    aHandler('value', () => value),
    aHandler('doomed', () => {
      throw new PermanentError('no such customer')
    }),
  ]
  const server = await startHttp({ handlers, ...options })
  const create = async (job: object): Promise<number> => (await server.post('/jobs', job)).body.id
  return { ...server, end, create }
}

describe('GET /jobs/:id/result', () => {
  test('answers with what the handler returned, and without it if that was nothing', async () => {
    const { get, create } = await aServer()
    const id = await create({ type: 'value', payload: null })
    const silent = await create({ type: 'echo', payload: null })

    expect(await get(`/jobs/${id}/result?wait_ms=30000`)).toMatchObject({ status: 200, body: { id, result: value } })
    expect((await get(`/jobs/${silent}/result?wait_ms=30000`)).body).toEqual({ id: silent })
    expect(await get(`/jobs/${id}/result`)).toMatchObject({ status: 200, body: { id, result: value } })
  })

  test('answers 202 with the state of a job that has not ended, when the time is over', async () => {
    const { get, create } = await aServer()
    const id = await create(aWaitingJob())

    expect(await get(`/jobs/${id}/result`)).toMatchObject({ status: 202, body: { id, state: 'scheduled' } })
    const since = performance.now()
    expect((await get(`/jobs/${id}/result?wait_ms=100`)).status).toBe(202)
    expect(performance.now() - since).toBeGreaterThan(95)
  })

  test('waits until the job ends', async () => {
    const { get, create, end, system } = await aServer()
    const id = await create({ type: 'held', payload: null })
    const waiting = get(`/jobs/${id}/result?wait_ms=30000`)
    await untilCalled(system, id)

    end.resolve('done')

    expect(await waiting).toMatchObject({ status: 200, body: { id, result: 'done' } })
  })

  test('answers at once that there will be none, as a problem', async () => {
    const { get, post, create } = await aServer()
    const dead = await create({ type: 'doomed', payload: null })
    const cancelled = await create(aWaitingJob())
    await post(`/jobs/${cancelled}/cancel`)

    expect(await get(`/jobs/${dead}/result?wait_ms=30000`)).toMatchObject({
      status: 409,
      body: { code: 'job_failed', id: dead, message: expect.stringContaining('no such customer') },
    })
    expect(await get(`/jobs/${cancelled}/result?wait_ms=30000`)).toMatchObject({
      status: 409,
      body: { code: 'job_cancelled', id: cancelled },
    })
    expect(await get('/jobs/987/result?wait_ms=30000')).toMatchObject({ status: 404, body: { code: 'job_not_found' } })
  })

  test.each(['-1', '30001', 'soon', '1.5', ''])('refuses to wait for %s ms', async (text) => {
    const { get, create } = await aServer()
    const id = await create(aWaitingJob())

    expect(await get(`/jobs/${id}/result?wait_ms=${text}`)).toMatchObject({
      status: 400,
      body: { errors: [{ path: 'wait_ms', message: 'must be a whole number from 0 to 30000' }] },
    })
  })

  test('forgets a client that leaves, and answers 503 when the system stops', async () => {
    const { url, create, system, get } = await aServer()
    const id = await create(aWaitingJob())
    const leaving = new AbortController()
    const left = fetch(`${url}/jobs/${id}/result?wait_ms=30000`, { signal: leaving.signal }).catch(() => 'left')
    const waiting = get(`/jobs/${id}/result?wait_ms=30000`)
    await until(async () => (await get('/livez')).status === 200)

    leaving.abort()
    await system.stop()

    expect(await left).toBe('left')
    expect(await waiting).toMatchObject({ status: 503, body: { code: 'unavailable' } })
  })

  test('keeps no other request waiting, however many wait for results', async () => {
    const { create, port, get } = await aServer()
    const id = await create(aWaitingJob())
    const waiting = await Promise.all(Array.from({ length: 200 }, () => openConnection(port)))
    for (const each of waiting) each.write(request(`GET /jobs/${id}/result?wait_ms=30000`))

    const since = performance.now()
    for (let times = 0; times < 20; times++) expect((await get(`/jobs/${id}`)).status).toBe(200)

    expect(performance.now() - since).toBeLessThan(5_000)
    for (const { socket } of waiting) socket.destroy()
  })
})

describe('the page of a job', () => {
  test('shows its result as text, and that there is none', async () => {
    const { get, create, untilState } = await aServer()
    const id = await create({ type: 'value', payload: null })
    const silent = await create({ type: 'echo', payload: null })
    await untilState(id, 'succeeded')
    await untilState(silent, 'succeeded')

    const { body } = await get(`/dashboard/jobs/${id}`)

    expect(body).toContain('<h2>Result</h2>')
    expect(body).toContain('&lt;b&gt;bold&lt;/b&gt;')
    expect(body).not.toContain('<b>bold</b>')
    expect((await get(`/dashboard/jobs/${silent}`)).body).toContain('Its handler returned nothing.')
    expect((await get(`/dashboard/jobs/${await create(aWaitingJob())}`)).body).not.toContain('<h2>Result</h2>')
  })

  test('cuts a long result, and leads to the whole', async () => {
    const { get, create, end, untilState } = await aServer()
    const id = await create({ type: 'held', payload: null })
    end.resolve('x'.repeat(50_000))
    await untilState(id, 'succeeded')

    const { body } = await get(`/dashboard/jobs/${id}`)

    expect(body.length).toBeLessThan(60_000)
    expect(body).toContain(`<a href="/jobs/${id}/result">all of it</a>`)
  })

  test('hides results if payloads are hidden, and so does the API', async () => {
    const { get, create, untilState } = await aServer({ redact: () => 'hidden' })
    const id = await create({ type: 'value', payload: null })
    await untilState(id, 'succeeded')

    expect(await get(`/jobs/${id}/result`)).toMatchObject({ status: 403, body: { code: 'forbidden' } })
    const { body } = await get(`/dashboard/jobs/${id}`)
    expect(body).toContain('Results are not shown here')
    expect(body).not.toContain('bold')
  })
})

test('ten thousand requests may wait for results, and one more is refused', async () => {
  const limits = new ReadLimits(new ResponseMemory(1))
  const { promise: ended, resolve: end } = deferred<Response>()
  const wait = () => {
    const req = Object.assign(new EventEmitter(), { socket: { destroyed: false } })
    return limits.serve('wait', { req } as unknown as Outgoing, () => ended)
  }
  const waiting = Array.from({ length: 10_000 }, wait)

  await expect(wait()).rejects.toThrow('10000 requests wait for results, the most allowed')

  end(new Response(''))
  await Promise.all(waiting)
  await expect(wait()).resolves.toBeInstanceOf(Response)
})
