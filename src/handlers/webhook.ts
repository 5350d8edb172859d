import { z } from 'zod'
import { PermanentError, RetryAfterError } from '../errors.ts'
import { defineHandler, type Handler } from './define.ts'
import type { HttpClient } from './http-client.ts'
import { strictPayload, takes } from './payload.ts'
import { Redactor } from './redact.ts'
import { retryAfterMs } from './retry-after.ts'
import { headers } from './webhook-headers.ts'
import { createSigner } from './webhook-signature.ts'

const methods = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE'] as const
/** Where a redirect may take a call other than GET or HEAD. */
const redirects = ['same_origin', 'any_origin'] as const
const bodiless: readonly string[] = ['GET', 'HEAD'] satisfies (typeof methods)[number][]

/** What a `webhook` job carries. */
interface WebhookCall {
  /** `http` or `https`, without user and password. */
  readonly url: string
  /** POST by default. */
  readonly method: (typeof methods)[number]
  readonly headers?: Readonly<Record<string, string>> | undefined
  /** Any JSON value, including `null`; nothing is sent if it is left out. */
  readonly body?: unknown
  /** `same_origin` by default. */
  readonly redirects?: (typeof redirects)[number] | undefined
}

interface WebhookSettings {
  /** Makes the requests, and says which addresses they may go to. */
  readonly client: Pick<HttpClient, 'send'>
  /** Signs each call by Standard Webhooks: `whsec_` and base64, or any other ASCII text as it is. */
  readonly secret?: string | undefined
  /** The longest delay that a receiver's `Retry-After` can ask for. */
  readonly retryMaxMs: number
  /** Epoch ms. */
  readonly now: () => number
}

type HttpAnswer = Awaited<ReturnType<HttpClient['send']>>

/** One request of a call; a redirect makes the next. */
interface Hop {
  readonly url: URL
  /** Its origin as errors and notes may name it: a redirect may lead to one that repeats a secret. */
  readonly origin: string
  readonly method: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: string | undefined
  /** False after the first redirect to another origin: secrets are not sent there. */
  readonly atHome: boolean
  /** Whether method and body may go to another origin. */
  readonly mayLeave: boolean
}

const attemptMs = 30_000
const redirectsMax = 3
/** The statuses that redirect: 300 offers a choice, 304 answers a conditional request, 305 and 306 are obsolete. */
const redirectStatuses: ReadonlySet<number> = new Set([301, 302, 303, 307, 308])
const urlMax = 8_192
/** Characters of host and port; a host name has at most 253, or more if it is percent-encoded. */
const authorityMax = 1_024
/** Any other header may be a credential, so it does not follow a redirect to another origin. */
const harmlessHeaders = new Set(['accept', 'accept-language', 'content-type', 'user-agent', 'webhook-id'])

const url = z
  .string(takes('a URL'))
  .max(urlMax, { ...takes(`at most ${urlMax} characters`), abort: true })
  .refine(isWebUrl, 'must be an http or https URL without user, password, spaces and control characters')
  .meta({ description: 'http or https, without user and password.', format: 'uri', pattern: '^https?://\\S+$' })

const payload = strictPayload({
  url,
  method: z
    .string(takes('text'))
    .toUpperCase()
    .pipe(z.enum(methods, takes(`one of: ${methods.join(', ')}`)))
    .default('POST')
    .meta({ description: 'Lower case is accepted too.', enum: methods }),
  headers: headers.optional(),
  body: z
    .unknown()
    .optional()
    .describe('Any JSON value, sent as JSON; nothing is sent if it is left out. Not for GET and HEAD.'),
  redirects: z
    .enum(redirects, takes(`one of: ${redirects.join(', ')}`))
    .optional()
    .describe('Whether a 307 or 308 may send method and body to another origin; `same_origin` by default.'),
})
  .refine(({ method, body }) => body === undefined || !bodiless.includes(method), {
    path: ['body'],
    message: `is not for ${bodiless.join(' and ')}`,
  })
  .meta({
    description: 'Makes one HTTP call.',
    // What the refinement rejects.
    not: { properties: { method: { enum: bodiless } }, required: ['method', 'body'] },
    examples: [{ url: 'https://example.com/hook', body: { order: 4711 } }],
  })

/**
 * Makes one HTTP call, following at most 3 redirects. 2xx succeeds. 4xx except 408, 425 and 429 is final, and so is an address that may not
 * be called. Anything else is retried, no sooner than a `Retry-After` says. A redirect is final if it would change the method, and so lose
 * the body, or if it would take method and body to another origin without permission. `webhook-id` is the same for every attempt of a job,
 * so that a receiver can recognise a repeat. Errors name status and origin, never path, query, headers or body.
 */
