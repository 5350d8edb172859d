import { describe, expect, test } from 'vitest'
import {
  aLeasedJob,
  anAttempt,
  aPrefetch,
  giveUp,
  jobs,
  roomOf,
  running,
  settle,
  stuckIn,
} from '../support/prefetch.ts'

describe('a handler that continues after its attempt was given up', () => {
  test('keeps its slot until it ends', () => {
    const { slots, prefetch } = aPrefetch([1])
    const [a] = running(prefetch, jobs(1))
    giveUp(prefetch, a!)
    prefetch.takeCommit()
    prefetch.committed()

    const whileStuck = [roomOf(prefetch), stuckIn(slots).length, slots.activeCount]
    slots.move(a!, 'end')

    expect(whileStuck).toEqual([0, 1, 1])
    expect([roomOf(prefetch), stuckIn(slots).length, slots.activeCount]).toEqual([1, 0, 0])
  })

  test('delays nobody once everything else is done', () => {
    const { prefetch } = aPrefetch([2])
    const [a] = running(prefetch, jobs(1))
    giveUp(prefetch, a!)
    const beforeCommit = prefetch.idle

    prefetch.takeCommit()
    prefetch.committed()

    expect([beforeCommit, prefetch.idle]).toEqual([false, true])
  })

  test('is all that is left if every slot is held like that', () => {
    const { slots, prefetch } = aPrefetch([1, 1])
    const [a, b] = running(prefetch, jobs(2))

    giveUp(prefetch, a!)
    const one = slots.allStuck
    giveUp(prefetch, b!)
    const both = slots.allStuck
    slots.move(a!, 'end')

    expect([one, both, slots.allStuck]).toEqual([false, true, false])
  })
})

describe('the longest timeout', () => {
  test('is that of the attempts that hold a slot, given up or not, or 0 if none has started', () => {
    const { slots, prefetch } = aPrefetch([3])
    const [a, b] = running(prefetch, jobs(3))
    const before = slots.longestTimeoutMs
    a!.attempt = anAttempt(80)
    b!.attempt = anAttempt(50)

    const both = slots.longestTimeoutMs
    giveUp(prefetch, a!)
    const stuck = slots.longestTimeoutMs
    slots.move(a!, 'end')

    expect([before, both, stuck, slots.longestTimeoutMs]).toEqual([0, 80, 80, 50])
  })
})

describe('a job that is leased again', () => {
  // Its attempt was given up and failed, so the store hands it out anew while the old handler still holds its slot.
  test('beside a stuck attempt of the same job gets another slot', () => {
    const { slots, prefetch } = aPrefetch([3])
    const [old] = running(prefetch, [aLeasedJob(1, 2)])
    giveUp(prefetch, old!)
    prefetch.takeCommit()
    prefetch.committed()

    const [again] = running(prefetch, [aLeasedJob(1, 5)])
    const both = [slots.activeCount, slots.running().length, stuckIn(slots).length]
    slots.move(old!, 'end')
    const afterOld = slots.running()
    settle(prefetch, again!, 'succeed')

    expect(both).toEqual([2, 1, 1])
    expect(afterOld.map(({ job }) => job.leaseToken)).toEqual([5])
    expect([slots.activeCount, roomOf(prefetch)]).toEqual([0, 3])
  })

  // Cancelled and requeued while its first handler goes on.
  test('loses one lease and keeps the other', () => {
    const { prefetch } = aPrefetch([2])
    const [old] = running(prefetch, [aLeasedJob(1, 2)])
    const [again] = running(prefetch, [aLeasedJob(1, 5)])

    expect(prefetch.lost([{ id: 1, leaseToken: 2 }])).toEqual([old])
    expect(prefetch.lost([{ id: 1, leaseToken: 5 }])).toEqual([again])
  })
})

describe('a slot that gets an impossible event', () => {
  test('says which transition a slot does not have', () => {
    const { slots, prefetch } = aPrefetch([1])
    const [a] = running(prefetch, jobs(1))

    expect(() => slots.move(a!, 'end')).toThrow('a slot that is running does not allow end')
  })

  test('says the same for a slot that was given back', () => {
    const { prefetch } = aPrefetch([1])
    const [a] = running(prefetch, jobs(1))
    settle(prefetch, a!, 'succeed')

    expect(() => settle(prefetch, a!, 'succeed')).toThrow('a slot that is free does not allow settle')
  })
})
