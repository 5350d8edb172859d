import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { z } from 'zod'
import { defineHandler } from '../../src/handlers/define.ts'
import { TestClock } from '../../src/testing/test-clock.ts'
import { startHttp, type TestServer, testHandlers } from '../support/server.ts'
import { startAt } from '../support/system.ts'
import { cleanUp } from '../support/temp.ts'

let server: TestServer
beforeAll(async () => {
  server = await startHttp({ schedules: [{ name: 'declared', cron: '0 9 1 * 1', job: { type: 'echo', payload: 1 } }] })
})
afterAll(cleanUp)

const minute = 60_000

/** As a page's form does, without a script. */
function submit(path: string, fields: Record<string, string> = {}, to = server) {
  return to.fetch(path, { method: 'POST', body: new URLSearchParams(fields), redirect: 'manual' })
}

/** The fields of the form as a user fills them in. */
const filledIn = { cron: '30 2 * * *', zone: 'Europe/Berlin', type: 'echo', payload: '{"n":1}', every_unit: 'minutes' }
const textOf = (html: string) => html.replace(/<[^>]*>/g, ' ').replace(/\s+/g, ' ')
/** The texts beside a field of the form. */
const faultsAt = (html: string, field: string) =>
  [...(new RegExp(`id="${field}-fault">(.*?)</span>`, 's').exec(html)?.[1] ?? '').matchAll(/<bdi>(.*?)<\/bdi>/g)].map(
    ([, text]) => text!,
  )
const valueIn = (html: string, field: string) =>
  new RegExp(`id="${field}"[^>]*value="([^"]*)"|id="${field}"[^>]*>([^<]*)</textarea>`).exec(html)?.slice(1).join('')

describe('the list of schedules', () => {
  test('without any says how to declare one, and is linked from each page', async () => {
    const empty = await startHttp()

    const { status, body } = await empty.get('/dashboard/schedules')

    expect([status, body.includes('schedules: [')]).toEqual([200, true])
    expect((await empty.get('/')).body).toContain('href="/dashboard/schedules"')
  })

  test('shows when each ticks next, its last job, and who paused or ended it and why', async () => {
    const own = await startHttp()
    const daily = { zone: 'Asia/Tokyo', cron: '@daily', job: { type: 'echo', payload: 1 } }
    for (const name of ['active', 'other', 'ended', 'paused']) await own.post(`/schedules/${name}`, daily, 'PUT')
    const by = { cause: 'http', actor: '<ada>', reason: 'a & b' } as const
    await own.system.schedules.pause('paused', { by })
    await own.system.schedules.end('ended')

    const { body } = await own.get('/dashboard/schedules')
    const rows = Object.fromEntries(
      [...body.matchAll(/<tr id="schedule-(\w+)">(.*?)<\/tr>/gs)].map(([, name, row]) => [name, textOf(row!)]),
    )

    expect(Object.keys(rows)).toEqual(['active', 'other', 'paused'])
    expect(rows.active).toMatch(/active @daily Asia\/Tokyo \w{3} \d{4}-\d\d-\d\d 00:00:00 \+09:00 in \d/)
    expect(rows.paused).toMatch(/paused .* by an HTTP client \(&lt;ada&gt;\): a &amp; b @daily/)
    expect((await own.get('/dashboard/schedules?ended=true')).body).toContain('id="schedule-ended"')
  })

  test('goes on with the next page', async () => {
    const own = await startHttp({ started: false, workers: 1 })
    const schedules = Array.from({ length: 51 }, (_, n) => ({
      name: `s${100 + n}`,
      cron: '@daily',
      job: { type: 'echo', payload: 1 },
    }))
    await own.system.start()
    for (const schedule of schedules) await own.system.schedules.put(schedule)

    const { body } = await own.get('/dashboard/schedules')
    const [, href] = /href="([^"]*cursor=[^"]*)"/.exec(body)!
    const next = await own.get(href!.replaceAll('&amp;', '&'))

    expect([...next.body.matchAll(/id="schedule-(\w+)"/g)].map(([, name]) => name)).toEqual(['s150'])
  })
})

