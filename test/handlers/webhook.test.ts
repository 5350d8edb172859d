import type { LookupAddress } from 'node:dns'
import { once } from 'node:events'
import { createServer, type IncomingHttpHeaders, type Server, type ServerResponse } from 'node:http'
import { createServer as createHttpsServer } from 'node:https'
import { type AddressInfo, createServer as createTcpServer } from 'node:net'
import { inspect } from 'node:util'
import { Webhook } from 'standardwebhooks'
import { describe, expect, onTestFinished, test, vi } from 'vitest'
import { JobCancelledError, PayloadError, PermanentError, RetryAfterError } from '../../src/errors.ts'
import { describeError } from '../../src/handlers/describe-error.ts'
import { HttpClient, isPublicAddress } from '../../src/handlers/http-client.ts'
import { callWebhook } from '../../src/handlers/webhook.ts'
import { attempt, failureOf, faultsOf } from '../support/attempt.ts'
import { parsePayload } from '../support/payload.ts'
import { selfSigned } from '../support/smtp.ts'

const noon = Date.parse('2030-01-31T12:00:00Z')
type NetworkRules = NonNullable<ConstructorParameters<typeof HttpClient>[0]>
type WebhookSettings = Parameters<typeof callWebhook>[0]

const anywhere: NetworkRules = { allows: () => true }

/** A handler that may call the servers of these tests by default. */
function aWebhook({ network = anywhere, ...settings }: Partial<WebhookSettings> & { network?: NetworkRules } = {}) {
  const client = new HttpClient(network)
  onTestFinished(() => client.close())
  return callWebhook({ client, retryMaxMs: 3_600_000, now: () => noon, ...settings })
}

interface ReceivedCall {
  readonly method: string
  readonly path: string
  readonly headers: IncomingHttpHeaders
  readonly body: string
}

/** A real HTTP server on 127.0.0.1 until the test ends; it keeps each call, then answers as `answer` says, 204 unless told. */
async function startReceiver(
  answer: (response: ServerResponse, path: string) => void = (response) => response.writeHead(204).end(),
) {
  const calls: ReceivedCall[] = []
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk as Buffer)
    const { method = '', url: path = '', headers } = request
    calls.push({ method, path, headers, body: Buffer.concat(chunks).toString() })
    answer(response, path)
  })
  const port = await listen(server)
  return { url: `http://127.0.0.1:${port}`, port, calls }
}

/** Its port. */
async function listen(server: Server): Promise<number> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  return (server.address() as AddressInfo).port
}

const answering =
  (status: number, headers: Readonly<Record<string, string | readonly string[]>> = {}) =>
  (response: ServerResponse) => {
    for (const [name, value] of Object.entries(headers)) response.setHeader(name, value)
    response.writeHead(status).end('some text')
  }

