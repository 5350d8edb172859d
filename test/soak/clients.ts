import { setTimeout } from 'node:timers/promises'
import type { Random } from '../torture/random.ts'
import type { Witness } from './witness.ts'

/** Between two requests of one client, in ms on average. */
const pauseMs = { small: 100, mixed: 120, reader: 150, search: 2_000, page: 1_000, bulk: 15_000, cancel: 1_500 }
const mixedClients = 2
const eventReaders = 3
/** How long a reader of events stays, in ms: some leave, some are disconnected. */
const eventsMs = { least: 5_000, most: 60_000 }
/** Ms before an unanswered request is repeated. */
const againMs = 200
const requestMs = 30_000
const recentMax = 200

const html = { accept: 'text/html' }
/** Statuses that are not faults: done, redirected, removed meanwhile, told to try again. */
const expected = new Set([200, 201, 202, 303, 404, 409, 429, 503])

export interface ClientOptions {
  /** The server's current address. */
  readonly url: () => string
  readonly random: Random
  readonly witness: Witness
  /** Called with how long a small `POST` took that was answered at once. */
  readonly onSmallPost: (ms: number) => void
}

interface Asked {
  readonly type: string
  readonly payload?: object
  readonly queue?: string
  readonly priority?: number
  readonly delay_ms?: number
}

/** All clients of the server, until they are stopped. They survive it: an unanswered request is repeated, with its key. */
export class Clients {
  readonly #options: ClientOptions
  readonly #leaving = new AbortController()
  readonly #running: Promise<unknown>[]
  readonly answers = new Map<number, number>()
  readonly unexpected: string[] = []
  /** Requests that ended without an answer. */
  failed = 0
  #asked = 0
  #recent: number[] = []

  constructor(options: ClientOptions) {
    this.#options = options
    const mixed = Array.from({ length: mixedClients }, () => this.#repeat(pauseMs.mixed, () => this.#postMixed()))
    const events = Array.from({ length: eventReaders }, () => this.#repeat(0, () => this.#readEvents()))
    this.#running = [
      this.#repeat(pauseMs.small, () => this.#postSmall()),
      ...mixed,
      ...events,
      this.#repeat(pauseMs.reader, () => this.#read()),
      this.#repeat(pauseMs.search, () => this.#get(`/jobs?limit=10&text=needle-${this.#below(50)}`)),
      this.#repeat(pauseMs.page, () => this.#visit()),
      this.#repeat(pauseMs.cancel, () => this.#cancelOne()),
      this.#repeat(pauseMs.bulk, () => this.#requeueDead()),
    ]
  }

  /** Resolves when every requested job is acknowledged. */
  async stop(): Promise<void> {
    this.#leaving.abort()
    await Promise.all(this.#running)
  }

  async #repeat(pause: number, act: () => Promise<unknown>): Promise<void> {
    const { signal } = this.#leaving
    while (!signal.aborted) {
      await act()
      await setTimeout(pause * 2 * this.#options.random.next(), undefined, { signal }).catch(() => {})
    }
  }

  async #postSmall(): Promise<void> {
    const began = performance.now()
    const tries = await this.#enqueue([{ type: 'quick' }], true)
    if (tries === 1) this.#options.onSmallPost(performance.now() - began)
  }

  async #postMixed(): Promise<void> {
    const { random } = this.#options
    const count = random.chance(0.02) ? 50 : random.int(1, 4)
    await this.#enqueue(Array.from({ length: count }, () => this.#anyJob()))
  }

