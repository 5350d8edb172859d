import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { exchange, request } from '../support/raw-http.ts'
import { startHttp, type TestServer } from '../support/server.ts'
import { cleanUp } from '../support/temp.ts'

let server: TestServer
beforeAll(async () => {
  server = await startHttp({ maxPayloadBytes: 2_000, maxRequestBytes: 1_048_576 })
})
afterAll(cleanUp)

/** What no answer may show: a stack trace, SQL, a path of this machine. */
const leaks =
  /\n\s+at |\.[jt]s:\d|node_modules|node:internal|sqlite|\b(select|insert|update) .*\b(from|into|set)\b|\/(work|tmp|home|root|usr)\//i

async function smtpFailureOf(body: string | Buffer, headers: Record<string, string | undefined> = {}, path = '/jobs') {
  const head = request(`POST ${path}`, {
    'content-type': 'application/json',
    'content-length': `${Buffer.byteLength(body)}`,
    ...headers,
  })
  const answer = await exchange(server.port, head, body)
  expect(answer.headers['content-type']).toBe('application/problem+json')
  expect(answer.body).not.toMatch(leaks)
  const { code, status, errors } = JSON.parse(answer.body)
  expect(status).toBe(answer.status)
  return { status, code, paths: errors?.map(({ path }: { path: string }) => path).sort() }
}

afterEach(async () => {
  expect((await server.get('/jobs')).body.jobs).toEqual([])
})

/** A job, as JSON text, in which `fields` stand as they are written here. */
const job = (fields: string) => `{"type":"echo","payload":{},"delay_ms":3600000${fields === '' ? '' : `,${fields}`}}`
const without = (field: string, fields: string) => job(fields).replace(`"${field}":3600000,`, '')
const nested = (depth: number) => '['.repeat(depth) + ']'.repeat(depth)

describe('a body that is not JSON is refused with invalid_json', () => {
  test.each<[string, string | Buffer]>([
    ['nothing', ''],
    ['spaces', ' \r\n\t '],
    ['a byte order mark alone', '\uFEFF'],
    ['an object that breaks off', '{"type":"echo"'],
    ['a string that breaks off', '{"type":"ec'],
    ['two values', `${job('')}${job('')}`],
    ['a value and something after it', `${job('')} x`],
    ['a null byte after the value', `${job('')}\0`],
    ['single quotes', "{'type':'echo','payload':{}}"],
    ['a trailing comma', '{"type":"echo","payload":{},}'],
    ['a comment', '{"type":"echo","payload":{}/* */}'],
    ['NaN', job('"priority":NaN')],
    ['Infinity', job('"priority":Infinity')],
    ['a hexadecimal number', job('"priority":0x10')],
    ['a plus sign', job('"priority":+1')],
    ['a leading zero', job('"priority":01')],
    ['undefined', job('"priority":undefined')],
    ['a control character in a string', job('"queue":"a\nb"')],
    ['an escape that breaks off', job('"queue":"\\u12"')],
    ['a form', 'type=echo&payload=1'],
    ['invalid UTF-8', Buffer.from([0x22, 0xff, 0xfe, 0x22])],
    ['UTF-8 that breaks off', Buffer.from([0x22, 0xf0, 0x9f])],
    ['an overlong slash', Buffer.from([0x22, 0xc0, 0xaf, 0x22])],
    ['a surrogate in UTF-8', Buffer.from([0x22, 0xed, 0xa0, 0x80, 0x22])],
    ['UTF-16', Buffer.from('\uFEFF{}', 'utf16le')],
    ['100,000 open brackets', '['.repeat(100_000)],
  ])('%s', async (_, body) => {
    expect(await smtpFailureOf(body)).toEqual({ status: 400, code: 'invalid_json', paths: [''] })
  })
})

