import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { exchange, openConnection, request } from '../support/raw-http.ts'
import { startHttp, type TestServer } from '../support/server.ts'
import { cleanUp } from '../support/temp.ts'

const apiToken = 'a-token-of-enough-length'
const startAt = Date.UTC(2030, 0, 1)
const day = 86_400_000

let now = startAt
let guarded: TestServer
let open: TestServer
beforeAll(async () => {
  guarded = await startHttp({ apiToken, now: () => now })
  open = await startHttp()
})
afterAll(cleanUp)

interface LogIn {
  readonly token?: string
  readonly next?: string
  readonly headers?: Record<string, string>
  readonly at?: TestServer
}

function logIn({ token = apiToken, next = '/', headers = {}, at = guarded }: LogIn = {}) {
  const body = `${new URLSearchParams({ token, next })}`
  const form = { 'content-type': 'application/x-www-form-urlencoded', 'content-length': `${body.length}` }
  return exchange(at.port, request('POST /login', { ...form, ...headers }) + body)
}

async function cookieOf(log: LogIn = {}): Promise<string> {
  const { headers } = await logIn(log)
  return headers['set-cookie']!.split(';')[0]!
}

describe('if a token is set', () => {
  test.each(['/', '/docs', '/dashboard/jobs', '/dashboard/jobs/1?at=3'])(
    '%s asks for it, and then continues there',
    async (path) => {
      const { status, headers } = await exchange(guarded.port, request(`GET ${path}`))

      expect(status).toBe(303)
      expect(headers.location).toBe(`/login?next=${encodeURIComponent(path)}`)
      expect((await exchange(guarded.port, request(`GET ${headers.location}`))).body).toContain(
        `name="next" value="${path}"`,
      )
    },
  )

  test('the form and its files need none', async () => {
    for (const path of ['/login', '/assets/style.css', '/assets/app.js', '/assets/favicon.svg']) {
      expect([path, (await exchange(guarded.port, request(`GET ${path}`))).status]).toEqual([path, 200])
    }
  })

  test('the right one sets a cookie that no script and no other site can use, and continues to the page', async () => {
    const { status, headers } = await logIn({ next: '/dashboard/jobs?limit=5' })

    expect([status, headers.location]).toEqual([303, '/dashboard/jobs?limit=5'])
    expect(headers['set-cookie']).toMatch(
      /^jobmachine=\d+\.[\w-]{43}; Path=\/; Max-Age=43200; HttpOnly; SameSite=Strict$/,
    )
    expect(headers['set-cookie']).not.toContain(apiToken)
  })

  test.each<Record<string, string>>([
    { 'x-forwarded-proto': 'https' },
    { 'x-forwarded-proto': 'HTTPS' },
    { 'x-forwarded-proto': ' https , http' },
    { 'x-forwarded-proto': 'https,https' },
    { origin: 'https://jobs.lan', 'sec-fetch-site': 'same-origin' },
  ])('the cookie is for https only if the browser used https: %j', async (headers) => {
    expect((await logIn({ headers })).headers['set-cookie']).toMatch(/; Secure$/)
  })

  test.each<Record<string, string>>([
    {},
    { 'x-forwarded-proto': 'http' },
    { 'x-forwarded-proto': 'http, https' },
    { 'x-forwarded-proto': 'httpsx' },
    { origin: 'http://localhost', 'sec-fetch-site': 'same-origin' },
  ])('the cookie is for both if the browser used http: %j', async (headers) => {
    expect((await logIn({ headers })).headers['set-cookie']).toMatch(/; SameSite=Strict$/)
  })

  test('the cookie gives access to the API and the pages', async () => {
    const cookie = await cookieOf()

    for (const path of ['/jobs', '/metrics', '/login']) {
      expect([path, (await exchange(guarded.port, request(`GET ${path}`, { cookie }))).status]).toEqual([
        path,
        path === '/login' ? 303 : 200,
      ])
    }
    expect((await exchange(guarded.port, request('GET /jobs', { cookie: `a=1; ${cookie}; b=2` }))).status).toBe(200)
  })

  test.each([apiToken.slice(0, -1), `${apiToken}x`, apiToken.toUpperCase(), '', ' '])(
    'the wrong one, %j, shows the form again',
    async (token) => {
      const { status, headers, body } = await logIn({ token, next: '/dashboard/jobs' })

      expect([status, headers['set-cookie']]).toEqual([401, undefined])
      expect(body).toContain('That is not the API token')
      expect(body).toContain('value="/dashboard/jobs"')
      if (token.trim()) expect(body).not.toContain(token)
    },
  )

  test('the cookie ends after half a day', async () => {
    const cookie = await cookieOf()
    const status = async () => (await exchange(guarded.port, request('GET /jobs', { cookie }))).status

    now = startAt + day / 2 - 1
    const before = await status()
    now = startAt + day / 2
    const after = await status()
    now = startAt

    expect([before, after]).toEqual([200, 401])
  })

  test('a cookie that was changed, made up, doubled or issued for another token gives no access', async () => {
    const cookie = await cookieOf()
    const other = await startHttp({ apiToken: 'another-token-of-enough-length', now: () => now })
    const [name, value] = cookie.split('=') as [string, string]
    const [until, seal] = value.split('.') as [string, string]
    const bad = [
      `${name}=${Number(until) + 1}.${seal}`,
      `${name}=${until}.${seal.slice(0, -1)}`,
      `${name}=${until}.`,
      `${name}=.${seal}`,
      `${name}=`,
      `${name}=${apiToken}`,
      `${cookie}; ${cookie}`,
      `${name}=${(await cookieOf({ token: 'another-token-of-enough-length', at: other })).split('=')[1]}`,
      `jobmachine-8080=${value}`,
    ]

    for (const each of bad) {
      expect([each, (await exchange(guarded.port, request('GET /jobs', { cookie: each }))).status]).toEqual([each, 401])
    }
  })

  test('logging out removes the cookie', async () => {
    const { status, headers } = await exchange(guarded.port, request('POST /logout', { cookie: await cookieOf() }))

    expect([status, headers.location]).toEqual([303, '/login'])
    expect(headers['set-cookie']).toMatch(/^jobmachine=; Path=\/; Max-Age=0; /)
  })

  test.each(['cross-site', undefined])(
    'a page of another site changes nothing with it (Sec-Fetch-Site: %s)',
    async (site) => {
      const cookie = await cookieOf()
      const foreign = { cookie, origin: 'https://evil.example', ...(site ? { 'sec-fetch-site': site } : {}) }

      for (const line of ['POST /jobs/1/cancel', 'POST /logout', 'POST /login']) {
        expect([line, (await exchange(guarded.port, request(line, foreign))).status]).toEqual([line, 403])
      }
    },
  )
})

