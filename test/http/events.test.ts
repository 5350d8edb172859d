import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { IncomingMessage, ServerResponse } from 'node:http'
import { Socket } from 'node:net'
import { pino } from 'pino'
import { describe, expect, onTestFinished, test, vi } from 'vitest'
import { UnavailableError } from '../../src/errors.ts'
import { EventFeed } from '../../src/http/events/event-feed.ts'
import type { Session } from '../../src/http/session.ts'
import type { JobSystem, Transition, TransitionPage } from '../../src/index.ts'
import { claimedHere } from '../support/database.ts'
import { deferred } from '../support/deferred.ts'
import { type EventStream, openEvents } from '../support/event-stream.ts'
import { exchange, openConnection, request } from '../support/raw-http.ts'
import { aWaitingJob, startHttp, type TestServer } from '../support/server.ts'
import { isWhole, shareOf } from '../support/share.ts'
import { aHandler, until } from '../support/system.ts'

const readersMax = 100
/** Jobs with four transitions each: more than one read returns. */
const worked = shareOf({ share: 600, whole: 1_500 })

/** Every transition, as the library returns them. */
async function allTransitions(system: JobSystem): Promise<Transition[]> {
  const all: Transition[] = []
  for (let after = 0; ; ) {
    const { transitions, last } = await system.transitions({ after })
    if (transitions.length === 0) return all
    all.push(...transitions)
    after = last
  }
}

/** All ids, once there are this many. */
async function idsIn(system: JobSystem, least = 0): Promise<number[]> {
  await until(async () => (await allTransitions(system)).length >= least)
  return (await allTransitions(system)).map(({ id }) => id)
}

const idsOf = (stream: EventStream) => stream.events.map(({ id }) => id)

/** Enqueues jobs that succeed at once, a hundred after another. */
async function work({ system }: TestServer, count: number, type = 'echo'): Promise<void> {
  for (let left = count; left > 0; left -= 100) {
    await system.enqueue(Array.from({ length: Math.min(left, 100) }, () => ({ type, payload: null, maxRetries: 0 })))
  }
}

/** The answers of all servers in this process that begin during the test. */
function answersBegun(): ServerResponse[] {
  const answers: ServerResponse[] = []
  const note = (message: unknown) => void answers.push((message as { response: ServerResponse }).response)
  subscribe('http.server.request.start', note)
  onTestFinished(() => void unsubscribe('http.server.request.start', note))
  return answers
}

/** A system with `count` transitions so far. It notes each cursor that it is asked for; while `held`, it does not answer. */
function aLongHistory({ count = 0, message = '' } = {}) {
  const history = {
    count,
    asked: [] as number[],
    held: Promise.resolve(),
    error: undefined as Error | undefined,
    system: {} as JobSystem,
  }
  const transition = (id: number): Transition => ({
    id,
    jobId: id,
    seq: 1,
    event: 'enqueue',
    from: null,
    to: 'queued',
    attempt: 0,
    at: 0,
    type: 'echo',
    queue: 'default',
    cause: 'http',
    error: message ? { name: 'Error', message } : null,
  })
  history.system = {
    async transitions({ after, limit = 1_000 }: { after?: number; limit?: number } = {}): Promise<TransitionPage> {
      if (after !== undefined) history.asked.push(after)
      await history.held
      if (history.error) throw history.error
      const from = Math.min(after ?? history.count, history.count)
      const last = Math.min(history.count, from + limit)
      return { transitions: Array.from({ length: last - from }, (_, index) => transition(from + 1 + index)), last }
    },
    progressSince: async () => [],
  } as unknown as JobSystem
  return history
}

const startOn = (history: { system: JobSystem }, options = {}) =>
  startHttp({ system: history.system, started: false, ...options })

