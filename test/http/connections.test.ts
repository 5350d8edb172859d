import { expect, test } from 'vitest'
import { built } from '../support/built.ts'
import { openEvents } from '../support/event-stream.ts'
import { exchange, openConnection, type RawConnection, request } from '../support/raw-http.ts'
import { aWaitingJob, startHttp } from '../support/server.ts'
import { startServer } from '../support/server-process.ts'
import { isWhole } from '../support/share.ts'
import { tempFolder } from '../support/temp.ts'

/** What a client may do that only wants to hold connections. */
const ways = ['', 'GET / HT', request('POST /jobs', { 'content-length': '100', 'content-type': 'application/json' })]

/** Opens this many at once, in each of these ways; some are refused, as they should be. */
async function hold(port: number, count: number): Promise<RawConnection[]> {
  const opened = Array.from({ length: count }, async (_, index) => {
    const connection = await openConnection(port).catch(() => null)
    connection?.write(ways[index % ways.length]!)
    return connection
  })
  return (await Promise.all(opened)).filter((connection) => connection !== null)
}

test('ten times as many idle connections as allowed keep nobody out', async () => {
  const { port } = await startHttp({ maxConnections: 40 })

  for (let round = 0; round < 10; round++) {
    await hold(port, 40)
    expect((await exchange(port, request('GET /jobs', { connection: 'close' }))).status).toBe(200)
  }
})

test('connections between two requests are closed if there are no others, and requests in progress are kept', async () => {
  const { port } = await startHttp({ maxConnections: 16 })
  const events = await openEvents(port)
  const idle = await Promise.all(Array.from({ length: 13 }, () => openConnection(port)))
  for (const connection of idle) {
    connection.write(request('GET /livez'))
    await connection.answer()
  }

  for (let round = 0; round < 20; round++) {
    const connection = await openConnection(port)
    connection.write(request('POST /jobs', {}, JSON.stringify(aWaitingJob())))
    expect((await connection.answer()).status).toBe(201)
  }

  expect(idle.some(({ ended }) => ended)).toBe(true)
  expect((await events.untilEvents(1))[0]!.data).toMatchObject({ job_id: 1 })
})

test.runIf(isWhole && process.platform === 'linux')(
  'with 256 descriptors idle connections leave enough for the database and for what is loaded late',
  async () => {
    const { url } = await startServer({}, tempFolder(), built('main.js'), 256)
    const port = Number(new URL(url).port)
    for (let round = 0; round < 10; round++) await hold(port, 256)

    const paths = ['/jobs', '/jobs?text=x', '/machine.svg', '/metrics/prometheus', '/assets/app.js', '/docs', '/']
    const statuses = []
    for (const path of paths)
      statuses.push((await exchange(port, request(`GET ${path}`, { connection: 'close' }))).status)
    const stored = await exchange(
      port,
      request('POST /jobs', {}, JSON.stringify({ type: 'sleep', payload: { ms: 0 } })),
    )

    expect(statuses).toEqual(paths.map(() => 200))
    expect(stored.status).toBe(201)
  },
)
