import { Validator } from '@seriousme/openapi-schema-validator'
import { describe, expect, test, vi } from 'vitest'
import { z } from 'zod'
import { OutcomeUnknownError, StorageFullError, UnavailableError } from '../../src/errors.ts'
import { builtinHandlers } from '../../src/handlers/builtin.ts'
import { defineHandler } from '../../src/handlers/define.ts'
import { apiErrorCodes } from '../../src/http/api-errors.ts'
import { createApp } from '../../src/http/app.ts'
import { EventFeed } from '../../src/http/events/event-feed.ts'
import { apiRoutes } from '../../src/http/routes/api.ts'
import type { JobSystem } from '../../src/index.ts'
import { type Given, Judge } from '../support/api-document.ts'
import { deferred } from '../support/deferred.ts'
import { exchange, openConnection, request } from '../support/raw-http.ts'
import { aWaitingJob, holdingHandlers, startHttp, type TestServer, type TestServerOptions } from '../support/server.ts'

/** Reads that may wait for their turn. */
const waitingMax = 1_000

const apiToken = 'a-token-of-enough-length'
const handlers = builtinHandlers({ smtp: {}, webhook: { allowPrivate: false }, retryMaxMs: 1, now: () => 0 })

const silent = { debug() {}, info() {}, warn() {}, error() {}, child: () => silent }

async function judgeOf(server: TestServer, headers: Record<string, string> = {}): Promise<Judge> {
  const { status, body } = await server.fetch('/openapi.json', { headers })
  expect(status).toBe(200)
  return new Judge(body)
}

/** A system with one part replaced. */
function systemWith(part: object): Promise<TestServer> {
  return startHttp({ system: { payloadSchemas: {}, ...part } as unknown as JobSystem, started: false })
}

/** The head of an answer that does not end. */
async function headOf(server: TestServer, path: string, init: RequestInit = {}): Promise<Given> {
  const hangUp = new AbortController()
  const { status, headers } = await fetch(server.url + path, { ...init, signal: hangUp.signal })
  hangUp.abort()
  return { status, headers, body: '' }
}

describe('the document', () => {
  test.each([
    ['of the server', { handlers }],
    ['of a server that asks for a token', { handlers, apiToken }],
    ['of handlers of a user', {}],
    ['of no handlers', { handlers: [] }],
  ])('%s is valid OpenAPI 3.1', async (_, options: TestServerOptions) => {
    const server = await startHttp({ started: false, ...options })

    const { document } = await judgeOf(server, { authorization: `Bearer ${apiToken}` })

    expect(await new Validator().validate(structuredClone(document) as never)).toEqual({ valid: true })
    expect(document.openapi).toBe('3.1.1')
    expect(document.info.version).toBe('1.2.3')
  })

  test('has every route that programs use, and no others', async () => {
    const { document } = await judgeOf(await startHttp({ started: false }))
    const { routes } = createApp(
      {
        system: { payloadSchemas: {} } as JobSystem,
        log: silent,
        now: () => 0,
        apiToken: null,
        version: '',
        pages: true,
        readOnly: false,
        ownsProcess: true,
        basePath: '',
        maxRequestBytes: 1,
        maxRequestValues: 1,
        maxInFlightRequests: 1,
      },
      new EventFeed({ system: {} as JobSystem, log: silent, now: () => 0, random: () => 0 }),
    )
    const ofBrowsers = /^\/($|docs$|dashboard|login$|logout$|assets\/)/
    const served = routes
      .filter(({ path }) => !ofBrowsers.test(path))
      .map(({ method, path }) => `${method} ${path.replace(/:(\w+)/g, '{$1}')}`)

    const described = Object.entries(document.paths).flatMap(([path, methods]) =>
      Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
    )

    expect(described.sort()).toEqual(served.sort())
  })

  test('requires the token or the login form’s cookie if a token is set, but not for the probes', async () => {
    const server = await startHttp({ started: false, apiToken })

    const { document } = await judgeOf(server, { authorization: `Bearer ${apiToken}` })

    const form = new URLSearchParams({ token: apiToken, next: '/' })
    const login = await fetch(`${server.url}/login`, { method: 'POST', body: form, redirect: 'manual' })
    const [cookie = ''] = login.headers.get('set-cookie')!.split('=')
    expect(document.security).toEqual([{ token: [] }, { session: [] }])
    expect(document.components.securitySchemes).toMatchObject({
      token: { type: 'http', scheme: 'bearer' },
      session: { type: 'apiKey', in: 'cookie', name: cookie },
    })
    expect(document.paths['/livez']!.get!.security).toEqual([])
    expect(document.paths['/jobs']!.get!.responses).toHaveProperty('401')
    expect(document.paths['/livez']!.get!.responses).not.toHaveProperty('401')
  })

  test('requires no token if none is set, and says when it would', async () => {
    const { document } = await judgeOf(await startHttp({ started: false }))

    expect(document).not.toHaveProperty('security')
    expect(document.components).not.toHaveProperty('securitySchemes')
    expect(JSON.stringify(document)).not.toContain('unauthorized":')
    expect(document.info.description).toContain('If `API_TOKEN` is set')
  })

  test('accepts any JSON for a payload whose schema cannot be described, and follows one that refers to itself', async () => {
    const comment = z.strictObject({
      text: z.string(),
      get answers() {
        return z.array(comment)
      },
    })
    const untold = { '~standard': { version: 1 as const, vendor: 'own', validate: (value: unknown) => ({ value }) } }
    const server = await startHttp({
      handlers: [
        defineHandler({ type: 'untold', payload: untold, run() {} }),
        defineHandler({ type: 'comment', payload: comment, run() {} }),
      ],
    })

    const judge = await judgeOf(server)

    const faultsOf = (type: string, payload: unknown) =>
      judge.faultsOf('/components/schemas/NewJob', { type, payload }).length
    expect(faultsOf('untold', [1, { a: null }])).toBe(0)
    expect(faultsOf('comment', { text: 'a', answers: [{ text: 'b', answers: [] }] })).toBe(0)
    expect(faultsOf('comment', { text: 'a', answers: [{ text: 'b', answers: [{ text: 'c' }] }] })).toBeGreaterThan(0)
  })
})

