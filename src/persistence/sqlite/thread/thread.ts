import { type MessagePort, parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads'
import type Database from 'better-sqlite3'
import { DatabaseUnusableError, LostJobsError } from '../../../errors.ts'
import { ManualClock, type MonotonicClock, systemClock } from '../../../runtime/clock.ts'
import { killBlockedProcess } from '../../watchdog.ts'
import { openForWriting } from '../file/connection.ts'
import { storageFailure } from '../file/storage-failure.ts'
import type { Reply, ThreadOptions } from './protocol.ts'
import { quiet, StoreThread } from './store-thread.ts'

/** How long opening may wait for a process that has the file locked, in ms. */
const openPatienceMs = 5_000
/** Ms between its attempts. */
const openWaitMs = 10

/** Opening may meet a process that migrates, recovers or checkpoints. This thread has nothing else to do meanwhile. */
function openPatiently(
  { path, newDatabaseId, acceptLoss, secureDelete, server }: ThreadOptions,
  clock: MonotonicClock,
  onEpoch: (why: string) => void,
): Database.Database {
  const giveUpAt = performance.now() + openPatienceMs
  for (;;) {
    try {
      return openForWriting(path, () => newDatabaseId, clock.now(), {
        acceptLoss,
        secureDelete,
        owner: server?.owner,
        onEpoch,
      })
    } catch (error) {
      if (storageFailure(error) !== 'busy' || performance.now() > giveUpAt) throw error
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, openWaitMs)
    }
  }
}

/** `bell`: as in `ThreadOptions`; null if this thread may not be blocked. */
function requestPortOf(port: MessagePort, bell: Int32Array | null): ConstructorParameters<typeof StoreThread>[0] {
  let heard = 0
  return {
    onMessage: (listener) => port.on('message', listener),
    takeNext() {
      // Before it looks: whatever comes later changes the bell, and `sleep` then returns at once.
      if (bell) heard = Atomics.load(bell, 0)
      return receiveMessageOnPort(port)?.message
    },
    sleep: bell && ((ms) => Atomics.wait(bell, 0, heard, ms) === 'timed-out'),
    reply: (reply) => port.postMessage(reply),
    close: () => port.close(),
  }
}

if (parentPort) runStore(parentPort, workerData as ThreadOptions, true)

/** Opens the file and serves the other end of the port until the store is closed. `ownsThread`: nothing else runs on this thread. */
export function runStore(port: MessagePort, options: ThreadOptions, ownsThread = false): void {
  const requestPort = requestPortOf(port, ownsThread ? options.bell : null)
  const clock = options.clock ? new ManualClock(0, options.clock) : systemClock
  const remarks: string[] = []
  try {
    const db = openPatiently(options, clock, (why) =>
      remarks.push(`a new epoch begins, with higher ids, because ${why}`),
    )
    new StoreThread(requestPort, db, clock, options, killBlockedProcess, remarks)
  } catch (error) {
    requestPort.reply({ ...quiet, openFailure: openFailure(error) })
    requestPort.close()
  }
}

function openFailure(error: unknown): NonNullable<Reply['openFailure']> {
  if (error instanceof LostJobsError) {
    const { fault, missing, acceptance } = error
    return { kind: 'jobs lost', fault, missing, acceptance }
  }
  const message = error instanceof Error ? error.message : String(error)
  return { kind: error instanceof DatabaseUnusableError ? 'unusable' : 'unavailable', message }
}
