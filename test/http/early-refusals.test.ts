import { execFile } from 'node:child_process'
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import type { Timeouts } from '../../src/http/listen.ts'
import { openConnection, type RawAnswer, request } from '../support/raw-http.ts'
import { startHttp, type TestServer } from '../support/server.ts'
import { startServer } from '../support/server-process.ts'
import { isWhole } from '../support/share.ts'
import { cleanUp } from '../support/temp.ts'

const run = promisify(execFile)
const apiToken = 'a-token-of-enough-length'
const megabyte = 1_000_000
const json = { 'content-type': 'application/json' }

let open: TestServer
let guarded: TestServer
beforeAll(async () => {
  open = await startHttp({ maxRequestBytes: 65_536 })
  guarded = await startHttp({ apiToken })
})
afterAll(cleanUp)

/** Sends a head and then a body of that many bytes before it reads anything, as Python's http.client does. */
async function sendFirst(port: number, head: string, bytes: number): Promise<RawAnswer> {
  const connection = await openConnection(port)
  connection.socket.pause()
  connection.write(head)
  await new Promise<void>((resolve, reject) => {
    connection.socket.on('error', reject)
    connection.socket.write(Buffer.alloc(bytes, ' '), (error) => (error ? reject(error) : resolve()))
  })
  connection.socket.resume()
  return connection.answer()
}

const refused: [number, string, () => TestServer, string, Record<string, string>][] = [
  [400, 'without a Host', () => open, 'POST /jobs', { ...json, host: '' }],
  [400, 'with two lengths', () => open, 'POST /jobs', { ...json, 'Content-Length': '7' }],
  [401, 'without the token', () => guarded, 'POST /jobs', json],
  [403, 'for a foreign host', () => open, 'POST /jobs', { ...json, host: 'evil.example' }],
  [403, 'from a foreign page', () => open, 'POST /jobs', { ...json, origin: 'http://evil.example' }],
  [403, 'with the wrong method, from a foreign page', () => open, 'PUT /jobs', { origin: 'http://evil.example' }],
  [404, 'to no path', () => open, 'POST /nope', json],
  [405, 'with a method that is not taken', () => open, 'DELETE /jobs', json],
  [413, 'with a body that is too large', () => open, 'POST /jobs', json],
  [
    413,
    'of a form that is too large',
    () => guarded,
    'POST /login',
    { 'content-type': 'application/x-www-form-urlencoded' },
  ],
  [415, 'of another type', () => open, 'POST /jobs', { 'content-type': 'text/plain' }],
  [417, 'that expects a miracle', () => open, 'POST /jobs', { ...json, expect: 'a-miracle' }],
  [431, 'with a head that is too long', () => open, 'POST /jobs', { ...json, 'x-large': 'x'.repeat(20_000) }],
]

describe.each(['close', 'keep-alive'])(
  'a request that is refused before its body is read (Connection: %s)',
  (connection) => {
    test.each(refused)(
      'gets the %d although it sends everything first: %s',
      async (status, _, server, line, headers) => {
        const bytes = 8 * megabyte

        const answer = await sendFirst(
          server().port,
          request(line, { 'content-length': `${bytes}`, connection, ...headers }),
          bytes,
        )

        expect([answer.status, answer.headers['x-content-type-options']]).toEqual([status, 'nosniff'])
      },
    )
  },
)

test.each(['close', 'keep-alive'])(
  'a chunked body of unknown length is refused so that its client sees it (%s)',
  async (connection) => {
    const bytes = 8 * megabyte
    const head = request('POST /jobs', { ...json, connection, 'transfer-encoding': 'chunked' })

    expect((await sendFirst(open.port, `${head}${bytes.toString(16)}\r\n`, bytes)).status).toBe(413)
  },
)

test('a client of HTTP/1.0 sees its refusal', async () => {
  const bytes = 8 * megabyte
  const head = `POST /jobs HTTP/1.0\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: ${bytes}\r\n\r\n`

  expect((await sendFirst(open.port, head, bytes)).status).toBe(413)
})

test.runIf(isWhole)(
  'Python, which always says Connection: close and sends all of its body first, sees every refusal',
  async () => {
    const script = `
import sys, urllib.error, urllib.request
for url, megabytes, type in [line.split() for line in sys.argv[1:]]:
    request = urllib.request.Request(url, data=b'x' * int(megabytes) * 1000000, headers={'content-type': type})
    try:
        print(urllib.request.urlopen(request).status)
    except urllib.error.HTTPError as error:
        print(error.code)
`
    const asked = [8, 20].flatMap((megabytes) => [
      `${open.url}/jobs ${megabytes} application/json`,
      `${open.url}/nope ${megabytes} application/json`,
      `${open.url}/jobs ${megabytes} text/plain`,
      `${guarded.url}/jobs ${megabytes} application/json`,
    ])

    const { stdout } = await run('python3', ['-c', script, ...asked])

    expect(stdout.trim().split('\n').map(Number)).toEqual([413, 404, 415, 401, 413, 404, 415, 401])
  },
)

