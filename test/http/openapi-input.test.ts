import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { builtinHandlers } from '../../src/handlers/builtin.ts'
import type { SchemaObject } from '../../src/http/openapi/json-schema.ts'
import { Judge } from '../support/api-document.ts'
import { startHttp, type TestServer } from '../support/server.ts'
import { isWhole } from '../support/share.ts'
import { cleanUp } from '../support/temp.ts'

let server: TestServer
let judge: Judge
beforeAll(async () => {
  const handlers = builtinHandlers({ smtp: {}, webhook: { allowPrivate: false }, retryMaxMs: 1, now: () => 0 })
  server = await startHttp({ handlers, started: false })
  judge = new Judge((await server.get('/openapi.json')).body)
})
afterAll(cleanUp)

const described = (path: string, body: unknown) => {
  const pointer = `/paths/~1${path.slice(1)}/post/requestBody/content/application~1json/schema`
  return judge.faultsOf(pointer, body).length === 0
}
const taken = async (path: string, body: unknown) => {
  const { status } = await server.post(path, body)
  expect([200, 201, 400]).toContain(status)
  return status < 400
}

const values: unknown[] = [
  null,
  true,
  0,
  1,
  -1,
  0.5,
  100,
  101,
  -100,
  -101,
  1_000,
  1_001,
  86_400_000,
  86_400_001,
  3_155_760_000_000,
  3_155_760_000_001,
  2 ** 53,
  1e300,
  '',
  ' ',
  '1',
  'a',
  'sleep',
  'emial',
  'A0._:-',
  '-a',
  'a b',
  'ä',
  'a\n',
  'a\u0000',
  'a\u200b',
  'x'.repeat(64),
  'x'.repeat(65),
  'x'.repeat(255),
  'x'.repeat(256),
  '🔑'.repeat(255),
  '🔑'.repeat(256),
  '2030-01-31T09:30:00Z',
  '2030-01-31T09:30:00.123456789+14:00',
  '2032-02-29T00:00:00-00:00',
  '1999-01-01T00:00:00Z',
  '2030-01-31',
  '2030-01-31T09:30:00',
  '2030-01-31 09:30:00Z',
  '2031-02-29T00:00:00Z',
  '2030-13-01T00:00:00Z',
  '2030-01-01T24:00:00Z',
  '2030-01-01T00:00:61Z',
  '2030-01-01T00:00:00+24:00',
  '10000-01-01T00:00:00Z',
  [],
  ['a'],
  {},
  { ms: 5 },
]
const fields = ['type', 'queue', 'priority', 'max_retries', 'idempotency_key', 'run_at', 'delay_ms', 'timeout_ms', 'x']

