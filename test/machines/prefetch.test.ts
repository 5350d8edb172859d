import { describe, expect, test } from 'vitest'
import { rateMs } from '../../src/machines/prefetch.ts'
import type { Assigned } from '../../src/machines/slots.ts'
import { partOf } from '../support/dispatcher.ts'
import {
  aLeasedJob,
  answer,
  aPrefetch,
  assign,
  atPace,
  event,
  giveUp,
  ids,
  jobs,
  roomOf,
  roomsOf,
  running,
  settle,
  startedAhead,
  stuckIn,
  sumOf,
} from '../support/prefetch.ts'

describe('a request for jobs', () => {
  test('is made once: one free slot is one job', () => {
    const { prefetch } = aPrefetch([1, 1, 1])

    expect([roomOf(prefetch), roomOf(prefetch)]).toEqual([3, 0])
  })

  test('that got nothing is made again', () => {
    const { prefetch } = aPrefetch([1, 1, 1])

    answer(prefetch, [])

    expect(roomOf(prefetch)).toBe(3)
  })

  test('that was answered in part is made again for the rest', () => {
    const { prefetch } = aPrefetch([4])

    running(prefetch, jobs(1))

    expect([roomOf(prefetch), roomOf(prefetch)]).toEqual([3, 0])
  })

  test('is not made if every slot has a job', () => {
    const { prefetch } = aPrefetch([2])
    running(prefetch, jobs(2))

    expect(roomOf(prefetch)).toBe(0)
  })

  test('is made again for each slot that becomes free, in addition to earlier requests', () => {
    const { prefetch } = aPrefetch([3])
    const [first, second] = running(prefetch, jobs(3))

    settle(prefetch, first!, 'succeed')
    const one = roomOf(prefetch)
    settle(prefetch, second!, 'succeed')

    expect([one, roomOf(prefetch), roomOf(prefetch)]).toEqual([1, 1, 0])
  })

  test('is not made after leasing has stopped', () => {
    const { prefetch } = aPrefetch([4])

    prefetch.stopLeasing()

    expect(roomOf(prefetch)).toBe(0)
  })
})

describe('jobs that the store has leased and started', () => {
  test('run at once, each on a worker that has a slot for it', () => {
    const { slots, prefetch } = aPrefetch([2, 1])

    const begun = running(prefetch, jobs(3))

    expect(begun.map(({ job, phase }) => [job.id, phase])).toEqual([
      [1, 'running'],
      [2, 'running'],
      [3, 'running'],
    ])
    expect(begun.map(({ worker }) => worker).sort()).toEqual([0, 0, 1])
    expect(slots.running()).toEqual(begun)
  })

  test('need no further commit', () => {
    const { prefetch } = aPrefetch([1])

    running(prefetch, jobs(1))

    expect(prefetch.takeCommit()).toBeNull()
  })
})

