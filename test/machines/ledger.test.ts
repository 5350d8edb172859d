import { describe, expect, test } from 'vitest'
import { Ledger, paceMs } from '../../src/machines/ledger.ts'
import type { Assigned } from '../../src/machines/worker.ts'
import { partOf } from '../support/dispatcher.ts'
import {
  aLeasedJob,
  anAttempt,
  answer,
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
  sumOf,
} from '../support/ledger.ts'

describe('room', () => {
  test('is asked for once: one free slot is one job', () => {
    const ledger = new Ledger([1, 1, 1])

    expect([roomOf(ledger), roomOf(ledger)]).toEqual([3, 0])
  })

  test('that was answered with nothing is asked for again', () => {
    const ledger = new Ledger([1, 1, 1])

    answer(ledger, [])

    expect(roomOf(ledger)).toBe(3)
  })

  test('that was answered in part is asked for again, less what was given', () => {
    const ledger = new Ledger([4])

    running(ledger, jobs(1))

    expect([roomOf(ledger), roomOf(ledger)]).toEqual([3, 0])
  })

  test('is not asked for where every slot has a job', () => {
    const ledger = new Ledger([2])
    running(ledger, jobs(2))

    expect(roomOf(ledger)).toBe(0)
  })

  test('comes back with each slot that comes free, beside what is asked for already', () => {
    const ledger = new Ledger([3])
    const [first, second] = running(ledger, jobs(3))

    settle(ledger, first!, 'succeed')
    const one = roomOf(ledger)
    settle(ledger, second!, 'succeed')

    expect([one, roomOf(ledger), roomOf(ledger)]).toEqual([1, 1, 0])
  })

  test('is none after leasing has stopped', () => {
    const ledger = new Ledger([4])

    ledger.stopLeasing()

    expect(roomOf(ledger)).toBe(0)
  })
})

describe('jobs that the store has leased and started', () => {
  test('run at once, each on a worker that has a slot for it', () => {
    const ledger = new Ledger([2, 1])

    const begun = running(ledger, jobs(3))

    expect(begun.map(({ job, phase }) => [job.id, phase])).toEqual([
      [1, 'running'],
      [2, 'running'],
      [3, 'running'],
    ])
    expect(begun.map(({ worker }) => worker).sort()).toEqual([0, 0, 1])
    expect(ledger.running()).toEqual(begun)
  })

  test('need no commit more', () => {
    const ledger = new Ledger([1])

    running(ledger, jobs(1))

    expect(ledger.takeCommit()).toBeNull()
  })
})