describe('the document accepts what the server accepts', () => {
  test.each(fields)('as the %s of a job', async (field) => {
    for (const value of values) {
      const body = { type: 'sleep', payload: { ms: 5 }, [field]: value }
      expect([value, described('/createJob', body)]).toEqual([value, await taken('/createJob', body)])
    }
  })

  test.each<[string, unknown[]]>([
    ['no object', [null, 1, 'a', true, [], [[]]]],
    ['without a field', [{}, { type: 'sleep' }, { payload: { ms: 5 } }]],
    [
      'with an instant and a delay',
      [{ type: 'sleep', payload: { ms: 5 }, run_at: '2030-01-01T00:00:00Z', delay_ms: 1 }],
    ],
    ['in camelCase', [{ type: 'sleep', payload: { ms: 5 }, maxRetries: 1 }]],
  ])('of a job that is %s', async (_, bodies) => {
    for (const path of ['/createJob', '/jobs']) {
      for (const body of bodies) {
        expect([path, body, described(path, body)]).toEqual([path, body, await taken(path, body)])
      }
    }
  })

  test('of an array', async () => {
    const job = { type: 'sleep', payload: { ms: 5 } }
    for (const body of [
      [job],
      [job, job],
      [job, 1],
      [job, { ...job, x: 1 }],
      Array(1_000).fill(job),
      Array(1_001).fill(job),
    ]) {
      for (const path of ['/createJob', '/jobs']) {
        expect([path, body.length, described(path, body)]).toEqual([path, body.length, await taken(path, body)])
      }
    }
  })

  const mail = { email: 'a@example.com', subject: 's', message: 'm' }
  const call = { url: 'https://example.com/hook' }
  test.each<[string, unknown[]]>([
    ['sleep', [...values, { ms: -1 }, { ms: 86_400_000 }, { ms: 86_400_001 }, { ms: '5' }, { ms: 5, s: 1 }]],
    [
      'email',
      [
        ...values,
        mail,
        { ...mail, email: 'a' },
        { ...mail, email: 'A <a@example.com>' },
        { ...mail, email: `${'a'.repeat(250)}@example.com` },
        { ...mail, subject: 'a\nb' },
        { ...mail, subject: 'a\u2028b' },
        { ...mail, subject: 'x'.repeat(998) },
        { ...mail, subject: 'x'.repeat(999) },
        { ...mail, message: 'a\nb' },
        { ...mail, message: null },
        { ...mail, body: 'b' },
        { ...mail, to: 'b@example.com' },
        { email: mail.email, subject: 's' },
        { email: mail.email, subject: 's', body: 'b' },
        { email: mail.email, message: 'm' },
      ],
    ],
    [
      'webhook',
      [
        ...values,
        call,
        { url: 'http://127.0.0.1:1/a?b=c#d' },
        { url: 'ftp://example.com' },
        { url: 'example.com' },
        { url: 'https://example.com/a b' },
        { url: 'https://example.com/a\n' },
        { url: `https://example.com/${'x'.repeat(8_172)}` },
        { url: `https://example.com/${'x'.repeat(8_173)}` },
        ...['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'TRACE', ''].flatMap((method) => [
          { ...call, method },
          { ...call, method, body: null },
        ]),
        { ...call, headers: {} },
        { ...call, headers: { a: 'b' } },
        { ...call, headers: { a: 1 } },
        { ...call, headers: ['a'] },
        { ...call, headers: Object.fromEntries(Array.from({ length: 50 }, (_, n) => [`x-${n}`, 'a'])) },
        { ...call, headers: Object.fromEntries(Array.from({ length: 51 }, (_, n) => [`x-${n}`, 'a'])) },
        { ...call, timeout: 5 },
      ],
    ],
  ])('as the payload of a job of type %s', async (type, payloads) => {
    for (const payload of payloads) {
      const body = { type, payload }
      expect([payload, described('/createJob', body)]).toEqual([payload, await taken('/createJob', body)])
    }
  })

  test.runIf(isWhole)('as a parameter', async () => {
    const job = { type: 'sleep', payload: { ms: 5 } }
    await server.post('/createJob', job)
    await server.post('/schedules/1', { cron: '@daily', job }, 'PUT')
    const texts = values
      .filter((value) => typeof value !== 'object')
      .concat('007', '+1', '1e2', 'dead', 'DEAD', '499')
      .map(String)
    const meant = ({ type }: SchemaObject, text: string) =>
      type === 'integer' && /^\d+$/.test(text) ? Number(text) : text
    for (const [path, { get }] of Object.entries(judge.document.paths)) {
      for (const [index, { name, in: place, schema }] of (get?.parameters ?? []).entries()) {
        // The server alone can tell whether a cursor is one, and how far a job's history goes.
        if (place === 'path' || name === 'cursor' || name === 'at') continue
        const pointer = `/paths/${path.replaceAll('/', '~1')}/get/parameters/${index}/schema`
        for (const text of texts) {
          const hangUp = new AbortController()
          const target = `${path.replace(/\{\w+\}/, '1')}?${new URLSearchParams({ [name]: text })}`
          const { ok } = await fetch(server.url + target, { signal: hangUp.signal })
          hangUp.abort()
          const isDescribed = judge.faultsOf(pointer, meant(schema, text)).length === 0
          expect([path, name, text, isDescribed]).toEqual([path, name, text, ok])
        }
      }
    }
  })
})

const nested = (depth: number): unknown => (depth === 0 ? 1 : [nested(depth - 1)])

test.each<[string, object]>([
  ['that an offset carries past the year 9999', { run_at: '9999-12-31T23:59:59.999-00:01' }],
  ['that a URL has a password', { type: 'webhook', payload: { url: 'https://a:b@example.com' } }],
  [
    'that a name is none of a header',
    { type: 'webhook', payload: { url: 'https://example.com', headers: { 'a b': 'c' } } },
  ],
  ['how deep a payload is nested', { type: 'webhook', payload: { url: 'https://example.com', body: nested(65) } }],
  [
    'how many bytes a payload has',
    { type: 'email', payload: { email: 'a@b.de', subject: '', message: 'x'.repeat(262_144) } },
  ],
])('only the server can detect %s', async (_, fields) => {
  const body = { type: 'sleep', payload: { ms: 5 }, ...fields }

  expect([described('/createJob', body), await taken('/createJob', body)]).toEqual([true, false])
})

test('a method in lower case is accepted, but not documented', async () => {
  const body = { type: 'webhook', payload: { url: 'https://example.com', method: 'put' } }

  expect([described('/createJob', body), await taken('/createJob', body)]).toEqual([false, true])
})