describe('prefetched jobs', () => {
  test('are requested with outcomes, a tenth of the slots that become free in 100 ms', () => {
    const { slots, prefetch } = aPrefetch([4])
    const last = atPace({ slots, prefetch }, 20)
    const besideNone = roomsOf(prefetch)

    settle(prefetch, last, 'succeed')

    expect([besideNone, roomsOf(prefetch)]).toEqual([[], [{ limit: 1 + 2, wait: false }]])
  })

  test('are at most as many as there are slots, in parts of half of them', () => {
    const { slots, prefetch } = aPrefetch([4])

    settle(prefetch, atPace({ slots, prefetch }, 400), 'succeed')

    expect(roomsOf(prefetch)).toEqual([
      { limit: 4, wait: false },
      { limit: 1, wait: false },
    ])
  })

  test('are as many as a store wants whose calls are dear, also if there are few slots', () => {
    const { slots, prefetch } = aPrefetch([4], { withinMs: 20, mostAtLeast: 100 })

    settle(prefetch, atPace({ slots, prefetch }, 400), 'succeed')
    const within20Ms = roomsOf(prefetch)

    expect(within20Ms).toEqual([
      { limit: 42, wait: false },
      { limit: 39, wait: false },
    ])
  })

  test('are at most that many, if slots become free more quickly', () => {
    const { slots, prefetch } = aPrefetch([4], { withinMs: 20, mostAtLeast: 100 })

    settle(prefetch, atPace({ slots, prefetch }, 4_000), 'succeed')

    expect(roomOf(prefetch)).toBe(1 + 100)
  })

  test('are not requested if slots rarely become free', () => {
    const { slots, prefetch } = aPrefetch([4])

    settle(prefetch, atPace({ slots, prefetch }, 8), 'succeed')

    expect(roomOf(prefetch)).toBe(1)
  })

  test('are not requested if the store had fewer jobs than requested, and the request waits', () => {
    const { slots, prefetch } = aPrefetch([4])
    const last = atPace({ slots, prefetch }, 400)
    settle(prefetch, last, 'succeed')
    const [most, rest] = roomsOf(prefetch)
    prefetch.started(most!.limit, jobs(1))
    prefetch.started(rest!.limit, [])
    const [next] = assign(prefetch)

    settle(prefetch, next!, 'succeed')

    expect(roomsOf(prefetch)).toEqual([{ limit: 1, wait: true }])
  })

  test('run one after another as slots become free, and no others are requested for these slots', () => {
    const { prefetch } = aPrefetch([1])
    const [a] = startedAhead(prefetch, 3)

    settle(prefetch, a!, 'succeed')
    const rooms = roomsOf(prefetch)
    const [b] = assign(prefetch)
    settle(prefetch, b!, 'succeed')
    const [c] = assign(prefetch)

    expect([a, b, c].map((each) => each!.job.id)).toEqual([1, 2, 3])
    expect(rooms).toEqual([])
  })

  // Otherwise that request would go on waiting, and would start a job behind a long one as soon as there is one.
  test('serve a slot that becomes free while they are requested: no other job is requested for it', () => {
    const { slots, prefetch } = aPrefetch([1])
    settle(prefetch, atPace({ slots, prefetch }, 10), 'succeed')
    const [first, ahead] = roomsOf(prefetch)
    prefetch.started(first!.limit, jobs(1))
    const [a] = assign(prefetch)

    settle(prefetch, a!, 'succeed')
    const [another] = roomsOf(prefetch)
    for (const { limit } of [ahead!, another!]) prefetch.started(limit, [])

    expect([ahead, another].map((each) => each?.wait)).toEqual([false, false])
    expect(roomsOf(prefetch)).toEqual([{ limit: 1, wait: true }])
  })

  test('are given back, the newest first, if fewer slots became free in 100 ms than they need', () => {
    const { prefetch } = aPrefetch([1])
    const [a] = startedAhead(prefetch, 4)
    settle(prefetch, a!, 'succeed')
    assign(prefetch)
    prefetch.takeCommit()

    prefetch.measured(rateMs)
    const onTime = prefetch.takeCommit()
    prefetch.measured(rateMs)

    expect([onTime, prefetch.takeCommit()]).toEqual([[event(4, 'release')], [event(3, 'release')]])
  })

  test('are as few as slots become free in that time, even if the loop measured late', () => {
    const { slots, prefetch } = aPrefetch([4])
    const last = atPace({ slots, prefetch }, 40)
    prefetch.measured(10 * rateMs)

    settle(prefetch, last, 'succeed')

    expect(roomOf(prefetch)).toBe(1)
  })

  test('are given back by a drain', () => {
    const { prefetch } = aPrefetch([1])
    startedAhead(prefetch, 2)

    prefetch.stopLeasing()

    expect(prefetch.takeCommit()).toEqual([event(2, 'release')])
  })

  test('whose lease is lost are not run', () => {
    const { prefetch } = aPrefetch([1])
    const [a] = startedAhead(prefetch, 3)

    const toAbort = prefetch.lost([aLeasedJob(2)])
    settle(prefetch, a!, 'succeed')

    expect([toAbort, ids(assign(prefetch))]).toEqual([[], [3]])
  })

  test('are measured, with the pace, until no slot became free for 100 ms', () => {
    const { prefetch } = aPrefetch([1])
    const atFirst = prefetch.beginMeasuring()
    settle(prefetch, running(prefetch, jobs(1))[0]!, 'succeed')
    const begun = [prefetch.beginMeasuring(), prefetch.beginMeasuring()]
    prefetch.measured(rateMs)
    const another = prefetch.beginMeasuring()
    prefetch.measured(rateMs)

    expect([atFirst, begun, another, prefetch.beginMeasuring()]).toEqual([false, [true, false], true, false])
  })
})

