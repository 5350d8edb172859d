import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { exchange, request } from '../support/raw-http.ts'
import { aWaitingJob, startHttp, type TestServer } from '../support/server.ts'
import { until } from '../support/system.ts'
import { cleanUp } from '../support/temp.ts'

const apiToken = 'a-token-of-enough-length'
const job = JSON.stringify(aWaitingJob())

let open: TestServer
let guarded: TestServer
beforeAll(async () => {
  open = await startHttp({ allowedHosts: ['Jobs.Example', 'other.example:8443', '192.0.2.7', '2001:db8::7'] })
  guarded = await startHttp({ apiToken })
})
afterAll(cleanUp)

describe('a request whose Host header', () => {
  test.each([
    'localhost',
    'localhost:8080',
    'LOCALHOST',
    'localhost.',
    'localhost.:8080',
    '127.0.0.1',
    '127.0.0.1:1',
    '127.1.2.3',
    '[::1]',
    '[::1]:8080',
    'jobs.example',
    'JOBS.example:9',
    'jobs.example.',
    'other.example',
    'other.example:1',
    '192.0.2.7',
    '192.0.2.7:80',
    '[2001:db8::7]',
    '[2001:DB8::7]:80',
  ])('is %s is answered', async (host) => {
    expect((await exchange(open.port, request('GET /jobs', { host }))).status).toBe(200)
  })

  test.each([
    'evil.example',
    'evil.example:8080',
    'localhost.evil.example',
    '127.0.0.1.evil.example',
    'evil-localhost',
    'jobs.example.evil.example',
    'sub.jobs.example',
    '10.0.0.1',
    '192.168.1.5:8080',
    '0.0.0.0',
    '[::]',
    '[2001:db8::8]',
    'localhost..',
    '128.0.0.1',
    '1270.0.0.1',
  ])('is %s is refused with 403, on every path', async (host) => {
    for (const line of ['GET /jobs', 'GET /livez', 'GET /nope', 'POST /jobs/1/cancel']) {
      const { status, body } = await exchange(open.port, request(line, { host }))
      expect([line, status, JSON.parse(body).code]).toEqual([line, 403, 'forbidden_host'])
    }
  })

  test('is foreign is answered with its value, and the setting', async () => {
    const { body } = await exchange(open.port, request('GET /jobs', { host: 'jobs.lan:8081' }))

    expect(JSON.parse(body).message).toMatch(/"jobs\.lan:8081".*ALLOWED_HOSTS/)
  })

  test.each([
    ['is missing', request('GET /jobs', { host: undefined })],
    ['is missing, in HTTP/1.0', 'GET /jobs HTTP/1.0\r\n\r\n'],
    ['is empty', request('GET /jobs', { host: '' })],
    ['is given twice', 'GET /jobs HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n'],
    ['is given twice the same', 'GET /jobs HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n'],
    ['is given twice, spelled otherwise', 'GET /jobs HTTP/1.1\r\nHost: localhost\r\nhOST: evil.example\r\n\r\n'],
    ['has a user', request('GET /jobs', { host: 'localhost@evil.example' })],
    ['has a path', request('GET /jobs', { host: 'localhost/x' })],
    ['has a space', request('GET /jobs', { host: 'local host' })],
    ['has a port that is none', request('GET /jobs', { host: 'localhost:99999' })],
    ['is a list', request('GET /jobs', { host: 'localhost, evil.example' })],
  ])('%s is refused with 400 or 403', async (_, bytes) => {
    const { status, headers, body } = await exchange(open.port, bytes)

    expect([400, 403]).toContain(status)
    expect(headers['content-type']).toBe('application/problem+json')
    expect(['bad_request', 'forbidden_host']).toContain(JSON.parse(body).code)
  })

  test.each(['X-Forwarded-Host', 'X-Host', 'Forwarded', 'X-Original-Host'])(
    'is foreign stays refused with %s',
    async (name) => {
      const { status } = await exchange(open.port, request('GET /jobs', { host: 'evil.example', [name]: 'localhost' }))

      expect(status).toBe(403)
    },
  )
})

