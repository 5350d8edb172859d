import { describe, expect, test } from 'vitest'
import type { EventCause, HistoryEvent, JobSystem } from '../src/index.ts'
import { openSystem, startSystem, untilState } from './support/system.ts'

const waiting = { type: 'work', payload: null, delayMs: 3_600_000 }
const wire = { type: 'work', payload: null, delay_ms: 3_600_000 }
const ada: EventCause = { cause: 'http', actor: 'ada', reason: 'wrong customer' }

/** Each event of a job, and who caused it. */
async function causesOf(system: JobSystem, id: number) {
  const keep = ({ event, cause, actor, reason, bulk }: HistoryEvent) => [event, { cause, actor, reason, bulk }]
  return (await system.history(id)).map(keep)
}

describe('the history keeps who caused an event', () => {
  test('the application, if no other cause is given', async () => {
    const { system } = await openSystem({ runs: { work() {} } })
    const [one, two] = await system.enqueue([waiting, waiting])
    await system.cancel(one!.id)
    await system.requeue(one!.id)

    expect(await causesOf(system, one!.id)).toEqual([
      ['enqueue', { cause: 'library' }],
      ['cancel', { cause: 'library' }],
      ['requeue', { cause: 'library' }],
    ])
    expect(await causesOf(system, two!.id)).toEqual([['enqueue', { cause: 'library' }]])
  })

  test('the given cause, with actor and reason, wherever it is read', async () => {
    const { system } = await openSystem({ runs: { work() {} } })
    const [job] = await system.submit(wire, { by: ada })

    await system.cancel(job!.id, { by: { cause: 'dashboard', reason: 'a "mistake"\n' } })

    expect(await causesOf(system, job!.id)).toEqual([
      ['enqueue', ada],
      ['cancel', { cause: 'dashboard', reason: 'a "mistake"\n' }],
    ])
    expect((await system.transitions({ after: 0 })).transitions).toMatchObject([
      { event: 'enqueue', ...ada },
      { event: 'cancel', cause: 'dashboard', reason: 'a "mistake"\n' },
    ])
    const explanation = await system.explain(job!.id)
    expect(explanation.because).toMatchObject({ cause: 'dashboard', reason: 'a "mistake"\n' })
    expect(explanation.summary).toContain(
      String.raw`a user of the dashboard cancelled it just now, with the reason "a \"mistake\"\n".`,
    )
    expect((await system.verify()).violations).toEqual([])
  })

  test('for each of the jobs that are enqueued together', async () => {
    const { system } = await openSystem({ runs: { work() {} } })

    const jobs = await Promise.all([
      system.enqueue(waiting),
      system.submit(wire, { by: ada }).then(([job]) => job!),
      system.enqueue(waiting),
      system.submit(wire, { by: { cause: 'http' } }).then(([job]) => job!),
    ])

    const causes = await Promise.all(jobs.map(({ id }) => causesOf(system, id)))
    expect(causes.map(([enqueued]) => enqueued![1])).toEqual([
      { cause: 'library' },
      ada,
      { cause: 'library' },
      { cause: 'http' },
    ])
  })

  test('and the bulk action that it was part of', async () => {
    const { system } = await openSystem({ runs: { work() {} } })
    const { id } = await system.enqueue(waiting)

    const bulk = await system.prepareBulk('cancel', {}, { by: ada })
    await bulk.settled()
    bulk.run(1)
    await bulk.settled()

    expect(await causesOf(system, id)).toEqual([
      ['enqueue', { cause: 'library' }],
      ['cancel', { ...ada, bulk: bulk.id }],
    ])
    expect((await system.explain(id)).because.sentence).toBe(
      'An HTTP client (ada) cancelled it just now, in a bulk action that changed 1 job, with the reason "wrong customer".',
    )
  })

  test('the usual one of its type, if none is stored', async () => {
    const { system } = await startSystem({ runs: { work() {} } })
    const { id } = await system.enqueue({ type: 'work', payload: null })
    await untilState(system, id, 'succeeded')

    expect(await causesOf(system, id)).toEqual([
      ['enqueue', { cause: 'library' }],
      ['lease', { cause: 'dispatcher' }],
      ['start', { cause: 'dispatcher' }],
      ['succeed', { cause: 'handler' }],
    ])
  })
})

test.each([
  [{ cause: 'nobody' }, 'by.cause: must be one of: client, '],
  [{ cause: 'toString' }, 'by.cause: '],
  [{ cause: 'http', actor: '' }, 'by.actor: must be 1 to 255 printable characters'],
  [{ cause: 'http', actor: 'a\nb' }, 'by.actor: '],
  [{ cause: 'http', actor: 7 }, 'by.actor: '],
  [{ cause: 'http', reason: 'x'.repeat(1_001) }, 'by.reason: must be 1 to 1000 characters'],
])('the cause must be a valid one: %j is refused, and changes nothing', async (by, message) => {
  const { system } = await openSystem({ runs: { work() {} } })
  const { id } = await system.enqueue(waiting)
  const options = { by: by as EventCause }

  const refused = await Promise.allSettled([
    system.submit(wire, options),
    system.cancel(id, options),
    system.requeue(id, options),
    system.prepareBulk('cancel', {}, options),
  ])

  for (const each of refused) {
    expect(each).toMatchObject({ status: 'rejected', reason: { message: expect.stringContaining(message) } })
  }
  expect((await system.transitions({ after: 0 })).transitions).toHaveLength(1)
  expect(system.bulks()).toEqual([])
})

test('arguments that `map` passes besides an id do not set the cause', async () => {
  const { system } = await openSystem({ runs: { work() {} } })
  const ids = (await system.enqueue([waiting, waiting])).map(({ id }) => id)

  const jobs = await Promise.all(ids.map(system.cancel.bind(system) as (id: number) => Promise<{ state: string }>))

  expect(jobs.map(({ state }) => state)).toEqual(['cancelled', 'cancelled'])
})
