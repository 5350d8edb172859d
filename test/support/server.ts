import { join } from 'node:path'
import { pino } from 'pino'
import { z } from 'zod'
import { optionNames } from '../../src/engine/options.ts'
import { defineHandler } from '../../src/handlers/define.ts'
import { sleep } from '../../src/handlers/sleep.ts'
import { assembleHttp, type JobsHttp } from '../../src/http/http.ts'
import type { ListenOptions } from '../../src/http/listen.ts'
import { createJobSystem, type JobSystem, type JobSystemOptions } from '../../src/index.ts'
import { databaseAt } from './database.ts'
import { deferred } from './deferred.ts'
import { aHandler, isOfMachine, until } from './system.ts'
import { tempFolder, whenDone } from './temp.ts'

/** An answer with its body read, and parsed if it is JSON. */
export interface Answer {
  readonly status: number
  readonly headers: Headers
  // biome-ignore lint/suspicious/noExplicitAny: what the server sends is what the test looks at
  readonly body: any
}

export interface TestServer {
  readonly url: string
  readonly port: number
  readonly system: JobSystem
  readonly http: JobsHttp
  readonly database: string
  /** The log, one JSON line each. */
  readonly logLines: string[]
  fetch(path: string, init?: RequestInit): Promise<Answer>
  get(path: string): Promise<Answer>
  /** Sends JSON; by POST unless another method is given. */
  post(path: string, body?: unknown, method?: string): Promise<Answer>
  /** Resolves with the job when it is in that state. */
  untilState(id: number, state: string): Promise<Answer['body']>
}

export type TestServerOptions = Partial<JobSystemOptions & Parameters<typeof assembleHttp>[0] & ListenOptions> & {
  /** If false, the system is opened but not started. */
  readonly started?: boolean
}

/** `echo` does nothing with any payload, `broken` throws, `sleep` waits. */
export const testHandlers = [
  defineHandler({ type: 'echo', payload: z.unknown(), run: () => undefined }),
  defineHandler({
    type: 'broken',
    payload: z.unknown(),
    run() {
      throw new Error('out of luck')
    },
  }),
  sleep(),
]

/** The same, and `held`, whose jobs run until `letGo`: a stop waits for them for as long as the test needs. */
export function holdingHandlers() {
  const { promise, resolve: letGo } = deferred()
  return { handlers: [...testHandlers, aHandler('held', () => promise)], letGo }
}

/** The HTTP API on a free loopback port, over a system on a real file; stopped when the test or its group is done. */
/** What most tests give `assembleHttp`. */
export const httpDefaults = {
  allowedHosts: [],
  basePath: '',
  pages: true,
  readOnly: false,
  ownsProcess: true,
  now: () => Date.now(),
  random: () => 0.5,
  apiToken: null,
  version: '1.2.3',
  maxRequestBytes: 1_048_576,
  maxRequestValues: 100_000,
  maxInFlightRequests: 1_000,
}

export async function startHttp({ started = true, ...options }: TestServerOptions = {}): Promise<TestServer> {
  const database = join(tempFolder(), 'jobs.db')
  const logLines: string[] = []
  const log = pino(
    { level: 'trace' },
    {
      write(line: string) {
        if (!isOfMachine(line)) logLines.push(line)
      },
    },
  )
  const ofSystem = Object.fromEntries(Object.entries(options).filter(([name]) => optionNames.includes(name)))
  const system = await createJobSystem({ ...(await databaseAt(database)), handlers: testHandlers, log, ...ofSystem })
  whenDone(() => system.stop({ graceMs: 0 }))
  const http = assembleHttp({
    system,
    log,
    ...httpDefaults,
    ...options,
  })
  whenDone(() => http.close(0))
  const { url } = await http.listen({ port: 0, ...options })
  if (started) await system.start()

  const send = async (path: string, init: RequestInit = {}): Promise<Answer> => {
    const response = await fetch(url + path, init)
    const text = await response.text()
    const isJson = /[/+]json/.test(response.headers.get('content-type') ?? '') && text !== ''
    return { status: response.status, headers: response.headers, body: isJson ? JSON.parse(text) : text }
  }
  return {
    url,
    port: Number(new URL(url).port),
    system,
    http,
    database,
    logLines,
    fetch: send,
    get: (path) => send(path),
    post: (path, body, method = 'POST') =>
      send(path, {
        method,
        ...(body === undefined ? {} : { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }),
      }),
    async untilState(id, state) {
      let body: Answer['body']
      await until(async () => {
        body = (await send(`/jobs/${id}`)).body
        return body.state === state
      })
      return body
    },
  }
}

/** A job that is due only much later, so that it does not change. */
export function aWaitingJob(given: Record<string, unknown> = {}): Record<string, unknown> {
  return { type: 'echo', payload: { n: 1 }, delay_ms: 3_600_000, ...given }
}