describe('jobs ahead of the slots that are free', () => {
  test('are asked for beside outcomes, a tenth of the slots that come free in 100 ms', () => {
    const ledger = new Ledger([4])
    const last = atPace(ledger, 20)
    const besideNone = roomsOf(ledger)

    settle(ledger, last, 'succeed')

    expect([besideNone, roomsOf(ledger)]).toEqual([[], [{ room: 1 + 2, wait: false }]])
  })

  test('are no more than there are slots, in parts of half of all', () => {
    const ledger = new Ledger([4])

    settle(ledger, atPace(ledger, 400), 'succeed')

    expect(roomsOf(ledger)).toEqual([
      { room: 4, wait: false },
      { room: 1, wait: false },
    ])
  })

  test('are none where slots come free seldom', () => {
    const ledger = new Ledger([4])

    settle(ledger, atPace(ledger, 8), 'succeed')

    expect(roomOf(ledger)).toBe(1)
  })

  test('are none where the store had less than it was asked for, and it waits for others', () => {
    const ledger = new Ledger([4])
    const last = atPace(ledger, 400)
    settle(ledger, last, 'succeed')
    const [most, rest] = roomsOf(ledger)
    ledger.started(most!.room, jobs(1))
    ledger.started(rest!.room, [])
    const [next] = ledger.assign()

    settle(ledger, next!, 'succeed')

    expect(roomsOf(ledger)).toEqual([{ room: 1, wait: true }])
  })

  test('run one after the other as slots come free, for which no others are asked for', () => {
    const ledger = new Ledger([1])
    const [a] = startedAhead(ledger, 3)

    settle(ledger, a!, 'succeed')
    const rooms = roomsOf(ledger)
    const [b] = ledger.assign()
    settle(ledger, b!, 'succeed')
    const [c] = ledger.assign()

    expect([a, b, c].map((each) => each!.job.id)).toEqual([1, 2, 3])
    expect(rooms).toEqual([])
  })

  // Else that request would wait on, and start a job behind a long one whenever there is one.
  test('serve a slot that comes free while they are asked for: none is asked for it besides', () => {
    const ledger = new Ledger([1])
    settle(ledger, atPace(ledger, 10), 'succeed')
    const [first, ahead] = roomsOf(ledger)
    ledger.started(first!.room, jobs(1))
    const [a] = ledger.assign()

    settle(ledger, a!, 'succeed')
    const [another] = roomsOf(ledger)
    for (const { room } of [ahead!, another!]) ledger.started(room, [])

    expect([ahead, another].map((each) => each?.wait)).toEqual([false, false])
    expect(roomsOf(ledger)).toEqual([{ room: 1, wait: true }])
  })

  test('are given back, the last of them, where fewer slots came free in 100 ms than would be needed', () => {
    const ledger = new Ledger([1])
    const [a] = startedAhead(ledger, 4)
    settle(ledger, a!, 'succeed')
    ledger.assign()
    ledger.takeCommit()

    ledger.paced(paceMs)
    const onTime = ledger.takeCommit()
    ledger.paced(paceMs)

    expect([onTime, ledger.takeCommit()]).toEqual([[event(4, 'release')], [event(3, 'release')]])
  })

  test('are as few as slots come free in that time, where the loop was late to look', () => {
    const ledger = new Ledger([4])
    const last = atPace(ledger, 40)
    ledger.paced(10 * paceMs)

    settle(ledger, last, 'succeed')

    expect(roomOf(ledger)).toBe(1)
  })

  test('are given back by a drain', () => {
    const ledger = new Ledger([1])
    startedAhead(ledger, 2)

    ledger.stopLeasing()

    expect(ledger.takeCommit()).toEqual([event(2, 'release')])
  })

  test('whose lease is lost are not run', () => {
    const ledger = new Ledger([1])
    const [a] = startedAhead(ledger, 3)

    const toAbort = ledger.lost([aLeasedJob(2)])
    settle(ledger, a!, 'succeed')

    expect([toAbort, ids(ledger.assign())]).toEqual([[], [3]])
  })

  test('are followed, and the pace with them, until none came free for 100 ms', () => {
    const ledger = new Ledger([1])
    const atFirst = ledger.beginPacing()
    settle(ledger, running(ledger, jobs(1))[0]!, 'succeed')
    const begun = [ledger.beginPacing(), ledger.beginPacing()]
    ledger.paced(paceMs)
    const another = ledger.beginPacing()
    ledger.paced(paceMs)

    expect([atFirst, begun, another, ledger.beginPacing()]).toEqual([false, [true, false], true, false])
  })
})

describe('a commit', () => {
  test('of nothing is none', () => {
    expect(new Ledger([4]).takeCommit()).toBeNull()
  })

  test('takes the outcomes at hand, in the order in which they came, each once', () => {
    const ledger = new Ledger([2])
    const [a, b] = running(ledger, jobs(2))
    settle(ledger, b!, 'fail')
    settle(ledger, a!, 'succeed')

    const events = ledger.takeCommit()!
    ledger.committed()

    expect(events.map(({ id, event }) => [id, event])).toEqual([
      [2, 'fail'],
      [1, 'succeed'],
    ])
    expect(ledger.takeCommit()).toBeNull()
  })

  test('names the lease in each of its events', () => {
    const ledger = new Ledger([1])
    const [a] = running(ledger, [aLeasedJob(4, 17)])
    settle(ledger, a!, 'succeed')

    expect(ledger.takeCommit()).toEqual([{ id: 4, leaseToken: 17, event: 'succeed' }])
  })

  test('is due at once where none is under way, and from a part of the slots on where one is', () => {
    const part = partOf(12)
    const ledger = new Ledger([12])
    const begun = running(ledger, jobs(12))
    const dueAfter = (count: number) => {
      for (const each of begun.splice(0, count)) settle(ledger, each, 'succeed')
      return ledger.isDue
    }

    const alone = [dueAfter(0), dueAfter(1)]
    ledger.takeCommit()
    const beside = [dueAfter(part - 1), dueAfter(1)]
    ledger.takeCommit()
    const besideTwo = dueAfter(1)
    ledger.committed()
    const besideOne = ledger.isDue
    ledger.committed()

    expect([alone, beside, besideTwo, besideOne, ledger.isDue]).toEqual([
      [false, true],
      [false, true],
      false,
      false,
      true,
    ])
  })

  test('is due at once where a handler is to be called next', () => {
    const ledger = new Ledger([12])
    const [a, b, c] = startedAhead(ledger, 14)
    const dueAfter = (each: Assigned | undefined) => {
      settle(ledger, each!, 'succeed')
      const { isDue } = ledger
      ledger.takeCommit()
      ledger.assign()
      return isDue
    }

    expect([dueAfter(a), dueAfter(b), dueAfter(c)]).toEqual([true, true, false])
  })

  test('takes what there is at the end of a turn, also while others are under way', () => {
    const ledger = new Ledger([12])
    const take = () => {
      settle(ledger, ledger.running()[0]!, 'succeed')
      return ledger.takeCommit()?.length
    }
    running(ledger, jobs(12))

    expect([take(), take(), take()]).toEqual([1, 1, 1])
  })

  test('is not due at once where outcomes gather already', () => {
    const ledger = new Ledger([12])
    const [a] = running(ledger, jobs(12))
    ledger.beginGathering()

    settle(ledger, a!, 'succeed')

    expect(ledger.isDue).toBe(false)
  })

  test('is worth it from half of the slots on, rounded up', () => {
    expect([1, 4, 5, 8, 9, 100].map(partOf)).toEqual([1, 2, 3, 4, 5, 50])
  })
})

