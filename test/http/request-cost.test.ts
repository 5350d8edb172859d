import { expect, onTestFinished, test, vi } from 'vitest'
import { z } from 'zod'
import { defineHandler } from '../../src/handlers/define.ts'
import { exceedsValues } from '../../src/http/json-values.ts'
import type { JobSystem } from '../../src/index.ts'
import { deferred } from '../support/deferred.ts'
import { openConnection, request } from '../support/raw-http.ts'
import { aWaitingJob, startHttp } from '../support/server.ts'
import { isWhole, shareOf } from '../support/share.ts'
import { until } from '../support/system.ts'

/** Reads that may wait for their turn. */
const waitingMax = 1_000

/** A handler whose schema counts its checks. */
function counting() {
  let checked = 0
  const count = (given: unknown) => {
    checked++
    return given
  }
  const payload = z.array(z.preprocess(count, z.string()))
  const handler = defineHandler({ type: 'counting', payload, run: () => undefined })
  return { handler, checked: () => checked }
}

test('the members and elements of JSON text are counted as a parser would find them', () => {
  const exceeds = (text: string, max: number) => exceedsValues(Buffer.from(text.padEnd(100)), max)

  expect(exceeds('[1,2,3]', 3)).toBe(false)
  expect(exceeds('[1,2,3]', 2)).toBe(true)
  expect(exceeds('{"a":[1,{"b":2}],"c":3}', 5)).toBe(false)
  expect(exceeds('{"a":[1,{"b":2}],"c":3}', 4)).toBe(true)
  expect(exceeds('["[,,{\\",,,\\\\",1]', 2)).toBe(false)
  expect(exceeds('["ü,[{🎈,,"]', 1)).toBe(false)
  expect(exceeds('[{},[],{}]', 6)).toBe(false)
})

test('a body with millions of members is refused by their number, before they are parsed and checked', async () => {
  const { handler, checked } = counting()
  const { fetch, get } = await startHttp({ handlers: [handler], maxRequestBytes: 83_886_080 })
  const count = shareOf({ share: 1_000_000, whole: 40_000_000 })
  const bodies = [
    `{"type":"counting","payload":[${'1,'.repeat(count)}1]}`,
    `{"type":"counting","payload":${'['.repeat(count / 10)}${']'.repeat(count / 10)}}`,
    `[${'{"type":"counting","payload":[1,1,1]},'.repeat(count / 40)}{}]`,
  ]

  for (const body of bodies) {
    const answer = await fetch('/jobs', { method: 'POST', headers: { 'content-type': 'application/json' }, body })

    expect([answer.status, answer.body.code]).toEqual([413, 'payload_too_large'])
    expect(answer.body.message).toMatch(/more than 100000 members and elements/)
  }
  expect(checked()).toBe(0)
  expect((await get('/jobs')).body.jobs).toEqual([])
})

test('once a hundred faults are found no further item of an array is checked', async () => {
  const { handler, checked } = counting()
  const { post } = await startHttp({ handlers: [handler] })
  const jobs = Array.from({ length: 10 }, () => ({ type: 'counting', payload: Array(9_000).fill(1) }))

  const { status, body } = await post('/jobs', jobs)

  expect(status).toBe(400)
  expect(body.errors.length).toBeLessThanOrEqual(100)
  expect(JSON.stringify(body).length).toBeLessThan(50_000)
  expect(checked()).toBe(9_000)
})

test('a payload with too many members is never shown to its schema', async () => {
  const { handler, checked } = counting()
  const { post, system } = await startHttp({ handlers: [handler], maxPayloadValues: 5 })
  const faults = [{ path: 'payload', message: 'has more than 5 members and elements' }]

  const refused = await post('/jobs', { type: 'counting', payload: Array(6).fill('a') })
  const thrown = await system
    .enqueue({ type: 'counting', payload: Array(6).fill('a') })
    .catch((error: { issues: unknown }) => error.issues)

  expect([refused.status, refused.body.errors, thrown]).toEqual([400, faults, faults])
  expect(checked()).toBe(0)
  expect((await post('/jobs', { type: 'counting', payload: Array(5).fill('a') })).status).toBe(201)
})

test('a payload of too many bytes is never shown to its schema', async () => {
  const { handler, checked } = counting()
  const { post } = await startHttp({ handlers: [handler], maxPayloadBytes: 100 })

  const { status, body } = await post('/jobs', { type: 'counting', payload: ['a'.repeat(100)] })

  expect([status, body.code]).toEqual([400, 'invalid_payload'])
  expect(checked()).toBe(0)
})

test('a form with more bytes than a page’s fields have is refused', async () => {
  const { fetch } = await startHttp()
  const post = (body: string) =>
    fetch('/dashboard/bulk', {
      method: 'POST',
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
      body,
    })

  expect((await post('a=1&'.repeat(20_000))).status).toBe(413)
  expect((await post('a=1&'.repeat(10_000))).status).not.toBe(413)
})