describe('a transition', () => {
  test('is sent as an event with everything that a history has, and its job’s type and queue', async () => {
    const { port, system, post } = await startHttp()
    const stream = await openEvents(port)

    const { body } = await post('/jobs', { type: 'broken', payload: 1, queue: 'mail', max_retries: 0 })
    const events = await stream.untilEvents(4)

    const transitions = await allTransitions(system)
    expect(events.map(({ id, event }) => [id, event])).toEqual(transitions.map(({ id }) => [id, 'transition']))
    const common = { job_id: body.id, type: 'broken', queue: 'mail', at: expect.stringMatching(/^\d{4}-.*\.\d{3}Z$/) }
    expect(events.map(({ data }) => data)).toEqual([
      { ...common, seq: 1, event: 'enqueue', from: null, to: 'queued', attempt: 0, cause: 'http' },
      {
        ...common,
        ...claimedHere,
        seq: 2,
        event: 'lease',
        from: 'queued',
        to: 'leased',
        attempt: 0,
        cause: 'dispatcher',
      },
      { ...common, seq: 3, event: 'start', from: 'leased', to: 'running', attempt: 1, cause: 'dispatcher' },
      {
        ...common,
        seq: 4,
        event: 'fail',
        cause: 'handler',
        from: 'running',
        to: 'dead',
        attempt: 1,
        error: { name: 'Error', message: 'out of luck' },
      },
    ])
    expect(events.map(({ data }) => data.at)).toEqual(transitions.map(({ at }) => new Date(at).toISOString()))
  })

  test('stays one event if its error looks like frames', async () => {
    const message = 'a\n\nid: 9\ndata: {}\r\n\r\n\u2028: b\0'
    const hostile = aHandler('hostile', () => {
      throw new Error(message)
    })
    const { port, system } = await startHttp({ handlers: [hostile] })
    const stream = await openEvents(port)

    await system.enqueue({ type: 'hostile', payload: null, maxRetries: 0 })
    const events = await stream.untilEvents(4)

    expect(idsOf(stream)).toEqual(await idsIn(system))
    expect(events[3]!.data.error).toEqual({ name: 'Error', message })
  })
})

describe('a stream', () => {
  test('begins at once, with headers that keep caches, proxies and pages from holding it back', async () => {
    const { port } = await startHttp()

    const { status, headers, comments, lastId } = await openEvents(port)

    expect(status).toBe(200)
    expect(headers).toMatchObject({
      'content-type': 'text/event-stream; charset=utf-8',
      'cache-control': 'no-store, no-transform',
      'content-security-policy': "default-src 'none'; frame-ancestors 'none'; base-uri 'none'",
      'x-content-type-options': 'nosniff',
      'referrer-policy': 'no-referrer',
      'x-accel-buffering': 'no',
    })
    expect(comments).toHaveLength(1)
    expect(lastId).toBe('0')
  })

  test('starts from now if the client does not say where to start', async () => {
    const server = await startHttp()
    await work(server, 1)
    await until(async () => (await server.system.counts()).succeeded === 1)

    const stream = await openEvents(server.port)
    await work(server, 1)
    await stream.untilEvents(4)

    expect(idsOf(stream)).toEqual((await idsIn(server.system)).slice(4))
  })

  test('has thousands of transitions made meanwhile, in order, each once', async () => {
    const server = await startHttp({ workers: 100 })
    const stream = await openEvents(server.port)

    await work(server, worked)
    await stream.untilEvents(4 * worked)

    const transitions = await allTransitions(server.system)
    expect(idsOf(stream)).toEqual(transitions.map(({ id }) => id))
    expect(stream.events).toHaveLength(4 * worked)
  })

  test.each<[string, (transition: Transition) => boolean]>([
    ['?state=succeeded', ({ to }) => to === 'succeeded'],
    ['?state=running&type=broken', ({ to, type }) => to === 'running' && type === 'broken'],
    ['?type=echo', ({ type }) => type === 'echo'],
    ['?queue=mail', ({ queue }) => queue === 'mail'],
    ['?job_id=2', ({ jobId }) => jobId === 2],
    ['?job_id=2&state=dead&type=broken&queue=mail', ({ jobId, to }) => jobId === 2 && to === 'dead'],
    ['?job_id=2&type=echo', () => false],
  ])('of %s has only those', async (query, isWanted) => {
    const { port, system } = await startHttp()
    const [all, some] = await Promise.all([openEvents(port), openEvents(port, query)])

    await system.enqueue([
      { type: 'echo', payload: 1 },
      { type: 'broken', payload: 1, queue: 'mail', maxRetries: 0 },
      { type: 'echo', payload: 1, queue: 'mail' },
      { type: 'broken', payload: 1, maxRetries: 0 },
    ])
    await all.untilEvents(16)

    const wanted = (await allTransitions(system)).filter(isWanted)
    await some.untilEvents(wanted.length)
    expect(idsOf(some)).toEqual(wanted.map(({ id }) => id))
  })

  test('sends a heartbeat while there is nothing to send, so that it is not idle', async () => {
    const { port } = await startHttp({ heartbeatMs: 100, timeouts: { idle: 4_000 } })
    const stream = await openEvents(port)

    await until(() => stream.comments.length >= 45)

    expect([stream.ended, stream.events]).toEqual([false, []])
  })

  test('gets its position with each heartbeat, even if no transition matched', async () => {
    const server = await startHttp({ heartbeatMs: 50 })
    const stream = await openEvents(server.port, '?state=dead')

    await work(server, 1)

    const [, , , succeeded] = await idsIn(server.system, 4)
    await until(() => Number(stream.lastId) >= succeeded!)
    expect(stream.events).toEqual([])
  })

  test('requested by HEAD has its headers, and takes no place', async () => {
    const { port } = await startHttp()
    const connection = await openConnection(port)

    for (let count = 0; count <= readersMax; count++) {
      connection.write(request('HEAD /events'))
      const { status, headers } = await connection.answer({ head: true })
      expect([status, headers['content-type']]).toEqual([200, 'text/event-stream; charset=utf-8'])
    }

    connection.write(request('HEAD /events?state=nope'))
    expect((await connection.answer({ head: true })).status).toBe(400)
    expect((await openEvents(port)).status).toBe(200)
  })

  test('needs the token if one is set', async () => {
    const apiToken = 'a-token-of-enough-length'
    const { port } = await startHttp({ apiToken })

    expect((await openEvents(port)).status).toBe(401)
    expect((await openEvents(port, '', { authorization: `Bearer ${apiToken}` })).status).toBe(200)
  })
})

