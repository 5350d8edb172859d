import { beforeAll, describe, expect, test } from 'vitest'
import { openKept } from '../../src/persistence/sqlite/file/kept.ts'
import { type Answer, aWaitingJob, holdingHandlers, startHttp, type TestServer } from '../support/server.ts'
import { cleanUp } from '../support/temp.ts'

const instant = expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/)

/** The bulk command once nothing of it is under way. */
async function settled({ get, system }: TestServer, { body }: Answer): Promise<Answer['body']> {
  await system.findBulk(body.id)!.settled()
  return (await get(`/bulk/${body.id}`)).body
}

/** Some scheduled jobs, and one that succeeded. */
async function withJobs(count: number): Promise<TestServer> {
  const server = await startHttp()
  const jobs = Array.from({ length: count }, (_, n) => aWaitingJob({ payload: { n }, queue: n % 2 ? 'odd' : 'even' }))
  await server.post('/jobs', jobs)
  const { body } = await server.post('/createJob', { type: 'echo', payload: 1 })
  await server.untilState(body.id, 'succeeded')
  return server
}

describe('a bulk action', () => {
  test('is counted, shown, confirmed by its count, and changes only those jobs', async () => {
    const server = await withJobs(6)
    const { post, get } = server

    const prepared = await post('/bulk', { command: 'cancel', queue: 'odd' })
    const shown = await settled(server, prepared)
    const before = await get('/jobs?state=cancelled')
    const running = await post(`/bulk/${prepared.body.id}/run`, { matched: 3 })
    const done = await settled(server, prepared)

    expect([prepared.status, prepared.headers.get('location')]).toEqual([202, `/bulk/${prepared.body.id}`])
    expect(prepared.body).toMatchObject({ phase: 'counting', matched: 0, up_to: null, expires_at: null })
    expect(shown).toEqual({
      id: prepared.body.id,
      command: 'cancel',
      filter: { queue: 'odd' },
      phase: 'ready',
      created_at: instant,
      expires_at: instant,
      matched: 3,
      more: false,
      up_to: 7,
      looked_to: 1,
      moved: 0,
      refused: 0,
      error: null,
    })
    expect(before.body.jobs).toEqual([])
    expect([running.status, running.body.phase]).toEqual([202, 'moving'])
    expect(done).toEqual({ ...shown, phase: 'done', expires_at: null, moved: 3 })
    const { jobs } = (await get('/jobs?state=cancelled')).body
    expect(jobs.map(({ queue }: { queue: string }) => queue)).toEqual(['odd', 'odd', 'odd'])
  })

  test('accepts every filter, and shows it as given', async () => {
    const server = await withJobs(6)
    const filter = {
      state: 'scheduled',
      type: 'echo',
      queue: 'even',
      text: '"N":4',
      created_from: '2020-01-01T00:00:00.000Z',
      created_to: '2100-01-01T00:00:00.000Z',
    }

    const shown = await settled(server, await server.post('/bulk', { command: 'cancel', ...filter }))

    expect(shown).toMatchObject({ filter, matched: 1 })
    const none = { command: 'cancel', ...filter, created_to: '2020-01-01T02:00:00+02:00' }
    expect((await settled(server, await server.post('/bulk', none))).matched).toBe(0)
  })

  test('requeues dead letters by their error', async () => {
    const server = await startHttp()
    await server.post('/createJob', { type: 'broken', payload: 1, max_retries: 0 })
    await server.untilState(1, 'dead')

    const prepared = await server.post('/bulk', { command: 'requeue', text: 'Out Of Luck' })
    await settled(server, prepared)
    await server.post(`/bulk/${prepared.body.id}/run`, { matched: 1 })

    expect((await settled(server, prepared)).moved).toBe(1)
  })

  test('is stopped, and answers when it has stopped; stopping it again changes nothing', async () => {
    const server = await withJobs(3)
    const prepared = await server.post('/bulk', { command: 'cancel' })
    await settled(server, prepared)
    const path = `/bulk/${prepared.body.id}/stop`

    const first = await server.fetch(path, { method: 'POST' })
    const again = await server.post(path)

    expect([first.status, first.body.phase, first.body.moved]).toEqual([200, 'stopped', 0])
    expect([again.status, again.body]).toEqual([200, first.body])
    expect((await server.get('/jobs?state=cancelled')).body.jobs).toEqual([])
  })

  test('is listed with the others, newest first', async () => {
    const server = await withJobs(1)
    const first = await server.post('/bulk', { command: 'cancel' })
    const second = await server.post('/bulk', { command: 'requeue' })

    const { status, body } = await server.get('/bulk')

    expect(status).toBe(200)
    expect(body.bulk.map(({ id }: { id: string }) => id)).toEqual([second.body.id, first.body.id])
  })
})

