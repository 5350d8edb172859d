import { hostname } from 'node:os'
import { afterAll, describe, expect, test } from 'vitest'
import { JobNotFoundError, PermanentError, SnoozeError, UnavailableError } from '../src/errors.ts'
import { eventsFrom } from '../src/machines/edges.ts'
import { openKept } from '../src/persistence/sqlite/file/kept.ts'
import { ManualClock } from '../src/runtime/clock.ts'
import { killChildren, startChild } from './support/child.ts'
import { onPostgres } from './support/database.ts'
import { deferred } from './support/deferred.ts'
import { openStore } from './support/store.ts'
import {
  aHandler,
  eventsOf,
  openSystem,
  startAt,
  startSystem,
  until,
  untilCalled,
  untilState,
} from './support/system.ts'
import { whenDone } from './support/temp.ts'

afterAll(killChildren)

const aJob = { type: 'work', payload: null }
const me = `process ${process.pid} on ${hostname()}`
const codesOf = (obstacles: readonly { readonly code: string }[]) => obstacles.map(({ code }) => code)

describe('a job explains', () => {
  test('its place in line while the only worker is busy', async () => {
    const hold = deferred()
    const { system, clock } = await startSystem({ workers: 1, runs: { work: () => hold.promise } })
    const first = await system.enqueue(aJob)
    await untilCalled(system, first.id)
    const waiting = await system.enqueue([aJob, aJob, { ...aJob, queue: 'mail' }, { ...aJob, priority: 1 }])
    clock.advance(12_000)

    const places = await Promise.all(waiting.map(({ id }) => system.explain(id)))
    hold.resolve()

    expect(places.map(({ line }) => [line?.ahead.count, line?.queues.count])).toEqual([
      [1, 2],
      [2, 2],
      [0, 2],
      [0, 2],
    ])
    expect(places[1]).toMatchObject({
      summary:
        'Job 3 (work) is queued: 2 jobs of queue "default" go before it, 1 of them by higher priority (up to 1; later ones overtake it too), and 2 queues take turns; the only worker is busy (job 1 of type work, for 12 s). The application enqueued it 12 s ago. It can run as soon as its turn comes and a worker is free.',
      earliestRunAt: null,
    })
  })

  test('what runs it and when it is told to stop', async () => {
    const hold = deferred()
    const { system, clock } = await startSystem({
      handlers: [aHandler('work', () => hold.promise, { timeoutMs: 60_000 })],
    })
    const { id } = await system.enqueue(aJob)
    await untilCalled(system, id)
    clock.advance(12_000)

    const { summary, obstacles, next } = await system.explain(id)
    hold.resolve()

    expect(summary).toBe(
      `Job 1 (work) is running: a worker called its handler 12 s ago, for attempt 1 of 4. Process ${process.pid} on ${hostname()} runs it, and tells its handler to stop in 48 s, at 2030-01-01T10:01:00.000Z, if it is not done by then: its timeout is 1 min.`,
    )
    expect(obstacles).toMatchObject([{ code: 'attempt_running', until: startAt + 60_000 }])
    expect(next.map(({ event, possible }) => [event, possible])).toEqual(
      eventsFrom('running').map((event) => [event, event !== 'release' && event !== 'expire']),
    )
    expect(next.find(({ event }) => event === 'expire')?.obstacles).toMatchObject([
      { code: 'lease_held', message: expect.stringContaining(`${me} holds its lease until 2030-01-01T10:00:`) },
    ])
  })

  test.skipIf(onPostgres)(
    'that its outcome is safe in memory while it cannot be stored, and what a restart would do',
    async () => {
      const hold = deferred()
      const { system, clock, path } = await startSystem({ runs: { work: () => hold.promise } })
      const { id } = await system.enqueue(aJob)
      await untilCalled(system, id)
      const other = openKept(path)
      whenDone(() => other.close())
      other.exec('BEGIN IMMEDIATE')
      hold.resolve()
      await until(() => system.health().reason === 'another process holds a lock on the database')
      clock.advance(60_000)

      const { summary, advice, earliestRunAt, obstacles } = await system.explain(id)
      other.exec('ROLLBACK')

      expect(summary).toContain('its handler has succeeded, and its outcome waits in memory until it can be stored')
      expect(advice).toContain(
        `\`fuser ${path}\` names it, besides this server, which must go on. Do not restart the server before that`,
      )
      expect([earliestRunAt, codesOf(obstacles)]).toEqual([null, ['storage_trouble', 'outcome_pending']])
      await untilState(system, id, 'succeeded')
    },
  )

  test.skipIf(onPostgres)('that a dead process had leased it, before this server has recovered it', async () => {
    const { system, path, clock } = await openSystem({ runs: { work: () => {} } })
    const { id } = await system.enqueue(aJob)
    const { store: ended } = await openStore({ path, clock })
    await ended.lease({ limit: 1, wait: false })

    const { summary, obstacles, earliest } = await system.explain(id)
    await system.start()
    await untilState(system, id, 'succeeded')

    expect(summary).toContain('The dispatcher claimed it just now for a worker.')
    expect(codesOf(obstacles)).toEqual(['holder_gone', 'not_started'])
    expect(earliest).toBe('when this server starts')
    expect(await eventsOf(system, id)).toBe('enqueue lease expire lease start succeed')
  })

  test('that it is scheduled', async () => {
    const { system } = await startSystem({ runs: { work: () => {} } })
    const { id } = await system.enqueue({ ...aJob, delayMs: 200_000 })

    expect(await system.explain(id)).toMatchObject({
      jobId: id,
      state: 'scheduled',
      meaning: 'has a run_at in the future',
      summary:
        'Job 1 (work) is scheduled: the application enqueued it just now, with a delay of 3 min 20 s. It can run in 3 min 20 s, at 2030-01-01T10:03:20.000Z.',
      obstacles: [{ code: 'not_due', until: startAt + 200_000 }],
      line: null,
      earliestRunAt: startAt + 200_000,
    })
  })

  test('that its type has no handler here', async () => {
    const { system, path, clock } = await startSystem({ runs: { work: () => {} } })
    const { system: producer } = await openSystem({ database: path, clock, runs: null })
    const { id } = await producer.enqueue({ type: 'nobody', payload: null })
    await until(async () => (await system.explain(id)).line === null)

    const seen = await system.explain(id)
    await system.stop()

    expect(seen).toMatchObject({
      summary: `Job ${id} (nobody) is queued: this server has no handler for type "nobody", only for work. The application enqueued it just now. It can run when a server with a handler for its type serves this database.`,
      earliestRunAt: null,
    })
    expect(codesOf((await producer.explain(id)).obstacles)).toEqual(['no_handler', 'server_elsewhere'])
  })

  test('why it is dead, with its error', async () => {
    const { system, clock } = await startSystem({
      runs: {
        work: () => {
          throw new PermanentError('the mailbox is gone')
        },
      },
    })
    const { id } = await system.enqueue(aJob)
    await untilState(system, id, 'dead')
    clock.advance(90_000)

    const { summary, because, lastFailure, next, earliestRunAt } = await system.explain(id)

    expect(summary).toBe(
      'Job 1 (work) is dead: attempt 1 of 4 failed 1 min 30 s ago with PermanentError: the mailbox is gone, which no further attempt can correct. It never runs again, unless someone requeues it.',
    )
    expect(because).toMatchObject({ event: 'reject', cause: 'handler', error: { message: 'the mailbox is gone' } })
    expect(lastFailure).toEqual(because)
    expect(next.map(({ event, to, possible }) => [event, to, possible])).toEqual([
      ['requeue', 'queued', true],
      ['cancel', 'cancelled', true],
    ])
    expect(earliestRunAt).toBeNull()
  })

  test('when it will be removed, once it has succeeded', async () => {
    const { system } = await startSystem({ retentionMs: 86_400_000, runs: { work: () => {} } })
    const { id } = await system.enqueue(aJob)
    await untilState(system, id, 'succeeded')

    expect(await system.explain(id)).toMatchObject({ next: [], removedAt: startAt + 86_400_000, earliest: 'never' })
  })

  test('that its handler asked to be run later', async () => {
    const { system } = await startSystem({
      runs: {
        work: () => {
          throw new SnoozeError(60_000)
        },
      },
    })
    const { id } = await system.enqueue(aJob)
    await untilState(system, id, 'scheduled')

    expect((await system.explain(id)).because).toMatchObject({ event: 'snooze', attempt: 0, error: null })
  })

  test('that its handler is still running although it was cancelled', async () => {
    const never = deferred()
    const { system } = await startSystem({ workers: 1, runs: { work: () => never.promise } })
    const { id } = await system.enqueue(aJob)
    await untilCalled(system, id)
    await system.cancel(id)
    await until(async () => /told to stop/.test((await system.explain(id)).summary))
    const next = await system.enqueue(aJob)

    const cancelled = await system.explain(id)
    const waiting = await system.explain(next.id)
    never.resolve()

    expect(cancelled.summary).toContain('told to stop just now, has not ended: it occupies a worker until it does')
    expect(codesOf(waiting.obstacles)).toEqual(['no_free_worker'])
    await until(async () => !/has not ended/.test((await system.explain(id)).summary))
  })

  test('that its handler was told to stop but has not stopped', async () => {
    const never = deferred()
    const { system } = await startSystem({ workers: 2, runs: { work: () => never.promise } })
    const { id } = await system.enqueue({ ...aJob, timeoutMs: 5 })
    await until(async () => /was told to stop/.test((await system.explain(id)).summary))

    const { obstacles, next } = await system.explain(id)
    const ways = next.filter(({ possible }) => possible).map(({ event }) => event)
    await untilState(system, id, 'retrying')
    const { summary } = await system.explain(id)
    never.resolve()

    expect(obstacles).toMatchObject([{ code: 'attempt_running', until: startAt + 5_000 }])
    expect(ways).toEqual(['fail', 'cancel'])
    expect(summary).toMatch(/AttemptTimeoutError.* The handler of an attempt that is over, told to stop just now,/)
  })
})

