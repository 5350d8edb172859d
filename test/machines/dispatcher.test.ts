import { describe, expect, test } from 'vitest'
import { JobCancelledError, LeaseLostError, ShutdownError } from '../../src/errors.ts'
import { dispatcherMachine } from '../../src/machines/dispatcher.ts'
import type { LeasedJob } from '../../src/machines/lease.ts'
import { startDispatcher, startDispatching, turn } from '../support/dispatcher.ts'

const modes = ['recovering', 'dispatching', 'stuck', 'draining', 'stopped'] as const
const events = [
  'recovered',
  'leased',
  'applied',
  'gathered',
  'storeFailed',
  'settled',
  'ended',
  'lost',
  'drain',
  'abort',
  'giveUp',
]

/** XState takes misspelt names without a word. */
describe('the machine', () => {
  test('has these modes', () => {
    expect(Object.keys(dispatcherMachine.states).sort()).toEqual([...modes].sort())
    expect(dispatcherMachine.config.initial).toBe('recovering')
  })

  test('takes these events', () => {
    expect([...dispatcherMachine.events].sort()).toEqual([...events].sort())
  })

  test.each(modes.filter((mode) => mode !== 'stopped'))('drops no event while it is %s', (mode) => {
    const { on: anywhere, states } = dispatcherMachine.config
    const taken = { ...anywhere, ...states![mode]?.on }

    expect(events.filter((event) => !(event in taken))).toEqual([])
  })

  test('names only actions, guards and actors that there are', () => {
    const named = { actions: new Set<string>(), guards: new Set<string>() }
    collect(dispatcherMachine.config, named)
    const { actions, guards, actors } = dispatcherMachine.implementations

    expect([...named.actions].filter((name) => !(name in actions))).toEqual([])
    expect([...named.guards].filter((name) => !(name in guards))).toEqual([])
    expect(Object.keys(actors).sort()).toEqual(['store', 'worker'])
    expect(Object.keys(actions).filter((name) => !named.actions.has(name))).toEqual([])
  })
})

