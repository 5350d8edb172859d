import { setTimeout } from 'node:timers/promises'
import ipaddr from 'ipaddr.js'
import type { SystemLog } from '../engine/front-door.ts'
import type { Incoming } from './exchange.ts'
import { HttpError } from './problem.ts'

/** Where a wrong token was sent: in the login form, as a bearer token, or as the seal of a forged cookie. */
type AuthFailureKind = 'form' | 'bearer' | 'cookie'

/** Wrong tokens that are answered at once, and the ms after which one more is: from one address, and from all together. */
const promptOfAddress = { max: 10, everyMs: 6_000 }
const promptOfAll = { max: 100, everyMs: 600 }
/** How long the answer to any other waits, in ms, and how many may wait: from one address, and from all together. */
const delayMs = 2_000
const heldOfAddressMax = 10
const heldMax = 100
/** Addresses that are remembered; for one more the one that was silent for longest is forgotten. */
const addressesMax = 10_000
/** The least time between two log lines, in ms. */
const tellMs = 60_000
/** Characters of `X-Forwarded-For` that the log repeats. */
const forwardedMax = 200

interface AuthFailuresOptions {
  readonly log: SystemLog
  /** Epoch ms. */
  readonly now: () => number
  /** Resolves after this many ms; for tests. */
  readonly pause?: (ms: number) => Promise<unknown>
}

/** Answers that may be prompt: one more every so often, up to a maximum. */
class Allowance {
  readonly #max: number
  readonly #everyMs: number
  #left: number
  #at: number

  constructor({ max, everyMs }: { readonly max: number; readonly everyMs: number }, now: number) {
    this.#max = max
    this.#everyMs = everyMs
    this.#left = max
    this.#at = now
  }

  take(now: number): boolean {
    // Not negative if the clock was set back.
    this.#left = Math.min(this.#max, this.#left + Math.max(now - this.#at, 0) / this.#everyMs)
    this.#at = now
    if (this.#left < 1) return false
    this.#left--
    return true
  }
}

interface Client {
  readonly prompt: Allowance
  /** The number of waiting answers. */
  held: number
}

/**
 * Slows clients that send wrong tokens, counts those tokens, and reports them in the log. Only wrong tokens get here: a right token never
 * waits, whatever else its address does. So this limits the answers, not the guesses: only a token that is hard to guess prevents these.
 */
export class AuthFailures {
  /** Wrong tokens since the process started. */
  readonly counts: Record<AuthFailureKind, number> = { form: 0, bearer: 0, cookie: 0 }
  readonly #log: SystemLog
  readonly #now: () => number
  readonly #pause: (ms: number) => Promise<unknown>
  readonly #prompt: Allowance
  /** By network; the one heard from last comes last. */
  readonly #clients = new Map<string, Client>()
  #held = 0
  #untold = 0
  #toldAt = Number.NEGATIVE_INFINITY

  constructor({ log, now, pause = (ms) => setTimeout(ms, undefined, { ref: false }) }: AuthFailuresOptions) {
    this.#log = log
    this.#now = now
    this.#pause = pause
    this.#prompt = new Allowance(promptOfAll, now())
  }

  /** Resolves when the wrong token of `incoming` may be refused; rejects with a 429 if too many wait for that. */
  async slow(incoming: Incoming, kind: AuthFailureKind): Promise<void> {
    const now = this.#now()
    const { remoteAddress } = incoming.socket
    const client = this.#client(networkOf(remoteAddress), now)
    this.counts[kind]++
    this.#tell(incoming, kind, now)
    const isPrompt = client.prompt.take(now) && this.#prompt.take(now)
    if (isPrompt) return
    if (this.#held >= heldMax || client.held >= heldOfAddressMax) {
      const headers = { 'retry-after': `${delayMs / 1_000}` }
      throw new HttpError(
        429,
        'too_many_guesses',
        'too many wrong tokens; a right one is accepted at any time',
        headers,
      )
    }
    this.#held++
    client.held++
    await this.#pause(delayMs)
    this.#held--
    client.held--
  }

  /** The number of remembered addresses. */
  get known(): number {
    return this.#clients.size
  }

  #client(network: string, now: number): Client {
    const known = this.#clients.get(network)
    const client = known ?? { prompt: new Allowance(promptOfAddress, now), held: 0 }
    if (known) this.#clients.delete(network)
    else if (this.#clients.size >= addressesMax) this.#clients.delete(this.#clients.keys().next().value!)
    this.#clients.set(network, client)
    return client
  }

  /** Never logs the guess: it may be the token of another server, or a password. */
  #tell({ socket, headers }: Incoming, kind: AuthFailureKind, now: number): void {
    this.#untold++
    if (Math.abs(now - this.#toldAt) < tellMs) return
    const forwarded = headers['x-forwarded-for']
    const claimed = forwarded === undefined ? {} : { forwarded_for: `${forwarded}`.slice(0, forwardedMax) }
    const fields = { address: socket.remoteAddress ?? null, ...claimed, kind, wrong_tokens: this.#untold }
    this.#log.warn(fields, 'a wrong API token was sent')
    this.#toldAt = now
    this.#untold = 0
  }
}

/** Addresses that one client can change at will count as one: for IPv6, where each client has a network of 64 bits, the upper half. */
function networkOf(address: string | undefined): string {
  if (address === undefined || !ipaddr.isValid(address)) return ''
  const parsed = ipaddr.process(address)
  return parsed instanceof ipaddr.IPv6 ? parsed.parts.slice(0, 4).join(':') : parsed.toString()
}
