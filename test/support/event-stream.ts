import { get, type IncomingHttpHeaders, type IncomingMessage } from 'node:http'
import { until } from './system.ts'
import { whenDone } from './temp.ts'

/** One server-sent event as received, with its data parsed. */
export interface StreamedEvent {
  readonly id: number
  readonly event: string
  // biome-ignore lint/suspicious/noExplicitAny: what the server sends is what the test looks at
  readonly data: any
}

/** A stream that is read as it arrives. */
export interface EventStream {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly events: readonly StreamedEvent[]
  readonly comments: readonly string[]
  /** The id from which its client would resume. */
  readonly lastId: string
  /** Whether the server has ended it, cleanly or by closing the connection. */
  readonly ended: boolean
  /** Resolves when it has this many events. */
  untilEvents(count: number): Promise<readonly StreamedEvent[]>
  /** Ends it, like a client that leaves. */
  leave(): void
}

/** Opens `/events` on a separate connection, which ends with the test; resolves when the server has answered with the starting position. */
export async function openEvents(port: number, query = '', headers: Record<string, string> = {}): Promise<EventStream> {
  const stream = new Stream(await answerTo(port, `/events${query}`, headers))
  whenDone(() => stream.leave())
  if (stream.status === 200) await until(() => stream.lastId !== '')
  return stream
}

function answerTo(port: number, path: string, headers: Record<string, string>): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    get({ port, path, headers, agent: false }, resolve).once('error', reject)
  })
}

/** Reads according to the standard: https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation */
class Stream implements EventStream {
  readonly events: StreamedEvent[] = []
  readonly comments: string[] = []
  readonly #incoming: IncomingMessage
  #text = ''
  #lastId = ''
  #ended = false

  constructor(incoming: IncomingMessage) {
    this.#incoming = incoming
    incoming.setEncoding('utf8')
    incoming.on('data', (text: string) => this.#take(text))
    incoming.on('error', () => undefined)
    incoming.on('close', () => {
      this.#ended = true
    })
  }

  get status(): number {
    return this.#incoming.statusCode!
  }

  get headers(): IncomingHttpHeaders {
    return this.#incoming.headers
  }

  get lastId(): string {
    return this.#lastId
  }

  get ended(): boolean {
    return this.#ended
  }

  async untilEvents(count: number): Promise<readonly StreamedEvent[]> {
    await until(() => this.events.length >= count)
    return this.events
  }

  leave(): void {
    this.#incoming.destroy()
  }

  #take(text: string): void {
    const blocks = (this.#text + text).split('\n\n')
    this.#text = blocks.pop()!
    for (const block of blocks) this.#dispatch(block.split('\n'))
  }

  #dispatch(lines: readonly string[]): void {
    let event = 'message'
    let data: string | undefined
    for (const line of lines) {
      const [, name, value = ''] = /^([^:]*)(?:: ?(.*))?$/s.exec(line)!
      if (name === '') this.comments.push(value)
      else if (name === 'id') this.#lastId = value
      else if (name === 'event') event = value
      else if (name === 'data') data = value
      else if (name !== 'retry') throw new Error(`no field of an event: ${line}`)
    }
    if (data !== undefined) this.events.push({ id: Number(this.#lastId), event, data: JSON.parse(data) })
  }
}
