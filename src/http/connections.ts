import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import { Socket } from 'node:net'

/** One in this many of the allowed connections is reserved for new clients. */
const sparePart = 16
/** Bytes that are read and discarded after an answer before the connection is closed, and how often they are counted, in ms. */
const discardedBytesMax = 67_108_864
const checkMs = 200

interface ConnectionsParts {
  /** The most open connections. */
  readonly max: number
  /** How long data after an answer is read, in ms. */
  readonly discardMs: number
  /** The same while no data arrives, in ms. */
  readonly discardIdleMs: number
  /** The whole answer to input that the parser rejected, by the error's code. */
  readonly refusal: (code: string | undefined) => string
}

/**
 * The connections of a server. It keeps some free for new clients: when nearly all are in use, it closes the oldest one that has not sent a
 * whole request, or else the oldest idle one. Every client can read its last answer, even one to an invalid request.
 */
export class Connections {
  readonly #parts: ConnectionsParts
  /** In the order of their arrival. */
  readonly #open = new Set<Socket>()
  readonly #lastAnswers = new WeakMap<Socket, ServerResponse>()
  /** Connections that have had their last answer: what still arrives from them is discarded. */
  readonly #discarding = new WeakSet<Socket>()
  /** One function for all, registered once per answer: a stream does not finish, and each packet of bad input calls it. */
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

  /** Registers that an answer begins; false if its connection has had its last one. */
  begin(outgoing: ServerResponse): boolean {
    const { socket } = outgoing.req
    if (this.#discarding.has(socket)) return false
    this.#lastAnswers.set(socket, outgoing)
    return true
  }

  #take(socket: Socket): void {
    // Node calls this to end a connection when its last answer is sent, and so does @hono/node-server if a body lasts half a second longer.
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
    // Discarded data need not be a valid request.
    if (this.#discarding.has(socket)) return
    const answer = this.#lastAnswers.get(socket)
    const underWay = answer !== undefined && !answer.writableFinished
    if (!socket.writable) socket.destroy()
    // The input after a valid request was invalid; that request still gets its answer.
    else if (underWay && answer.req.complete)
      answer.off('finish', this.#endConnection).once('finish', this.#endConnection)
    // A partly written answer must not be followed by another.
    else if (underWay && answer.headersSent) socket.destroy()
    // Its body must not reach its end, because a refused job must not be stored.
    else {
      socket.write(this.#parts.refusal(error.code))
      if (underWay) cutWhenSent(socket)
      else this.#endAndDiscard(socket)
    }
  }

  /**
   * Ends `socket` once everything written is sent, and discards what still arrives, until its client ends it too, or a limit is reached.
   * Closing a socket that has unread bytes resets the connection, and a client that sends all of its request before it reads then never
   * sees the answer.
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
    // The reader of the body has stopped, and paused it.
    incoming?.resume()
  }
}

/** Closes a connection once everything written is sent. */
function cutWhenSent(socket: Socket): void {
  Socket.prototype.destroySoon.call(socket)
}
