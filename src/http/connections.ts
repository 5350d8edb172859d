import type { Server, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'

/** Of the connections that may be open, one in so many is kept free for those who come. */
const sparePart = 16

/**
 * Holds a server to `max` open connections so that whoever comes is let in: when nearly all are taken, the oldest one that has not sent a whole
 * request is cut off, else the oldest one that asks for nothing. `lastAnswer`: the last answer that was begun on a connection.
 */
export function limitConnections(
  server: Server,
  max: number,
  lastAnswer: (socket: Socket) => ServerResponse | undefined,
): void {
  const enough = max - Math.ceil(max / sparePart)
  /** In the order in which they came. */
  const open = new Set<Socket>()
  server.maxConnections = max
  server.on('connection', (socket: Socket) => {
    if (open.size >= enough) {
      const isUnfinished = (each: Socket) => !lastAnswer(each)?.req.complete
      const isIdle = (each: Socket) => lastAnswer(each)?.writableFinished === true
      const oldest = first(open, isUnfinished) ?? first(open, isIdle)
      oldest?.destroy()
    }
    open.add(socket)
    socket.once('close', () => open.delete(socket))
  })
}

function first(sockets: Iterable<Socket>, is: (socket: Socket) => boolean): Socket | undefined {
  for (const socket of sockets) if (!socket.destroyed && is(socket)) return socket
  return
}
