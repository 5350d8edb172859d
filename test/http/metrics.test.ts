import { describe, expect, test } from 'vitest'
import { aWaitingJob, startHttp } from '../support/server.ts'

describe('GET /metrics', () => {
  const zero = {
    active_workers: 0,
    queue_depth: 0,
    dead_letter_count: 0,
    retry_count: 0,
    success_count: 0,
    failure_count: 0,
    avg_execution_ms: 0,
    avg_time_in_queue_ms: 0,
  }

  test('is all zero at first, and varies by Accept', async () => {
    const { get } = await startHttp()

    const { status, headers, body } = await get('/metrics')

    expect(status).toBe(200)
    expect(headers.get('content-type')).toBe('application/json; charset=utf-8')
    expect(headers.get('vary')).toBe('Accept')
    expect(body).toEqual(zero)
  })

  test('counts what succeeded, failed, ran again and waits', async () => {
    const { post, get, untilState } = await startHttp({ workers: 1, retryBaseMs: 1, retryMaxMs: 1 })
    await post('/jobs', [
      { type: 'broken', payload: 1, max_retries: 2 },
      { type: 'echo', payload: 1 },
    ])
    await untilState(1, 'dead')
    await untilState(2, 'succeeded')
    await post('/jobs', [{ type: 'sleep', payload: { ms: 86_400_000 } }])
    await untilState(3, 'running')
    await post('/jobs', [{ type: 'echo', payload: 1 }, { type: 'echo', payload: 1 }, aWaitingJob()])

    const { body } = await get('/metrics')

    expect(body).toEqual({
      active_workers: 1,
      queue_depth: 2,
      dead_letter_count: 1,
      retry_count: 2,
      success_count: 1,
      failure_count: 3,
      avg_execution_ms: expect.any(Number),
      avg_time_in_queue_ms: expect.any(Number),
    })
  })

  test('averages how long attempts took', async () => {
    const { post, get, untilState } = await startHttp()
    const from = Date.now()
    await post('/jobs', { type: 'sleep', payload: { ms: 60 } })
    await untilState(1, 'succeeded')
    const passedMs = Date.now() - from

    const { body } = await get('/metrics')

    expect(body.avg_execution_ms).toBeGreaterThanOrEqual(59)
    expect(body.avg_execution_ms + body.avg_time_in_queue_ms).toBeLessThanOrEqual(passedMs)
  })
})
