import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { describe, expect, onTestFinished, test } from 'vitest'
import { JobNotFoundError, type JobSystem } from '../../src/index.ts'
import { deferred } from '../support/deferred.ts'
import { exchange, openConnection, RawConnection, request } from '../support/raw-http.ts'
import { type Answer, aWaitingJob, startHttp } from '../support/server.ts'
import { startServer } from '../support/server-process.ts'
import { shareOf } from '../support/share.ts'
import { until } from '../support/system.ts'

const job = JSON.stringify(aWaitingJob())
const head = (headers: Record<string, string>) =>
  request('POST /jobs', { 'content-type': 'application/json', ...headers })
const chunk = (bytes: Buffer | string) =>
  Buffer.concat([Buffer.from(`${bytes.length.toString(16)}\r\n`), Buffer.from(bytes), Buffer.from('\r\n')])

/** Repeats the request until the answer has that status: the server may not have read yet what another connection sent. */
async function untilStatus(status: number, ask: () => Promise<Answer>): Promise<Answer> {
  let answer: Answer | undefined
  await until(async () => {
    answer = await ask()
    return answer.status === status
  })
  return answer!
}

/** The connections that all servers of this process accept during the test. */
function socketsAccepted(): Socket[] {
  const accepted: Socket[] = []
  const onSocket = (message: unknown) => accepted.push((message as { socket: Socket }).socket)
  subscribe('net.server.socket', onSocket)
  onTestFinished(() => void unsubscribe('net.server.socket', onSocket))
  return accepted
}

/** The CPU time of this process in µs: unlike real time, it does not pass while others use the processors. */
function processorTime(): number {
  const { user, system } = process.cpuUsage()
  return user + system
}

describe('a body that is too large', () => {
  test.each([
    ['with a length', (body: string) => [head({ 'content-length': `${body.length}` }), body]],
    ['in one chunk', (body: string) => [head({ 'transfer-encoding': 'chunked' }), chunk(body), '0\r\n\r\n']],
    [
      'in chunks',
      (body: string) => [head({ 'transfer-encoding': 'chunked' }), ...body.split('').map(chunk), '0\r\n\r\n'],
    ],
  ])('is refused when it exceeds the limit, %s', async (_, send) => {
    const { port, get } = await startHttp({ maxRequestBytes: 1_024 })
    const connection = await openConnection(port)

    connection.write(...send(job.padEnd(1_024)))
    expect((await connection.answer()).status).toBe(201)
    connection.write(...send(job.padEnd(1_025)))

    const { status, headers, body } = await connection.answer()
    expect([status, headers['content-type']]).toEqual([413, 'application/problem+json'])
    expect(JSON.parse(body)).toMatchObject({
      code: 'payload_too_large',
      message: expect.stringContaining('1024 bytes'),
    })
    expect((await get('/jobs')).body.jobs).toHaveLength(1)
  })

  test('is refused before it is sent if its length says so, and the connection is closed', async () => {
    const { port } = await startHttp({ maxRequestBytes: 1_024 })
    const connection = await openConnection(port)

    connection.write(head({ 'content-length': '1073741824' }))

    expect((await connection.answer()).status).toBe(413)
    expect(await connection.end()).toBe('')
  })

  test('is refused so that a client that sends all of it before it reads gets the answer', async () => {
    const { port } = await startHttp({ maxRequestBytes: 1_024 })
    const connection = await openConnection(port)

    connection.write(head({ 'content-length': '10000000' }), Buffer.alloc(10_000_000, ' '))

    expect((await connection.answer()).status).toBe(413)
  })

  test('is cut off if it never ends, and uses no memory', async () => {
    const { url, pid } = await startServer({ MAX_REQUEST_BYTES: '65536' })
    const residentKb = () => Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1])
    const megabyte = chunk(Buffer.alloc(1_000_000, ' '))
    const before = residentKb()

    const connections = await Promise.all(
      Array.from({ length: 4 }, async () => {
        const connection = await openConnection(Number(new URL(url).port))
        connection.write(head({ 'transfer-encoding': 'chunked' }))
        let sent = 0
        while (!connection.ended && sent < 1_000) {
          sent++
          if (!connection.socket.write(megabyte)) {
            await Promise.race([once(connection.socket, 'drain'), connection.end()]).catch(() => undefined)
          }
        }
        return { sent, answer: await connection.answer() }
      }),
    )

    for (const { sent, answer } of connections) {
      expect(answer.status).toBe(413)
      expect(sent).toBeLessThan(200)
    }
    // At most, what was read waits for the garbage collector; without a bound, 4 GB would have been sent.
    expect(residentKb() - before).toBeLessThan(200_000)
    expect((await fetch(`${url}/readyz`)).status).toBe(200)
  })
})