test.each([
  'https://evil.example/',
  '//evil.example',
  '/\\evil.example',
  '\\\\evil',
  'javascript:alert(1)',
  '/a\r\nx: y',
  '',
])('the login redirects nobody to %j', async (next) => {
  expect((await logIn({ next })).headers.location).toBe('/')
})

describe('unfinished log-ins', () => {
  const form = { 'content-type': 'application/x-www-form-urlencoded', 'content-length': '8192' }
  const begin = async (server: TestServer) => {
    const connection = await openConnection(server.port)
    connection.write(request('POST /login', form), 'x'.repeat(8_000))
    return connection
  }

  test('keep nobody from logging in or being served, however many there are and however often they are renewed', async () => {
    const server = await startHttp({ apiToken, now: () => now, maxInFlightRequests: 10 })
    for (let renewed = 0; renewed < 3; renewed++) {
      await Promise.all(Array.from({ length: 200 }, () => begin(server)))
      expect((await logIn({ at: server })).status).toBe(303)
    }

    const answer = await server.fetch('/createJob', {
      method: 'POST',
      headers: { authorization: `Bearer ${apiToken}`, 'content-type': 'application/json' },
      body: JSON.stringify({ type: 'echo', payload: 1 }),
    })

    expect(answer.status).toBe(201)
  })

  test('are closed one by one, the oldest first', async () => {
    const server = await startHttp({ apiToken, now: () => now })
    const oldest = await begin(server)
    const others = []
    for (let begun = 1; begun < 200; begun++) others.push(await begin(server))
    const before = oldest.ended

    await begin(server)
    await oldest.end()

    expect([before, others.filter(({ ended }) => ended)]).toEqual([false, []])
  })
})