export function callWebhook({ client, secret, retryMaxMs, now }: WebhookSettings): Handler<WebhookCall> {
  const sign = secret === undefined ? undefined : createSigner(secret)

  return defineHandler({
    type: 'webhook',
    timeoutMs: attemptMs,
    payload,

    async run(call, { idempotencyToken, signal, note }) {
      signal.throwIfAborted()
      let hop = firstHop(call, idempotencyToken)
      for (let followed = 0; ; followed++) {
        const signature = sign && hop.atHome ? sign(idempotencyToken, now(), hop.body ?? '') : {}
        const redactor = () => new Redactor(sentWith(call, signature, secret))
        const answer = await send({ ...hop, headers: { ...hop.headers, ...signature } }, client, signal, redactor)
        const next = nextHop(hop, answer, redactor)
        if (!next || followed === redirectsMax) {
          // An error says this itself, except where the call began.
          if (followed > 0 || answer.status < 300) note(sayAnswer(hop, answer, followed, call.url))
          return judge(hop, answer, retryMaxMs, now(), next !== undefined)
        }
        hop = next
      }
    },
  })
}

function firstHop({ url, method, headers = {}, body, redirects }: WebhookCall, idempotencyToken: string): Hop {
  const lowerCased = Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]))
  const standard = { 'user-agent': 'jobmachine', ...(body !== undefined && { 'content-type': 'application/json' }) }
  const first = new URL(url)
  return {
    url: first,
    origin: first.origin,
    method,
    headers: { ...standard, ...lowerCased, 'webhook-id': idempotencyToken },
    body: body === undefined ? undefined : JSON.stringify(body),
    atHome: true,
    mayLeave: bodiless.includes(method) || redirects === 'any_origin',
  }
}

/** Everything that a call sends besides its body, in parts: the password of a sign-in, the value of a cookie, a code in the path. */
function sentWith({ url, headers = {} }: WebhookCall, signature: Readonly<Record<string, string>>, secret = '') {
  const { pathname, search, searchParams } = new URL(url)
  const texts = Object.entries({ ...headers, ...signature })
    .filter(([name]) => !harmlessHeaders.has(name.toLowerCase()))
    .flatMap(([name, value]) => partsOf(value).map((text) => ({ name: `the header ${name}`, text })))
  const ofUrl = [
    `${pathname}${search}`,
    ...pathname.split('/').filter(({ length }) => length >= 16),
    ...searchParams.values(),
  ]
  const ofSecret = [secret, secret.replace(/^whsec_/, '')]
  return [
    ...texts,
    ...ofUrl.map((text) => ({ name: 'the path', text })),
    ...ofSecret.map((text) => ({ name: 'WEBHOOK_SECRET', text })),
  ]
}

function partsOf(value: string): string[] {
  const basic = /^basic +(\S+)$/i.exec(value.trim())?.[1]
  const signIn = basic === undefined ? '' : `${Buffer.from(basic, 'base64')}`
  const password = signIn.slice(signIn.indexOf(':') + 1)
  return [value, signIn, password, ...value.split(/[\s,;=:]+/).filter(isLong)]
}

/** Whether a part of a text is long enough to be a secret. */
function isLong({ length }: string): boolean {
  return length >= 8
}

/** Returns the answer. If none came, throws an error that names only method and origin. */
async function send(
  hop: Hop,
  client: WebhookSettings['client'],
  signal: AbortSignal,
  redactor: () => Redactor,
): Promise<HttpAnswer> {
  try {
    return await client.send({ ...hop, signal })
  } catch (cause) {
    signal.throwIfAborted()
    redactor().error(cause)
    if (cause instanceof PermanentError) throw cause
    const { code, message } = cause as NodeJS.ErrnoException
    throw new Error(`${hop.method} ${hop.origin} failed: ${code ?? message}`, { cause })
  }
}

/**
 * Where a redirect leads; undefined if the answer cannot be followed. Throws `PermanentError` if following it would change the requested
 * call: fetch and browsers turn a POST into a GET on 301, 302 and 303, and its body would never arrive.
 */