/** Names, brackets, ports and other text, combined at random, the same in each run. */
function* strangeHosts(count: number): Generator<string> {
  const parts = [
    ...[
      'localhost',
      '127.0.0.1',
      '[::1]',
      '::1',
      'xn--localhost',
      'xn--',
      'xn--a',
      'xn--zca',
      'xn--99999999',
      'b\u00fccher',
      '\u00ad',
      '\u00ff',
    ],
    ...[
      'jobs.example',
      'evil.example',
      '_',
      '-',
      '..',
      '.',
      '%',
      '%00',
      '%2e',
      '%zz',
      '[',
      ']',
      '[]',
      '[::',
      '[::1%25eth0]',
      '[v1.x]',
      '[0:0:0:0:0:0:0:1]',
    ],
    ...[
      ':',
      ':8080',
      ':99999',
      ':-1',
      ':0',
      ':x',
      ':00080',
      '@',
      '/',
      '\\',
      '?',
      '#',
      '"',
      "'",
      '<',
      '>',
      '|',
      '^',
      '`',
      '{',
      '~',
      ',',
      ';',
      ' ',
      '\t',
    ],
    ...[
      '0',
      '0x7f.1',
      '2130706433',
      '0177.0.0.1',
      '127.1',
      '999.999.999.999',
      '1.2.3.4.5',
      'a'.repeat(64),
      `${'a.'.repeat(130)}a`,
    ],
  ]
  const pick = lcg(20)
  for (let made = 0; made < count; made++) {
    const length = made < parts.length ? 1 : 1 + Math.floor(pick() * 3)
    yield made < parts.length
      ? parts[made]!
      : Array.from({ length }, () => parts[Math.floor(pick() * parts.length)]!).join('')
  }
}

function lcg(seed: number): () => number {
  let state = seed
  return () => {
    state = (state * 1_664_525 + 1_013_904_223) % 4_294_967_296
    return state / 4_294_967_296
  }
}

test('an invalid Host header never causes a 500', async () => {
  const hosts = [...strangeHosts(400)]
  const server = await startHttp({ apiToken, allowedHosts: ['xn--localhost', '_', 'jobs.example'] })
  const authorization = `Bearer ${apiToken}`
  const lines = [
    'GET /',
    'GET /docs',
    'GET /login',
    'GET /jobs',
    'GET /dashboard/jobs/1',
    'POST /login',
    'GET http://xn--localhost/docs',
  ]

  for (const [index, host] of hosts.entries()) {
    const line = lines[index % lines.length]!
    const headers = { host, authorization, origin: `http://${host.replace(/[^!-~]/g, '')}` }
    const bytes = Buffer.from(request(line, headers), 'latin1')
    const { status } = await exchange(server.port, bytes)
    expect([host, line, status < 500]).toEqual([host, line, true])
  }
  for (const line of lines) {
    const { status } = await exchange(server.port, request(line, { host: 'xn--localhost' }))
    expect([line, status < 500]).toEqual([line, true])
  }

  expect(server.logLines.filter((entry) => JSON.parse(entry).level >= 50)).toEqual([])
})

test.each(['GET /', 'GET /jobs', 'GET /docs'])(
  'a Host that is not a valid name, xn--localhost, is refused: %s',
  async (line) => {
    expect((await exchange(open.port, request(line, { host: 'xn--localhost' }))).status).toBe(403)
  },
)

