import { type AddressInfo, createServer, type Socket } from 'node:net'
import { whenDone } from './temp.ts'

/** A server to which handlers of the type `ask` connect, so that a test can hold them for as long as it needs. */
export interface Remote {
  readonly port: number
  /** How many have connected. */
  asked(): number
  /** Answers the first `count` of those that are still waiting. */
  answer(count: number): void
  /** Answers all that are waiting, and all later ones. */
  answerAll(): void
}

/** Listens on 127.0.0.1 until the test is done. */
export async function aRemote(): Promise<Remote> {
  const sockets: Socket[] = []
  let answered = 0
  let isOpen = false
  const answer = (count: number) => {
    for (const socket of sockets.slice(answered, answered + count)) socket.write('yes')
    answered += count
  }
  const server = createServer((socket) => {
    socket.on('error', () => {})
    sockets.push(socket)
    if (isOpen) answer(1)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  whenDone(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return {
    port: (server.address() as AddressInfo).port,
    asked: () => sockets.length,
    answer,
    answerAll() {
      isOpen = true
      answer(sockets.length - answered)
    },
  }
}
