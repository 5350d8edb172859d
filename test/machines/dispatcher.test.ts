import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { JobCancelledError, LeaseLostError, ShutdownError } from '../../src/errors.ts'
import { dispatcherMachine } from '../../src/machines/dispatcher.ts'
import type { LeaseEvent } from '../../src/machines/lease.ts'
import { rateMs } from '../../src/machines/prefetch.ts'
import {
  nothingFound,
  partOf,
  type StartedDispatcher,
  startDispatcher,
  startDispatching,
  tick,
  turn,
} from '../support/dispatcher.ts'
import { useFakeTimers, useRealTimers } from '../support/fake-timers.ts'
import { aLeasedJob, jobs } from '../support/prefetch.ts'

const modes = ['recovering', 'dispatching', 'stuck', 'draining', 'stopped'] as const
const events = [
  'recovered',
  'leased',
  'applied',
  'gathered',
  'measured',
  'storeFailed',
  'settled',
  'ended',
  'lost',
  'drain',
  'abort',
  'giveUp',
]

/** XState accepts misspelt names silently. */
describe('the machine', () => {
  test('has these modes', () => {
    expect(Object.keys(dispatcherMachine.states).sort()).toEqual([...modes].sort())
    expect(dispatcherMachine.config.initial).toBe('recovering')
  })

  test('accepts these events', () => {
    expect([...dispatcherMachine.events].sort()).toEqual([...events].sort())
  })

  test.each(modes.filter((mode) => mode !== 'stopped'))('drops no event while it is %s', (mode) => {
    const { on: anywhere, states } = dispatcherMachine.config
    const taken = { ...anywhere, ...states![mode]?.on }

    expect(events.filter((event) => !(event in taken))).toEqual([])
  })

  test('names only existing actions, guards and actors', () => {
    const named = { actions: new Set<string>(), guards: new Set<string>() }
    collect(dispatcherMachine.config, named)
    const { actions, guards, actors } = dispatcherMachine.implementations

    expect([...named.actions].filter((name) => !(name in actions))).toEqual([])
    expect([...named.guards].filter((name) => !(name in guards))).toEqual([])
    expect(Object.keys(actors).sort()).toEqual(['timers', 'worker'])
    expect(Object.keys(actions).filter((name) => !named.actions.has(name))).toEqual([])
  })
})