describe('a request that changes something', () => {
  const host = 'localhost:8080'
  test.each([
    ['no Origin', {}],
    ['its own Origin', { origin: 'http://localhost:8080' }],
    ['its own Origin behind TLS', { origin: 'https://localhost:8080' }],
    ['its own Origin and site', { origin: 'http://localhost:8080', 'sec-fetch-site': 'same-origin' }],
    ['the user as its cause', { 'sec-fetch-site': 'none' }],
    [
      'its own site, whatever the proxy made of Host',
      { origin: 'https://jobs.example', 'sec-fetch-site': 'same-origin' },
    ],
    ['its own site, which hides its Origin', { origin: 'null', 'sec-fetch-site': 'same-origin' }],
  ])('from %s is accepted', async (_, headers) => {
    expect((await exchange(open.port, request('POST /jobs', { host, ...headers }, job))).status).toBe(201)
  })

  test.each([
    ['a foreign Origin', { origin: 'http://evil.example' }],
    ['another port', { origin: 'http://localhost:3000' }],
    ['no port', { origin: 'http://localhost' }],
    ['another name of this machine', { origin: 'http://127.0.0.1:8080' }],
    ['a sandbox or a file', { origin: 'null' }],
    ['an empty Origin', { origin: '' }],
    ['an Origin that is no URL', { origin: 'localhost:8080' }],
    ['two Origins', { origin: 'http://localhost:8080, http://evil.example' }],
    ['another site', { 'sec-fetch-site': 'cross-site' }],
    ['the same site, of another origin', { 'sec-fetch-site': 'same-site' }],
    ['two sites', { 'sec-fetch-site': 'same-origin, cross-site' }],
    ['another site that claims ours', { origin: 'http://localhost:8080', 'sec-fetch-site': 'cross-site' }],
  ])('from %s is refused with 403, whatever its method', async (_, headers) => {
    for (const method of ['POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']) {
      const {
        status,
        headers: got,
        body,
      } = await exchange(open.port, request(`${method} /jobs`, { host, ...headers }, job))
      expect([method, status, JSON.parse(body).code]).toEqual([method, 403, 'foreign_origin'])
      expect(Object.keys(got).filter((name) => name.startsWith('access-control'))).toEqual([])
    }
  })

  test.each([
    ['jobs.example:443', 'https://jobs.example'],
    ['jobs.example', 'https://jobs.example:443'],
    ['JOBS.example:80', 'http://jobs.example'],
    ['[::1]:443', 'https://[::1]'],
  ])('to %s from %s is accepted, with or without a default port', async (host, origin) => {
    expect((await exchange(open.port, request('POST /jobs', { host, origin }, job))).status).toBe(201)
  })

  test.each([
    ['jobs.example:443', 'http://jobs.example'],
    ['jobs.example:80', 'https://jobs.example'],
    ['jobs.example', 'https://jobs.example:8443'],
  ])('to %s from %s is refused', async (host, origin) => {
    expect((await exchange(open.port, request('POST /jobs', { host, origin }, job))).status).toBe(403)
  })

  test('from a foreign page gets an answer with both names, and what a proxy must pass on', async () => {
    const headers = { host: '127.0.0.1:8080', origin: 'http://jobs.lan:8081' }

    const { body } = await exchange(open.port, request('POST /jobs', headers, job))
    const page = await exchange(open.port, request('POST /dashboard/jobs/1/cancel', headers))

    expect(JSON.parse(body).message).toMatch(
      /Origin is "http:\/\/jobs\.lan:8081" and Host is "127\.0\.0\.1:8080".*proxy_set_header Host \$http_host.*ALLOWED_HOSTS/,
    )
    expect(page.body).toContain('proxy_set_header Host $http_host')
  })

  test('from a foreign page is refused before its body is read', async () => {
    const { status } = await exchange(
      open.port,
      request('POST /jobs', {
        host,
        origin: 'http://evil.example',
        'content-type': 'text/plain',
        'content-length': '1000000',
      }),
    )

    expect(status).toBe(403)
  })
})

