import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ConfigError } from '../../src/errors.ts'
import { openEvents } from '../support/event-stream.ts'
import { exchange, type RawAnswer, request } from '../support/raw-http.ts'
import { aWaitingJob, startHttp, type TestServer } from '../support/server.ts'
import { cleanUp } from '../support/temp.ts'

const apiToken = 'a-token-of-enough-length'
const authorization = `Bearer ${apiToken}`
const basePath = '/ops/jobs-admin'

let server: TestServer
let cookie: string
beforeAll(async () => {
  server = await startHttp({ basePath, apiToken })
  const jobs = [aWaitingJob(), { type: 'broken', payload: '<a href="/x">', max_retries: 0 }]
  await send('POST /jobs', { authorization }, JSON.stringify(jobs))
  await server.system.schedules.put({ name: 'daily', cron: '@daily', job: { type: 'echo', payload: 1 } })
  const { headers } = await send(`POST ${basePath}/login`, form, `token=${apiToken}&next=/dashboard/jobs`)
  cookie = headers['set-cookie']!
})
afterAll(cleanUp)

const form = { 'content-type': 'application/x-www-form-urlencoded' }
const send = (line: string, headers: Record<string, string> = {}, body = ''): Promise<RawAnswer> =>
  exchange(server.port, request(line, headers, body))

const linksIn = (html: string) => [...html.matchAll(/ (?:href|src|action)="([^"#][^"]*)"/g)].map(([, link]) => link!)

describe('under a path', () => {
  test.each([
    ['that the proxy leaves on', basePath],
    ['that the proxy takes off', ''],
  ])('%s, every link, form and asset of every page is under it, and exists', async (_, prefix) => {
    const seen = new Set<string>()
    const waiting = [
      '/',
      '/dashboard/jobs',
      '/dashboard/jobs/1',
      '/dashboard/schedules',
      '/dashboard/schedules/daily',
      '/dashboard/schedules/daily/edit',
      '/dashboard/new-schedule',
      '/docs',
      '/dashboard/jobs?state=dead',
      '/nope',
      '/dashboard/jobs/99',
    ]

    for (const path of waiting) {
      const { status, body } = await send(`GET ${prefix}${path}`, { cookie })
      expect([path, status]).toEqual([path, path === '/nope' || path.endsWith('99') ? 404 : 200])
      for (const link of linksIn(body)) seen.add(link.replaceAll('&amp;', '&'))
    }

    expect(seen.size).toBeGreaterThan(15)
    for (const link of seen) {
      expect(link.startsWith(`${basePath}/`)).toBe(true)
      const { status } = await send(`GET ${link}`, { cookie })
      // The routes that forms post to accept nothing else.
      expect([link, [200, 303, 405].includes(status)]).toEqual([link, true])
    }
  })

  test('no link is made from a job’s payload', async () => {
    const { body } = await send(`GET ${basePath}/dashboard/jobs/2`, { cookie })

    expect(body).toContain('&lt;a href=')
    expect(body).not.toContain(`${basePath}/x`)
  })

  test('the login leads back under it, and its cookie is limited to it', async () => {
    const asked = await send(`GET ${basePath}/dashboard/jobs/1?at=1`)
    const loggedIn = await send(`POST ${basePath}/login`, form, `token=${apiToken}&next=/dashboard/jobs/1?at=1`)
    const loggedOut = await send(`POST ${basePath}/logout`, { cookie })

    expect(asked.headers.location).toBe(`${basePath}/login?next=${encodeURIComponent('/dashboard/jobs/1?at=1')}`)
    expect(loggedIn.headers.location).toBe(`${basePath}/dashboard/jobs/1?at=1`)
    expect(loggedIn.headers['set-cookie']).toContain(`; Path=${basePath}; `)
    expect(loggedOut.headers['set-cookie']).toContain(`; Path=${basePath}; Max-Age=0`)
    expect(loggedOut.headers.location).toBe(`${basePath}/login`)
  })

  test('buttons work and lead back under it', async () => {
    const { status, headers } = await send(`POST ${basePath}/dashboard/jobs/1/cancel`, { ...form, cookie })

    expect([status, headers.location]).toEqual([303, `${basePath}/dashboard/jobs/1`])
  })

  test('the API, its Location, its description and its events are under it', async () => {
    const job = JSON.stringify(aWaitingJob())

    const created = await send(`POST ${basePath}/jobs`, { cookie }, job)
    const bulk = await send(`POST ${basePath}/bulk`, { cookie }, '{"command":"cancel"}')
    const document = await send(`GET ${basePath}/openapi.json`, { cookie })
    const docs = await send(`GET ${basePath}/docs`, { authorization, host: 'localhost:8080' })

    expect(created.headers.location).toMatch(new RegExp(`^${basePath}/jobs/\\d+$`))
    expect(bulk.headers.location).toMatch(new RegExp(`^${basePath}/bulk/`))
    expect(JSON.parse((await send(`GET ${created.headers.location}`, { cookie })).body).state).toBe('scheduled')
    expect(JSON.parse(document.body).servers).toEqual([{ url: basePath }])
    expect(docs.body).toContain(`curl http://localhost:8080${basePath}/jobs`)
    expect((await openEvents(server.port, '', { authorization })).status).toBe(200)
    expect((await send(`HEAD ${basePath}/events`, { cookie })).status).toBe(200)
  })

  test('its own address is the overview, with and without a slash', async () => {
    for (const path of [basePath, `${basePath}/`, `${basePath}?x=1`]) {
      const { status, body } = await send(`GET ${path}`, { cookie })
      expect([path, status]).toEqual([path, 200])
      expect(body).toContain('<title>Overview')
    }
  })

  test('a path that merely begins like it is not under it', async () => {
    expect((await send(`GET ${basePath}x/jobs`, { cookie })).status).toBe(404)
    expect((await send(`GET /ops/jobs`, { cookie })).status).toBe(404)
  })

  test('the guard sees the path without it', async () => {
    expect((await send(`GET ${basePath}/livez`)).status).toBe(200)
    expect((await send(`GET ${basePath}/jobs`)).status).toBe(401)
    expect((await send(`GET ${basePath}/livez/../jobs`)).status).toBe(401)
  })
})

test.each(['/jobs', '/dashboard/x', '/login', '/assets', '/metrics'])(
  '%s cannot be such a path: requests without it could be mistaken for requests with it',
  async (basePath) => {
    await expect(startHttp({ basePath })).rejects.toThrow(ConfigError)
  },
)

test('the answer says what to set if a proxy passes on a path that the server does not know', async () => {
  const { get } = await startHttp()

  for (const path of ['/jobs-admin/', '/jobs-admin/dashboard/jobs', '/jobs-admin/login', '/jobs-admin/jobs/1/cancel']) {
    const { status, body } = await get(path)
    expect([status, body.message]).toEqual([404, expect.stringContaining('set BASE_PATH to /jobs-admin')])
  }
  expect((await get('/nope')).body.message).toBe('there is nothing at /nope')
  expect((await get('/nope/nope')).body.message).toBe('there is nothing at /nope/nope')
})
