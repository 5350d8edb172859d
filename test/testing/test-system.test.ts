import { readdirSync } from 'node:fs'
import { describe, expect, test, vi } from 'vitest'
import { z } from 'zod'
import { defineHandler, PayloadError } from '../../src/index.ts'
import { createTestSystem, runHandler, type TestSystem, type TestSystemOptions } from '../../src/testing/index.ts'
import { onThreads } from '../support/store-here.ts'
import { aHandler, eventsOf, until } from '../support/system.ts'
import { tempFolder, whenDone } from '../support/temp.ts'

onThreads()

const hour = 3_600_000

async function aTestSystem(options: TestSystemOptions): Promise<TestSystem> {
  const system = await createTestSystem(options)
  whenDone(() => system.stop())
  return system
}

describe('a test system', () => {
  test('drains what may run now and what that enqueues, and leaves what waits for a later time', async () => {
    const ran: string[] = []
    const t: TestSystem = await aTestSystem({
      handlers: [
        aHandler('parent', async () => {
          ran.push('parent')
          await t.enqueue({ type: 'child', payload: null })
        }),
        aHandler('child', () => ran.push('child')),
      ],
    })
    await t.enqueue({ type: 'parent', payload: null })
    await t.enqueue({ type: 'child', payload: null, delayMs: 1 })

    await t.drain()

    expect(ran).toEqual(['parent', 'child'])
    expect((await t.enqueued('child')).map(({ state }) => state)).toEqual(['scheduled', 'succeeded'])
  })

  test('calls no handler before the test waits for it', async () => {
    let calls = 0
    const t = await aTestSystem({ handlers: [aHandler('work', () => calls++)] })
    await t.enqueue({ type: 'work', payload: null })
    await until(async () => (await t.system.counts()).running === 1)

    expect(calls).toBe(0)
    await t.drain()
    expect(calls).toBe(1)
  })

  test('moves the clock of the jobs with its own, to each instant at which one is due', async () => {
    const ranAt: number[] = []
    const t = await aTestSystem({
      startAt: new Date('2031-05-01T12:00:00Z'),
      handlers: [aHandler('work', () => ranAt.push(t.clock.now()))],
    })
    const start = t.clock.now()
    await t.enqueue({ type: 'work', payload: null, runAt: new Date('2031-05-01T13:00:00Z') })
    await t.enqueue({ type: 'work', payload: null, delayMs: 2 * hour })

    await t.advance('59m')
    const early = [...ranAt]
    await t.advance('1h1m')

    expect(early).toEqual([])
    expect(ranAt).toEqual([start + hour, start + 2 * hour])
    const [first] = await t.enqueued()
    expect([first!.createdAt, first!.startedAt]).toEqual([start, start + hour])
    expect((await t.system.explain(1)).summary).toContain('13:00')
  })

  test('runs retries at their time, and waits for the end of a job', async () => {
    let calls = 0
    const t = await aTestSystem({
      handlers: [
        aHandler('flaky', () => {
          if (++calls < 3) throw new Error('not yet')
        }),
      ],
    })
    const { id } = await t.enqueue({ type: 'flaky', payload: null })

    await t.drain()
    const afterDrain = calls
    const job = await t.waitFor(id)

    expect([afterDrain, calls, job.state]).toEqual([1, 3, 'succeeded'])
    expect(t.clock.now()).toBeGreaterThan(Date.UTC(2030, 0, 1))
  })

  test('times out an attempt by its clock', async () => {
    const t = await aTestSystem({
      handlers: [
        aHandler('hangs', (_, { signal }) => new Promise((resolve) => signal.addEventListener('abort', resolve))),
      ],
    })
    const { id } = await t.enqueue({ type: 'hangs', payload: null, timeoutMs: 60_000, maxRetries: 0 })

    await t.advance('59s')
    const running = (await t.system.find(id))!.state
    await t.advance('1s')

    expect(running).toBe('running')
    expect(await t.system.find(id)).toMatchObject({ state: 'dead', error: { name: 'AttemptTimeoutError' } })
  })

  test.each([
    ['before effect', 1, 'enqueue lease start expire lease start succeed'],
    ['after effect, before commit', 2, 'enqueue lease start expire lease start succeed'],
    ['after commit', 1, 'enqueue lease start succeed'],
  ] as const)('crashes %s, and the job runs as it would after a SIGKILL', async (point, effects, events) => {
    const tokens: string[] = []
    const t = await aTestSystem({
      handlers: [aHandler('work', (_, { idempotencyToken }) => tokens.push(idempotencyToken))],
    })
    const { id } = await t.enqueue({ type: 'work', payload: null })

    await t.crash(point)
    await t.waitFor(id)

    expect(tokens).toEqual(Array.from({ length: effects }, () => tokens[0]))
    expect(await eventsOf(t.system, id)).toContain(events.split(' ').slice(-2).join(' '))
    expect((await t.system.find(id))!.state).toBe('succeeded')
    expect(await t.system.verify()).toMatchObject({ violations: [] })
  })

  test('lists its crash points, and says when there is nothing to crash', async () => {
    const t = await aTestSystem({ handlers: [aHandler('work', () => {})] })

    await expect(t.crash('in between' as never)).rejects.toThrow(/must be one of before effect; after effect, before/)
    await expect(t.crash('before effect')).rejects.toThrow('there is no attempt to crash before effect: no job waits')
  })

  test('works while the test has faked its timers, and leaves neither a file nor a thread', async () => {
    const place = tempFolder()
    vi.stubEnv('TMPDIR', place)
    vi.useFakeTimers({ toFake: ['setTimeout', 'setInterval', 'setImmediate', 'queueMicrotask', 'performance', 'Date'] })
    try {
      await using t = await createTestSystem({ handlers: [aHandler('work', () => {})] })
      const { id } = await t.enqueue({ type: 'work', payload: null, delayMs: hour })
      await t.advance('1h')
      expect((await t.system.find(id))!.state).toBe('succeeded')
      expect(readdirSync(place)).toHaveLength(1)
    } finally {
      vi.useRealTimers()
      vi.unstubAllEnvs()
    }
    expect(readdirSync(place)).toEqual([])
  })

  test('refuses bad arguments, and leaves no file', async () => {
    await expect(createTestSystem({ handlers: {} as never })).rejects.toThrow(/handlers is \{\}; it must be an array/)
    await expect(createTestSystem(undefined as never)).rejects.toThrow(
      /needs an object of options with at least handlers/,
    )
    await expect(createTestSystem({ handlers: [], startAt: 'soon', database: 'jobs.db' } as never)).rejects.toThrow(
      'database is not an option of createTestSystem, which has its own\nstartAt is soon; it must be epoch ms or a Date',
    )
    const t = await aTestSystem({ handlers: [aHandler('work', () => {})] })
    await expect(t.advance('two hours')).rejects.toThrow(/a duration must be a number of ms, or text such as/)
  })
})

