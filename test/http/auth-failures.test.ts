import type { IncomingMessage } from 'node:http'
import { describe, expect, test } from 'vitest'
import { AuthFailures } from '../../src/http/auth-failures.ts'
import { parseMetrics, sampleOf } from '../support/metrics-text.ts'
import { exchange, type RawAnswer, request } from '../support/raw-http.ts'
import { startHttp, type TestServer } from '../support/server.ts'
import { until } from '../support/system.ts'

const apiToken = 'a-token-of-enough-length'
const right = { authorization: `Bearer ${apiToken}` }
const startAt = Date.UTC(2030, 0, 1)

/** A server whose late answers wait until `release` is called. */
async function startGuarded() {
  const waiting: (() => void)[] = []
  let now = startAt
  const pause = () => new Promise<void>((resolve) => waiting.push(resolve))
  const server = await startHttp({ apiToken, now: () => now, pause })
  const release = () => {
    for (const end of waiting.splice(0)) end()
  }
  const pass = (ms: number) => {
    now += ms
  }
  return { server, waiting, release, pass }
}

const ask = ({ port }: TestServer, line: string, headers: Record<string, string>) =>
  exchange(port, request(line, headers))

function typing({ port }: TestServer, token: string): Promise<RawAnswer> {
  const body = `${new URLSearchParams({ token, next: '/' })}`
  const form = { 'content-type': 'application/x-www-form-urlencoded', 'content-length': `${body.length}` }
  return exchange(port, request('POST /login', form) + body)
}

/** One wrong token of each kind. */
const wrongBy = {
  form: (server: TestServer) => typing(server, 'my-other-password'),
  bearer: (server: TestServer) => ask(server, 'GET /jobs', { authorization: 'Bearer my-other-password' }),
  cookie: (server: TestServer) => ask(server, 'GET /jobs', { cookie: `jobmachine=${startAt + 86_400_000}.guess` }),
}

async function times<T>(count: number, work: () => Promise<T>): Promise<T[]> {
  const results: T[] = []
  for (let done = 0; done < count; done++) results.push(await work())
  return results
}

describe.each(Object.entries(wrongBy))('wrong tokens by %s', (kind, show) => {
  test('are refused at once ten times, then late, and finally with 429; the right one is always accepted at once', async () => {
    const { server, waiting, release } = await startGuarded()

    const prompt = await times(10, () => show(server))
    const late = Array.from({ length: 10 }, () => show(server))
    await until(() => waiting.length === 10)
    const refused = await show(server)

    expect(prompt.map(({ status }) => status)).toEqual(Array(10).fill(401))
    expect([refused.status, refused.headers['retry-after']]).toEqual([429, '2'])
    expect((await ask(server, 'GET /jobs', right)).status).toBe(200)
    const loggedIn = await typing(server, apiToken)
    expect(loggedIn.status).toBe(303)
    const [cookie] = loggedIn.headers['set-cookie']!.split(';') as [string]
    expect((await ask(server, 'GET /jobs', { cookie })).status).toBe(200)
    expect(waiting).toHaveLength(10)
    release()
    expect((await Promise.all(late)).map(({ status }) => status)).toEqual(Array(10).fill(401))
  })

  test('are refused at once again after a while', async () => {
    const { server, waiting, pass, release } = await startGuarded()
    await times(10, () => show(server))

    pass(6_000)
    const again = await show(server)
    const next = show(server)
    await until(() => waiting.length === 1)
    release()

    expect([again.status, (await next).status]).toEqual([401, 401])
  })

  test('are counted, and reported once a minute with the address and never with the guess', async () => {
    const { server, pass } = await startGuarded()

    await times(3, () => show(server))
    pass(60_000)
    await show(server)

    const { body } = await ask(server, 'GET /metrics/prometheus', right)
    expect(sampleOf(parseMetrics(body), 'jobmachine_wrong_tokens_total', { kind })).toBe(4)
    const told = server.logLines
      .map((line) => JSON.parse(line))
      .filter(({ msg }) => msg === 'a wrong API token was sent')
    expect(told).toMatchObject([
      { level: 40, address: '127.0.0.1', kind, wrong_tokens: 1 },
      { level: 40, address: '127.0.0.1', kind, wrong_tokens: 3 },
    ])
    expect(server.logLines.join('')).not.toMatch(/my-other-password|guess/)
  })
})