describe('what a page of another origin loads', () => {
  const [of, mode, dest] = ['sec-fetch-site', 'sec-fetch-mode', 'sec-fetch-dest']

  test.each([
    ['a picture', { [of]: 'cross-site', [mode]: 'no-cors', [dest]: 'image' }],
    ['a picture, as a program on this machine', { [of]: 'same-site', [mode]: 'no-cors', [dest]: 'image' }],
    ['a script', { [of]: 'cross-site', [mode]: 'no-cors', [dest]: 'script' }],
    ['a style sheet', { [of]: 'cross-site', [mode]: 'no-cors', [dest]: 'style' }],
    ['a frame', { [of]: 'cross-site', [mode]: 'navigate', [dest]: 'iframe' }],
    ['an object', { [of]: 'cross-site', [mode]: 'navigate', [dest]: 'object' }],
    ['by fetch', { [of]: 'cross-site', [mode]: 'cors', [dest]: 'empty', origin: 'http://evil.example' }],
    ['by fetch without CORS', { [of]: 'cross-site', [mode]: 'no-cors', [dest]: 'empty' }],
    ['by fetch in an older browser', { origin: 'http://evil.example' }],
    ['ahead', { [of]: 'cross-site', [mode]: 'no-cors', [dest]: 'empty', 'sec-purpose': 'prefetch' }],
  ])('as %s is refused, and does not reveal what exists', async (_, headers) => {
    await open.post('/jobs', aWaitingJob())
    for (const line of [
      'GET /jobs/1/machine.svg',
      'HEAD /jobs/1/machine.svg',
      'GET /jobs/1',
      'GET /jobs/999999/machine.svg',
    ]) {
      const refused = await exchange(open.port, request(line, headers))
      expect([line, refused.status]).toEqual([line, 403])
      if (line.startsWith('GET')) expect(JSON.parse(refused.body).code).toBe('foreign_origin')
      expect(Object.keys(refused.headers).filter((name) => name.startsWith('access-control'))).toEqual([])
    }
  })

  test.each(['/', '/docs', '/dashboard/jobs', '/jobs', '/jobs/1/machine.svg', '/livez'])(
    'as a followed link to %s is shown',
    async (path) => {
      await open.post('/jobs', aWaitingJob())
      const visit = { [of]: 'cross-site', [mode]: 'navigate', [dest]: 'document', 'sec-fetch-user': '?1' }

      expect((await exchange(open.port, request(`GET ${path}`, visit))).status).toBe(200)
      expect(
        (await exchange(open.port, request(`GET ${path}`, { [of]: 'cross-site', [mode]: 'navigate' }))).status,
      ).toBe(200)
    },
  )

  test('is no picture to it if the browser sends no headers: each answer says that it is for its own origin', async () => {
    for (const path of [
      '/jobs/1/machine.svg',
      '/jobs/999999/machine.svg',
      '/jobs',
      '/',
      '/assets/favicon.svg',
      '/livez',
      '/nope',
    ]) {
      const { headers } = await exchange(open.port, request(`GET ${path}`))
      expect([path, headers['cross-origin-resource-policy']]).toEqual([path, 'same-origin'])
    }
  })
})

describe('a request target that is a whole URL', () => {
  const headers = { host: 'localhost:8080', authorization: `Bearer ${apiToken}` }

  test.each([
    'http://evil.example/docs',
    'http://localhost/docs',
    'http://localhost:8081/docs',
    'http://evil.example@localhost:8080/docs',
    'http://localhost:8080@evil.example/docs',
    'HTTP://evil.example/docs',
    'http://evil.example',
    'http://evil.example/livez',
    'ftp://evil.example/docs',
    'http:evil.example/docs',
    'javascript:alert(1)',
  ])('of another host is refused: %s', async (target) => {
    const { status, body } = await exchange(guarded.port, request(`GET ${target}`, headers))

    expect(status).toBe(400)
    expect(body).not.toContain('evil.example')
  })

  test.each(['http://localhost:8080/docs', 'http://LOCALHOST:8080/docs', 'https://localhost:8080/docs'])(
    'of this host is answered, and its commands name that: %s',
    async (target) => {
      const { status, body } = await exchange(guarded.port, request(`GET ${target}`, headers))

      expect(status).toBe(200)
      expect(body).toContain('http://localhost:8080/createJob')
    },
  )
})

