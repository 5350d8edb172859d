import { createHash, createHmac, timingSafeEqual } from 'node:crypto'
import type { AuthFailures } from './auth-failures.ts'
import type { Incoming } from './exchange.ts'

/** How long the dashboard's cookie is valid: a working day, in ms. */
const sessionMs = 43_200_000

/** The content of a cookie. */
export interface Session {
  /** Epoch ms. */
  readonly endsAt: number
  readonly seal: string
}

interface SessionsOptions {
  readonly token: string
  /** Epoch ms. */
  readonly now: () => number
  /** The path of the pages, such as `/jobs-admin`; empty for the root. */
  readonly basePath: string
  /** Counts wrong tokens, and delays their answers. */
  readonly authFailures: AuthFailures
}

/**
 * Access if a token is set: a client must send the token, or the cookie that the login form set for it. The cookie contains its expiry and
 * a seal made with the token. So nothing is stored here, it survives a restart, and a new token ends every session. A client that has not
 * sent the token gets nothing that was made with it.
 */
export class Sessions {
  readonly #token: string
  readonly #expected: Buffer
  readonly #now: () => number
  readonly #authFailures: AuthFailures
  readonly #suffix: string

  constructor({ token, now, basePath, authFailures }: SessionsOptions) {
    this.#token = token
    this.#expected = digest(token)
    this.#now = now
    this.#authFailures = authFailures
    this.#suffix = basePath.replaceAll('/', '_')
  }

  /** Whether the request has the token or a valid cookie. A wrong one is counted, and `false` may come late. Rejects with a 429. */
  admits(incoming: Incoming): true | Promise<false> {
    const given = incoming.headersDistinct.authorization ?? []
    // A header that is given twice proves nothing.
    const token = given.length === 1 ? /^bearer +(\S+) *$/i.exec(given[0]!)?.[1] : undefined
    if ((this.#isToken(token ?? '') && token !== undefined) || this.sessionOf(incoming) !== null) return true
    if (token !== undefined) return this.#refuse(incoming, 'bearer')
    return this.#endOf(incoming) > this.#now() ? this.#refuse(incoming, 'cookie') : Promise.resolve(false)
  }

  /** The same for the input of the login form; an empty input is not an attempt. */
  admitsTyped(token: string, incoming: Incoming): true | Promise<false> {
    if (this.#isToken(token)) return true
    return token === '' ? Promise.resolve(false) : this.#refuse(incoming, 'form')
  }

  async #refuse(incoming: Incoming, kind: 'bearer' | 'cookie' | 'form'): Promise<false> {
    await this.#authFailures.slow(incoming, kind)
    return false
  }

  /** In constant time: both are hashed, so that not even the length is revealed. */
  #isToken(given: string): boolean {
    return timingSafeEqual(digest(given), this.#expected)
  }

  /** The `Set-Cookie` of a new session; `isSecure`: the browser used https. */
  cookie(incoming: Incoming, isSecure: boolean): string {
    const until = this.#now() + sessionMs
    return this.#setCookie(incoming, `${until}.${this.#seal(until)}`, sessionMs / 1_000, isSecure)
  }

  /** The `Set-Cookie` that ends the browser's session. */
  endingCookie(incoming: Incoming, isSecure: boolean): string {
    return this.#setCookie(incoming, '', 0, isSecure)
  }

  #setCookie(incoming: Incoming, value: string, maxAgeS: number, isSecure: boolean): string {
    const secure = isSecure ? '; Secure' : ''
    return `${this.cookieNameFor(incoming)}=${value}; Path=/; Max-Age=${maxAgeS}; HttpOnly; SameSite=Strict${secure}`
  }

  /**
   * By the port that the browser uses, which cookies do not distinguish, and by the path, so that two servers on one host do not overwrite
   * each other's cookie.
   */
  cookieNameFor({ headers }: Incoming): string {
    const port = /:(\d{1,5})$/.exec(headers.host ?? '')?.[1]
    return `jobmachine${port === undefined ? '' : `-${port}`}${this.#suffix}`
  }

  /** The session of the request's cookie; null if it has no valid one. */
  sessionOf(incoming: Incoming): Session | null {
    const { until, seal } = this.#shown(incoming)
    const isOurs = timingSafeEqual(digest(seal), digest(this.#seal(until)))
    return isOurs && this.#now() < until ? { endsAt: until, seal } : null
  }

  /** When the request's cookie would end, if it were one of ours; 0 if it has none. */
  #endOf(incoming: Incoming): number {
    return this.#shown(incoming).until
  }

  #shown(incoming: Incoming): { readonly until: number; readonly seal: string } {
    const none = { until: 0, seal: '' }
    if (incoming.headers.cookie === undefined) return none
    const expected = this.cookieNameFor(incoming)
    const cookies = incoming.headers.cookie.split(';').map((cookie) => cookie.trim().split('='))
    const values = cookies.filter(([name]) => name === expected).map(([, value]) => value ?? '')
    const parts = values.length === 1 ? /^(\d{1,15})\.([\w-]+)$/.exec(values[0]!) : null
    return parts ? { until: Number(parts[1]), seal: parts[2]! } : none
  }

  #seal(until: number): string {
    return createHmac('sha256', this.#token).update(`jobmachine session until ${until}`).digest('base64url')
  }
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}
