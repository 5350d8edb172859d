import { expect, test } from 'vitest'
import { z } from 'zod'
import { defineHandler, type JobSystem } from '../src/index.ts'
import { openSystem, startSystem, untilState } from './support/system.ts'

const ada = { by: { cause: 'http', actor: 'ada', reason: 'typo' } } as const
const inAnHour = 3_600_000

const resize = defineHandler({
  type: 'resize',
  payload: z.strictObject({ width: z.int().positive() }),
  run: ({ width }) => {
    if (width === 13) throw new Error('unlucky')
  },
})

async function aWaitingJob(): Promise<{ system: JobSystem; id: number }> {
  const { system } = await openSystem({ handlers: [resize] })
  const { id } = await system.enqueue({ type: 'resize', payload: { width: 1 }, delayMs: inAnHour })
  return { system, id }
}

test('a job that waits is changed, with who and what in its history, and its earlier payload stays readable', async () => {
  const { system, id } = await aWaitingJob()
  const before = await system.find(id)

  const changed = await system.amend(id, { payload: { width: 2 }, priority: 5, maxRetries: 0 }, ada)

  expect(changed).toEqual({ ...before, payload: { width: 2 }, priority: 5, maxRetries: 0 })
  expect(await system.find(id)).toEqual(changed)
  expect((await system.history(id)).at(-1)).toMatchObject({
    event: 'amend',
    ...ada.by,
    changes: { payload: true, priority: { from: 0, to: 5 }, maxRetries: { from: 3, to: 0 } },
  })
  expect([await system.payloadAt(id, 1), await system.payloadAt(id)]).toEqual([{ width: 1 }, { width: 2 }])
  expect((await system.explain(id)).because.sentence).toMatch(
    /^An HTTP client \(ada\) changed its payload and its priority from 0 to 5 and its max_retries from 3 to 0, .*"typo"\.$/,
  )
})

test('the payload after a transition that the job has not made is refused', async () => {
  const { system, id } = await aWaitingJob()

  await expect(system.payloadAt(id, 2)).rejects.toMatchObject({
    issues: [{ path: 'at', message: 'must be a whole number from 1 to 1' }],
  })
})

test('an earlier payload that is no longer kept is said to be gone; the first, the newest and the present one are read', async () => {
  const { system, id } = await aWaitingJob()
  for (let width = 2; width <= 110; width++) await system.amend(id, { payload: { width } })

  await expect(system.payloadAt(id, 2)).rejects.toMatchObject({
    name: 'PayloadNotKeptError',
    code: 'payload_not_kept',
    jobId: id,
    message: `the payload of job ${id} after its transition 2 is no longer kept; the first one and the newest ones are`,
  })
  const read = await Promise.all([1, 109, 110].map((at) => system.payloadAt(id, at)))
  expect(read).toEqual([{ width: 1 }, { width: 109 }, { width: 110 }])
  expect(await system.history(id, { after: 2, limit: 1 })).toMatchObject([{ changes: { payload: true } }])
})

test('a changed time lets it run now, as with a Date or text', async () => {
  const { system, id } = await aWaitingJob()

  expect(await system.amend(id, { runAt: new Date('2100-01-01T00:00:00Z') })).toMatchObject({ state: 'scheduled' })
  expect(await system.amend(id, { runAt: '2000-01-01T00:00:00Z' })).toMatchObject({ state: 'queued' })
})

test.each([
  ['a payload that its handler refuses', { payload: { width: 0 } }, 'payload.width'],
  ['a payload that is no JSON', { payload: { width: 1n } }, 'payload.width'],
  ['a priority out of range', { priority: 101 }, 'priority'],
  ['two times', { runAt: 5, delayMs: 5 }, 'delayMs'],
  ['a field that cannot be changed', { queue: 'mail' }, 'queue'],
  ['its type', { type: 'other' }, 'type'],
  ['a field that does not exist', { prioritiy: 5 }, 'prioritiy'],
  ['nothing', {}, ''],
  ['something that is not an object', 5, ''],
])('%s is refused by its path, and changes nothing', async (_, changes, path) => {
  const { system, id } = await aWaitingJob()
  const before = await system.find(id)

  await expect(system.amend(id, changes as never)).rejects.toMatchObject({
    issues: [expect.objectContaining({ path })],
  })
  expect(await system.find(id)).toEqual(before)
})