describe('a commit', () => {
  test('is empty if there is nothing to commit', () => {
    expect(aPrefetch([4]).prefetch.takeCommit()).toBeNull()
  })

  test('takes the outcomes at hand, in the order of their arrival, each once', () => {
    const { prefetch } = aPrefetch([2])
    const [a, b] = running(prefetch, jobs(2))
    settle(prefetch, b!, 'fail')
    settle(prefetch, a!, 'succeed')

    const events = prefetch.takeCommit()!
    prefetch.committed()

    expect(events.map(({ id, event }) => [id, event])).toEqual([
      [2, 'fail'],
      [1, 'succeed'],
    ])
    expect(prefetch.takeCommit()).toBeNull()
  })

  test('leaves its outcomes uncommitted until it is on disk, the oldest first', () => {
    const { prefetch } = aPrefetch([3])
    const attempts = running(prefetch, jobs(3))
    const ids = () => prefetch.uncommitted.map(({ id }) => id)

    for (const attempt of attempts.slice(0, 2)) {
      settle(prefetch, attempt, 'succeed')
      prefetch.takeCommit()
    }
    settle(prefetch, attempts[2]!, 'fail')
    const seen = [ids()]
    for (const _ of [1, 2]) {
      prefetch.committed()
      seen.push(ids())
    }

    expect(seen).toEqual([[1, 2, 3], [2, 3], [3]])
  })

  test('names the lease in each of its events', () => {
    const { prefetch } = aPrefetch([1])
    const [a] = running(prefetch, [aLeasedJob(4, 17)])
    settle(prefetch, a!, 'succeed')

    expect(prefetch.takeCommit()).toEqual([{ id: 4, leaseToken: 17, event: 'succeed' }])
  })

  test('is due at once if none is in progress, or from a part of the slots on if one is', () => {
    const part = partOf(12)
    const { prefetch } = aPrefetch([12])
    const begun = running(prefetch, jobs(12))
    const dueAfter = (count: number) => {
      for (const each of begun.splice(0, count)) settle(prefetch, each, 'succeed')
      return prefetch.isDue
    }

    const alone = [dueAfter(0), dueAfter(1)]
    prefetch.takeCommit()
    const beside = [dueAfter(part - 1), dueAfter(1)]
    prefetch.takeCommit()
    const besideTwo = dueAfter(1)
    prefetch.committed()
    const besideOne = prefetch.isDue
    prefetch.committed()

    expect([alone, beside, besideTwo, besideOne, prefetch.isDue]).toEqual([
      [false, true],
      [false, true],
      false,
      false,
      true,
    ])
  })

  test('is due at once if a handler is to be called next', () => {
    const { prefetch } = aPrefetch([12])
    const [a, b, c] = startedAhead(prefetch, 14)
    const dueAfter = (each: Assigned | undefined) => {
      settle(prefetch, each!, 'succeed')
      const { isDue } = prefetch
      prefetch.takeCommit()
      assign(prefetch)
      return isDue
    }

    expect([dueAfter(a), dueAfter(b), dueAfter(c)]).toEqual([true, true, false])
  })

  test('takes what there is at the end of a turn, even while others are in progress', () => {
    const { slots, prefetch } = aPrefetch([12])
    const take = () => {
      settle(prefetch, slots.running()[0]!, 'succeed')
      return prefetch.takeCommit()?.length
    }
    running(prefetch, jobs(12))

    expect([take(), take(), take()]).toEqual([1, 1, 1])
  })

  test('is not due at once if outcomes are already being gathered', () => {
    const { prefetch } = aPrefetch([12])
    const [a] = running(prefetch, jobs(12))
    prefetch.beginGathering()

    settle(prefetch, a!, 'succeed')

    expect(prefetch.isDue).toBe(false)
  })

  test('is worthwhile from half of the slots on, rounded up', () => {
    expect([1, 4, 5, 8, 9, 100].map(partOf)).toEqual([1, 2, 3, 4, 5, 50])
  })
})

describe('outcomes', () => {
  test('start to be gathered once a turn', () => {
    const { prefetch } = aPrefetch([2])

    expect([prefetch.beginGathering(), prefetch.beginGathering()]).toEqual([true, false])

    prefetch.takeCommit()
    expect(prefetch.beginGathering()).toBe(true)
  })

  test('of a lost lease do not count, but the slot is free', () => {
    const { slots, prefetch } = aPrefetch([1])
    const [a] = running(prefetch, jobs(1))

    settle(prefetch, a!, null)

    expect([prefetch.takeCommit(), slots.activeCount, roomOf(prefetch)]).toEqual([null, 0, 1])
  })
})

