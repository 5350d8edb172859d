import { describe, expect, onTestFinished, test, vi } from 'vitest'
import { JobSystemError, ShutdownError, UnavailableError } from '../src/errors.ts'
import { deferred } from './support/deferred.ts'
import { useFakeTimers, useRealTimers } from './support/fake-timers.ts'
import { eventsOf, openSystem, startSystem, until, untilCalled, untilState } from './support/system.ts'

describe('a stop', () => {
  test('waits for running jobs, and stores their outcomes', async () => {
    const hold = deferred()
    const { system, path } = await startSystem({ runs: { work: () => hold.promise } })
    const { id } = await system.enqueue({ type: 'work', payload: null })
    await untilCalled(system, id)

    const stopped = system.stop({ graceMs: 60_000 })
    const whileDraining = system.health()
    hold.resolve()
    await stopped

    expect(whileDraining).toEqual({ ready: false, reason: 'draining' })
    expect(system.health()).toEqual({ ready: false, reason: 'stopped' })
    expect(await look(path, id)).toEqual(['succeeded', 1, 'enqueue lease start succeed'])
  })

  test('may wait forever', async () => {
    const hold = deferred()
    const reasons: unknown[] = []
    const { system } = await startSystem({
      runs: {
        work: (_, { signal }) => {
          signal.addEventListener('abort', () => reasons.push(signal.reason))
          return hold.promise
        },
      },
    })
    const { id } = await system.enqueue({ type: 'work', payload: null })
    await untilCalled(system, id)

    const stopped = system.stop({ graceMs: Number.POSITIVE_INFINITY })
    await new Promise((resolve) => setTimeout(resolve, 20))
    hold.resolve()
    await stopped

    expect(reasons).toEqual([])
  })

  test('whose grace ends aborts running jobs and gives them back, without counting the attempt', async () => {
    const reasons: unknown[] = []
    const { system, path, fatal } = await startSystem({
      runs: {
        work: (_, { signal }) =>
          new Promise((_, reject) => {
            signal.addEventListener('abort', () => {
              reasons.push(signal.reason)
              reject(signal.reason)
            })
          }),
      },
    })
    const { id } = await system.enqueue({ type: 'work', payload: null, maxRetries: 0 })
    await untilCalled(system, id)

    await system.stop({ graceMs: 10 })

    expect(reasons).toEqual([expect.any(ShutdownError)])
    expect(fatal).toEqual([])
    expect(await look(path, id)).toEqual(['queued', 0, 'enqueue lease start release'])
  })

  test('keeps the success of a handler that finishes when it is aborted', async () => {
    const { system, path } = await startSystem({
      runs: {
        work: (_, { signal }) => new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve())),
      },
    })
    const { id } = await system.enqueue({ type: 'work', payload: null })
    await untilCalled(system, id)

    await system.stop({ graceMs: 0 })

    expect(await look(path, id)).toEqual(['succeeded', 1, 'enqueue lease start succeed'])
  })

  test('does not wait long for a handler that ignores its signal, and gives its job back', async () => {
    const never = deferred()
    const { system, path, log, fatal } = await startSystem({ runs: { work: () => never.promise } })
    const { id } = await system.enqueue({ type: 'work', payload: null })
    await untilCalled(system, id)

    timersByHand()
    let isStopped = false
    const stopped = system.stop({ graceMs: 10 }).then(() => {
      isStopped = true
    })
    // The grace, then one second for the aborted handlers.
    await vi.advanceTimersByTimeAsync(10)
    await vi.advanceTimersByTimeAsync(999)
    const before = isStopped
    await vi.advanceTimersByTimeAsync(1)
    await stopped

    expect(before).toBe(false)
    expect(log.map(({ message }) => message)).toContain('the grace period is over; aborting the running jobs')
    expect(await look(path, id)).toEqual(['queued', 0, 'enqueue lease start release'])
    // Nobody sees what it does afterwards.
    never.resolve()
    await new Promise(setImmediate)
    expect(fatal).toEqual([])
  })

  // The acknowledgement comes in one message with the job, leased and started, and the drain before the job's handler is called.
  test('gives back a job that is started on disk but whose handler was not called yet', async () => {
    const ran: number[] = []
    const { system, path } = await startSystem({ runs: { work: (_, { jobId }) => void ran.push(jobId) } })
    const { id } = await system.enqueue({ type: 'work', payload: null, maxRetries: 0 })

    await system.stop()

    expect(ran).toEqual([])
    expect(await look(path, id)).toEqual(['queued', 0, 'enqueue lease start release'])
  })

  test('at any instant of a burst leaves nothing running and loses nothing', async () => {
    for (let stopAfter = 0; stopAfter < 6; stopAfter++) {
      const ran = new Set<number>()
      const { system, path } = await startSystem({
        workers: 4,
        runs: { work: (_, { jobId }) => void ran.add(jobId) },
      })
      const enqueued: Promise<unknown>[] = []
      for (let i = 0; i < 20; i++) {
        enqueued.push(system.enqueue(Array.from({ length: 5 }, () => ({ type: 'work', payload: null }))))
        if (i === 3 * stopAfter) await new Promise(setImmediate)
      }
      for (let turns = 0; turns < stopAfter; turns++) await new Promise(setImmediate)

      const stopped = system.stop()
      const acknowledged = (await Promise.allSettled(enqueued)).filter(({ status }) => status === 'fulfilled').length
      await stopped

      const { system: after } = await openSystem({ database: path, runs: null })
      const counts = await after.counts()
      expect([counts.running, counts.succeeded]).toEqual([0, ran.size])
      expect(counts.queued + counts.leased + counts.succeeded).toBe(5 * acknowledged)
    }
  })

  test('called twice is one stop', async () => {
    const { system } = await startSystem({ runs: { work: () => {} } })

    const [first, second] = [system.stop(), system.stop({ graceMs: 0 })]
    await Promise.all([first, second])

    expect(second).toBe(first)
    await system.stop()
  })

  test('before the start closes the file, and the system can no longer be started', async () => {
    const { system, path } = await openSystem({ runs: { work: () => {} } })
    await system.enqueue({ type: 'work', payload: null })

    await system.stop()

    await expect(system.start()).rejects.toMatchObject({ code: 'already_started' })
    const again = await startSystem({ database: path, runs: { work: () => {} } })
    await untilState(again.system, 1, 'succeeded')
  })

  test('during the start ends it', async () => {
    const { system } = await openSystem({ runs: { work: () => {} } })

    const started = system.start().catch((error: unknown) => error)
    await system.stop()

    expect(await started).toBeInstanceOf(UnavailableError)
  })

  test('lets the next server have the file', async () => {
    const { system, path } = await startSystem({ runs: { work: () => {} } })
    await system.stop()

    const next = await startSystem({ database: path, runs: { work: () => {} } })

    expect(next.system.health()).toEqual({ ready: true, reason: null })
  })
})