describe('the page of a schedule', () => {
  test('shows its next five ticks in its zone, what may surprise, and its policies in words', async () => {
    const { body } = await server.get('/dashboard/schedules/declared')
    const text = textOf(body)

    expect([...body.matchAll(/<td class="instant">\w{3} \d{4}-\d\d-\d\d 09:00:00 \+00:00<\/td>/g)]).toHaveLength(5)
    expect(text.match(/In UTC/g)).toHaveLength(1)
    expect(text).toContain('if both are set, either is enough')
    expect(text).toContain('Ticks that were missed by more than a minute get one job for all.')
    expect(body).toContain('aria-label="The lifecycle of a schedule. The schedule is active now."')
  })

  test('shows its ticks in UTC beside its own zone', async () => {
    const job = { type: 'echo', payload: 1 }
    await server.system.schedules.put({ name: 'cairo', cron: '0 9 1 1 *', zone: 'Africa/Cairo', job })

    const { body } = await server.get('/dashboard/schedules/cairo')

    expect([...body.matchAll(/<td class="instant">\w{3} \d{4}-01-01 09:00:00 \+02:00<\/td>/g)]).toHaveLength(5)
    expect([...body.matchAll(/<td class="instant">\d{4}-01-01T07:00:00Z<\/td>/g)]).toHaveLength(5)
  })

  test('that the program declares has no button to edit or end it, and says why', async () => {
    const { body } = await server.get('/dashboard/schedules/declared')
    const buttons = [...body.matchAll(/<button[^>]*>(.*?)<\/button>/g)].map(([, text]) => text)

    expect(buttons).toEqual(['Pause', 'Trigger'])
    expect(body).toContain('The program declares it')
    expect((await server.get('/dashboard/schedules/declared/edit')).status).toBe(409)
    expect((await submit('/dashboard/schedules/declared/end')).status).toBe(409)
  })

  test('pauses, resumes, triggers and ends it, and shows who did and why', async () => {
    await server.post('/schedules/mine', { every_ms: minute, job: { type: 'echo', payload: 1 } }, 'PUT')
    const path = '/dashboard/schedules/mine'
    for (const command of ['pause', 'trigger', 'resume', 'end'])
      expect(await submit(`${path}/${command}`, { reason: `to ${command}` })).toMatchObject({ status: 303 })

    const { body } = await server.get(path)
    const events = [...body.matchAll(/<tr id="event-\d+">(.*?)<\/tr>/gs)].map(([, row]) => textOf(row!).trim())

    expect(events.map((event) => event.replace(/.* ago /, ''))).toEqual([
      'end by a user of the dashboard: to end',
      'resume by a user of the dashboard: to resume',
      expect.stringMatching(/^trigger by a user of the dashboard: to trigger \d+ /),
      'pause by a user of the dashboard: to pause',
      'create by an HTTP client',
    ])
    expect(body).toContain('It has no ticks.')
    expect([...body.matchAll(/<button/g)]).toHaveLength(0)
    expect((await submit(`${path}/pause`)).status).toBe(409)
  })

  test('names the ticks that made no job and why, and links each job, which links back with its lateness', async () => {
    const clock = new TestClock(startAt)
    const slow = defineHandler({ type: 'slow', payload: z.unknown(), run: () => new Promise(() => {}) })
    const own = await startHttp({ clock, handlers: [...testHandlers, slow], now: () => clock.now() } as never)
    await own.system.schedules.put({ name: 'late', cron: '* * * * *', job: { type: 'echo', payload: 1 } })
    await own.system.schedules.put({
      name: 'busy',
      everyMs: 10 * minute,
      overlap: 'skip',
      job: { type: 'slow', payload: 1 },
    })
    await clock.moveTo(startAt + 10 * minute + 5_000)
    await clock.moveTo(startAt + 20 * minute)
    const at = (minutes: number) => new Date(startAt + minutes * minute).toISOString()

    const late = textOf((await own.get('/dashboard/schedules/late')).body)
    const busy = textOf((await own.get('/dashboard/schedules/busy')).body)
    const { events } = (await own.get('/schedules/late/history')).body
    const { job_id: id } = events.find(({ event }: { event: string }) => event === 'catch_up')
    const job = (await own.get(`/dashboard/jobs/${id}`)).body
    const [enqueued] = (await own.get(`/jobs/${id}/history`)).body.history

    expect(enqueued).toMatchObject({ tick: at(18), missed: 8, first_missed: at(11) })
    expect(late).toMatch(
      /catch_up for the tick at .*, 2 min late; it stands for 8 missed ticks from .* to .*, of which 7 got no job/,
    )
    expect(busy).toMatch(/skip the tick at .* made no job, because job \d+ had not ended/)
    expect(job).toContain('<a href="/dashboard/schedules/late">late</a>')
    expect(textOf(job)).toMatch(/late , for the tick at \S+Z, .* ago , made 2 min late/)
  })

  test.each([
    ['/dashboard/schedules/nope', 404, 'no schedule has the name'],
    ['/dashboard/schedules/nope/edit', 404, 'no schedule has the name'],
    ['/dashboard/schedules/declared?before=0', 400, 'must be a whole number'],
    ['/dashboard/schedules?x=1', 400, 'is not a known parameter'],
    ['/dashboard/schedules/%3Cb%3E', 404, 'no schedule has the name'],
  ])('says why there is none: %s', async (path, status, reason) => {
    const answer = await server.get(path)

    expect([answer.status, answer.headers.get('content-type')]).toEqual([status, 'text/html; charset=utf-8'])
    expect(answer.body).toContain(reason)
  })
})