  #anyJob(): Asked {
    const { random } = this.#options
    const kinds: Readonly<Record<string, () => Asked>> = {
      quick: () => ({ type: 'quick', queue: random.pick(['a', 'b', 'c']), priority: random.int(-5, 5) }),
      delayed: () => ({ type: 'quick', delay_ms: random.int(1, 5_000) }),
      long: () => ({ type: 'long', payload: { ms: random.int(1, 400) } }),
      large: () => ({ type: 'quick', payload: { filler: 'x'.repeat(random.pick([1_000, 4_000, 64_000])) } }),
      needle: () => ({ type: 'quick', payload: { text: `needle-${this.#below(50)}` } }),
      flaky: () => ({ type: 'flaky' }),
      dying: () => ({ type: 'dying' }),
    }
    const weights = { quick: 60, delayed: 10, long: 12, large: 5, needle: 5, flaky: 6, dying: 2 }
    return kinds[random.weighted(weights)]!()
  }

  /** Repeats a request until it is acknowledged; returns how many times. */
  async #enqueue(jobs: readonly Asked[], isTimed = false): Promise<number> {
    const { witness } = this.#options
    const keys = jobs.map(() => `client.${this.#asked++}`)
    const asked = jobs.map(({ payload, ...job }, index) => ({
      ...job,
      payload: { ...payload, run: 0, key: keys[index] },
      idempotency_key: keys[index],
    }))
    witness.asked(keys, isTimed)
    const body = JSON.stringify(asked.length === 1 ? asked[0] : asked)
    for (let tries = 1; ; tries++) {
      const answer = await this.#request('POST', '/jobs', body)
      if (answer?.status === 200 || answer?.status === 201) {
        const ids = [answer.body].flat().map(({ id }) => id as number)
        witness.acknowledged(ids.map((id, index) => [id, keys[index]!]))
        this.#recent = [...this.#recent, ...ids].slice(-recentMax)
        return tries
      }
      await setTimeout(againMs)
    }
  }

  async #read(): Promise<void> {
    const { random } = this.#options
    const id = this.#recent.length > 0 ? random.pick(this.#recent) : 1
    const paths = [
      '/jobs?limit=50',
      '/jobs?state=dead',
      `/jobs/${id}`,
      `/jobs/${id}/history`,
      `/jobs/${id}/explain`,
      `/jobs/${id}/machine.svg`,
      '/metrics',
      '/machine',
    ]
    await this.#get(random.pick(paths))
  }

  async #visit(): Promise<void> {
    const { random } = this.#options
    const id = this.#recent.length > 0 ? random.pick(this.#recent) : 1
    await this.#get(random.pick(['/', '/jobs', '/jobs?state=succeeded', `/jobs/${id}`, '/bulk', '/docs']), html)
  }

  /** Stays for a while, reads events, and leaves. */
  async #readEvents(): Promise<void> {
    const { url, random } = this.#options
    const patience = AbortSignal.timeout(random.int(eventsMs.least, eventsMs.most))
    const signal = AbortSignal.any([this.#leaving.signal, patience])
    try {
      const { status, body } = await fetch(`${url()}/events`, { signal })
      this.#count(status, 'GET /events')
      for await (const _ of body ?? []);
    } catch {
      // The client has left, or the server has.
    }
    await setTimeout(againMs)
  }

  async #cancelOne(): Promise<void> {
    const { witness } = this.#options
    await this.#enqueue([{ type: 'quick', delay_ms: 30_000 }])
    const id = this.#recent.at(-1)!
    witness.commanding('cancel', id)
    const answer = await this.#request('POST', `/jobs/${id}/cancel`)
    if (answer?.status === 200) witness.commanded('cancel', id)
  }

  /** As a person who has corrected the cause: counted, confirmed, changed. */
  async #requeueDead(): Promise<void> {
    const prepared = await this.#request('POST', '/bulk', JSON.stringify({ command: 'requeue', state: 'dead' }))
    const path = `/bulk/${prepared?.body?.id}`
    for (let looks = 0; prepared && looks < 50; looks++) {
      const bulk = (await this.#request('GET', path))?.body
      if (bulk?.phase === 'ready') {
        await this.#request('POST', `${path}/run`, JSON.stringify({ matched: bulk.matched }))
        return
      }
      if (bulk?.phase !== 'counting') return
      await setTimeout(againMs)
    }
  }

  #get(path: string, headers: Record<string, string> = {}): Promise<unknown> {
    return this.#request('GET', path, undefined, headers)
  }

  /** Null if there was no answer. */
  async #request(method: string, path: string, body?: string, headers: Record<string, string> = {}) {
    try {
      const response = await fetch(`${this.#options.url()}${path}`, {
        method,
        headers: { ...(method === 'POST' ? { 'content-type': 'application/json' } : {}), ...headers },
        redirect: 'manual',
        signal: AbortSignal.timeout(requestMs),
        ...(body === undefined ? {} : { body }),
      })
      const text = await response.text()
      this.#count(response.status, `${method} ${path}`)
      const isJson = response.headers.get('content-type')?.includes('json')
      return { status: response.status, body: isJson ? JSON.parse(text) : null }
    } catch {
      this.failed++
      return null
    }
  }

  #count(status: number, what: string): void {
    this.answers.set(status, (this.answers.get(status) ?? 0) + 1)
    if (!expected.has(status)) this.unexpected.push(`${what} was answered with ${status}`)
  }

  #below(bound: number): number {
    return this.#options.random.int(0, bound - 1)
  }
}