describe('a dispatcher', () => {
  test('leases nothing before a dead process’s jobs have been recovered', async () => {
    const { store, mode, emitted } = startDispatcher(2)
    await turn()
    const before = [mode(), [...store.calls], [...emitted]]

    store.recovery.resolve(nothingFound)
    await turn()

    expect(before).toEqual(['recovering', ['recover'], []])
    expect([mode(), store.limit, emitted]).toEqual(['dispatching', 2, [{ type: 'ready' }]])
  })

  test('requests jobs that one commit leases and starts, and waits for them', async () => {
    const { store } = await startDispatching(2)

    expect(store.limit).toBe(2)
    expect(store.leases.filter(({ wait, start }) => !wait || !start)).toEqual([])
  })

  test('runs nothing before its start is on disk, and then at once', async () => {
    const { store, attempts } = await startDispatching(2)
    const unanswered = attempts.size

    await store.give(aLeasedJob(1))

    expect([unanswered, [...attempts.keys()]]).toEqual([0, [1]])
    expect(store.calls.filter((call) => call.startsWith('apply'))).toEqual([])
  })

  test('requests a job for each free slot once, and none ahead of them if slots rarely become free', async () => {
    const { store, attempts } = await startDispatching(4)

    await store.give(aLeasedJob(1))
    const afterOne = store.limit
    await store.give(...jobs(4).slice(1))
    const afterAll = store.limit
    attempts.get(2)!.end('succeed')
    attempts.get(3)!.end('succeed')
    await turn()

    expect([afterOne, afterAll, store.limit]).toEqual([3, 0, 2])
  })

  test('reports how far recovery has come, what it found, and which outcomes are on disk', async () => {
    const { store, attempts, heard } = startDispatcher(2)

    store.recovering(2)
    store.recovery.resolve({ ...nothingFound, running: 3 })
    await turn()
    await store.give(...jobs(2))
    attempts.get(1)!.end('succeed')
    attempts.get(2)!.end('fail')
    await turn()
    const uncommitted = [...heard]
    await store.commit()

    expect(uncommitted).toEqual(['recovering 2', 'recovered 3'])
    expect(heard.slice(2)).toEqual(['committed 1, 2'])
  })

  test('reports refused outcomes', async () => {
    const { store, attempts, emitted } = await startDispatching(1)
    await store.give(aLeasedJob(1))
    attempts.get(1)!.end('succeed')
    await turn()

    const [late] = await store.commit(() => true)

    expect(emitted).toEqual([{ type: 'ready' }, { type: 'refused', events: [late] }])
    expect(store.limit).toBe(1)
  })

  test('commits outcomes that arrive without a pause together', async () => {
    const { store, attempts } = await startDispatching(16)
    await store.give(...jobs(16))

    attempts.get(1)!.end('succeed')
    attempts.get(2)!.end('fail')
    attempts.get(3)!.end('snooze')
    await tick()

    expect(store.commits.map((commit) => commit.events.map(({ id, event }) => [id, event]))).toEqual([
      [
        [1, 'succeed'],
        [2, 'fail'],
        [3, 'snooze'],
      ],
    ])
  })

  test('commits the first outcome at once, and those that follow in the same turn together at its end', async () => {
    const { store, attempts } = await startDispatching(16)
    await store.give(...jobs(16))
    await succeed(attempts, [1, 2, 3], tick)

    const within = idsOf(store.commits)
    await turn()

    expect([within, idsOf(store.commits)]).toEqual([[[1]], [[1], [2, 3]]])
  })

  test('commits many outcomes in parts, within the turn, and requests jobs for the slots that each freed', async () => {
    const slots = 12
    const part = partOf(slots)
    const { store, attempts } = await startDispatching(slots)
    await store.give(...jobs(slots))

    await succeed(attempts, range(1, part + 1), tick)
    const first = [idsOf(store.commits), store.calls.filter((call) => call === 'apply').length]
    const limit = store.limit
    await succeed(attempts, range(part + 2, slots), tick)
    const within = idsOf(store.commits).length
    await turn()

    expect(first).toEqual([[[1], range(2, part + 1)], 0])
    expect([limit, within]).toEqual([part + 1, 2])
    expect(idsOf(store.commits)[2]).toEqual(range(part + 2, slots))
  })

  test('commits outcomes of later turns beside the commits in progress', async () => {
    const { store, attempts } = await startDispatching(12)
    await store.give(...jobs(12))

    await succeed(attempts, [1, 2, 3], turn)

    expect(idsOf(store.commits)).toEqual([[1], [2], [3]])
  })

  test('sends the outcomes at hand before it calls the handlers of the next jobs', async () => {
    const { store, attempts } = await startDispatching(12)
    await store.give(aLeasedJob(1), aLeasedJob(2))
    await succeed(attempts, [1, 2], tick)
    store.answer(aLeasedJob(3))
    await tick()

    expect(store.calls.filter((call) => !call.startsWith('lease'))).toEqual([
      'recover',
      'run 1',
      'run 2',
      'apply succeed 1',
      'apply succeed 2',
      'run 3',
    ])
  })

  test('calls the handlers of several parts in separate turns: the outcomes of the first are sent before', async () => {
    const { store, attempts } = await startDispatching(4)
    store.answer(...jobs(4))
    await tick()
    for (const id of [1, 2]) attempts.get(id)!.end('succeed')
    await turn()

    expect(store.calls.filter((call) => !call.startsWith('lease'))).toEqual([
      'recover',
      'run 1',
      'run 2',
      'apply succeed 1, succeed 2',
      'run 3',
      'run 4',
    ])
  })

  test.each([1, 7, 100, 101, 250])('runs as many attempts at once as it has slots: %i', async (workers) => {
    const { actor, store, attempts } = await startDispatching(workers)

    await store.give(...jobs(workers))

    expect(attempts.size).toBe(workers)
    expect(store.leases).toEqual([])
    // Stopping a parent of more is quadratic.
    expect(Object.keys(actor.getSnapshot().children)).toHaveLength(1 + Math.min(workers, 100))
  })

  test('leases for a slot as soon as it is free', async () => {
    const { store, attempts } = await startDispatching(1)
    await store.give(aLeasedJob(1))
    const whileRunning = store.leases.length

    attempts.get(1)!.end('succeed')
    await turn()

    expect([whileRunning, store.limit]).toEqual([0, 1])
  })

  test('aborts a running job whose lease was taken away, with the reason', async () => {
    const { actor, store, attempts } = await startDispatching(2)
    await store.give(aLeasedJob(1), aLeasedJob(2))

    const leases = [1, 2].map((id) => ({ id, leaseToken: aLeasedJob(id).leaseToken, cancelled: id === 1 }))
    actor.send({ type: 'lost', leases })

    expect(attempts.get(1)!.aborts).toEqual([{ reason: expect.any(JobCancelledError), lost: true }])
    expect(attempts.get(2)!.aborts).toEqual([{ reason: expect.any(LeaseLostError), lost: true }])
  })

  test('uses the slot of a cancelled job only when its handler has ended', async () => {
    const { actor, store, attempts } = await startDispatching(1)
    await store.give(aLeasedJob(1))
    actor.send({ type: 'lost', leases: [{ ...aLeasedJob(1), cancelled: true }] })
    await turn()
    const before = store.leases.length

    attempts.get(1)!.end(null)
    await turn()

    expect([before, store.leases.length, store.commits.length]).toEqual([0, 1, 0])
  })

  test('aborts a job that is lost right after its start, once it hears of both', async () => {
    const { actor, store, attempts } = await startDispatching(1)

    store.answer(aLeasedJob(1))
    // As the system sends it: in a turn of its own.
    setImmediate(() =>
      setImmediate(() => actor.send({ type: 'lost', leases: [{ ...aLeasedJob(1), cancelled: true }] })),
    )
    await turn()

    expect(attempts.get(1)!.aborts).toEqual([{ reason: expect.any(JobCancelledError), lost: true }])
  })

  test('reports once that every slot is held by a handler that does not end', async () => {
    const { store, attempts, emitted, mode } = await startDispatching(2)
    await store.give(aLeasedJob(1), aLeasedJob(2))

    attempts.get(1)!.stick()
    await turn()
    const one = mode()
    attempts.get(2)!.stick()
    await turn()
    while (store.commits.length > 0) await store.commit()

    expect([one, mode()]).toEqual(['dispatching', 'stuck'])
    expect(emitted.filter(({ type }) => type === 'allStuck')).toHaveLength(1)
  })

  test('continues with the other slots while one is stuck', async () => {
    const { store, attempts, mode } = await startDispatching(2)
    await store.give(aLeasedJob(1))

    attempts.get(1)!.stick()
    await turn()
    await store.give(aLeasedJob(2))

    expect([mode(), attempts.has(2)]).toEqual(['dispatching', true])
  })

  test('uses a stuck slot again once its handler finally ends', async () => {
    const { store, attempts } = await startDispatching(1)
    await store.give(aLeasedJob(1))
    attempts.get(1)!.stick()
    await turn()
    await store.commit()
    const whileStuck = store.leases.length

    attempts.get(1)!.unstick()
    await turn()

    expect([whileStuck, store.leases.length]).toEqual([0, 1])
  })
})

