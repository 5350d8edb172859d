import { createServer, type IncomingMessage, type Server, type ServerResponse, STATUS_CODES } from 'node:http'
import type { AddressInfo } from 'node:net'
import { getRequestListener, type HttpBindings, RequestError } from '@hono/node-server'
import type { SystemLog } from '../engine/front-door.ts'
import { defaultAccess } from './access.ts'
import type { ApiErrorCode } from './api-errors.ts'
import type { Answer } from './app.ts'
import { Connections } from './connections.ts'
import { Hosts } from './guard.ts'
import { settingName } from './options.ts'
import { HttpError, problem, toProblem } from './problem.ts'
import { headersOf, toJson } from './reply.ts'

/** How long a client may take, in ms. */
export interface Timeouts {
  /** For the head of its request, including the wait for the first byte. */
  readonly head: number
  /** For its whole request. */
  readonly request: number
  /** For reading an answer, since it last read a byte. */
  readonly idle: number
  /**
   * Between two requests. Longer than proxies keep a connection for the next one (60 to 120 s), because they would use one that is being
   * closed.
   */
  readonly keepAlive: number
  /** For data after an answer, which is read and discarded. */
  readonly discard: number
  /** The same while no data arrives. */
  readonly discardIdle: number
}

const defaultTimeouts: Timeouts = {
  head: 10_000,
  request: 60_000,
  idle: 60_000,
  keepAlive: 125_000,
  discard: 30_000,
  discardIdle: 5_000,
}
/** How often those are checked, in ms. */
const timeoutCheckMs = 1_000
/** Open connections. */
const connectionsMax = 10_000

export interface ListenOptions {
  /** An address or a host name. 127.0.0.1 by default. */
  readonly host?: string
  /** 0 means any free port. 8080 by default. */
  readonly port?: number
  /** Open connections, if the process may have fewer than 10,000. */
  readonly maxConnections?: number
  /** For tests. */
  readonly timeouts?: Partial<Timeouts>
}

interface ListenParts {
  readonly answer: Answer
  readonly log: SystemLog
  readonly allowedHosts: readonly string[]
  /** Nothing else uses the global `Request` and `Response` of this process, so faster ones may replace them. */
  readonly ownsProcess: boolean
}

export interface HttpServer {
  /** The address, with the actual port. */
  readonly url: string
  /** Accepts no more connections, closes idle ones at once, and the others when they are answered or after `graceMs`. */
  close(graceMs: number): Promise<void>
}

/** Serves the answers of `answer`; resolves when it listens, rejects with the system's error (EADDRINUSE, …) if it cannot. */
export async function listen(parts: ListenParts, options: ListenOptions): Promise<HttpServer> {
  const { host = '127.0.0.1', port = 8_080, maxConnections = connectionsMax } = options
  const { log } = parts
  const timeouts = { ...defaultTimeouts, ...options.timeouts }
  const server = createServer({
    headersTimeout: timeouts.head,
    requestTimeout: timeouts.request,
    keepAliveTimeout: timeouts.keepAlive,
    connectionsCheckingInterval: Math.min(timeoutCheckMs, timeouts.head),
    // We refuse it ourselves, with an answer like all others.
    requireHostHeader: false,
  })
  server.timeout = timeouts.idle
  const connections = new Connections(server, {
    max: Math.min(maxConnections, connectionsMax),
    discardMs: timeouts.discard,
    discardIdleMs: timeouts.discardIdle,
    refusal: (code) => parserRefusals.get(code ?? '') ?? badRequest,
  })
  const hosts = new Hosts([host, ...parts.allowedHosts], settingName('allowedHosts', parts.ownsProcess))
  answerRequests(server, parts, hosts, connections)
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, host, resolve)
  })
  server.on('error', (error) => log.error({ err: error }, 'a connection could not be accepted'))
  return { url: urlOf(server.address() as AddressInfo), close: (graceMs) => close(server, graceMs) }
}

/**
 * Answers every request with `answer`; input that is not a request gets a problem document too. Returns the last answer of each connection.
 */
