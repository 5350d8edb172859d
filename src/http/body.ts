import type { IncomingHttpHeaders } from 'node:http'
import { performance } from 'node:perf_hooks'
import { setImmediate, setTimeout } from 'node:timers/promises'
import { BackpressureError, InvalidInputError } from '../errors.ts'
import { bodyWasRead, type Incoming } from './exchange.ts'
import { exceedsValues } from './json-values.ts'
import { HttpError } from './problem.ts'
import { clientGone } from './read-limits.ts'
import { Rounds } from './rounds.ts'

/** How many bodies' worth of bytes may be held in memory at once. */
const bodiesHeldMax = 8
/** A larger body is parsed when the loop has come round since the one before. */
const largeBytes = 16_384
/**
 * After a body that took longer than this, in ms, to reject, the others wait for this many times as long as it took, at most `restMaxMs`: a
 * client that is rejected may come again at once. Tiny bodies pass meanwhile.
 */
const costlyMs = 1
const restsPerRefusal = 4
const restMaxMs = 500
const tinyBytes = 1_024
/** What reading a body and collecting its garbage takes of the loop. */
const readBytesPerMs = 500_000
/** Bytes of a page's form: a filter has a dozen short fields. */
const formBytesMax = 65_536
const retryAfterMs = 1_000

export interface BodyLimits {
  /** One request's body, in bytes. */
  readonly maxRequestBytes: number
  /** Members and elements of one request's JSON. */
  readonly maxRequestValues: number
  /** Write requests being served at once; one whose body still comes is not served yet. */
  readonly maxInFlightRequests: number
}

/** What is held of a body. */
interface Held {
  bytes: number
}

/** Bounds what write requests hold in memory: how many there are, and how many bytes of bodies. */
export class RequestLimits {
  /** Bytes of bodies that are held at once, at most. */
  readonly heldBytesMax: number
  readonly #limits: BodyLimits
  #requests = 0
  #bytes = 0
  /** Bodies that are still arriving after their first chunk, each with the function that gives it up and frees it. */
  readonly #coming = new Map<Held, (error: Error) => void>()
  readonly #rounds = new Rounds()
  #lastTurn: Promise<void> = Promise.resolve()
  /** By `performance.now()`: from then on bodies are parsed again after one that was refused. */
  #restUntil = 0
  /** Bodies that wait for that. */
  #resting = 0

  constructor(limits: BodyLimits) {
    this.heldBytesMax = bodiesHeldMax * limits.maxRequestBytes
    this.#limits = limits
  }

  /** Serves one write request without a body; throws `BackpressureError` if there are too many. */
  async serve(work: () => Promise<Response>): Promise<Response> {
    this.#enter()
    try {
      return await work()
    } finally {
      this.#requests--
    }
  }

