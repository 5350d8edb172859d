import type { IncomingHttpHeaders } from 'node:http'
import { isIP } from 'node:net'
import type { Incoming } from './exchange.ts'
import { HttpError } from './problem.ts'
import type { Sessions } from './session.ts'

/** The names that the `Host` header may have: loopback, and the given ones. Any other may come from a foreign page (DNS rebinding). */
export class Hosts {
  readonly #allowed: ReadonlySet<string>
  readonly #setting: string
  /** The last allowed header: most requests have the same, and parsing it is most of the guard's work. */
  #allowedLast: string | undefined

  /** `setting`: the setting that allows more of them. */
  constructor(allowed: readonly string[], setting: string) {
    this.#allowed = new Set(allowed.map(bareHost))
    this.#setting = setting
  }

  /** Throws `HttpError`. */
  assertAllowed(host: string | undefined): void {
    if (host !== this.#allowedLast && !isAllowedHost(host, this.#allowed)) {
      throw new HttpError(
        403,
        'forbidden_host',
        `the Host header is ${told(host)}, which is neither this machine nor one of ${this.#setting}; add it there if it is a name of this server`,
      )
    }
    this.#allowedLast = host
  }
}

/** A request as its routes get it. hono makes `req` when it is first read. */
interface Asked {
  readonly env: { readonly incoming: Incoming; readonly hosts: Hosts | null }
  readonly req: { readonly path: string }
}

/**
 * Refuses requests that no legitimate client makes: for a foreign host name, sent by a foreign page, or without the token if `sessions`
 * requires one and the path is not one of `openPaths`. Throws `HttpError`, or returns a promise that rejects with one, since a wrong token
 * may be answered late. `setting`: where the names of hosts can be given.
 */
export function createGuard(
  sessions: Sessions | null,
  openPaths: RegExp,
  setting: string,
): (asked: Asked) => Promise<never> | undefined {
  return ({ env: { incoming, hosts }, req }) => {
    const { host } = incoming.headers
    if (countHosts(incoming.rawHeaders) !== 1) {
      throw new HttpError(400, 'bad_request', 'the request must have one Host header')
    }
    hosts?.assertAllowed(host)
    if (!isTargetAt(incoming.url!, host)) {
      throw new HttpError(
        400,
        'bad_request',
        'the target of the request is a URL of another host than its Host header names',
      )
    }
    const isRead = incoming.method === 'GET' || incoming.method === 'HEAD'
    if (isForeign(incoming.headers) && !(isRead && isVisit(incoming.headers))) {
      throw new HttpError(403, 'foreign_origin', describeForeign(incoming.headers, isRead, hosts && setting))
    }
    if (!sessions || openPaths.test(req.path)) return
    const admitted = sessions.admits(incoming)
    return admitted === true ? undefined : admitted.then(refuseStranger)
  }
}

function refuseStranger(): never {
  const challenge = { 'www-authenticate': 'Bearer realm="jobmachine"' }
  throw new HttpError(401, 'unauthorized', 'a valid token is needed: Authorization: Bearer …', challenge)
}

/**
 * `rawHeaders`: name, value, name, value, as received. Node keeps only the first of several, and its `headersDistinct` builds an object of
 * all headers.
 */
function countHosts(rawHeaders: readonly string[]): number {
  let count = 0
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i]!
    if (name.length === 4 && name.toLowerCase() === 'host') count++
  }
  return count
}

/** A host without its port and brackets, in lower case. */
function bareHost(host: string): string {
  const bracketed = /^\[(.*)\](:\d+)?$/.exec(host)
  if (bracketed) return bracketed[1]!.toLowerCase()
  return (isIP(host) === 6 ? host : host.replace(/:\d+$/, '')).toLowerCase().replace(/\.$/, '')
}

function isAllowedHost(host: string | undefined, allowed: ReadonlySet<string>): boolean {
  if (host === undefined) return false
  const bare = bareHost(host)
  return bare === 'localhost' || bare === '::1' || (isIP(bare) === 4 && bare.startsWith('127.')) || allowed.has(bare)
}

/**
 * A target is a path, except from clients that treat this server as a proxy: a whole URL overrides the Host header, so both must name one
 * host.
 */
function isTargetAt(target: string, host: string | undefined): boolean {
  if (target.startsWith('/') || !/^[a-z][a-z\d+.-]*:/i.test(target)) return true
  if (!URL.canParse(target)) return false
  const { origin, username, password } = new URL(target)
  return username === '' && password === '' && isOriginOf(origin, host ?? '')
}

/** Whether a foreign page sent it; programs send neither header. */
function isForeign({ origin, host, 'sec-fetch-site': site }: IncomingHttpHeaders): boolean {
  // Browsers set this header, pages cannot forge it, and it is right whatever a proxy does to Host. Browsers send it only over https or to
  // localhost.
  if (site === 'same-origin') return false
  if (site !== undefined && site !== 'none') return true
  return origin !== undefined && !isOriginOf(origin, host ?? '')
}

/**
 * Whether a person follows a link here. A foreign page cannot read anything else that it loads (a picture, a frame, a script), but it
 * notices whether it loads, which would reveal which jobs exist.
 */
function isVisit({ 'sec-fetch-mode': mode, 'sec-fetch-dest': destination }: IncomingHttpHeaders): boolean {
  return mode === 'navigate' && (destination === undefined || destination === 'document')
}

/** A port that the origin's scheme implies is optional. */
function isOriginOf(origin: string, host: string): boolean {
  if (!URL.canParse(origin)) return false
  const { protocol, host: expected } = new URL(origin)
  const url = `${protocol}//${host}`
  return expected !== '' && URL.canParse(url) && new URL(url).host === expected
}

/** `setting`: the setting that must also list the host's name; null if there is none. */
function describeForeign(
  { origin, host, 'sec-fetch-site': site }: IncomingHttpHeaders,
  isRead: boolean,
  setting: string | null,
): string {
  const names = `Origin is ${told(origin)} and Host is ${told(host)}${site === undefined ? '' : `, Sec-Fetch-Site ${told(site)}`}`
  return `a page of another origin may not ${isRead ? 'load' : 'change'} anything here: ${names}. If it is the dashboard behind a proxy, let the proxy pass the Host that the browser sent (nginx: proxy_set_header Host $http_host)${setting === null ? '' : ` and add it to ${setting}`}`
}

function told(header: string | string[] | undefined): string {
  return header === undefined ? 'missing' : JSON.stringify(header)
}