test.each([
  ['localhost:8080', '', 'jobmachine-8080'],
  ['localhost:8081', '', 'jobmachine-8081'],
  ['localhost', '', 'jobmachine'],
  ['[::1]:8080', '', 'jobmachine-8080'],
  ['localhost:8080', '/ops/jobs-admin', 'jobmachine-8080_ops_jobs-admin'],
])(
  'the cookie at %s%s is called %s, so that two servers on one host do not overwrite each other’s',
  async (host, basePath, name) => {
    const server = await startHttp({ apiToken, basePath })

    const { headers } = await logIn({ at: server, headers: { host } })
    const [cookie] = headers['set-cookie']!.split(';') as [string]

    expect(cookie.split('=')[0]).toBe(name)
    expect((await exchange(server.port, request('GET /jobs', { host, cookie }))).status).toBe(200)
  },
)

test('no answer to a stranger depends on the token', async () => {
  const servers = [
    await startHttp({ apiToken, now: () => now }),
    await startHttp({ apiToken: 'another-token-of-enough-length', now: () => now }),
  ]
  const far = now + 1_000
  const asked = [
    ...[
      '/',
      '/login',
      '/login?next=/docs',
      '/docs',
      '/openapi.json',
      '/jobs',
      '/jobs/1/machine.svg',
      '/events',
      '/metrics',
    ],
    ...['/metrics/prometheus', '/livez', '/readyz', '/assets/app.js', '/assets/style.css', '/nope', '/dashboard/jobs'],
  ].map((path) => request(`GET ${path}`))
  for (const line of ['POST /logout', 'POST /login', 'POST /jobs', 'POST /bulk', 'DELETE /jobs', 'HEAD /login']) {
    asked.push(request(line), request(line, { cookie: `jobmachine=${far}.guess` }))
    asked.push(request(line, { authorization: 'Bearer guess' }))
  }
  const body = 'token=guess&next=%2F'
  const form = { 'content-type': 'application/x-www-form-urlencoded', 'content-length': `${body.length}` }
  asked.push(request('POST /login', form) + body)

  for (const bytes of asked) {
    const [one, other] = await Promise.all(servers.map(({ port }) => exchange(port, bytes)))
    const { date: _, ...headers } = one!.headers
    expect([bytes, other!.status, other!.body]).toEqual([bytes, one!.status, one!.body])
    expect([bytes, other!.headers]).toEqual([bytes, expect.objectContaining(headers)])
  }
})

test('without a token the form leads to the overview', async () => {
  expect((await exchange(open.port, request('GET /login'))).headers.location).toBe('/')
  expect((await logIn({ at: open })).headers).toMatchObject({ location: '/' })
})

describe('a page', () => {
  test('loads and sends only what is ours, cannot be framed, and reveals its origin only to us', async () => {
    const { headers, body } = await exchange(guarded.port, request('GET /login'))

    expect(headers['content-type']).toBe('text/html; charset=utf-8')
    expect(headers['content-security-policy']).toBe(
      "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'",
    )
    expect(headers['referrer-policy']).toBe('same-origin')
    expect(body).not.toMatch(/<script(?![^>]*src="\/assets\/)|<style|style="|https?:/)
  })

  test('that does not exist is a page that says so', async () => {
    const { status, headers, body } = await exchange(open.port, request('GET /dashboard/%3Cscript%3Ealert(1)'))

    expect([status, headers['content-type']]).toEqual([404, 'text/html; charset=utf-8'])
    expect(body).toContain('Not Found')
    expect(body).not.toContain('<script>alert')
  })
})

describe('an asset', () => {
  test('is cached by the browser, which checks whether it has changed', async () => {
    const first = await exchange(open.port, request('GET /assets/app.js'))
    const again = await exchange(open.port, request('GET /assets/app.js', { 'if-none-match': first.headers.etag! }))

    expect([first.status, first.headers['cache-control']]).toEqual([200, 'no-cache'])
    expect([again.status, again.body]).toEqual([304, ''])
  })

  test.each(['nope.js', '..%2fapp.js', '%2e%2e%2f%2e%2e%2fpackage.json', 'constructor', '__proto__', 'app.js%00'])(
    'called %s does not exist',
    async (name) => {
      expect((await exchange(open.port, request(`GET /assets/${name}`))).status).toBe(404)
    },
  )
})
