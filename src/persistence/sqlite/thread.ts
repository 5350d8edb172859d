import { type MessagePort, parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads'
import type Database from 'better-sqlite3'
import { ManualClock, type SteadyClock, systemClock } from '../../clock.ts'
import { DatabaseUnusableError } from '../../errors.ts'
import { isBusy, openForWriting } from './connection.ts'
import type { ThreadOptions } from './protocol.ts'
import { busyWaitMs, type Mailbox, quiet, StoreThread } from './store-thread.ts'
import { killBlockedProcess } from './watchdog.ts'

/** How long opening may wait for a process that has the file locked. */
const openPatienceMs = 5_000

/** Opening may meet a process that migrates, recovers or checkpoints. This thread has nothing else to do meanwhile. */
function openPatiently({ path, newDatabaseId }: ThreadOptions, clock: SteadyClock): Database.Database {
  const giveUpAt = performance.now() + openPatienceMs
  for (;;) {
    try {
      return openForWriting(path, () => newDatabaseId, clock.now())
    } catch (error) {
      if (!isBusy(error) || performance.now() > giveUpAt) throw error
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, busyWaitMs.most)
    }
  }
}

function mailboxOf(port: MessagePort): Mailbox {
  return {
    heed: (heed) => port.on('message', heed),
    takeNext: () => receiveMessageOnPort(port)?.message,
    tell: (tell) => port.postMessage(tell),
    close: () => port.close(),
  }
}

if (parentPort) {
  const mailbox = mailboxOf(parentPort)
  const options = workerData as ThreadOptions
  const clock = options.clock ? new ManualClock(0, options.clock) : systemClock
  try {
    new StoreThread(mailbox, openPatiently(options, clock), clock, options, killBlockedProcess)
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error)
    mailbox.tell({ ...quiet, unopened: { message, unusable: error instanceof DatabaseUnusableError } })
    mailbox.close()
  }
}
