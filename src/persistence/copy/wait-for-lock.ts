import { statSync } from 'node:fs'
import { setTimeout } from 'node:timers/promises'
import { DatabaseLockedError } from '../../errors.ts'
import { lockHoldersOf } from '../sqlite/file/held-locks.ts'
import { lockForServer, type ServerLock } from '../sqlite/file/lock.ts'
import type { CopyStep } from './copy-step.ts'

/** Between two tries to take the lock, in ms: a supervisor must not be faster when it starts the server again. */
const retryMs = 20

/**
 * Waits until the server of a file has stopped, and takes its place; calls `follow` meanwhile. With `stopServer` it sends the server
 * SIGTERM, if it is certain which process that is. `since`: when that was, or else when the lock was taken, as `performance.now()`.
 */
export async function waitForLock(
  path: string,
  stopServer: boolean,
  onStep: (step: CopyStep) => void,
  follow: () => Promise<void>,
): Promise<{ readonly lock: ServerLock; readonly since: number }> {
  let since: number | null = null
  for (let isTold = false; ; ) {
    const lock = tryLock(path)
    if (!(lock instanceof DatabaseLockedError)) return { lock, since: since ?? performance.now() }
    if (!isTold) {
      const stopped = stopServer && stop(path, lock.pid)
      if (stopped) since = performance.now()
      onStep({ step: 'waiting', server: lock.message, stopped })
    }
    isTold = true
    await follow()
    await setTimeout(retryMs)
  }
}

function tryLock(path: string): ServerLock | DatabaseLockedError {
  try {
    return lockForServer(path)
  } catch (error) {
    if (error instanceof DatabaseLockedError) return error
    throw error
  }
}

/** The number of a process may be one of another container or machine; the operating system knows who has the lock here. */
function stop(path: string, pid: number | null): boolean {
  const holders = lockHoldersOf(statSync(`${path}-lock`, { bigint: true }))
  if (pid === null || holders.length !== 1 || holders[0] !== pid) return false
  try {
    return process.kill(pid, 'SIGTERM')
  } catch {
    return false
  }
}