describe('a reader that comes back', () => {
  test('continues after its last event, again and again, while new ones are made', async () => {
    const server = await startHttp({ workers: 50 })
    const seen: number[] = []
    let lastId = '0'
    const working = work(server, worked)

    while (seen.length < 4 * worked) {
      const stream = await openEvents(server.port, '', { 'last-event-id': lastId })
      await stream.untilEvents(Math.min(700, 4 * worked - seen.length))
      stream.leave()
      seen.push(...idsOf(stream))
      lastId = stream.lastId
    }
    await working

    expect(seen).toEqual((await allTransitions(server.system)).map(({ id }) => id))
  })

  test.runIf(isWhole)('from any position catches up with the others, without a gap or a duplicate', async () => {
    const server = await startHttp({ workers: 50 })
    await work(server, 600)
    await until(async () => (await server.system.counts()).succeeded === 600)

    const working = work(server, 600)
    const known = await idsIn(server.system)
    const from = [0, 1, 999, 1_000, 1_001, 2_399, 2_400]
    const streams = await Promise.all(
      from.map((count) => openEvents(server.port, '', { 'last-event-id': `${known[count - 1] ?? 0}` })),
    )
    await working

    for (const [index, stream] of streams.entries()) await stream.untilEvents(4_800 - from[index]!)
    const all = await idsIn(server.system)
    for (const [index, stream] of streams.entries()) expect(idsOf(stream)).toEqual(all.slice(from[index]))
  })

  test('before it got any event continues where it began', async () => {
    const server = await startHttp()
    await server.system.enqueue({ type: 'echo', payload: 1, delayMs: 1e9 })
    const before = await openEvents(server.port)
    before.leave()

    await server.system.enqueue({ type: 'echo', payload: 1, delayMs: 1e9 })
    const after = await openEvents(server.port, '', { 'last-event-id': before.lastId })

    await after.untilEvents(1)
    expect(idsOf(after)).toEqual((await idsIn(server.system)).slice(1))
  })

  test('with an id that does not exist yet, as of another file, starts from now', async () => {
    const server = await startHttp()
    await server.system.enqueue({ type: 'echo', payload: 1, delayMs: 1e9 })
    const stream = await openEvents(server.port, '', { 'last-event-id': '999999999999999' })

    await server.system.enqueue({ type: 'echo', payload: 1, delayMs: 1e9 })

    await stream.untilEvents(1)
    expect(idsOf(stream)).toEqual((await idsIn(server.system)).slice(1))
  })

  test.each(['', '-1', '+1', '1.5', '1e3', '0x1', 'abc', '9'.repeat(16), '1, 2', "1'--"])(
    'with the id %j is refused',
    async (id) => {
      const { fetch } = await startHttp({ started: false })

      const { status, body } = await fetch('/events', { headers: { 'last-event-id': id } })

      expect([status, body.code]).toEqual([400, 'invalid_input'])
      expect(body.errors).toEqual([{ path: 'Last-Event-ID', message: expect.any(String) }])
    },
  )
})

