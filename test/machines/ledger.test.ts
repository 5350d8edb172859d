import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { transition } from 'xstate'
import type { LeasedJob, LeaseEvent } from '../../src/machines/lease.ts'
import { type Assigned, Ledger } from '../../src/machines/ledger.ts'
import { type SlotEventType, type SlotPhase, slotMachine } from '../../src/machines/slot.ts'

/** From here on an attempt is no longer short. */
const long = 10

describe('room', () => {
  test('is asked for once: one free slot is one job', () => {
    const ledger = new Ledger([1, 1, 1])

    expect([ledger.takeRoom(), ledger.takeRoom()]).toEqual([3, 0])
  })

  test('that was answered with nothing is asked for again', () => {
    const ledger = new Ledger([1, 1, 1])
    const room = ledger.takeRoom()

    ledger.leased(room, [])

    expect(ledger.takeRoom()).toBe(3)
  })

  test('is not asked for where jobs wait leased for every slot', () => {
    const ledger = new Ledger([2])
    ledger.leased(ledger.takeRoom(), jobs(2))

    expect(ledger.takeRoom()).toBe(0)
  })

  test('comes back with each slot that comes free', () => {
    const ledger = new Ledger([2])
    const [first] = running(ledger, jobs(2))

    settle(ledger, first!, 'succeed', long)

    expect(ledger.takeRoom()).toBe(1)
  })

  test('goes beyond the free slots after short attempts only, twice as far as there were such, and no further than the slots', () => {
    const askedAfter = (tookMs: number, settled: number) => {
      const ledger = new Ledger([8])
      const begun = running(ledger, jobs(8))
      for (const { job } of begun.slice(0, settled)) settle(ledger, { job }, 'succeed', tookMs)
      ledger.takeCommit()
      return ledger.takeRoom()
    }

    expect(askedAfter(long, 3)).toBe(3)
    expect(askedAfter(long - 1, 3)).toBe(3 + 2 * 3)
    expect(askedAfter(0, 7)).toBe(7 + 8)
  })

  test('beyond the free slots is forgotten once attempts take long again', () => {
    const ledger = new Ledger([2])
    const [a, b] = running(ledger, jobs(2))
    settle(ledger, a!, 'succeed', 0)
    ledger.committed(ledger.takeCommit()!, [])
    settle(ledger, b!, 'succeed', long)
    ledger.committed(ledger.takeCommit()!, [])

    expect(ledger.takeRoom()).toBe(2)
  })

  test('is none after leasing has stopped', () => {
    const ledger = new Ledger([4])

    ledger.stopLeasing()

    expect(ledger.takeRoom()).toBe(0)
  })
})

