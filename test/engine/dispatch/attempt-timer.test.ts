import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { AttemptTimer } from '../../../src/engine/dispatch/attempt-timer.ts'
import { timers } from '../../../src/runtime/timers.ts'
import { useFakeTimers, useRealTimers } from '../../support/fake-timers.ts'

/** How long a late timer lets the loop read what has arrived meanwhile. */
const settleMs = 500

beforeEach(() => useFakeTimers())
afterEach(() => useRealTimers())

/** A timer of 10 s that has just begun, and the standstills that its process has seen so far. */
function aTimer() {
  const seen = { loopMs: 1_000, threadMs: 700 }
  const fired: number[] = []
  const standstill = { loopMs: () => seen.loopMs, threadMs: () => seen.threadMs }
  const timer = new AttemptTimer(10_000, standstill, timers, (stoodStillMs) => fired.push(stoodStillMs))
  return {
    timer,
    fired,
    pass: (ms: number) => vi.advanceTimersByTime(ms),
    /** The process does not run for this long; both threads notice. */
    stop(ms: number) {
      seen.loopMs += ms
      seen.threadMs += ms + 100
    },
    block(ms: number) {
      seen.loopMs += ms
    },
  }
}

describe('the timer of an attempt', () => {
  test('fires once when its time is over, whatever stopped the process before it began', () => {
    const { fired, pass } = aTimer()

    pass(9_999)
    const before = [...fired]
    pass(1)
    pass(86_400_000)

    expect(before).toEqual([])
    expect(fired).toEqual([0])
  })

  test('fires later by the time in which the process did not run, however often it stopped', () => {
    const { fired, pass, stop } = aTimer()
    pass(2_000)
    stop(3_000)
    pass(2_000)
    stop(60_000)

    // It fires when the clock that went on says that 10 s have passed, gives the loop a moment, and waits for the rest.
    pass(6_000 + settleMs + 63_000 + settleMs - 1)
    const before = [...fired]
    pass(1)

    expect(before).toEqual([])
    expect(fired).toEqual([63_000])
  })

  test('extends again for a stop that comes while it makes up for an earlier one', () => {
    const { fired, pass, stop } = aTimer()
    stop(5_000)
    pass(10_000 + settleMs)
    stop(2_000)

    pass(5_000 + settleMs + 2_000 + settleMs - 1)
    const before = [...fired]
    pass(1)

    expect(before).toEqual([])
    expect(fired).toEqual([7_000])
  })

  test('lets a blocked loop read what has arrived before it fires, and reports the blocked time', () => {
    const { fired, pass, block } = aTimer()
    block(12_000)

    pass(10_000 + settleMs - 1)
    const before = [...fired]
    pass(1)

    expect(before).toEqual([])
    expect(fired).toEqual([12_000])
  })

  test('fires even if a handler blocks the loop again and again, and yields in between', () => {
    const { fired, pass, block } = aTimer()
    for (let second = 0; second < 20 && fired.length === 0; second++) {
      block(900)
      pass(1_000)
    }

    expect(fired).toHaveLength(1)
  })

  test('never fires once it is cleared, even while it waits a second time', () => {
    const { timer, fired, pass, stop } = aTimer()
    stop(1_000)
    pass(10_000 + 1)
    timer.clear()
    pass(86_400_000)

    expect(fired).toEqual([])
  })
})