describe('outcomes', () => {
  test('begin to gather once a turn', () => {
    const ledger = new Ledger([2])

    expect([ledger.beginGathering(), ledger.beginGathering()]).toEqual([true, false])

    ledger.takeCommit()
    expect(ledger.beginGathering()).toBe(true)
  })

  test('of a lost lease are none, but the slot is free', () => {
    const ledger = new Ledger([1])
    const [a] = running(ledger, jobs(1))

    settle(ledger, a!, null)

    expect([ledger.takeCommit(), ledger.activeCount, roomOf(ledger)]).toEqual([null, 0, 1])
  })
})

describe('a lost lease', () => {
  test('is to be aborted and holds its slot until it ends', () => {
    const ledger = new Ledger([1])
    const [a] = running(ledger, jobs(1))

    const toAbort = ledger.lost([a!.job])
    const room = roomOf(ledger)
    settle(ledger, a!, null)

    expect(toAbort).toEqual([a])
    expect([room, roomOf(ledger)]).toEqual([0, 1])
  })

  test('of an earlier attempt leaves the job alone', () => {
    const ledger = new Ledger([2])
    const [a] = running(ledger, [aLeasedJob(1, 9)])

    expect(
      ledger.lost([
        { id: 1, leaseToken: 5 },
        { id: 9, leaseToken: 1 },
      ]),
    ).toEqual([])
    expect(ledger.running()).toEqual([a])
  })

  test('is aborted beside others, and nothing else is', () => {
    const ledger = new Ledger([3])
    const begun = running(ledger, jobs(3))

    expect(ledger.lost([begun[0]!.job, begun[2]!.job, { id: 77, leaseToken: 1 }])).toEqual([begun[0], begun[2]])
  })
})

describe('a handler that goes on after it was given up', () => {
  test('keeps its slot until it ends', () => {
    const ledger = new Ledger([1])
    const [a] = running(ledger, jobs(1))
    giveUp(ledger, a!)
    ledger.takeCommit()
    ledger.committed()

    const whileStuck = [roomOf(ledger), ledger.stuck().length, ledger.activeCount]
    ledger.ended(a!)

    expect(whileStuck).toEqual([0, 1, 1])
    expect([roomOf(ledger), ledger.stuck().length, ledger.activeCount]).toEqual([1, 0, 0])
  })

  test('stands in nobody’s way when the rest is done', () => {
    const ledger = new Ledger([2])
    const [a] = running(ledger, jobs(1))
    giveUp(ledger, a!)
    const beforeCommit = ledger.idle

    ledger.takeCommit()
    ledger.committed()

    expect([beforeCommit, ledger.idle]).toEqual([false, true])
  })

  test('is all there is when every slot is held so', () => {
    const ledger = new Ledger([1, 1])
    const [a, b] = running(ledger, jobs(2))

    giveUp(ledger, a!)
    const one = ledger.allStuck
    giveUp(ledger, b!)
    const both = ledger.allStuck
    ledger.ended(a!)

    expect([one, both, ledger.allStuck]).toEqual([false, true, false])
  })
})

describe('the longest timeout', () => {
  test('is that of the attempts that hold a slot, given up or not; 0 where none was begun', () => {
    const ledger = new Ledger([3])
    const [a, b] = running(ledger, jobs(3))
    const before = ledger.longestTimeoutMs
    a!.attempt = anAttempt(80)
    b!.attempt = anAttempt(50)

    const both = ledger.longestTimeoutMs
    giveUp(ledger, a!)
    const stuck = ledger.longestTimeoutMs
    ledger.ended(a!)

    expect([before, both, stuck, ledger.longestTimeoutMs]).toEqual([0, 80, 80, 50])
  })
})

