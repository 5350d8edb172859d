import type { IncomingHttpHeaders } from 'node:http'
import { isIP } from 'node:net'
import type { Incoming } from './exchange.ts'
import { HttpError } from './problem.ts'
import type { Sessions } from './session.ts'

/** The names that the `Host` header may carry: loopback, and those given. Any other may be a foreign page's (DNS rebinding). */
export class Hosts {
  readonly #allowed: ReadonlySet<string>
  readonly #setting: string
  /** The last that was: most requests name the same, and to take one apart is most of what the guard does. */
  #allowedLast: string | undefined

  /** `setting`: where more of them can be given. */
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

/**
 * Refuses requests that no legitimate client makes: for a foreign host name, sent by a foreign page, or without the token if `sessions`
 * requires one and the path is not one of `openPaths`. Throws `HttpError`, or returns a promise that rejects with one, since a wrong token
 * may be answered late. `setting`: where the names of hosts can be given.
 */
export function createGuard(
  sessions: Sessions | null,
  openPaths: RegExp,
  setting: string,
): (env: { readonly incoming: Incoming; readonly hosts: Hosts | null }, path: string) => Promise<never> | undefined {
  return ({ incoming, hosts }, path) => {
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
    if (!sessions || openPaths.test(path)) return
    const admitted = sessions.admits(incoming)
    return admitted === true ? undefined : admitted.then(refuseStranger)
  }
}

function refuseStranger(): never {
  const challenge = { 'www-authenticate': 'Bearer realm="jobmachine"' }
  throw new HttpError(401, 'unauthorized', 'a valid token is needed: Authorization: Bearer …', challenge)
}

/** `rawHeaders`: name, value, name, value, as they came. Node keeps the first of several; its `headersDistinct` makes an object of all headers. */
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

/** A target is a path, but for clients that take this for a proxy: a whole URL counts before the Host header, so both must name one host. */
function isTargetAt(target: string, host: string | undefined): boolean {
  if (target.startsWith('/') || !/^[a-z][a-z\d+.-]*:/i.test(target)) return true
  if (!URL.canParse(target)) return false
  const { origin, username, password } = new URL(target)
  return username === '' && password === '' && isOriginOf(origin, host ?? '')
}

/** Whether a page that is not ours sent it; programs send neither header. */
function isForeign({ origin, host, 'sec-fetch-site': site }: IncomingHttpHeaders): boolean {
  // Browsers set it, no page can forge it, and it is right whatever a proxy makes of Host. They send it by https, or to localhost, alone.
  if (site === 'same-origin') return false
  if (site !== undefined && site !== 'none') return true
  return origin !== undefined && !isOriginOf(origin, host ?? '')
}

/**
 * Whether a person follows a link here. Anything else that a foreign page loads (a picture, a frame, a script) is not for it to see, but whether it
 * loads it does see: that would tell which jobs there are.
 */
function isVisit({ 'sec-fetch-mode': mode, 'sec-fetch-dest': destination }: IncomingHttpHeaders): boolean {
  return mode === 'navigate' && (destination === undefined || destination === 'document')
}

/** A port that the origin's scheme implies may be named or not. */
function isOriginOf(origin: string, host: string): boolean {
  if (!URL.canParse(origin)) return false
  const { protocol, host: expected } = new URL(origin)
  const url = `${protocol}//${host}`
  return expected !== '' && URL.canParse(url) && new URL(url).host === expected
}

/** `setting`: where the name of the host must be, besides; null: nowhere. */
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
