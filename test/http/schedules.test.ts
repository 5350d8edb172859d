import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { TestClock } from '../../src/testing/test-clock.ts'
import { startHttp, type TestServer } from '../support/server.ts'
import { cleanUp } from '../support/temp.ts'

let server: TestServer
beforeAll(async () => {
  server = await startHttp({
    schedules: [{ name: 'declared', cron: '@daily', job: { type: 'sleep', payload: { ms: 1 } } }],
  })
})
afterAll(cleanUp)

const nightly = {
  cron: '30 2 * * *',
  zone: 'Europe/Berlin',
  job: { type: 'sleep', payload: { ms: 1 }, max_retries: 1 },
}
const put = (name: string, body: unknown) => server.post(`/schedules/${name}`, body, 'PUT')

describe('a schedule over HTTP', () => {
  test('is made, read, listed, paused, resumed, triggered and ended', async () => {
    const made = await put('nightly', nightly)
    await server.post('/schedules/nightly/pause', { actor: 'ada', reason: 'a test' })
    const paused = await server.get('/schedules/nightly')
    await server.post('/schedules/nightly/resume')
    const triggered = await server.post('/schedules/nightly/trigger')
    const job = await server.get(`/jobs/${triggered.body.job_id}/history`)
    const { body: list } = await server.get('/schedules?limit=10')
    const ended = await server.post('/schedules/nightly', undefined, 'DELETE')
    const { body: history } = await server.get('/schedules/nightly/history')

    expect(made.body).toMatchObject({
      ...{ name: 'nightly', state: 'active', source: 'api', cron: '30 2 * * *', every_ms: null, zone: 'Europe/Berlin' },
      ...{ job: nightly.job, overlap: 'allow', missed: 'one', jitter_ms: 0, last_job: null, problem: null, seq: 1 },
    })
    expect(paused.body).toMatchObject({ state: 'paused', next_tick: null })
    expect(job.body.history[0]).toMatchObject({ event: 'enqueue', cause: 'http', schedule: 'nightly' })
    expect(list.schedules.map(({ name }: { name: string }) => name)).toEqual(['declared', 'nightly'])
    expect(list.next_cursor).toBe(null)
    expect(ended.body).toMatchObject({ state: 'ended', next_tick: null })
    expect(history.events.map(({ event }: { event: string }) => event)).toEqual([
      ...['end', 'trigger', 'resume', 'pause', 'create'],
    ])
    expect(history.events[3].by).toEqual({ cause: 'http', actor: 'ada', reason: 'a test' })
    expect((await server.get('/schedules?ended=true')).body.schedules).toHaveLength(2)
  })

  test('is previewed before it is made and before it is changed, and nothing is stored', async () => {
    const preview = (body: object) => server.post('/schedules/preview', body)
    const made = await preview({ name: 'not-yet', ...nightly })
    const faults = await preview({ name: 'not-yet', ...nightly, cron: '61 * * * *' })
    await put('weekly', { ...nightly, cron: '0 9 * * 1' })
    const changed = await preview({ name: 'weekly', ...nightly, cron: '0 10 * * 1' })

    expect([made.status, made.body.ticks.length, made.body.warnings.length]).toEqual([200, 5, 1])
    expect([faults.status, faults.body.errors[0].path]).toEqual([400, 'cron'])
    expect(changed.body.ticks[0].local).toContain('10:00:00')
    expect((await server.get('/schedules/not-yet')).status).toBe(404)
    expect((await server.get('/schedules/weekly')).body).toMatchObject({ cron: '0 9 * * 1', seq: 1 })
    await server.post('/schedules/weekly', undefined, 'DELETE')
  })

  test('is named with its missed ticks by the history of its job, and by why that is scheduled', async () => {
    const clock = new TestClock(Date.UTC(2030, 0, 1))
    const own = await startHttp({ clock, now: () => clock.now() } as never)
    const jitter_ms = 43_200_000
    await own.post('/schedules/late', { cron: '@daily', job: nightly.job, jitter_ms }, 'PUT')
    await clock.moveTo(Date.UTC(2030, 0, 4, 0, 2))
    const lastJob = async () => (await own.get('/schedules/late')).body.last_job
    await expect.poll(lastJob).not.toBe(null)

    const { id } = await lastJob()
    const { body: history } = await own.get(`/jobs/${id}/history`)
    const { body: explained } = await own.get(`/jobs/${id}/explain`)

    const cause = {
      ...{ cause: 'schedule', schedule: 'late', tick: '2030-01-04T00:00:00.000Z' },
      ...{ missed: 3, first_missed: '2030-01-02T00:00:00.000Z' },
    }
    expect(history.history).toEqual([expect.objectContaining({ event: 'enqueue', ...cause })])
    expect(explained.because).toMatchObject({ event: 'enqueue', ...cause })
    expect(explained.because).not.toHaveProperty('firstMissed')
  })

  test('keeps the whole of a nested field, under the names of HTTP', async () => {
    const unique = { key: 'one', until: 60_000, on_conflict: 'refuse' }
    const made = await put('nested', { ...nightly, job: { ...nightly.job, unique } })
    const again = await put('nested', { ...nightly, job: made.body.job })
    const first = await server.post('/schedules/nested/trigger')
    const second = await server.post('/schedules/nested/trigger')
    await server.post('/schedules/nested', undefined, 'DELETE')

    expect(made.body.job.unique).toEqual(unique)
    expect(again.body.seq).toBe(1)
    expect([first.status, second.status, second.body.code]).toEqual([201, 409, 'unique_conflict'])
  })

  test('is listed page by page', async () => {
    for (const name of ['a', 'b', 'c']) await put(name, nightly)

    const { body: first } = await server.get('/schedules?limit=2')
    const { body: second } = await server.get(`/schedules?limit=2&cursor=${first.next_cursor}`)

    expect(first.next_cursor).toBe('b')
    expect(second.schedules.map(({ name }: { name: string }) => name)).toEqual(['c', 'declared'])
  })

  test('shows its next ticks, and what may surprise about them', async () => {
    await put('odd', { ...nightly, cron: '0 9 1 * 1' })

    const { body } = await server.get('/schedules/odd/preview?limit=3')

    expect(body.ticks).toHaveLength(3)
    expect(Object.keys(body.ticks[0])).toEqual(['tick', 'utc', 'local'])
    expect(body.warnings).toEqual([expect.stringContaining('if both are set, either is enough')])
  })

  test.each([
    [
      {},
      [
        ['job', 'is required'],
        ['cron', 'is required, or every_ms for an interval'],
      ],
    ],
    [{ ...nightly, cron: '10/15 * * * *' }, [['cron', expect.stringContaining('10-59/15')]]],
    [{ ...nightly, cron: '0 0 30 2 *' }, [['cron', expect.any(String)]]],
    [{ ...nightly, cron: '@reboot' }, [['cron', expect.any(String)]]],
    [{ ...nightly, cron: 5 }, [['cron', 'must be a text']]],
    [{ ...nightly, zone: 'Mars/Olympus' }, [['zone', expect.stringContaining('Mars/Olympus')]]],
    [{ ...nightly, zone: '+05:30' }, [['zone', expect.any(String)]]],
    [{ ...nightly, every_ms: 5_000 }, [['every_ms', 'set either cron or every_ms, not both']]],
    [
      { every_ms: 1, job: nightly.job },
      [['every_ms', expect.stringContaining('must be a whole number of ms from 1000')]],
    ],
    [{ ...nightly, overlap: 'maybe' }, [['overlap', 'must be one of: allow, skip']]],
    [{ ...nightly, missed: 'some' }, [['missed', 'must be one of: skip, one, all']]],
    [{ ...nightly, jitter_ms: -1 }, [['jitter_ms', expect.any(String)]]],
    [{ ...nightly, starts_at: 'tomorrow' }, [['starts_at', expect.stringContaining('RFC 3339')]]],
    [{ ...nightly, ends_at: '2001-01-01T00:00:00Z' }, [['ends_at', 'must be after the next tick: none is left']]],
    [{ ...nightly, name: 'other' }, [['name', 'must be left out, or the name in the path, "bad"']]],
    [{ ...nightly, crom: '* * * * *' }, [['crom', expect.stringContaining('cron')]]],
    [{ ...nightly, job: { type: 'sleep', payload: {} } }, [['job.payload.ms', expect.any(String)]]],
    [{ ...nightly, job: { type: 'slep', payload: {} } }, [['job.type', expect.stringContaining('slep')]]],
    [{ ...nightly, job: { ...nightly.job, run_at: '2030-01-01T00:00:00Z' } }, [['job.run_at', expect.any(String)]]],
    [{ ...nightly, job: { ...nightly.job, priority: 101 } }, [['job.priority', expect.any(String)]]],
    [[], [['', expect.any(String)]]],
    [null, [['', expect.any(String)]]],
  ])('is refused with each fault in its place: %j', async (body, faults) => {
    const answer = await put('bad', body)

    expect(answer.status).toBe(400)
    expect(answer.body.errors.map(({ path, message }: { path: string; message: string }) => [path, message])).toEqual(
      faults,
    )
    expect((await server.get('/schedules/bad')).status).toBe(404)
  })

  test.each(['.x', 'a'.repeat(65), 'caf%C3%A9', 'a%20b', '%00'])('cannot have the name %s', async (name) => {
    expect((await put(name, nightly)).status).toBe(400)
    expect((await server.get(`/schedules/${name}`)).body.code).toBe('schedule_not_found')
    expect((await server.get(`/schedules/${name}/history`)).body.code).toBe('schedule_not_found')
    expect((await server.post(`/schedules/${name}/pause`)).body.code).toBe('schedule_not_found')
    expect(await server.system.schedules.find(decodeURIComponent(name))).toBe(undefined)
    expect((await server.get(`/schedules?cursor=${name}`)).body.errors).toEqual([
      { path: 'cursor', message: 'must be 1 to 64 letters, digits and . _ : - and begin with a letter or digit' },
    ])
  })

  test('that the program declares can be paused, but not changed or ended', async () => {
    const changed = await put('declared', nightly)
    const ended = await server.post('/schedules/declared', undefined, 'DELETE')
    const paused = await server.post('/schedules/declared/pause')

    expect([changed.status, changed.body.code, ended.status]).toEqual([409, 'schedule_state', 409])
    expect(paused.status).toBe(200)
  })

  test('hides what an app redacts of payloads', async () => {
    const shy = await startHttp({ redact: () => 'hidden' })

    const { body } = await shy.post('/schedules/x', nightly, 'PUT')

    expect(body.job.payload).toBe('hidden')
    expect((await shy.get('/schedules/x')).body.job.payload).toBe('hidden')
    expect((await shy.get('/schedules')).body.schedules[0].job.payload).toBe('hidden')
  })

  test('cannot be changed where everything is read-only', async () => {
    const readOnly = await startHttp({ readOnly: true })

    expect((await readOnly.post('/schedules/x', nightly, 'PUT')).status).toBe(403)
    expect((await readOnly.post('/schedules/x', undefined, 'DELETE')).status).toBe(403)
  })
})