describe('a drain', () => {
  test('gives back what the store had started and not told of, and runs none of it', () => {
    const ledger = new Ledger([2])
    const room = sumOf(roomsOf(ledger))
    ledger.stopLeasing()

    ledger.started(room, jobs(2))

    expect([ledger.assign(), ledger.activeCount]).toEqual([[], 0])
    expect(ledger.takeCommit()).toEqual([event(1, 'release'), event(2, 'release')])
  })

  test('is not over before what it gave back is on disk', () => {
    const ledger = new Ledger([2])
    const room = sumOf(roomsOf(ledger))
    ledger.stopLeasing()

    const unanswered = ledger.idle
    ledger.started(room, jobs(1))
    const uncommitted = ledger.idle
    ledger.takeCommit()
    const committing = ledger.idle
    ledger.committed()

    expect([unanswered, uncommitted, committing, ledger.idle]).toEqual([false, false, false, true])
  })

  test('that ran out of time gives back what runs, and waits for it no longer', () => {
    const ledger = new Ledger([2])
    const begun = running(ledger, jobs(2))
    ledger.stopLeasing()

    ledger.giveUpRunning()
    const events = ledger.takeCommit()!
    const beforeCommit = ledger.idle
    ledger.committed()

    expect(events).toEqual(begun.map(({ job: { id, leaseToken } }) => ({ id, leaseToken, event: 'release' })))
    expect([beforeCommit, ledger.idle]).toEqual([false, true])
  })

  test('is over only when the last commit is on disk', () => {
    const ledger = new Ledger([2])
    const [a] = running(ledger, jobs(1))
    ledger.stopLeasing()

    const whileRunning = ledger.idle
    settle(ledger, a!, 'succeed')
    const uncommitted = ledger.idle
    ledger.takeCommit()
    const committing = ledger.idle
    ledger.committed()

    expect([whileRunning, uncommitted, committing, ledger.idle]).toEqual([false, false, false, true])
  })
})

describe('a job that is leased again', () => {
  // Its attempt was given up and failed, so the store hands it out anew while the old handler still holds its slot.
  test('beside a stuck attempt of its own has a slot of its own', () => {
    const ledger = new Ledger([3])
    const [old] = running(ledger, [aLeasedJob(1, 2)])
    giveUp(ledger, old!)
    ledger.takeCommit()
    ledger.committed()

    const [again] = running(ledger, [aLeasedJob(1, 5)])
    const both = [ledger.activeCount, ledger.running().length, ledger.stuck().length]
    ledger.ended(old!)
    const afterOld = ledger.running()
    settle(ledger, again!, 'succeed')

    expect(both).toEqual([2, 1, 1])
    expect(afterOld.map(({ job }) => job.leaseToken)).toEqual([5])
    expect([ledger.activeCount, roomOf(ledger)]).toEqual([0, 3])
  })

  // Cancelled and requeued while its first handler goes on.
  test('loses the one lease and keeps the other', () => {
    const ledger = new Ledger([2])
    const [old] = running(ledger, [aLeasedJob(1, 2)])
    const [again] = running(ledger, [aLeasedJob(1, 5)])

    expect(ledger.lost([{ id: 1, leaseToken: 2 }])).toEqual([old])
    expect(ledger.lost([{ id: 1, leaseToken: 5 }])).toEqual([again])
  })
})

describe('a ledger that drains', () => {
  test('is not idle while the store may still answer with jobs', () => {
    const ledger = new Ledger([2])
    const room = sumOf(roomsOf(ledger))

    ledger.stopLeasing()
    const unanswered = ledger.idle
    ledger.started(room, [])

    expect([unanswered, ledger.idle]).toEqual([false, true])
  })

  // It timed out just before the shutdown's patience ended: its own grace passes while the release is being committed.
  test('lives on where a handler that it gave back is given up by its attempt as well', () => {
    const ledger = new Ledger([2])
    const [a] = running(ledger, jobs(1))
    ledger.stopLeasing()
    ledger.giveUpRunning()

    expect(() => giveUp(ledger, a!)).not.toThrow()
    expect(ledger.stuck()).toHaveLength(1)
  })
})

describe('a ledger that is told what cannot be', () => {
  test('says which move a slot does not have', () => {
    const ledger = new Ledger([1])
    const [a] = running(ledger, jobs(1))

    expect(() => ledger.ended(a!)).toThrow('a slot that is running does not take end')
  })

  test('says so of a slot that was given back', () => {
    const ledger = new Ledger([1])
    const [a] = running(ledger, jobs(1))
    settle(ledger, a!, 'succeed')

    expect(() => settle(ledger, a!, 'succeed')).toThrow('a slot that is free does not take settle')
  })
})
