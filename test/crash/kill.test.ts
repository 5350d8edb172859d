import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createJobSystem } from '../../src/index.ts'
import { systemClock } from '../../src/runtime/clock.ts'
import { assertWitnessed, type Child, endWith, killChildren, startChild, started, witnessed } from '../support/child.ts'
import { neverTicks, patchedBuild } from '../support/patched-build.ts'
import { isWhole, shareOf } from '../support/share.ts'
import { openStore } from '../support/store.ts'
import { eventsOf, until, untilFinished } from '../support/system.ts'
import { cleanUp, tempFolder } from '../support/temp.ts'

/** Each is killed by SIGKILL at a different moment. */
const burstsKilled = shareOf({ share: 1, whole: 4 })

let folder: string
beforeAll(() => {
  folder = tempFolder()
})
afterAll(async () => {
  killChildren()
  await cleanUp()
})

describe('a running job', () => {
  test('runs again at once, with the same token, if its process is killed', async () => {
    const database = join(folder, 'effect.db')
    // In this copy of the built code nothing polls, and none of these leases ends by itself: whatever waits for either waits forever.
    const env = { JOBMACHINE_BUILD: patchedBuild(join(folder, 'build'), neverTicks) }
    const settings = { leaseMs: 86_400_000 }
    const reader = await createJobSystem({ database })
    const [job] = await reader.enqueue([{ type: 'hold', payload: null }])
    const first = await startChild({ database, env, settings, holdMs: 600_000 })
    await until(() => started(database).length === 1)

    first.kill('SIGKILL')
    await first.exited
    const second = await startChild({ database, env, settings })
    await untilFinished(reader, 1)

    const calls = witnessed(database).filter(({ what }) => what === 'start')
    expect(calls.map(({ attempt }) => attempt)).toEqual([1, 1])
    expect(new Set(calls.map(({ token }) => token)).size).toBe(1)
    expect(await reader.find(job!.id)).toMatchObject({ state: 'succeeded', attempt: 1, crashes: 0 })
    await endWith(second, reader)
  })
})

describe('what a handler reported', () => {
  test.runIf(isWhole)(
    'can be read after its process was killed, and its next attempt goes on with the log',
    async () => {
      const database = join(folder, 'reports.db')
      const reader = await createJobSystem({ database })
      const [job] = await reader.enqueue([{ type: 'report', payload: null }])
      const first = await startChild({ database, holdMs: 600_000 })
      await until(async () => (await reader.find(job!.id))?.progress !== null)

      first.kill('SIGKILL')
      await first.exited

      expect(await reader.find(job!.id)).toMatchObject({
        state: 'running',
        progress: { done: 1, total: 2 },
        progressAttempt: 1,
      })
      expect((await reader.log(job!.id)).lines).toMatchObject([{ n: 1, attempt: 1, message: 'half way' }])
      const second = await startChild({ database })
      await untilFinished(reader, 1)
      expect((await reader.log(job!.id)).lines.map(({ n, message }) => [n, message])).toEqual([
        [1, 'half way'],
        [2, 'half way'],
      ])
      expect((await reader.verify()).violations).toEqual([])
      await endWith(second, reader)
    },
  )
})

