/** What users write, checked against the built package as their compiler sees it. */
import { type as arktype } from 'arktype'
import type Database from 'better-sqlite3'
import {
  BackpressureError,
  type Bulk,
  createJobSystem,
  defineHandler,
  type EnqueuedJob,
  type Explanation,
  exponential,
  type Handler,
  type HistoryEvent,
  type Inspector,
  type Job,
  type JobState,
  type JobSystem,
  JobSystemError,
  type JobSystemOptions,
  type NewJob,
  type NewSchedule,
  PermanentError,
  type ResultFor,
  type ResultOptions,
  RetryAfterError,
  type Schedules,
  SnoozeError,
  type StoredError,
  type TransactionClient,
  type Transition,
} from 'jobmachine'
import { createTestSystem, everyPath, runHandler, type TestSystem } from 'jobmachine/testing'
import type pg from 'pg'
import { pino } from 'pino'
import * as v from 'valibot'
import { z } from 'zod'

const resize = defineHandler({
  type: 'resize',
  payload: z.strictObject({ image: z.string(), width: z.int() }),
  timeoutMs: 1_000,
  maxRetries: 3,
  backoffMs: exponential({ baseMs: 1_000, maxMs: 60_000 }),
  async run({ image, width }, { attempt, signal, log }) {
    const text: string = image
    const sum: number = width + attempt
    // @ts-expect-error: it is a number
    const wrong: string = width
    signal.throwIfAborted()
    log.info({ sum }, text)
    log.info(text)
    if (wrong) throw new PermanentError('never', { cause: new RetryAfterError(5, 'later') })
    throw new SnoozeError(5)
  },
})
const typed: Handler<{ image: string; width: number }> = resize

export const inspect: Inspector = (event: { readonly type: string }) => console.log(event.type)

export async function enqueueing(system: JobSystem, jobOrJobs: NewJob | NewJob[], jobs: readonly NewJob[]) {
  const one: EnqueuedJob = await system.enqueue({ type: 'resize', payload: {}, runAt: new Date(), maxRetries: 3 })
  const many: EnqueuedJob[] = await system.enqueue(jobs)
  const more: EnqueuedJob[] = await system.enqueue([{ type: 'resize', payload: null }] as const)
  const either: EnqueuedJob | EnqueuedJob[] = await system.enqueue(jobOrJobs)
  // @ts-expect-error: a job has a payload
  await system.enqueue({ type: 'resize' })
  // @ts-expect-error: no such field
  await system.enqueue({ type: 'resize', payload: {}, priorty: 5 })
  return { one, many, more, either }
}

/** In a transaction of one's own: a client of pg answers later, one of SQLite at once. */
export async function inTransactions(client: pg.PoolClient, db: Database.Database, any: JobSystem): Promise<void> {
  const system = await createJobSystem({ postgres: 'postgres://localhost', handlers: [resize] })
  const cat = { image: 'cat.png', width: 1 }
  const one: Promise<EnqueuedJob> = system.enqueue({ type: 'resize', payload: cat }, { client })
  const many: Promise<EnqueuedJob[]> = system.enqueue([{ type: 'resize', payload: cat }], { client })
  const typed: Promise<EnqueuedJob> = system.enqueue(resize, cat, { client, priority: 5 })
  const now: EnqueuedJob = system.enqueue(resize, cat, { client: db })
  const allNow: EnqueuedJob[] = any.enqueue([{ type: 'resize', payload: cat }], { client: db })
  const other: TransactionClient = { query: async (text, values) => [text, ...values] }
  const committed: false | undefined = (await system.enqueue(resize, cat, { client: other })).committed
  // @ts-expect-error: a number
  await system.enqueue(resize, { image: 'cat.png', width: 'wide' }, { client })
  // @ts-expect-error: no handler has that type
  await system.enqueue({ type: 'resise', payload: cat }, { client })
  // @ts-expect-error: no client
  await system.enqueue(resize, cat, { client: 5 })
  // @ts-expect-error: no such option
  await system.enqueue({ type: 'resize', payload: cat }, { client, priority: 5 })
  defineHandler({ type: 'settle', payload: z.null(), run: (_, { complete }) => complete(client) })
  // @ts-expect-error: a connection of SQLite cannot
  defineHandler({ type: 'settle', payload: z.null(), run: (_, { complete }) => complete(db) })
  console.log(one, many, typed, now, allNow, committed)
}

