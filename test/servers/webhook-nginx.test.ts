import { once } from 'node:events'
import { mkdirSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { PermanentError, RetryAfterError } from '../../src/errors.ts'
import { HttpClient } from '../../src/handlers/http-client.ts'
import { callWebhook } from '../../src/handlers/webhook.ts'
import { attempt, failureOf } from '../support/attempt.ts'
import { tempFolder, whenDone } from '../support/temp.ts'
import { describeWith, freePort, program, runServer } from './servers.ts'

interface Received {
  readonly method: string
  readonly path: string
  readonly body: string
}

/** The receiver's application, behind nginx; it keeps what arrives. */
async function startApplication() {
  const calls: Received[] = []
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk as Buffer)
    calls.push({ method: request.method!, path: request.url!, body: Buffer.concat(chunks).toString() })
    if (request.url === '/busy') response.writeHead(503, { 'retry-after': '30' }).end()
    else response.end('taken')
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  whenDone(() => {
    server.closeAllConnections()
    server.close()
  })
  return { port: (server.address() as AddressInfo).port, calls }
}

/** nginx in front of a receiver: it redirects, adds headers, and closes connections that are idle for a second. */
async function startNginx() {
  const [port, elsewhere, folder, application] = [
    await freePort(),
    await freePort(),
    tempFolder(),
    await startApplication(),
  ]
  mkdirSync(join(folder, 'logs'))
  const temps = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
    (name) => `${name}_temp_path ${folder}/${name};`,
  )
  const redirects = [301, 302, 303, 307, 308].map(
    (status) =>
      `location = /path/${status} { return ${status} /new; } location = /away/${status} { return ${status} http://127.0.0.1:${elsewhere}/new; }`,
  )
  const config = `
    daemon off; master_process off; pid ${folder}/pid; error_log stderr;
    events {}
    http {
      access_log off; ${temps.join(' ')}
      server {
        listen 127.0.0.1:${port};
        keepalive_timeout 1s;
        ${redirects.join('\n')}
        location = /small { client_max_body_size 1k; proxy_pass http://127.0.0.1:${application.port}; }
        location = /later { add_header Retry-After 120 always; return 503; }
        location = /busy { add_header Retry-After 90 always; proxy_pass http://127.0.0.1:${application.port}; }
        location / { proxy_pass http://127.0.0.1:${application.port}; }
      }
      server { listen 127.0.0.1:${elsewhere}; location / { proxy_pass http://127.0.0.1:${application.port}; } }
    }`
  writeFileSync(join(folder, 'nginx.conf'), config)
  await runServer(program('nginx'), ['-p', folder, '-e', 'stderr', '-c', join(folder, 'nginx.conf')], port)
  return { url: `http://127.0.0.1:${port}`, away: `http://127.0.0.1:${elsewhere}`, calls: application.calls }
}

function aWebhook() {
  const client = new HttpClient({ allows: () => true })
  whenDone(() => client.close())
  return callWebhook({ client, retryMaxMs: 3_600_000, now: Date.now })
}

describeWith(['nginx'], 'a webhook to nginx', () => {
  test('that redirects a POST by 301, 302 or 303 fails permanently, and the error says so', async () => {
    const { url, away, calls } = await startNginx()

    for (const [path, origin] of [
      ['path', url],
      ['away', away],
    ]) {
      for (const status of [301, 302, 303]) {
        const failure = await failureOf(aWebhook(), { url: `${url}/${path}/${status}`, body: { order: 4711 } })
        expect(failure).toBeInstanceOf(PermanentError)
        expect(failure.message).toContain(`answered ${status}, a redirect to `)
        expect(failure.message).toContain(origin)
      }
    }
    expect(calls).toEqual([])
  })

  test('that redirects by 307 or 308 arrives complete, at another origin only if allowed', async () => {
    const { url, away, calls } = await startNginx()
    const arrived = { method: 'POST', path: '/new', body: '{"order":4711}' }

    for (const status of [307, 308]) {
      calls.length = 0
      const body = { order: 4711 }
      await attempt(aWebhook(), { url: `${url}/path/${status}`, body })
      expect(calls).toEqual([arrived])
      const refused = await failureOf(aWebhook(), { url: `${url}/away/${status}`, body })
      expect(refused.message).toContain(away)
      expect(calls).toHaveLength(1)
      await attempt(aWebhook(), { url: `${url}/away/${status}`, body, redirects: 'any_origin' })
      expect(calls).toEqual([arrived, arrived])
    }
  })

  test('waits as long as Retry-After says, and the longer time if nginx and its application both say one', async () => {
    const { url } = await startNginx()

    const later = await failureOf(aWebhook(), { url: `${url}/later`, body: 1 })
    const busy = await failureOf(aWebhook(), { url: `${url}/busy`, body: 1 })

    expect(later).toBeInstanceOf(RetryAfterError)
    expect(later).toMatchObject({ delayMs: 120_000 })
    expect(busy).toMatchObject({ delayMs: 90_000 })
  })

  test('with a body that it refuses unread fails permanently, and the error has its status', async () => {
    const { url } = await startNginx()

    for (let time = 0; time < 20; time++) {
      const failure = await failureOf(aWebhook(), { url: `${url}/small`, body: 'x'.repeat(200_000) })
      expect(failure).toBeInstanceOf(PermanentError)
      expect(failure.message).toBe(`POST ${url} answered 413`)
    }
  })

  test('that closes idle connections after a second never fails for it', async () => {
    const { url, calls } = await startNginx()
    const perClient = 12

    // Each is sent just as its connection is being closed: some before, some after.
    await Promise.all(
      Array.from({ length: 20 }, async (_, index) => {
        const handler = aWebhook()
        for (let call = 0; call < perClient; call++) {
          await attempt(handler, { url: `${url}/hook`, body: `${index}.${call}` })
          await sleep(985 + ((index * 7 + call * 3) % 30))
        }
      }),
    )

    expect(new Set(calls.map(({ body }) => body)).size).toBe(20 * perClient)
  })
})