describe('a webhook', () => {
  test('posts its body as JSON, with an id that all attempts of its job share', async () => {
    const { url, calls } = await startReceiver()

    await attempt(
      aWebhook(),
      { url: `${url}/hook?a=1#part`, body: { n: 1, list: [null] } },
      { idempotencyToken: 'd5.42' },
    )

    expect(calls).toHaveLength(1)
    expect(calls[0]).toMatchObject({ method: 'POST', path: '/hook?a=1', body: '{"n":1,"list":[null]}' })
    expect(calls[0]!.headers).toMatchObject({ 'content-type': 'application/json', 'webhook-id': 'd5.42' })
    expect(calls[0]!.headers).not.toHaveProperty('webhook-signature')
  })

  test('uses the given method and headers', async () => {
    const { url, calls } = await startReceiver()
    const headers = { 'X-Api-Key': 'k', 'Content-Type': 'application/cloudevents+json', 'User-Agent': 'mine' }

    await attempt(aWebhook(), { url, method: 'put', headers, body: 'text' })

    expect(calls[0]).toMatchObject({ method: 'PUT', body: '"text"' })
    expect(calls[0]!.headers).toMatchObject({
      'x-api-key': 'k',
      'content-type': 'application/cloudevents+json',
      'user-agent': 'mine',
    })
  })

  test('sends null as null, and nothing if no body is given', async () => {
    const { url, calls } = await startReceiver()

    await attempt(aWebhook(), { url, body: null })
    await attempt(aWebhook(), { url })
    await attempt(aWebhook(), { url, method: 'GET' })

    expect(calls.map(({ body }) => body)).toEqual(['null', '', ''])
    expect(calls.map(({ headers }) => headers['content-type'])).toEqual(['application/json', undefined, undefined])
  })

  test.each([200, 201, 202, 204, 299])('succeeds on %i', async (status) => {
    const { url } = await startReceiver(answering(status))

    await expect(attempt(aWebhook(), { url })).resolves.toBeUndefined()
  })

  test.each([400, 401, 403, 404, 405, 409, 410, 422, 451, 499])('fails permanently on %i', async (status) => {
    const { url } = await startReceiver(answering(status, { 'retry-after': '5' }))

    const failure = await failureOf(aWebhook(), { url })

    expect(failure).toBeInstanceOf(PermanentError)
    expect(failure.message).toBe(`POST ${url} answered ${status}`)
  })

  test.each([408, 425, 429, 500, 501, 502, 503, 504, 507, 599])('is retried on %i', async (status) => {
    const { url } = await startReceiver(answering(status))

    const failure = await failureOf(aWebhook(), { url })

    expect(failure).not.toBeInstanceOf(PermanentError)
    expect(failure).not.toBeInstanceOf(RetryAfterError)
    expect(failure.message).toBe(`POST ${url} answered ${status}`)
  })

  test('is retried if nothing listens', async () => {
    const { url, port } = await startReceiver((response) => response.destroy())

    const cutOff = await failureOf(aWebhook(), { url })
    const unknown = await failureOf(aWebhook({ network: { ...anywhere, resolve: noSuchName } }), {
      url: `http://nowhere.test:${port}`,
    })

    expect(cutOff.message).toBe(`POST ${url} failed: ECONNRESET`)
    expect(unknown.message).toBe(`POST http://nowhere.test:${port} failed: ENOTFOUND`)
    for (const failure of [cutOff, unknown]) expect(failure).not.toBeInstanceOf(PermanentError)
  })

  test('is retried if the certificate is not trusted', async () => {
    const url = `https://127.0.0.1:${await listen(createHttpsServer(selfSigned, (_request, response) => response.end()))}`

    const failure = await failureOf(aWebhook(), { url })

    expect(failure).not.toBeInstanceOf(PermanentError)
    expect(failure.message).toBe(`POST ${url} failed: DEPTH_ZERO_SELF_SIGNED_CERT`)
  })

  test('reveals nothing of path, query, headers or body when it fails', async () => {
    const { url } = await startReceiver(answering(500))
    const { url: refusing } = await startReceiver(answering(404))
    const secrets = { headers: { authorization: 'Bearer hidden' }, body: { token: 'hidden' } }

    const nowhere = (await startReceiver((response) => response.destroy())).url
    const failures = await Promise.all(
      [url, refusing, nowhere]
        .map((origin) => `${origin}/hidden?key=hidden`)
        .map((url) => failureOf(aWebhook(), { url, ...secrets })),
    )

    for (const failure of failures) expect(describeError(failure).message).not.toContain('hidden')
  })

  const secret = 'whsec_c2VjcmV0LWtleS0wODE1LTQ3MTE='
  const carried = {
    path: '/services/T0000000000000000001/hook?key=q7Ha2Lx9',
    headers: {
      Authorization: `Basic ${Buffer.from('shop:Kx92mQ2vL5nR8z').toString('base64')}`,
      Cookie: 'theme=dark; session=8f14e45fceea167a',
      'X-Api-Key': 'sk-live-4eC39HqLyjWDarjtT1',
    },
  }
  const parts = [
    ...['T0000000000000000001', 'q7Ha2Lx9', 'Kx92mQ2vL5nR8z', '8f14e45fceea167a', 'sk-live-4eC39HqLyjWDarjtT1'],
    ...[carried.headers.Authorization.slice('Basic '.length), secret.slice('whsec_'.length)],
  ]

  test.each(parts)('hides what the receiver learned, even in a redirect: %s', async (part) => {
    const hosts = [`${part}.example`, `x-${part}`, `${Buffer.from(part).toString('hex')}.example`]
    for (const host of hosts.map((name) => name.replace(/[^\w.-]/g, ''))) {
      const { url } = await startReceiver(answering(307, { location: `https://${host}/` }))

      const failure = await failureOf(aWebhook({ secret }), { url: `${url}${carried.path}`, headers: carried.headers })

      const kept = JSON.stringify([describeError(failure), failure.stack]).toLowerCase()
      expect(kept).toContain('a redirect to https:')
      expect(kept).not.toContain(part.replace(/[^\w.-]/g, '').toLowerCase())
      expect(kept).not.toContain(Buffer.from(part).toString('hex'))
    }
  })

  test.each([
    ['answers 500', () => Promise.resolve({ status: 500, headers: {} })],
    ['answers 404', () => Promise.resolve({ status: 404, headers: {} })],
    ['cannot be reached', () => Promise.reject(Object.assign(new Error('no'), { code: 'ENOTFOUND' }))],
    ['may not be called', ({ url }: { url: URL }) => Promise.reject(new PermanentError(`${url.hostname} is private`))],
  ])('hides it in the address to which a redirect leads, also if that %s', async (_, answer) => {
    const host = 'sk-live-4ec39hqlyjwdarjtt1.example'
    const redirect = { status: 307, headers: { location: [`https://${host}/`] } }
    const client: WebhookSettings['client'] = {
      send: (request) => (request.url.hostname === host ? answer(request) : Promise.resolve(redirect)),
    }
    const notes: string[] = []
    const call = { url: `https://example.com${carried.path}`, headers: carried.headers, redirects: 'any_origin' }

    const failure = await failureOf(aWebhook({ client, secret }), call, { note: (text) => void notes.push(text) })

    const kept = JSON.stringify([describeError(failure), failure.stack, notes])
    expect(kept).toContain('[the header X-Api-Key].example')
    expect(kept.toLowerCase()).not.toContain(host)
  })

  test('hides what an error of the connection repeats, and the signature', async () => {
    let signature = ''
    const client: WebhookSettings['client'] = {
      send({ url, headers }) {
        signature = headers['webhook-signature']!.slice('v1,'.length)
        const cause = new Error(`of ${url.href}: ${JSON.stringify(headers)}`)
        const error = new Error(`failed: ${JSON.stringify(headers)}`, { cause })
        return Promise.reject(Object.assign(error, { rawPacket: Buffer.from('x'), options: { headers } }))
      },
    }

    const failure = await failureOf(aWebhook({ client, secret }), {
      url: `https://example.com${carried.path}`,
      headers: carried.headers,
    })

    const kept = JSON.stringify([describeError(failure), inspect(failure, { depth: 10 })])
    expect(signature).not.toBe('')
    for (const part of [...parts, signature]) expect(kept).not.toContain(part)
    expect(describeError(failure).message).toContain('[the header X-Api-Key]')
    expect(failure.message).toContain('POST https://example.com failed')
  })
})

