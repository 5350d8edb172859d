import type { IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'

/** Bytes that are read and thrown away behind an answer before the connection is cut, and how often they are counted, in ms. */
const discardedBytesMax = 67_108_864
const checkMs = 200

export interface DiscardTimeouts {
  /** How long what still comes behind an answer is read, in ms. */
  readonly discard: number
  /** The same while nothing comes, in ms. */
  readonly discardIdle: number
}

const discarding = new WeakSet<Socket>()

/** Whether `socket` has had its last answer: what still comes from it is thrown away. */
export function isDiscarding(socket: Socket): boolean {
  return discarding.has(socket)
}

/**
 * Ends `socket` once what was written is sent, and throws away what still comes, until its client ends it too, or a bound is reached. Closing a
 * socket that has unread bytes resets the connection, and a client that sends all of its request before it reads then never sees the answer.
 */
export function endAndDiscard(socket: Socket, incoming: IncomingMessage | undefined, times: DiscardTimeouts): void {
  if (discarding.has(socket) || socket.destroyed) return
  discarding.add(socket)
  const cutAt = performance.now() + times.discard
  const bytesBefore = socket.bytesRead
  let bytes = bytesBefore
  let idleSince = performance.now()
  const check = () => {
    const now = performance.now()
    if (socket.bytesRead > bytes) {
      bytes = socket.bytesRead
      idleSince = now
    }
    if (now >= cutAt || now - idleSince >= times.discardIdle || bytes - bytesBefore > discardedBytesMax)
      socket.destroy()
  }
  const timer = setInterval(check, Math.min(checkMs, times.discardIdle))
  socket.once('close', () => clearInterval(timer))
  socket.end()
  // Whoever was reading the body has stopped, and paused it.
  incoming?.resume()
}
