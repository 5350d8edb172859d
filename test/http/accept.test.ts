import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startHttp, type TestServer } from '../support/server.ts'
import { cleanUp } from '../support/temp.ts'

let server: TestServer
beforeAll(async () => {
  server = await startHttp()
})
afterAll(cleanUp)

const json = 'application/json; charset=utf-8'
const text = 'text/plain; version=0.0.4; charset=utf-8'
const openMetrics = 'application/openmetrics-text; version=1.0.0; charset=utf-8'

async function answerTo(path: string, accept: string) {
  const { status, headers } = await server.fetch(path, { headers: { accept } })
  expect([status, headers.get('vary')]).toEqual([200, 'Accept'])
  return headers.get('content-type')
}

describe('GET /metrics answers', () => {
  test.each([
    ['*/*', json],
    ['application/json', json],
    ['application/json, text/plain', json],
    ['text/plain, */*', json],
    ['application/json, text/plain, */*', json],
    ['text/plain;q=0.9, application/json', json],
    ['text/plain;q=0.9, application/*', json],
    ['text/plain;q=0', json],
    ['text/*', json],
    ['text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8', json],
    ['image/png', json],
    [';;,,q=1', json],
    ['text/plain', text],
    ['TEXT/Plain', text],
    ['text/plain;version=0.0.4', text],
    ['text/plain, */*;q=0.1', text],
    ['text/plain, application/json;q=0.9', text],
    ['text/plain;q=0.5, application/json;q=0.4, */*', text],
    ['text/plain;q=0.5, application/*;q=0.4, */*', text],
    ['text/plain, application/openmetrics-text', text],
    ['application/openmetrics-text', openMetrics],
    ['text/plain;q=0.3, application/openmetrics-text;q=0.6, */*;q=0.2', openMetrics],
    // Prometheus 2 and 3.
    [
      'application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1',
      openMetrics,
    ],
    [
      'application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,text/plain;version=0.0.4;q=0.2,*/*;q=0.1',
      openMetrics,
    ],
  ])('to Accept: %s', async (accept, contentType) => {
    expect(await answerTo('/metrics', accept)).toBe(contentType)
  })

  test('JSON if the client does not say', async () => {
    const { headers } = await server.get('/metrics')

    expect(headers.get('content-type')).toBe(json)
  })
})

describe('GET /metrics/prometheus answers', () => {
  test.each([
    ['*/*', text],
    ['application/json', text],
    ['text/plain', text],
    ['text/plain, application/openmetrics-text', text],
    ['application/openmetrics-text;q=0.5, text/plain', text],
    ['application/openmetrics-text', openMetrics],
    ['application/openmetrics-text, */*;q=0.1', openMetrics],
    ['application/openmetrics-text;q=0', text],
  ])('to Accept: %s', async (accept, contentType) => {
    expect(await answerTo('/metrics/prometheus', accept)).toBe(contentType)
  })
})