/** A server that answers each request of a connection by the bytes that `answer` gives for it, counted from 1; null: it closes instead. */
async function startRaw(answer: (requestOfConnection: number) => string | null) {
  const requests: string[][] = []
  const server = createTcpServer((socket) => {
    const ofConnection: string[] = []
    requests.push(ofConnection)
    socket
      .on('error', () => undefined)
      .on('data', (data) => {
        ofConnection.push(data.toString())
        const bytes = answer(ofConnection.length)
        if (bytes === null) socket.destroy()
        else socket.write(bytes, () => bytes.includes('\r\n\r\n') || socket.destroy())
      })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => void server.close())
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, requests }
}

const noContent = 'HTTP/1.1 204 No Content\r\n\r\n'

describe('a receiver', () => {
  test.each([
    ['100', 'HTTP/1.1 100 Continue\r\n\r\n'],
    ['100 twice', 'HTTP/1.1 100 Continue\r\n\r\n'.repeat(2)],
    ['102', 'HTTP/1.1 102 Processing\r\n\r\n'],
    ['103', 'HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\n'],
  ])('may send %s, unasked, before its answer', async (_what, before) => {
    const { url, requests } = await startRaw(() => before + noContent)

    await attempt(aWebhook(), { url, body: 1 })

    expect(requests).toEqual([[expect.stringMatching(/^POST \/ /)]])
  })

  test('that changes the protocol, unasked, fails the attempt', async () => {
    const { url } = await startRaw(
      () => 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n',
    )

    const failure = await failureOf(aWebhook(), { url, body: 1 })

    expect(failure.message).toBe(`POST ${url} failed: the connection ended without an answer`)
  })

  test('may close a connection as it is reused: the call is sent again on a new one', async () => {
    const { url, requests } = await startRaw((request) => (request === 1 ? noContent : null))
    const handler = aWebhook()

    for (const body of [1, 2, 3]) await attempt(handler, { url, body })

    const bodies = requests.map((ofConnection) => ofConnection.map((request) => request.at(-1)))
    // The new connection of a repeat is not kept, so that the third call finds none.
    expect(bodies).toEqual([['1', '2'], ['2'], ['3']])
  })

  test('that closes a new connection fails the attempt, without a repeat', async () => {
    const { url, requests } = await startRaw(() => null)

    const failure = await failureOf(aWebhook(), { url, body: 1 })

    expect(failure.message).toBe(`POST ${url} failed: ECONNRESET`)
    expect(requests).toHaveLength(1)
  })

  test('that breaks off in the middle of its answer fails the attempt, without a repeat', async () => {
    const { url, requests } = await startRaw((request) => (request === 1 ? noContent : 'HTTP/1.1 2'))
    const handler = aWebhook()
    await attempt(handler, { url, body: 1 })

    const failure = await failureOf(handler, { url, body: 2 })

    expect(failure).not.toBeInstanceOf(PermanentError)
    expect(requests.map(({ length }) => length)).toEqual([2])
  })
})

