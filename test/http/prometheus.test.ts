import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { describe, expect, test } from 'vitest'
import { built } from '../support/built.ts'
import { onPostgres } from '../support/database.ts'
import { type Family, parseMetrics, sampleOf } from '../support/metrics-text.ts'
import { aWaitingJob, startHttp, type TestServer } from '../support/server.ts'
import { until } from '../support/system.ts'

async function scrape({ get }: TestServer): Promise<Map<string, Family>> {
  const { status, headers, body } = await get('/metrics/prometheus')
  expect(status).toBe(200)
  expect(headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8')
  return parseMetrics(body)
}

/** The first request gets no counts by type if it would have to wait long for them. */
async function untilCounted({ system }: TestServer): Promise<void> {
  await until(async () => (await system.census()) !== null)
}

/** A server that has run a job of each kind to its end, and counted them. */
async function withFinishedJobs(): Promise<TestServer> {
  const server = await startHttp({ retryBaseMs: 1, retryMaxMs: 1 })
  await server.post('/jobs', [
    { type: 'broken', payload: 1, max_retries: 1 },
    { type: 'echo', payload: 1 },
  ])
  await server.untilState(1, 'dead')
  await server.untilState(2, 'succeeded')
  await untilCounted(server)
  return server
}

/** `le` and value of each bucket of one histogram, by its other labels. */
function bucketsOf(name: string, { samples }: Family): Map<string, [le: number, value: number][]> {
  const buckets = new Map<string, [number, number][]>()
  for (const { labels, value, ...sample } of samples) {
    if (sample.name !== `${name}_bucket`) continue
    const { le = '', ...others } = labels
    const key = JSON.stringify(others)
    buckets.set(key, [...(buckets.get(key) ?? []), [Number(le.replace('+Inf', 'Infinity')), value]])
  }
  return buckets
}

describe('GET /metrics/prometheus', () => {
  test('says which jobs there are, what became of them and how long it took', async () => {
    const families = await scrape(await withFinishedJobs())

    const value = (name: string, labels?: Record<string, string>) => sampleOf(families, name, labels)
    expect(value('jobmachine_ready')).toBe(1)
    expect(value('jobmachine_build_info', { version: '0.1.0' })).toBe(1)
    expect(value('jobmachine_jobs', { state: 'succeeded' })).toBe(1)
    expect(value('jobmachine_jobs', { state: 'queued' })).toBe(0)
    expect(value('jobmachine_jobs_by_type', { state: 'dead', type: 'broken', queue: 'default' })).toBe(1)
    // Neither milliseconds nor an instant.
    expect(value('jobmachine_jobs_by_type_age_seconds')).toBeLessThan(120)
    expect(value('jobmachine_transitions_total', { from: 'new', event: 'enqueue', to: 'queued' })).toBe(2)
    expect(value('jobmachine_transitions_total', { from: 'running', event: 'fail', to: 'retrying' })).toBe(1)
    expect(value('jobmachine_transitions_total', { from: 'succeeded', event: 'retention', to: 'removed' })).toBe(0)
    expect(value('jobmachine_job_time_in_queue_seconds_count', { type: 'broken' })).toBe(2)
    expect(value('jobmachine_job_execution_seconds_count', { type: 'echo' })).toBe(1)
    expect(value('jobmachine_job_execution_seconds_sum', { type: 'echo' })).toBeLessThan(1)
    expect(value('jobmachine_commit_duration_seconds_count')).toBeGreaterThan(3)
    // The last commit may be seen in the file before it is measured.
    expect(value('jobmachine_commit_events_sum')).toBeGreaterThanOrEqual(8)
    expect(value('jobmachine_lease_refusals_total')).toBe(0)
    expect(value('jobmachine_workers', { phase: 'running' })).toBe(0)
    expect(value('jobmachine_worker_slots')).toBe(10)
    expect(value('jobmachine_wal_bytes')).toBeGreaterThanOrEqual(onPostgres ? 0 : 1)
    expect(value('jobmachine_database_bytes')).toBeGreaterThan(0)
    expect(value('process_cpu_seconds_total')).toBeGreaterThanOrEqual(0)
    expect(value('nodejs_heap_size_used_bytes')).toBeGreaterThan(0)
  })

  test('has histograms whose buckets rise, and end with the count', async () => {
    const families = await scrape(await withFinishedJobs())

    const histograms = [...families].filter(([name, { type }]) => name.startsWith('jobmachine') && type === 'histogram')
    expect(histograms.length).toBe(4)
    for (const [name, family] of histograms) {
      for (const [labels, buckets] of bucketsOf(name, family)) {
        expect(buckets).toEqual([...buckets].sort((a, b) => a[0] - b[0]))
        expect(buckets.map(([, value]) => value)).toEqual(buckets.map(([, value]) => value).sort((a, b) => a - b))
        expect(buckets.at(-1)).toEqual([Infinity, sampleOf(families, `${name}_count`, JSON.parse(labels))])
      }
    }
  })

  test('names every metric by the conventions', async () => {
    const families = await scrape(await withFinishedJobs())

    const ours = [...families].filter(([name]) => name.startsWith('jobmachine_'))
    expect(ours.filter(([name, { type }]) => name.endsWith('_total') !== (type === 'counter'))).toEqual([])
    expect(ours.filter(([name]) => /_(ms|milliseconds|kb|mb|count|sum|bucket)$/.test(name))).toEqual([])
    expect(ours.filter(([, { samples }]) => samples.length === 0)).toEqual([])
  })

  test('has counters that never decrease', async () => {
    const server = await withFinishedJobs()
    const earlier = await scrape(server)
    await server.post(
      '/jobs',
      [1, 2, 3].map((payload) => ({ type: 'echo', payload })),
    )
    await server.untilState(5, 'succeeded')

    const later = await scrape(server)

    let risen = 0
    for (const { type, samples } of earlier.values()) {
      if (type === 'gauge') continue
      for (const { name, labels, value } of samples) {
        const now = sampleOf(later, name, labels)
        expect([name, labels, now]).toEqual([name, labels, expect.any(Number)])
        expect(now).toBeGreaterThanOrEqual(value)
        if (name.startsWith('jobmachine') && now! > value) risen++
      }
    }
    expect(risen).toBeGreaterThan(10)
  })

  test('counts a running handler as a worker', async () => {
    const server = await startHttp({ workers: 2 })
    await server.post('/createJob', { type: 'sleep', payload: { ms: 86_400_000 } })

    const runningNow = async () => sampleOf(await scrape(server), 'jobmachine_workers', { phase: 'running' })

    await expect.poll(runningNow).toBe(1)
  })

  test('has bounded labels, however many queues there are', async () => {
    const server = await startHttp()
    for (const state of [0, 1]) {
      const jobs = Array.from({ length: 500 }, (_, n) => ({ type: 'echo', payload: 1, queue: `q${state}-${n}` }))
      await server.post(
        '/jobs',
        jobs.map((job) => (state ? aWaitingJob(job) : aWaitingJob({ ...job, priority: 1 }))),
      )
    }

    await untilCounted(server)

    const families = await scrape(server)

    const { samples } = families.get('jobmachine_jobs_by_type')!
    expect(samples.length).toBe(201)
    expect(samples.reduce((sum, { value }) => sum + value, 0)).toBe(1_000)
    expect(samples.at(-1)!.labels).toEqual({ state: 'scheduled', type: '_other', queue: '_other' })
    expect([...families.values()].flatMap((family) => family.samples).length).toBeLessThan(800)
  })

  test('shows nothing of payloads, keys or errors, and no refused type', async () => {
    const server = await startHttp()
    const hostile = 'evil"} 1\njobmachine_ready 0'
    await server.post('/createJob', { type: hostile, payload: 1 })
    await server.post('/createJob', { type: 'echo', payload: 1, queue: hostile })
    await server.post('/createJob', { type: 'echo', payload: hostile, idempotency_key: 'evil-key', max_retries: 0 })
    await server.post('/createJob', { type: 'broken', payload: { evil: hostile }, max_retries: 0 })
    await server.untilState(2, 'dead')

    const { body } = await server.get('/metrics/prometheus')

    expect(sampleOf(parseMetrics(body), 'jobmachine_ready')).toBe(1)
    expect(body).not.toMatch(/evil|out of luck/)
  })

  test('says that the system is not ready while it is not', async () => {
    const server = await startHttp({ started: false })

    expect(sampleOf(await scrape(server), 'jobmachine_ready')).toBe(0)
  })

  test('answers 503 once the system has stopped', async () => {
    const server = await startHttp()
    await server.system.stop()

    const { status, body } = await server.get('/metrics/prometheus')

    expect([status, body.code]).toEqual([503, 'unavailable'])
  })

  test('requires the token like everything else', async () => {
    const server = await startHttp({ apiToken: 'a-token-of-sixteen' })

    expect((await server.get('/metrics/prometheus')).status).toBe(401)
  })

  test('is separate for each of several servers in one process', async () => {
    const [first, second] = await Promise.all([startHttp(), startHttp()])
    await first.post('/createJob', aWaitingJob())

    const [ofFirst, ofSecond] = await Promise.all([scrape(first), scrape(second)])

    expect(sampleOf(ofFirst, 'jobmachine_jobs', { state: 'scheduled' })).toBe(1)
    expect(sampleOf(ofSecond, 'jobmachine_jobs', { state: 'scheduled' })).toBe(0)
  })

  test('watches the process without keeping it alive', async () => {
    const script = `
      import { showPrometheus } from ${JSON.stringify(built('http/metrics/prometheus.js'))}
      const system = { telemetry: async () => ({
        at: 0, version: '0', ready: true, states: {}, transitions: [], census: null, types: [], refusals: 0, slots: 0,
        phases: {}, files: {}, commits: { durationMs: { bounds: [], counts: [0] }, events: { bounds: [], counts: [0] } } }) }
      const answer = await showPrometheus(system)
      console.log((await answer.text()).includes('nodejs_eventloop_lag_seconds'))`

    const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', script])

    expect(stdout).toBe('true\n')
  })
})

describe('as OpenMetrics', () => {
  test('has the same metrics, up to the final line', async () => {
    const server = await withFinishedJobs()

    const { headers, body } = await server.fetch('/metrics/prometheus', {
      headers: { accept: 'application/openmetrics-text; version=1.0.0' },
    })

    expect(headers.get('content-type')).toBe('application/openmetrics-text; version=1.0.0; charset=utf-8')
    expect(body.endsWith('\n# EOF\n')).toBe(true)
    expect(body).not.toContain('\n\n')
    expect(body).toMatch(/^# TYPE jobmachine_transitions counter$/m)
    expect(body).toMatch(/^jobmachine_transitions_total\{.*\} 1$/m)
    expect(body).toMatch(/^# TYPE process_cpu_seconds counter$/m)
  })

  test('does not change the plain text', async () => {
    const server = await startHttp()
    const before = await scrape(server)

    await server.fetch('/metrics/prometheus', { headers: { accept: 'application/openmetrics-text' } })

    expect([...(await scrape(server)).keys()]).toEqual([...before.keys()])
  })
})
