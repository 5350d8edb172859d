import { describe, expect, test, vi } from 'vitest'
import { beatMs, Heartbeat, stallMs, Watchdog } from '../../src/persistence/watchdog.ts'

/** See `graceMs` in src/persistence/watchdog.ts. */
const graceMs = 10_000
/** Some time after the process started: the first look must not be at zero. */
const startAt = 1_000_000

/** A watchdog that has looked once, at `startAt`, right after a beat of a loop that runs attempts of up to `longestTimeoutMs`. */
function watched(longestTimeoutMs: number) {
  const heartbeat = new Heartbeat()
  const watchdog = new Watchdog(heartbeat)
  let at = startAt
  heartbeat.beat(longestTimeoutMs)
  watchdog.look(at)
  return {
    heartbeat,
    /** Looks every `beatMs` for `ms`; returns what the looks reported about a blocked loop. */
    watch(ms: number): number[] {
      const told: number[] = []
      for (const until = at + ms; at < until; ) {
        at += beatMs
        const stillMs = watchdog.look(at)
        if (stillMs !== null) told.push(stillMs)
      }
      return told
    },
    /** One look, `ms` after the previous one. */
    lookAfter(ms: number): number | null {
      at += ms
      return watchdog.look(at)
    },
  }
}

describe('a loop that stands still', () => {
  test('is not considered hung until the longest timeout and a grace have passed', () => {
    const { watch } = watched(5_000)

    expect(watch(5_000 + graceMs)).toEqual([])
  })

  test('is considered hung at the first check after that, which reports how long it stood still', () => {
    const { watch } = watched(5_000)
    watch(5_000 + graceMs)

    expect(watch(beatMs)).toEqual([5_000 + graceMs + beatMs])
  })

  test('gets only the grace if nothing runs', () => {
    const { watch } = watched(0)

    expect(watch(graceMs)).toEqual([])
    expect(watch(beatMs)).toHaveLength(1)
  })

  test('is not considered hung while it finally beats again, by a check between any two writes of that beat', () => {
    const { heartbeat, watch, lookAfter } = watched(60_000)
    const before = watch(20_000)
    const between: (number | null)[] = []
    for (const name of ['store', 'add'] as const) {
      const real = Atomics[name].bind(Atomics) as (...given: unknown[]) => number
      vi.spyOn(Atomics as Record<typeof name, (...given: unknown[]) => number>, name).mockImplementation((...given) => {
        between.push(lookAfter(1))
        const result = real(...given)
        between.push(lookAfter(1))
        return result
      })
    }

    heartbeat.beat(0)
    vi.restoreAllMocks()

    expect([before, between]).toEqual([[], [null, null, null, null]])
  })

  test('is not considered hung if it beats again during a check', () => {
    let beatsInLook = false
    class Racing extends Heartbeat {
      override get beats(): number {
        const beats = super.beats
        if (beatsInLook) this.beat(0)
        return beats
      }
    }
    const heartbeat = new Racing()
    const watchdog = new Watchdog(heartbeat)
    heartbeat.beat(60_000)
    for (let at = startAt; at < startAt + 20_000; at += beatMs) watchdog.look(at)

    beatsInLook = true

    expect(watchdog.look(startAt + 20_000)).toBeNull()
  })

  test('gets a timeout that was raised after its last beat', () => {
    const { heartbeat, watch } = watched(0)
    heartbeat.raiseTimeout(60_000)

    expect(watch(60_000 + graceMs)).toEqual([])
    expect(watch(beatMs)).toHaveLength(1)
  })

  test('keeps a longer timeout than the one it is raised to', () => {
    const { heartbeat, watch } = watched(60_000)
    heartbeat.raiseTimeout(1_000)

    expect(watch(60_000 + graceMs)).toEqual([])
  })

  test('starts a new count with a beat', () => {
    const { heartbeat, watch } = watched(0)
    watch(graceMs)
    heartbeat.beat(0)

    expect(watch(beatMs + graceMs)).toEqual([])
    expect(watch(beatMs)).toHaveLength(1)
  })

  test('gets the shorter timeout of a later beat', () => {
    const { heartbeat, watch } = watched(60_000)
    heartbeat.beat(0)

    expect(watch(2 * beatMs + graceMs)).toHaveLength(1)
  })
})

describe('while nothing runs', () => {
  test('a loop that announced a longer pause gets that in addition', () => {
    const { heartbeat, watch } = watched(0)
    heartbeat.beat(0, 1_000)
    watch(beatMs)

    expect(watch(graceMs + 900)).toEqual([])
    expect(watch(beatMs)).toHaveLength(1)
  })

  test('a check after the pause that was meant is not late, and finds a blocked loop', () => {
    const heartbeat = new Heartbeat()
    const watchdog = new Watchdog(heartbeat)
    const told: (number | null)[] = []
    for (let at = startAt; at <= startAt + graceMs + 1_000; at += 1_000) told.push(watchdog.look(at, 1_000))

    expect(told).toEqual([...Array(11).fill(null), graceMs + 1_000])
    expect(heartbeat.threadStalledMs).toBe(0)
  })
})

describe('a watchdog that was delayed itself', () => {
  test('concludes nothing from one late check, however late', () => {
    const { lookAfter } = watched(0)

    expect(lookAfter(86_400_000)).toBeNull()
  })

  test('concludes nothing from being stopped again and again', () => {
    const { lookAfter } = watched(0)

    const told = Array.from({ length: 100 }, () => lookAfter(60_000))

    expect(told.filter((stillMs) => stillMs !== null)).toEqual([])
  })

  test('counts the time before and after, without the time between', () => {
    const { watch, lookAfter } = watched(0)
    watch(graceMs / 2)
    lookAfter(3_600_000)

    expect(watch(graceMs / 2)).toEqual([])
    expect(watch(beatMs)).toEqual([graceMs + beatMs])
  })

  test('is not misled by the very first check', () => {
    const watchdog = new Watchdog(new Heartbeat())

    expect(watchdog.look(startAt)).toBeNull()
  })
})

test('a loop that beats is never considered hung, however long it lives', () => {
  const { heartbeat, watch } = watched(0)

  for (let beats = 0; beats < 1_000; beats++) {
    expect(watch(beatMs)).toEqual([])
    heartbeat.beat(0)
  }
})

test('the count of beats may overflow', () => {
  const { heartbeat, watch } = watched(0)
  heartbeat.memory[0] = 2 ** 31 - 2

  for (let beats = 0; beats < 4; beats++) {
    heartbeat.beat(0)
    expect(watch(graceMs)).toEqual([])
  }
})

describe('a standstill', () => {
  test('of the thread is the time between two late checks, but not a pause of a usual length', () => {
    const { heartbeat, watch, lookAfter } = watched(0)

    watch(5_000)
    lookAfter(500)
    const usual = heartbeat.threadStalledMs
    lookAfter(501)
    lookAfter(30_000)

    expect([usual, heartbeat.threadStalledMs]).toEqual([0, 30_501])
  })

  test('of the loop is how late a beat is, if that is longer than usual', () => {
    expect([beatMs, 600, 601, 30_000].map(stallMs)).toEqual([0, 0, 501, 29_900])
  })

  test('counts for at most a day, so that the count cannot overflow', () => {
    const { heartbeat, lookAfter } = watched(0)

    lookAfter(2 ** 33)

    expect([heartbeat.threadStalledMs, stallMs(2 ** 33)]).toEqual([86_400_000, 86_400_000])
  })
})
