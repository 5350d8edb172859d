import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import { Socket } from 'node:net'

/** One in this many of the allowed connections is kept free for new clients. */
const sparePart = 16
/** Bytes that are read and thrown away behind an answer before the connection is cut, and how often they are counted, in ms. */
const discardedBytesMax = 67_108_864
const checkMs = 200

interface ConnectionsParts {
  /** Open at once, at most. */
  readonly max: number
  /** How long what still comes behind an answer is read, in ms. */
  readonly discardMs: number
  /** The same while nothing comes, in ms. */
  readonly discardIdleMs: number
  /** The whole answer to what the parser gave up, for an error's code. */
  readonly refusal: (code: string | undefined) => string
}

/**
 * The connections of a server. There are so many at most that whoever comes is let in: when nearly all are taken, the oldest one that has not sent
 * a whole request is cut off, else the oldest one that asks for nothing. Every client can read its last answer, also to what is no request.
 */
export class Connections {
  readonly #parts: ConnectionsParts
  /** In the order in which they came. */
  readonly #open = new Set<Socket>()
  readonly #lastAnswers = new WeakMap<Socket, ServerResponse>()
  /** Those that have had their last answer: what still comes from them is thrown away. */
  readonly #discarding = new WeakSet<Socket>()
  /** One function for all, to be listened for once: a stream does not finish, and each packet of what is bad calls for it. */
  readonly #endConnection: (this: ServerResponse) => void

  constructor(server: Server, parts: ConnectionsParts) {
    this.#parts = parts
    const end = (socket: Socket) => this.#endAndDiscard(socket)
    this.#endConnection = function () {
      end(this.req.socket)
    }
    server.maxConnections = parts.max
    server.on('connection', (socket: Socket) => this.#take(socket))
    server.on('clientError', (error: NodeJS.ErrnoException, socket: Socket) => this.#refuse(error, socket))
  }

  /** Notes that an answer is begun; false: its connection has had its last one. */
  begin(outgoing: ServerResponse): boolean {
    const { socket } = outgoing.req
    if (this.#discarding.has(socket)) return false
    this.#lastAnswers.set(socket, outgoing)
    return true
  }

  #take(socket: Socket): void {
    // Node ends a connection by this when its last answer is sent, and so does @hono/node-server if a body goes on for half a second.
    socket.destroySoon = () => {
      const incoming = this.#lastAnswers.get(socket)?.req
      if (incoming && !incoming.complete) this.#endAndDiscard(socket, incoming)
      else if (!this.#discarding.has(socket)) cutWhenSent(socket)
    }
    const { max } = this.#parts
    if (this.#open.size >= max - Math.ceil(max / sparePart)) {
      const oldest =
        this.#first((each) => !this.#lastAnswers.get(each)?.req.complete) ??
        this.#first((each) => this.#lastAnswers.get(each)?.writableFinished === true)
      oldest?.destroy()
    }
    this.#open.add(socket)
    socket.once('close', () => this.#open.delete(socket))
  }

  #first(is: (socket: Socket) => boolean): Socket | undefined {
    for (const socket of this.#open) if (!socket.destroyed && is(socket)) return socket
    return
  }

  #refuse(error: NodeJS.ErrnoException, socket: Socket): void {
    // What is thrown away need not be a request.
    if (this.#discarding.has(socket)) return
    const answer = this.#lastAnswers.get(socket)
    const underWay = answer !== undefined && !answer.writableFinished
    if (!socket.writable) socket.destroy()
    // What followed a good request was bad: that one is answered still.
    else if (underWay && answer.req.complete)
      answer.off('finish', this.#endConnection).once('finish', this.#endConnection)
    // An answer that is half written must not be followed by another.
    else if (underWay && answer.headersSent) socket.destroy()
    // Its body must not come to its end: what is refused is not stored.
    else {
      socket.write(this.#parts.refusal(error.code))
      if (underWay) cutWhenSent(socket)
      else this.#endAndDiscard(socket)
    }
  }

  /**
   * Ends `socket` once what was written is sent, and throws away what still comes, until its client ends it too, or a bound is reached. Closing a
   * socket that has unread bytes resets the connection, and a client that sends all of its request before it reads then never sees the answer.
   */
  #endAndDiscard(socket: Socket, incoming?: IncomingMessage): void {
    if (this.#discarding.has(socket) || socket.destroyed) return
    this.#discarding.add(socket)
    const { discardMs, discardIdleMs } = this.#parts
    const cutAt = performance.now() + discardMs
    const bytesBefore = socket.bytesRead
    let bytes = bytesBefore
    let idleSince = performance.now()
    const check = () => {
      const now = performance.now()
      if (socket.bytesRead > bytes) {
        bytes = socket.bytesRead
        idleSince = now
      }
      if (now >= cutAt || now - idleSince >= discardIdleMs || bytes - bytesBefore > discardedBytesMax) socket.destroy()
    }
    const timer = setInterval(check, Math.min(checkMs, discardIdleMs))
    socket.once('close', () => clearInterval(timer))
    socket.end()
    // Whoever was reading the body has stopped, and paused it.
    incoming?.resume()
  }
}

/** Closes a connection once what was written is sent. */
function cutWhenSent(socket: Socket): void {
  Socket.prototype.destroySoon.call(socket)
}
