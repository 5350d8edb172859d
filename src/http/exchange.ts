import type { IncomingHttpHeaders } from 'node:http'
import { Readable } from 'node:stream'
import { HttpError } from './problem.ts'

/** A request: the parts of Node's `IncomingMessage` that are used here. */
export interface Incoming extends Readable {
  readonly method?: string | undefined
  /** The target: path and query. */
  readonly url?: string | undefined
  readonly headers: IncomingHttpHeaders
  readonly headersDistinct: NodeJS.Dict<string[]>
  readonly rawHeaders: readonly string[]
  readonly socket: Connection
}

interface Connection {
  readonly destroyed: boolean
  /** Whether it uses TLS. */
  readonly encrypted?: boolean
  /** Undefined if unknown. */
  readonly remoteAddress?: string | undefined
  destroy(): unknown
}

/** Its answer: the parts of Node's `ServerResponse` to which a stream is written and which show how much of an answer is unread. */
export interface Outgoing {
  readonly req: Incoming
  readonly writableLength: number
  readonly writableFinished: boolean
  writeHead(status: number, headers: Record<string, string>): unknown
  write(chunk: string | Uint8Array): unknown
  end(): unknown
  destroy(): unknown
}

/** A request and its answer. */
export interface Exchange {
  readonly incoming: Incoming
  readonly outgoing: Outgoing
}

type Head = Pick<Incoming, 'method' | 'url' | 'headers' | 'headersDistinct' | 'rawHeaders' | 'socket'>

/** A request whose body does not come from a connection. */
class DetachedRequest extends Readable implements Incoming {
  readonly method: string | undefined
  readonly url: string | undefined
  readonly headers: IncomingHttpHeaders
  readonly headersDistinct: NodeJS.Dict<string[]>
  readonly rawHeaders: readonly string[]
  readonly socket: Connection
  readonly #body: AsyncIterator<Uint8Array> | undefined

  constructor(head: Head, body: AsyncIterable<Uint8Array> | null) {
    // It ends with its answer, not with its body.
    super({ autoDestroy: false })
    this.method = head.method
    this.url = head.url
    this.headers = head.headers
    this.headersDistinct = head.headersDistinct
    this.rawHeaders = head.rawHeaders
    this.socket = head.socket
    this.#body = body?.[Symbol.asyncIterator]()
  }

  override _read(): void {
    if (!this.#body) {
      this.push(null)
      return
    }
    this.#body.next().then(
      ({ done, value }) => this.push(done ? null : Buffer.from(value)),
      (error: Error) => this.destroy(error),
    )
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    // The body may be locked, or fail for the same reason.
    this.#body?.return?.().catch(() => {})
    done(error)
  }
}

/** A stream that is written like Node's and read as the body of a `Response`. */
class StreamedAnswer implements Outgoing {
  readonly req: Incoming
  writableFinished = false
  /** Undefined until the head is written. */
  response: Response | undefined
  #stream: ReadableStreamDefaultController<Uint8Array> | undefined

  constructor(req: Incoming) {
    this.req = req
  }

  get writableLength(): number {
    return Math.max(0, -(this.#stream?.desiredSize ?? 0))
  }

  writeHead(status: number, { connection: _, ...headers }: Record<string, string>): void {
    const body = new ReadableStream<Uint8Array>(
      {
        start: (stream) => {
          this.#stream = stream
        },
        cancel: () => {
          this.#stream = undefined
          this.req.socket.destroy()
        },
      },
      { highWaterMark: 0, size: ({ byteLength }) => byteLength },
    )
    this.response = new Response(body, { status, headers })
  }

  write(chunk: string | Uint8Array): void {
    this.#stream?.enqueue(Buffer.from(chunk as Uint8Array))
  }

  end(): void {
    if (!this.writableFinished) this.#stream?.close()
    this.finish()
  }

  destroy(): void {
    if (!this.writableFinished) this.#stream?.error(new Error('the stream was cut off'))
    this.finish()
  }

  /** Nothing more will be written. */
  finish(): void {
    this.writableFinished = true
    this.req.destroy()
  }
}

/** Answers a `Request` with a function that needs an exchange. The client counts as gone when the request's signal fires. */
export async function answerRequest(
  request: Request,
  answer: (request: Request, exchange: Exchange) => Response | Promise<Response>,
): Promise<Response> {
  const { protocol, host, pathname, search } = new URL(request.url)
  const headers: Record<string, string> = { host, ...Object.fromEntries(request.headers) }
  // As on a connection: programs that create a `Request` give no length.
  if (request.body && headers['content-length'] === undefined) headers['transfer-encoding'] = 'chunked'
  const socket = {
    destroyed: request.signal.aborted,
    encrypted: protocol === 'https:',
    destroy() {
      socket.destroyed = true
      incoming.destroy()
    },
  }
  if (request.bodyUsed) throw bodyWasRead()
  const head = {
    method: request.method,
    url: `${pathname}${search}`,
    headers,
    headersDistinct: Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, [value]])),
    rawHeaders: Object.entries(headers).flat(),
    socket,
  }
  const incoming = new DetachedRequest(head, request.body)
  // Nobody needs the error of a body that is no longer read.
  incoming.on('error', () => {})
  const outgoing = new StreamedAnswer(incoming)
  request.signal.addEventListener('abort', socket.destroy, { once: true })
  const response = await answer(request, { incoming, outgoing })
  if (outgoing.response) return outgoing.response
  request.signal.removeEventListener('abort', socket.destroy)
  outgoing.finish()
  return response
}

/**
 * The request itself, or, if a body parser has read its body (`req.body`), one with those bytes. Throws `HttpError` if they cannot be
 * found.
 */
export function withBody(incoming: Incoming & { readonly body?: unknown }): Incoming {
  if (!incoming.readableEnded && !incoming.readableDidRead) return incoming
  const { 'content-encoding': _, 'transfer-encoding': __, ...headers } = incoming.headers
  const bytes = !hasBody(incoming) ? Buffer.alloc(0) : bytesOf(incoming.body, headers['content-type'] ?? '')
  if (!bytes) throw bodyWasRead()
  // It has all its bytes, so it does not end when `incoming` closes, as that does once it was read.
  return new DetachedRequest(
    {
      method: incoming.method,
      url: incoming.url,
      headers: { ...headers, 'content-length': `${bytes.length}` },
      headersDistinct: incoming.headersDistinct,
      rawHeaders: incoming.rawHeaders,
      socket: incoming.socket,
    },
    Readable.from([bytes]),
  )
}

/** Whether the head announces a body. */
export function hasBody({ headers }: Pick<Incoming, 'headers'>): boolean {
  return headers['transfer-encoding'] !== undefined || (headers['content-length'] ?? '0') !== '0'
}

/** The bytes of a parsed body, as sent or with the same meaning. */
function bytesOf(body: unknown, contentType: string): Buffer | undefined {
  if (Buffer.isBuffer(body)) return body
  if (typeof body === 'string') return Buffer.from(body)
  if (body === undefined || body === null) return
  const isForm = contentType.toLowerCase().startsWith('application/x-www-form-urlencoded')
  return Buffer.from(isForm ? `${new URLSearchParams(body as Record<string, string>)}` : JSON.stringify(body))
}

export function bodyWasRead(): HttpError {
  return new HttpError(
    500,
    'internal_error',
    'the body of this request was read before it came here: mount the jobs ahead of what parses bodies, or leave what it parsed in req.body',
  )
}
