import { setTimeout as sleep } from 'node:timers/promises'
import { comparing } from '../compare.ts'
import { Engine } from '../engine.ts'
import { BareSqlite } from '../limit.ts'
import { bulkBatch, lanes, limitBatch, payloadText, perSecond, repeat, workers } from '../load.ts'

const jobs = 100_000
/** Nothing is removed before the clock has been steady for so long. */
const retentionMs = 1_000
/** The newest jobs may stay. */
const mostOfThem = jobs - 1_000
/** Jobs in one transaction of the limit. */
const removedAtOnce = 1_000
const lookMs = 5

/** Does the file stop growing? */
export const retention = comparing({
  about:
    'removes jobs that ended long ago: while nobody else uses the store, and (retention_steady) beside 100 callers and 100 workers as in `steady`, where it is the number of removed jobs for each one that ends meanwhile: from 1 on the file does not grow',
  units: { retention: 'jobs/s', retention_steady: 'ratio' },
  detail: { jobs, workers, callers: lanes, removedAtOnce },

  async engine(folder) {
    const idle = await remove(folder, 'idle.db', 0)
    const busy = await remove(folder, 'busy.db', lanes)
    return {
      values: { retention: idle.removed, retention_steady: busy.removed / busy.ended },
      notes: { removedSteady: busy.removed, endedSteady: busy.ended },
    }
  },

  limit: (folder) => ({ values: { retention: removeBare(folder), retention_steady: 1 } }),
})

/** Both in jobs/s, while this many callers let other jobs come and go. */
async function remove(folder: string, file: string, callers: number): Promise<{ removed: number; ended: number }> {
  const before = await Engine.open(folder, { workers, file })
  await before.fill(jobs)
  await before.system.start()
  await before.succeeded(jobs, performance.now())
  await before.close()
  await sleep(retentionMs)

  const engine = await Engine.open(folder, { workers, file, retentionMs })
  await engine.system.start()
  let isOver = false
  const load = Promise.all(
    Array.from({ length: callers }, async () => {
      while (!isOver) await engine.enqueueOne()
    }),
  )
  const from = await removedAtLeast(engine, 1)
  const to = await removedAtLeast(engine, mostOfThem)
  isOver = true
  await load
  await engine.close()
  const ms = to.at - from.at
  return {
    removed: perSecond({ count: to.removed - from.removed, ms }),
    ended: perSecond({ count: to.ended - from.ended, ms }),
  }
}

/** Resolves when this many jobs have been removed; returns how many that were and how many have ended. */
async function removedAtLeast(
  { system }: Engine,
  count: number,
): Promise<{ at: number; removed: number; ended: number }> {
  for (;;) {
    const edges = await system.edgeCounts()
    const sum = (isCounted: (edge: (typeof edges)[number]) => boolean) =>
      edges.filter(isCounted).reduce((total, edge) => total + edge.count, 0)
    const removed = sum(({ to }) => to === null)
    if (removed >= count) return { at: performance.now(), removed, ended: sum(({ to }) => to === 'succeeded') }
    await sleep(lookMs)
  }
}

/** The same in bare SQLite, alone. */
function removeBare(folder: string): number {
  const bare = new BareSqlite(folder)
  const batch = Array.from({ length: bulkBatch }, () => payloadText)
  repeat(jobs, () => bare.enqueue(batch))
  repeat(jobs, () => bare.drain(limitBatch))
  let first = 1
  const work = repeat(jobs, () => {
    const count = bare.remove(first, removedAtOnce)
    first += count
    return count
  })
  bare.close()
  return perSecond(work)
}
