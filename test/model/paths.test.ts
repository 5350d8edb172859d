import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { transition } from 'xstate'
import { getShortestPaths } from 'xstate/graph'
import { edges, eventTypes } from '../../src/machines/edges.ts'
import { type Command, isCommand } from '../../src/machines/events.ts'
import { type EventType, type JobEvent, jobMachine } from '../../src/machines/job.ts'
import { verifyFile } from '../../src/persistence/sqlite/verify/verify.ts'
import type { JobRow } from '../../src/persistence/store.ts'
import { allEvents } from '../support/events.ts'
import { isWhole, shareOf, shareOfEachGroup } from '../support/share.ts'
import { aJob, leaseMs, type OpenedStore, openStore } from '../support/store.ts'
import { cleanUp, memoryFolder } from '../support/temp.ts'

/** How long retries wait: longer than leases, so that each can pass without the other. */
const delayMs = 3_600_000
/** `expire` last: a job whose lease is gone is due again at once, so no path should use it if another event leads there too. */
const events = [...allEvents].sort((one, other) => Number(one.type === 'expire') - Number(other.type === 'expire'))

/** The machine's shortest paths to every state that it can be in with this many attempts and crashes. */
function pathsFor(maxAttempts: number) {
  const paths = getShortestPaths(jobMachine, {
    input: { attempt: 0, maxAttempts, crashes: 0 },
    events,
    serializeState: ({ value, context }) => `${value} ${JSON.stringify(context)}`,
    limit: 10_000,
  })
  // A job that a crash makes wait is due in the same transaction.
  const isPassing = ({ state }: (typeof paths)[number]) => state.value === 'retrying' && state.context.crashes > 0
  return paths.filter((path) => path.state.value !== 'new' && !isPassing(path))
}

shareOfEachGroup(8)

describe('a real store, driven along every shortest path of the machine', () => {
  let opened: OpenedStore
  beforeAll(async () => {
    // In memory, because this proof needs no flush, and there are thousands.
    opened = await openStore({ path: join(memoryFolder(), 'jobs.db') })
  })
  afterAll(cleanUp)

  for (const maxAttempts of shareOf({ share: [2], whole: [1, 2, 3] })) {
    for (const { state, steps } of pathsFor(maxAttempts)) {
      const { attempt, crashes } = state.context
      const name = `${state.value}, attempt ${attempt} of ${maxAttempts}, ${crashes} crashes`
      test(`does the same as the machine for each event: ${name}`, async () => {
        const path = steps.map(({ event }) => event as JobEvent).filter(({ type }) => eventTypes.includes(type))
        for (const event of events.filter(({ type }) => type !== 'enqueue')) {
          const job = await along(opened, path, maxAttempts)
          expect([job.state, job.attempt, job.crashes]).toEqual([state.value, attempt, crashes])

          await bringAbout(event, opened, job)

          await expectMachine(opened, job, event)
          await opened.store.send('cancel', job.id)
          await endHolder(opened, job.id)
        }
      })
    }
  }

  test.runIf(isWhole)('has taken every edge, and verify finds no fault', async () => {
    const taken = new Set<string>()
    for (const { from, event, to } of await opened.store.counts()) taken.add(`${from} ${event} ${to}`)
    expect(edges.map(({ from, event, to }) => `${from} ${event} ${to}`).filter((edge) => !taken.has(edge))).toEqual([])
    expect(verifyFile(opened.path).violations).toEqual([])
  })
})

type Driver = (opened: OpenedStore, job: JobRow) => Promise<unknown>

const outcome =
  (event: 'start' | 'succeed' | 'fail' | 'reject' | 'snooze' | 'release'): Driver =>
  async ({ store }, { id }) => {
    const history = await store.history(id, { after: 0, limit: 1_000 })
    const leaseToken = history!.findLast((row) => row.event === 'lease')?.seq ?? 1
    await store.apply([{ id, leaseToken, event, delayMs }])
  }