describe('text that would control a terminal or reverse the reading order', () => {
  const controls = [
    '\x00',
    '\x07',
    '\x1b',
    '\x7f',
    '\x80',
    '\x85',
    '\x9b',
    '\x9d',
    '\u061c',
    '\u200e',
    '\u200f',
    '\u2028',
  ]
  const marks = ['\u2029', '\u202a', '\u202d', '\u202e', '\u2066', '\u2069']
  const hostile = `a${[...controls, ...marks].join('b')}c`

  test('comes back in JSON escaped, with the same meaning', async () => {
    const { body } = await open.post('/jobs', aWaitingJob({ payload: { [hostile]: hostile } }))
    const events = await exchange(open.port, request(`GET /jobs?text=${encodeURIComponent(hostile)}`))
    for (const line of [`GET /jobs/${body.id}`, 'GET /jobs', `GET /nope/${encodeURIComponent(hostile)}`]) {
      const answer = await exchange(open.port, request(line))
      expect(answer.body).not.toMatch(/[\p{Cc}\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/u)
    }

    const job = await exchange(open.port, request(`GET /jobs/${body.id}`))
    expect(job.body).toContain('\\u009b')
    expect(job.body).toContain('\\u202e')
    expect(JSON.parse(job.body).payload).toEqual({ [hostile]: hostile })
    expect(events.body).not.toMatch(/[\x7f-\x9f\u202e]/)
  })
})

describe('if a token is set', () => {
  const everything = [
    'GET /jobs',
    'GET /jobs/1',
    'GET /jobs/1/history',
    'GET /metrics',
    'GET /nope',
    'HEAD /jobs',
    'POST /jobs',
    'POST /createJob',
    'POST /jobs/1/cancel',
    'POST /jobs/1/requeue',
    'DELETE /jobs',
    'OPTIONS /jobs',
    'GET /livez/',
    'GET //livez',
    'GET /livez/../jobs',
    'GET /LIVEZ',
    'GET /jobs?/livez',
    'GET /jobs%2f..%2flivez',
    'GET /%6civez',
  ]

  test.each(everything)('%s requires it', async (line) => {
    const refused = await exchange(guarded.port, request(line))

    expect(refused.status).toBe(401)
    expect(refused.headers['www-authenticate']).toBe('Bearer realm="jobmachine"')
    if (!line.startsWith('HEAD')) expect(JSON.parse(refused.body).code).toBe('unauthorized')
    expect((await exchange(guarded.port, request(line, { authorization: `Bearer ${apiToken}` }))).status).not.toBe(401)
  })

  test.each(['GET /livez', 'GET /readyz', 'HEAD /livez', 'GET /livez?x=1'])('%s needs none', async (line) => {
    expect((await exchange(guarded.port, request(line))).status).toBe(200)
  })

  test.each([`Bearer ${apiToken}`, `bearer ${apiToken}`, `BEARER   ${apiToken}`])(
    '%s is accepted',
    async (authorization) => {
      expect((await exchange(guarded.port, request('GET /jobs', { authorization }))).status).toBe(200)
    },
  )

  test.each([
    '',
    ' ',
    'Bearer',
    'Bearer ',
    'Bearer  ',
    apiToken,
    `Basic ${apiToken}`,
    `Basic ${Buffer.from(`:${apiToken}`).toString('base64')}`,
    `Token ${apiToken}`,
    `Bearer: ${apiToken}`,
    `Bearer=${apiToken}`,
    `Bearer "${apiToken}"`,
    `Bearer ${apiToken}x`,
    `Bearer ${apiToken.slice(0, -1)}`,
    `Bearer ${apiToken.toUpperCase()}`,
    `Bearer ${apiToken},`,
    `Bearer ${apiToken} ${apiToken}`,
    'Bearer null',
    'Bearer undefined',
    'Bearer *',
    `Bearer ${'a'.repeat(5_000)}`,
  ])('Authorization: %s is refused', async (authorization) => {
    expect((await exchange(guarded.port, request('GET /jobs', { authorization }))).status).toBe(401)
  })

  test('it is refused if it is given twice, right or wrong', async () => {
    for (const other of [apiToken, 'another-token-of-enough-length']) {
      const lines = `Authorization: Bearer ${apiToken}\r\nAuthorization: Bearer ${other}\r\n`
      expect((await exchange(guarded.port, `GET /jobs HTTP/1.1\r\nHost: localhost\r\n${lines}\r\n`)).status).toBe(401)
    }
  })

  test.each(['token', 'access_token', 'api_token', 'authorization'])(
    'it is not read from the query as %s',
    async (name) => {
      expect((await exchange(guarded.port, request(`GET /jobs?${name}=${apiToken}`))).status).toBe(401)
    },
  )

  test.each(['cookie', 'x-api-key', 'x-api-token', 'proxy-authorization'])(
    'it is not read from the header %s',
    async (name) => {
      expect((await exchange(guarded.port, request('GET /jobs', { [name]: `Bearer ${apiToken}` }))).status).toBe(401)
    },
  )

  test('a foreign host and a foreign page are refused even with it', async () => {
    const authorization = `Bearer ${apiToken}`

    expect((await exchange(guarded.port, request('GET /jobs', { authorization, host: 'evil.example' }))).status).toBe(
      403,
    )
    expect(
      (await exchange(guarded.port, request('POST /jobs', { authorization, origin: 'http://evil.example' }, job)))
        .status,
    ).toBe(403)
  })

  test('nobody without it stored anything, and neither token nor payload is in the log', async () => {
    const secret = 'correct-horse-battery-staple'
    const body = JSON.stringify({ type: 'broken', payload: { password: secret }, max_retries: 0 })
    await exchange(guarded.port, request('POST /jobs', {}, body))
    expect(
      (await exchange(guarded.port, request('GET /jobs', { authorization: `Bearer ${apiToken}` }))).body,
    ).not.toContain(secret)

    await exchange(guarded.port, request('POST /jobs', { authorization: `Bearer ${apiToken}` }, body))
    await until(() => guarded.logLines.some((line) => line.includes('attempt failed')))

    const log = guarded.logLines.join('')
    expect(log).not.toContain(secret)
    expect(log).not.toContain(apiToken)
  })
})

test('only those with the token learn why the server is not ready', async () => {
  const server = await startHttp({ apiToken, started: false })
  const reasonFor = async (headers: Record<string, string>) => {
    const { status, headers: got, body } = await exchange(server.port, request('GET /readyz', headers))
    return [status, got['retry-after'], JSON.parse(body)]
  }

  expect(await reasonFor({})).toEqual([503, '1', { status: 'not ready' }])
  expect(await reasonFor({ authorization: 'Bearer wrong' })).toEqual([503, '1', { status: 'not ready' }])
  const known = await reasonFor({ authorization: `Bearer ${apiToken}` })
  expect(known).toEqual([503, '1', { status: 'not ready', reason: 'not started' }])
})

describe('headers that would override the method', () => {
  test.each(['X-HTTP-Method-Override', 'X-HTTP-Method', 'X-Method-Override'])('%s does nothing', async (name) => {
    const got = await exchange(open.port, request('GET /jobs', { [name]: 'POST' }))
    const posted = await exchange(open.port, request('POST /jobs?_method=GET', { [name]: 'GET' }, job))

    expect(JSON.parse(got.body)).toHaveProperty('jobs')
    expect(posted.status).toBe(201)
  })
})

test.each([
  ['200', request('GET /jobs')],
  ['200', request('GET /livez')],
  ['200', request('GET /readyz')],
  ['200', request('GET /metrics')],
  ['200', request('HEAD /jobs')],
  ['201', request('POST /jobs', {}, job)],
  ['400', request('POST /jobs', {}, '{')],
  ['400', 'GET /jobs HTTP/1.1\r\n\r\n'],
  ['400', 'hello\r\n\r\n'],
  ['400', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'],
  ['400', request('GET /jobs\\1')],
  ['400', request('OPTIONS *')],
  ['403', request('GET /jobs', { host: 'evil.example' })],
  ['403', request('POST /jobs', { origin: 'http://evil.example' }, job)],
  ['404', request('GET /nope')],
  ['404', request('GET /jobs/999999')],
  ['405', request('DELETE /jobs')],
  ['413', request('POST /jobs', { 'content-length': '9999999999', 'content-type': 'application/json' })],
  ['415', request('POST /jobs', { 'content-type': 'text/plain' }, job)],
  ['417', request('POST /jobs', { expect: 'a-miracle' }, job)],
  ['431', request('GET /jobs', { 'x-large': 'x'.repeat(20_000) })],
])('an answer of %s to %j has the standing headers, and nothing that names the software', async (status, bytes) => {
  const answer = await exchange(open.port, bytes)

  expect(`${answer.status}`).toBe(status)
  expect(answer.headers).toMatchObject({
    'cache-control': 'no-store',
    'content-security-policy': "default-src 'none'; frame-ancestors 'none'; base-uri 'none'",
    'x-content-type-options': 'nosniff',
    'referrer-policy': 'no-referrer',
  })
  expect(answer.headers['content-type']).toMatch(/^application\/(problem\+)?json/)
  expect(Object.keys(answer.headers)).not.toEqual(expect.arrayContaining(['server']))
  expect(Object.keys(answer.headers)).not.toEqual(expect.arrayContaining(['x-powered-by']))
})

test('only the log describes a bug of the server', async () => {
  const server = await startHttp()
  const broken = Object.assign(Object.create(server.system), {
    list: () => Promise.reject(new Error('SELECT secret FROM jobs failed in /home/someone/jobs.db')),
  })
  const { port } = await startHttp({ system: broken })

  const { status, headers, body } = await exchange(port, request('GET /jobs?type=a-secret'))

  expect(status).toBe(500)
  expect(headers['x-content-type-options']).toBe('nosniff')
  expect(JSON.parse(body)).toEqual({
    type: 'urn:jobmachine:internal_error',
    title: 'Internal Server Error',
    status: 500,
    detail: 'an internal error occurred; see the server log',
    code: 'internal_error',
    message: 'an internal error occurred; see the server log',
  })
})