describe('a commit', () => {
  test('of nothing is none', () => {
    expect(new Ledger([4]).takeCommit()).toBeNull()
  })

  test('starts no more jobs than half of the slots, so that two halves take turns', () => {
    const ledger = new Ledger([5])
    ledger.leased(ledger.takeRoom(), jobs(5))

    const commits = [ledger.takeCommit(), ledger.takeCommit(), ledger.takeCommit()]

    expect(commits.map((events) => events?.length ?? null)).toEqual([3, null, null])
  })

  test('goes out beside another one where it fills the other half, and no third does', () => {
    const ledger = new Ledger([4])
    ledger.leased(ledger.takeRoom(), jobs(4))

    const commits = [ledger.takeCommit(), ledger.takeCommit(), ledger.takeCommit()]

    expect(commits.map((events) => events?.length ?? null)).toEqual([2, 2, null])
  })

  test('never starts a job without a free slot', () => {
    const ledger = new Ledger([2])
    running(ledger, jobs(2))
    ledger.leased(0, jobs(3, 10))

    expect(ledger.takeCommit()).toBeNull()
  })

  test('takes the outcomes at hand before the starts, each once', () => {
    const ledger = new Ledger([2])
    const [a, b] = running(ledger, jobs(2))
    settle(ledger, a!, 'succeed', long)
    settle(ledger, b!, 'fail', long)
    ledger.leased(ledger.takeRoom(), jobs(1, 10))

    const events = ledger.takeCommit()!
    ledger.committed(events, [])

    expect(events.map(({ id, event }) => [id, event])).toEqual([
      [1, 'succeed'],
      [2, 'fail'],
      [10, 'start'],
    ])
    expect(ledger.takeCommit()).toBeNull()
  })

  test('names the lease in each of its events', () => {
    const ledger = new Ledger([1])
    ledger.leased(ledger.takeRoom(), [aLeasedJob(4, 17)])

    expect(ledger.takeCommit()).toEqual([{ id: 4, leaseToken: 17, event: 'start' }])
  })

  test('lets its jobs run once it is on disk and not before', () => {
    const ledger = new Ledger([2])
    ledger.leased(ledger.takeRoom(), jobs(1))

    const events = ledger.takeCommit()!
    const before = ledger.running()
    const toRun = ledger.committed(events, [])

    expect(before).toEqual([])
    expect(toRun.map(({ job, phase }) => [job.id, phase])).toEqual([[1, 'running']])
  })

  test('frees the slot of a start that was refused, and does not run it', () => {
    const ledger = new Ledger([1])
    ledger.leased(ledger.takeRoom(), jobs(1))
    const events = ledger.takeCommit()!

    const toRun = ledger.committed(events, events)

    expect([toRun, ledger.activeCount, ledger.takeRoom()]).toEqual([[], 0, 1])
  })

  test('runs each job on a worker that has a slot for it', () => {
    const ledger = new Ledger([2, 1])

    const workers = running(ledger, jobs(3)).map(({ worker }) => worker)

    expect(workers.sort()).toEqual([0, 0, 1])
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

    settle(ledger, a!, null, long)

    expect([ledger.takeCommit(), ledger.activeCount, ledger.takeRoom()]).toEqual([null, 0, 1])
  })
})

describe('a lost lease', () => {
  test('that waits is forgotten: it is never started', () => {
    const ledger = new Ledger([2])
    const [a, b] = jobs(2)
    ledger.leased(ledger.takeRoom(), [a!, b!])

    expect(ledger.lost([a!])).toEqual([])

    expect(ledger.takeCommit()?.map(({ id }) => id)).toEqual([b!.id])
  })

  test('whose start is on its way gives its slot back and never runs', () => {
    const ledger = new Ledger([1])
    const [a] = jobs(1)
    ledger.leased(ledger.takeRoom(), [a!])
    const events = ledger.takeCommit()!

    const toAbort = ledger.lost([a!])
    const toRun = ledger.committed(events, [])

    expect([toAbort, toRun, ledger.activeCount, ledger.takeRoom()]).toEqual([[], [], 0, 1])
  })

  test('that runs is to be aborted and holds its slot until it ends', () => {
    const ledger = new Ledger([1])
    const [a] = running(ledger, jobs(1))

    const toAbort = ledger.lost([a!.job])
    const room = ledger.takeRoom()
    settle(ledger, a!, null, long)

    expect(toAbort.map(({ job }) => job.id)).toEqual([1])
    expect([room, ledger.takeRoom()]).toEqual([0, 1])
  })

  test('of an earlier attempt leaves the job alone', () => {
    const ledger = new Ledger([2])
    const [a] = running(ledger, [aLeasedJob(1, 9)])
    ledger.leased(1, [aLeasedJob(2, 9)])

    expect(
      ledger.lost([
        { id: 1, leaseToken: 5 },
        { id: 2, leaseToken: 5 },
      ]),
    ).toEqual([])
    expect(ledger.running()).toEqual([a])
    expect(ledger.takeCommit()?.map(({ id }) => id)).toEqual([2])
  })
})