describe('Retry-After', () => {
  async function delayAsked(header: string | string[], settings: Partial<WebhookSettings> = {}) {
    const { url } = await startReceiver(answering(503, { 'retry-after': header }))
    const failure = await failureOf(aWebhook(settings), { url })
    expect(failure.message).toBe(`POST ${url} answered 503`)
    return failure instanceof RetryAfterError ? failure.delayMs : undefined
  }

  test('is honoured in seconds and as a date', async () => {
    expect(await delayAsked('120')).toBe(120_000)
    expect(await delayAsked('Thu, 31 Jan 2030 12:00:30 GMT')).toBe(30_000)
  })

  test.each([['Thu, 31 Jan 2030 12:00:30 GMT'], ['Thursday, 31-Jan-30 12:00:30 GMT'], ['Thu Jan 31 12:00:30 2030']])(
    'is honoured as a date in each form of HTTP: %s',
    async (date) => {
      expect(await delayAsked(date)).toBe(30_000)
      expect(await delayAsked(['10', date])).toBe(30_000)
    },
  )

  test('in asctime form may have a day of one digit', async () => {
    expect(await delayAsked('Fri Feb  1 12:00:00 2030', { retryMaxMs: 90_000_000 })).toBe(86_400_000)
  })

  test.each([
    [['5', '120']],
    [['120', '5']],
    [['120', 'soon']],
    [['5, 120']],
    [['Thu, 31 Jan 2030 12:02:00 GMT', '5']],
  ])('given as %j counts by the later instant', async (headers) => {
    expect(await delayAsked(headers)).toBe(120_000)
  })

  test('is limited to the longest delay allowed', async () => {
    expect(await delayAsked('3601')).toBe(3_600_000)
    expect(await delayAsked('9'.repeat(400))).toBe(3_600_000)
    expect(await delayAsked('Fri, 31 Jan 2031 12:00:00 GMT', { retryMaxMs: 5_000 })).toBe(5_000)
  })

  test.each(['0', 'Thu, 31 Jan 2030 11:59:59 GMT', 'soon', 'Thu, 31 Jan 2030 23:00:00', '-5', '1.5', ''])(
    'of %j leaves the delay to the backoff',
    async (header) => {
      expect(await delayAsked(header)).toBeUndefined()
    },
  )
})