describe('a handler alone', () => {
  const resize = defineHandler({
    type: 'resize',
    payload: z.strictObject({ width: z.int().positive() }),
    run: ({ width }, { attempt, idempotencyToken }) => `${width} ${attempt} ${idempotencyToken}`,
  })

  test('runs once with the payload that its schema returns', async () => {
    expect(await runHandler(resize, { width: 3 })).toBe('3 1 test.1')
    expect(await runHandler(resize, { width: 3 }, { attempt: 2 })).toBe('3 2 test.1')
  })

  test('is not called with a payload that its schema refuses', async () => {
    await expect(runHandler(resize, { width: -3 })).rejects.toBeInstanceOf(PayloadError)
  })

  test('is not called with a payload that enqueue cannot store', async () => {
    const any = defineHandler({ type: 'any', payload: z.unknown(), run: (payload) => payload })

    await expect(runHandler(any, { seen: new Map() })).rejects.toThrow('payload.seen: a Map cannot be stored as JSON')
    await expect(runHandler(any, new Set())).rejects.toThrow('payload: a Set cannot be stored as JSON')
    expect(await runHandler(any, { at: new Date(0), left: undefined })).toEqual({ at: '1970-01-01T00:00:00.000Z' })
  })

  test('is checked as createJobSystem does', async () => {
    await expect(runHandler({ type: 'resize' } as never, {})).rejects.toThrow(
      'handler "resize": run must be a function',
    )
  })
})