describe('the form of a schedule', () => {
  test('shows the next ticks before anything is saved, and saves what it showed', async () => {
    const shown = await submit('/dashboard/new-schedule', { ...filledIn, name: 'made' })
    const hidden = [...shown.body.matchAll(/<input type="hidden" name="(\w+)" value="([^"]*)"/g)]
    const before = await server.get('/schedules/made')
    const fields = Object.fromEntries(hidden.map(([, name, value]) => [name!, value!.replaceAll('&quot;', '"')]))
    const saved = await submit('/dashboard/new-schedule', fields)

    expect([shown.status, before.status]).toEqual([200, 404])
    expect([...shown.body.matchAll(/ 02:30:00 \+0[12]:00/g)]).toHaveLength(5)
    expect([saved.status, saved.headers.get('location')]).toEqual([303, '/dashboard/schedules/made'])
    expect((await server.get('/schedules/made')).body).toMatchObject({
      ...{ cron: '30 2 * * *', zone: 'Europe/Berlin', job: { type: 'echo', payload: { n: 1 } }, source: 'api' },
    })
  })

  test('names each fault beside its field, and keeps what was typed', async () => {
    const typed = {
      ...{ name: 'a b', cron: '10/15 * * * *', every: '5', every_unit: 'minutes', zone: 'Berlin', payload: '{' },
      ...{ starts_at: 'soon', priority: '1000', timeout_ms: 'x', more: '[1]', overlap: 'maybe', jitter_ms: '-1' },
    }

    const { status, body } = await submit('/dashboard/new-schedule', typed)

    const faults = Object.fromEntries(
      [...Object.keys(typed), 'type'].map((field) => [field, faultsAt(body, field).join('; ')]),
    )
    expect(status).toBe(400)
    expect(faults).toEqual({
      name: expect.stringContaining('must be 1 to 64 letters'),
      cron: expect.stringContaining('10-59/15'),
      every: 'set either cron or every_ms, not both',
      every_unit: '',
      zone: expect.stringContaining('did you mean Europe/Berlin?'),
      payload: expect.stringContaining('must be JSON'),
      starts_at: expect.stringContaining('RFC 3339'),
      priority: expect.stringContaining('from -100 to 100'),
      timeout_ms: expect.any(String),
      more: expect.stringContaining('must be an object'),
      overlap: 'must be one of: allow, skip',
      jitter_ms: expect.stringContaining('must be a whole number of ms'),
      type: 'is required',
    })
    expect(faults.timeout_ms).not.toBe('')
    expect(body).toContain('12 faults are named beside the fields.')
    expect([valueIn(body, 'cron'), valueIn(body, 'payload')]).toEqual(['10/15 * * * *', '{'])
  })

  test.each([
    ['a payload that its handler refuses', { type: 'sleep', payload: '{"ms":-1}' }, 'payload', 'ms '],
    ['a field that the tick decides', { more: '{"delay_ms":5}' }, 'more', 'delay_ms is decided by the schedule'],
    ['a field that no job has', { more: '{"retires":5}' }, 'more', 'retires is not a known field'],
    ['neither an expression nor an interval', { cron: '' }, 'cron', 'is required, or every_ms'],
    ['an end without a tick', { ends_at: '2001-01-01T00:00' }, 'ends_at', 'must be after the next tick'],
    ['a type without a handler', { type: 'ecko' }, 'type', 'ecko'],
    ['the name of another', { name: 'declared' }, 'name', 'is the name of another schedule'],
  ])('names %s', async (_, fields, field, fault) => {
    const { status, body } = await submit('/dashboard/new-schedule', { ...filledIn, name: 'x', ...fields })

    expect([status, faultsAt(body, field)]).toEqual([400, [expect.stringContaining(fault)]])
    expect((await server.get('/schedules/x')).status).toBe(404)
  })

  test('edits a schedule and loses none of its fields', async () => {
    const given = {
      every_ms: 90_000,
      zone: 'Asia/Tokyo',
      ...{ starts_at: '2030-01-01T00:00:00Z', ends_at: '2031-01-01T00:00:00.250Z' },
      job: {
        type: 'echo',
        payload: 'a\u202eb\n"',
        queue: 'q',
        priority: -5,
        max_retries: 0,
        unique: { key: 'k', on_conflict: 'refuse' },
      },
      ...{ overlap: 'skip', missed: 'all', jitter_ms: 7 },
    }
    const before = await server.post('/schedules/whole', given, 'PUT')
    const { body: form } = await server.get('/dashboard/schedules/whole/edit')
    const fields = Object.fromEntries(
      [...form.matchAll(/<(?:input|textarea|select) id="(\w+)"/g)].map(([, name]) => [
        name!,
        (valueIn(form, name!) ?? selectedIn(form, name!)).replaceAll('&quot;', '"'),
      ]),
    )

    const [, was = ''] = /name="was" value="([^"]+)"/.exec(form)!
    const filled = { ...fields, every_unit: selectedIn(form, 'every_unit'), was, do: 'save', name: 'other' }
    const saved = await submit('/dashboard/schedules/whole/edit', { ...filled, priority: '6' })
    const late = await submit('/dashboard/schedules/whole/edit', { ...filled, priority: '7' })
    const after = await server.get('/schedules/whole')

    expect(form).toContain('a\\u202eb')
    expect([saved.status, late.status]).toEqual([303, 409])
    expect(late.body).toContain('The schedule was edited since this form was shown.')
    expect(valueIn(late.body, 'priority')).toBe('6')
    expect(after.body).toMatchObject({
      ...{ ...before.body, job: { ...before.body.job, priority: 6 } },
      ...{ seq: 2, updated_at: expect.any(String) },
    })
    expect((await server.get('/schedules/other')).status).toBe(404)
  })

  test('is not for those who may only look, and edits nothing where payloads are hidden', async () => {
    const readOnly = await startHttp({ readOnly: true })
    const shy = await startHttp({ redact: () => 'hidden' })
    await shy.post('/schedules/x', { cron: '@daily', job: { type: 'echo', payload: 'secret' } }, 'PUT')

    expect((await readOnly.get('/dashboard/new-schedule')).body).toContain('No schedule makes jobs.')
    expect((await submit('/dashboard/new-schedule', { ...filledIn, name: 'x' }, readOnly)).status).toBe(403)
    expect((await readOnly.get('/dashboard/schedules')).body).not.toContain('New schedule')
    expect((await shy.get('/dashboard/schedules/x')).body).not.toContain('secret')
    expect((await shy.get('/dashboard/schedules/x/edit')).status).toBe(409)
    expect((await submit('/dashboard/schedules/x/edit', filledIn, shy)).status).toBe(409)
  })
})

/** The chosen value of a select. */
function selectedIn(html: string, name: string): string {
  const [, options = ''] = new RegExp(`<select[^>]*name="${name}"[^>]*>(.*?)</select>`, 's').exec(html) ?? []
  return /value="(\w+)" selected/.exec(options)?.[1] ?? ''
}
