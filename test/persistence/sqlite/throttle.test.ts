import { describe, expect, test } from 'vitest'
import { HeldLeases } from '../../../src/persistence/sqlite/thread/held-leases.ts'
import { Maintenance } from '../../../src/persistence/sqlite/thread/maintenance.ts'
import { Throttle } from '../../../src/persistence/sqlite/thread/throttle.ts'
import { aJob, startAt } from '../../support/store.ts'
import { leasesOf, newCalls, openWriter, setsOf } from '../../support/writer.ts'

/** How long a step takes in ms, and for how many times as long it rests then: while nobody else uses the store, and while others do. */
const idleEffort = { stepMs: 5, rests: 1 }
const sharedEffort = { stepMs: 2, rests: 3 }

/** A clock that advances by that much each time it is read: the cost of each job in a step. */
function aClock(costMs = 0) {
  const clock = { at: 0, costMs, now: () => startAt + clock.at, monotonic: () => (clock.at += clock.costMs) }
  return clock
}

describe.each([
  ['alone', false, idleEffort],
  ['beside others', true, sharedEffort],
])('a step of maintenance %s', (_, contended, { stepMs, rests }) => {
  test('ends when its time is over, and rests in proportion to it', () => {
    const clock = aClock()
    const pace = new Throttle(clock)
    let jobs = 0

    pace.step(contended, (goOn) => {
      for (; goOn(); jobs++) clock.at += 0.5
    })
    pace.rest()
    const isDueAt = (ms: number) => {
      clock.at = stepMs + ms
      return pace.isDue
    }

    expect(jobs).toBe(stepMs / 0.5)
    expect([isDueAt(rests * stepMs - 0.1), isDueAt(rests * stepMs)]).toEqual([false, true])
  })

  test('that was delayed by one job rests for longer', () => {
    const clock = aClock()
    const pace = new Throttle(clock)

    pace.step(contended, () => {
      clock.at += 300
    })
    pace.rest()

    expect(pace.nextAt).toBe(300 + rests * 300)
  })
})

/** A file and its maintenance, which takes `costMs` each time that it checks whether it may continue. */
function aHouse(costMs: number, retentionMs: number) {
  const { db, commit } = openWriter({ retentionMs, maxQueueDepth: 1_000_000 })
  const clock = aClock()
  const count = (where: string) => db.prepare(`SELECT count(*) FROM jobs WHERE ${where}`).pluck().get() as number
  const store = (job = aJob(), jobs = 3_000) =>
    commit((writer) => writer.enqueue(newCalls(Array.from({ length: jobs }, () => job)), startAt))
  const maintenance = commit(
    (writer) => new Maintenance(writer, new HeldLeases(), { leaseMs: 30_000, retentionMs }, clock, () => {}),
  )
  /** One transaction with everything that maintenance has to do now. */
  const turn = (contended: boolean, asked = false) => {
    const parts = maintenance.parts(clock.now(), asked, contended)
    clock.costMs = costMs
    const results = commit(() => parts.map((part) => part.run(clock.now())))
    clock.costMs = 0
    for (const [index, part] of parts.entries()) part.done(results[index] as never)
  }
  return { clock, commit, count, store, maintenance, turn }
}

describe('maintenance beside others', () => {
  test('removes ended jobs in short steps, at most a quarter of the time, and all of them in the end', () => {
    const { clock, commit, count, store, maintenance, turn } = aHouse(0.25, 1)
    store()
    commit((writer) => {
      const { jobs } = writer.lease([{ limit: 3_000, start: true }], startAt)
      writer.apply(setsOf('succeed', leasesOf(jobs)), startAt)
    })
    store(aJob(), 1)
    maintenance.parts(clock.now(), false, true)
    clock.at += 10_000
    const steps: { removed: number; tookMs: number; restedMs: number }[] = []

    while (count(`state = 'succeeded'`) > 0) {
      const [left, beganAt] = [count(`state = 'succeeded'`), clock.at]
      turn(true)
      const tookMs = clock.at - beganAt
      const restedMs = maintenance.sleepMs(clock.now())
      steps.push({ removed: left - count(`state = 'succeeded'`), tookMs, restedMs })
      clock.at += restedMs
    }

    const full = steps.slice(0, -1)
    // The other parts of a turn look at the time six times.
    const ofOthers = 6 * 0.25
    // It looks at the time after pieces of 1, 2, 4 … 64, and then 100 jobs.
    const pieces = sharedEffort.stepMs / 0.25 + 1
    expect(Math.max(...steps.map(({ removed }) => removed))).toBeLessThanOrEqual(127 + (pieces - 7) * 100)
    for (const { tookMs, restedMs } of full) {
      expect(tookMs).toBeLessThanOrEqual(sharedEffort.stepMs + ofOthers)
      expect(restedMs / (tookMs - ofOthers)).toBeGreaterThan(sharedEffort.rests * 0.8)
    }
    // If a piece takes 0.25 ms: 20,000 a second and more.
    const perMs = (sum: number, { tookMs, restedMs }: (typeof steps)[number]) => sum + tookMs + restedMs
    expect(full.reduce((sum, { removed }) => sum + removed, 0) / full.reduce(perMs, 0)).toBeGreaterThan(20)
  })

  test('queues due jobs in short steps, with gaps between them', () => {
    // It looks at the time once in a hundred jobs.
    const { clock, count, store, maintenance, turn } = aHouse(1, 0)
    store(aJob({ delayMs: 1_000 }))
    clock.at += 1_000
    maintenance.lookForDue()
    const left: number[] = []
    const gaps: number[] = []

    for (let turns = 0; turns < 100 && count(`state = 'scheduled'`) > 0; turns++) {
      turn(true)
      left.push(count(`state = 'scheduled'`))
      const gap = maintenance.sleepMs(clock.now())
      if (left.at(-1)! > 0) gaps.push(gap)
      clock.at += gap
    }

    expect(left[0]).toBeLessThan(3_000)
    expect(left[0]).toBeGreaterThanOrEqual(2_000)
    expect(left.at(-1)).toBe(0)
    expect(Math.min(...gaps)).toBeGreaterThan(1)
  })
})