// Each with its own file, all at once, because they wait for other processes.
describe.concurrent('a process that is killed', () => {
  // Waiting jobs wait for long, and the clock of the second process is further ahead, so everything comes due there.
  test.runIf(isWhole)(
    'with a thousand jobs in every state loses none: all finish, and none has lost an attempt',
    async () => {
      const database = join(folder, 'thousand.db')
      const settings = { workers: 10, retryBaseMs: 600_000, retryMaxMs: 600_000 }
      const first = await startChild({ database, holdMs: 600_000, settings })
      const reader = await createJobSystem({ database })
      const many = (count: number, job: object) => Array.from({ length: count }, () => ({ payload: null, ...job }))
      const unique = { key: 'twin', until: 'ended', onConflict: 'after' }
      const jobs = await first.enqueue([
        ...many(500, { type: 'quick', priority: 10 }),
        ...many(20, { type: 'flaky', priority: 9 }),
        ...many(10, { type: 'hopeless', priority: 9, maxRetries: 0 }),
        ...many(10, { type: 'quick', priority: 8 }),
        ...many(1, { type: 'hold', priority: 7, unique }),
        ...many(298, { type: 'hold' }),
        ...many(140, { type: 'quick', delayMs: 600_000 }),
        ...many(20, { type: 'quick', delayMs: 600_000 }),
      ] as never)
      for (const { id } of jobs.slice(-20)) await first.call('cancel', id)
      await until(async () => {
        const { running, retrying, dead } = await reader.counts()
        const called = started(database).length === 500 + 20 + 10 + 10 + 10
        return called && running === 10 && retrying === 20 && dead === 10
      })
      await first.enqueue([{ type: 'hold', payload: null, unique }] as never)
      // The dispatcher leaves none that is leased but not started.
      const { store: other } = await openStore({
        path: database,
        owner: null,
        clock: systemClock as never,
        types: ['hold'],
      })
      await other.lease({ limit: 10, wait: false })
      await other.close()

      first.kill('SIGKILL')
      await first.exited
      const before = await reader.counts()
      const ids = async (state: 'leased' | 'running') =>
        (await reader.list({ state, limit: 500 })).jobs.map(({ id }) => id)
      const orphans = { leased: await ids('leased'), running: await ids('running') }
      const startedBefore = new Set(started(database))
      const second = await startChild({ database, settings, aheadMs: 7_200_000 })
      await untilFinished(reader, 1_000)

      expect(Object.entries(before).filter(([, count]) => count === 0)).toEqual([])
      expect(witnessed(database).filter(({ what }) => what === 'acknowledged')[0]?.ids).toEqual(
        jobs.map(({ id }) => id),
      )
      expect(await reader.counts()).toMatchObject({ succeeded: 970, dead: 10, cancelled: 20 })
      // Exactly the running jobs had been called before the crash, and none that was only leased.
      expect(orphans.running.every((id) => startedBefore.has(id))).toBe(true)
      expect(orphans.leased.some((id) => startedBefore.has(id))).toBe(false)
      for (const id of orphans.leased) {
        // Some were started for slots that became free quickly while the short jobs ran, and given back when none did.
        expect(await eventsOf(reader, id)).toMatch(/^enqueue (lease start release )?lease expire lease start succeed$/)
        expect((await reader.find(id))?.attempt).toBe(1)
      }
      for (const id of orphans.running) {
        expect(await eventsOf(reader, id)).toBe('enqueue lease start expire due lease start succeed')
        expect((await reader.find(id))?.attempt).toBe(1)
        const expiry = (await reader.history(id)).find(({ event }) => event === 'expire')
        expect(expiry?.error?.message).toBe('the process ended while it ran; 9 others ran beside it at that moment')
      }
      await assertWitnessed(reader, database)
      await endWith(second, reader)
    },
  )

  const one = { poison: 1, innocents: 9, ms: 500, crashes: 4 }
  const two = { poison: 2, innocents: 40, ms: 50, crashes: 8 }
  test.each(shareOf({ share: [], whole: [one, two] }))(
    'again and again by $poison of its jobs harms no job that ran beside them',
    async ({ poison, innocents, ms, crashes: crashesMax }) => {
      const database = join(folder, `poison-${poison}.db`)
      const reader = await createJobSystem({ database })
      const many = (count: number, job: object) => Array.from({ length: count }, () => ({ maxRetries: 0, ...job }))
      const jobs = [
        ...many(innocents / 2, { type: 'sleep', payload: { ms } }),
        ...many(poison, { type: 'poison', payload: null }),
        ...many(innocents / 2, { type: 'sleep', payload: { ms } }),
      ]
      await reader.enqueue(jobs as never)

      let crashes = 0
      let child: Child
      for (;;) {
        child = await startChild({ database })
        const ended = await Promise.race([child.exited, untilFinished(reader, jobs.length)])
        if (!ended) break
        expect(ended.signal).toBe('SIGKILL')
        expect(++crashes).toBeLessThanOrEqual(crashesMax)
      }

      expect(await reader.counts()).toMatchObject({ dead: poison, succeeded: jobs.length - poison })
      for (const { type, attempt, crashes, error } of (await reader.list({ state: 'dead' })).jobs) {
        expect([type, attempt, crashes]).toEqual(['poison', 0, 4])
        expect(error?.message).toMatch(/, for the fourth time; it ran alone, so it counts as the cause/)
      }
      await assertWitnessed(reader, database)
      await endWith(child, reader)
    },
  )

  const exit = ['exit', { code: 0, signal: null }] as const
  const abort = ['abort', { code: null, signal: 'SIGABRT' }] as const
  test.each(shareOf({ share: [], whole: [exit, abort] }))(
    'by its handler with process.%s is recovered like any other crash',
    async (type, end) => {
      const database = join(folder, `${type}.db`)
      const reader = await createJobSystem({ database })
      const [last, beside] = await reader.enqueue([
        { type, payload: null, maxRetries: 0 },
        { type: 'sleep', payload: { ms: 50 } },
      ])

      for (let crashes = 0; crashes < 4; crashes++) {
        const child = await startChild({ database, quiet: true })
        expect(await child.exited).toEqual(end)
      }
      const after = await startChild({ database })
      await untilFinished(reader, 2)

      expect(await reader.find(last!.id)).toMatchObject({
        state: 'dead',
        error: { name: 'ProcessEndedError' },
        crashes: 4,
      })
      expect(await reader.find(beside!.id)).toMatchObject({ state: 'succeeded' })
      await assertWitnessed(reader, database)
      await endWith(after, reader)
    },
  )

  test('at any instant of a burst loses no acknowledged job', async () => {
    const database = join(folder, 'burst.db')
    const settings = { workers: 20 }
    for (let round = 0; round < burstsKilled; round++) {
      const child = await startChild({ database, settings })
      const calls = Array.from({ length: 200 }, () =>
        child.enqueue(Array.from({ length: 5 }, () => ({ type: 'quick', payload: null }))),
      )
      for (const call of calls) call.catch(() => {})
      await calls[20 * (round + 1)]
      child.kill('SIGKILL')
      await child.exited
    }
    const acknowledged = witnessed(database).flatMap(({ what, ids }) => (what === 'acknowledged' ? ids : []))

    const last = await startChild({ database, settings })
    const reader = await createJobSystem({ database })
    await until(async () => {
      const { queued, leased, running, retrying } = await reader.counts()
      return queued + leased + running + retrying === 0
    })

    expect(acknowledged.length).toBeGreaterThan(50 * burstsKilled * (burstsKilled + 1))
    for (const id of acknowledged) expect((await reader.find(id))?.state).toBe('succeeded')
    await assertWitnessed(reader, database)
    await endWith(last, reader)
  })
})

