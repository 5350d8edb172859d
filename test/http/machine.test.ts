import { createHash } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { charts } from '../../src/machines/chart.ts'
import { type JobState, jobMachine } from '../../src/machines/job.ts'
import { startHttp, type TestServer } from '../support/server.ts'
import { cleanUp } from '../support/temp.ts'
import { byId, elementsOf, parseXml, type XmlElement } from '../support/xml.ts'

/** Job 1 failed twice and is dead, job 2 succeeded, job 3 waits, job 4 runs on one of two workers. */
let server: TestServer
beforeAll(async () => {
  server = await startHttp({ workers: 2, retryBaseMs: 1, retryMaxMs: 1 })
  await server.post('/jobs', [
    { type: 'broken', payload: '</svg><script>', max_retries: 1, idempotency_key: '</svg><script>' },
    { type: 'echo', payload: 1 },
    { type: 'echo', payload: 1, delay_ms: 3_600_000 },
  ])
  await server.untilState(1, 'dead')
  await server.untilState(2, 'succeeded')
  await server.post('/createJob', { type: 'sleep', payload: { ms: 86_400_000 } })
  await server.untilState(4, 'running')
})
afterAll(cleanUp)

const pictureOf = async (path: string) => parseXml((await server.get(path)).body)
const textOf = (svg: XmlElement, id: string) => byId(svg, id).text
const marked = (svg: XmlElement, mark: string) =>
  elementsOf(svg)
    .filter(({ attributes }) => attributes.class?.split(' ').includes(mark))
    .map(({ attributes }) => attributes.id)

