import { trace } from '@opentelemetry/api'
import { describe, expect, test } from 'vitest'
import { aWaitingJob, startHttp } from '../support/server.ts'
import { collectSpans } from '../support/spans.ts'

const traceId = '4bf92f3577b34da6a3ce929d0e0e4736'
const traceparent = `00-${traceId}-00f067aa0ba902b7-01`

describe.each(['/createJob', '/jobs'])('POST %s', (path) => {
  const body = JSON.stringify(aWaitingJob())
  const init = (headers: Record<string, string>) => {
    return { method: 'POST', headers: { 'content-type': 'application/json', ...headers }, body }
  }

  test('keeps the trace of the request, and shows its id wherever it shows the job', async () => {
    const { fetch, get } = await startHttp()

    const { body: job } = await fetch(path, init({ traceparent, tracestate: 'vendor=1' }))

    const shown = await get(`/jobs/${job.id}`)
    expect(shown.body.trace_id).toBe(traceId)
    expect((await get('/jobs')).body.jobs).toMatchObject([{ trace_id: traceId }])
    expect((await get(`/jobs/${job.id}/explain`)).body.trace_id).toBe(traceId)
    expect((await get(`/dashboard/jobs/${job.id}`)).body).toContain(traceId)
  })

  test.each([
    ['a traceparent that is not valid', { traceparent: 'nonsense' }],
    ['a tracestate alone', { tracestate: 'vendor=1' }],
    ['a trace id of zeros', { traceparent: traceparent.replace(traceId, '0'.repeat(32)) }],
  ])('accepts %s, and keeps no trace', async (_, headers) => {
    const { fetch, get } = await startHttp()

    const { status, body: job } = await fetch(path, init(headers as Record<string, string>))

    expect(status).toBe(201)
    expect((await get(`/jobs/${job.id}`)).body.trace_id).toBeNull()
    expect((await get(`/dashboard/jobs/${job.id}`)).body).not.toContain('<dt>Trace</dt>')
  })

  test('is a part of the span in which the application was asked, when it is mounted', async () => {
    const spans = collectSpans()
    const { http, url } = await startHttp()

    const server = await trace.getTracer('app').startActiveSpan('server', async (server) => {
      expect((await http.fetch(new Request(url + path, init({ traceparent })))).status).toBe(201)
      server.end()
      return server.spanContext()
    })

    const [enqueue] = await spans.until('enqueue default')
    expect(enqueue.parentSpanContext?.spanId).toBe(server.spanId)
  })
})

test('POST /jobs keeps the trace of the request with each job of an array', async () => {
  const { fetch, get } = await startHttp()

  await fetch('/jobs', {
    method: 'POST',
    headers: { 'content-type': 'application/json', traceparent },
    body: JSON.stringify([aWaitingJob(), aWaitingJob({ priority: 3 })]),
  })

  expect((await get('/jobs')).body.jobs).toMatchObject([{ trace_id: traceId }, { trace_id: traceId }])
})
