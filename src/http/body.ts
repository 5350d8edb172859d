import { performance } from 'node:perf_hooks'
import { setImmediate, setTimeout } from 'node:timers/promises'
import { BackpressureError, InvalidInputError } from '../errors.ts'
import { bodyWasRead, type Incoming } from './exchange.ts'
import { assertContentType, parseJson } from './json-body.ts'
import { HttpError } from './problem.ts'
import { clientGone } from './read-limits.ts'
import { Rounds } from './rounds.ts'

/** How many bodies' worth of bytes may be held in memory at once. */
const bodiesHeldMax = 8
/** A larger body is parsed only after the loop has turned since the previous one. */
const largeBytes = 16_384
/**
 * If rejecting a body took longer than this, in ms, other bodies wait for this many times as long, at most `restMaxMs`: a client that is
 * rejected may try again at once. Tiny bodies pass meanwhile.
 */
const costlyMs = 1
const restsPerRefusal = 4
const restMaxMs = 500
const tinyBytes = 1_024
/** How many bytes the loop reads per ms, including the collection of their garbage. */
const readBytesPerMs = 500_000
/** Bytes of a page's form: a filter has a dozen short fields. */
const formBytesMax = 65_536
const retryAfterMs = 1_000

export interface BodyLimits {
  /** One request's body, in bytes. */
  readonly maxRequestBytes: number
  /** Members and elements of one request's JSON. */
  readonly maxRequestValues: number
  /** Write requests that are served at the same time; one whose body is still arriving does not count yet. */
  readonly maxInFlightRequests: number
}

/** The part of a body that is held in memory. */
interface Held {
  bytes: number
}

/** Limits what write requests hold in memory: their number, and the bytes of their bodies. */
export class RequestLimits {
  /** The most bytes of bodies that are held at once. */
  readonly heldBytesMax: number
  readonly #limits: BodyLimits
  #requests = 0
  #bytes = 0
  /** Bodies that are still arriving after their first chunk, each with the function that gives it up and frees it. */
  readonly #coming = new Map<Held, (error: Error) => void>()
  readonly #rounds = new Rounds()
  #lastTurn: Promise<void> = Promise.resolve()
  /** In ms of `performance.now()`: when bodies may be parsed again after a rejected one. */
  #restUntil = 0
  /** The number of bodies that wait for that. */
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
   * Serves one write request: reads its body as JSON and calls `work` with it; the bytes count as held until that is done. Throws the
   * documented error for a bad body, and `BackpressureError`.
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

  /** The same for a page's form; no body is a form without fields. */
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

  // One async function instead of two, because a small request costs only a handful of promises in all.
  async #with<T>(
    incoming: Incoming,
    mediaType: string,
    bytesMax: number,
    parse: (bytes: Buffer) => T,
    work: (body: T) => Promise<Response>,
  ): Promise<Response> {
    this.#assertRoom()
    assertContentType(incoming.headers, mediaType)
    const body: Held = { bytes: 0 }
    try {
      const bytes = await this.#read(incoming, body, bytesMax)
      const isTiny = bytes.length <= tinyBytes
      const isLarge = bytes.length > largeBytes
      if (isLarge || (!isTiny && this.#isResting())) {
        await this.#ownTurn(isLarge)
        if (incoming.socket.destroyed) throw clientGone
      }
      // Only now, because a body may arrive as slowly as its client likes.
      this.#enter()
      let from = 0
      try {
        if (this.#rounds.isFull(bytes.length)) await this.#rounds.turn(bytes.length)
        if (!isTiny) from = performance.now()
        return await this.#rounds.spend(() => work(parse(bytes)))
      } catch (error) {
        // A conflict has waited for a commit, which does not occupy the loop.
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

  /** Keeps a few large and slow bodies from blocking all others. */
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
   * Parsing megabytes of JSON takes a second, and thousands of faults take milliseconds. So bodies that arrive together must not be parsed
   * together, or the loop is blocked for all of that time.
   */
  #ownTurn(isLarge: boolean): Promise<void> {
    const rests = this.#isResting()
    if (rests) this.#resting++
    this.#lastTurn = this.#lastTurn.then(async () => {
      // Gives the previous body time to be rejected.
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

  /** True also while some still wait: otherwise a later body would be parsed before them. */
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
    // `authorize` has read the body, so no event follows.
    if (incoming.readableEnded) return Promise.reject(bodyWasRead())
    if (incoming.destroyed) return Promise.reject(clientGone)
    return new Promise((resolve, reject) => {
      const chunks: Buffer[] = []
      // The rest is discarded after the answer: see connections.ts.
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
        // Most bodies arrive in one piece. Whatever is kept for each and released again survives the young generation, with everything that
        // it refers to: registering every body here cost a quarter of the requests per second.
        if (body.bytes !== length) this.#coming.set(body, stop)
        if (body.bytes > bytesMax) stop(tooLarge())
        while (this.#bytes > this.heldBytesMax && this.#coming.size > 0) this.#giveUpLargest()
      }
      // Not `once`, which creates an object each time.
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