describe('a wrong content length', () => {
  test('that is too small gives a request, which is answered, and an invalid one', async () => {
    const { port, get } = await startHttp()
    const connection = await openConnection(port)

    connection.write(head({ 'content-length': `${job.length}` }), job, '} and more')

    expect((await connection.answer()).status).toBe(201)
    expect(await connection.end()).toBe('')
    expect((await get('/jobs')).body.jobs).toHaveLength(1)
  })

  test('that is too large is answered with 400 if the client then ends', async () => {
    const { port, get } = await startHttp()
    const connection = await openConnection(port)

    connection.write(head({ 'content-length': `${job.length + 1}` }), job)
    connection.socket.end()

    expect((await connection.answer()).status).toBe(400)
    expect((await get('/jobs')).body.jobs).toEqual([])
  })

  test('that is too large is answered with 408 if the client waits', async () => {
    const { port, system } = await startHttp({ timeouts: { head: 200, request: 200 } })
    const connection = await openConnection(port)

    connection.write(head({ 'content-length': `${job.length + 1}` }), job)

    const { status, headers, body } = await connection.answer()
    expect([status, headers['content-type']]).toEqual([408, 'application/problem+json'])
    expect(JSON.parse(body).code).toBe('timeout')
    expect(await connection.end()).toBe('')
    expect((await system.list()).jobs).toEqual([])
  })
})

test('a request that was refused with 408 is not stored, even if the rest of it still arrives', async () => {
  const { port, system } = await startHttp({ timeouts: { head: 200, request: 200 } })
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true })
  onTestFinished(() => void socket.destroy())
  socket.on('error', () => undefined)
  const connection = new RawConnection(socket)
  connection.write(head({ 'content-length': `${job.length}` }), job.slice(0, -1))
  expect((await connection.answer()).status).toBe(408)

  connection.write(job.slice(-1))

  await new Promise((resolve) => setTimeout(resolve, 300))
  expect((await system.list()).jobs).toEqual([])
})

test.each([
  ['two lengths', { 'content-length': '2', 'Content-Length': '3' }],
  ['a length and chunks', { 'content-length': '2', 'transfer-encoding': 'chunked' }],
  ['a negative length', { 'content-length': '-1' }],
  ['a length that is no number', { 'content-length': '2x' }],
  ['a length beyond all bounds', { 'content-length': '9'.repeat(40) }],
  ['an unknown transfer encoding', { 'transfer-encoding': 'gzip' }],
] as [string, Record<string, string>][])(
  'a request with %s is refused, and its connection closed',
  async (_, headers) => {
    const { port, get } = await startHttp()
    const connection = await openConnection(port)

    connection.write(head(headers), '[]\r\n\r\n')

    const { status, body } = await connection.answer()
    expect([status, JSON.parse(body).code]).toEqual([400, 'bad_request'])
    expect(await connection.end()).toBe('')
    expect((await get('/jobs')).body.jobs).toEqual([])
  },
)

describe('a slow client', () => {
  test('does not keep others from being served', async () => {
    const { port, post } = await startHttp()
    for (let slow = 0; slow < 50; slow++) {
      const connection = await openConnection(port)
      connection.write(head({ 'content-length': '1000' }), '{')
    }

    const answers = await Promise.all(Array.from({ length: 50 }, () => post('/jobs', aWaitingJob())))

    expect(answers.every(({ status }) => status === 201)).toBe(true)
  })

  test.each([
    ['says nothing', ''],
    ['does not end its head', 'POST /jobs HTTP/1.1\r\nHost: localhost\r\nX-Slow:'],
  ])('that %s is disconnected', async (_, bytes) => {
    const { port } = await startHttp({ timeouts: { head: 200, request: 200 } })
    const connection = await openConnection(port)

    if (bytes !== '') connection.write(bytes)

    expect((await connection.answer()).status).toBe(408)
    expect(await connection.end()).toBe('')
  })

  test('that does not read its answer is disconnected', async () => {
    const accepted = socketsAccepted()
    const { port, system } = await startHttp({ timeouts: { idle: 200 } })
    await system.submit(Array.from({ length: 60 }, () => aWaitingJob({ payload: 'x'.repeat(17_000) })))
    const connection = await openConnection(port)
    const closed = once(connection.socket, 'close')

    connection.socket.pause()
    // More than the buffers of both ends hold.
    for (let again = 0; again < 30; again++) connection.write(request('GET /jobs?limit=60'))
    await until(() => accepted[0]!.destroyed)
    connection.socket.resume()

    await closed
    const answers: number[] = []
    while (answers.length < 30) {
      const answer = await connection.answer().catch(() => undefined)
      if (!answer) break
      answers.push(answer.status)
    }
    expect(answers.length).toBeLessThan(30)
  })
})

