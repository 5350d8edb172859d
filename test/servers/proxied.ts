import { request as requestHttp } from 'node:http'
import { request as requestHttps } from 'node:https'
import { describe, expect, test } from 'vitest'
import { startServer } from '../support/server-process.ts'
import { freePort } from './servers.ts'

export const apiToken = 'a-token-of-enough-length'
/** The name that users use for the server; it is in ALLOWED_HOSTS. */
const publicName = 'jobs.lan'
const megabyte = 1_000_000

export interface Proxy {
  readonly isTls?: boolean
  readonly basePath?: string
  /** Which one refuses a body of 20 MB: the proxy, because of its configuration, or our server behind it. */
  readonly refusedBy: 'proxy' | 'ours'
  /** The cookie's `Secure` over https. */
  readonly cookieIsSecure?: boolean
  /** Starts it on `port` in front of `upstream`, a port too. */
  start(port: number, upstream: number): Promise<unknown>
}

interface Answer {
  readonly status: number
  readonly headers: Record<string, string | string[] | undefined>
  readonly body: string
}

/** What a browser and a program do through that proxy. */
export function testThrough(name: string, proxy: Proxy): void {
  const { isTls = false, basePath = '', refusedBy, cookieIsSecure = isTls } = proxy

  async function start() {
    const env = { API_TOKEN: apiToken, ALLOWED_HOSTS: publicName, WORKER_COUNT: '1' }
    const server = await startServer(basePath === '' ? env : { ...env, BASE_PATH: basePath })
    const port = await freePort()
    await proxy.start(port, Number(new URL(server.url).port))
    const origin = `${isTls ? 'https' : 'http'}://${publicName}:${port}`
    const send = (method: string, path: string, headers: Record<string, string> = {}, body: string | Buffer = '') =>
      exchange(port, isTls, method, `${basePath}${path}`, { host: `${publicName}:${port}`, ...headers }, body)
    // Like a browser's form over https; over http it sends only its origin.
    const submit = (path: string, headers: Record<string, string> = {}, form: Record<string, string> = {}) =>
      send(
        'POST',
        path,
        { origin, 'sec-fetch-site': 'same-origin', 'content-type': 'application/x-www-form-urlencoded', ...headers },
        `${new URLSearchParams(form)}`,
      )
    const withToken = { authorization: `Bearer ${apiToken}`, 'content-type': 'application/json' }
    const enqueue = async (jobs: unknown) => send('POST', '/jobs', withToken, JSON.stringify(jobs))
    return { port, send, submit, enqueue, withToken }
  }

  describe(name, () => {
    test('a person can log in, see a page and use a button', async () => {
      const { send, submit, enqueue } = await start()
      const { id } = JSON.parse((await enqueue({ type: 'sleep', payload: { ms: 1 }, delay_ms: 3_600_000 })).body)

      const asked = await send('GET', '/dashboard/jobs')
      const loggedIn = await submit('/login', {}, { token: apiToken, next: '/dashboard/jobs' })
      const [setCookie = ''] = loggedIn.headers['set-cookie'] ?? []
      const cookie = setCookie.split(';')[0]!
      const page = await send('GET', '/dashboard/jobs', { cookie })
      const asset = await send('GET', '/assets/app.js')
      const pressed = await submit(`/dashboard/jobs/${id}/cancel`, { cookie })

      expect(pathOf(asked.headers.location)).toBe(`${basePath}/login?next=%2Fdashboard%2Fjobs`)
      expect([loggedIn.status, pathOf(loggedIn.headers.location)]).toEqual([303, `${basePath}/dashboard/jobs`])
      expect(setCookie).toContain(`Path=${basePath || '/'};`)
      expect(/; Secure$/.test(setCookie)).toBe(cookieIsSecure)
      expect([page.status, asset.status, pressed.status]).toEqual([200, 200, 303])
      expect(page.body).toContain(`href="${basePath}/dashboard/jobs/${id}"`)
      expect(JSON.parse((await send('GET', `/jobs/${id}`, { cookie })).body).state).toBe('cancelled')
    })

    test('an event arrives as it happens', async () => {
      const { port, enqueue, withToken } = await start()
      const chunks: string[] = []
      const headers = { host: `${publicName}:${port}`, ...withToken }
      const ask = (isTls ? requestHttps : requestHttp)({
        port,
        host: '127.0.0.1',
        path: `${basePath}/events`,
        headers,
        rejectUnauthorized: false,
      })
      ask.on('error', () => undefined)
      ask.on('response', (response) => response.setEncoding('utf8').on('data', (text: string) => chunks.push(text)))
      ask.end()
      await expect.poll(() => chunks.join(''), { timeout: 10_000 }).toContain('transitions of jobs')

      await enqueue({ type: 'sleep', payload: { ms: 1 } })

      await expect.poll(() => chunks.join(''), { timeout: 10_000 }).toContain('"to":"succeeded"')
      ask.destroy()
    })

    test('7 MB of jobs are stored', async () => {
      const { enqueue } = await start()
      const payload = { url: 'http://192.0.2.1', body: 'x'.repeat(6_900) }
      const job = { type: 'webhook', payload, delay_ms: 3_600_000 }

      const { status } = await enqueue(Array.from({ length: 1_000 }, () => job))

      expect(status).toBe(201)
    })

    test('the refusal of a body of 20 MB is visible, and so is that of one without the token', async () => {
      const { send, withToken } = await start()
      const { authorization: _, ...withoutToken } = withToken

      for (let again = 0; again < 5; again++) {
        const large = await send('POST', '/jobs', withToken, Buffer.alloc(20 * megabyte, ' '))
        const stranger = await send('POST', '/jobs', withoutToken, Buffer.alloc(7 * megabyte, ' '))

        expect([large.status, stranger.status]).toEqual([413, 401])
        expect(large.body.includes('payload_too_large')).toBe(refusedBy === 'ours')
        expect(stranger.body).toContain('unauthorized')
      }
    })
  })
}

/** A proxy may turn it into a complete URL. */
function pathOf(location: string | string[] | undefined): string {
  const { pathname, search } = new URL(`${location}`, 'http://localhost')
  return pathname + search
}

/** One request on a separate connection; a body is sent completely before the answer is read, as by many clients. */
function exchange(
  port: number,
  isTls: boolean,
  method: string,
  path: string,
  headers: Record<string, string>,
  body: string | Buffer,
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const length = body.length > 0 ? { 'content-length': `${Buffer.byteLength(body)}` } : {}
    const ask = (isTls ? requestHttps : requestHttp)(
      {
        port,
        host: '127.0.0.1',
        method,
        path,
        headers: { ...length, ...headers },
        agent: false,
        rejectUnauthorized: false,
      },
      (response) => {
        let text = ''
        response.setEncoding('utf8').on('data', (chunk: string) => {
          text += chunk
        })
        response.on('error', reject)
        response.on('end', () => resolve({ status: response.statusCode!, headers: response.headers, body: text }))
      },
    )
    ask.on('error', reject)
    ask.end(body)
  })
}