test('a client that expects 100-continue is refused without being asked for its body', async () => {
  const connection = await openConnection(open.port)

  connection.write(request('POST /jobs', { ...json, 'content-length': '20000000', expect: '100-continue' }))

  expect(await connection.answer()).toMatchObject({ status: 413, headers: { connection: 'close' } })
  expect(await connection.end()).toBe('')
})

test('a client that expects 100-continue is asked for a body that is read, and keeps its connection', async () => {
  const connection = await openConnection(open.port)
  const body = '{"type":"echo","payload":1,"delay_ms":3600000}'
  const head = request('POST /jobs', { ...json, 'content-length': `${body.length}`, expect: '100-continue' })

  for (let again = 0; again < 2; again++) {
    connection.write(head)
    expect((await connection.answer()).status).toBe(100)
    connection.write(body)
    expect((await connection.answer()).status).toBe(201)
  }
})

test('a refused request whose body arrives completely leaves its connection open', async () => {
  const connection = await openConnection(guarded.port)

  for (let again = 0; again < 3; again++) {
    connection.write(request('POST /jobs', { ...json, 'content-length': '100000' }), Buffer.alloc(100_000, ' '))
    expect((await connection.answer()).status).toBe(401)
  }
})

test('a request behind a refused body on its connection is not served', async () => {
  const connection = await openConnection(open.port)
  const job = '{"type":"echo","payload":"after","delay_ms":3600000}'

  connection.write(
    request('POST /nope', { ...json, connection: 'close', 'content-length': '200000' }),
    Buffer.alloc(200_000, ' '),
    request('POST /jobs', {}, job),
  )

  expect((await connection.answer()).status).toBe(404)
  expect(await connection.end()).toBe('')
  expect(JSON.stringify((await open.get('/jobs')).body)).not.toContain('after')
})

describe('a client that keeps its end open after it was refused', () => {
  /** Asks a server that refuses what is too large; resolves with the socket that the server has of it. */
  async function refusedClient(times: Partial<Timeouts>): Promise<{ client: Socket; socket: Socket }> {
    const accepted: Socket[] = []
    const onSocket = (message: unknown) => accepted.push((message as { socket: Socket }).socket)
    subscribe('net.server.socket', onSocket)
    onTestFinished(() => void unsubscribe('net.server.socket', onSocket))
    const { port } = await startHttp({ maxRequestBytes: 1_024, timeouts: times })
    const client = connect({ port, host: '127.0.0.1', allowHalfOpen: true })
    onTestFinished(() => void client.destroy())
    client.on('error', () => undefined)
    client.write(request('POST /jobs', { ...json, connection: 'close', 'content-length': '9'.repeat(12) }))
    await once(client.resume(), 'end')
    return { client, socket: accepted[0]! }
  }

  test('is disconnected when it sends nothing for a while', async () => {
    const { socket } = await refusedClient({ discardIdle: 100 })

    if (!socket.destroyed) await once(socket, 'close')
  })

  test('is disconnected after a time if it never ends', async () => {
    const { client, socket } = await refusedClient({ discard: 500, discardIdle: 100 })
    const timer = setInterval(() => client.write(' '), 10)
    onTestFinished(() => clearInterval(timer))

    if (!socket.destroyed) await once(socket, 'close')
  })

  test('is disconnected after too many bytes', async () => {
    const { client, socket } = await refusedClient({})
    const send = () => {
      while (client.writable && client.write(Buffer.alloc(megabyte)));
    }
    client.on('drain', send)
    send()

    // Long before half a minute is over.
    if (!socket.destroyed) await once(socket, 'close')
  })
})

test.runIf(isWhole)('discarded bodies take no additional memory', async () => {
  const { url, pid } = await startServer({ MAX_REQUEST_BYTES: '65536', API_TOKEN: apiToken })
  const residentKb = () => Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1])
  const port = Number(new URL(url).port)
  const bytes = 10 * megabyte
  const head = request('POST /jobs', { ...json, connection: 'close', 'content-length': `${bytes}` })
  const before = residentKb()

  const answers = await Promise.all(Array.from({ length: 20 }, () => sendFirst(port, head, bytes)))

  expect(answers.map(({ status }) => status)).toEqual(Array(20).fill(401))
  // All of it is 200 MB.
  expect(residentKb() - before).toBeLessThan(100_000)
})