describe('409', () => {
  test('answers a count other than the one shown, and nothing changes', async () => {
    const server = await withJobs(3)
    const prepared = await server.post('/bulk', { command: 'cancel' })
    await settled(server, prepared)

    const { status, headers, body } = await server.post(`/bulk/${prepared.body.id}/run`, { matched: 4 })

    expect(status).toBe(409)
    expect(headers.get('content-type')).toBe('application/problem+json')
    expect(body).toMatchObject({ code: 'bulk_state', phase: 'ready', matched: 3 })
    expect((await server.get('/jobs?state=cancelled')).body.jobs).toEqual([])
  })

  test('answers a run of an action that has run or was stopped', async () => {
    const server = await withJobs(3)
    const [ran, stopped] = [
      await server.post('/bulk', { command: 'cancel' }),
      await server.post('/bulk', { command: 'cancel' }),
    ]
    await settled(server, ran)
    await server.post(`/bulk/${ran.body.id}/run`, { matched: 3 })
    await settled(server, ran)
    await server.post(`/bulk/${stopped.body.id}/stop`)

    const runs = [ran, stopped].map(({ body }) => server.post(`/bulk/${body.id}/run`, { matched: 3 }))

    const answers = await Promise.all(runs)
    expect(answers.map(({ status, body }) => [status, body.code, body.phase])).toEqual([
      [409, 'bulk_state', 'done'],
      [409, 'bulk_state', 'stopped'],
    ])
  })

  test('answers all but one of ten runs at once', async () => {
    const server = await withJobs(3)
    const prepared = await server.post('/bulk', { command: 'cancel' })
    await settled(server, prepared)

    const run = () => server.post(`/bulk/${prepared.body.id}/run`, { matched: 3 })
    const answers = await Promise.all(Array.from({ length: 10 }, run))

    expect(answers.map(({ status }) => status).sort()).toEqual([202, ...Array(9).fill(409)])
    expect((await settled(server, prepared)).moved).toBe(3)
  })
})

describe('400', () => {
  let server: TestServer
  let ready: Answer
  beforeAll(async () => {
    server = await withJobs(3)
    ready = await server.post('/bulk', { command: 'cancel' })
    await settled(server, ready)
    return cleanUp
  })

  test.each<[unknown, string[]]>([
    [null, ['']],
    [[], ['']],
    ['cancel', ['']],
    [{}, ['command']],
    [{ command: 'explode' }, ['command']],
    [{ command: 'requeue', state: 'queued' }, ['state']],
    [{ command: 'requeue', state: 'running' }, ['state']],
    [{ command: 'requeue', state: 'lost' }, ['state']],
    [{ command: 'cancel', limit: 5 }, ['limit']],
    [{ command: 'cancel', createdFrom: 5 }, ['createdFrom']],
    [{ command: 'cancel', text: '' }, ['text']],
    [{ command: 'cancel', text: 5, queue: [], type: null }, ['queue', 'text', 'type']],
    [{ command: 'cancel', text: 'x'.repeat(201) }, ['text']],
    [{ command: 'cancel', created_from: 'yesterday' }, ['created_from']],
    [{ command: 'cancel', created_from: '2030-01-01T00:00:00' }, ['created_from']],
    [{ command: 'cancel', created_to: 1_893_456_000_000 }, ['created_to']],
  ])('answers %j', async (body, paths) => {
    const answer = await server.post('/bulk', body)

    expect([answer.status, answer.body.code]).toEqual([400, 'invalid_input'])
    expect(answer.body.errors.map(({ path }: { path: string }) => path).sort()).toEqual(paths)
    expect((await server.get('/bulk')).body.bulk).toHaveLength(1)
  })

  test.each([
    [{}, ['matched']],
    [null, ['']],
    [[3], ['']],
    [{ matched: '3' }, ['matched']],
    [{ matched: 2.5 }, ['matched']],
    [{ matched: 3, force: true }, ['force']],
  ])('answers a run with %j', async (body, paths) => {
    const answer = await server.post(`/bulk/${ready.body.id}/run`, body)

    expect(answer.status).toBe(400)
    expect(answer.body.errors.map(({ path }: { path: string }) => path)).toEqual(paths)
    expect((await settled(server, ready)).phase).toBe('ready')
  })
})

test.each(['GET /bulk/:id', 'POST /bulk/:id/run', 'POST /bulk/:id/stop'])(
  '%s answers 404 for an unknown id',
  async (route) => {
    const { fetch } = await startHttp()
    const [method = '', path = ''] = route.split(' ')
    const body = path.endsWith('/run') ? { headers: { 'content-type': 'application/json' }, body: '{"matched":1}' } : {}

    for (const id of ['1', 'nope', '%00', '..%2fjobs', '%F0%9F%8E%88', 'x'.repeat(3_000)]) {
      const { status, body: answer } = await fetch(path.replace(':id', id), { method, ...body })
      expect([id, status, answer.code]).toEqual([id, 404, 'bulk_not_found'])
    }
  },
)

test('429 answers a twenty-first unfinished action, with when to try again', async () => {
  const { post, get, system, database } = await startHttp()
  await post('/jobs', aWaitingJob())
  const bulks = Array.from({ length: 20 }, () => system.prepareBulk('cancel'))
  for (const bulk of await Promise.all(bulks)) await bulk.settled()
  // None of them ends while another process writes.
  const other = openKept(database)
  other.exec('BEGIN IMMEDIATE')
  for (const bulk of system.bulks()) bulk.run(1)

  const { status, headers, body } = await post('/bulk', { command: 'cancel' })

  other.close()
  expect([status, body.code, headers.get('retry-after')]).toEqual([429, 'backpressure', '1'])
  expect((await get('/bulk')).body.bulk).toHaveLength(20)
})

test('503 answers a new action and a run while the server drains, and existing ones can be read', async () => {
  const { handlers, letGo } = holdingHandlers()
  const server = await startHttp({ handlers })
  const { post, get, system, untilState } = server
  const prepared = await post('/bulk', { command: 'cancel' })
  await settled(server, prepared)
  await post('/createJob', { type: 'held', payload: null })
  await untilState(1, 'running')

  const stopped = system.stop({ graceMs: 600_000 })
  const another = await post('/bulk', { command: 'cancel' })
  const run = await post(`/bulk/${prepared.body.id}/run`, { matched: 0 })

  expect([another.status, another.body.code, run.status, run.body.code]).toEqual([
    503,
    'unavailable',
    503,
    'unavailable',
  ])
  expect((await get(`/bulk/${prepared.body.id}`)).body.phase).toBe('stopped')
  letGo()
  await stopped
})
