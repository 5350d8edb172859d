import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openConnection, request } from '../support/raw-http.ts'
import { aWaitingJob, startHttp, type TestServer } from '../support/server.ts'
import { cleanUp } from '../support/temp.ts'

let server: TestServer
beforeAll(async () => {
  server = await startHttp()
  await server.post('/createJob', aWaitingJob())
})
afterAll(cleanUp)

const routes: [string, string][] = [
  ['/createJob', 'POST'],
  ['/jobs', 'GET, HEAD, POST'],
  ['/jobs/1', 'GET, HEAD, PATCH'],
  ['/jobs/1/payload', 'GET, HEAD'],
  ['/dashboard/jobs/1/edit', 'GET, HEAD, POST'],
  ['/jobs/1/history', 'GET, HEAD'],
  ['/jobs/1/explain', 'GET, HEAD'],
  ['/jobs/1/cancel', 'POST'],
  ['/jobs/1/requeue', 'POST'],
  ['/jobs/1/machine.svg', 'GET, HEAD'],
  ['/machine', 'GET, HEAD'],
  ['/machine.svg', 'GET, HEAD'],
  ['/bulk', 'GET, HEAD, POST'],
  ['/bulk/1', 'GET, HEAD'],
  ['/bulk/1/run', 'POST'],
  ['/bulk/1/stop', 'POST'],
  ['/schedules', 'GET, HEAD'],
  ['/schedules/1', 'GET, HEAD, PUT, DELETE'],
  ['/schedules/1/pause', 'POST'],
  ['/schedules/1/resume', 'POST'],
  ['/schedules/1/trigger', 'POST'],
  ['/schedules/1/preview', 'GET, HEAD'],
  ['/schedules/1/history', 'GET, HEAD'],
  ['/events', 'GET, HEAD'],
  ['/nodes', 'GET, HEAD'],
  ['/metrics', 'GET, HEAD'],
  ['/metrics/prometheus', 'GET, HEAD'],
  ['/livez', 'GET, HEAD'],
  ['/readyz', 'GET, HEAD'],
  ['/openapi.json', 'GET, HEAD'],
  ['/login', 'GET, HEAD, POST'],
  ['/logout', 'POST'],
  ['/assets/app.js', 'GET, HEAD'],
]

describe.each(routes)('%s', (path, allow) => {
  test(`answers 405 to any method but ${allow}`, async () => {
    const connection = await openConnection(server.port)

    for (const method of ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'TRACE', 'PROPFIND']) {
      if (allow.split(', ').includes(method)) continue
      connection.write(request(`${method} ${path}`))
      const { status, headers, body } = await connection.answer({ head: method === 'HEAD' })
      expect([method, status, headers.allow]).toEqual([method, 405, allow])
      if (method !== 'HEAD') expect(body).toContain(`${method} is not allowed here`)
    }

    expect((await server.get('/jobs/1')).body.state).toBe('scheduled')
  })
})

// Of a stream GET has no end: see events.test.ts.
test.each(routes.filter(([path, allow]) => allow.includes('HEAD') && path !== '/events'))(
  'HEAD %s has the status and headers of GET, and no body',
  async (path) => {
    const connection = await openConnection(server.port)

    connection.write(request(`HEAD ${path}`), request('GET /livez'))

    const head = await connection.answer({ head: true })
    const get = await server.fetch(path, { redirect: 'manual' })
    expect(head.status).toBe(get.status)
    expect(head.headers['content-type']).toBe(get.headers.get('content-type'))
    expect(head.headers.vary ?? null).toBe(get.headers.get('vary'))
    expect((await connection.answer()).body).toBe('{"status":"live"}')
  },
)

test.each([
  '/nope',
  '/jobs/',
  '/jobs/1/',
  '//jobs',
  '/JOBS',
  '/jobs/1/cancel/x',
  '/jobs/1/explode',
  '/jobs/..%2f..%2fetc%2fpasswd/x/y',
  '/.env',
  '/%2e%2e/%2e%2e/data/jobs.db',
])('there is nothing at %s', async (path) => {
  const { status, headers, body } = await server.get(path)

  expect([status, body.code]).toEqual([404, 'not_found'])
  expect(headers.get('content-type')).toBe('application/problem+json')
})

const badIds = [
  '0',
  '-1',
  '+1',
  '01',
  '1.0',
  '1e3',
  '0x1',
  'abc',
  'NaN',
  '%00',
  '1%20',
  '%31%2F',
  '9007199254740992',
  '99999999999999999999',
  "1'--",
  '%F0%9F%8E%88',
]

describe.each([
  'GET /jobs/:id',
  'GET /jobs/:id/history',
  'GET /jobs/:id/explain',
  'GET /jobs/:id/machine.svg',
  'POST /jobs/:id/cancel',
  'POST /jobs/:id/requeue',
])('%s', (route) => {
  const [method = '', path = ''] = route.split(' ')

  test.each(badIds)('answers 404 to the id %s', async (id) => {
    const { status, headers, body } = await server.fetch(path.replace(':id', id), { method })

    expect([status, body.code]).toEqual([404, 'job_not_found'])
    expect(headers.get('content-type')).toBe('application/problem+json')
    expect(body.message).toMatch(/^no job has the id ".+"$/)
  })

  test('answers 404 to an id that no job has', async () => {
    const { status, body } = await server.fetch(path.replace(':id', '9007199254740991'), { method })

    expect(status).toBe(404)
    expect(body).toEqual({
      type: 'urn:jobmachine:job_not_found',
      title: 'Not Found',
      status: 404,
      detail: 'no job has the id 9007199254740991',
      code: 'job_not_found',
      message: 'no job has the id 9007199254740991',
    })
  })
})