describe('after a stop', () => {
  test('every call is refused with an error that says so', async () => {
    const { system } = await startSystem({ runs: { work: () => {} } })
    const { id } = await system.enqueue({ type: 'work', payload: null })
    await system.stop()

    for (const call of [
      () => system.enqueue({ type: 'work', payload: null }),
      () => system.submit({ type: 'work', payload: null }),
      () => system.find(id),
      () => system.list(),
      () => system.history(id),
      () => system.cancel(id),
      () => system.requeue(id),
      () => system.counts(),
      () => system.metrics(),
    ]) {
      const refusal = await call().then(
        () => undefined,
        (error: unknown) => error,
      )
      expect(refusal, `${call}`).toBeInstanceOf(UnavailableError)
      expect(refusal).toMatchObject({ code: 'unavailable', message: expect.stringContaining('stopped') })
    }
  })

  test('a bad input is reported first', async () => {
    const { system } = await startSystem({ runs: { work: () => {} } })
    await system.stop()

    await expect(system.enqueue({ type: '', payload: null })).rejects.toMatchObject({ code: 'invalid_input' })
  })
})

describe('while it drains', () => {
  test('a system answers reads and refuses writes', async () => {
    const hold = deferred()
    const { system } = await startSystem({ runs: { work: () => hold.promise } })
    const { id } = await system.enqueue({ type: 'work', payload: null })
    await untilCalled(system, id)

    const stopped = system.stop()

    expect(await system.find(id)).toMatchObject({ state: 'running' })
    expect((await system.list()).jobs).toHaveLength(1)
    for (const write of [() => system.enqueue({ type: 'work', payload: null }), () => system.cancel(id)]) {
      await expect(write()).rejects.toMatchObject({ code: 'unavailable', message: 'the system is draining' })
    }
    hold.resolve()
    await stopped
  })
})

describe('a start', () => {
  test('a second time is refused', async () => {
    const { system } = await startSystem({ runs: { work: () => {} } })

    await expect(system.start()).rejects.toThrow(JobSystemError)
    await expect(system.start()).rejects.toMatchObject({ code: 'already_started' })
    expect(system.health().ready).toBe(true)
  })

  test('beside one under way is refused', async () => {
    const { system } = await openSystem({ runs: { work: () => {} } })

    const [first, second] = await Promise.allSettled([system.start(), system.start()])

    expect([first!.status, second!.status]).toEqual(['fulfilled', 'rejected'])
  })

  test('is needed to run jobs: before it they only wait', async () => {
    const ran: number[] = []
    const { system } = await openSystem({ runs: { work: (_, { jobId }) => void ran.push(jobId) } })
    expect(system.health()).toEqual({ ready: false, reason: 'not started' })

    await system.enqueue({ type: 'work', payload: null })
    const before = [...ran]
    await system.start()
    await until(() => ran.length === 1)

    expect(before).toEqual([])
  })
})

describe('if every slot is held by a handler that does not end', () => {
  test('the system says which jobs, gives up and asks for a restart', async () => {
    const never = deferred()
    const { system, path, log, fatal } = await startSystem({ workers: 1, runs: { work: () => never.promise } })
    timersByHand()
    const { id } = await system.enqueue({ type: 'work', payload: null, timeoutMs: 1 })
    await untilCalled(system, id)

    await vi.advanceTimersByTimeAsync(1 + 5_000)
    await until(() => fatal.length > 0)

    expect(fatal[0]?.message).toMatch(/^every worker has a handler that was aborted more than 5000 ms ago/)
    expect(log.find(({ level }) => level === 'error')).toMatchObject({ fields: { job_ids: [id], types: ['work'] } })
    expect(system.health().ready).toBe(false)
    expect(await look(path, id)).toEqual(['retrying', 1, 'enqueue lease start fail'])
    never.resolve()
  })
})

/** Until the end of the test, the system's time passes only when the test says so. */
function timersByHand(): void {
  useFakeTimers(['setTimeout', 'clearTimeout'])
  onTestFinished(useRealTimers)
}

/** What the file says about a job after its server has ended. */
async function look(path: string, id: number): Promise<[state: unknown, attempt: unknown, events: string]> {
  const { system } = await openSystem({ database: path, runs: null })
  const job = await system.find(id)
  return [job?.state, job?.attempt, await eventsOf(system, id)]
}
