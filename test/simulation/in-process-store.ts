import { EventEmitter } from 'node:events'
import type Database from 'better-sqlite3'
import { openSqliteStore } from '../../src/persistence/sqlite/client.ts'
import { openForWriting } from '../../src/persistence/sqlite/file/connection.ts'
import type { Reply, Requests, ThreadOptions } from '../../src/persistence/sqlite/thread/protocol.ts'
import { quiet, StoreThread } from '../../src/persistence/sqlite/thread/store-thread.ts'
import type { storeThreads } from '../../src/persistence/sqlite/thread/store-threads.ts'
import type { Store } from '../../src/persistence/store.ts'
import type { MonotonicClock } from '../../src/runtime/clock.ts'
import type { Side, VirtualTime } from './virtual-time.ts'

export interface InProcess {
  readonly time: VirtualTime
  readonly clock: MonotonicClock
  /** How long a message travels, in ms; called for each. */
  readonly delayMs: () => number
  /** Called with the connection before the store uses it. */
  readonly prepareFile: (db: Database.Database) => void
  /** Called when the watchdog would end the process. */
  readonly endProcess: () => void
}

/**
 * A store whose thread is not a thread: both halves run in this one, and a message between them takes the time that the simulation gives
 * it.
 */
export interface InProcessStore {
  readonly store: Promise<Store>
  /** Ends both halves at once, as SIGKILL does: nothing more is written or answered. */
  kill(): void
}

/** Opens the real store, client, thread and file, with only the port between them replaced. */
export function openInProcess(options: Parameters<typeof openSqliteStore>[0], around: InProcess): InProcessStore {
  let alive = true
  let db: Database.Database | undefined
  let opened: Store | undefined
  const link = new EventEmitter()
  const isAlive = () => alive
  const toThread = pipe<Requests>(around, 'thread', isAlive)
  const toLoop = pipe<Reply>(around, 'loop', isAlive)
  toLoop.heed((tell) => void link.emit('message', tell))

  const start = (data: ThreadOptions): ReturnType<typeof storeThreads.start> => {
    const requestPort: ConstructorParameters<typeof StoreThread>[0] = {
      onMessage: toThread.heed,
      takeNext: toThread.takeNext,
      sleep: null,
      reply: toLoop.send,
      close() {
        toThread.heed(() => {})
        around.time.schedule(around.delayMs() + 10, 'loop', () => link.emit('exit'))
      },
    }
    around.time.schedule(1, 'thread', () => {
      try {
        db = openForWriting(data.path, () => data.newDatabaseId, around.clock.now(), { owner: data.server?.owner })
        around.prepareFile(db)
        new StoreThread(requestPort, db, around.clock, data, around.endProcess)
      } catch (error) {
        requestPort.reply({ ...quiet, openFailure: { kind: 'unavailable', message: String(error) } })
      }
    })
    return Object.assign(link, { postMessage: toThread.send }) as never
  }

  const store = openSqliteStore(options, start).then((store) => {
    opened = store
    return store
  })
  return {
    store,
    kill() {
      alive = false
      db?.close()
      // Its connection for reading; the rest of it waits for a thread that has ended.
      opened?.close().catch(() => {})
    },
  }
}

/** Messages in one direction: copied, whole, in order, each with a delay. */
function pipe<Message>({ time, delayMs }: InProcess, to: Side, isAlive: () => boolean) {
  const sent: Message[] = []
  let heed: (message: Message) => void = () => {}
  return {
    send(message: Message): void {
      if (!isAlive()) return
      sent.push(structuredClone(message))
      time.schedule(delayMs(), to, () => {
        const next = sent.shift()
        if (next && isAlive()) heed(next)
      })
    },
    takeNext: () => sent.shift(),
    heed(hear: (message: Message) => void): void {
      heed = hear
    },
  }
}