export async function scheduling(
  system: JobSystem<[typeof resize]>,
  any: JobSystem,
  untyped: NewSchedule,
): Promise<Schedules> {
  const job = { type: 'resize', payload: { image: 'cat.png', width: 5 }, priority: 5 } as const
  await system.schedules.put({ name: 'nightly', cron: '30 2 * * *', job })
  await any.schedules.put(untyped)
  await any.schedules.put({ name: 'nightly', everyMs: 60_000, job: { type: 'any', payload: [null] } })
  // @ts-expect-error: no handler has that type
  await system.schedules.put({ name: 'nightly', cron: '30 2 * * *', job: { ...job, type: 'resise' } })
  // @ts-expect-error: its schema refuses that payload
  await system.schedules.put({ name: 'nightly', cron: '30 2 * * *', job: { ...job, payload: { width: 5 } } })
  // @ts-expect-error: its tick decides when it may run
  await any.schedules.put({ name: 'nightly', cron: '30 2 * * *', job: { type: 'any', payload: 1, delayMs: 5 } })
  return system.schedules
}

export async function declaring(): Promise<void> {
  const options = { database: 'jobs.db', handlers: [resize] }
  const nightly = { name: 'nightly', cron: '30 2 * * *' }
  const job = { type: 'resize', payload: { image: 'cat.png', width: 5 } } as const
  await createJobSystem({ ...options, schedules: [{ ...nightly, job }] })
  await createJobSystem({ database: 'jobs.db', handlers: [resize], schedules: [{ ...nightly, job }] })
  // @ts-expect-error: no handler has that type
  await createJobSystem({ ...options, schedules: [{ ...nightly, job: { ...job, type: 'resise' } }] })
  // @ts-expect-error: its schema refuses that payload
  await createJobSystem({ ...options, schedules: [{ ...nightly, job: { ...job, payload: { width: 5 } } }] })
}

export async function reading(system: JobSystem): Promise<void> {
  const job: Job | undefined = await system.find(1)
  const state: JobState | undefined = job?.state
  // @ts-expect-error: no such state
  if (state === 'asleep') return
  const error: StoredError | null | undefined = job?.error
  const code: string | number | undefined = error?.code ?? error?.causes?.[0]?.code
  const history: readonly HistoryEvent[] = await system.history(1, { limit: 10 })
  const explanation: Explanation = await system.explain(1)
  const { transitions } = await system.transitions({ after: 0 })
  const last: Transition | undefined = transitions.at(-1)
  const bulk: Bulk = await system.prepareBulk('requeue', { state: 'dead' })
  const { phase } = bulk
  // @ts-expect-error: no such phase
  if (phase === 'asleep') return
  console.log(code, history, explanation.summary, last?.to, (await system.telemetry()).slots)
}

export async function main(workers: { workers?: number }): Promise<void> {
  const options: JobSystemOptions = { database: 'jobs.db', handlers: [resize, typed], log: pino(), inspect, ...workers }
  const system: JobSystem = await createJobSystem(options)
  // @ts-expect-error: no such option
  await createJobSystem({ database: 'jobs.db', handler: [resize] })
  try {
    await system.start()
  } catch (thrown) {
    if (thrown instanceof BackpressureError) console.log(thrown.retryAfterMs)
    if (thrown instanceof JobSystemError) console.log(thrown.code)
  } finally {
    await system.stop({ graceMs: 1_000 })
  }
}

/** A system knows the types of its handlers, and what their schemas accept. */
export async function typedByHandlers(dynamic: NewJob): Promise<void> {
  const mail = defineHandler({
    type: 'mail',
    payload: v.object({ to: v.pipe(v.string(), v.email()), at: v.optional(v.string()) }),
    run({ to, at }) {
      const texts: (string | undefined)[] = [to, at]
      return texts
    },
  })
  const count = defineHandler({
    type: 'count',
    payload: arktype({ of: 'string', 'from?': 'number' }),
    run: ({ of, from }) => of.repeat(from ?? 1),
  })
  const later = defineHandler({
    type: 'later',
    payload: z.object({ at: z.string().transform((text) => new Date(text)) }),
    run: ({ at }) => at.getTime(),
  })
  const system = await createJobSystem({ database: 'jobs.db', handlers: [resize, mail, count, later] })
  await system.enqueue({ type: 'mail', payload: { to: 'a@example.com' }, priority: 5 })
  await system.enqueue([
    { type: 'count', payload: { of: 'sheep' } },
    { type: 'later', payload: { at: '2030-01-01' } },
  ])
  const { id }: EnqueuedJob = await system.enqueue(count, { of: 'sheep', from: 2 }, { delayMs: 1_000 })
  await system.enqueue(later, { at: '2030-01-01' })
  // @ts-expect-error: no handler has that type
  await system.enqueue({ type: 'mial', payload: { to: 'a@example.com' } })
  // @ts-expect-error: `to` is missing
  await system.enqueue({ type: 'mail', payload: {} })
  // @ts-expect-error: the payload of another handler
  await system.enqueue({ type: 'count', payload: { to: 'a@example.com' } })
  // @ts-expect-error: its schema makes a Date of a text
  await system.enqueue(later, { at: new Date() })
  // @ts-expect-error: a number
  await system.enqueue(count, { of: 5 })
  // @ts-expect-error: no such option
  await system.enqueue(count, { of: 'sheep' }, { delay: 5 })
  // @ts-expect-error: which of them it is, only running shows
  await system.enqueue(dynamic)
  const anySystem: JobSystem = system
  await anySystem.enqueue(dynamic)
  const producer = await createJobSystem({ database: 'jobs.db' })
  await producer.enqueue(count, { of: 'sheep' })
  await producer.enqueue({ type: 'count', payload: { id } })
}