describe('a handler that goes on after it was given up', () => {
  test('keeps its slot until it ends', () => {
    const ledger = new Ledger([1])
    const [a] = running(ledger, jobs(1))
    giveUp(ledger, a!)
    ledger.committed(ledger.takeCommit()!, [])

    const whileStuck = [ledger.takeRoom(), ledger.stuck().length, ledger.activeCount]
    ledger.ended(a!.job)

    expect(whileStuck).toEqual([0, 1, 1])
    expect([ledger.takeRoom(), ledger.stuck().length, ledger.activeCount]).toEqual([1, 0, 0])
  })

  test('stands in nobody’s way when the rest is done', () => {
    const ledger = new Ledger([2])
    const [a] = running(ledger, jobs(1))
    giveUp(ledger, a!)
    const beforeCommit = ledger.idle

    ledger.committed(ledger.takeCommit()!, [])

    expect([beforeCommit, ledger.idle]).toEqual([false, true])
  })

  test('is all there is when every slot is held so', () => {
    const ledger = new Ledger([1, 1])
    const [a, b] = running(ledger, jobs(2))

    giveUp(ledger, a!)
    const one = ledger.allStuck
    giveUp(ledger, b!)
    const both = ledger.allStuck
    ledger.ended(a!.job)

    expect([one, both, ledger.allStuck]).toEqual([false, true, false])
  })
})