function answerRequests(
  server: Server,
  { answer, log, ownsProcess }: ListenParts,
  hosts: Hosts,
  connections: Connections,
): void {
  const listener = toRequestListener(answer, log, hosts, ownsProcess)
  const refuse = getRequestListener(
    () => problem(new HttpError(417, 'expectation_failed', 'the Expect header must be 100-continue')),
    { overrideGlobalObjects: ownsProcess },
  )
  const answerBy = (answerer: typeof listener) => (incoming: IncomingMessage, outgoing: ServerResponse) => {
    if (connections.begin(outgoing)) void answerer(incoming, outgoing)
  }
  const answerIt = answerBy(listener)
  server.on('request', answerIt)
  server.on('checkExpectation', answerBy(refuse))
  server.on('checkContinue', (incoming: IncomingMessage, outgoing: ServerResponse) => {
    continueWhenRead(incoming, outgoing)
    answerIt(incoming, outgoing)
  })
}

/** Calls `answer` for requests of Node's server: ours, or that of the app that has mounted us. */
export function toRequestListener(
  answer: Answer,
  log: SystemLog,
  hosts: Hosts | null,
  overrideGlobalObjects: boolean,
): (incoming: IncomingMessage, outgoing: ServerResponse) => Promise<void> {
  const fetch = (request: Request, { incoming, outgoing }: HttpBindings) =>
    answer(request, { incoming, outgoing, hosts, node: incoming, access: defaultAccess })
  return getRequestListener(fetch as Parameters<typeof getRequestListener>[0], {
    overrideGlobalObjects,
    errorHandler: (error) => answerFailure(error, log),
  })
}

/** The answer if answering itself failed. */
export function answerFailure(error: unknown, log: SystemLog): Response {
  // The head does not make a URL, such as a Host with a space.
  if (error instanceof RequestError) return problem(notUnderstood)
  // hono passes on thrown values that are not Errors: code that it called may throw anything.
  log.error({ err: error }, 'a request failed')
  return problem(error)
}

/**
 * Asks for the body once somebody reads it. A request that is refused by its head is never asked for one, and its connection ends with the
 * answer.
 */
function continueWhenRead(incoming: IncomingMessage, outgoing: ServerResponse): void {
  const { shouldKeepAlive } = outgoing
  let asked = false
  outgoing.shouldKeepAlive = false
  incoming.on('newListener', (event) => {
    if (event !== 'data' || asked || outgoing.headersSent) return
    asked = true
    outgoing.shouldKeepAlive = shouldKeepAlive
    outgoing.writeContinue()
  })
}

/** The prepared answers to input that the parser rejects: thousands of connections may end at once in the middle of a request. */
const parserRefusals = new Map([
  ['HPE_HEADER_OVERFLOW', rawAnswer(431, 'headers_too_large', 'the head of the request is too long')],
  ['ERR_HTTP_REQUEST_TIMEOUT', rawAnswer(408, 'timeout', 'the request took too long to arrive')],
])
const notUnderstood = new HttpError(400, 'bad_request', 'the request could not be understood')
const badRequest = rawAnswer(notUnderstood.status, notUnderstood.code, notUnderstood.message)

function rawAnswer(status: number, code: ApiErrorCode, message: string): string {
  const { headers, body } = toProblem(new HttpError(status, code, message))
  const text = toJson(body)
  const lines = Object.entries({ ...headersOf('application/problem+json'), ...headers })
  const length = `content-length: ${Buffer.byteLength(text)}\r\nconnection: close\r\n`
  return `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n${lines.map(([name, value]) => `${name}: ${value}\r\n`).join('')}${length}\r\n${text}`
}

async function close(server: Server, graceMs: number): Promise<void> {
  const closed = new Promise((resolve) => server.close(resolve))
  server.closeIdleConnections()
  const timer = setTimeout(() => server.closeAllConnections(), graceMs)
  await closed
  clearTimeout(timer)
}

function urlOf({ address, family, port }: AddressInfo): string {
  return `http://${family === 'IPv6' ? `[${address}]` : address}:${port}`
}
