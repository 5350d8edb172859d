import assert from 'node:assert/strict'
import { Child, sharedNow } from '../child.ts'
import { comparing } from '../compare.ts'
import { openCrashed, orphanCount } from '../crashed.ts'
import { workers } from '../load.ts'
import { million } from '../million.ts'
import { copyToDisk } from '../scratch.ts'

/** The report of `restart-process.ts`. Instants are from `sharedNow`. */
export interface Restarted {
  readonly openedAt: number
  readonly recoveredAt: number
  readonly ranAt: number
  /** Leases of the dead process that were expired. */
  readonly recovered: number
}

/** How soon does work continue after a crash? */
export const restart = comparing({
  about:
    'a process was killed while it ran 10,000 jobs, and a million more are queued; from the spawn of the next process to the first line of its first handler (goal: 1 s), and until every job of the dead one is recovered (goal: 3 s); openedMs: until createJobSystem has opened the file. The file is in the memory of the system, the copy that each run gets is on disk',
  units: { restart_ms: 'ms', recovery_ms: 'ms' },
  detail: { queued: million, orphaned: orphanCount, workers },

  async engine(folder, bench) {
    copyToDisk(await openCrashed(bench), folder)
    const spawnedAt = sharedNow()
    const child = new Child('restart-process.js', folder)
    const { openedAt, recoveredAt, ranAt, recovered } = await child.next<Restarted>()
    await child.ended
    assert.equal(recovered, orphanCount)
    return {
      values: { restart_ms: ranAt - spawnedAt, recovery_ms: recoveredAt - spawnedAt },
      notes: { openedMs: openedAt - spawnedAt },
    }
  },
})