describe('a server explains what it does itself', () => {
  test('before it starts', async () => {
    const { system } = await openSystem({ runs: { work: () => {} } })
    const { id } = await system.enqueue(aJob)

    expect(await system.explain(id)).toMatchObject({
      obstacles: [{ code: 'not_started' }],
      earliest: 'when this server starts',
      earliestRunAt: null,
    })
  })

  test('while it drains', async () => {
    const hold = deferred()
    const { system } = await startSystem({ runs: { work: () => hold.promise } })
    const running = await system.enqueue(aJob)
    await untilCalled(system, running.id)
    const later = await system.enqueue({ ...aJob, delayMs: 1_000 })

    const stopped = system.stop({ graceMs: 60_000 })
    const [held, waiting] = await Promise.all([system.explain(running.id), system.explain(later.id)])
    hold.resolve()
    await stopped

    expect(held.obstacles).toMatchObject([{ code: 'attempt_running', until: startAt + 60_000 }])
    expect(held.next.find(({ event }) => event === 'cancel')?.obstacles).toMatchObject([{ code: 'draining' }])
    expect(codesOf(waiting.obstacles)).toEqual(['not_due', 'draining'])
    await expect(system.explain(later.id)).rejects.toBeInstanceOf(UnavailableError)
  })

  test('until its attempts time out, if the stop’s grace is infinite', async () => {
    const hold = deferred()
    const { system } = await startSystem({ runs: { work: () => hold.promise } })
    const { id } = await system.enqueue(aJob)
    await untilCalled(system, id)

    const stopped = system.stop({ graceMs: Number.POSITIVE_INFINITY })
    const { obstacles } = await system.explain(id)
    hold.resolve()
    await stopped

    expect(obstacles[0]?.until).toBe(startAt + 300_000)
  })

  test.skipIf(onPostgres)('after a crash, before it has recovered what the dead process ran', async () => {
    // The child has the machine's clock.
    const clock = new ManualClock(Date.now())
    const { system: reader, path } = await openSystem({ clock, runs: null })
    const child = await startChild({ database: path, holdMs: 60_000 })
    const [job] = await child.enqueue([{ type: 'hold', payload: null }])
    await untilState(reader, job!.id, 'running')
    child.kill('SIGKILL')
    await child.exited
    const { system } = await openSystem({ database: path, clock, runs: { hold: () => {} } })

    const orphan = await system.explain(job!.id)
    const seen = await reader.explain(job!.id)
    await system.start()
    await untilState(system, job!.id, 'succeeded')

    expect(codesOf(orphan.obstacles)).toEqual(['holder_gone', 'not_started'])
    expect(orphan.earliest).toBe('when this server starts')
    expect(codesOf(seen.obstacles)).toEqual(['attempt_running', 'server_elsewhere'])
    expect((await system.explain(job!.id)).lastFailure).toMatchObject({
      event: 'expire',
      cause: 'recovery',
      attempt: 0,
      error: { name: 'ProcessEndedError' },
    })
  })
})

describe('a producer explains what is in the file', () => {
  test('and says who serves it, and that it does not know more', async () => {
    const hold = deferred()
    const { system, path, clock } = await startSystem({ workers: 1, runs: { work: () => hold.promise } })
    const { system: producer } = await openSystem({ database: path, clock, runs: null })
    const { id } = await producer.enqueue(aJob)
    await untilState(system, id, 'running')

    const explanation = await producer.explain(id)
    hold.resolve()

    expect(explanation).toMatchObject({
      obstacles: [
        { code: 'attempt_running', message: expect.stringMatching(`^as the file has it, ${me}(, node .*)? runs it`) },
        {
          code: 'server_elsewhere',
          message: expect.stringMatching(`^this process is not a server, and ${me}, .* may still live$`),
        },
      ],
      removedAt: null,
    })
    expect(explanation.next.filter(({ possible }) => possible)).toEqual([])
  })
})

test('an unknown job cannot be explained', async () => {
  const { system } = await openSystem({ runs: { work: () => {} } })

  for (const id of [1, 0, -1, 1.5, Number.NaN])
    await expect(system.explain(id)).rejects.toBeInstanceOf(JobNotFoundError)
})
