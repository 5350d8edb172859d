import { createHash, createHmac, timingSafeEqual } from 'node:crypto'
import type { IncomingMessage } from 'node:http'

/** How long the dashboard's cookie is good for: a working day, in ms. */
const sessionMs = 43_200_000

/** What a cookie holds. */
export interface Session {
  /** Epoch ms. */
  readonly endsAt: number
  readonly seal: string
}

/**
 * Who may come in where a token is set: whoever shows it, or the cookie that the login form gave for it. The cookie holds when it ends and
 * a seal made with the token: nothing is kept here, it outlives a restart, and a new token ends every session.
 */
export class Sessions {
  readonly #token: string
  readonly #expected: Buffer
  readonly #now: () => number
  /** Of the token, so that two servers on one host, which share their cookies, do not take each other's. */
  readonly cookieName: string

  constructor(token: string, now: () => number) {
    this.#token = token
    this.#expected = digest(token)
    this.#now = now
    this.cookieName = `jobmachine_${this.#seal('name').slice(0, 8)}`
  }

  /** In constant time: both are hashed, so that not even the length shows. */
  isToken(given: string): boolean {
    return timingSafeEqual(digest(given), this.#expected)
  }

  /** Whether the request shows the token or a cookie that still holds. A header given twice is no proof of anything. */
  isAllowed(incoming: IncomingMessage): boolean {
    const given = incoming.headersDistinct.authorization ?? []
    const token = given.length === 1 ? /^bearer +(\S+) *$/i.exec(given[0]!)?.[1] : undefined
    return (this.isToken(token ?? '') && token !== undefined) || this.sessionOf(incoming) !== null
  }

  /** The `Set-Cookie` of a new session; `isSecure`: the browser came by https. */
  cookie(isSecure: boolean): string {
    const until = this.#now() + sessionMs
    return this.#setCookie(`${until}.${this.#seal(`until ${until}`)}`, sessionMs / 1_000, isSecure)
  }

  /** The `Set-Cookie` that ends the browser's session. */
  endingCookie(isSecure: boolean): string {
    return this.#setCookie('', 0, isSecure)
  }

  #setCookie(value: string, maxAgeS: number, isSecure: boolean): string {
    const secure = isSecure ? '; Secure' : ''
    return `${this.cookieName}=${value}; Path=/; Max-Age=${maxAgeS}; HttpOnly; SameSite=Strict${secure}`
  }

  /** The session whose cookie the request shows; null where it shows none that holds. */
  sessionOf(incoming: IncomingMessage): Session | null {
    const cookies = (incoming.headers.cookie ?? '').split(';').map((cookie) => cookie.trim().split('='))
    const values = cookies.filter(([name]) => name === this.cookieName).map(([, value]) => value ?? '')
    if (values.length !== 1) return null
    const [, until = '', seal = ''] = /^(\d{1,15})\.([\w-]+)$/.exec(values[0]!) ?? []
    const isOurs = timingSafeEqual(digest(seal), digest(this.#seal(`until ${until}`)))
    return isOurs && this.#now() < Number(until) ? { endsAt: Number(until), seal } : null
  }

  #seal(what: string): string {
    return createHmac('sha256', this.#token).update(`jobmachine session ${what}`).digest('base64url')
  }
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}