/** The ids of all transitions, once every job has ended. */
async function allWhenFinished({ system }: TestServer): Promise<number[]> {
  await until(async () => {
    const { queued, leased, running } = await system.counts()
    return queued + leased + running === 0
  })
  return (await allTransitions(system)).map(({ id }) => id)
}

async function untilNothingIsRead({ asked }: ReturnType<typeof aLongHistory>): Promise<void> {
  await until(async () => {
    const { length } = asked
    await new Promise((resolve) => setTimeout(resolve, 300))
    return asked.length === length
  })
}

describe('a stream ends', () => {
  const apiToken = 'a-token-of-enough-length'

  async function logIn({ port }: TestServer): Promise<string> {
    const body = `${new URLSearchParams({ token: apiToken })}`
    const form = { 'content-type': 'application/x-www-form-urlencoded', 'content-length': `${body.length}` }
    const host = `127.0.0.1:${port}`
    const { headers } = await exchange(port, request('POST /login', { host, ...form }) + body)
    return headers['set-cookie']!.split(';')[0]!
  }

  /** A stream of a feed of its own, under timers that the test moves. */
  async function openWithFakeTimers(random: number, session: Session | null) {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    onTestFinished(() => void vi.useRealTimers())
    const feed = new EventFeed({
      system: aLongHistory().system,
      log: pino({ level: 'silent' }),
      now: () => 5_000,
      random: () => random,
      streamLifeMs: 1_000,
    })
    const outgoing = new ServerResponse(Object.assign(new IncomingMessage(new Socket()), { method: 'GET' }))
    await feed.open(outgoing, {}, session)
    onTestFinished(() => feed.close())
    return outgoing
  }

  test.each([
    ['has lived for long enough, a fifth early', 0, null, 800],
    ['has lived for long enough', 0.5, null, 1_000],
    ['has lived for long enough, a tenth late', 0.75, null, 1_100],
    ['has lived for long enough, whatever is left of its session', 0.5, { endsAt: 9_000, seal: '' }, 1_000],
    ['was opened by a session that ends', 0.5, { endsAt: 5_300, seal: '' }, 300],
  ])('when it %s', async (_, random, session, ms) => {
    const outgoing = await openWithFakeTimers(random, session)

    vi.advanceTimersByTime(ms - 1)
    const before = outgoing.destroyed
    vi.advanceTimersByTime(1)

    // Nobody has read what was written.
    expect([before, outgoing.destroyed]).toEqual([false, true])
  })

  test('repeatedly under load, and a client that reconnects each time misses nothing', async () => {
    const server = await startHttp({ streamLifeMs: shareOf({ share: 150, whole: 500 }) })
    let stream = await openEvents(server.port)
    const ids: number[] = []
    for (let ends = 0; ends < 3; ends++) {
      while (!stream.ended) await work(server, 1)
      ids.push(...idsOf(stream))
      stream = await openEvents(server.port, '', { 'last-event-id': stream.lastId })
    }

    const all = await allWhenFinished(server)
    while (ids.length < all.length) {
      await until(() => stream.ended || ids.length + stream.events.length >= all.length)
      ids.push(...idsOf(stream))
      if (ids.length < all.length) stream = await openEvents(server.port, '', { 'last-event-id': stream.lastId })
    }

    expect(ids).toEqual(all)
  })

  test('when its session logs out, and those of other sessions stay open', async () => {
    let now = Date.UTC(2030, 0, 1)
    const server = await startHttp({ apiToken, now: () => now++ })
    const cookies = [await logIn(server), await logIn(server)]
    const mine = await openEvents(server.port, '', { cookie: cookies[0]! })
    const others = [
      await openEvents(server.port, '', { cookie: cookies[1]! }),
      await openEvents(server.port, '', { authorization: `Bearer ${apiToken}` }),
    ]

    await exchange(server.port, request('POST /logout', { host: `127.0.0.1:${server.port}`, cookie: cookies[0]! }))

    await until(() => mine.ended)
    await work(server, 1)
    for (const stream of others) await stream.untilEvents(1)
  })
})

