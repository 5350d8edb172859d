import fc from 'fast-check'
import { jobStates } from '../../src/machines/edges.ts'
import type { LeaseEvent } from '../../src/persistence/store.ts'
import type { Model, Row, Transition } from './model.ts'
import { aWalkJob, type OwnerName, type Tear, type World } from './walk.ts'

type Command = fc.AsyncCommand<Model, World>
type Run = (model: Model, world: World) => Promise<void>

/** A command whose name says what it does. */
function command(name: string, given: object, run: Run): Command {
  return { check: () => true, run, toString: () => `${name}(${JSON.stringify(given)})` }
}

const owner = fc.constantFrom<OwnerName>('a', 'b')
/** Mostly none, because a walk of only crashes leads nowhere. */
const tear = fc.option(
  fc.record<Tear>({
    step: fc.constantFrom('begin', 'statement', 'commit', 'committed'),
    after: fc.integer({ min: 0, max: 3 }),
  }),
  { freq: 12, nil: null },
)

const enqueue = fc
  .record({
    owner,
    tear,
    count: fc.integer({ min: 1, max: 4 }),
    job: fc.record({
      delayMs: fc.constantFrom(null, null, 500, 5_000),
      maxAttempts: fc.integer({ min: 1, max: 3 }),
      priority: fc.integer({ min: -1, max: 1 }),
      queue: fc.constantFrom('default', 'mail'),
    }),
  })
  .map((given) =>
    command('enqueue', given, async (model, world) => {
      const before = model.rows.size
      const jobs = Array.from({ length: given.count }, () => aWalkJob(given.job))
      const answer = await world.call(given.owner, given.tear, (store) => store.enqueue(jobs))
      const asked = model.compare(world.clock.now())

      const stored = model.rows.size - before
      // All or none, and all if it was acknowledged.
      assert(stored === given.count || (stored === 0 && !answer), `${stored} of ${given.count} are stored`)
      assert(asked.length === stored, 'nothing else happened')
      const state = given.job.delayMs ? 'scheduled' : 'queued'
      if (answer) assert(answer.outcome === 'stored' && answer.jobs.every((job) => job.state === state), 'its answer')
    }),
  )

/** After the job with the same key, if there is one; a day later, or as soon as it may. */
const enqueueAfter = fc
  .record({
    owner,
    tear,
    job: fc.record({ delayMs: fc.constantFrom(null, 86_400_000), maxAttempts: fc.constant(1) }),
  })
  .map((given) =>
    command('enqueueAfter', given, async (model, world) => {
      const unique = { key: 'k', until: 'ended', onConflict: 'after' } as const
      const answer = await world.call(given.owner, given.tear, (store) =>
        store.enqueue([aWalkJob({ ...given.job, priority: 1, unique })]),
      )
      const asked = model.compare(world.clock.now())

      const [{ event = null } = {}, ...others] = asked
      assert(others.length === 0 && [null, 'enqueue', 'amend'].includes(event), 'nothing else happened')
      assert(model.in('blocked').length <= 1, 'two wait for one job')
      if (answer) assert(answer.outcome === 'stored' && answer.jobs[0]!.created === (event === 'enqueue'), 'its answer')
    }),
  )

const lease = fc.record({ owner, tear, limit: fc.integer({ min: 1, max: 4 }), start: fc.boolean() }).map((given) =>
  command('lease', given, async (model, world) => {
    const { limit, start } = given
    const answer = await world.call(given.owner, given.tear, (store) => store.lease({ limit, start, wait: false }))
    const before = model.rows
    const asked = model.compare(world.clock.now())

    const leased = asked.filter(({ event }) => event === 'lease')
    const started = asked.filter(({ event }) => event === 'start')
    assert(leased.length + started.length === asked.length, 'only leases and starts')
    // In one commit, or neither, even if its process died over it.
    const toStart = start ? leased.map(({ jobId, seq }) => ({ id: jobId, leaseToken: seq + 1 })) : []
    assert(sameJobs(started, toStart), 'what was to start has started')
    if (!answer) return
    world.letExpire(given.owner)
    assert(sameJobs(leased, answer), 'what is leased is what was answered')
    const isSuspect = ({ crashes }: Row) => crashes >= 2
    // They may include jobs that became due meanwhile.
    const ready = [...before.values()].filter(({ state }) => state === 'queued')
    const suspect = leased.map(({ jobId }) => before.get(jobId)!).find(isSuspect)
    if (suspect) {
      assert(leased.length === 1, 'a suspect is leased alone')
      const most = Math.max(...ready.map(({ crashes }) => crashes))
      assert(suspect.crashes === most, 'the suspect with the most crashes goes first')
      const others = [...before.values()].filter(({ state }) => state === 'running')
      assert(suspect.crashes < 3 || others.length === 0, 'nothing runs beside a suspect of three crashes')
      return
    }
    const others = ready.filter((row) => !isSuspect(row))
    // A ready suspect, or one that runs alone, may make others wait.
    if (![...before.values()].some(isSuspect))
      assert(leased.length >= Math.min(limit, others.length), 'as many as there are jobs for')
    assertOrder(leased, others)
  }),
)