describe('JSON that is not a job is refused with invalid_input', () => {
  test.each([
    ['null', 'null', ['']],
    ['a number', '7', ['']],
    ['a string', '"echo"', ['']],
    ['true', 'true', ['']],
    ['an empty array', '[]', ['']],
    ['1,001 jobs', `[${Array(1_001).fill(job('')).join()}]`, ['']],
    ['an array in an array', `[[${job('')}]]`, ['0']],
    ['nulls', '[null,null]', ['0', '1']],
    ['100,000 brackets', nested(100_000), ['0']],
    ['100,000 objects in one another', `${'{"a":'.repeat(100_000)}1${'}'.repeat(100_000)}`, ['a', 'payload', 'type']],
    ['an empty object', '{}', ['payload', 'type']],
    ['no type', '{"payload":1}', ['type']],
    ['no payload', '{"type":"echo"}', ['payload']],
    ['an unknown field', job('"retries":1'), ['retries']],
    [
      'names in camelCase',
      job('"maxRetries":1,"idempotencyKey":"k","runAt":"2030-01-01T00:00:00Z"'),
      ['idempotencyKey', 'maxRetries', 'runAt'],
    ],
    ['a field in capitals', job('"Priority":1'), ['Priority']],
    ['fields that are set by the system', job('"id":1,"state":"dead","attempt":9'), ['attempt', 'id', 'state']],
    ['__proto__', job('"__proto__":{"priority":1}'), ['__proto__']],
    ['constructor', job('"constructor":1'), ['constructor']],
    ['an empty name', job('"":1'), ['']],
    [
      'every fault at once',
      job('"priority":101,"max_retries":-1,"queue":"","x":1'),
      ['max_retries', 'priority', 'queue', 'x'],
    ],
  ])('%s', async (_, body, paths) => {
    expect(await smtpFailureOf(body)).toEqual({ status: 400, code: 'invalid_input', paths })
  })
})

describe('a field with a wrong value is refused by its path', () => {
  const names = [
    '7',
    'null',
    'true',
    '{}',
    '["a"]',
    '""',
    '" "',
    '"-a"',
    '".a"',
    '"a b"',
    '"../../x"',
    '"a/b"',
    '"a\\u0000"',
    '"a\\n"',
    '"a\\u001b[31m"',
    '"ä"',
    '"<script>"',
    `"${'a'.repeat(65)}"`,
    `"${'a'.repeat(10_000)}"`,
    "\"a' OR '1'='1\"",
    '"a\\u202e"',
  ]
  const numbers = [
    '"1"',
    '""',
    'null',
    'true',
    '[]',
    '{}',
    '0.5',
    '1e400',
    '-1e400',
    '9007199254740993',
    '1e21',
    '-9007199254740993',
  ]
  const instants = [
    '7',
    'null',
    '1893456000000',
    '{}',
    '""',
    '"now"',
    '"tomorrow"',
    '"2030-01-31"',
    '"2030-01-31T09:30:00"',
    '"2030-01-31 09:30:00Z"',
    '"2030-02-30T00:00:00Z"',
    '"2031-02-29T00:00:00Z"',
    '"2030-04-31T00:00:00Z"',
    '"2030-13-01T00:00:00Z"',
    '"2030-00-01T00:00:00Z"',
    '"2030-01-00T00:00:00Z"',
    '"2030-01-01T24:00:00Z"',
    '"2030-01-01T00:60:00Z"',
    '"2030-01-01T00:00:61Z"',
    '"2030-01-01T00:00:00+24:00"',
    '"2030-01-01T00:00:00+0100"',
    '"9999-12-31T23:59:59.999-00:01"',
    '"10000-01-01T00:00:00Z"',
    '"+010000-01-01T00:00:00Z"',
    '"+275760-09-13T00:00:00.001Z"',
    '"275760-09-13T00:00:00Z"',
    '"-000001-01-01T00:00:00Z"',
    '"2030-01-31T09:30:00Z\\n"',
    '" 2030-01-31T09:30:00Z"',
    '"2030-01-31T09:30:00Z; DROP TABLE jobs"',
    '"Thu, 31 Jan 2030 09:30:00 GMT"',
  ]
  const keys = [
    '7',
    'null',
    '{}',
    '""',
    `"${'k'.repeat(256)}"`,
    `"${'k'.repeat(10_000)}"`,
    '"a\\u0000b"',
    '"a\\nb"',
    '"a\\u007f"',
    '"\\ud800"',
    '"a\\u200b"',
    '"\\ufeff"',
  ]
  test.each([
    ...names.map((value) => ['queue', value] as const),
    ...['priority', 'max_retries', 'delay_ms', 'timeout_ms'].flatMap((field) =>
      numbers.map((value) => [field, value] as const),
    ),
    ['priority', '101'],
    ['priority', '-101'],
    ['max_retries', '-1'],
    ['max_retries', '1001'],
    ['delay_ms', '-1'],
    ['delay_ms', '3155760000001'],
    ['timeout_ms', '0'],
    ['timeout_ms', '-0'],
    ['timeout_ms', '-1'],
    ['timeout_ms', '86400001'],
    ...instants.map((value) => ['run_at', value] as const),
    ...keys.map((value) => ['idempotency_key', value] as const),
  ] as [string, string][])('%s %s', async (field, value) => {
    const body = without('delay_ms', `"${field}":${value}`)

    expect(await smtpFailureOf(body)).toEqual({ status: 400, code: 'invalid_input', paths: [field] })
  })

  test.each(names)('type %s', async (value) => {
    expect(await smtpFailureOf(`{"type":${value},"payload":{}}`)).toEqual({
      status: 400,
      code: 'invalid_input',
      paths: ['type'],
    })
  })

  test('run_at together with delay_ms', async () => {
    const body = job('"run_at":"2030-01-31T09:30:00Z"')

    expect(await smtpFailureOf(body)).toEqual({ status: 400, code: 'invalid_input', paths: ['delay_ms'] })
  })

  test('a wrong type is answered with what is allowed, not with "required"', async () => {
    const { body } = await server.post('/jobs', {
      type: 7,
      payload: {},
      queue: 7,
      idempotency_key: 7,
      run_at: 7,
      priority: '7',
    })

    expect(body.errors.map(({ message }: { message: string }) => message)).toEqual(
      Array(5).fill(expect.stringMatching(/^must be /)),
    )
  })

  test('a missing field is reported as required', async () => {
    const { body } = await server.post('/jobs', {})

    expect(body.errors).toEqual([
      { path: 'type', message: 'is required' },
      { path: 'payload', message: 'is required' },
    ])
    expect(body.message).toBe('type: is required; payload: is required')
    expect(body.detail).toBe(body.message)
  })
})