describe('a lost lease', () => {
  test('is aborted and holds its slot until it ends', () => {
    const { prefetch } = aPrefetch([1])
    const [a] = running(prefetch, jobs(1))

    const toAbort = prefetch.lost([a!.job])
    const limit = roomOf(prefetch)
    settle(prefetch, a!, null)

    expect(toAbort).toEqual([a])
    expect([limit, roomOf(prefetch)]).toEqual([0, 1])
  })

  test('of an earlier attempt does not affect the job', () => {
    const { slots, prefetch } = aPrefetch([2])
    const [a] = running(prefetch, [aLeasedJob(1, 9)])

    expect(
      prefetch.lost([
        { id: 1, leaseToken: 5 },
        { id: 9, leaseToken: 1 },
      ]),
    ).toEqual([])
    expect(slots.running()).toEqual([a])
  })

  test('is aborted together with others, and nothing else is', () => {
    const { prefetch } = aPrefetch([3])
    const begun = running(prefetch, jobs(3))

    expect(prefetch.lost([begun[0]!.job, begun[2]!.job, { id: 77, leaseToken: 1 }])).toEqual([begun[0], begun[2]])
  })
})

describe('a drain', () => {
  test('gives back what the store had started but not reported, and runs none of it', () => {
    const { slots, prefetch } = aPrefetch([2])
    const limit = sumOf(roomsOf(prefetch))
    prefetch.stopLeasing()

    prefetch.started(limit, jobs(2))

    expect([assign(prefetch), slots.activeCount]).toEqual([[], 0])
    expect(prefetch.takeCommit()).toEqual([event(1, 'release'), event(2, 'release')])
  })

  test('does not end before everything it gave back is on disk', () => {
    const { prefetch } = aPrefetch([2])
    const limit = sumOf(roomsOf(prefetch))
    prefetch.stopLeasing()

    const unanswered = prefetch.idle
    prefetch.started(limit, jobs(1))
    const uncommitted = prefetch.idle
    prefetch.takeCommit()
    const committing = prefetch.idle
    prefetch.committed()

    expect([unanswered, uncommitted, committing, prefetch.idle]).toEqual([false, false, false, true])
  })

  test('that ran out of time gives back running jobs, and no longer waits for them', () => {
    const { prefetch } = aPrefetch([2])
    const begun = running(prefetch, jobs(2))
    prefetch.stopLeasing()

    prefetch.giveUpRunning()
    const events = prefetch.takeCommit()!
    const beforeCommit = prefetch.idle
    prefetch.committed()

    expect(events).toEqual(begun.map(({ job: { id, leaseToken } }) => ({ id, leaseToken, event: 'release' })))
    expect([beforeCommit, prefetch.idle]).toEqual([false, true])
  })

  test('ends only when the last commit is on disk', () => {
    const { prefetch } = aPrefetch([2])
    const [a] = running(prefetch, jobs(1))
    prefetch.stopLeasing()

    const whileRunning = prefetch.idle
    settle(prefetch, a!, 'succeed')
    const uncommitted = prefetch.idle
    prefetch.takeCommit()
    const committing = prefetch.idle
    prefetch.committed()

    expect([whileRunning, uncommitted, committing, prefetch.idle]).toEqual([false, false, false, true])
  })
})

describe('a dispatcher that drains', () => {
  test('is not idle while the store may still answer with jobs', () => {
    const { prefetch } = aPrefetch([2])
    const limit = sumOf(roomsOf(prefetch))

    prefetch.stopLeasing()
    const unanswered = prefetch.idle
    prefetch.started(limit, [])

    expect([unanswered, prefetch.idle]).toEqual([false, true])
  })

  // It timed out just before the shutdown's patience ended: its own grace passes while the release is being committed.
  test('survives if an attempt gives up a handler that was already given back', () => {
    const { slots, prefetch } = aPrefetch([2])
    const [a] = running(prefetch, jobs(1))
    prefetch.stopLeasing()
    prefetch.giveUpRunning()

    expect(() => giveUp(prefetch, a!)).not.toThrow()
    expect(stuckIn(slots)).toHaveLength(1)
  })
})