describe('a hundred readers', () => {
  test('are the most allowed: for one more the oldest ends, and reconnects without missing anything', async () => {
    const { port, post, system } = await startHttp()
    const streams: EventStream[] = []
    while (streams.length < readersMax) streams.push(await openEvents(port))
    await post('/jobs', aWaitingJob())
    for (const stream of streams) await stream.untilEvents(1)

    const another = await openEvents(port)

    expect(another.status).toBe(200)
    await until(() => streams[0]!.ended)
    expect(streams.map(({ ended }) => ended)).toEqual([true, ...Array(readersMax - 1).fill(false)])
    await post('/jobs', aWaitingJob())
    const back = await openEvents(port, '', { 'last-event-id': streams[0]!.lastId })
    expect((await back.untilEvents(1)).map(({ id }) => id)).toEqual((await idsIn(system)).slice(1))
    await until(() => streams[1]!.ended)
  })

  test('on one connection, where only the first can be served, leave when it is closed', async () => {
    const answers = answersBegun()
    const history = aLongHistory()
    const { port } = await startOn(history)
    const connection = await openConnection(port)
    connection.write(request('GET /events').repeat(readersMax))
    await until(() => answers.length === readersMax && answers.every(({ headersSent }) => headersSent))

    connection.socket.destroy()

    await untilNothingIsRead(history)
  })

  test('that began at different moments soon share each read, and nothing is read when they have gone', async () => {
    const history = aLongHistory({ count: 100 })
    const { port } = await startOn(history)
    const growing = setInterval(() => history.count++, 1)
    onTestFinished(() => clearInterval(growing))

    const streams: EventStream[] = []
    for (let after = 0; after < readersMax; after++) {
      streams.push(await openEvents(port, '', { 'last-event-id': `${after}` }))
    }

    // Separate readers would take turns: one ahead of the others, then one behind.
    const isRising = (asked: number[]) => asked.every((after, index) => index === 0 || after > asked[index - 1]!)
    history.asked.length = 0
    await until(() => history.asked.length >= 10 && isRising(history.asked.slice(-10)))
    for (const [index, stream] of streams.entries()) {
      expect(idsOf(stream)).toEqual(stream.events.map((_, later) => index + 1 + later))
      stream.leave()
    }
    await untilNothingIsRead(history)
  })
})

describe('a reader that is far behind', () => {
  test('does not make the others wait, and gets everything', async () => {
    const history = aLongHistory({ count: 7_000 })
    const { port } = await startOn(history)
    const behind = await openEvents(port, '', { 'last-event-id': '0' })
    const foremost = await openEvents(port)
    await behind.untilEvents(1)

    history.count++
    await foremost.untilEvents(1)

    expect(behind.events.length).toBeLessThan(5_000)
    await behind.untilEvents(7_001)
    expect(idsOf(behind)).toEqual(Array.from({ length: 7_001 }, (_, index) => index + 1))
    expect(idsOf(foremost)).toEqual([7_001])
  })

  test.runIf(isWhole)(
    'because it reads nothing costs bounded memory and is dropped, and the others get everything',
    async () => {
      const answers = answersBegun()
      const history = aLongHistory({ count: 100_000, message: 'x'.repeat(1_000) })
      const { port } = await startOn(history, { heartbeatMs: 100, timeouts: { idle: 1_000 } })
      const slow = await openConnection(port)
      slow.socket.pause()
      slow.write(request('GET /events', { 'last-event-id': '0' }))
      await until(() => answers.length === 1)
      const quick = await openEvents(port, '?type=echo', { 'last-event-id': '0' })

      let unsentMax = 0
      await until(async () => {
        unsentMax = Math.max(unsentMax, answers[0]!.writableLength)
        return answers[0]!.destroyed
      })

      // A page of a thousand, 1.2 MB, was still written while less than a MiB waited.
      expect(unsentMax).toBeGreaterThan(1_048_576)
      expect(unsentMax).toBeLessThan(1_048_576 + 1_300_000)
      await quick.untilEvents(7_000)
      expect(quick.ended).toBe(false)
      expect(idsOf(quick)).toEqual(quick.events.map((_, index) => index + 1))
    },
  )

  test('continues from its position when it reads again', async () => {
    const answers = answersBegun()
    const history = aLongHistory({ count: 5_000, message: 'x'.repeat(1_000) })
    const { port } = await startOn(history)
    const stream = await openEvents(port, '', { 'last-event-id': '0' })

    await stream.untilEvents(1)
    answers[0]!.req.socket.cork()
    await until(() => answers[0]!.writableLength > 1_048_576)
    const asked = history.asked.at(-1)
    await new Promise((resolve) => setTimeout(resolve, 400))
    expect(history.asked.at(-1)).toBe(asked)
    answers[0]!.req.socket.uncork()

    await stream.untilEvents(5_000)
    expect(idsOf(stream)).toEqual(Array.from({ length: 5_000 }, (_, index) => index + 1))
  })
})

