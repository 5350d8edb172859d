import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { transition } from 'xstate'
import type { LeasedJob, LeaseEvent } from '../../src/machines/lease.ts'
import { Ledger, paceMs, type Room } from '../../src/machines/ledger.ts'
import { type SlotEventType, type SlotPhase, slotMachine } from '../../src/machines/slot.ts'
import type { Assigned, RunningAttempt } from '../../src/machines/worker.ts'
import { partOf } from '../support/dispatcher.ts'

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
    const [a] = prefetched(ledger, 3)

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
    const [a] = prefetched(ledger, 4)
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
    prefetched(ledger, 2)

    ledger.stopLeasing()

    expect(ledger.takeCommit()).toEqual([event(2, 'release')])
  })

  test('whose lease is lost are not run', () => {
    const ledger = new Ledger([1])
    const [a] = prefetched(ledger, 3)

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
    const [a, b, c] = prefetched(ledger, 14)
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

describe('whatever happens, in any order', () => {
  // Small, so that every kind of crowding comes up.
  const slots = fc.array(fc.integer({ min: 1, max: 3 }), { minLength: 1, maxLength: 3 })
  const step = fc.record({
    what: fc.constantFrom<Step>(...steps()),
    which: fc.nat(),
    many: fc.nat(6),
    flag: fc.boolean(),
  })

  // `size`: else scripts have ten steps at most.
  test('no slot is given or asked for twice, nothing runs that was not started, no outcome is forgotten or told twice', () => {
    fc.assert(
      fc.property(slots, fc.array(step, { maxLength: 120, size: 'max' }), (workers, script) => {
        const world = new World(workers)
        for (const { what, which, many, flag } of script) {
          world.take(what, which, many, flag)
          world.check()
        }
        world.finish()
      }),
      { numRuns: 500 },
    )
  })

  test('slots make no move that their machine does not have, and each that it has', () => {
    const made = new Set<string>()

    fc.assert(
      fc.property(slots, fc.array(step, { maxLength: 120, size: 'max' }), (workers, script) => {
        const world = new World(workers)
        for (const { what, which, many, flag } of script) {
          const before = phasesOf(world)
          world.take(what, which, many, flag)
          for (const [job, to] of phasesOf(world)) {
            const from = before.get(job) ?? 'free'
            if (from !== to) made.add(`${from} ${eventBehind(what, from)} ${to}`)
          }
        }
      }),
      { numRuns: 100 },
    )

    expect([...made].sort()).toEqual(machineMoves().sort())
  })
})

/** Every move of a slot that the machine has: its phase, the event, the phase after it. */
function machineMoves(): string[] {
  return (Object.keys(slotMachine.states) as SlotPhase[]).flatMap((from) =>
    (slotMachine.events as SlotEventType[]).flatMap((type) => {
      const to = transition(slotMachine, slotMachine.resolveState({ value: from }), { type })[0].value
      return to === from ? [] : [`${from} ${type} ${to}`]
    }),
  )
}

/** In which phase the slot of each job is; `free` where it holds none. */
function phasesOf({ ledger, jobs }: World): Map<LeasedJob, SlotPhase> {
  const held = new Map(ledger.assigned().map(({ job, phase }) => [job, phase]))
  return new Map([...jobs.values()].map((job) => [job, held.get(job) ?? 'free']))
}

/** Which event of a slot a call of the ledger stands for. */
function eventBehind(what: Step, from: SlotPhase): SlotEventType | undefined {
  const events: Partial<Record<Step, SlotEventType>> = {
    assign: 'assign',
    settle: from === 'stuck' ? 'end' : 'settle',
    stick: 'giveUp',
    giveUp: 'giveUp',
    ended: 'end',
  }
  return events[what]
}

type Step = 'ask' | 'answer' | 'assign' | 'commit' | 'committed' | 'settle' | 'pace' | Seldom
type Seldom = 'stick' | 'ended' | 'lose' | 'stop' | 'giveUp'

/** Each as often as it shall come up. */
function steps(): Step[] {
  const often: Step[] = ['ask', 'answer', 'assign', 'commit', 'committed', 'settle', 'settle']
  return [...often, ...often, ...often, 'pace', 'stick', 'ended', 'lose', 'lose', 'stop', 'giveUp']
}

/** Everything around the ledger, kept the simplest way: what was asked, started, sent and told, by job. */
class World {
  readonly ledger: Ledger
  readonly workers: readonly number[]
  readonly asked: Room[] = []
  /** Started and without a slot, in order. */
  readonly next: number[] = []
  readonly jobs = new Map<number, LeasedJob>()
  readonly phases = new Map<number, 'next' | 'running' | 'stuck' | 'gone'>()
  readonly assigned = new Map<number, Assigned>()
  readonly workerOf = new Map<number, number>()
  readonly lost = new Set<number>()
  readonly givenUp = new Set<number>()
  readonly commits: LeaseEvent[][] = []
  /** Outcomes told to the ledger that no commit has taken yet. */
  readonly owed: LeaseEvent[] = []
  stopped = false
  /** Slots that came free in the last `paceMs`, and since; whether the last answer was all that was asked for. */
  pace = 0
  freed = 0
  hasMore = false
  #lastId = 0

  constructor(workers: readonly number[]) {
    this.workers = workers
    this.ledger = new Ledger(workers)
  }

  get total(): number {
    return sum(this.workers)
  }

  get free(): number {
    return this.total - this.in('running', 'stuck').length
  }

  /** A tenth of the slots that come free in `paceMs`, where there is more to be had. */
  get aheadMax(): number {
    return this.hasMore ? Math.min(Math.floor(Math.max(this.pace, this.freed) / 10), this.total) : 0
  }

  in(...phases: string[]): number[] {
    return [...this.phases].filter(([, phase]) => phases.includes(phase)).map(([id]) => id)
  }

  take(what: Step, which: number, many: number, flag: boolean): void {
    const one = (ids: number[]) => (ids.length > 0 ? ids[which % ids.length] : undefined)
    switch (what) {
      case 'ask': {
        const unserved = this.free - this.next.length - sumOf(this.asked)
        const rooms = roomsOf(this.ledger)
        this.asked.push(...rooms)
        // One for each slot that is free and has neither a job nor one asked for, and with what is there as many more as may be.
        const aheadMax = this.owed.length === 0 ? 0 : this.aheadMax
        expect(sumOf(rooms)).toBe(this.stopped ? 0 : Math.max(unserved + aheadMax, 0))
        // What waits, until there is a job, waits for a slot that is free.
        const waiting = rooms.filter(({ wait }) => wait)
        expect(sumOf(waiting)).toBeLessThanOrEqual(Math.max(unserved, 0))
        expect(waiting).toEqual(this.hasMore ? [] : rooms)
        return
      }
      case 'answer': {
        const room = this.asked.shift()
        // All that was asked for more often than not.
        if (room) this.answer(room, flag ? room.room : Math.min(many, room.room))
        return
      }
      case 'assign':
        this.assign()
        return
      case 'pace':
        this.paced()
        return
      case 'commit':
        this.commit()
        return
      case 'committed':
        if (this.commits.length > 0) this.committed()
        return
      case 'settle': {
        const id = one([...this.in('running'), ...this.givenUp])
        if (id !== undefined) this.settle(id)
        return
      }
      case 'stick': {
        const id = one(this.in('running'))
        if (id === undefined) return
        this.tell(this.lost.has(id) ? null : event(id, 'fail'), id, false)
        this.phases.set(id, 'stuck')
        return
      }
      case 'ended': {
        const id = one(this.in('stuck').filter((stuck) => !this.givenUp.has(stuck)))
        if (id !== undefined) this.ended(id)
        return
      }
      case 'lose': {
        const id = one(this.in('next', 'running', 'stuck', 'gone'))
        if (id !== undefined) this.lose(id)
        return
      }
      case 'stop':
        if (this.stopped || !flag) return
        this.stopped = true
        this.ledger.stopLeasing()
        this.giveBackAllBut(0)
        return
      case 'giveUp': {
        if (!this.stopped) return
        this.ledger.giveUpRunning()
        const slotOf = (id: number) => this.assigned.get(id)!.slot
        for (const id of this.in('running').sort((a, b) => slotOf(a) - slotOf(b))) {
          this.owed.push(event(id, 'release'))
          this.phases.set(id, 'stuck')
          this.givenUp.add(id)
        }
      }
    }
  }

  answer({ room }: Room, many: number): void {
    const started = Array.from({ length: many }, () => aLeasedJob(++this.#lastId))
    this.ledger.started(room, started)
    this.hasMore = many === room
    for (const job of started) {
      this.jobs.set(job.id, job)
      this.phases.set(job.id, 'next')
      this.next.push(job.id)
    }
    if (this.stopped) this.giveBackAllBut(0)
  }

  assign(): void {
    const due = this.next.splice(0, this.free)
    const begun = this.ledger.assign()
    expect(begun.map(({ job }) => job.id)).toEqual(due)
    for (const assigned of begun) {
      const { job, worker } = assigned
      this.phases.set(job.id, 'running')
      this.assigned.set(job.id, assigned)
      this.workerOf.set(job.id, worker)
    }
  }

  paced(): void {
    this.ledger.paced(paceMs)
    this.pace = this.freed
    this.freed = 0
    this.giveBackAllBut(this.pace)
  }

  giveBackAllBut(count: number): void {
    for (const id of this.next.splice(count)) {
      this.phases.set(id, 'gone')
      this.owed.push(event(id, 'release'))
    }
  }

  commit(): void {
    const part = Math.ceil((this.total + this.aheadMax) / 2)
    const runsNext = this.next.length > 0 && this.free > 0
    expect(this.ledger.isDue).toBe(this.owed.length >= (this.commits.length === 0 || runsNext ? 1 : part))
    const events = this.ledger.takeCommit()
    if (!events) {
      expect(this.owed).toEqual([])
      return
    }
    expect(events).toEqual(this.owed.splice(0))
    this.commits.push(events)
  }

  committed(): void {
    this.commits.shift()
    this.ledger.committed()
  }

  settle(id: number): void {
    this.tell(this.lost.has(id) ? null : event(id, 'succeed'), id, true)
    this.phases.set(id, 'gone')
    this.givenUp.delete(id)
    this.freed++
  }

  ended(id: number): void {
    this.ledger.ended(this.assigned.get(id)!)
    this.phases.set(id, 'gone')
    this.freed++
  }

  tell(outcome: LeaseEvent | null, id: number, ended: boolean): void {
    this.ledger.settled(this.assigned.get(id)!, outcome, ended)
    if (outcome && !this.givenUp.has(id)) this.owed.push(outcome)
  }

  lose(id: number): void {
    const phase = this.phases.get(id)!
    const toAbort = this.ledger.lost([event(id, 'release')]).map(({ job }) => job.id)
    expect(toAbort).toEqual(phase === 'running' || phase === 'stuck' ? [id] : [])
    if (phase === 'running') this.lost.add(id)
    if (phase !== 'next') return
    this.next.splice(this.next.indexOf(id), 1)
    this.phases.set(id, 'gone')
  }

  check(): void {
    const holding = this.in('running', 'stuck')
    expect(holding.length).toBeLessThanOrEqual(this.total)
    expect(holding.length + this.next.length + sumOf(this.asked)).toBeLessThanOrEqual(2 * this.total)
    expect(ids(this.ledger.assigned())).toEqual(holding.sort(byNumber))
    expect(this.ledger.activeCount).toBe(holding.length)
    expect(ids(this.ledger.running())).toEqual(this.in('running').sort(byNumber))
    expect(ids(this.ledger.stuck())).toEqual(this.in('stuck').sort(byNumber))
    expect(this.ledger.allStuck).toBe(this.in('stuck').length === this.total)
    const underWay = this.in('next', 'running').length + this.asked.length + this.owed.length + this.commits.length
    expect(this.ledger.idle).toBe(underWay === 0)
    for (const [worker, slots] of this.workers.entries()) {
      const jobs = this.ledger.assigned().filter((assigned) => assigned.worker === worker)
      expect(jobs.length).toBeLessThanOrEqual(slots)
    }
    for (const { job, worker } of this.ledger.running()) expect(worker).toBe(this.workerOf.get(job.id))
  }

  /** Faults off: all must come to an end, with every outcome committed and every slot free. */
  finish(): void {
    for (let turns = 0; turns < 1_000; turns++) {
      for (const room of this.asked.splice(0)) this.answer(room, 0)
      for (const id of [...this.in('running'), ...this.givenUp]) this.settle(id)
      for (const id of this.in('stuck')) this.ended(id)
      this.assign()
      this.commit()
      while (this.commits.length > 0) this.committed()
      this.check()
      if (this.in('next', 'running', 'stuck').length === 0 && this.owed.length === 0) break
    }
    expect(this.ledger.idle).toBe(true)
    expect(this.ledger.activeCount).toBe(0)
    expect(roomOf(this.ledger)).toBe(this.stopped ? 0 : this.total)
  }
}

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

function aLeasedJob(id: number, leaseToken = 100 + id): LeasedJob {
  return { id, leaseToken, type: 'work', payload: '{}', attempt: 0, maxAttempts: 3, timeoutMs: null, runAt: 0 }
}

function anAttempt(timeoutMs: number): RunningAttempt {
  return { startedAt: 0, timeoutMs, aborted: null, abort() {} }
}

function jobs(count: number, first = 1): LeasedJob[] {
  return Array.from({ length: count }, (_, index) => aLeasedJob(first + index))
}

/** All the room that it asks for, request by request. */
function roomsOf(ledger: Ledger): Room[] {
  const rooms: Room[] = []
  for (let room = ledger.takeRoom(); room; room = ledger.takeRoom()) {
    if (room.room < 1 || rooms.push(room) > 100) throw new Error(`it asks for ${room.room}, after ${rooms.length}`)
  }
  return rooms
}

function sumOf(rooms: readonly Room[]): number {
  return sum(rooms.map(({ room }) => room))
}

function roomOf(ledger: Ledger): number {
  return sumOf(roomsOf(ledger))
}

/** Answers all that it asks for with these. */
function answer(ledger: Ledger, started: readonly LeasedJob[]): void {
  ledger.started(sumOf(roomsOf(ledger)), started)
}

/** Brings these to where their handlers run. */
function running(ledger: Ledger, started: readonly LeasedJob[]): Assigned[] {
  answer(ledger, started)
  return ledger.assign()
}

/** So many slots have come free lately; gives an attempt that runs, beside which every slot is taken. */
function atPace(ledger: Ledger, count: number): Assigned {
  const slots = ledger.slotCount
  for (let freed = 0; freed < count; freed += slots)
    for (const each of running(ledger, jobs(slots))) settle(ledger, each, 'succeed')
  ledger.takeCommit()
  return running(ledger, jobs(slots))[0]!
}

/** Has the first so many jobs started on disk, more than there are slots; gives those that run. */
function prefetched(ledger: Ledger, count: number): Assigned[] {
  ledger.started(0, jobs(count))
  return ledger.assign()
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((a, b) => a + b, 0)
}

function settle(ledger: Ledger, assigned: Assigned, outcome: LeaseEvent['event'] | null): void {
  const { job } = assigned
  ledger.settled(assigned, outcome && { id: job.id, leaseToken: job.leaseToken, event: outcome }, true)
}

/** Its grace has passed: the attempt failed, and its handler goes on. */
function giveUp(ledger: Ledger, assigned: Assigned): void {
  const { job } = assigned
  ledger.settled(assigned, { id: job.id, leaseToken: job.leaseToken, event: 'fail' }, false)
}

function event(id: number, name: LeaseEvent['event']): LeaseEvent {
  return { id, leaseToken: 100 + id, event: name }
}

function ids(assigned: readonly Assigned[]): number[] {
  return assigned.map(({ job }) => job.id).sort(byNumber)
}

function byNumber(a: number, b: number): number {
  return a - b
}