describe('a redirect', () => {
  /** Redirects once, then answers 204. */
  const redirecting = (status: number, location = '/moved') =>
    startReceiver((response, path) => answering(path === '/' ? status : 204, { location })(response))

  test.each([
    [301, 'PUT'],
    [302, 'PATCH'],
    [302, 'DELETE'],
    [307, 'POST'],
    [308, 'PATCH'],
  ])('of %i is followed by a signed %s with its body', async (status, method) => {
    const { url, calls } = await redirecting(status)

    await attempt(aWebhook({ secret: 's' }), { url, method, body: 1 })

    expect(calls).toHaveLength(2)
    expect(calls[1]).toMatchObject({ method, path: '/moved', body: '1' })
    expect(calls[1]!.headers['content-type']).toBe('application/json')
    expect(() => verified(calls[1]!, btoa('s'))).not.toThrow()
  })

  test.each([301, 302, 303, 307, 308].flatMap((status) => [[status, 'GET'] as const, [status, 'HEAD'] as const]))(
    'of %i is followed by a %s, with the same method, to any origin',
    async (status, method) => {
      const away = await startReceiver()
      const { url } = await startReceiver(answering(status, { location: `${away.url}/moved` }))

      await attempt(aWebhook(), { url, method })

      expect(away.calls).toMatchObject([{ method, path: '/moved', body: '' }])
    },
  )

  test.each([
    [301, 'POST', 1],
    [302, 'POST', 1],
    [303, 'POST', 1],
    [303, 'PUT', 1],
    [303, 'PATCH', 1],
    [303, 'DELETE', undefined],
    [302, 'POST', undefined],
  ])(
    'of %i that would turn a %s into a GET fails permanently, and the new address gets nothing',
    async (status, method, body) => {
      const { url, calls } = await redirecting(status)

      const failure = await failureOf(aWebhook(), { url, method, body, redirects: 'any_origin' })

      expect(failure).toBeInstanceOf(PermanentError)
      expect(failure.message).toBe(
        `${method} ${url} answered ${status}, a redirect to another path of ${url}, which was not followed: ` +
          `the ${method} would become a GET without its body. Call the new address instead.`,
      )
      expect(calls).toHaveLength(1)
    },
  )

  test('that would lose the body names the new origin, but neither path nor query', async () => {
    const { url } = await redirecting(301, 'https://www.example.com/hidden?key=hidden')

    const failure = await failureOf(aWebhook(), { url, body: 1 })

    expect(failure.message).toContain('a redirect to https://www.example.com, which was not followed')
    expect(failure.message).not.toContain('hidden')
  })

  test.each(['POST', 'PUT', 'PATCH', 'DELETE'])(
    'sends no %s to another origin unless its job says so',
    async (method) => {
      const away = await startReceiver()
      const { url } = await startReceiver(answering(307, { location: `${away.url}/moved` }))

      const failure = await failureOf(aWebhook({ secret: 's' }), { url, method, body: 1 })
      const told = await failureOf(aWebhook({ secret: 's' }), { url, method, body: 1, redirects: 'same_origin' })

      for (const { message } of [failure, told]) {
        expect(message).toContain(`a redirect to ${away.url}, which was not followed: only "redirects": "any_origin"`)
      }
      expect(failure).toBeInstanceOf(PermanentError)
      expect(away.calls).toEqual([])

      await attempt(aWebhook({ secret: 's' }), { url, method, body: 1, redirects: 'any_origin' })
      expect(away.calls).toMatchObject([{ method, path: '/moved', body: '1' }])
    },
  )

  test('to the same origin keeps the headers', async () => {
    const { url, calls } = await redirecting(308)

    await attempt(aWebhook(), { url, headers: { authorization: 'Bearer a', 'x-api-key': 'k' } })

    expect(calls[1]!.headers).toMatchObject({ authorization: 'Bearer a', 'x-api-key': 'k' })
  })

  test('is noted with who answered in the end, and without its path', async () => {
    const away = await startReceiver(answering(200))
    const home = await startReceiver((response, path) =>
      answering(path === '/ok' ? 204 : 307, { location: path === '/far' ? `${away.url}/hidden?a=hidden` : '/ok' })(
        response,
      ),
    )
    const noted = async (path: string) => {
      const notes: string[] = []
      const call = { url: `${home.url}${path}`, body: 1, redirects: 'any_origin' }
      await attempt(aWebhook({ secret: 's' }), call, { note: (text) => void notes.push(text) })
      return notes
    }

    expect(await noted('/ok')).toEqual([`${home.url} answered 204 to POST`])
    expect(await noted('/near')).toEqual([`${home.url} answered 204 to POST, after a redirect to another path`])
    expect(await noted('/far')).toEqual([`${away.url} answered 200 to POST, after a redirect from ${home.url}`])
  })

  test('to another origin drops credentials and signature, even on the way back', async () => {
    const home = await startReceiver((response, path) =>
      answering(path === '/' ? 307 : 204, { location: away.url })(response),
    )
    const away = await startReceiver((response, path) =>
      answering(307, { location: path === '/' ? '/next' : `${home.url}/back` })(response),
    )
    const headers = { authorization: 'Bearer a', cookie: 'c=1', 'x-api-key': 'k', accept: 'text/plain' }

    await attempt(aWebhook({ secret: 's' }), { url: home.url, headers, body: 1, redirects: 'any_origin' })

    expect(home.calls[0]!.headers).toMatchObject({ ...headers, 'webhook-signature': expect.any(String) })
    expect(away.calls).toHaveLength(2)
    expect(home.calls).toHaveLength(2)
    for (const { headers: arrived } of [...away.calls, home.calls[1]!]) {
      expect(arrived).toMatchObject({
        accept: 'text/plain',
        'content-type': 'application/json',
        'webhook-id': 'f00d.7',
      })
      for (const name of ['authorization', 'cookie', 'x-api-key', 'webhook-signature'])
        expect(arrived).not.toHaveProperty(name)
    }
  })

  test.each([
    ['http://hook.example/', 'https://hook.example/', true],
    ['http://hook.example/', 'https://www.hook.example/', false],
    ['http://hook.example:8080/', 'https://hook.example/', false],
    ['http://hook.example/', 'https://hook.example:8443/', false],
    ['https://hook.example/', 'http://hook.example/', false],
  ])('from %s to %s stays at the receiver: %s', async (url, location, stays) => {
    const sent: Parameters<HttpClient['send']>[0][] = []
    const client: WebhookSettings['client'] = {
      async send(request) {
        sent.push(request)
        return sent.length === 1 ? { status: 308, headers: { location: [location] } } : { status: 204, headers: {} }
      },
    }
    const handler = callWebhook({ client, secret: 's', retryMaxMs: 1, now: () => noon })
    const call = { url, headers: { authorization: 'Bearer a' }, body: 1 }

    if (stays) await attempt(handler, call)
    else expect(await failureOf(handler, call)).toBeInstanceOf(PermanentError)

    expect(sent.map(({ url }) => url.href)).toEqual(stays ? [url, location] : [url])
    if (stays) {
      expect(sent[1]!.body).toBe('1')
      expect(sent[1]!.headers).toMatchObject({ authorization: 'Bearer a', 'webhook-signature': expect.any(String) })
    }
  })

  test('is followed at most three times', async () => {
    const { url, calls } = await startReceiver((response, path) => answering(307, { location: `${path}x` })(response))
    const three = await startReceiver((response, path) =>
      answering(path === '/xxx' ? 204 : 307, { location: `${path}x` })(response),
    )

    const failure = await failureOf(aWebhook(), { url })
    await attempt(aWebhook(), { url: three.url })

    expect(failure).not.toBeInstanceOf(PermanentError)
    expect(failure.message).toBe(
      `POST ${url} answered 307, a redirect not followed: it came after 3 others, which may be a loop`,
    )
    expect(calls).toHaveLength(4)
    expect(three.calls).toHaveLength(4)
  })

  test.each([
    ['ftp://127.0.0.1/', 'its Location is not an http or https URL'],
    ['file:///etc/passwd', 'its Location is not an http or https URL'],
    ['http://user:password@127.0.0.1/', 'its Location has a user or a password in it'],
    ['http://', 'its Location is not an http or https URL'],
    [['/a', '/b'], 'it has more than one Location'],
    [undefined, 'it has no Location'],
  ])('to %s is not followed, and says why', async (location, why) => {
    const { url, calls } = await startReceiver(answering(302, location === undefined ? {} : { location }))

    const failure = await failureOf(aWebhook(), { url })

    expect(failure.message).toBe(`POST ${url} answered 302, a redirect not followed: ${why}`)
    expect(calls).toHaveLength(1)
  })

  test.each([300, 304, 305])('does not include an answer of %i, even with a Location', async (status) => {
    const { url, calls } = await startReceiver(answering(status, { location: '/moved' }))

    const failure = await failureOf(aWebhook(), { url })

    expect(failure.message).toBe(`POST ${url} answered ${status}, which is neither a success nor a redirect`)
    expect(calls).toHaveLength(1)
  })

  test.each(['http://169.254.169.254/latest/meta-data/', 'http://[::1]/', 'http://0/', 'http://inside.test/'])(
    'to %s, a private address, fails permanently',
    async (location) => {
      const { url, calls } = await startReceiver(answering(307, { location }))
      const network = {
        allows: (address: string) => address === '127.0.0.1' || isPublicAddress(address),
        resolve: async () => [{ address: '10.0.0.1', family: 4 }],
      }

      const failure = await failureOf(aWebhook({ network }), { url, redirects: 'any_origin' })

      expect(failure).toBeInstanceOf(PermanentError)
      expect(failure.message).toContain('not public')
      expect(calls).toHaveLength(1)
    },
  )
})

