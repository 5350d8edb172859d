import type { LookupAddress } from 'node:dns'
import { lookup } from 'node:dns/promises'
import http, { type IncomingMessage } from 'node:http'
import https from 'node:https'
import { isIP, type LookupFunction, type TcpNetConnectOpts } from 'node:net'
import ipaddr from 'ipaddr.js'
import { PermanentError } from '../errors.ts'

/** One request; only `signal` limits its time. */
interface HttpRequest {
  readonly url: URL
  readonly method: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: string | undefined
  readonly signal: AbortSignal
}

/** The head of an answer: each header by its name in lower case, with all of its values. */
interface HttpAnswer {
  readonly status: number
  readonly headers: NodeJS.Dict<string[]>
}

/** Which addresses may be called. */
interface NetworkRules {
  /** Called with each address on connect; `isPublicAddress` by default. */
  readonly allows?: (address: string) => boolean
  /** Returns every address of a name; the operating system's resolver by default. */
  readonly resolve?: (hostname: string) => Promise<LookupAddress[]>
}

/** How long an idle connection is kept, in ms, unless its server says less. */
const idleMs = 4_000
/** Connections kept for one origin. */
const idleMax = 100
/** How much of an answer's body, which nobody uses, is read, and for how long, to keep the connection usable. */
const drainBytesMax = 65_536
const drainMs = 2_000

/**
 * Node's HTTP client, adapted to what servers may do. It skips an unrequested 1xx answer. A server may close a kept connection just as it
 * is reused: if no byte of an answer came, the request is sent once more on a new connection.
 */
export class HttpClient {
  readonly #kept: Agents
  readonly #fresh: Agents

  constructor(rules: NetworkRules = {}) {
    this.#kept = agents(rules, { keepAlive: true, timeout: idleMs, maxFreeSockets: idleMax })
    this.#fresh = agents(rules, { keepAlive: false })
  }

  /** Resolves once the answer's head has arrived and its body has been discarded; rejects if no answer came. Follows no redirect. */
  async send(request: HttpRequest): Promise<HttpAnswer> {
    const first = await exchange(request, this.#kept)
    const answer = first === 'stale' ? await exchange(request, this.#fresh) : first
    // A new connection is never stale.
    if (answer === 'stale') throw new Error('the connection was closed')
    return answer
  }

  /** Closes the idle connections. */
  close(): void {
    for (const agent of Object.values(this.#kept)) agent.destroy()
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

/** Returns `stale` if the request was sent on a connection that had been used before and that ended without a byte of an answer. */
function exchange({ url, method, headers, body, signal }: HttpRequest, agents: Agents): Promise<HttpAnswer | 'stale'> {
  const client = url.protocol === 'https:' ? https : http
  // Node joins text to the head and would write both in one encoding. For DELETE it sends no length of its own.
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
      // The status has decided, even if the rest of the request fails.
      request.off('error', failed)
      request.off('close', closed)
      request.on('error', () => undefined)
    })
    const failed = (error: NodeJS.ErrnoException) => {
      const wasClosed = error.code === 'ECONNRESET' || error.code === 'EPIPE'
      if (wasClosed && request.reusedSocket && !heard && !signal.aborted) resolve('stale')
      else reject(error)
    }
    // For example after an unrequested 101, for which Node emits no other event.
    const closed = () => reject(new Error('the connection ended without an answer'))
    request.on('error', failed).on('close', closed)
    request.end(bytes)
  })
}

/** Resolves when the body has ended, broken off or been given up. The status has already decided, so it does not matter which. */
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

/**
 * Makes an agent connect to allowed addresses only. It checks the addresses where the socket is opened: nothing can change between check
 * and connect, and no spelling of an address avoids it. A refusal fails the request with `PermanentError` before a packet is sent. A name
 * is refused if any of its addresses is.
 */
function restrictAgent<A extends http.Agent>(
  agent: A,
  { allows = isPublicAddress, resolve = resolveAll }: NetworkRules,
): A {
  const lookup: LookupFunction = (hostname, { all }, callback) => {
    const answer = (addresses: LookupAddress[]) => {
      const [first] = addresses
      if (!first || !addresses.every(({ address }) => allows(address))) callback(refusal(hostname), '')
      else if (all) callback(null, addresses)
      else callback(null, first.address, first.family)
    }
    resolve(hostname).then(answer, (error) => callback(error, ''))
  }
  const connect = agent.createConnection.bind(agent)
  agent.createConnection = (options, callback) => {
    const { host = '' } = options as TcpNetConnectOpts
    // A literal address is never looked up, so it is checked here.
    if (isIP(host) === 0 || allows(host)) return connect({ ...options, lookup } as typeof options, callback)
    // @ts-expect-error: Node takes an error without a stream, and no stream as the answer.
    callback(refusal(host))
  }
  return agent
}

/** Whether an address, in IPv4 or IPv6 notation, is public: not of this machine or a private network, and not reserved. */
export function isPublicAddress(address: string): boolean {
  if (!ipaddr.isValid(address)) return false
  const parsed = embeddedIPv4(ipaddr.parse(address))
  if (parsed.range() !== 'unicast') return false
  // Only 2000::/3 is assigned, but ipaddr.js also calls the unassigned rest unicast, including `::127.0.0.1`.
  return parsed instanceof ipaddr.IPv4 || (parsed.parts[0]! & 0xe000) === 0x2000
}

/** The IPv4 address inside an IPv4-mapped (::ffff:0:0/96) or NAT64 (64:ff9b::/96) one; any other address unchanged. */
function embeddedIPv4(address: ipaddr.IPv4 | ipaddr.IPv6): ipaddr.IPv4 | ipaddr.IPv6 {
  if (address instanceof ipaddr.IPv4) return address
  if (address.isIPv4MappedAddress()) return address.toIPv4Address()
  const throughNat64 = address.match(ipaddr.IPv6.parse('64:ff9b::'), 96)
  return throughNat64 ? new ipaddr.IPv4(address.toByteArray().slice(12)) : address
}

function resolveAll(hostname: string): Promise<LookupAddress[]> {
  return lookup(hostname, { all: true })
}

/** Names the host as requested, because the addresses that it resolved to must not be revealed. */
function refusal(hostname: string): PermanentError {
  return new PermanentError(`${hostname} is, or resolves to, an address that is not public; webhooks may not call it`)
}
