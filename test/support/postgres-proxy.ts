import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { join } from 'node:path'
import { tempFolder, whenDone } from './temp.ts'

/**
 * What happens at a statement. `unsent`: the connection breaks before the server has it; `sent`: when it has it; `unanswered`: once the server
 * has answered, and nobody else hears it; `terminated`: an administrator ends the session before the server has it, as `pg_terminate_backend` does.
 */
export const cuts = ['unsent', 'sent', 'unanswered', 'terminated'] as const
export type Cut = (typeof cuts)[number]

interface Armed {
  readonly cut: Cut
  /** Statements until then, that one included. */
  left: number
}

const startup = 0
const bytes = { query: 0x51, sync: 0x53, ready: 0x5a, key: 0x4b }

/** Stands between clients and a server, and breaks the connection at the statement that it is told. */
export async function postgresProxy(host: string, terminate: (pid: number) => Promise<void>) {
  const folder = tempFolder('/tmp')
  const sockets = new Set<Socket>()
  const links: Link[] = []
  let armed: Armed | null = null
  let count = 0
  /** The cut that is due at this statement, if any. */
  const atStatement = (): Cut | null => {
    count++
    if (armed === null || --armed.left > 0) return null
    const { cut } = armed
    armed = null
    return cut
  }
  const proxy = createServer((client) => {
    const server = connect(join(host, '.s.PGSQL.5432'))
    links.push(new Link(client, server, atStatement, terminate))
    for (const socket of [client, server]) {
      sockets.add(socket)
      socket.on('close', () => sockets.delete(socket))
    }
  })
  proxy.listen(join(folder, '.s.PGSQL.5432'))
  await once(proxy, 'listening')
  whenDone(() => {
    for (const socket of sockets) socket.destroy()
    proxy.close()
  })
  return {
    host: folder,
    /** Breaks the connection of the `nth` statement from now on. */
    arm(nth: number, cut: Cut) {
      armed = { left: nth, cut }
    },
    /** Whether no statement has come so far; after that nothing is broken any more. */
    disarm(): boolean {
      const wasArmed = armed !== null
      armed = null
      return wasArmed
    },
    /** Resolves when each cut that was due has been made. */
    async settled() {
      await Promise.all(links.map(({ settled }) => settled))
    },
    get count() {
      return count
    },
  }
}

/** One connection: a statement is a simple query, or what is sent up to a sync. */
class Link {
  readonly #client: Socket
  readonly #server: Socket
  readonly #terminate: (pid: number) => Promise<void>
  #hasStarted = false
  #pid = 0
  #isDeaf = false
  #toServer = Promise.resolve()

  constructor(
    client: Socket,
    server: Socket,
    atStatement: () => Cut | null,
    terminate: (pid: number) => Promise<void>,
  ) {
    this.#client = client
    this.#server = server
    this.#terminate = terminate
    const fromClient = messages(
      (message, type) => {
        const isStatement = this.#hasStarted && (type === bytes.query || type === bytes.sync)
        this.#hasStarted = true
        const cut = isStatement ? atStatement() : null
        this.#toServer = this.#toServer.then(() => (cut ? this.#break(cut, message) : void server.write(message)))
      },
      () => this.#hasStarted,
    )
    const fromServer = messages(
      (message, type) => {
        if (type === bytes.key) this.#pid = message.readInt32BE(5)
        if (!this.#isDeaf) client.write(message)
        else if (type === bytes.ready) this.#end()
      },
      () => true,
    )
    client.on('data', fromClient)
    server.on('data', fromServer)
    for (const socket of [client, server]) {
      socket.on('error', () => {})
      socket.on('close', () => {
        client.destroy()
        server.destroy()
      })
    }
  }

  get settled(): Promise<void> {
    return this.#toServer
  }

  async #break(cut: Cut, message: Buffer): Promise<void> {
    switch (cut) {
      case 'unsent':
        return this.#end()
      case 'sent':
        this.#server.end(message)
        return void this.#client.destroy()
      case 'unanswered':
        this.#isDeaf = true
        return void this.#server.write(message)
      case 'terminated':
        await this.#terminate(this.#pid)
        return void this.#server.write(message)
    }
  }

  #end(): void {
    this.#client.destroy()
    this.#server.destroy()
  }
}

/** Cuts a stream into messages of the protocol: the first of a client has no type. */
function messages(give: (message: Buffer, type: number) => void, hasType: () => boolean) {
  let rest = Buffer.alloc(0)
  return (chunk: Buffer) => {
    rest = Buffer.concat([rest, chunk])
    for (;;) {
      const offset = hasType() ? 1 : 0
      if (rest.length < offset + 4) return
      const length = offset + rest.readInt32BE(offset)
      if (rest.length < length) return
      const message = rest.subarray(0, length)
      rest = rest.subarray(length)
      give(message, offset === 1 ? message[0]! : startup)
    }
  }
}