describe.concurrent('a process told to end', () => {
  // In the share, test/main.test.ts covers it.
  test.runIf(isWhole)('lets running jobs finish and exits 0', async () => {
    const database = join(folder, 'finishing.db')
    const child = await startChild({ database })
    await child.enqueue([{ type: 'sleep', payload: { ms: 300 } }])
    await until(() => started(database).length === 1)

    child.kill('SIGTERM')

    expect(await child.exited).toEqual({ code: 0, signal: null })
    expect(await stateOf(database, 1)).toEqual(['succeeded', 1, 'enqueue lease start succeed'])
  })

  test.each(
    shareOf({ share: [['polite', 'stuck']], whole: [['polite', 'stuck'], ['polite'], ['stuck']] }).map((types) => ({
      types,
    })),
  )(
    'gives back jobs, whether or not they stop when told to, when its grace ends, and exits 0: $types',
    async ({ types }) => {
      const database = join(folder, `grace-${types.join('-')}.db`)
      const child = await startChild({ database, graceMs: 50 })
      const jobs = await child.enqueue(types.map((type) => ({ type, payload: null, maxRetries: 0 })))
      await until(() => started(database).length === types.length)

      child.kill('SIGTERM')

      // Each of these two jobs ends long after the test, or never.
      expect(await child.exited).toEqual({ code: 0, signal: null })
      for (const { id } of jobs)
        expect(await stateOf(database, id)).toEqual(['queued', 0, 'enqueue lease start release'])
    },
  )
})

async function stateOf(database: string, id: number): Promise<[state: unknown, attempt: unknown, events: string]> {
  const reader = await createJobSystem({ database })
  const job = await reader.find(id)
  const events = await eventsOf(reader, id)
  await reader.stop()
  return [job?.state, job?.attempt, events]
}
