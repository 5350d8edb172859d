import { describe, expect, test } from 'vitest'
import { BulkThrottle } from '../../../src/engine/bulk/bulk-throttle.ts'

/** How long a step waits for other work, which may still arrive. */
const otherWorkMs = 1_000

/** A pace whose time passes only when the test says so. Each look asks how many jobs wait; `n` counts the looks from 1. */
function aThrottle(look: (n: number) => { ready: number; arrived: number }) {
  const time = { at: 0, waited: 0 }
  let looks = 0
  const throttle = new BulkThrottle({
    look: async () => look(++looks),
    elapsed: () => time.at,
    async wait(ms) {
      time.at += ms
      time.waited += ms
    },
  })
  /** A step that takes this long. */
  const step = (ms: number) =>
    throttle.step(async () => {
      time.at += ms
    })
  return { throttle, step, time, next: (goesOn = () => true) => throttle.untilNext('requeue', goesOn) }
}

/** With each look one more job has arrived, and this many are ready. */
const busy = (ready: number) => (n: number) => ({ ready, arrived: n })
/** Every ready job was requeued, or has been ready for long. */
const quiet = (ready: number) => () => ({ ready, arrived: 7 })

describe('a step of a bulk action, while other work arrives,', () => {
  test('grows to 500 jobs while steps are quick, and shrinks to 100 when others have to wait', async () => {
    const { throttle, step, next } = aThrottle(busy(0))
    const sizes = [throttle.jobsMax]

    for (const ms of [1, 1, 1, 1, 7, 30, 30, 30, 1]) {
      await next()
      await step(ms)
      sizes.push(throttle.jobsMax)
    }

    expect(sizes).toEqual([100, 200, 400, 500, 500, 500, 250, 125, 100, 200])
  })

  test('waits until few jobs are ready if it queues jobs', async () => {
    const { time, next } = aThrottle((n) => ({ ready: [9_000, 900, 250][n - 1]!, arrived: n }))

    await next()

    expect(time.waited).toBe(20)
  })

  test('waits for a second at most if nobody runs the ready jobs', async () => {
    const { time, next } = aThrottle(busy(9_000))

    await next()

    expect(time.waited).toBe(otherWorkMs)
  })

  test('stops waiting once the action is stopped', async () => {
    const { time, next } = aThrottle(busy(9_000))

    await next(() => time.at < 50)

    expect(time.waited).toBe(50)
  })

  test('does not wait for ready jobs if it queues none', async () => {
    const { time, throttle } = aThrottle(busy(9_000))

    await throttle.untilNext('cancel', () => true)

    expect(time.waited).toBe(0)
  })

  test('leaves half of the time to others', async () => {
    const { throttle, next } = aThrottle(busy(0))

    await next()

    expect([1, 30, 500].map((ms) => throttle.restMs(ms))).toEqual([1, 30, 100])
  })
})

describe('while no other work arrives a bulk action', () => {
  test('does not wait, even if nobody runs what it queued', async () => {
    const { throttle, step, time, next } = aThrottle(quiet(9_000))
    let moved = 0

    for (let steps = 0; steps < 400; steps++) {
      await next()
      moved += throttle.jobsMax
      await step(30)
    }

    expect(time.waited).toBeLessThanOrEqual(otherWorkMs)
    expect(moved).toBeGreaterThan(400 * 450)
  })

  test('leaves a quarter of the time to other processes', async () => {
    const { throttle, time, next } = aThrottle(quiet(0))

    await next()
    time.at += otherWorkMs
    await next()

    expect(throttle.restMs(30)).toBe(10)
  })

  test('slows down for a second after a job arrives', async () => {
    let arrived = 7
    const { throttle, time, next } = aThrottle(() => ({ ready: 9_000, arrived }))
    await next()
    const waited: number[] = []
    const look = async () => {
      const before = time.waited
      await next()
      waited.push(time.waited - before)
    }

    await look()
    arrived++
    await look()
    await look()

    expect(waited).toEqual([0, otherWorkMs, 0])
    expect(throttle.restMs(30)).toBe(10)
  })
})
