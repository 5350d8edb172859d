import { afterAll, beforeAll, expect, test } from 'vitest'
import { startHttp, type TestServer } from '../support/server.ts'
import { cleanUp } from '../support/temp.ts'

let server: TestServer
beforeAll(async () => {
  server = await startHttp({ maxPayloadBytes: 2_000 })
})
afterAll(cleanUp)

async function stored(body: string, type = 'application/json') {
  const answer = await server.fetch('/jobs', { method: 'POST', headers: { 'content-type': type }, body })
  expect([answer.status, answer.body]).toEqual([201, expect.anything()])
  return (await server.get(`/jobs/${answer.body.id}`)).body
}
const job = (fields: string) => `{"type":"echo","payload":1,${fields}}`

test.each([
  'application/json',
  'APPLICATION/JSON',
  'application/json; charset=utf-8',
  'application/json;charset="UTF-8"',
  'application/json ; charset=utf8; x=y',
])('the content type %s is accepted', async (type) => {
  await stored(job('"priority":1'), type)
})

test('a byte order mark is skipped', async () => {
  await stored(`\uFEFF${job('"priority":1')}`)
})

test('the last of several members with one name counts', async () => {
  expect(await stored(job('"priority":1,"priority":2'))).toMatchObject({ priority: 2 })
})

test.each([
  ['"priority":-0', { priority: 0 }],
  ['"priority":1e2', { priority: 100 }],
  ['"priority":-100.0', { priority: -100 }],
  ['"max_retries":0', { max_retries: 0 }],
  ['"max_retries":1000', { max_retries: 1000 }],
  ['"timeout_ms":1', { timeout_ms: 1 }],
  ['"delay_ms":-0', { state: expect.any(String) }],
  ['"run_at":"2030-02-28T23:59:59.999+14:00"', { run_at: '2030-02-28T09:59:59.999Z' }],
  ['"run_at":"2032-02-29T00:00:00-00:00"', { run_at: '2032-02-29T00:00:00.000Z' }],
  ['"run_at":"2030-01-01T00:00:00.123456789Z"', { run_at: '2030-01-01T00:00:00.123Z' }],
  ['"run_at":"9999-12-31T23:59:59.999Z"', { run_at: '9999-12-31T23:59:59.999Z' }],
  ['"queue":"A0._:-"', { queue: 'A0._:-' }],
  [`"queue":"${'q'.repeat(64)}"`, { queue: 'q'.repeat(64) }],
  ['"idempotency_key":" "', { idempotency_key: ' ' }],
])('%s is accepted', async (fields, expected) => {
  expect(await stored(job(fields))).toMatchObject(expected)
})

test.each([
  ['null', null],
  ['false', false],
  ['""', ''],
  ['[]', []],
  ['-0', 0],
  ['9007199254740993', 9007199254740992],
  ['1e-400', 0],
  ['"\\ud800"', '\ud800'],
  ['"\\u0000\\u001b[31m<script>"', '\0\u001b[31m<script>'],
  ['{"":{"toJSON":1,"constructor":2}}', { '': { toJSON: 1, constructor: 2 } }],
  [`"${'a'.repeat(1_998)}"`, 'a'.repeat(1_998)],
])('the payload %s comes back unchanged', async (payload, expected) => {
  expect((await stored(`{"type":"echo","payload":${payload}}`)).payload).toEqual(expected)
})

test('a payload nested 64 levels deep is accepted, and its members named __proto__ are kept', async () => {
  const payload = `${'{"__proto__":'.repeat(64)}1${'}'.repeat(64)}`

  const job = await server.fetch('/jobs', {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: `{"type":"echo","payload":${payload},"idempotency_key":"deep"}`,
  })

  expect(job.status).toBe(201)
  const text = await (await fetch(`${server.url}/jobs/${job.body.id}`)).text()
  expect(text).toContain(payload)
})