/** Within a queue no job that comes earlier is skipped. */
function assertOrder(taken: readonly Transition[], ready: readonly Row[]): void {
  const ids = new Set(taken.map(({ jobId }) => jobId))
  const comesBefore = (one: Row, other: Row) =>
    one.priority - other.priority || other.runAt - one.runAt || other.id - one.id
  for (const passed of ready.filter(({ id }) => !ids.has(id))) {
    const worse = ready.find((row) => ids.has(row.id) && row.queue === passed.queue && comesBefore(passed, row) > 0)
    assert(!worse, `job ${worse?.id} was leased before job ${passed.id}`)
  }
}

const apply = fc
  .record({
    owner,
    tear,
    pick: fc.nat(),
    event: fc.constantFrom<LeaseEvent['event']>('start', 'succeed', 'fail', 'fail', 'reject', 'snooze', 'release'),
    /** Prefers `start` if that comes next. */
    starts: fc.boolean(),
    stale: fc.constantFrom(0, 0, 0, 0, -1, 1),
    delayMs: fc.constantFrom(0, 300, 3_000),
  })
  .map((given) =>
    command('apply', given, async (model, world) => {
      // Also jobs that nobody holds, as a late worker would.
      const held = model.in('leased', 'running')
      const jobs = held.length > 0 ? held : [...model.rows.values()]
      const job = jobs[given.pick % jobs.length]
      if (!job) return
      const leaseToken = (job.leaseToken ?? job.seq) + given.stale
      const type = given.starts && job.state === 'leased' ? 'start' : given.event
      const takes = job.leaseToken === leaseToken && model.takes(job.id, type)
      const error = { name: 'Error', message: 'some' }
      const event = { id: job.id, leaseToken, event: type, delayMs: given.delayMs, error }

      const refused = await world.call(given.owner, given.tear, (store) => store.apply([event]))
      const asked = model.compare(world.clock.now())

      const done = asked.length === 1 && asked[0]!.jobId === job.id && asked[0]!.event === type
      assert(asked.length === 0 || done, 'nothing else happened')
      // The lease may have expired first.
      if (done) assert(takes, 'an outcome was taken that its lease or the machine refuses')
      if (refused) assert(refused.length === (done ? 0 : 1), 'its answer')
      if (takes && refused && !done)
        assert(model.rows.get(job.id)!.leaseToken !== leaseToken, 'it was refused for nothing')
    }),
  )

const change = fc
  .record({
    owner,
    tear,
    pick: fc.nat(),
    state: fc.constantFrom('retrying' as const, 'running' as const, ...jobStates),
    event: fc.constantFrom('cancel' as const, 'requeue' as const),
  })
  .map((given) =>
    command(given.event, given, async (model, world) => {
      const some = model.in(given.state)
      const jobs = some.length > 0 ? some : [...model.rows.values()]
      const job = jobs[given.pick % jobs.length]
      if (!job) return
      const takes = model.takes(job.id, given.event)

      const answer = await world.call(given.owner, given.tear, (store) => store.send(given.event, job.id))
      const asked = model.compare(world.clock.now())

      const done = asked.length === 1 && asked[0]!.jobId === job.id && asked[0]!.event === given.event
      assert(asked.length === 0 || done, 'nothing else happened')
      if (done) assert(takes, 'the machine refuses it')
      const isKeyHeld = answer?.outcome === 'refused' && answer.holder !== undefined
      if (answer && !isKeyHeld)
        assert(answer.outcome === (takes ? 'done' : 'refused') && takes === done, `its answer ${answer.outcome}`)
    }),
  )