describe('an address that is not public', () => {
  const hosts = [
    '127.0.0.1',
    '127.1',
    '127.255.255.254',
    '2130706433',
    '0x7f.1',
    '0x7f000001',
    '0177.0.0.1',
    '017700000001',
    '①②⑦.⓪.⓪.①',
    '%31%32%37.0.0.1',
    '127.0.0.1.',
    '0',
    '0.0.0.0',
    '0.1.2.3',
    '10.0.0.1',
    '100.64.0.1',
    '169.254.169.254',
    '172.16.0.1',
    '172.31.255.255',
    '192.0.0.1',
    '192.0.2.1',
    '192.168.0.1',
    '198.18.0.1',
    '203.0.113.1',
    '224.0.0.1',
    '240.0.0.1',
    '255.255.255.255',
    '[::]',
    '[::1]',
    '[0:0:0:0:0:0:0:1]',
    '[::ffff:127.0.0.1]',
    '[::ffff:7f00:1]',
    '[::ffff:a9fe:a9fe]',
    '[::127.0.0.1]',
    '[64:ff9b::127.0.0.1]',
    '[64:ff9b:1::808:808]',
    '[2002:7f00:1::]',
    '[2001::1]',
    '[2001:db8::1]',
    '[fc00::1]',
    '[fd12:3456::1]',
    '[fe80::1]',
    '[fec0::1]',
    '[ff02::1]',
    '[100::1]',
    '[4000::1]',
    'localhost',
    'LOCALHOST',
  ]

  test.each(hosts)('is not called, and the job fails permanently: %s', async (host) => {
    const { port, calls } = await startReceiver()

    const failure = await failureOf(aWebhook({ network: {} }), { url: `http://${host}:${port}/`, body: 1 })

    expect(failure).toBeInstanceOf(PermanentError)
    expect(failure.message).toContain('not public')
    expect(calls).toEqual([])
  })

  test.each<[string, LookupAddress[]]>([
    ['a private one', [{ address: '127.0.0.1', family: 4 }]],
    ['one that IPv6 maps', [{ address: '::ffff:127.0.0.1', family: 6 }]],
    [
      'a public and a private one',
      [
        { address: '93.184.216.34', family: 4 },
        { address: '127.0.0.1', family: 4 },
      ],
    ],
    [
      'a public and a private one of another family',
      [
        { address: '2606:4700::1111', family: 6 },
        { address: '127.0.0.1', family: 4 },
      ],
    ],
    ['none', []],
  ])('is not called behind a name that resolves to %s', async (_what, addresses) => {
    const { port, calls } = await startReceiver()

    const failure = await failureOf(aWebhook({ network: { resolve: async () => addresses } }), {
      url: `http://rebind.test:${port}/`,
    })

    expect(failure).toBeInstanceOf(PermanentError)
    expect(failure.message).toBe(
      'rebind.test is, or resolves to, an address that is not public; webhooks may not call it',
    )
    expect(calls).toEqual([])
  })

  test('cannot slip in between check and connect: the connection uses the addresses that were checked', async () => {
    const { port, calls } = await startReceiver((response) => answering(204, { connection: 'close' })(response))
    const answers = ['127.0.0.1', '127.0.0.2']
    const network = {
      allows: (address: string) => address === '127.0.0.1',
      resolve: async () => [{ address: answers.shift()!, family: 4 }],
    }
    const handler = aWebhook({ network })
    const url = `http://rebind.test:${port}/`

    await attempt(handler, { url })
    const failure = await failureOf(handler, { url })

    expect(failure).toBeInstanceOf(PermanentError)
    expect(calls).toHaveLength(1)
    expect(answers).toEqual([])
  })

  test.each(['1.1.1.1', '8.8.8.8', '172.32.0.1', '2606:4700::1111', '::ffff:8.8.8.8', '64:ff9b::8.8.8.8'])(
    'does not include %s',
    (address) => {
      expect(isPublicAddress(address)).toBe(true)
    },
  )

  test.each(['', 'localhost', 'fe80::1%eth0', '300.1.1.1'])(
    'includes whatever cannot be read as an address: %j',
    (address) => {
      expect(isPublicAddress(address)).toBe(false)
    },
  )
})