describe('every example', () => {
  test('is accepted, with the status that it names, after the ones before it', async () => {
    const server = await startHttp({ handlers })
    const judge = await judgeOf(server)

    for (const { method, path, examples } of apiRoutes) {
      for (const { body, query, status, isEndless } of examples) {
        const target = `${path.replace(/:\w+/, '1')}${query === undefined ? '' : `?${query}`}`
        const get = isEndless ? headOf(server, target) : server.get(target)
        const answer = method === 'GET' ? await get : await server.post(target, body, method)
        expect([method, target, answer.status]).toEqual([method, target, status])
        judge.expectDescribed(method, target, answer)
      }
    }
  })

  test('of a body is what its schema accepts and what the server stores', async () => {
    const server = await startHttp({ handlers, started: false })
    const judge = await judgeOf(server)
    const bodies = ['/createJob', '/jobs'].flatMap((path) => {
      const { post } = judge.document.paths[path]!
      const examples = post?.requestBody?.content['application/json']?.examples ?? {}
      return Object.values(examples).map((example) => [path, (example as { value: unknown }).value] as const)
    })

    for (const [path, body] of bodies) {
      const pointer = `/paths/${path.replaceAll('/', '~1')}/post/requestBody/content/application~1json/schema`
      expect(judge.faultsOf(pointer, body)).toEqual([])
      expect([body, (await server.post(path, body)).status]).toEqual([body, 201])
    }
    expect(bodies.map(([, body]) => (body as { type?: string }).type)).toEqual(
      expect.arrayContaining(['email', 'webhook', 'sleep']),
    )
  })
})