describe('a payload', () => {
  test.each([
    ['nested 65 deep', nested(65), 'invalid_input'],
    ['nested 90,000 deep', nested(90_000), 'invalid_input'],
    ['with a number that no double holds', '{"a":[1,1e400]}', 'invalid_input'],
    ['of more bytes than it may have', `"${'a'.repeat(1_999)}"`, 'invalid_payload'],
    ['of more bytes than it may have, in few characters', `"${'🎈'.repeat(500)}"`, 'invalid_payload'],
  ])('%s is refused', async (_, payload, code) => {
    const { status, code: got, paths } = await smtpFailureOf(`{"type":"echo","payload":${payload}}`)

    expect([status, got]).toEqual([400, code])
    expect(paths).toHaveLength(1)
    expect(paths[0]).toMatch(/^payload/)
  })

  test.each([
    ['{}', ['payload.ms']],
    ['{"ms":-1}', ['payload.ms']],
    ['{"ms":"1"}', ['payload.ms']],
    ['{"ms":86400001}', ['payload.ms']],
    ['{"ms":1,"seconds":2}', ['payload']],
    ['7', ['payload']],
    ['null', ['payload']],
  ])('%s that its handler does not accept is refused', async (payload, paths) => {
    expect(await smtpFailureOf(`{"type":"sleep","payload":${payload}}`)).toEqual({
      status: 400,
      code: 'invalid_payload',
      paths,
    })
  })

  test('of a type without a handler is refused with the known types', async () => {
    const { status, body } = await server.post('/jobs', { type: 'emial', payload: {} })

    expect([status, body.code]).toEqual([400, 'unknown_type'])
    expect(body.errors).toEqual([
      { path: 'type', message: 'no handler for type "emial"; known types: echo, broken, sleep' },
    ])
  })
})

describe('a content type', () => {
  test.each([
    [undefined],
    [''],
    ['text/plain'],
    ['application/x-www-form-urlencoded'],
    ['multipart/form-data; boundary=x'],
    ['application/jsonp'],
    ['application/json-patch+json'],
    ['text/json'],
    ['application/json, text/plain'],
    ['application/json; charset=iso-8859-1'],
    ['application/json; charset=utf-16'],
    ['application/json; charset="latin1"'],
  ])('%s is refused with 415', async (type) => {
    expect(await smtpFailureOf(job(''), { 'content-type': type })).toEqual({
      status: 415,
      code: 'unsupported_media_type',
    })
  })

  test.each(['gzip', 'deflate', 'br', 'utf-8'])('with the encoding %s is refused with 415', async (encoding) => {
    expect(await smtpFailureOf(job(''), { 'content-encoding': encoding })).toEqual({
      status: 415,
      code: 'unsupported_media_type',
    })
  })
})

