import { once } from 'node:events'
import { createServer } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Authorize, createHttp, type HttpOptions } from '../../src/http/index.ts'
import type { JobSystem } from '../../src/index.ts'
import { testHandlers } from '../support/server.ts'
import { startSystem, until } from '../support/system.ts'
import { cleanUp, whenDone } from '../support/temp.ts'

const silent = { debug() {}, info() {}, warn() {}, error() {}, child: () => silent }

let system: JobSystem
let waiting: number
beforeAll(async () => {
  ;({ system } = await startSystem({ handlers: testHandlers }))
  ;({ id: waiting } = await system.enqueue({ type: 'echo', payload: 1, delayMs: 3_600_000 }))
})
afterAll(cleanUp)

function anHttp(options: HttpOptions) {
  const http = createHttp(system, options)
  whenDone(() => http.close())
  return http
}

function aPromise<T>() {
  let resolve: (value: T) => void = () => {}
  const promise = new Promise<T>((done) => {
    resolve = done
  })
  return { promise, resolve }
}

/** The same for a server of Node's; gives its port, and the promises of its answers. */
async function serve(options: HttpOptions) {
  const http = anHttp(options)
  const answers: Promise<void>[] = []
  const server = createServer((incoming, outgoing) => void answers.push(http.requestListener(incoming, outgoing)))
  server.listen(0, '127.0.0.1')
  whenDone(() => {
    server.closeAllConnections()
    server.close()
  })
  await once(server, 'listening')
  return { port: (server.address() as AddressInfo).port, answers }
}

describe('what authorize throws', () => {
  const thrown: readonly (readonly [string, unknown])[] = [
    ['an error', new Error('no database')],
    ['a response', Response.redirect('https://app.example/login', 302)],
    ['a text', 'no'],
    ['nothing', undefined],
  ]

  test.each(thrown)('is logged and answered with 500, whichever way the request comes: %s', async (_, what) => {
    const lines: { readonly err: unknown }[] = []
    const options: HttpOptions = {
      authorize() {
        throw what
      },
      log: { ...silent, error: (fields: { readonly err: unknown }) => void lines.push(fields) } as never,
    }
    const { port } = await serve(options)

    const byFetch = await anHttp(options).fetch(new Request('https://app.example/jobs'))
    const byNode = await fetch(`http://127.0.0.1:${port}/jobs`)
    const page = await fetch(`http://127.0.0.1:${port}/`)

    expect([byFetch.status, byNode.status, page.status]).toEqual([500, 500, 500])
    expect(await byFetch.json()).toEqual(await byNode.json())
    expect(page.headers.get('content-type')).toContain('text/html')
    expect(lines.map(({ err }) => err instanceof Error)).toEqual([true, true, true])
  })

  test('is answered and logged too if it comes from redact', async () => {
    const messages: string[] = []
    const http = anHttp({
      redact() {
        throw 'not an object'
      },
      log: { ...silent, error: (_: object, message: string) => void messages.push(message) },
    })

    expect((await http.fetch(new Request(`https://app.example/jobs/${waiting}`))).status).toBe(500)
    expect(messages).toEqual(['a request failed'])
  })
})

describe('a client that leaves while authorize works', () => {
  const commands: readonly (readonly [string, string, string])[] = [
    ['a command', '/cancel', ''],
    ['a command with a body', '/cancel', '{"reason":"x"}'],
    ['a command whose body never comes', '/cancel', '…'],
  ]
  /** An `authorize` that works until `admit` is called; `asked` resolves with the signal of the request when it was asked. */
  const aSlow = () => {
    const asked = aPromise<AbortSignal>()
    const admitted = aPromise<void>()
    const authorize: Authorize = async ({ signal }) => {
      asked.resolve(signal)
      await admitted.promise
      return { role: 'admin' }
    }
    return { authorize, asked: asked.promise, admit: admitted.resolve }
  }

  test.each(commands)('by fetch: %s changes nothing, and its answer comes to an end', async (_, command, text) => {
    const { authorize, asked, admit } = aSlow()
    const left = new AbortController()
    const body = text === '…' ? new ReadableStream() : text
    const init: RequestInit = {
      method: 'POST',
      signal: left.signal,
      ...(text === '' ? {} : { body, duplex: 'half' as const, headers: { 'content-type': 'application/json' } }),
    }
    const answer = anHttp({ authorize }).fetch(new Request(`https://app.example/jobs/${waiting}${command}`, init))

    await asked
    left.abort()
    admit()

    expect((await answer).status).toBe(400)
    expect((await system.find(waiting))!.state).toBe('scheduled')
  })

  test.each(commands)('by Node: %s changes nothing, and its promise is settled', async (_, command, text) => {
    const { authorize, asked, admit } = aSlow()
    const { port, answers } = await serve({ authorize })
    const length = text === '' ? '' : `content-type: application/json\r\ncontent-length: ${Buffer.byteLength(text)}\r\n`
    const client = connect(port, '127.0.0.1')
    client.write(`POST /jobs/${waiting}${command} HTTP/1.1\r\nhost: x\r\n${length}\r\n${text === '…' ? '' : text}`)

    const gone = await asked
    client.resetAndDestroy()
    await once(client, 'close')
    await until(() => gone.aborted)
    admit()

    await Promise.all(answers)
    expect((await system.find(waiting))!.state).toBe('scheduled')
  })
})

describe('authorize sees what a request is about', () => {
  const only =
    (id: number): Authorize =>
    ({ method, url }) => {
      const [, job] = /\/jobs\/(\d+)(?:\/|$)/.exec(new URL(url).pathname) ?? []
      return method === 'GET' || Number(job) === id ? { role: 'operate' } : null
    }

  test.each([
    ['', ''],
    ['/admin/jobs', '/admin/jobs'],
    ['/tools/admin/jobs', '/admin/jobs'],
  ])('by method and path, under %j as %j', async (basePath, prefix) => {
    const { id } = await system.enqueue({ type: 'echo', payload: 1, delayMs: 3_600_000 })
    const options = { basePath, authorize: only(id) }
    const http = anHttp(options)
    const { port } = await serve(options)

    const cancel = (of: number) =>
      http.fetch(new Request(`https://a.example${prefix}/jobs/${of}/cancel`, { method: 'POST' }))
    const byNode = await fetch(`http://127.0.0.1:${port}${prefix}/jobs/${waiting}/cancel`, { method: 'POST' })

    expect([(await cancel(waiting)).status, byNode.status, (await cancel(id)).status]).toEqual([403, 403, 200])
  })

  test('a path with an escape leads nowhere: it would name a job that authorize does not see', async () => {
    const escaped = `/jobs/${[...`${waiting}`].map((digit) => `%3${digit}`).join('')}`
    const all: Authorize = () => ({ role: 'admin' })
    const { port } = await serve({ authorize: all })

    for (const path of [`${escaped}/cancel`, `/dashboard${escaped}/cancel`, `/%6aobs/${waiting}/cancel`]) {
      const init = { method: 'POST', headers: { 'content-type': 'application/x-www-form-urlencoded' } }
      const byJson = path.startsWith('/dashboard') ? init : { method: 'POST' }
      const answer = await fetch(`http://127.0.0.1:${port}${path}`, byJson)
      expect([path, answer.status]).toEqual([path, 404])
    }
    expect((await system.find(waiting))!.state).toBe('scheduled')
  })
})
