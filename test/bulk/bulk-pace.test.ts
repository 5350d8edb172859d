import { describe, expect, test } from 'vitest'
import { BulkPace, readyPatienceMs } from '../../src/bulk/bulk-pace.ts'
import { bulkReadyMax, bulkStepMax, bulkStepMin } from '../../src/config.ts'

/** A pace whose time passes only where a test says, and the numbers of ready jobs that it finds, the last for ever. */
function aPace(...ready: number[]) {
  const time = { at: 0, waited: 0 }
  const pace = new BulkPace({
    countReady: async () => (ready.length > 1 ? ready.shift() : ready[0]) ?? 0,
    elapsed: () => time.at,
    async wait(ms) {
      time.at += ms
      time.waited += ms
    },
  })
  /** A step that takes so long. */
  const step = (ms: number) =>
    pace.step(async () => {
      time.at += ms
    })
  return { pace, step, time }
}

describe('a step of a command over many jobs', () => {
  test('grows while steps are quick, to 500 jobs, and shrinks where they meet others, to 100', async () => {
    const { pace, step } = aPace()
    const sizes = [pace.jobsMax]

    for (const ms of [1, 1, 1, 1, 7, 30, 30, 30, 1]) {
      await step(ms)
      sizes.push(pace.jobsMax)
    }

    expect(sizes).toEqual([100, 200, 400, 500, 500, 500, 250, 125, 100, 200])
    expect([bulkStepMin, bulkStepMax]).toEqual([100, 500])
  })

  test('that queues jobs waits until few are ready', async () => {
    const { pace, time } = aPace(9_000, 900, bulkReadyMax)

    await pace.untilFewAreReady(() => true)

    expect(time.waited).toBe(20)
  })

  test('waits for a second at most, where nobody runs what is ready', async () => {
    const { pace, time } = aPace(9_000)

    await pace.untilFewAreReady(() => true)

    expect(time.waited).toBe(readyPatienceMs)
  })

  test('waits no longer once it is stopped', async () => {
    const { pace, time } = aPace(9_000)

    await pace.untilFewAreReady(() => time.at < 50)

    expect(time.waited).toBe(50)
  })
})