describe('a drain', () => {
  test('gives back what has not started', () => {
    const ledger = new Ledger([1])
    ledger.leased(ledger.takeRoom(), jobs(3))
    const started = ledger.takeCommit()!

    ledger.stopLeasing()
    ledger.committed(started, [])

    expect(ledger.takeCommit()?.map(({ id, event }) => [id, event])).toEqual([
      [2, 'release'],
      [3, 'release'],
    ])
  })

  test('gives back what comes after it', () => {
    const ledger = new Ledger([2])
    const room = ledger.takeRoom()
    ledger.stopLeasing()

    ledger.leased(room, jobs(2))

    expect(ledger.takeCommit()?.map(({ event }) => event)).toEqual(['release', 'release'])
  })

  test('that ran out of time gives back what runs, and waits for it no longer', () => {
    const ledger = new Ledger([2])
    const begun = running(ledger, jobs(2))
    ledger.stopLeasing()

    ledger.giveUpRunning()
    const events = ledger.takeCommit()!
    const beforeCommit = ledger.idle
    ledger.committed(events, [])

    expect(events).toEqual(begun.map(({ job: { id, leaseToken } }) => ({ id, leaseToken, event: 'release' })))
    expect([beforeCommit, ledger.idle]).toEqual([false, true])
  })

  test('is over only when the last commit is on disk', () => {
    const ledger = new Ledger([2])
    const [a] = running(ledger, jobs(1))
    ledger.stopLeasing()

    const whileRunning = ledger.idle
    settle(ledger, a!, 'succeed', long)
    const uncommitted = ledger.idle
    const events = ledger.takeCommit()!
    const committing = ledger.idle
    ledger.committed(events, [])

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
  test('no slot is given twice, nothing runs before its start is committed, no outcome is forgotten or told twice', () => {
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
            if (from !== to) made.add(`${from} ${eventBehind(what, from, to)} ${to}`)
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
function eventBehind(what: Step, from: SlotPhase, to: SlotPhase): SlotEventType | undefined {
  const events: Partial<Record<Step, SlotEventType>> = {
    commit: 'assign',
    committed: to === 'running' ? 'begin' : 'refuse',
    settle: from === 'stuck' ? 'end' : 'settle',
    stick: 'giveUp',
    giveUp: 'giveUp',
    ended: 'end',
    lose: 'lose',
  }
  return events[what]
}

type Step = 'ask' | 'answer' | 'commit' | 'committed' | 'settle' | 'stick' | 'ended' | 'lose' | 'stop' | 'giveUp'

/** Each as often as it shall come up. */
function steps(): Step[] {
  const often: Step[] = ['ask', 'answer', 'commit', 'committed', 'settle']
  return [...often, ...often, ...often, 'stick', 'ended', 'lose', 'lose', 'stop', 'giveUp']
}

/** Everything around the ledger, kept the simplest way: what was asked, leased, sent and told, by job. */
class World {
  readonly ledger: Ledger
  readonly workers: readonly number[]
  readonly asked: number[] = []
  readonly jobs = new Map<number, LeasedJob>()
  readonly phases = new Map<number, 'waiting' | 'starting' | 'running' | 'stuck' | 'gone'>()
  readonly workerOf = new Map<number, number>()
  readonly lostWhileRunning = new Set<number>()
  readonly givenUp = new Set<number>()
  readonly commits: LeaseEvent[][] = []
  /** Outcomes told to the ledger that no commit has taken yet. */
  readonly owed: LeaseEvent[] = []
  stopped = false
  #lastId = 0

  constructor(workers: readonly number[]) {
    this.workers = workers
    this.ledger = new Ledger(workers)
  }

  get total(): number {
    return this.workers.reduce((sum, n) => sum + n, 0)
  }

  in(...phases: string[]): number[] {
    return [...this.phases].filter(([, phase]) => phases.includes(phase)).map(([id]) => id)
  }

  take(what: Step, which: number, many: number, flag: boolean): void {
    const one = (ids: number[]) => (ids.length > 0 ? ids[which % ids.length] : undefined)
    switch (what) {
      case 'ask': {
        const room = this.ledger.takeRoom()
        expect(room).toBeGreaterThanOrEqual(0)
        if (this.stopped) expect(room).toBe(0)
        if (room > 0) this.asked.push(room)
        // Never more waiting or asked for than one for each free slot and one more for each slot.
        const free = this.total - this.in('starting', 'running', 'stuck').length
        if (room > 0)
          expect(this.in('waiting').length + this.asked.reduce((a, b) => a + b, 0)).toBeLessThanOrEqual(
            free + this.total,
          )
        return
      }
      case 'answer': {
        const room = this.asked.shift()
        if (room !== undefined) this.answer(room, Math.min(many, room))
        return
      }
      case 'commit':
        this.commit()
        return
      case 'committed':
        if (this.commits.length > 0) this.committed(flag ? which : null)
        return
      case 'settle': {
        const id = one([...this.in('running'), ...this.givenUp])
        if (id !== undefined) this.settle(id, flag ? 0 : long)
        return
      }
      case 'stick': {
        const id = one(this.in('running'))
        if (id === undefined) return
        this.tell(this.lostWhileRunning.has(id) ? null : event(id, 'fail'), id, long, false)
        this.phases.set(id, 'stuck')
        return
      }
      case 'ended': {
        const id = one(this.in('stuck').filter((stuck) => !this.givenUp.has(stuck)))
        if (id === undefined) return
        this.ledger.ended(this.jobs.get(id)!)
        this.phases.set(id, 'gone')
        return
      }
      case 'lose': {
        const id = one(this.in('waiting', 'starting', 'running', 'stuck'))
        if (id !== undefined) this.lose(id)
        return
      }
      case 'stop':
        if (this.stopped || !flag) return
        this.stopped = true
        this.ledger.stopLeasing()
        for (const id of this.in('waiting')) this.released(id)
        return
      case 'giveUp':
        if (!this.stopped) return
        this.ledger.giveUpRunning()
        for (const id of this.in('running')) {
          this.owed.push(event(id, 'release'))
          this.phases.set(id, 'stuck')
          this.givenUp.add(id)
        }
    }
  }

  answer(room: number, many: number): void {
    const leased = Array.from({ length: many }, () => aLeasedJob(++this.#lastId))
    this.ledger.leased(room, leased)
    for (const job of leased) {
      const { id } = job
      this.jobs.set(id, job)
      if (this.stopped) this.released(id)
      else this.phases.set(id, 'waiting')
    }
  }

  commit(): void {
    const events = this.ledger.takeCommit()
    if (!events) {
      // Only where there is nothing, or where a commit under way will take it along.
      const starts = Math.min(this.in('waiting').length, this.total - this.in('starting', 'running', 'stuck').length)
      if (this.commits.length === 0) expect([this.owed.length, starts]).toEqual([0, 0])
      return
    }
    const outcomes = events.filter(({ event }) => event !== 'start')
    const starts = events.filter(({ event }) => event === 'start')
    expect(outcomes).toEqual(this.owed.splice(0))
    expect(starts.length).toBeLessThanOrEqual(Math.ceil(this.total / 2))
    for (const { id } of starts) {
      expect(this.phases.get(id)).toBe('waiting')
      this.phases.set(id, 'starting')
    }
    this.commits.push(events)
    expect(this.commits.length).toBeLessThanOrEqual(2)
  }

  committed(refuse: number | null): void {
    const events = this.commits.shift()!
    const starts = events.filter(({ id, event }) => event === 'start' && this.phases.get(id) === 'starting')
    const refused = refuse === null || starts.length === 0 ? [] : [starts[refuse % starts.length]!]
    const toRun = this.ledger.committed(events, refused)

    const expected = starts.filter((start) => !refused.includes(start)).map(({ id }) => id)
    expect(toRun.map(({ job }) => job.id)).toEqual(expected)
    for (const { id } of refused) this.phases.set(id, 'gone')
    for (const { job, worker } of toRun) {
      this.phases.set(job.id, 'running')
      this.workerOf.set(job.id, worker)
    }
  }

  settle(id: number, tookMs: number): void {
    this.tell(this.lostWhileRunning.has(id) ? null : event(id, 'succeed'), id, tookMs, true)
    this.phases.set(id, 'gone')
    this.givenUp.delete(id)
  }

  tell(outcome: LeaseEvent | null, id: number, tookMs: number, ended: boolean): void {
    this.ledger.settled(this.jobs.get(id)!, outcome, tookMs, ended)
    if (outcome && !this.givenUp.has(id)) this.owed.push(outcome)
  }

  lose(id: number): void {
    const phase = this.phases.get(id)!
    const toAbort = this.ledger.lost([event(id, 'release')]).map(({ job }) => job.id)
    expect(toAbort).toEqual(phase === 'running' || phase === 'stuck' ? [id] : [])
    if (phase === 'running') this.lostWhileRunning.add(id)
    if (phase === 'waiting' || phase === 'starting') this.phases.set(id, 'gone')
  }

  released(id: number): void {
    this.phases.set(id, 'gone')
    this.owed.push(event(id, 'release'))
  }

  check(): void {
    const holding = this.in('starting', 'running', 'stuck')
    expect(holding.length).toBeLessThanOrEqual(this.total)
    expect(ids(this.ledger.assigned())).toEqual(holding.sort(byNumber))
    expect(this.ledger.activeCount).toBe(holding.length)
    expect(ids(this.ledger.running())).toEqual(this.in('running').sort(byNumber))
    expect(ids(this.ledger.stuck())).toEqual(this.in('stuck').sort(byNumber))
    expect(this.ledger.allStuck).toBe(this.in('stuck').length === this.total)
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
      for (const id of [...this.in('running'), ...this.givenUp]) this.settle(id, 0)
      for (const id of this.in('stuck')) {
        this.ledger.ended(this.jobs.get(id)!)
        this.phases.set(id, 'gone')
      }
      this.commit()
      while (this.commits.length > 0) this.committed(null)
      this.check()
      if (this.in('waiting', 'starting', 'running', 'stuck').length === 0 && this.owed.length === 0) break
    }
    expect(this.ledger.idle).toBe(true)
    expect(this.ledger.activeCount).toBe(0)
    if (!this.stopped) expect(this.ledger.takeRoom()).toBeGreaterThanOrEqual(this.total)
  }
}

describe('a job that is leased again', () => {
  // Its attempt was given up and failed, so the store hands it out anew while the old handler still holds its slot.
  test('beside a stuck attempt of its own has a slot of its own', () => {
    const ledger = new Ledger([3])
    const [old] = running(ledger, [aLeasedJob(1, 2)])
    giveUp(ledger, old!)
    ledger.committed(ledger.takeCommit()!, [])

    const [again] = running(ledger, [aLeasedJob(1, 5)])
    const both = [ledger.activeCount, ledger.running().length, ledger.stuck().length]
    ledger.ended(old!.job)
    const afterOld = ledger.running()
    settle(ledger, again!, 'succeed', long)

    expect(both).toEqual([2, 1, 1])
    expect(afterOld.map(({ job }) => job.leaseToken)).toEqual([5])
    expect([ledger.activeCount, ledger.takeRoom()]).toEqual([0, 3])
  })

  // Cancelled, requeued and leased again while its first start was on its way to disk.
  test('is not run, nor forgotten, because of the commit of an earlier start', () => {
    const ledger = new Ledger([2])
    ledger.leased(ledger.takeRoom(), [aLeasedJob(1, 2)])
    const first = ledger.takeCommit()!
    ledger.lost([{ id: 1, leaseToken: 2 }])
    ledger.leased(ledger.takeRoom(), [aLeasedJob(1, 5)])
    const second = ledger.takeCommit()!

    const toRunFirst = ledger.committed(first, first)
    const toRunSecond = ledger.committed(second, [])

    expect(toRunFirst).toEqual([])
    expect(toRunSecond.map(({ job }) => job.leaseToken)).toEqual([5])
  })
})

describe('a ledger that drains', () => {
  test('is not idle while the store may still answer with jobs', () => {
    const ledger = new Ledger([2])
    const room = ledger.takeRoom()

    ledger.stopLeasing()
    const unanswered = ledger.idle
    ledger.leased(room, [])

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
    const [a] = jobs(1)
    ledger.leased(ledger.takeRoom(), [a!])
    ledger.takeCommit()

    expect(() => settle(ledger, { job: a! }, 'succeed', long)).toThrow('a slot that is starting does not take settle')
    expect(() => ledger.ended(a!)).toThrow('a slot that is starting does not take end')
  })

  test('knows no slot of a job that holds none', () => {
    const ledger = new Ledger([1])
    const [a] = running(ledger, jobs(1))
    settle(ledger, a!, 'succeed', long)

    expect(() => settle(ledger, a!, 'succeed', long)).toThrow('job 1 holds no slot')
  })
})

function aLeasedJob(id: number, leaseToken = 100 + id): LeasedJob {
  return { id, leaseToken, type: 'work', payload: '{}', attempt: 0, maxAttempts: 3, timeoutMs: null, runAt: 0 }
}

function jobs(count: number, first = 1): LeasedJob[] {
  return Array.from({ length: count }, (_, index) => aLeasedJob(first + index))
}

/** Leases these and brings them to where their handlers run. */
function running(ledger: Ledger, leased: readonly LeasedJob[]): Assigned[] {
  ledger.leased(ledger.takeRoom(), leased)
  const begun: Assigned[] = []
  for (let events = ledger.takeCommit(); events; events = ledger.takeCommit())
    begun.push(...ledger.committed(events, []))
  return begun
}

function settle(
  ledger: Ledger,
  { job }: { readonly job: LeasedJob },
  outcome: LeaseEvent['event'] | null,
  tookMs: number,
): void {
  ledger.settled(job, outcome && { id: job.id, leaseToken: job.leaseToken, event: outcome }, tookMs, true)
}

/** Its grace has passed: the attempt failed, and its handler goes on. */
function giveUp(ledger: Ledger, { job }: Assigned): void {
  ledger.settled(job, { id: job.id, leaseToken: job.leaseToken, event: 'fail' }, long, false)
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