test('a job that does not exist, or whose id is no number, is refused', async () => {
  const { system } = await openSystem({ handlers: [resize] })

  await expect(system.amend(77, { priority: 1 })).rejects.toMatchObject({ code: 'job_not_found' })
  await expect(system.payloadAt(77)).rejects.toMatchObject({ code: 'job_not_found' })
  await expect(system.amend('1' as never, { priority: 1 })).rejects.toMatchObject({ issues: [{ path: 'id' }] })
})

test('a job that runs is refused, and says that it runs', async () => {
  const { system } = await startSystem({
    runs: { work: (_, { signal }) => new Promise((resolve) => signal.addEventListener('abort', resolve)) },
  })
  const { id } = await system.enqueue({ type: 'work', payload: null })
  await untilState(system, id, 'running')

  await expect(system.amend(id, { priority: 1 })).rejects.toMatchObject({
    code: 'illegal_transition',
    message: `job ${id} is running, which does not allow amend, because its handler has what it was called with; it allows succeed, fail, reject, snooze, release, expire, cancel`,
  })
})

test('a job that has started attempts must keep one more', async () => {
  const { system } = await startSystem({ handlers: [resize], retryBaseMs: inAnHour, retryMaxMs: inAnHour })
  const { id } = await system.enqueue({ type: 'resize', payload: { width: 13 } })
  await untilState(system, id, 'retrying')

  await expect(system.amend(id, { maxRetries: 0 })).rejects.toMatchObject({
    issues: [
      { path: 'maxRetries', message: 'must be at least 1, because attempt 1 was started and one more must be left' },
    ],
  })
  expect(await system.amend(id, { payload: { width: 1 }, delayMs: 0 })).toMatchObject({ payload: { width: 1 } })
  await untilState(system, id, 'succeeded')
})

test('a dead job is edited and requeued in one commit, and then succeeds', async () => {
  const { system } = await startSystem({ handlers: [resize] })
  const { id } = await system.enqueue({ type: 'resize', payload: { width: 13 }, maxRetries: 0 })
  await untilState(system, id, 'dead')

  await expect(system.amend(id, { payload: { width: 1 } })).rejects.toMatchObject({
    message: expect.stringContaining('does not allow amend: requeue it with the changes'),
  })
  await expect(system.requeue(id, { changes: { payload: {} } })).rejects.toMatchObject({ code: 'invalid_payload' })
  const requeued = await system.requeue(id, { ...ada, changes: { payload: { width: 1 } } })

  expect(requeued).toMatchObject({ payload: { width: 1 } })
  await untilState(system, id, 'succeeded')
  const events = (await system.history(id)).slice(4).map(({ event, actor }) => [event, actor])
  expect(events.slice(0, 2)).toEqual([
    ['requeue', 'ada'],
    ['amend', 'ada'],
  ])
})

test('a request with the key of a job that was changed since is answered with that job, for the key keeps its content', async () => {
  const { system } = await openSystem({ handlers: [resize] })
  const job = { type: 'resize', payload: { width: 1 }, idempotencyKey: 'k', delayMs: inAnHour } as const
  const { id } = await system.enqueue(job)
  await system.amend(id, { payload: { width: 2 }, delayMs: inAnHour })

  expect(await system.enqueue(job)).toEqual({ id, state: 'scheduled', created: false })
  await expect(system.enqueue({ ...job, payload: { width: 2 } })).rejects.toMatchObject({
    code: 'idempotency_conflict',
  })
})

test('a field beside the changes of a requeue is refused, and the job stays as it is', async () => {
  const { system, id } = await aWaitingJob()
  await system.cancel(id)
  const options: object = { payload: { width: 2 } }

  const refused = system.requeue(id, options)

  await expect(refused).rejects.toMatchObject({ issues: [{ path: 'payload' }] })
  await expect(refused).rejects.toThrow('is not an option of requeue, which takes by and changes')
  expect(await system.find(id)).toMatchObject({ state: 'cancelled', payload: { width: 1 } })
})