test('an address that a proxy or a client claims is logged as a claim, and slows nobody else', async () => {
  const { server, waiting } = await startGuarded()
  const headers = { authorization: 'Bearer wrong', 'x-forwarded-for': `203.0.113.9, ${'9'.repeat(500)}` }

  await times(10, () => ask(server, 'GET /jobs', headers))
  void ask(server, 'GET /jobs', { ...headers, 'x-forwarded-for': '198.51.100.1' }).catch(() => undefined)
  await until(() => waiting.length === 1)

  const told = server.logLines.map((line) => JSON.parse(line)).find(({ msg }) => msg === 'a wrong API token was sent')
  expect(told.address).toBe('127.0.0.1')
  expect(told.forwarded_for).toMatch(/^203\.0\.113\.9, 9{180,200}$/)
})

test.each<[string, Record<string, string>]>([
  ['no token at all', {}],
  ['the password of a proxy before it', { authorization: 'Basic dXNlcjpwYXNzd29yZA==' }],
  ['a cookie that has ended', { cookie: `jobmachine=${startAt - 1}.guess` }],
  ['the cookie of another server', { cookie: `jobmachine-9090=${startAt + 86_400_000}.guess` }],
])('%s does not count as a guess', async (_, headers) => {
  const { server } = await startGuarded()

  const answers = await times(30, () => ask(server, 'GET /jobs', headers))

  expect(answers.map(({ status }) => status)).toEqual(Array(30).fill(401))
  expect(server.logLines.join('')).not.toContain('a wrong API token was sent')
})

test.each(['GET /readyz', 'GET /login', 'HEAD /login'])(
  'a wrong token at %s, which needs no token, counts as a guess too',
  async (line) => {
    const { server, waiting } = await startGuarded()
    const headers = { authorization: 'Bearer wrong' }

    const prompt = await times(10, () => ask(server, line, headers))
    void ask(server, line, headers).catch(() => undefined)
    await until(() => waiting.length === 1)

    expect(prompt.map(({ status }) => status)).toEqual(Array(10).fill(200))
    expect((await ask(server, line, {})).status).toBe(200)
    expect((await ask(server, 'GET /livez', headers)).status).toBe(200)
  },
)

describe('of guesses from many addresses', () => {
  const log = { debug() {}, info() {}, warn() {}, error() {}, child: () => log }
  const from = (remoteAddress: string) => ({ socket: { remoteAddress }, headers: {} }) as unknown as IncomingMessage

  /** Whether the answer came without a pause. */
  const someFailures = () => {
    let paused = 0
    const clock = { at: startAt }
    const failures = new AuthFailures({ log, now: () => clock.at, pause: async () => void paused++ })
    const isPrompt = async (address: string) => {
      const before = paused
      await failures.slow(from(address), 'bearer')
      return paused === before
    }
    return { failures, clock, isPrompt }
  }

  test('a hundred are refused at once, whatever their addresses', async () => {
    const { isPrompt } = someFailures()
    let prompt = 0
    for (let host = 0; host < 200; host++) if (await isPrompt(`192.0.2.${host}`)) prompt++

    expect(prompt).toBe(100)
  })

  test('those from one IPv6 network count as one, in any notation, and an IPv4 address counts as one in both', async () => {
    const { isPrompt } = someFailures()
    for (let host = 1; host <= 10; host++) await isPrompt(`2001:db8:0:1::${host}`)
    for (let shown = 0; shown < 10; shown++) await isPrompt('::ffff:192.0.2.1')

    expect(await isPrompt('2001:DB8:0:1:ffff::1')).toBe(false)
    expect(await isPrompt('2001:db8:0:2::1')).toBe(true)
    expect(await isPrompt('192.0.2.1')).toBe(false)
  })

  test('ten thousand are remembered', async () => {
    const { failures, isPrompt } = someFailures()
    for (let host = 0; host < 12_000; host++) await isPrompt(`10.0.${host >> 8}.${host & 255}`)

    expect(failures.known).toBe(10_000)
  })

  test('none waits forever if the clock is set back', async () => {
    const { clock, isPrompt } = someFailures()
    for (let shown = 0; shown < 10; shown++) await isPrompt('192.0.2.1')

    clock.at -= 86_400_000
    const before = await isPrompt('192.0.2.1')
    clock.at += 6_000

    expect([before, await isPrompt('192.0.2.1')]).toEqual([false, true])
  })

  test('a hundred wait, and at most ten from one address', async () => {
    const failures = new AuthFailures({ log, now: () => startAt, pause: () => new Promise(() => undefined) })
    const late = (address: string) => failures.slow(from(address), 'form')
    for (let host = 0; host < 10; host++) for (let shown = 0; shown < 20; shown++) void late(`192.0.2.${host}`)

    await expect(late('192.0.2.0')).rejects.toMatchObject({ status: 429 })
    await expect(late('198.51.100.1')).rejects.toMatchObject({ status: 429 })
  })
})
