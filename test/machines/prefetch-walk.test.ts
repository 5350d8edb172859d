import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { transition } from 'xstate'
import type { LeasedJob, LeaseEvent } from '../../src/machines/lease.ts'
import { type Prefetch, rateMs } from '../../src/machines/prefetch.ts'
import { type Assigned, type Slots, slotMachine } from '../../src/machines/slots.ts'
import {
  aLeasedJob,
  aPrefetch,
  assign,
  byNumber,
  event,
  ids,
  type LeaseRequest,
  roomOf,
  roomsOf,
  stuckIn,
  sum,
  sumOf,
} from '../support/prefetch.ts'

type SlotPhase = Assigned['phase']
type SlotEventType = Parameters<Slots['move']>[1]

import { shareOf } from '../support/share.ts'

describe('whatever happens, in any order', () => {
  // Small, so that every kind of congestion occurs.
  const slots = fc.array(fc.integer({ min: 1, max: 3 }), { minLength: 1, maxLength: 3 })
  const step = fc.record({
    what: fc.constantFrom<Step>(...steps()),
    which: fc.nat(),
    many: fc.nat(6),
    flag: fc.boolean(),
  })

  // `size`: else scripts have ten steps at most.
  test('no slot is given or requested twice, nothing runs without a start, no outcome is lost or reported twice', () => {
    fc.assert(
      fc.property(slots, fc.array(step, { maxLength: 120, size: 'max' }), (workers, script) => {
        const world = new World(workers)
        for (const { what, which, many, flag } of script) {
          world.take(what, which, many, flag)
          world.check()
        }
        world.finish()
      }),
      { numRuns: shareOf({ share: 150, whole: 500 }) },
    )
  })

  test('slots take only transitions of their machine, and each of them', () => {
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

/** Every edge of the slot's machine: the phase, the event, the next phase. */
function machineMoves(): string[] {
  return (Object.keys(slotMachine.states) as SlotPhase[]).flatMap((from) =>
    (slotMachine.events as SlotEventType[]).flatMap((type) => {
      const to = transition(slotMachine, slotMachine.resolveState({ value: from }), { type })[0].value
      return to === from ? [] : [`${from} ${type} ${to}`]
    }),
  )
}

/** The phase of each job's slot; `free` if the job holds none. */
function phasesOf({ slots, jobs }: World): Map<LeasedJob, SlotPhase> {
  const held = new Map(slots.assigned().map(({ job, phase }): [object, SlotPhase] => [job, phase]))
  return new Map([...jobs.values()].map((job) => [job, held.get(job) ?? 'free']))
}

/** Which event of a slot a call stands for. */
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

type Step = 'ask' | 'answer' | 'assign' | 'commit' | 'committed' | 'settle' | 'measure' | Seldom
type Seldom = 'stick' | 'ended' | 'lose' | 'stop' | 'giveUp'

/** Each as often as it should occur. */
function steps(): Step[] {
  const often: Step[] = ['ask', 'answer', 'assign', 'commit', 'committed', 'settle', 'settle']
  return [...often, ...often, ...often, 'measure', 'stick', 'ended', 'lose', 'lose', 'stop', 'giveUp']
}

/** Everything around slots and prefetch, kept in the simplest way: what was requested, started, sent and reported, by job. */
class World {
  readonly slots: Slots
  readonly prefetch: Prefetch
  readonly workers: readonly number[]
  readonly asked: LeaseRequest[] = []
  /** Started and without a slot, in order. */
  readonly next: number[] = []
  readonly jobs = new Map<number, LeasedJob>()
  readonly phases = new Map<number, 'next' | 'running' | 'stuck' | 'gone'>()
  readonly assigned = new Map<number, Assigned>()
  readonly workerOf = new Map<number, number>()
  readonly lost = new Set<number>()
  readonly givenUp = new Set<number>()
  readonly commits: LeaseEvent[][] = []
  /** Outcomes that were reported to the prefetch and that no commit has taken yet. */
  readonly owed: LeaseEvent[] = []
  stopped = false
  /** Slots that became free in the last `rateMs`, and since then; whether the last answer had as many jobs as requested. */
  pace = 0
  freed = 0
  hasMore = false
  #lastId = 0

  constructor(workers: readonly number[]) {
    this.workers = workers
    const { slots, prefetch } = aPrefetch(workers)
    this.slots = slots
    this.prefetch = prefetch
  }

  get total(): number {
    return sum(this.workers)
  }

  get free(): number {
    return this.total - this.in('running', 'stuck').length
  }

  /** A tenth of the slots that become free in `rateMs`, if the store has more jobs. */
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
        const rooms = roomsOf(this.prefetch)
        this.asked.push(...rooms)
        // One for each free slot that has neither a job nor a request for one, and with the jobs that are there as many more as are allowed.
        const aheadMax = this.owed.length === 0 ? 0 : this.aheadMax
        expect(sumOf(rooms)).toBe(this.stopped ? 0 : Math.max(unserved + aheadMax, 0))
        // A request that waits for a job waits for a free slot.
        const waiting = rooms.filter(({ wait }) => wait)
        expect(sumOf(waiting)).toBeLessThanOrEqual(Math.max(unserved, 0))
        expect(waiting).toEqual(this.hasMore ? [] : rooms)
        return
      }
      case 'answer': {
        const limit = this.asked.shift()
        // Mostly as many as were requested.
        if (limit) this.answer(limit, flag ? limit.limit : Math.min(many, limit.limit))
        return
      }
      case 'assign':
        this.assign()
        return
      case 'measure':
        this.measured()
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
        this.prefetch.stopLeasing()
        this.giveBackAllBut(0)
        return
      case 'giveUp': {
        if (!this.stopped) return
        this.prefetch.giveUpRunning()
        const slotOf = (id: number) => this.assigned.get(id)!.slot
        for (const id of this.in('running').sort((a, b) => slotOf(a) - slotOf(b))) {
          this.owed.push(event(id, 'release'))
          this.phases.set(id, 'stuck')
          this.givenUp.add(id)
        }
      }
    }
  }

  answer({ limit }: LeaseRequest, many: number): void {
    const started = Array.from({ length: many }, () => aLeasedJob(++this.#lastId))
    this.prefetch.started(limit, started)
    this.hasMore = many === limit
    for (const job of started) {
      this.jobs.set(job.id, job)
      this.phases.set(job.id, 'next')
      this.next.push(job.id)
    }
    if (this.stopped) this.giveBackAllBut(0)
  }

  assign(): void {
    const due = this.next.splice(0, this.free)
    const begun = assign(this.prefetch)
    expect(begun.map(({ job }) => job.id)).toEqual(due)
    for (const assigned of begun) {
      const { job, worker } = assigned
      this.phases.set(job.id, 'running')
      this.assigned.set(job.id, assigned)
      this.workerOf.set(job.id, worker)
    }
  }

  measured(): void {
    this.prefetch.measured(rateMs)
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
    expect(this.prefetch.isDue).toBe(this.owed.length >= (this.commits.length === 0 || runsNext ? 1 : part))
    const events = this.prefetch.takeCommit()
    if (!events) {
      expect(this.owed).toEqual([])
      return
    }
    expect(events).toEqual(this.owed.splice(0))
    this.commits.push(events)
  }

  committed(): void {
    this.commits.shift()
    this.prefetch.committed()
  }

  settle(id: number): void {
    this.tell(this.lost.has(id) ? null : event(id, 'succeed'), id, true)
    this.phases.set(id, 'gone')
    this.givenUp.delete(id)
    this.freed++
  }

  ended(id: number): void {
    this.slots.move(this.assigned.get(id)!, 'end')
    this.phases.set(id, 'gone')
    this.freed++
  }

  tell(outcome: LeaseEvent | null, id: number, ended: boolean): void {
    this.prefetch.settled(this.assigned.get(id)!, outcome, ended)
    if (outcome && !this.givenUp.has(id)) this.owed.push(outcome)
  }

  lose(id: number): void {
    const phase = this.phases.get(id)!
    const toAbort = this.prefetch.lost([event(id, 'release')]).map(({ job }) => job.id)
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
    expect(ids(this.slots.assigned())).toEqual(holding.sort(byNumber))
    expect(this.slots.activeCount).toBe(holding.length)
    expect(ids(this.slots.running())).toEqual(this.in('running').sort(byNumber))
    expect(ids(stuckIn(this.slots))).toEqual(this.in('stuck').sort(byNumber))
    expect(this.slots.allStuck).toBe(this.in('stuck').length === this.total)
    const underWay = this.in('next', 'running').length + this.asked.length + this.owed.length + this.commits.length
    expect(this.prefetch.idle).toBe(underWay === 0)
    for (const [worker, slots] of this.workers.entries()) {
      const jobs = this.slots.assigned().filter((assigned) => assigned.worker === worker)
      expect(jobs.length).toBeLessThanOrEqual(slots)
    }
    for (const { job, worker } of this.slots.running()) expect(worker).toBe(this.workerOf.get(job.id))
  }

  /** Without faults every job must end, with every outcome committed and every slot free. */
  finish(): void {
    for (let turns = 0; turns < 1_000; turns++) {
      for (const limit of this.asked.splice(0)) this.answer(limit, 0)
      for (const id of [...this.in('running'), ...this.givenUp]) this.settle(id)
      for (const id of this.in('stuck')) this.ended(id)
      this.assign()
      this.commit()
      while (this.commits.length > 0) this.committed()
      this.check()
      if (this.in('next', 'running', 'stuck').length === 0 && this.owed.length === 0) break
    }
    expect(this.prefetch.idle).toBe(true)
    expect(this.slots.activeCount).toBe(0)
    expect(roomOf(this.prefetch)).toBe(this.stopped ? 0 : this.total)
  }
}
