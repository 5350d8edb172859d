import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { whenDone } from './temp.ts'

/** One answer as received, with the names of its headers in lower case. */
export interface RawAnswer {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

/** A connection without a client library, which would tidy up what it sends. */
export class RawConnection {
  readonly socket: Socket
  #received = Buffer.alloc(0)
  #ended = false
  #wake: () => void = () => undefined

  constructor(socket: Socket) {
    this.socket = socket
    socket.on('data', (chunk) => {
      this.#received = Buffer.concat([this.#received, chunk])
      this.#wake()
    })
    const end = () => {
      this.#ended = true
      this.#wake()
    }
    socket.on('close', end)
    socket.on('end', end)
    socket.on('error', end)
  }

  /** Whether the server has ended the connection. */
  get ended(): boolean {
    return this.#ended
  }

  write(...parts: (string | Buffer)[]): void {
    for (const part of parts) this.socket.write(part)
  }

  /** The next answer; for a HEAD request one without a body. Rejects if the connection ends before it. */
  async answer({ head = false } = {}): Promise<RawAnswer> {
    for (;;) {
      const answer = this.#take(head)
      if (answer) return answer
      if (this.#ended) throw new Error(`the connection ended after ${JSON.stringify(this.#received.toString())}`)
      await this.#more()
    }
  }

  /** Resolves with what arrived after the last answer when the server ends the connection. */
  async end(): Promise<string> {
    while (!this.#ended) await this.#more()
    return this.#received.toString()
  }

  #more(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve
    })
  }

  #take(isHead: boolean): RawAnswer | undefined {
    const headEnd = this.#received.indexOf('\r\n\r\n')
    if (headEnd < 0) return
    const [statusLine = '', ...lines] = this.#received.subarray(0, headEnd).toString().split('\r\n')
    const headers = Object.fromEntries(
      lines.map((line) => [line.slice(0, line.indexOf(':')).toLowerCase(), line.slice(line.indexOf(':') + 1).trim()]),
    )
    const status = Number(statusLine.split(' ')[1])
    const length = isHead || status === 100 ? 0 : Number(headers['content-length'] ?? 0)
    if (this.#received.length < headEnd + 4 + length) return
    const body = this.#received.subarray(headEnd + 4, headEnd + 4 + length).toString()
    this.#received = this.#received.subarray(headEnd + 4 + length)
    return { status, headers, body }
  }
}

/** Connects to 127.0.0.1; destroyed when the test is done. */
export async function openConnection(port: number): Promise<RawConnection> {
  const socket = connect(port, '127.0.0.1')
  await once(socket, 'connect')
  whenDone(() => socket.destroy())
  return new RawConnection(socket)
}

/** The text of a request. `Host` and, with a body, its length and JSON as its type are set by default. */
export function request(line: string, headers: Record<string, string | undefined> = {}, body = ''): string {
  const length =
    body === '' ? {} : { 'content-length': `${Buffer.byteLength(body)}`, 'content-type': 'application/json' }
  const lines = Object.entries({ host: 'localhost', ...length, ...headers }).flatMap(([name, value]) =>
    value === undefined ? [] : [`${name}: ${value}\r\n`],
  )
  return `${line} HTTP/1.1\r\n${lines.join('')}\r\n${body}`
}

/** Sends one request on a separate connection and resolves with its answer. */
export async function exchange(port: number, ...parts: (string | Buffer)[]): Promise<RawAnswer> {
  const connection = await openConnection(port)
  connection.write(...parts)
  const isHead = parts[0]?.toString().startsWith('HEAD ') ?? false
  const answer = await connection.answer({ head: isHead })
  connection.socket.destroy()
  return answer
}