describe('a dispatcher under a load of short jobs', () => {
  // The load passes with these timers only, however late the machine is.
  beforeEach(() => useFakeTimers(['setTimeout', 'clearTimeout']))
  afterEach(() => useRealTimers())

  test('requests jobs ahead together with an outcome, and does not wait for them', async () => {
    const { store } = await underLoad()

    expect(store.leases.map(({ limit, wait, start }) => ({ limit, wait, start }))).toEqual([
      { limit: 1, wait: false, start: true },
      { limit: 1, wait: false, start: true },
    ])
  })

  test('waits for a job for each free slot if there are no more', async () => {
    const { store } = await underLoad()

    for (const { resolve } of store.leases.splice(0)) resolve([])
    await turn()

    expect(store.leases.map(({ limit, wait }) => ({ limit, wait }))).toEqual([{ limit: 1, wait: true }])
  })

  test('runs a prefetched job when a slot becomes free, with the outcome that freed it being committed', async () => {
    const { store, attempts } = await underLoad()
    await store.give(aLeasedJob(1_001), aLeasedJob(1_002))
    const before = attempts.has(1_002)
    store.calls.length = 0

    attempts.get(1_001)!.end('succeed')
    await turn()
    // Also beside a commit that is under way.
    await store.give(aLeasedJob(1_003))
    attempts.get(1_002)!.end('succeed')
    await tick()

    expect(before).toBe(false)
    expect(store.calls).toEqual([
      ...['lease', 'apply succeed 1001', 'run 1002'],
      ...['lease', 'apply succeed 1002', 'run 1003'],
    ])
  })

  test('gives it back if no slot becomes free for a tenth of a second', async () => {
    const { store, attempts } = await underLoad()
    await store.give(aLeasedJob(1_001), aLeasedJob(1_002))
    store.calls.length = 0

    vi.advanceTimersByTime(rateMs)
    const early = [...store.calls]
    vi.advanceTimersByTime(rateMs)
    await turn()

    expect([early, store.calls, attempts.has(1_002)]).toEqual([[], ['apply release 1002'], false])
  })

  test('forgets it if it is cancelled', async () => {
    const { actor, store, attempts } = await underLoad()
    await store.give(aLeasedJob(1_001), aLeasedJob(1_002))
    actor.send({ type: 'lost', leases: [{ ...aLeasedJob(1_002), cancelled: true }] })

    attempts.get(1_001)!.end('succeed')
    await turn()

    expect(attempts.has(1_002)).toBe(false)
  })

  test('gives it back when told to drain, and waits for that', async () => {
    const { actor, store, attempts, mode } = await underLoad()
    await store.give(aLeasedJob(1_001), aLeasedJob(1_002))
    attempts.get(1_001)!.end('succeed')

    actor.send({ type: 'drain' })
    await turn()
    const uncommitted = mode()
    while (store.commits.length > 0) await store.commit()

    expect([uncommitted, mode(), attempts.has(1_002)]).toEqual(['draining', 'stopped', false])
    expect(store.calls).toContain('apply release 1002')
  })

  /** With one worker, which has run enough jobs for one ahead, and no more; it waits for the next. */
  async function underLoad(): Promise<StartedDispatcher> {
    const started = await startDispatching(1)
    for (const { id } of jobs(10)) {
      await started.store.give(aLeasedJob(id))
      started.attempts.get(id)!.end('succeed')
      await turn()
    }
    while (started.store.commits.length > 0) await started.store.commit()
    return started
  }
})