/** How to cause each event that is not a command. */
const drivers: Record<Exclude<EventType, 'enqueue' | 'amend' | Command>, Driver> = {
  unblock: (opened, { id }) => endHolder(opened, id),
  lease: ({ store }) => store.lease({ limit: 1, wait: false }),
  start: outcome('start'),
  succeed: outcome('succeed'),
  fail: outcome('fail'),
  reject: outcome('reject'),
  snooze: outcome('snooze'),
  release: outcome('release'),
  async due({ store, clock }) {
    clock.advance(delayMs)
    await store.sweep()
  },
  async expire({ store, clock }, { id }) {
    const history = await store.history(id, { after: 0, limit: 1_000 })
    const leaseToken = history!.findLast(({ event }) => event === 'lease')?.seq
    if (leaseToken) await store.abandon([{ id, leaseToken }])
    clock.advance(leaseMs)
    await store.sweep()
  },
}

async function bringAbout(event: JobEvent, opened: OpenedStore, job: JobRow): Promise<void> {
  const { store } = opened
  if (event.type === 'unblock' && event.delayed && job.state === 'blocked')
    await store.amend(job.id, JSON.stringify({ delayMs }))
  if (event.type === 'expire' && event.crashed) await store.recoverOrphans()
  else if (event.type === 'amend')
    await opened.store.amend(
      job.id,
      JSON.stringify({ priority: job.priority + 1, delayMs: event.delayed ? delayMs : 0 }),
    )
  else if (isCommand(event.type)) await opened.store.send(event.type, job.id)
  else if (event.type !== 'enqueue') await drivers[event.type](opened, job)
}

let holders = 0

/** A running job, and what makes another wait for it. */
async function runHolder(store: OpenedStore['store']) {
  const unique = { key: `${++holders}`, until: 'ended', onConflict: 'after' } as const
  await store.enqueue([aJob({ unique, priority: 100, maxAttempts: 1_000 })])
  await store.lease({ limit: 1, wait: false, start: true })
  return unique
}

async function endHolder({ store }: OpenedStore, id: number): Promise<void> {
  const holder = (await store.jobFacts(id))?.uniqueKey?.holder
  if (holder) await store.send('cancel', holder.id)
}

/** A new job, taken along a path; it is the only one that has not ended. */
async function along(opened: OpenedStore, path: readonly JobEvent[], maxAttempts: number): Promise<JobRow> {
  const { store } = opened
  const [birth, ...rest] = path
  const { delayed, blocked } = birth?.type === 'enqueue' ? birth : { delayed: false, blocked: false }
  const unique = blocked ? await runHolder(store) : null
  const stored = await store.enqueue([aJob({ maxAttempts, unique, delayMs: delayed ? delayMs : null })])
  if (stored.outcome !== 'stored') throw new Error(stored.outcome)
  const id = stored.jobs[0]!.id
  for (const event of rest) await bringAbout(event, opened, (await store.find(id))!)
  return (await store.find(id))!
}

/** The job is where XState goes from its earlier state; if XState stays, nothing about the job has changed. */
async function expectMachine({ store }: OpenedStore, before: JobRow, event: JobEvent): Promise<void> {
  const { state: value, attempt, maxAttempts, crashes } = before
  const from = jobMachine.resolveState({ value, context: { attempt, maxAttempts, crashes } })
  const [to] = from.status === 'active' ? transition(jobMachine, from, event) : [from]
  const after = (await store.find(before.id))!
  // A job that a crash makes wait is due again in the same transaction.
  const promoted = event.type === 'expire' && value !== to.value && to.value === 'retrying'
  expect([after.state, after.attempt, after.crashes]).toEqual([
    promoted ? 'queued' : to.value,
    to.context.attempt,
    to.context.crashes,
  ])
  if (from.status !== 'active' || !from.can(event)) expect(after).toEqual(before)
}
