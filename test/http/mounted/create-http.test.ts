import { once } from 'node:events'
import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ConfigError } from '../../../src/errors.ts'
import { createHttp, type HttpOptions, type JobsHttp } from '../../../src/http/index.ts'
import type { JobSystem } from '../../../src/index.ts'
import { aWaitingJob, testHandlers } from '../../support/server.ts'
import { startSystem, until } from '../../support/system.ts'
import { cleanUp, whenDone } from '../../support/temp.ts'

let system: JobSystem
beforeAll(async () => {
  ;({ system } = await startSystem({ handlers: testHandlers }))
})
afterAll(cleanUp)

const json = { 'content-type': 'application/json' }
const aJob = JSON.stringify(aWaitingJob())

function anHttp(options: HttpOptions = {}): JobsHttp {
  const http = createHttp(system, options)
  whenDone(() => http.close())
  return http
}

function aRequest(path: string, init: RequestInit = {}): Request {
  return new Request(`https://app.example${path}`, init)
}

/** An app of Node's own server; gives its address. */
async function serveApp(listener: RequestListener): Promise<string> {
  const server = createServer(listener).listen(0, '127.0.0.1')
  whenDone(() => {
    server.closeAllConnections()
    server.close()
  })
  await once(server, 'listening')
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

describe('fetch', () => {
  test('creates jobs and shows them, whatever the app’s host name is', async () => {
    const { fetch } = anHttp()

    const created = await fetch(aRequest('/jobs', { method: 'POST', headers: json, body: aJob }))
    const shown = await fetch(aRequest(created.headers.get('location')!))

    expect(created.status).toBe(201)
    expect(await shown.json()).toMatchObject({ type: 'echo', state: 'scheduled' })
  })

  test('allows the host names in its list, and no others', async () => {
    const { fetch } = anHttp({ allowedHosts: ['app.example'] })

    expect((await fetch(aRequest('/livez'))).status).toBe(200)
    const other = await fetch(new Request('https://evil.example/livez'))
    expect([other.status, ((await other.json()) as { code: string }).code]).toEqual([403, 'forbidden_host'])
  })

  test('says how to mount it if the body was already read', async () => {
    const request = aRequest('/jobs', { method: 'POST', headers: json, body: aJob })
    await request.text()

    const answer = await anHttp().fetch(request)

    expect(answer.status).toBe(500)
    expect(((await answer.json()) as { message: string }).message).toContain(
      'mount the jobs ahead of what parses bodies',
    )
  })

  test('streams events until its request is aborted or its answer is cancelled', async () => {
    const { fetch } = anHttp()
    const read = async (stop: AbortController, cancel: boolean) => {
      const answer = await fetch(aRequest('/events', { signal: stop.signal }))
      const reader = answer.body!.getReader()
      await reader.read()
      await system.enqueue({ type: 'echo', payload: 1 })
      let text = ''
      while (!text.includes('event: transition')) text += Buffer.from((await reader.read()).value!)
      if (cancel) await reader.cancel()
      else stop.abort()
      return answer.headers
    }

    const headers = await read(new AbortController(), false)
    await read(new AbortController(), true)

    // Middleware that compresses answers does not touch such a stream.
    expect(headers.get('cache-control')).toContain('no-transform')
    expect(headers.get('connection')).toBeNull()
  })

  test('ends its streams when it is closed, and starts none after that', async () => {
    const http = createHttp(system)
    const answer = await http.fetch(aRequest('/events'))
    const text = answer.text()

    await http.close()

    expect(await text).toContain('retry: ')
    expect((await http.fetch(aRequest('/events'))).status).toBe(503)
  })

  test('stops reading a body whose client has left', async () => {
    const left = new AbortController()
    const body = new ReadableStream({ start: (stream) => stream.enqueue(Buffer.from('{"type":')) })
    const init = { method: 'POST', headers: json, body, duplex: 'half', signal: left.signal } as RequestInit
    const answer = anHttp().fetch(aRequest('/jobs', init))

    left.abort()

    expect((await answer).status).toBe(400)
  })

  test('has only the API if pages are turned off', async () => {
    const { fetch } = anHttp({ pages: false })

    for (const path of ['/', '/docs', '/dashboard/jobs', '/login', '/assets/app.js']) {
      const answer = await fetch(aRequest(path))
      expect([path, answer.status, answer.headers.get('content-type')]).toEqual([path, 404, 'application/problem+json'])
    }
    expect((await fetch(aRequest('/openapi.json'))).status).toBe(200)
  })
})

test('nothing that an app shows names a variable of the server', async () => {
  const apiToken = 'a-token-of-enough-length'
  const named = anHttp({ allowedHosts: ['app.example'], apiToken, basePath: '/admin/jobs' })
  const ask = async (path: string, headers: Record<string, string> = {}, of = named) =>
    (await of.fetch(aRequest(path, { headers: { authorization: `Bearer ${apiToken}`, ...headers } }))).text()
  const open = anHttp()

  const texts = await Promise.all([
    named.fetch(new Request('https://evil.example/jobs')).then((answer) => answer.text()),
    ask('/jobs', { origin: 'https://evil.example' }),
    ask('/other/jobs'),
    ask('/login', { authorization: '' }),
    ask('/docs'),
    ask('/openapi.json'),
    ask('/jobs', { origin: 'https://evil.example' }, open),
    ask('/openapi.json', {}, open),
    ask('/openapi.json', {}, anHttp({ authorize: () => ({ role: 'admin' }) })),
  ])

  for (const text of texts) expect(text).not.toMatch(/\b[A-Z]{3,}_[A-Z_]+\b/)
  expect(texts[0]).toContain('one of allowedHosts of createHttp')
  expect(texts[1]).toContain('add it to allowedHosts of createHttp')
  expect(texts[2]).toContain('set basePath of createHttp to /other')
  expect(texts[3]).toContain('apiToken of createHttp')
  expect(texts[6]).not.toContain('allowedHosts')
  expect(texts[7]).toContain('requires no token')
  expect(texts[8]).toContain('The app that serves this decides who may do what')
  expect(texts[8]).not.toContain('requires no token')
})

describe('a log-in in an app', () => {
  const apiToken = 'a-token-of-enough-length'
  const form = { 'content-type': 'application/x-www-form-urlencoded' }

  test('sets a cookie for its mount path, a secure one with https, and redirects back there', async () => {
    const { fetch } = anHttp({ apiToken, basePath: '/admin/jobs' })
    const asked = await fetch(aRequest('/admin/jobs/dashboard/jobs'))
    const body = `token=${apiToken}&next=/dashboard/jobs`
    const loggedIn = await fetch(aRequest('/admin/jobs/login', { method: 'POST', headers: form, body }))
    const cookie = loggedIn.headers.get('set-cookie')!

    expect(asked.headers.get('location')).toBe('/admin/jobs/login?next=%2Fdashboard%2Fjobs')
    expect(loggedIn.headers.get('location')).toBe('/admin/jobs/dashboard/jobs')
    expect(cookie).toMatch(/; Path=\/admin\/jobs; .*HttpOnly; SameSite=Strict; Secure$/)
    const entered = await fetch(aRequest('/admin/jobs/dashboard/jobs', { headers: { cookie: cookie.split(';')[0]! } }))
    expect(entered.status).toBe(200)
  })
})

describe('behind a proxy that adds a path', () => {
  test.each([
    ['all of it', '/tools/admin/jobs'],
    ['what the app is mounted at', '/admin/jobs'],
    ['nothing', ''],
  ])('every link has the whole path, even if the request has %s', async (_, prefix) => {
    const { fetch } = anHttp({ basePath: '/tools/admin/jobs/' })

    const page = await fetch(aRequest(`${prefix}/dashboard/jobs?state=dead`))

    expect(page.status).toBe(200)
    const links = [...(await page.text()).matchAll(/ (?:href|src|action)="(\/[^"]*)"/g)].map(([, link]) => link!)
    expect(links.filter((link) => !link.startsWith('/tools/admin/jobs/'))).toEqual([])
    expect(links.length).toBeGreaterThan(5)
  })

  test('the last part of such a path may be the name of one of its own paths', async () => {
    const { fetch } = anHttp({ basePath: '/tools/jobs' })

    expect((await fetch(aRequest('/tools/jobs/jobs/1'))).status).toBe(200)
    expect((await fetch(aRequest('/jobs/1'))).status).toBe(200)
    expect((await fetch(aRequest('/tools/jobs'))).headers.get('content-type')).toContain('text/html')
  })
})

describe('a body that a parser of the app has read', () => {
  const parsed = async (body: unknown, headers: Record<string, string> = {}) => {
    const { requestListener } = anHttp()
    const url = await serveApp(async (incoming, outgoing) => {
      for await (const _ of incoming);
      await requestListener(Object.assign(incoming, { body }), outgoing)
    })
    return fetch(`${url}/jobs`, { method: 'POST', headers: { ...json, ...headers }, body: aJob })
  }

  test.each([
    ['as values', JSON.parse(aJob)],
    ['as text', aJob],
    ['as bytes', Buffer.from(aJob)],
  ])('is taken from the request, %s', async (_, body) => {
    const answer = await parsed(body)

    expect([answer.status, await answer.json()]).toEqual([201, expect.objectContaining({ state: 'scheduled' })])
  })

  test('is taken from the request if a form was sent', async () => {
    const { requestListener } = anHttp()
    const { id } = await system.enqueue({ type: 'echo', payload: 1, delayMs: 3_600_000 })
    const url = await serveApp(async (incoming, outgoing) => {
      for await (const _ of incoming);
      await requestListener(Object.assign(incoming, { body: { command: 'cancel', text: 'a b&c' } }), outgoing)
    })
    const headers = { 'content-type': 'application/x-www-form-urlencoded' }

    const answer = await fetch(`${url}/dashboard/bulk`, { method: 'POST', headers, body: 'x=1', redirect: 'manual' })

    expect(answer.status).toBe(303)
    expect(system.bulks()[0]!.filter).toEqual({ text: 'a b&c' })
    expect((await system.find(id))!.state).toBe('scheduled')
  })

  test('causes a 500 if authorize has read it', async () => {
    const { requestListener } = anHttp({
      async authorize(request) {
        await request.text()
        return { role: 'admin' }
      },
    })
    const url = await serveApp(requestListener)

    const answer = await fetch(`${url}/jobs`, { method: 'POST', headers: json, body: aJob })

    expect([answer.status, await answer.text()]).toEqual([500, expect.stringContaining('was read before')])
  })

  test('causes a 500 that asks for req.body if the app kept nothing of it', async () => {
    const answer = await parsed(undefined)

    expect(answer.status).toBe(500)
    expect(((await answer.json()) as { message: string }).message).toContain('req.body')
  })

  test('is read as usual if there was no parser', async () => {
    const { requestListener } = anHttp()
    const url = await serveApp(requestListener)

    const answer = await fetch(`${url}/jobs`, { method: 'POST', headers: json, body: aJob })

    expect(answer.status).toBe(201)
  })
})

test('the app that mounts it keeps its own Request and Response', async () => {
  const { Request: request, Response: response } = globalThis
  const http = anHttp()
  const url = await serveApp(http.requestListener)
  const own = await http.listen({ port: 0 })

  await Promise.all([fetch(`${url}/livez`), fetch(`${own.url}/livez`)])

  expect([globalThis.Request, globalThis.Response]).toEqual([request, response])
})

test('a separate listener serves at its own address, checks host names, and closes with it', async () => {
  const http = createHttp(system, { allowedHosts: ['jobs.example'] })
  const { url } = await http.listen({ port: 0 })

  expect((await fetch(`${url}/livez`)).status).toBe(200)
  await http.close()

  await until(() =>
    fetch(`${url}/livez`).then(
      () => false,
      () => true,
    ),
  )
})

test.each([
  [{ basepath: '/x' }, 'basepath is not an option of createHttp; did you mean basePath?'],
  [{ basePath: 'admin' }, "basePath is 'admin'; it must be a path such as /admin/jobs"],
  [{ basePath: '/jobs' }, 'begins like a path of the server'],
  [{ pages: 'no' }, "pages is 'no'; it must be true or false"],
  [{ apiToken: 'short' }, 'apiToken is one that cannot be used; it must be at least 16 characters'],
  [{ allowedHosts: 'app.example' }, 'it must be an array of host names'],
  [{ maxRequestBytes: 0 }, 'maxRequestBytes is 0; it must be a whole number from 1'],
])('%o is refused', (options, message) => {
  expect(() => createHttp(system, options as HttpOptions)).toThrow(ConfigError)
  expect(() => createHttp(system, options as HttpOptions)).toThrow(message)
})

test('a system that is not awaited yet is refused, with how to correct that', () => {
  expect(() => createHttp(Promise.resolve(system) as unknown as JobSystem)).toThrow('await it')
  expect(() => createHttp(undefined as unknown as JobSystem)).toThrow('the first argument of createHttp is undefined')
})