describe('a tour through the API', () => {
  const met = { answers: new Set<string>(), codes: new Set<string>() }
  /** Fails if the answer is not as documented, and records what occurred. */
  const check = (judge: Judge, method: string, path: string, answer: Given, status: number) => {
    expect([method, path, answer.status]).toEqual([method, path, status])
    judge.expectDescribed(method, path, answer)
    met.answers.add(`${judge.operationOf(method, path)?.operation.operationId} ${status}`)
    met.codes.add((answer.body as { code?: string } | null)?.code ?? '')
  }
  const touring = (server: TestServer, judge: Judge) => ({
    get: async (path: string, status: number) => check(judge, 'GET', path, await server.get(path), status),
    post: async (path: string, body: unknown, status: number) =>
      check(judge, 'POST', path, await server.post(path, body), status),
    send: async (method: string, path: string, init: RequestInit, status: number) =>
      check(judge, method, path, await server.fetch(path, { method, ...init }), status),
    raw: async (method: string, path: string, bytes: string, status: number) => {
      const { headers, body, ...answer } = await exchange(server.port, bytes)
      const given = {
        ...answer,
        body: JSON.parse(body),
        headers: { get: (name: string) => headers[name.toLowerCase()] ?? null },
      }
      check(judge, method, path, given, status)
    },
  })

  test('gets only documented answers if all goes well', async () => {
    const server = await startHttp({ retryBaseMs: 1, retryMaxMs: 1 })
    const judge = await judgeOf(server)
    const { get, post, send } = touring(server, judge)
    const keyed = aWaitingJob({ idempotency_key: 'k' })

    await get('/jobs', 200)
    await post('/createJob', keyed, 201)
    await post('/createJob', keyed, 200)
    await post('/jobs', [keyed, { type: 'broken', payload: { a: [null] }, max_retries: 1 }], 201)
    await post('/jobs', [keyed], 200)
    await post('/jobs', { type: 'echo', payload: 1, timeout_ms: 5 }, 201)
    await server.untilState(2, 'dead')
    await server.untilState(3, 'succeeded')
    for (const id of [1, 2, 3]) {
      await get(`/jobs/${id}`, 200)
      for (const part of ['history', 'log', 'payload?at=1', 'explain', 'machine.svg', 'machine.svg?at=1'])
        await get(`/jobs/${id}/${part}`, 200)
    }
    await get('/jobs/1/result', 202)
    await get('/jobs/2/result', 409)
    await get('/jobs/3/result?wait_ms=1', 200)
    const body = JSON.stringify({ priority: 5, payload: 2, run_at: '2100-01-01T00:00:00Z', max_retries: 9 })
    await send('PATCH', '/jobs/1', { headers: { 'content-type': 'application/json' }, body }, 200)
    await get('/jobs/1/history', 200)
    for (let n = 3; n <= 110; n++) await server.system.amend(1, { payload: n })
    await get('/jobs/1/payload?at=2', 410)
    for (const machine of ['job', 'dispatcher', 'worker']) {
      for (const path of ['/machine', '/machine.svg']) await get(`${path}?of=${machine}`, 200)
    }
    await get('/nodes', 200)
    await get('/jobs?limit=1&state=dead&type=broken&queue=default', 200)
    await get('/jobs?limit=1', 200)
    check(judge, 'GET', '/events', await headOf(server, '/events?state=dead&type=a&queue=b&job_id=1'), 200)
    await post('/jobs/1/cancel', undefined, 200)
    await get('/jobs/1/result', 409)
    await post('/jobs/1/requeue', undefined, 200)
    await get('/jobs?text=a&created_from=2030-01-31T00:00:00Z&created_to=2031-01-31T00:00:00%2B01:00', 200)
    await post('/bulk', { command: 'requeue', state: 'dead', text: 'out of luck' }, 202)
    const [bulk] = server.system.bulks()
    await bulk!.settled()
    await get('/bulk', 200)
    await get(`/bulk/${bulk!.id}`, 200)
    await post(`/bulk/${bulk!.id}/run`, { matched: 1 }, 202)
    await post(`/bulk/${bulk!.id}/stop`, undefined, 200)
    const nightly = { cron: '0 2 * * *', job: { type: 'echo', payload: 1 } }
    check(judge, 'PUT', '/schedules/nightly', await server.post('/schedules/nightly', nightly, 'PUT'), 200)
    await post('/schedules/preview', { name: 'nightly', ...nightly }, 200)
    await post('/schedules/nightly/trigger', undefined, 201)
    for (const path of ['', '/nightly', '/nightly/preview', '/nightly/history']) await get(`/schedules${path}`, 200)
    for (const command of ['pause', 'resume']) await post(`/schedules/nightly/${command}`, { reason: 'a test' }, 200)
    check(judge, 'DELETE', '/schedules/nightly', await server.post('/schedules/nightly', undefined, 'DELETE'), 200)
    for (const path of ['/metrics', '/metrics/prometheus', '/livez', '/readyz', '/openapi.json']) await get(path, 200)
  })

  test('gets only documented answers if the request is wrong', async () => {
    const server = await startHttp({ maxRequestBytes: 2_000, maxQueueDepth: 3 })
    const { get, post, send, raw } = touring(server, await judgeOf(server))
    const json = { 'content-type': 'application/json' }
    const held = aWaitingJob({ idempotency_key: 'k', unique: { key: 'u' } })
    await post('/jobs', [held, { type: 'echo', payload: 1 }], 201)
    await server.untilState(2, 'succeeded')

    for (const path of ['/createJob', '/jobs']) {
      await send('POST', path, { headers: json, body: '{' }, 400)
      await post(path, { type: 'echo' }, 400)
      await post(path, { type: 'sleep', payload: {} }, 400)
      await post(path, { type: 'nope', payload: {} }, 400)
      await post(path, aWaitingJob({ idempotency_key: 'k', priority: 1 }), 409)
      await post(path, aWaitingJob({ unique: { key: 'u', on_conflict: 'refuse' } }), 409)
      await post(path, aWaitingJob({ payload: 'x'.repeat(2_000) }), 413)
      await send('POST', path, { headers: { 'content-type': 'text/plain' }, body: '{}' }, 415)
      await send('POST', path, { headers: { ...json, 'content-encoding': 'gzip' }, body: '{}' }, 415)
      await send('POST', path, { headers: { ...json, origin: 'http://evil.example' }, body: '{}' }, 403)
    }
    const twice = [aWaitingJob({ idempotency_key: 'l' }), aWaitingJob({ idempotency_key: 'l', priority: 1 })]
    await post('/jobs', twice, 409)
    await post('/jobs', [aWaitingJob(), aWaitingJob(), aWaitingJob()], 429)
    await get('/jobs?limit=0&state=x&y=1', 400)
    for (const path of ['history?after=x', 'log?limit=0', 'explain?x', 'machine.svg?at=99', 'result?wait_ms=30001'])
      await get(`/jobs/1/${path}`, 400)
    for (const path of ['/machine', '/machine.svg']) await get(`${path}?of=x`, 400)
    for (const id of ['9', 'x']) {
      for (const part of ['', '/history', '/log', '/payload', '/explain', '/machine.svg', '/result'])
        await get(`/jobs/${id}${part}`, 404)
      for (const path of [`/jobs/${id}/cancel`, `/jobs/${id}/requeue`]) await post(path, undefined, 404)
    }
    for (const path of ['/jobs/2/cancel', '/jobs/2/requeue']) await post(path, undefined, 409)
    for (const body of [
      [],
      {},
      { command: 'run' },
      { command: 'cancel', x: 1 },
      { command: 'cancel', state: 'succeeded' },
    ])
      await post('/bulk', body, 400)
    await post('/bulk', { command: 'cancel' }, 202)
    const [bulk] = server.system.bulks()
    await bulk!.settled()
    await post(`/bulk/${bulk!.id}/run`, { matched: -1 }, 400)
    await post(`/bulk/${bulk!.id}/run`, { matched: 99 }, 409)
    await get('/bulk/nope', 404)
    await get('/events?job_id=0', 400)
    await send('PUT', '/schedules/x', { headers: json, body: '{ "cron": "61 * * * *" }' }, 400)
    await post('/schedules/preview', { cron: '61 * * * *' }, 400)
    for (const path of ['', '/preview', '/history']) await get(`/schedules/x${path}`, 404)
    await send('DELETE', '/schedules/x', {}, 404)
    for (const command of ['pause', 'resume', 'trigger']) await post(`/schedules/x/${command}`, undefined, 404)
    const paused = { cron: '0 2 * * *', job: { type: 'echo', payload: 1 } }
    await send('PUT', '/schedules/x', { headers: json, body: JSON.stringify(paused) }, 200)
    await post('/schedules/x/resume', undefined, 409)
    await post('/schedules/x/trigger', undefined, 201)
    await get('/schedules?limit=0', 400)
    await get('/schedules/x/preview?limit=101', 400)
    await get('/schedules/x/history?before=0', 400)
    await get('/nope', 404)
    await send('DELETE', '/jobs', {}, 405)
    await send('GET', '/createJob', {}, 405)
    for (const route of apiRoutes) {
      const { method } = route
      const path = route.path.replace(/:\w+/, '1')
      await raw(method, path, request(`${method} ${path}`, { host: 'evil.example' }), 403)
      await raw(method, path, request(`${method} ${path}`, { host: undefined }), 400)
      await raw(method, path, request(`${method} ${path}`, { 'x-long': 'x'.repeat(20_000) }), 431)
    }
    await raw('POST', '/jobs', request('POST /jobs', { expect: 'a-miracle' }, '{}'), 417)
    const impatient = await startHttp({ timeouts: { head: 100 }, started: false })
    await touring(impatient, await judgeOf(server)).raw('GET', '/jobs', 'GET /jobs HTTP/1.1\r\nHost: loc', 408)
  })

  test('gets only documented answers if the token is missing', async () => {
    const server = await startHttp({ apiToken, started: false, pause: () => new Promise(() => {}) })
    const judge = await judgeOf(server, { authorization: `Bearer ${apiToken}` })
    const { send } = touring(server, judge)

    for (const { method, path, isOpen } of apiRoutes) {
      if (!isOpen) await send(method, path.replace(/:\w+/, '1'), {}, 401)
    }
    const headers = { authorization: 'Bearer of-bad-news' }
    for (let shown = 0; shown < 10; shown++) await send('GET', '/jobs', { headers }, 401)
    for (let shown = 0; shown < 10; shown++) void server.fetch('/jobs', { headers }).catch(() => undefined)
    await vi.waitFor(() => send('GET', '/jobs', { headers }, 429), 90_000)
  })

  test('gets only documented answers if the server is in trouble', async () => {
    const { handlers, letGo } = holdingHandlers()
    const draining = await startHttp({ handlers })
    const ofDraining = touring(draining, await judgeOf(draining))
    await draining.post('/jobs', { type: 'held', payload: null })
    await draining.untilState(1, 'running')
    const stopped = draining.system.stop({ graceMs: 600_000 })
    await ofDraining.get('/readyz', 503)
    for (const path of ['/jobs', '/createJob']) await ofDraining.post(path, aWaitingJob(), 503)
    for (const path of ['/jobs/1/cancel', '/jobs/1/requeue']) await ofDraining.post(path, undefined, 503)
    letGo()
    await stopped
    for (const { method, path } of apiRoutes) {
      if (method === 'GET' && !['/livez', '/openapi.json', '/bulk', '/bulk/:bulk'].includes(path))
        await ofDraining.get(path.replace(/:\w+/, '1'), 503)
    }

    const full = () => Promise.reject(new StorageFullError())
    const server = await systemWith({ submit: full, cancel: full, requeue: full, find: () => Promise.reject('a text') })
    const { get, post } = touring(server, await judgeOf(server))
    for (const path of ['/jobs', '/createJob', '/jobs/1/cancel', '/jobs/1/requeue']) await post(path, {}, 507)
    await get('/jobs/1', 500)
  })

  test('of a system that changes nothing, or only enqueues, gets only documented answers', async () => {
    const readOnly = await startHttp({ readOnly: true, started: false })
    const producer = await startHttp({ handlers: undefined as never, started: false })
    for (const [server, status] of [
      [readOnly, 403],
      [producer, 501],
    ] as const) {
      const { post, send } = touring(server, await judgeOf(server))
      await send('DELETE', '/schedules/x', {}, status)
      await post('/jobs/1/cancel', undefined, status)
      await post('/bulk', { command: 'cancel' }, status)
    }
  })

  test('of a server whose storage fails meanwhile gets only documented answers', async () => {
    const submit = () => Promise.reject(new OutcomeUnknownError(new Error('disk I/O error')))
    const server = await systemWith({ submit })
    const { post } = touring(server, await judgeOf(server))
    await post('/jobs', {}, 500)
  })

  test('of a server with too many waiting scrapes gets only documented answers', async () => {
    const gate = deferred()
    const telemetry = () => gate.promise.then(() => Promise.reject(new UnavailableError('it stops')))
    const server = await systemWith({ telemetry })
    const judge = await judgeOf(server)
    const connection = await openConnection(server.port)
    const accept = 'text/plain'
    connection.write(request('GET /metrics', { accept }).repeat(waitingMax + 1))

    const answer = await vi.waitFor(async () => {
      const asked = server.fetch('/metrics', { headers: { accept } })
      const given = await Promise.race([asked, new Promise<null>((resolve) => setTimeout(resolve, 100, null))])
      expect(given?.status).toBe(429)
      return given!
    }, 60_000)

    judge.expectDescribed('GET', '/metrics', answer)
    gate.resolve()
  })

  test('has received every documented answer and every code', async () => {
    const described = apiRoutes.flatMap(({ id, answers }) => Object.keys(answers).map((status) => `${id} ${status}`))
    // Nobody is left to read the answer to a body whose connection ended.
    const unseen = ['incomplete_body']

    expect(described.filter((answer) => !met.answers.has(answer))).toEqual([])
    expect(apiErrorCodes.filter((code) => !met.codes.has(code))).toEqual(unseen)
  })
})