describe('a signed webhook', () => {
  const secret = 'MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw'

  test.each([
    [`whsec_${secret}`, secret],
    ['a plain text of my own', btoa('a plain text of my own')],
  ])('is accepted by an independent verifier, with the secret %s', async (configured, key) => {
    const { url, calls } = await startReceiver()
    const handler = aWebhook({ secret: configured, now: Date.now })

    await attempt(handler, { url, body: { text: 'Grüße', n: 1.5 } }, { idempotencyToken: 'd5.42' })

    const [call] = calls
    expect(call!.headers['webhook-id']).toBe('d5.42')
    expect(new Webhook(key).verify(call!.body, call!.headers as Record<string, string>)).toEqual({
      text: 'Grüße',
      n: 1.5,
    })
    expect(() => new Webhook(btoa('other')).verify(call!.body, call!.headers as Record<string, string>)).toThrow()
  })

  test('says when the attempt was made, in seconds', async () => {
    const { url, calls } = await startReceiver()

    await attempt(aWebhook({ secret, now: () => 1_234_567_890_987 }), { url })

    expect(calls[0]!.headers['webhook-timestamp']).toBe('1234567890')
  })

  test.each([
    '',
    'Grüße',
    'a\tb',
    'a\nb',
    '🔑',
    'whsec_',
    'whsec_?',
    'whsec_QQ',
    'whsec_QR==',
    'whsec_QQ==QQ==',
    'whsec_-_-_',
  ])('cannot be made with the secret %j', (secret) => {
    expect(() => aWebhook({ secret })).toThrow(TypeError)
  })
})

/** Throws if the signature of a call made at noon does not match its content. */
function verified({ headers, body }: ReceivedCall, key: string): void {
  const signed = new Webhook(key).sign(`${headers['webhook-id']}`, new Date(noon), body)
  if (headers['webhook-signature'] !== signed) throw new Error('the signature is wrong')
}

const noSuchName = async () => {
  throw Object.assign(new Error('getaddrinfo ENOTFOUND'), { code: 'ENOTFOUND' })
}

