import { describe, expect, test } from 'vitest'
import { openKept } from '../../src/persistence/sqlite/file/kept.ts'
import { onPostgres } from '../support/database.ts'
import { aWaitingJob, holdingHandlers, startHttp } from '../support/server.ts'

const unavailable = {
  status: 503,
  code: 'unavailable',
  type: 'urn:jobmachine:unavailable',
  title: 'Service Unavailable',
}

test('a running server is live and ready', async () => {
  const { get } = await startHttp()

  const [live, ready] = [await get('/livez'), await get('/readyz')]

  expect([live.status, live.body]).toEqual([200, { status: 'live' }])
  expect([ready.status, ready.body]).toEqual([200, { status: 'ready' }])
})

test('a server that has not started is live but not ready, and stores jobs', async () => {
  const { get, post, system, untilState } = await startHttp({ started: false })

  const [live, ready] = [await get('/livez'), await get('/readyz')]

  expect(live.status).toBe(200)
  expect([ready.status, ready.body]).toEqual([503, { status: 'not ready', reason: 'not started' }])
  expect(ready.headers.get('retry-after')).toBe('1')
  expect((await post('/jobs', { type: 'echo', payload: 1 })).status).toBe(201)
  await system.start()
  await untilState(1, 'succeeded')
  expect((await get('/readyz')).status).toBe(200)
})

test('a draining server is live but not ready, answers reads, and refuses writes with 503', async () => {
  const { handlers, letGo } = holdingHandlers()
  const { get, post, system, untilState } = await startHttp({ handlers })
  await post('/jobs', { type: 'held', payload: null })
  await untilState(1, 'running')

  const stopped = system.stop({ graceMs: 600_000 })

  expect((await get('/livez')).status).toBe(200)
  const ready = await get('/readyz')
  expect([ready.status, ready.body]).toEqual([503, { status: 'not ready', reason: 'draining' }])
  expect((await get('/jobs/1')).body.state).toBe('running')
  expect((await get('/jobs/1/history')).body.history).toHaveLength(3)
  expect((await get('/jobs')).body.jobs).toHaveLength(1)
  expect((await get('/metrics')).body.active_workers).toBe(1)
  for (const path of ['/jobs', '/createJob']) {
    const { status, headers, body } = await post(path, aWaitingJob())
    expect([status, headers.get('retry-after')]).toEqual([503, '1'])
    expect(body).toEqual({ ...unavailable, detail: 'the system is draining', message: 'the system is draining' })
  }
  for (const command of ['cancel', 'requeue']) expect((await post(`/jobs/1/${command}`)).status).toBe(503)
  expect((await get('/jobs')).body.jobs).toHaveLength(1)
  letGo()
  await stopped
})

describe.skipIf(onPostgres)('while another process keeps the file locked', () => {
  test('writes are refused with 503 and never stored, and the server is ready again when the lock is gone', async () => {
    const { get, post, database } = await startHttp()
    const other = openKept(database)
    other.exec('BEGIN IMMEDIATE')

    const refused = await post('/jobs', aWaitingJob())
    const ready = await get('/readyz')
    const read = await get('/jobs')
    other.exec('ROLLBACK')
    other.close()

    expect([refused.status, refused.body.code, refused.headers.get('retry-after')]).toEqual([503, 'unavailable', '1'])
    expect(ready.status).toBe(503)
    expect(ready.body).toEqual({ status: 'not ready', reason: expect.any(String) })
    expect(ready.body.reason).not.toMatch(/\/|\bat\b.*\d|insert|select/i)
    expect(read.status).toBe(200)
    expect((await post('/jobs', aWaitingJob())).status).toBe(201)
    expect((await get('/readyz')).status).toBe(200)
    expect((await get('/jobs')).body.jobs).toHaveLength(1)
  })
})