  /**
   * Serves one write request: reads its body as JSON and does `work` with it; the bytes count as held until that is done. Throws what the
   * contract has for a bad body, and `BackpressureError`.
   */
  withJson(incoming: Incoming, work: (body: unknown) => Promise<Response>): Promise<Response> {
    const { maxRequestBytes, maxRequestValues } = this.#limits
    return this.#with(
      incoming,
      'application/json',
      maxRequestBytes,
      (bytes) => parseJson(bytes, maxRequestValues),
      work,
    )
  }

  /** The same for what a page's form sends; no body is a form without fields. */
  withForm(incoming: Incoming, work: (form: URLSearchParams) => Promise<Response>): Promise<Response> {
    const bytesMax = Math.min(formBytesMax, this.#limits.maxRequestBytes)
    const parse = (bytes: Buffer) => new URLSearchParams(`${bytes}`)
    return this.#with(incoming, 'application/x-www-form-urlencoded', bytesMax, parse, work)
  }

  #enter(): void {
    this.#assertRoom()
    this.#requests++
  }

  #assertRoom(): void {
    if (this.#requests < this.#limits.maxInFlightRequests) return
    throw new BackpressureError(`${this.#requests} write requests are in progress, the most allowed`, retryAfterMs)
  }

  // One async function, not two: a small request is a handful of promises anyway.
  async #with<T>(
    incoming: Incoming,
    mediaType: string,
    bytesMax: number,
    parse: (bytes: Buffer) => T,
    work: (body: T) => Promise<Response>,
  ): Promise<Response> {
    this.#assertRoom()
    assertMediaType(incoming.headers, mediaType)
    const body: Held = { bytes: 0 }
    try {
      const bytes = await this.#read(incoming, body, bytesMax)
      const isTiny = bytes.length <= tinyBytes
      const isLarge = bytes.length > largeBytes
      if (isLarge || (!isTiny && this.#isResting())) {
        await this.#ownTurn(isLarge)
        if (incoming.socket.destroyed) throw clientGone
      }
      // Only now: a body may come as slowly as its client likes.
      this.#enter()
      let from = 0
      try {
        if (this.#rounds.isFull(bytes.length)) await this.#rounds.turn(bytes.length)
        from = performance.now()
        return await this.#rounds.spend(() => work(parse(bytes)))
      } catch (error) {
        // A conflict has waited for a commit, which takes nobody's time.
        if (!isTiny && (error instanceof InvalidInputError || error instanceof HttpError))
          this.#restAfter(performance.now() - from + bytes.length / readBytesPerMs)
        throw error
      } finally {
        this.#requests--
      }
    } finally {
      this.#bytes -= body.bytes
    }
  }

  /** So that a few that are large and come slowly do not keep all others from writing. */
  #giveUpLargest(): void {
    const [, stop] = [...this.#coming].reduce((largest, each) => (each[0].bytes > largest[0].bytes ? each : largest))
    stop(
      new BackpressureError(
        'the bodies of current requests fill the memory allowed for them, and this is the largest that is still arriving',
        retryAfterMs,
      ),
    )
  }

  /**
   * Parsing megabytes of JSON takes a second, and thousands of faults take milliseconds: bodies that arrive together must not be parsed
   * together, or the loop is blocked for all of that time.
   */
  #ownTurn(isLarge: boolean): Promise<void> {
    const rests = this.#isResting()
    if (rests) this.#resting++
    this.#lastTurn = this.#lastTurn.then(async () => {
      // So that the one before is refused, if it is to be.
      await (isLarge ? setTimeout(1) : setImmediate())
      for (let restMs = this.#restMs(); restMs > 0; restMs = this.#restMs()) await setTimeout(restMs)
      if (rests) this.#resting--
    })
    return this.#lastTurn
  }

  #restAfter(tookMs: number): void {
    if (tookMs > costlyMs) this.#restUntil = performance.now() + Math.min(restsPerRefusal * tookMs, restMaxMs)
  }

  #restMs(): number {
    return this.#restUntil - performance.now()
  }

  /** Also while some still wait: one that came later would be parsed before them. */
  #isResting(): boolean {
    return this.#resting > 0 || this.#restMs() > 0
  }

  #read(incoming: Incoming, body: Held, bytesMax: number): Promise<Buffer> {
    const tooLarge = () => {
      const message = `the body has more than ${bytesMax} bytes, the limit for one request`
      return new HttpError(413, 'payload_too_large', message)
    }
    const length = Number(incoming.headers['content-length'] ?? 0)
    if (length > bytesMax) return Promise.reject(tooLarge())
    // By `authorize`: no event comes any more.
    if (incoming.readableEnded) return Promise.reject(bodyWasRead())
    if (incoming.destroyed) return Promise.reject(clientGone)
    return new Promise((resolve, reject) => {
      const chunks: Buffer[] = []
      // What still comes is thrown away behind the answer: see connections.ts.
      const stop = (error: Error) => {
        incoming.off('data', take)
        incoming.pause()
        chunks.length = 0
        this.#coming.delete(body)
        this.#bytes -= body.bytes
        body.bytes = 0
        reject(error)
      }
      let isWhole = false
      const cut = () => {
        this.#coming.delete(body)
        if (!isWhole) reject(clientGone)
      }
      const take = (chunk: Buffer) => {
        body.bytes += chunk.length
        this.#bytes += chunk.length
        chunks.push(chunk)
        // Most come in one piece. What is kept for each and let go of again outlives the young generation, with all that it refers to: noting
        // every body here took a fourth of the requests a second.
        if (body.bytes !== length) this.#coming.set(body, stop)
        if (body.bytes > bytesMax) stop(tooLarge())
        while (this.#bytes > this.heldBytesMax && this.#coming.size > 0) this.#giveUpLargest()
      }
      // Not `once`, which makes an object for each.
      incoming.on('data', take)
      incoming.on('end', () => {
        isWhole = true
        this.#coming.delete(body)
        resolve(chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks))
      })
      incoming.on('error', cut)
      incoming.on('close', cut)
    })
  }
}

function assertMediaType(headers: IncomingHttpHeaders, expected: string): void {
  const { 'content-type': contentType, 'content-encoding': encoding } = headers
  // As most clients send it: there is nothing to take apart.
  if (contentType === expected && encoding === undefined) return
  if (encoding !== undefined && encoding.toLowerCase() !== 'identity') {
    throw new HttpError(415, 'unsupported_media_type', 'the body is encoded; only identity is allowed', {
      'accept-encoding': 'identity',
    })
  }
  const [type, ...parameters] = (contentType ?? '')
    .toLowerCase()
    .split(';')
    .map((part) => part.trim())
  const charset = parameters
    .find((parameter) => parameter.startsWith('charset='))
    ?.slice('charset='.length)
    .replaceAll('"', '')
  if (type === expected && (charset === undefined || charset === 'utf-8' || charset === 'utf8')) return
  const got = contentType === undefined ? 'none' : JSON.stringify(contentType)
  throw new HttpError(415, 'unsupported_media_type', `the content type is ${got}; it must be ${expected} in UTF-8`)
}

const utf8 = new TextDecoder('utf-8', { fatal: true })

/** A byte order mark is skipped, and of members with one name the last counts, as `fetch` and `JSON.parse` have it. */
function parseJson(bytes: Buffer, valuesMax: number): unknown {
  if (exceedsValues(bytes, valuesMax)) {
    const message = `the body has more than ${valuesMax} members and elements, the limit for one request; send fewer jobs at once`
    throw new HttpError(413, 'payload_too_large', message)
  }
  let text: string
  try {
    text = utf8.decode(bytes)
  } catch {
    throw invalid('the body is not UTF-8')
  }
  if (text.trim() === '') throw invalid('the body is empty; it must be JSON')
  try {
    return JSON.parse(text)
  } catch (error) {
    // V8 quotes the text around the fault, which may be long and is the caller's own.
    const at = /at position \d+( \(line \d+ column \d+\))?/.exec(error instanceof Error ? error.message : '')
    throw invalid(`the body is not JSON${at ? `: it breaks off ${at[0]}` : ''}`)
  }
}

function invalid(message: string): InvalidInputError {
  return new InvalidInputError([{ path: '', message }], undefined, 'invalid_json')
}