const amend = fc
  .record({
    owner,
    tear,
    pick: fc.nat(),
    state: fc.constantFrom(...jobStates),
    changes: fc.record({
      payload: fc.constantFrom('{}', '1', '2'),
      priority: fc.integer({ min: -1, max: 1 }),
      delayMs: fc.constantFrom(null, 0, 500, 5_000),
    }),
    requeue: fc.boolean(),
  })
  .map((given) =>
    command('amend', given, async (model, world) => {
      // A job that waits for its retry is rare.
      const retrying = given.state === 'running' ? [] : model.in('retrying')
      const some = given.requeue
        ? model.in('dead', 'cancelled')
        : retrying.length > 0
          ? retrying
          : model.in(given.state)
      const jobs = some.length > 0 ? some : [...model.rows.values()]
      const job = jobs[given.pick % jobs.length]
      if (!job) return
      const { changes, requeue } = given
      const takes = model.takes(job.id, requeue ? 'requeue' : 'amend')

      const answer = await world.call(given.owner, given.tear, (store) =>
        store.amend(job.id, JSON.stringify(changes), null, requeue),
      )
      const asked = model.compare(world.clock.now())

      const events = asked.map(({ event }) => event).join()
      assert(
        asked.every(({ jobId }) => jobId === job.id),
        'nothing else happened',
      )
      assert(['', ...(requeue ? ['requeue', 'requeue,amend'] : ['amend'])].includes(events), `it wrote ${events}`)
      if (events !== '') assert(takes, 'the machine refuses it')
      const isKeyHeld = answer?.outcome === 'refused' && answer.holder !== undefined
      if (answer && !isKeyHeld) assert(answer.outcome === (takes ? 'done' : 'refused'), `its answer ${answer.outcome}`)
      if (answer?.outcome === 'done') assert(model.rows.get(job.id)!.priority === changes.priority, 'its priority')
    }),
  )

const passTime = fc
  .record({
    owner,
    tear,
    ms: fc.constantFrom(1, 50, 50, 100, 100, 200, 200, 400, 400, 1_000, 5_000, 86_400_000, -1_000, -86_400_000),
  })
  .map((given) =>
    command('passTime', given, async (model, world) => {
      world.jump(given.ms)
      const now = world.clock.now()
      const answer = await world.call(given.owner, given.tear, async (store) => {
        await store.sweep()
        return true
      })
      const asked = model.compare(world.clock.now())

      assert(asked.length === 0, 'time asks for nothing')
      if (!answer) return
      const late = model.in('scheduled', 'retrying').find(({ runAt }) => runAt <= now)
      assert(!late, `job ${late?.id} is due and was left`)
      if (!world.expires(given.owner)) return
      const lapsed = model.in('leased', 'running').find((row) => row.leaseExpiresAt! <= now)
      assert(!lapsed, `the lease of job ${lapsed?.id} has run out and was left`)
    }),
  )

const reopen = fc
  .record({ owner, how: fc.constantFrom('kill' as const, 'restart' as const), recovers: fc.boolean(), tear })
  .map((given) =>
    command('reopen', given, async (model, world) => {
      await world[given.how](given.owner)
      assert(model.compare(world.clock.now()).length === 0, 'opening asks for nothing')
      if (!given.recovers) return
      const answer = await world.call(given.owner, given.tear, (store) => store.recoverOrphans())
      assert(model.compare(world.clock.now(), true).length === 0, 'recovery asks for nothing')
      if (!answer) return
      world.letExpire(given.owner)
      assert(model.in('leased', 'running').length === 0, 'recovery left a lease')
    }),
  )

/** Each as often as it is listed. */
export const commands: fc.Arbitrary<Command>[] = [
  ...[enqueue, enqueue, enqueueAfter],
  ...[lease, lease],
  ...[apply, apply, apply, apply, apply, apply],
  ...[change, change, amend, amend, passTime, passTime, reopen],
]

function sameJobs(asked: readonly Transition[], answer: readonly { id: number; leaseToken: number }[]): boolean {
  const ids = (of: readonly [number, number][]) => JSON.stringify([...of].sort(([a], [b]) => a - b))
  return ids(asked.map(({ jobId, seq }) => [jobId, seq])) === ids(answer.map(({ id, leaseToken }) => [id, leaseToken]))
}

function assert(holds: boolean, what: string): void {
  if (!holds) throw new Error(`not so: ${what}`)
}