describe('a dispatcher told to drain', () => {
  test('stops at once if nothing runs', async () => {
    const { actor, store, mode } = await startDispatching(2)

    actor.send({ type: 'drain' })
    await turn()

    expect([mode(), actor.getSnapshot().status]).toEqual(['stopped', 'done'])
    expect(store.calls).toContain('stopLeasing')
  })

  test('during recovery leases nothing any more', async () => {
    const { actor, store, mode, emitted, heard } = startDispatcher(2)

    actor.send({ type: 'drain' })
    store.recovery.resolve(nothingFound)
    await turn()

    expect(mode()).toBe('stopped')
    expect(store.calls.filter((call) => call.startsWith('lease'))).toEqual([])
    expect(emitted).toEqual([])
    expect(heard).toEqual(['recovered 0'])
  })

  test('waits for running jobs and commits their outcomes', async () => {
    const { actor, store, attempts, mode } = await startDispatching(2)
    await store.give(aLeasedJob(1))

    actor.send({ type: 'drain' })
    await turn()
    const running = mode()
    attempts.get(1)!.end('succeed')
    await turn()
    const uncommitted = mode()
    await store.commit()

    expect([running, uncommitted, mode()]).toEqual(['draining', 'draining', 'stopped'])
    expect(store.calls.at(-1)).toBe('apply succeed 1')
  })

  test('may be told twice', async () => {
    const { actor, store, attempts } = await startDispatching(1)
    await store.give(aLeasedJob(1))

    actor.send({ type: 'drain' })
    actor.send({ type: 'drain' })
    attempts.get(1)!.end('succeed')
    await turn()
    await store.commit()

    expect(store.calls.filter((call) => call === 'stopLeasing')).toHaveLength(1)
    expect(actor.getSnapshot().status).toBe('done')
  })

  test('while all slots are stuck stops without waiting for the handlers', async () => {
    const { actor, store, attempts, mode } = await startDispatching(1)
    await store.give(aLeasedJob(1))
    attempts.get(1)!.stick()
    await turn()
    const before = mode()

    actor.send({ type: 'drain' })
    await turn()
    const uncommitted = mode()
    await store.commit()

    expect([before, uncommitted, mode()]).toEqual(['stuck', 'draining', 'stopped'])
  })

  // The store leased and started jobs in the commit before it heard of the drain: their answer is on its way.
  test('gives back the jobs of a lease that was being answered, and waits for that', async () => {
    const { actor, store, attempts, mode } = await startDispatching(4)
    store.answer(aLeasedJob(1), aLeasedJob(2))

    actor.send({ type: 'drain' })
    await turn()
    const beforeCommit = mode()
    await store.commit()

    expect(store.calls.at(-1)).toBe('apply release 1, release 2')
    expect([attempts.size, beforeCommit, mode()]).toEqual([0, 'draining', 'stopped'])
  })
})

