import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createHttp, type HttpOptions } from '../../src/http/index.ts'
import type { JobSystem } from '../../src/index.ts'
import { testHandlers } from '../support/server.ts'
import { startSystem } from '../support/system.ts'
import { cleanUp, whenDone } from '../support/temp.ts'

const json = { 'content-type': 'application/json' }
const form = { 'content-type': 'application/x-www-form-urlencoded' }

let system: JobSystem
beforeAll(async () => {
  ;({ system } = await startSystem({ handlers: testHandlers }))
})
afterAll(cleanUp)

function poster(options: HttpOptions = {}) {
  const http = createHttp(system, options)
  whenDone(() => http.close())
  return (path: string, body?: string, headers: Record<string, string> = json) =>
    http.fetch(
      new Request(`https://app.example${path}`, { method: 'POST', ...(body === undefined ? {} : { body, headers }) }),
    )
}

const aWaiting = async (queue = 'default') =>
  (await system.enqueue({ type: 'echo', payload: 1, queue, delayMs: 3_600_000 })).id
const lastOf = async (id: number) => (await system.history(id)).at(-1)!

describe('a command over HTTP', () => {
  test('keeps the actor and the reason of its body', async () => {
    const post = poster()
    const id = await aWaiting()

    const cancelled = await post(`/jobs/${id}/cancel`, '{"actor":"deploy script","reason":"wrong\\ncustomer"}')
    const requeued = await post(`/jobs/${id}/requeue`, '{"reason":"it was right"}')

    expect([cancelled.status, requeued.status]).toEqual([200, 200])
    const [cancel, requeue] = (await system.history(id)).slice(1, 3)
    expect(cancel).toMatchObject({ cause: 'http', actor: 'deploy script', reason: 'wrong\ncustomer' })
    expect([requeue!.actor, requeue!.reason]).toEqual([undefined, 'it was right'])
  })

  test.each([
    ['no body', undefined, {}],
    ['a body of no bytes', '', { ...form, 'content-length': '0' }],
    ['an empty object', '{}', json],
  ])('needs none: %s', async (_, body, headers) => {
    const id = await aWaiting()

    expect((await poster()(`/jobs/${id}/cancel`, body, headers)).status).toBe(200)
    expect(await lastOf(id)).not.toHaveProperty('reason')
  })

  test.each([
    '"because"',
    '{"reason":""}',
    '{"reason":1}',
    '{"actor":"a\\nb"}',
    `{"reason":"${'x'.repeat(1_001)}"}`,
    '{"why":"because"}',
    '{',
  ])('with the body %s is refused, and changes nothing', async (body) => {
    const id = await aWaiting()

    expect((await poster()(`/jobs/${id}/cancel`, body)).status).toBe(400)
    expect((await system.find(id))!.state).toBe('scheduled')
  })

  test('cannot say that it comes from somebody else than the app knows', async () => {
    const post = poster({ authorize: () => ({ actor: 'ada', role: 'admin' }) })
    const id = await aWaiting()

    const refused = await post(`/jobs/${id}/cancel`, '{"actor":"the boss"}')
    expect([refused.status, await refused.text()]).toEqual([400, expect.stringContaining('you are ada here')])
    expect((await post(`/jobs/${id}/cancel`, '{"actor":"ada","reason":"mine"}')).status).toBe(200)
    expect(await lastOf(id)).toMatchObject({ actor: 'ada', reason: 'mine' })
  })
})

describe('a bulk action', () => {
  const prepared = async (post: ReturnType<typeof poster>, queue: string) => {
    const answer = await post('/bulk', JSON.stringify({ command: 'cancel', queue }))
    const bulk = system.findBulk(((await answer.json()) as { id: string }).id)!
    await bulk.settled()
    return bulk
  }

  test('keeps the actor and the reason of whoever confirms it by JSON', async () => {
    const post = poster()
    const id = await aWaiting('by-json')
    const bulk = await prepared(post, 'by-json')

    await post(`/bulk/${bulk.id}/run`, '{"matched":1,"actor":"cron","reason":"the shop has closed"}')
    await bulk.settled()

    expect(await lastOf(id)).toMatchObject({ bulk: bulk.id, actor: 'cron', reason: 'the shop has closed' })
  })

  test('asks for a reason on its page, and keeps it', async () => {
    const http = createHttp(system)
    whenDone(() => http.close())
    const post = poster()
    const id = await aWaiting('by-form')
    const bulk = await prepared(post, 'by-form')

    const page = await (await http.fetch(new Request(`https://app.example/dashboard/bulk/${bulk.id}`))).text()
    await post(`/dashboard/bulk/${bulk.id}/run`, 'matched=1&reason=the+shop+has+closed', form)
    await bulk.settled()

    expect(page).toMatch(/action="[^"]*\/run"[\s\S]*<input name="reason"/)
    expect(await lastOf(id)).toMatchObject({ cause: 'dashboard', bulk: bulk.id, reason: 'the shop has closed' })
  })
})
