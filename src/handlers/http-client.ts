import http, { type IncomingMessage } from 'node:http'
import https from 'node:https'
import { type NetworkRules, restrictAgent } from './webhook-network.ts'

/** One request; `signal` is its only limit in time. */
export interface HttpRequest {
  readonly url: URL
  readonly method: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: string | undefined
  readonly signal: AbortSignal
}

/** The head of an answer; each header by its name in small letters, with every value that it came with. */
export interface HttpAnswer {
  readonly status: number
  readonly headers: NodeJS.Dict<string[]>
}

export interface HttpClient {
  /** Resolves once the answer's head is there and its body is out of the way; rejects where no answer came. Follows no redirect. */
  send(request: HttpRequest): Promise<HttpAnswer>
  /** Closes the connections that nothing uses. */
  close(): void
}

/** How long a connection that nothing uses is kept, in ms, unless its server says less. */
const idleMs = 4_000
/** Connections kept for one origin. */
const idleMax = 100
/** Of an answer's body, which nobody reads: so much, and for so long, is taken in to keep the connection usable. */
const drainBytesMax = 65_536
const drainMs = 2_000

/**
 * Node's own client, which takes what HTTP allows a server to do: an answer of 1xx that nobody asked for is passed over. A kept connection may
 * be closed by its server just as it is used again: where no byte of an answer came, the request is sent once more on a new one.
 */
export function createHttpClient(rules: NetworkRules = {}): HttpClient {
  const kept = agents(rules, { keepAlive: true, timeout: idleMs, maxFreeSockets: idleMax })
  const fresh = agents(rules, { keepAlive: false })
  return {
    async send(request) {
      const first = await exchange(request, kept)
      const answer = first === 'stale' ? await exchange(request, fresh) : first
      // A new connection is never stale.
      if (answer === 'stale') throw new Error('the connection was closed')
      return answer
    },
    close() {
      for (const agent of Object.values(kept)) agent.destroy()
    },
  }
}

interface Agents {
  readonly 'http:': http.Agent
  readonly 'https:': https.Agent
}

function agents(rules: NetworkRules, options: http.AgentOptions): Agents {
  return {
    'http:': restrictAgent(new http.Agent(options), rules),
    'https:': restrictAgent(new https.Agent(options), rules),
  }
}

/** `stale`: it went out on a connection that had been used before, which ended without a byte of an answer. */
function exchange({ url, method, headers, body, signal }: HttpRequest, agents: Agents): Promise<HttpAnswer | 'stale'> {
  const client = url.protocol === 'https:' ? https : http
  // Node joins text to the head, and would write both in one encoding. A length of its own it does not tell for DELETE.
  const bytes = body === undefined ? undefined : Buffer.from(body)
  const length = bytes && { 'content-length': bytes.length }
  const agent = agents[url.protocol as keyof Agents]
  return new Promise((resolve, reject) => {
    let heard = false
    const hear = () => {
      heard = true
    }
    const request = client.request(url, { agent, method, headers: { ...headers, ...length }, signal })
    request.once('socket', (socket) => {
      socket.once('data', hear)
      request.once('close', () => socket.off('data', hear))
    })
    request.on('response', (answer) => {
      const { statusCode: status = 0, headersDistinct: headers } = answer
      void discard(answer).then(() => resolve({ status, headers }))
      // The status has decided, whatever becomes of the rest of the request.
      request.off('error', failed)
      request.off('close', closed)
      request.on('error', () => undefined)
    })
    const failed = (error: NodeJS.ErrnoException) => {
      const wasClosed = error.code === 'ECONNRESET' || error.code === 'EPIPE'
      if (wasClosed && request.reusedSocket && !heard && !signal.aborted) resolve('stale')
      else reject(error)
    }
    // As after a 101 that nobody asked for, of which Node tells nothing else.
    const closed = () => reject(new Error('the connection ended without an answer'))
    request.on('error', failed).on('close', closed)
    request.end(bytes)
  })
}

/** Resolves when the body has ended, broken off or been given up: the status has decided, and how the body ends changes nothing. */
function discard(answer: IncomingMessage): Promise<void> {
  const giveUp = () => void answer.destroy()
  const tooSlow = AbortSignal.timeout(drainMs)
  tooSlow.addEventListener('abort', giveUp)
  let bytes = 0
  return new Promise((resolve) => {
    answer
      .on('data', (chunk: Buffer) => {
        bytes += chunk.length
        if (bytes > drainBytesMax) giveUp()
      })
      .on('error', () => undefined)
      .on('close', () => {
        tooSlow.removeEventListener('abort', giveUp)
        resolve()
      })
  })
}