describe('a dispatcher', () => {
  test('leases nothing before the jobs of a dead process have been moved on', async () => {
    const { store, mode, emitted } = startDispatcher(2)
    await turn()
    const before = [mode(), [...store.calls], [...emitted]]

    store.recovery.resolve()
    await turn()

    expect(before).toEqual(['recovering', ['recover'], []])
    expect([mode(), store.calls, emitted]).toEqual(['dispatching', ['recover', 'lease 2'], [{ type: 'ready' }]])
  })

  test('runs nothing before its start is on disk', async () => {
    const { store, attempts } = await startDispatching(2)

    await store.give(aLeasedJob(1))
    const uncommitted = attempts.size
    await store.commit()

    expect(store.calls).toContain('apply start 1')
    expect([uncommitted, [...attempts.keys()]]).toEqual([0, [1]])
  })

  test('does not run a job whose start was refused, and tells of it', async () => {
    const { store, attempts, emitted } = await startDispatching(1)

    await store.give(aLeasedJob(1))
    const [start] = await store.commit(() => true)

    expect(attempts.size).toBe(0)
    expect(emitted).toEqual([{ type: 'ready' }, { type: 'refused', events: [start] }])
    expect(store.leases).toMatchObject([{ room: 1 }])
  })

  test('gathers the outcomes of one turn into one commit, with the next starts', async () => {
    const { store, attempts } = await startDispatching(4)
    await store.give(aLeasedJob(1), aLeasedJob(2), aLeasedJob(3), aLeasedJob(4))
    await store.commit()
    await store.commit()
    expect([...attempts.keys()]).toEqual([1, 2, 3, 4])
    const before = store.commits.length

    attempts.get(1)!.end('succeed')
    attempts.get(2)!.end('fail')
    attempts.get(3)!.end('snooze')
    await turn()

    expect(store.commits.slice(before).map((commit) => commit.events.map(({ id, event }) => [id, event]))).toEqual([
      [
        [1, 'succeed'],
        [2, 'fail'],
        [3, 'snooze'],
      ],
    ])
  })

  test('commits outcomes and starts together', async () => {
    const { store, attempts } = await startDispatching(2)
    await store.give(aLeasedJob(1), aLeasedJob(2))
    await store.commit()
    await store.commit()
    for (const attempt of attempts.values()) attempt.end('succeed', 0)
    await turn()
    await store.commit()
    // It leases ahead after attempts that short.
    for (let i = 3; store.leases.length > 0; i += 2) await store.give(aLeasedJob(i), aLeasedJob(i + 1))
    await store.commit()

    for (const attempt of attempts.values()) if (attempt.job.id > 2) attempt.end('succeed', 0)
    await turn()

    const events = store.commits.flatMap((commit) => commit.events.map(({ event }) => event))
    expect(new Set(events)).toEqual(new Set(['start', 'succeed']))
  })

  test('has no more than two commits under way, each of half the slots or more; the rest gathers', async () => {
    const { store, attempts } = await startDispatching(4)
    await store.give(...jobs(4))
    while (store.commits.length > 0) await store.commit()
    const end = (...ids: number[]) => {
      for (const id of ids) attempts.get(id)!.end('succeed')
      return turn()
    }

    await end(1)
    await end(2)
    const half = store.commits.map((commit) => commit.events.length)
    await end(3)
    const two = store.commits.map((commit) => commit.events.length)
    await end(4)
    const third = store.commits.length
    await store.commit()
    await store.commit()

    expect([half, two, third]).toEqual([[1], [1, 2], 2])
    expect(store.commits.map((commit) => commit.events.map(({ id }) => id))).toEqual([[4]])
  })

  test.each([1, 7, 100, 101, 250])('runs as many attempts at once as it has slots: %i', async (workers) => {
    const { actor, store, attempts } = await startDispatching(workers)

    await store.give(...jobs(workers))
    while (store.commits.length > 0) await store.commit()

    expect(attempts.size).toBe(workers)
    expect(store.leases).toEqual([])
    // Stopping a parent of more is quadratic.
    expect(Object.keys(actor.getSnapshot().children)).toHaveLength(1 + Math.min(workers, 100))
  })

  test('leases for a slot as soon as it comes free', async () => {
    const { store, attempts } = await startDispatching(1)
    await store.give(aLeasedJob(1))
    await store.commit()
    const whileRunning = store.leases.length

    attempts.get(1)!.end('succeed')
    await turn()

    expect([whileRunning, store.leases.map(({ room }) => room)]).toEqual([0, [1]])
  })

  test('aborts a running job whose lease was taken away, with the reason', async () => {
    const { actor, store, attempts } = await startDispatching(2)
    await store.give(aLeasedJob(1), aLeasedJob(2))
    await store.commit()
    await store.commit()

    const leases = [1, 2].map((id) => ({ id, leaseToken: aLeasedJob(id).leaseToken, cancelled: id === 1 }))
    actor.send({ type: 'lost', leases })

    expect(attempts.get(1)!.aborts).toEqual([{ reason: expect.any(JobCancelledError), lost: true }])
    expect(attempts.get(2)!.aborts).toEqual([{ reason: expect.any(LeaseLostError), lost: true }])
  })

  test('uses the slot of a cancelled job only when its handler has ended', async () => {
    const { actor, store, attempts } = await startDispatching(1)
    await store.give(aLeasedJob(1))
    await store.commit()
    actor.send({ type: 'lost', leases: [{ ...aLeasedJob(1), cancelled: true }] })
    await turn()
    const before = store.leases.length

    attempts.get(1)!.end(null)
    await turn()

    expect([before, store.leases.length, store.commits.length]).toEqual([0, 1, 0])
  })

  test('never runs a job that was cancelled while its start was on its way to disk', async () => {
    const { actor, store, attempts } = await startDispatching(1)
    await store.give(aLeasedJob(1))

    actor.send({ type: 'lost', leases: [{ ...aLeasedJob(1), cancelled: true }] })
    await store.commit()

    expect(attempts.size).toBe(0)
  })

  test('says once that every slot is held by a handler that does not end', async () => {
    const { store, attempts, emitted, mode } = await startDispatching(2)
    await store.give(aLeasedJob(1), aLeasedJob(2))
    await store.commit()
    await store.commit()

    attempts.get(1)!.stick()
    await turn()
    const one = mode()
    attempts.get(2)!.stick()
    await turn()
    while (store.commits.length > 0) await store.commit()

    expect([one, mode()]).toEqual(['dispatching', 'stuck'])
    expect(emitted.filter(({ type }) => type === 'allStuck')).toHaveLength(1)
  })

  test('goes on with the other slots while one is stuck', async () => {
    const { store, attempts, mode } = await startDispatching(2)
    await store.give(aLeasedJob(1))
    await store.commit()

    attempts.get(1)!.stick()
    await turn()
    await store.give(aLeasedJob(2))
    while (store.commits.length > 0) await store.commit()

    expect([mode(), attempts.has(2)]).toEqual(['dispatching', true])
  })

  test('uses a stuck slot again once its handler ends after all', async () => {
    const { store, attempts } = await startDispatching(1)
    await store.give(aLeasedJob(1))
    await store.commit()
    attempts.get(1)!.stick()
    await turn()
    await store.commit()
    const whileStuck = store.leases.length

    attempts.get(1)!.unstick()
    await turn()

    expect([whileStuck, store.leases.length]).toEqual([0, 1])
  })
})