function nextHop(hop: Hop, { status, headers }: HttpAnswer, redactor: () => Redactor): Hop | undefined {
  const [location, another] = headers.location ?? []
  if (!redirectStatuses.has(status) || location === undefined || another !== undefined) return
  const url = URL.canParse(location, hop.url.href) ? new URL(location, hop.url.href) : undefined
  if (!url || !isWebUrl(url.href)) return

  const { method } = hop
  const origin = url.origin === hop.url.origin ? hop.origin : redactor().text(url.origin)
  if (status === 303 ? !bodiless.includes(method) : status <= 302 && method === 'POST') {
    throw notFollowed(hop, status, origin, `the ${method} would become a GET without its body`)
  }
  const staysHome = isSameReceiver(hop.url, url)
  if (!staysHome && !hop.mayLeave) {
    throw notFollowed(hop, status, origin, 'only "redirects": "any_origin" lets a call go to another origin')
  }
  const atHome = hop.atHome && staysHome
  const kept = Object.entries(hop.headers).filter(([name]) => atHome || harmlessHeaders.has(name))
  return { ...hop, url, origin, headers: Object.fromEntries(kept), atHome }
}

/** Whether both have the same origin, or the same host with https instead of http, each on its default port. */
function isSameReceiver(from: URL, to: URL): boolean {
  const isUpgrade = from.protocol === 'http:' && to.protocol === 'https:' && from.port === '' && to.port === ''
  return from.origin === to.origin || (isUpgrade && from.hostname === to.hostname)
}

function notFollowed({ method, origin }: Hop, status: number, to: string, why: string): PermanentError {
  const where = to === origin ? `another path of ${to}` : to
  return new PermanentError(
    `${method} ${origin} answered ${status}, a redirect to ${where}, which was not followed: ${why}. Call the new address instead.`,
  )
}

/** Who answered what, as far as errors may reveal it; for a redirected call also where it began. */
function sayAnswer(hop: Hop, { status }: HttpAnswer, followed: number, asked: string): string {
  const { origin } = new URL(asked)
  const said = `${hop.origin} answered ${status} to ${hop.method}`
  if (followed === 0) return said
  const where = hop.url.origin === origin ? ' to another path' : ` from ${origin}`
  return `${said}, after ${followed === 1 ? 'a redirect' : `${followed} redirects`}${where}`
}

/**
 * Returns if the call succeeded, and otherwise throws the outcome. `led`: this answer is one more redirect after those that were followed.
 */
function judge(hop: Hop, answer: HttpAnswer, retryMaxMs: number, now: number, led: boolean): void {
  const { status, headers } = answer
  if (status >= 200 && status < 300) return
  const why = status < 400 ? `, ${led ? tooManyRedirects : sayUnfollowed(hop, answer)}` : ''
  const message = `${hop.method} ${hop.origin} answered ${status}${why}`
  const retriable = status < 400 || status >= 500 || [408, 425, 429].includes(status)
  if (!retriable) throw new PermanentError(message)
  const delayMs = retryAfterMs(headers['retry-after'] ?? [], now)
  if (delayMs > 0) throw new RetryAfterError(Math.min(delayMs, retryMaxMs), message)
  throw new Error(message)
}

const tooManyRedirects = `a redirect not followed: it came after ${redirectsMax} others, which may be a loop`

/** What is wrong with a 3xx answer that cannot be followed. Its `Location` may be secret, and is not quoted. */
function sayUnfollowed(hop: Hop, { status, headers }: HttpAnswer): string {
  if (!redirectStatuses.has(status)) return 'which is neither a success nor a redirect'
  const [location, another] = headers.location ?? []
  if (location === undefined) return 'a redirect not followed: it has no Location'
  if (another !== undefined) return 'a redirect not followed: it has more than one Location'
  const url = URL.canParse(location, hop.url.href) ? new URL(location, hop.url.href) : undefined
  if (url && (url.username !== '' || url.password !== '')) {
    return 'a redirect not followed: its Location has a user or a password in it'
  }
  return 'a redirect not followed: its Location is not an http or https URL'
}

/** The parser would silently drop line breaks and tabs inside a URL, so reject them first. */
function isWebUrl(text: string): boolean {
  if (/[\s\p{Cc}]/u.test(text)) return false
  // In another script, each character of a host costs hundreds of times as much as one of a path.
  const authority = /^https?:[\\/]*([^\\/?#]*)/i.exec(text)?.[1]
  if (authority === undefined || authority.length > authorityMax || !URL.canParse(text)) return false
  const { protocol, username, password } = new URL(text)
  return (protocol === 'http:' || protocol === 'https:') && username === '' && password === ''
}
