import type { IncomingMessage } from 'node:http'
import { isIP } from 'node:net'
import { HttpError } from './problem.ts'
import type { Sessions } from './session.ts'

export interface GuardOptions {
  /** Names that the `Host` header may carry, beside loopback. */
  readonly hosts: readonly string[]
}

/** Paths that answer without a token: for whoever watches the process, and for whoever comes or goes. */
const openPaths = /^\/(livez|readyz|login|logout|assets\/[^/]+)$/

/**
 * Refuses requests that no client of ours makes: for a host name that is not ours (DNS rebinding), sent by a foreign page, or without the
 * token, where `sessions` asks for one. Throws `HttpError`.
 */
export function createGuard(
  { hosts }: GuardOptions,
  sessions: Sessions | null,
): (incoming: IncomingMessage, path: string) => void {
  const allowed = new Set(hosts.map(bareHost))
  /** The last that was: most requests name the same, and to take one apart is most of what is done here. */
  let allowedLast: string | undefined

  return (incoming, path) => {
    const { host, origin } = incoming.headers
    if (countHosts(incoming.rawHeaders) !== 1) {
      throw new HttpError(400, 'bad_request', 'the request takes one Host header')
    }
    if (host !== allowedLast && !isAllowedHost(host, allowed)) {
      throw new HttpError(
        403,
        'forbidden_host',
        'the Host header names neither this machine nor a configured host; see ALLOWED_HOSTS',
      )
    }
    allowedLast = host
    const changes = incoming.method !== 'GET' && incoming.method !== 'HEAD'
    if (changes && (isForeign(origin, host) || incoming.headers['sec-fetch-site'] === 'cross-site')) {
      throw new HttpError(403, 'foreign_origin', 'a page of another origin may not change anything here')
    }
    if (sessions && !openPaths.test(path) && !sessions.isAllowed(incoming)) {
      const challenge = { 'www-authenticate': 'Bearer realm="jobmachine"' }
      throw new HttpError(401, 'unauthorized', 'a valid token is needed: Authorization: Bearer …', challenge)
    }
  }
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

function isForeign(origin: string | undefined, host: string | undefined): boolean {
  if (origin === undefined) return false
  try {
    return new URL(origin).host !== host?.toLowerCase()
  } catch {
    return true
  }
}