describe('a dispatcher told to abort', () => {
  test('ignores it unless it drains', async () => {
    const { actor, store, attempts, mode } = await startDispatching(1)
    await store.give(aLeasedJob(1))

    actor.send({ type: 'abort' })
    actor.send({ type: 'giveUp' })

    expect([mode(), attempts.get(1)!.aborts]).toEqual(['dispatching', []])
  })

  test('aborts running jobs, and keeps their leases until they have ended', async () => {
    const { actor, store, attempts, mode } = await startDispatching(2)
    await store.give(aLeasedJob(1))
    actor.send({ type: 'drain' })

    actor.send({ type: 'abort' })
    await turn()
    const aborted = mode()
    attempts.get(1)!.end('release')
    await turn()
    await store.commit()

    expect(attempts.get(1)!.aborts).toEqual([{ reason: expect.any(ShutdownError), lost: false }])
    expect([aborted, mode(), store.calls.at(-1)]).toEqual(['draining', 'stopped', 'apply release 1'])
  })

  test('before it has heard of the jobs of its last lease runs none of them', async () => {
    const { actor, store, attempts, mode } = await startDispatching(1)
    store.answer(aLeasedJob(1))
    actor.send({ type: 'drain' })

    actor.send({ type: 'abort' })
    await turn()
    const given = [mode(), store.calls.at(-1)]
    await store.commit()

    expect([given, mode(), attempts.size]).toEqual([['draining', 'apply release 1'], 'stopped', 0])
  })
})

describe('a dispatcher told to give up', () => {
  test('gives back running jobs and stops when that is on disk', async () => {
    const { actor, store, mode } = await startDispatching(2)
    await store.give(aLeasedJob(1))
    actor.send({ type: 'drain' })
    actor.send({ type: 'abort' })

    actor.send({ type: 'giveUp' })
    await turn()
    const uncommitted = mode()
    await store.commit()

    expect([uncommitted, mode(), store.calls.at(-1)]).toEqual(['draining', 'stopped', 'apply release 1'])
  })
})

describe('a store that fails', () => {
  const broken = new Error('the disk is gone')

  test.each([
    ['recover', async (started) => started.store.recovery.reject(broken)],
    [
      'lease',
      async (started) => {
        started.store.recovery.resolve(nothingFound)
        await turn()
        started.store.leases[0]!.reject(broken)
      },
    ],
    [
      'apply',
      async (started) => {
        started.store.recovery.resolve(nothingFound)
        await turn()
        await started.store.give(aLeasedJob(1))
        started.attempts.get(1)!.end('succeed')
        await turn()
        started.store.commits[0]!.reject(broken)
      },
    ],
    [
      'stop leasing',
      async (started) => {
        started.store.recovery.resolve(nothingFound)
        await turn()
        await started.store.give(...jobs(2))
        started.store.stopping = { ...started.store.stopping, promise: Promise.reject(broken) }
        started.actor.send({ type: 'drain' })
      },
    ],
  ] satisfies [string, (started: ReturnType<typeof startDispatcher>) => Promise<void>][])(
    'to %s ends the dispatcher and tells its subscribers',
    async (_, fail) => {
      const started = startDispatcher(2)

      await fail(started)
      await turn()

      expect(started.errors).toEqual([broken])
      expect(started.actor.getSnapshot().status).toBe('error')
    },
  )
})

interface Named {
  readonly actions: Set<string>
  readonly guards: Set<string>
}

/** Every action and guard that a machine's definition names, at any depth. */
function collect(config: unknown, named: Named): void {
  if (typeof config !== 'object' || config === null) return
  for (const [key, value] of Object.entries(config)) {
    const add = (to: Set<string>, one: unknown) => {
      if (typeof one === 'string') to.add(one)
      else if (typeof one === 'object' && one !== null && 'type' in one) to.add(String(one.type))
    }
    if (key === 'actions' || key === 'entry' || key === 'exit') {
      for (const one of Array.isArray(value) ? value : [value]) add(named.actions, one)
    } else if (key === 'guard') add(named.guards, value)
    else if (key !== 'context') collect(value, named)
  }
}

function range(from: number, to: number): number[] {
  return Array.from({ length: to - from + 1 }, (_, index) => from + index)
}

/** One attempt after another, with a pause after each. */
async function succeed(attempts: StartedDispatcher['attempts'], ids: readonly number[], pause: () => Promise<void>) {
  for (const id of ids) {
    attempts.get(id)!.end('succeed')
    await pause()
  }
}

function idsOf(commits: readonly { readonly events: readonly LeaseEvent[] }[]): number[][] {
  return commits.map(({ events }) => events.map(({ id }) => id))
}