describe('a connection that is kept for the next request', () => {
  test('is kept for longer than proxies keep it, and says so', async () => {
    const { port } = await startHttp()

    const { headers } = await exchange(port, request('GET /livez', { connection: 'keep-alive' }))

    // nginx, HAProxy and load balancers of clouds keep one for 60 s, Go and Caddy for 120.
    expect(headers['keep-alive']).toBe('timeout=125')
  })

  test('may be idle for longer than the head of a request may take', async () => {
    const { port } = await startHttp({ timeouts: { head: 1_000 } })
    const connection = await openConnection(port)
    connection.write(request('GET /livez'))
    expect((await connection.answer()).status).toBe(200)

    await new Promise((resolve) => setTimeout(resolve, 1_500))

    connection.write(request('GET /livez'))
    expect((await connection.answer()).status).toBe(200)
  })
})

describe('write requests', () => {
  test('are refused with 429 if too many are in progress, and accepted again when one has ended', async () => {
    const gate = deferred()
    const submit = () => gate.promise.then(() => [{ id: 1, state: 'queued', created: true }])
    const cancel = (id: number) => Promise.reject(new JobNotFoundError(id))
    const system = { submit, cancel } as unknown as JobSystem
    const { post } = await startHttp({ maxInFlightRequests: 2, system })
    const served = [post('/jobs', aWaitingJob()), post('/jobs', aWaitingJob())]

    const refused = await untilStatus(429, () => post('/jobs/1/cancel'))

    expect(refused.body.code).toBe('backpressure')
    expect(refused.headers.get('retry-after')).toBe('1')
    expect((await post('/jobs', aWaitingJob())).status).toBe(429)
    gate.resolve()
    expect((await Promise.all(served)).map(({ status }) => status)).toEqual([201, 201])
    expect((await post('/jobs', aWaitingJob())).status).toBe(201)
  })

  test('with slow bodies keep nobody else from writing, however many there are', async () => {
    const { port, post } = await startHttp({ maxInFlightRequests: 2 })
    const held = await Promise.all(Array.from({ length: 20 }, () => openConnection(port)))
    for (const connection of held) connection.write(head({ 'content-length': `${job.length}` }), job.slice(0, 5))

    for (let round = 0; round < 20; round++) expect((await post('/jobs', aWaitingJob())).status).toBe(201)

    held[0]!.write(job.slice(5))
    expect((await held[0]!.answer()).status).toBe(201)
  })

  test('whose bodies fill the memory drop the largest that is still arriving, and small ones are accepted', async () => {
    const { port, post } = await startHttp({ maxRequestBytes: 10_000 })
    const held = await Promise.all(Array.from({ length: 80 }, () => openConnection(port)))
    for (const connection of held) {
      connection.write(head({ 'content-length': '10000' }), job.padEnd(9_999))
      expect((await post('/jobs', aWaitingJob())).status).toBe(201)
    }
    for (const connection of held) connection.write(' ')

    const answers = await Promise.all(held.map((connection) => connection.answer()))

    const refused = answers.filter(({ status }) => status === 429)
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([201, 429]))
    expect(refused.length).toBeGreaterThanOrEqual(80 - 8)
    expect(refused[0]!.headers['retry-after']).toBe('1')
    expect(JSON.parse(refused[0]!.body).code).toBe('backpressure')
  })

  test('free their memory if the client leaves in the middle of the body, which is not an error', async () => {
    const { port, post, logLines } = await startHttp({ maxRequestBytes: 1_024 })
    for (let round = 0; round < 12; round++) {
      const gone = await openConnection(port)
      gone.write(head({ 'content-length': '1000' }), job.padEnd(999))
      gone.socket.end()
      expect(JSON.parse((await gone.answer()).body).status).toBe(400)
    }

    expect((await post('/jobs', aWaitingJob())).status).toBe(201)
    expect(logLines.filter((line) => JSON.parse(line).level >= 40)).toEqual([])
  })
})