describe('the payload of a webhook', () => {
  const handler = aPlainHandler()

  test('defaults to POST and accepts any JSON value as its body', () => {
    for (const body of [null, 0, false, 'text', [], { a: { b: 1 } }]) {
      expect(parsePayload(handler, { url: 'https://example.com', body })).toEqual({
        url: 'https://example.com',
        method: 'POST',
        body,
      })
    }
  })

  test.each([
    'ftp://example.com/',
    'file:///etc/passwd',
    'javascript:alert(1)',
    'data:text/plain,hi',
    'gopher://example.com/',
    'unix:/var/run/docker.sock',
    '//example.com/',
    'example.com',
    'http://',
    '',
    'https://user:password@example.com/',
    'https://token@example.com/',
    'https://example.com/\r\nX-Injected: 1',
    'https://exam\nple.com/',
    ' https://example.com/',
    'https://example.com/a b',
    `https://example.com/${'a'.repeat(8_192)}`,
  ])('refuses the URL %.60j', (url) => {
    expect(() => parsePayload(handler, { url })).toThrow(PayloadError)
  })

  test('names every fault', () => {
    const headers = { Host: 'a', 'x y': 'b', 'x-a': 'c', 'X-A': 'd', 'x-b': 'e\r\nx-c: f', 'x-d': 5 }
    expect(faultsOf(handler, { method: 'TRACE', headers, retries: 3 })).toEqual([
      'payload.url: is required',
      'payload.method: must be one of: GET, HEAD, POST, PUT, PATCH, DELETE',
      'payload.headers.Host: is set automatically',
      'payload.headers.x y: is not the name of a header',
      'payload.headers.X-A: is given twice',
      'payload.headers.x-b: must be one line of Latin-1 text',
      'payload.headers.x-d: must be text',
      'payload: does not allow "retries", only url, method, headers, body, redirects',
    ])
    for (const headers of [null, 5, 'a: b', ['a']]) {
      expect(faultsOf(handler, { url: 'http://a.test', headers })).toEqual([
        'payload.headers: must be an object of names and texts',
      ])
    }
  })

  test.each([
    'Host',
    'content-length',
    'Transfer-Encoding',
    'connection',
    'TE',
    'Trailer',
    'upgrade',
    'Keep-Alive',
    'expect',
    'Webhook-Signature',
  ])('refuses the header %s', (name) => {
    expect(faultsOf(handler, { url: 'http://a.test', headers: { [name]: 'x' } })).toEqual([
      `payload.headers.${name}: is set automatically`,
    ])
  })

  test.each([
    ['', 8_000_000],
    ['https://', 8_000_000],
    ['https://', 8_000],
  ])('of megabytes is refused before it is parsed', (scheme, length) => {
    const canParse = vi.spyOn(URL, 'canParse')
    onTestFinished(() => canParse.mockRestore())

    expect(faultsOf(handler, { url: `${scheme}${'ü.'.repeat(length / 2)}` })).toHaveLength(1)
    expect(canParse).not.toHaveBeenCalled()
  })

  test('limits the headers in number and size', () => {
    const many = Object.fromEntries(Array.from({ length: 51 }, (_, index) => [`x-${index}`, 5]))
    expect(faultsOf(handler, { url: 'http://a.test', headers: many })).toEqual([
      'payload.headers: must have at most 50 headers',
    ])
    expect(faultsOf(handler, { url: 'http://a.test', headers: { 'x-a': 'a'.repeat(8_192) } })).toEqual([
      'payload.headers: must have at most 8192 bytes of headers',
    ])
  })

  test.each(['GET', 'HEAD'])('accepts no body with %s', (method) => {
    expect(faultsOf(handler, { url: 'http://a.test', method, body: null })).toEqual([
      'payload.body: is not for GET and HEAD',
    ])
  })
})

describe('the answer to a webhook', () => {
  test('may have an endless body: a bounded part is read, then the connection closes', async () => {
    let written = 0
    let closed: Promise<unknown> | undefined
    const { url } = await startReceiver((response) => {
      closed = once(response, 'close')
      const chunk = Buffer.alloc(16_384)
      const write = () => {
        while (response.write(chunk)) written += chunk.length
        written += chunk.length
      }
      response.writeHead(200).on('drain', write)
      write()
    })

    await attempt(aWebhook(), { url })
    await closed

    // What the sockets buffer on both sides comes on top of the 64 KiB that are read.
    expect(written).toBeLessThan(32 * 1_048_576)
  })

  test('may have a slow body: after two seconds the connection closes', async () => {
    const time = new AbortController()
    const timeout = vi.spyOn(AbortSignal, 'timeout').mockReturnValue(time.signal)
    onTestFinished(() => timeout.mockRestore())
    let closed: Promise<unknown> | undefined
    const { url } = await startReceiver((response) => {
      closed = once(response, 'close')
      response.writeHead(200).write('one byte and no more')
    })

    const done = attempt(aWebhook(), { url })
    await vi.waitFor(() => expect(timeout).toHaveBeenCalledWith(2_000))
    time.abort()

    await expect(done).resolves.toBeUndefined()
    await closed
  })

  test('counts by its status if its body breaks off', async () => {
    const { url } = await startReceiver((response) => {
      response.writeHead(200, { 'content-length': '100' }).flushHeaders()
      response.write('half', () => response.destroy())
    })

    await expect(attempt(aWebhook(), { url })).resolves.toBeUndefined()
  })

  test('is not decompressed, so a bomb stays small', async () => {
    const { url } = await startReceiver((response) =>
      response.writeHead(200, { 'content-encoding': 'gzip' }).end('no gzip at all'),
    )

    await expect(attempt(aWebhook(), { url })).resolves.toBeUndefined()
  })

  test('is not awaited when the attempt is aborted; the connection closes', async () => {
    const abort = new AbortController()
    let closed: Promise<unknown> | undefined
    const { url } = await startReceiver((response) => {
      closed = once(response, 'close')
      abort.abort(new JobCancelledError())
    })

    const failure = await failureOf(aWebhook(), { url }, { signal: abort.signal })

    expect(failure).toBeInstanceOf(JobCancelledError)
    await closed
  })

  test('is not requested if the attempt was already aborted', async () => {
    const { url, calls } = await startReceiver()

    const failure = await failureOf(aWebhook(), { url }, { signal: AbortSignal.abort(new JobCancelledError()) })

    expect(failure).toBeInstanceOf(JobCancelledError)
    expect(calls).toEqual([])
  })
})

/** For payloads alone: it makes no call. */
function aPlainHandler() {
  return callWebhook({ client: new HttpClient(), retryMaxMs: 1, now: () => noon })
}