test('while the jobs of a large array are checked others are served', async () => {
  let isHeld = true
  const slow = defineHandler({
    type: 'slow',
    payload: z.unknown().refine(() => {
      const endAt = performance.now() + 11
      while (isHeld && performance.now() < endAt);
      return true
    }),
    run: () => undefined,
  })
  const { post, get } = await startHttp({ handlers: [slow] })
  let isStored = false
  const stored = post(
    '/jobs',
    Array.from({ length: 200 }, () => aWaitingJob({ type: 'slow' })),
  ).then((answer) => {
    isStored = true
    return answer
  })

  for (let round = 0; round < 3; round++) await get('/livez')

  expect(isStored).toBe(false)
  isHeld = false
  expect((await stored).status).toBe(201)
})

test('a body that took milliseconds to refuse makes the next one of more than 1 KB wait for four times as long', async () => {
  const took: number[] = []
  const slow = defineHandler({
    type: 'slow',
    payload: z.array(z.string()).refine(() => {
      const from = performance.now()
      while (performance.now() < from + 20);
      took.push(performance.now() - from)
      return false
    }),
    run: () => undefined,
  })
  const { post } = await startHttp({ handlers: [slow] })
  const from = performance.now()

  const answers = await Promise.all(
    Array.from({ length: 8 }, () => post('/jobs', { type: 'slow', payload: ['x'.repeat(2_000)] })),
  )

  expect(answers.map(({ status }) => status)).toEqual(Array(8).fill(400))
  // The second may have begun to wait before the first was refused, and nobody waits for the last.
  const rests = took.slice(0, -2).map((ms) => Math.min(4 * ms, 500))
  expect(performance.now() - from).toBeGreaterThan(rests.reduce((sum, ms) => sum + ms, 0))
})

test.runIf(isWhole)('unread refusals fill the memory for answers, and from then on are one line', async () => {
  const { port, post } = await startHttp({ maxRequestBytes: 125_000 })
  // An answer has three bytes for each of its request's.
  const fields = Array.from({ length: 60 }, (_, index) => `"${'\u0080'.repeat(990)}${index}":1`)
  const bad = request('POST /jobs', {}, `{"type":"echo","payload":1,${fields.join()}}`)
  const idle = await Promise.all(Array.from({ length: 5 }, () => openConnection(port)))
  for (const { socket } of idle) socket.pause()
  // On this clock refusals take no time, so none makes the next request wait. In real time that wait would depend on the machine.
  const clock = vi.spyOn(performance, 'now').mockReturnValue(performance.now())
  onTestFinished(() => clock.mockRestore())

  // The operating system chooses how much its own buffers take first: up to some MB per connection.
  await until(async () => {
    for (const connection of idle) connection.write(bad.repeat(3))
    return (await post('/jobs', { type: 'echo' })).status === 429
  })

  expect((await post('/jobs', aWaitingJob())).status).toBe(201)
  for (const connection of idle) connection.socket.destroy()
  await until(async () => (await post('/jobs', { type: 'echo' })).status === 400)
})

test('a search whose client has left stops, and the searches behind it do not start', async () => {
  const begun: AbortSignal[] = []
  const first = deferred()
  const list = async (_: unknown, { signal }: { signal: AbortSignal }) => {
    begun.push(signal)
    if (begun.length === 1) await first.promise
    signal.throwIfAborted()
    return { jobs: [], nextCursor: null }
  }
  const { port, get, logLines } = await startHttp({ system: { list } as unknown as JobSystem })
  const connections = await Promise.all(Array.from({ length: 300 }, () => openConnection(port)))
  for (const [index, connection] of connections.entries()) {
    connection.write(request(`GET ${index % 2 ? '/jobs' : '/dashboard/jobs'}?text=x`))
  }
  await until(() => begun.length === 1)
  for (const connection of connections) connection.socket.destroy()
  await until(() => begun[0]!.aborted)
  const last = get('/jobs')
  first.resolve()

  expect((await last).status).toBe(200)
  // Some may not have arrived before their clients left.
  expect(begun.length).toBeLessThan(5)
  expect(logLines.filter((line) => JSON.parse(line).level >= 40)).toEqual([])
})

test('a limited number of reads wait for their turn, and one more is refused with 429', async () => {
  const gate = deferred()
  const list = () => gate.promise.then(() => ({ jobs: [], nextCursor: null }))
  const { port, get } = await startHttp({ system: { list } as unknown as JobSystem })
  const connection = await openConnection(port)
  const ask = request('GET /jobs')
  connection.write(ask.repeat(waitingMax + 1))

  await until(async () => {
    const answer = await Promise.race([get('/jobs'), new Promise<null>((resolve) => setTimeout(resolve, 100, null))])
    return answer?.status === 429
  })

  gate.resolve()
  expect((await get('/jobs')).status).toBe(200)
})