test('with large bodies are not all parsed at once, so that others are served between them', async () => {
  const { port } = await startHttp({ maxRequestValues: 1_000_000 })
  const depth = shareOf({ share: 25_000, whole: 400_000 })
  const body = `{"type":"echo","payload":${'['.repeat(depth)}${']'.repeat(depth)}}`
  const connections = await Promise.all(Array.from({ length: 8 }, () => openConnection(port)))
  for (const connection of connections) {
    connection.write(head({ 'content-length': `${body.length}` }), body.slice(0, -1))
  }
  await new Promise((resolve) => setTimeout(resolve, 200))
  let longest = 0
  let turnAt = processorTime()
  const beat = setInterval(() => {
    longest = Math.max(longest, processorTime() - turnAt)
    turnAt = processorTime()
  }, 1)
  onTestFinished(() => clearInterval(beat))

  const from = processorTime()
  for (const connection of connections) connection.write('}')
  for (const connection of connections) expect((await connection.answer()).status).toBe(400)
  const took = processorTime() - from

  // The next turn reports the last one.
  await new Promise((resolve) => setTimeout(resolve, 20))
  expect(longest).toBeLessThan(took / 2)
})

describe('a list of jobs with large payloads', () => {
  test('ends early, and continues on the next page', async () => {
    const { post, get } = await startHttp({ maxRequestBytes: 30_000_000 })
    await post(
      '/jobs',
      Array.from({ length: 120 }, () => aWaitingJob({ payload: 'x'.repeat(100_000) })),
    )

    const first = await get('/jobs?limit=500')
    const second = await get(`/jobs?limit=500&cursor=${first.body.next_cursor}`)
    const third = await get(`/jobs?limit=500&cursor=${second.body.next_cursor}`)

    const pages = [first, second, third].map(({ body }) => body.jobs.map(({ id }: { id: number }) => id))
    expect(pages.map((ids) => ids.length)).toEqual([42, 42, 36])
    expect(pages.flat()).toEqual(Array.from({ length: 120 }, (_, index) => 120 - index))
    expect(third.body.next_cursor).toBeNull()
  })

  test('is refused with 429 if such answers are not read, and served when their clients are gone', async () => {
    const { port, post, get } = await startHttp({ maxRequestBytes: 1_048_576 })
    for (let batch = 0; batch < 5; batch++) {
      await post(
        '/jobs',
        Array.from({ length: 10 }, () => aWaitingJob({ payload: 'x'.repeat(100_000) })),
      )
    }
    const idle = await Promise.all(Array.from({ length: 8 }, () => openConnection(port)))
    for (const connection of idle) {
      connection.socket.pause()
      connection.write(request('GET /jobs'))
    }

    const refused = await untilStatus(429, () => get('/jobs?limit=1'))

    expect([refused.body.code, refused.headers.get('retry-after')]).toEqual(['backpressure', '1'])
    expect((await get('/readyz')).status).toBe(200)
    expect((await get('/metrics')).status).toBe(200)
    expect((await get('/metrics/prometheus')).status).toBe(200)
    for (const connection of idle) connection.socket.destroy()
    await untilStatus(200, () => get('/jobs?limit=1'))
  })

  test('counts as read when its client is gone, even if it waited behind others on its connection', async () => {
    const { port, post, get } = await startHttp({ maxRequestBytes: 1_048_576 })
    for (let batch = 0; batch < 5; batch++) {
      await post(
        '/jobs',
        Array.from({ length: 10 }, () => aWaitingJob({ payload: 'x'.repeat(100_000) })),
      )
    }
    const ask = async (line: string, times: number) => {
      const connection = await openConnection(port)
      connection.socket.pause()
      connection.write(request(line).repeat(times))
      await new Promise((resolve) => setTimeout(resolve, 500))
      return connection
    }

    for (let round = 0; round < 3; round++) (await ask('GET /jobs?limit=4', 20)).socket.destroy()
    // Half of the limit.
    await ask('GET /jobs?limit=41', 2)

    await untilStatus(200, () => get('/jobs?limit=1'))
  })
})