describe('a dispatcher told to drain', () => {
  test('stops at once where nothing runs', async () => {
    const { actor, store, mode } = await startDispatching(2)

    actor.send({ type: 'drain' })
    await turn()

    expect([mode(), actor.getSnapshot().status]).toEqual(['stopped', 'done'])
    expect(store.calls).toContain('stopLeasing')
  })

  test('while it recovers leases nothing any more', async () => {
    const { actor, store, mode, emitted } = startDispatcher(2)

    actor.send({ type: 'drain' })
    store.recovery.resolve()
    await turn()

    expect(mode()).toBe('stopped')
    expect(store.calls.filter((call) => call.startsWith('lease'))).toEqual([])
    expect(emitted).toEqual([])
  })

  test('waits for what runs and commits its outcome', async () => {
    const { actor, store, attempts, mode } = await startDispatching(2)
    await store.give(aLeasedJob(1))
    await store.commit()

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

  test('runs what it had sent to be started', async () => {
    const { actor, store, attempts, mode } = await startDispatching(2)
    await store.give(aLeasedJob(1))

    actor.send({ type: 'drain' })
    await store.commit()

    expect([mode(), attempts.size]).toEqual(['draining', 1])
  })

  test('gives back what it had leased ahead', async () => {
    const { actor, store, mode } = await startDispatching(1)
    await store.give(aLeasedJob(1), aLeasedJob(2), aLeasedJob(3))

    actor.send({ type: 'drain' })
    await store.commit()
    await store.commit()

    expect(store.calls.at(-1)).toBe('apply release 2, release 3')
    expect(mode()).toBe('draining')
  })

  test('takes the order twice', async () => {
    const { actor, store, attempts } = await startDispatching(1)
    await store.give(aLeasedJob(1))
    await store.commit()

    actor.send({ type: 'drain' })
    actor.send({ type: 'drain' })
    attempts.get(1)!.end('succeed')
    await turn()
    await store.commit()

    expect(store.calls.filter((call) => call === 'stopLeasing')).toHaveLength(1)
    expect(actor.getSnapshot().status).toBe('done')
  })

  test('from stuck stops without waiting for the handlers that hold it', async () => {
    const { actor, store, attempts, mode } = await startDispatching(1)
    await store.give(aLeasedJob(1))
    await store.commit()
    attempts.get(1)!.stick()
    await turn()
    const before = mode()

    actor.send({ type: 'drain' })
    await turn()
    const uncommitted = mode()
    await store.commit()

    expect([before, uncommitted, mode()]).toEqual(['stuck', 'draining', 'stopped'])
  })

  // The store leased jobs in the commit before it heard of the drain: their answer is on its way.
  test('gives back the jobs of a lease that was being answered', async () => {
    const { actor, store, mode } = await startDispatching(2)
    const [lease] = store.leases
    lease!.resolve([aLeasedJob(1)])

    actor.send({ type: 'drain' })
    await turn()
    const beforeCommit = mode()
    await store.commit()

    expect(store.calls.at(-1)).toBe('apply release 1')
    expect([beforeCommit, mode()]).toEqual(['draining', 'stopped'])
  })
})

describe('a dispatcher told to abort', () => {
  test('while it dispatches does nothing', async () => {
    const { actor, store, attempts, mode } = await startDispatching(1)
    await store.give(aLeasedJob(1))
    await store.commit()

    actor.send({ type: 'abort' })
    actor.send({ type: 'giveUp' })

    expect([mode(), attempts.get(1)!.aborts]).toEqual(['dispatching', []])
  })

  test('aborts what runs, and keeps its lease until it has ended', async () => {
    const { actor, store, attempts, mode } = await startDispatching(2)
    await store.give(aLeasedJob(1))
    await store.commit()
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

  test('gives back what was still being started instead of running it', async () => {
    const { actor, store, attempts, mode } = await startDispatching(1)
    await store.give(aLeasedJob(1))
    actor.send({ type: 'drain' })

    actor.send({ type: 'abort' })
    await store.commit()
    const given = [mode(), store.calls.at(-1)]
    await store.commit()

    expect([given, mode(), attempts.size]).toEqual([['draining', 'apply release 1'], 'stopped', 0])
  })
})

describe('a dispatcher told to give up', () => {
  test('gives back what runs and stops when that is on disk', async () => {
    const { actor, store, mode } = await startDispatching(2)
    await store.give(aLeasedJob(1))
    await store.commit()
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
        started.store.recovery.resolve()
        await turn()
        started.store.leases[0]!.reject(broken)
      },
    ],
    [
      'apply',
      async (started) => {
        started.store.recovery.resolve()
        await turn()
        await started.store.give(aLeasedJob(1))
        started.store.commits[0]!.reject(broken)
      },
    ],
    [
      'stop leasing',
      async (started) => {
        started.store.recovery.resolve()
        await turn()
        await started.store.give(aLeasedJob(1))
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

function aLeasedJob(id: number): LeasedJob {
  const leaseToken = 100 + id
  return { id, leaseToken, type: 'work', payload: '{}', attempt: 0, maxAttempts: 3, timeoutMs: null, runAt: 0 }
}

function jobs(count: number): LeasedJob[] {
  return Array.from({ length: count }, (_, index) => aLeasedJob(index + 1))
}
