import { afterEach, expect, test, vi } from 'vitest'
import { LoopBeat } from '../../src/persistence/loop-beat.ts'
import { Heartbeat } from '../../src/persistence/watchdog.ts'
import { timers } from '../../src/runtime/timers.ts'

afterEach(() => void vi.restoreAllMocks())

/** A beat whose timers fire when `beat` is called, and a clock that stands still. */
function aBeat() {
  let now = 1_000
  let longestMs = 0
  const pauses: number[] = []
  const stalls: number[] = []
  let fire = () => {}
  vi.spyOn(performance, 'now').mockImplementation(() => now)
  vi.spyOn(timers, 'setTimeout').mockImplementation(((run: () => void, ms: number) => {
    pauses.push(ms)
    fire = run
    return { unref() {} }
  }) as never)
  const heartbeat = new Heartbeat()
  const loopBeat = new LoopBeat(
    heartbeat,
    () => longestMs,
    (ms) => stalls.push(ms),
  )
  return {
    loopBeat,
    heartbeat,
    pauses,
    stalls,
    run: (timeoutMs: number) => {
      longestMs = timeoutMs
    },
    /** The next beat, which is due, or so much later. */
    beat(lateMs = 0) {
      now += pauses.at(-1)! + lateMs
      fire()
    },
    pass: (ms: number) => {
      now += ms
    },
  }
}

test('the loop beats ten times a second while an attempt runs, and once a second while none does', () => {
  const { pauses, run, beat } = aBeat()
  run(5_000)
  beat()
  beat()
  run(0)
  beat()
  beat()
  beat()

  expect(pauses).toEqual([100, 100, 100, 100, 1_000, 1_000])
})

test('an attempt that begins makes it beat at once, with the timeout that the watchdog must allow', () => {
  const { loopBeat, heartbeat, pauses, beat } = aBeat()
  beat()
  beat()
  const { beats } = heartbeat
  loopBeat.letLive(7_000)
  loopBeat.letLive(3_000)

  expect(heartbeat.beats).toBe(beats + 1)
  expect(heartbeat.longestTimeoutMs).toBe(7_000)
  expect(pauses.at(-1)).toBe(100)
})

test('a pause that was meant is no stall, and a longer one is as long as it was late', () => {
  const { loopBeat, stalls, beat, pass } = aBeat()
  beat()
  beat(700)
  beat(5_000)
  pass(1_400)

  expect(stalls).toEqual([5_000])
  expect(loopBeat.stalls.loopMs()).toBe(5_700)
})
