import type { IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'

/** Bytes that are read and thrown away behind an answer before the connection is cut, and how often they are counted, in ms. */
const lingerBytesMax = 67_108_864
const checkMs = 200

export interface LingerTimes {
  /** How long what still comes behind an answer is read, in ms. */
  readonly linger: number
  /** The same while nothing comes, in ms. */
  readonly lingerIdle: number
}

const lingering = new WeakSet<Socket>()

/** Whether `socket` has had its last answer: what still comes from it is thrown away. */
export function isLingering(socket: Socket): boolean {
  return lingering.has(socket)
}

/**
 * Ends `socket` once what was written is sent, and throws away what still comes, until its client ends it too, or a bound is reached. Closing a
 * socket that has unread bytes resets the connection, and a client that sends all of its request before it reads then never sees the answer.
 */
export function linger(socket: Socket, incoming: IncomingMessage | undefined, times: LingerTimes): void {
  if (lingering.has(socket) || socket.destroyed) return
  lingering.add(socket)
  const cutAt = performance.now() + times.linger
  const bytesBefore = socket.bytesRead
  let bytes = bytesBefore
  let idleSince = performance.now()
  const check = () => {
    const now = performance.now()
    if (socket.bytesRead > bytes) {
      bytes = socket.bytesRead
      idleSince = now
    }
    if (now >= cutAt || now - idleSince >= times.lingerIdle || bytes - bytesBefore > lingerBytesMax) socket.destroy()
  }
  const timer = setInterval(check, Math.min(checkMs, times.lingerIdle))
  socket.once('close', () => clearInterval(timer))
  socket.end()
  // Whoever was reading the body has stopped, and paused it.
  incoming?.resume()
}