/** What handlers return is typed by their result schemas, whichever library made them. */
export async function results(anySystem: JobSystem, options: ResultOptions): Promise<void> {
  const measure = defineHandler({
    type: 'measure',
    payload: z.object({ image: z.string() }),
    result: z.object({ width: z.number(), at: z.date().optional() }),
    run: async ({ image }) => ({ width: image.length }),
  })
  const split = defineHandler({
    type: 'split',
    payload: v.object({ text: v.string() }),
    result: v.array(v.string()),
    run: ({ text }) => text.split(' '),
  })
  const repeat = defineHandler({
    type: 'repeat',
    payload: arktype({ of: 'string' }),
    result: arktype({ text: 'string', 'times?': 'number' }),
    run: ({ of }) => ({ text: of }),
  })
  const counted = defineHandler({
    type: 'counted',
    payload: z.null(),
    result: z.string().transform((text) => text.length),
    run: () => 'four',
  })
  const silent = defineHandler({ type: 'silent', payload: z.null(), run() {} })
  const system = await createJobSystem({ database: 'jobs.db', handlers: [measure, split, repeat, counted, silent] })
  const { width, at } = await system.enqueueAndWait(measure, { image: 'cat.png' }, { timeoutMs: 5, priority: 1 })
  const widths: number[] = [width]
  const instants: (string | undefined)[] = [at]
  const words: string[] = await system.enqueueAndWait({ type: 'split', payload: { text: 'a b' } }, { timeoutMs: 5 })
  const { text, times }: { text: string; times?: number } = await system.result(repeat, 1, options)
  const length: number = await system.enqueueAndWait(counted, null)
  const one: ResultFor<readonly [typeof split, typeof counted], 'counted'> = 5
  const unknown: unknown = await system.enqueueAndWait({ type: 'silent', payload: null })
  const any: unknown = await anySystem.enqueueAndWait({ type: 'whatever', payload: [] })
  const signal = new AbortController().signal
  const byId: unknown = await system.result(1, { signal })
  // @ts-expect-error: no handler has that type
  await system.enqueueAndWait({ type: 'splitt', payload: { text: 'a' } })
  // @ts-expect-error: the payload of another handler
  await system.enqueueAndWait({ type: 'split', payload: { image: 'a' } })
  // @ts-expect-error: a number
  const wrong: string = (await system.result(measure, 1)).width
  // @ts-expect-error: nobody checked it
  const unchecked: string = await system.enqueueAndWait(silent, null)
  // @ts-expect-error: not what its schema takes
  defineHandler({ type: 'wrong', payload: z.null(), result: z.object({ n: z.number() }), run: () => ({ n: 'one' }) })
  // @ts-expect-error: it returns nothing
  defineHandler({ type: 'wrong', payload: z.null(), result: z.object({ n: z.number() }), run() {} })
  // @ts-expect-error: no such option
  await system.result(1, { timeout: 5 })
  const handlers: readonly Handler[] = [measure, split, silent]
  console.log(widths, instants, words, text, times, length, one, unknown, any, byId, wrong, unchecked, handlers)
  console.log((await runHandler(measure, { image: 'cat.png' })).width)
}

export async function tested(): Promise<unknown> {
  const nightly = { name: 'nightly', cron: '30 2 * * *' }
  const job = { type: 'resize', payload: { image: 'cat.png', width: 5 } } as const
  await createTestSystem({ handlers: [resize], schedules: [{ ...nightly, job }] })
  // @ts-expect-error: no handler has that type
  await createTestSystem({ handlers: [resize], schedules: [{ ...nightly, job: { ...job, type: 'resise' } }] })
  await using system: TestSystem = await createTestSystem({ handlers: [resize], workers: 2, startAt: new Date() })
  await system.advance('1h')
  await everyPath(resize, ({ job, steps }) => job.state !== 'dead' || steps.length > 0, { payload: {}, runs: 5 })
  await system.enqueue(resize, { image: 'cat.png', width: 1 })
  return runHandler(resize, { image: 'cat.png', width: 1 }, { attempt: 2 })
}