describe.each([
  '/machine.svg',
  '/machine.svg?of=job',
  '/machine.svg?of=dispatcher',
  '/machine.svg?of=worker',
  '/jobs/1/machine.svg',
  '/jobs/1/machine.svg?at=3',
])('GET %s', (path) => {
  test('is a picture that a browser accepts, with its style and nothing else', async () => {
    const { status, headers, body } = await server.get(path)
    const style = elementsOf(parseXml(body)).find(({ name }) => name === 'style')!.text
    const hash = createHash('sha256').update(style).digest('base64')

    expect(status).toBe(200)
    expect(headers.get('content-type')).toBe('image/svg+xml; charset=utf-8')
    expect(headers.get('content-security-policy')).toBe(
      `default-src 'none'; frame-ancestors 'none'; base-uri 'none'; style-src 'sha256-${hash}'`,
    )
    expect(body).not.toMatch(/<script|style="/)
  })

  test('describes what it shows for screen readers', async () => {
    const { attributes } = await pictureOf(path)

    expect(attributes.role).toBe('img')
    expect(attributes['aria-label']).toMatch(/\w+.*\.$/)
  })
})

describe('GET /machine.svg', () => {
  test('counts the jobs in each state and how often each edge was taken, like the file', async () => {
    const svg = await pictureOf('/machine.svg')
    const counts = await server.system.counts()

    for (const [state, count] of Object.entries(counts)) expect(textOf(svg, `count-${state}`)).toBe(`${count}`)
    expect(counts).toMatchObject({ scheduled: 1, running: 1, succeeded: 1, dead: 1 })
    expect(textOf(svg, 'taken-new-enqueue-scheduled')).toBe('1')
    expect(textOf(svg, 'taken-new-enqueue-queued')).toBe('3')
    expect(textOf(svg, 'taken-running-fail-retrying')).toBe('1')
    expect(textOf(svg, 'taken-running-fail-dead')).toBe('1')
    expect(textOf(svg, 'taken-running-snooze-scheduled')).toBe('0')
    expect(svg.attributes['aria-label']).toContain('1 scheduled, 0 queued, 0 leased, 1 running, 0 retrying')
    expect(svg.attributes['aria-label']).toContain('fail from running to dead 1')
  })

  test('draws edges that were taken more often wider', async () => {
    const svg = await pictureOf('/machine.svg')
    const widthOf = (edge: string) =>
      Number(
        byId(svg, `edge-${edge}`).children.find(({ attributes }) => attributes.class === 'line')!.attributes[
          'stroke-width'
        ],
      )

    expect(widthOf('running-fail-dead')).toBeGreaterThan(widthOf('running-snooze-scheduled'))
    expect(widthOf('leased-start-running')).toBeGreaterThan(widthOf('running-fail-dead'))
  })

  test('?of=dispatcher marks its current mode', async () => {
    const svg = await pictureOf('/machine.svg?of=dispatcher')

    expect(marked(svg, 'current')).toEqual(['dispatcher-state-dispatching'])
    expect(textOf(svg, 'dispatcher-count-dispatching')).toBe('now')
    expect(textOf(svg, 'dispatcher-count-draining')).toBe('')
  })

  test('?of=worker counts the slots in each phase', async () => {
    const svg = await pictureOf('/machine.svg?of=worker')

    expect(['free', 'running', 'stuck'].map((phase) => textOf(svg, `worker-count-${phase}`))).toEqual(['1', '1', '0'])
  })

  test('of a producer shows that it runs nothing', async () => {
    const producer = await startHttp({ handlers: undefined } as never)

    const dispatcher = parseXml((await producer.get('/machine.svg?of=dispatcher')).body)
    const worker = parseXml((await producer.get('/machine.svg?of=worker')).body)

    expect(marked(dispatcher, 'current')).toEqual([])
    expect(dispatcher.attributes['aria-label']).toContain('a producer runs no jobs')
    expect(textOf(worker, 'worker-count-free')).toBe('0')
  })
})

describe('GET /jobs/:id/machine.svg', () => {
  test('highlights the edges that the job took, its last edge and its state', async () => {
    const svg = await pictureOf('/jobs/1/machine.svg')

    expect(marked(svg, 'taken').sort()).toEqual(
      [
        'new-enqueue-queued',
        'queued-lease-leased',
        'leased-start-running',
        'running-fail-retrying',
        'retrying-due-queued',
        'running-fail-dead',
      ]
        .map((id) => `edge-${id}`)
        .sort(),
    )
    expect(marked(svg, 'last')).toEqual(['edge-running-fail-dead'])
    expect(marked(svg, 'current')).toEqual(['state-dead'])
    expect(textOf(svg, 'taken-leased-start-running')).toBe('2×')
    expect(textOf(svg, 'count-running')).toBe('2×')
    expect(svg.attributes['aria-label']).toMatch(/^Job 1 is dead after 8 transitions\. /)
  })

  test('fades everything that it did not take', async () => {
    const svg = await pictureOf('/jobs/2/machine.svg')

    const shown = [
      ...marked(svg, 'taken'),
      ...marked(svg, 'visited'),
      ...marked(svg, 'current'),
      ...marked(svg, 'faded'),
    ]
    const all = elementsOf(svg).flatMap(({ attributes }) =>
      /^(edge|state)-/.test(attributes.id ?? '') ? attributes.id! : [],
    )
    expect([...shown].sort()).toEqual(all.sort())
    expect(textOf(svg, 'taken-running-fail-dead')).toBe('')
  })

  test('?at= shows an earlier moment', async () => {
    const svg = await pictureOf('/jobs/1/machine.svg?at=4')

    expect(marked(svg, 'last')).toEqual(['edge-running-fail-retrying'])
    expect(marked(svg, 'current')).toEqual(['state-retrying'])
    expect(marked(svg, 'taken')).not.toContain('edge-running-fail-dead')
    expect(svg.attributes['aria-label']).toMatch(/^Job 1 was retrying after 4 transitions\. /)
    expect((await pictureOf('/jobs/1/machine.svg?at=1')).attributes['aria-label']).toContain('after 1 transition.')
  })

  test.each(['0', '9', '99999999', '-1', '1.5', 'x', '', '1&at=1'])('answers 400 to ?at=%s', async (at) => {
    const { status, body } = await server.get(`/jobs/1/machine.svg?at=${at}`)

    expect([status, body.code, body.errors[0].path]).toEqual([400, 'invalid_input', 'at'])
  })

  test('says how long a job’s history is if the request asks for more', async () => {
    const { body } = await server.get('/jobs/1/machine.svg?at=9')

    expect(body.errors).toEqual([{ path: 'at', message: 'must be a whole number from 1 to 8' }])
  })

  test('has nothing of the job except numbers and names of the machine', async () => {
    await server.post('/createJob', { type: 'broken', payload: 1, max_retries: 1 })
    await server.untilState(5, 'dead')

    const hostile = (await server.get('/jobs/1/machine.svg')).body
    const plain = (await server.get('/jobs/5/machine.svg')).body

    expect(hostile.replaceAll('Job 1 ', 'Job N ')).toBe(plain.replaceAll('Job 5 ', 'Job N '))
  })
})

describe('GET /machine', () => {
  test('is the machine as defined', async () => {
    const { body } = await server.get('/machine')

    expect(body.id).toBe('job')
    for (const { name, description, tags, final } of body.states) {
      const node = jobMachine.states[name as JobState]!
      expect([description, tags, final]).toEqual([node.description, node.tags, node.type === 'final'])
    }
    expect(body.states).toHaveLength(9)
    expect(body.edges).toHaveLength(charts.job.edges.length)
    expect(body.mermaid).toMatch(/^stateDiagram-v2\n/)
  })

  test('has the same counts as the picture', async () => {
    const { body } = await server.get('/machine')
    const svg = await pictureOf('/machine.svg')

    for (const { name, count } of body.states) expect(textOf(svg, `count-${name}`)).toBe(`${count}`)
    for (const { id, taken } of body.edges) expect(textOf(svg, `taken-${id}`)).toBe(`${taken}`)
    expect(body.edges[1]).toEqual({
      id: 'new-enqueue-scheduled',
      from: null,
      event: 'enqueue',
      to: 'scheduled',
      guard: 'run_at ahead',
      taken: 1,
    })
  })

  test('?of=dispatcher and ?of=worker count what is there now, and no edges', async () => {
    const dispatcher = (await server.get('/machine?of=dispatcher')).body
    const worker = (await server.get('/machine?of=worker')).body

    const counts = (body: { states: { name: string; count: number }[] }) =>
      Object.fromEntries(body.states.map(({ name, count }) => [name, count]))
    expect(counts(dispatcher)).toEqual({ recovering: 0, dispatching: 1, stuck: 0, draining: 0, stopped: 0 })
    expect(counts(worker)).toEqual({ free: 1, running: 1, stuck: 0 })
    expect([...dispatcher.edges, ...worker.edges].filter(({ taken }) => taken !== null)).toEqual([])
  })
})

test.each([
  '/machine?of=x',
  '/machine.svg?of=x',
  '/machine.svg?of=',
  '/machine.svg?of=job&of=job',
  '/machine?state=dead',
  '/machine.svg?at=1',
  '/jobs/1/machine.svg?of=job',
])('answers 400 to %s', async (path) => {
  const { status, body } = await server.get(path)

  expect([status, body.code]).toEqual([400, 'invalid_input'])
})

test('a chart of a stopped system is refused like every other read', async () => {
  const stopped = await startHttp()
  await stopped.post('/createJob', { type: 'echo', payload: 1 })
  await stopped.system.stop({ graceMs: 0 })

  const answers = await Promise.all(['/jobs/1/machine.svg', '/machine.svg', '/machine'].map(stopped.get))

  expect(answers.map(({ status, body }) => [status, body.code])).toEqual(answers.map(() => [503, 'unavailable']))
})