describe('a query parameter with a wrong value is refused by its name', () => {
  test.each([
    ['/jobs?limit=0', ['limit']],
    ['/jobs?limit=501', ['limit']],
    ['/jobs?limit=-1', ['limit']],
    ['/jobs?limit=1.5', ['limit']],
    ['/jobs?limit=1e2', ['limit']],
    ['/jobs?limit=', ['limit']],
    ['/jobs?limit=abc', ['limit']],
    ['/jobs?limit=%31%00', ['limit']],
    ['/jobs?limit=9999999999999999999', ['limit']],
    ['/jobs?limit=1&limit=2', ['limit']],
    ['/jobs?state=', ['state']],
    ['/jobs?state=failed', ['state']],
    ['/jobs?state=DEAD', ['state']],
    ['/jobs?queue=Sp%C3%A4ter&type=a%20b', ['queue', 'type']],
    ['/jobs?queue=', ['queue']],
    [`/jobs?type=${'x'.repeat(65)}`, ['type']],
    ['/events?queue=Sp%C3%A4ter&type=-a', ['queue', 'type']],
    ['/jobs?state=constructor', ['state']],
    ['/jobs?cursor=', ['cursor']],
    ['/jobs?cursor=abc', ['cursor']],
    ['/jobs?cursor=-1', ['cursor']],
    ["/jobs?cursor=1'--", ['cursor']],
    ['/jobs?cursor=9007199254740993', ['cursor']],
    ['/jobs?sort=id', ['sort']],
    ['/jobs?State=dead&__proto__=1', ['State', '__proto__']],
    ['/jobs?token=secret', ['token']],
    ['/jobs/1/history?limit=1001', ['limit']],
    ['/jobs/1/history?limit=0', ['limit']],
    ['/jobs/1/history?after=-1', ['after']],
    ['/jobs/1/history?after=x', ['after']],
    ['/jobs/1/history?cursor=1', ['cursor']],
    ['/events?state=', ['state']],
    ['/events?state=failed', ['state']],
    ['/events?job_id=', ['job_id']],
    ['/events?job_id=-1', ['job_id']],
    ['/events?job_id=1.5', ['job_id']],
    ['/events?job_id=9999999999999999', ['job_id']],
    ['/events?type=echo&type=echo', ['type']],
    ['/events?queue=a&queue=b', ['queue']],
    ['/events?after=1', ['after']],
    ['/events?limit=1&lastEventId=1', ['lastEventId', 'limit']],
  ])('%s', async (path, paths) => {
    const { status, body } = await server.get(path)

    expect([status, body.code]).toEqual([400, 'invalid_input'])
    expect(body.errors.map((error: { path: string }) => error.path).sort()).toEqual(paths)
    expect(JSON.stringify(body)).not.toMatch(leaks)
  })
})

test('a name that no job can have is refused with the same words when stored and when searched for', async () => {
  const wordsOf = async (answer: Promise<{ body: { errors: { path: string; message: string }[] } }>) =>
    (await answer).body.errors.map(({ path, message }) => `${path.replace('0.', '')}: ${message}`).sort()
  const names = { queue: 'Später', type: 'a b' }
  const query = new URLSearchParams(names)

  const stored = await wordsOf(server.post('/jobs', { payload: 1, ...names }))

  expect(stored).toEqual(['queue', 'type'].map((path) => expect.stringMatching(`^${path}: must be 1 to 64 letters`)))
  expect(await wordsOf(server.get(`/jobs?${query}`))).toEqual(stored)
  expect(await wordsOf(server.get(`/events?${query}`))).toEqual(stored)
  expect(await wordsOf(server.post('/bulk', { command: 'cancel', ...names }))).toEqual(stored)
})

test('every fault of a query is reported, with what the parameter may be', async () => {
  const faultsOf = async (path: string) => (await server.get(path)).body.errors

  expect(await faultsOf('/jobs?limit=x&state=failed')).toEqual([
    {
      path: 'state',
      message: 'must be one of: blocked, scheduled, queued, leased, running, retrying, succeeded, dead, cancelled',
    },
    { path: 'limit', message: 'must be a whole number from 1 to 500' },
  ])
  expect(await faultsOf('/jobs?type=a&type=b&sort=id&limit=0')).toEqual([
    { path: 'limit', message: 'must be a whole number from 1 to 500' },
    { path: 'type', message: 'is given twice' },
    {
      path: 'sort',
      message: 'is not a known parameter; known are state, type, queue, text, created_from, created_to, limit, cursor',
    },
  ])
})

test('of a query with megabytes of faults a thousand are reported, in an answer of kilobytes', async () => {
  const unknown = Array.from({ length: 90_000 }, (_, index) => `"x${index}":1`).join()
  const longNames = Array.from({ length: 100 }, (_, index) => `"${'x'.repeat(10_000)}${index}":1`).join()

  for (const body of [
    job(unknown),
    `{"type":"sleep","payload":{${longNames}}}`,
    `{"type":"echo","payload":1,${longNames}}`,
  ]) {
    const answer = await exchange(server.port, request('POST /jobs', {}, body))
    expect(answer.status).toBe(400)
    expect(JSON.parse(answer.body).errors.length).toBeLessThanOrEqual(1_000)
    expect(answer.body.length).toBeLessThan(200_000)
  }
})