describe('if the database cannot be read', () => {
  test('a stream continues when it can be read again', async () => {
    const history = aLongHistory()
    const { port, logLines } = await startOn(history)
    const stream = await openEvents(port)

    history.error = new UnavailableError('the file is locked')
    history.count = 3
    history.asked.length = 0
    await until(() => history.asked.length > 0)
    history.error = undefined

    await stream.untilEvents(3)
    expect(idsOf(stream)).toEqual([1, 2, 3])
    expect(logLines).toEqual([])
  })

  test('no stream begins, and no place is lost', async () => {
    const history = aLongHistory()
    const { port } = await startOn(history)
    history.error = new UnavailableError('the file is locked')
    const connection = await openConnection(port)

    for (let count = 0; count <= readersMax; count++) {
      connection.write(request('GET /events'))
      expect((await connection.answer()).status).toBe(503)
    }

    history.error = undefined
    expect((await openEvents(port)).status).toBe(200)
  })

  test('because of a bug, streams end and the log reports it once', async () => {
    const history = aLongHistory()
    const { port, logLines } = await startOn(history)
    const streams = await Promise.all([openEvents(port), openEvents(port)])

    history.error = new Error('a bug')

    await until(() => streams.every(({ ended }) => ended))
    expect(logLines.filter((line) => line.includes('a bug'))).toHaveLength(1)
  })
})

describe('a server that stops', () => {
  test('ends its streams at once, cleanly if possible', async () => {
    const answers = answersBegun()
    const history = aLongHistory({ count: 100_000, message: 'x'.repeat(1_000) })
    const { port, http } = await startOn(history)
    const slow = await openConnection(port)
    slow.socket.pause()
    slow.write(request('GET /events', { 'last-event-id': '0' }))
    await until(() => (answers[0]?.writableLength ?? 0) > 1_048_576)
    const streams = await Promise.all([openEvents(port), openEvents(port)])

    // Whatever it waited for would take longer than this test may.
    await http.close(600_000)

    await until(() => streams.every(({ ended }) => ended))
    expect(answers.map(({ writableFinished }) => writableFinished)).toEqual([false, true, true])
    const { length } = history.asked
    await new Promise((resolve) => setTimeout(resolve, 300))
    expect(history.asked).toHaveLength(length)
  })

  test('begins no stream, not even one that was requested before', async () => {
    const history = aLongHistory()
    const { port, http } = await startOn(history)
    const answer = deferred()
    history.held = answer.promise
    const connection = await openConnection(port)
    connection.write(request('GET /events', { 'last-event-id': '0' }))
    await until(() => history.asked.length === 1)

    const closed = http.close(60_000)
    connection.write(request('GET /events', { 'last-event-id': '0' }))
    answer.resolve()

    for (let count = 0; count < 2; count++) expect((await connection.answer()).status).toBe(503)
    connection.socket.destroy()
    await closed
    expect(history.asked).toEqual([0])
  })
})

test('invalid bytes sent behind a request for a stream neither end it nor pile up', async () => {
  const answers = answersBegun()
  const { port, post } = await startHttp({ heartbeatMs: 20 })
  const connection = await openConnection(port)
  connection.write(request('GET /events'))
  await until(() => answers[0]?.headersSent)
  const listeners = answers[0]!.listenerCount('finish')

  for (let count = 0; count < 20; count++) {
    connection.write('no request\r\n\r\n')
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
  await post('/jobs', aWaitingJob())

  await until(() => answers[0]!.writableLength === 0)
  expect(answers[0]!.listenerCount('finish')).toBeLessThanOrEqual(listeners + 1)
  expect(answers[0]!.destroyed).toBe(false)
})
