import { setTimeout as sleep } from 'node:timers/promises'
import type { JobContext } from '../src/index.ts'
import { Engine } from './engine.ts'
import { BareSqlite } from './limit.ts'
import { bulkBatch, limitBatch, noop, payloadText, workers } from './load.ts'
import { type MemoryTask, million, type Waiting } from './million.ts'

/** Wait until allocations have calmed down. */
const settleMs = 1_000
const inAYear = Date.now() + 31_536_000_000

/** Each leaves its file with a million waiting jobs, and measures the process just before it closes the file. */
const tasks: Record<MemoryTask, (folder: string, waiting: Waiting) => Promise<number>> = {
  async fill(folder, waiting) {
    const engine = await Engine.open(folder, { workers })
    await engine.fill(million, waiting === 'queued' ? noop : { ...noop, runAt: inAYear })
    return residentMb(() => engine.close())
  },

  async serve(folder) {
    const engine = await Engine.open(folder, { workers, onRun: untilAborted })
    await engine.system.start()
    await engine.begun(workers)
    return residentMb(() => engine.close())
  },

  async 'bare-fill'(folder, waiting) {
    const bare = new BareSqlite(folder)
    const batch = Array.from({ length: bulkBatch }, () => payloadText)
    const enqueue = waiting === 'queued' ? () => bare.enqueue(batch) : () => bare.schedule(batch, inAYear)
    for (let count = 0; count < million; count += bulkBatch) enqueue()
    return residentMb(() => bare.close())
  },

  async 'bare-serve'(folder) {
    const bare = new BareSqlite(folder)
    bare.drain(limitBatch)
    return residentMb(() => bare.close())
  },
}

/** Occupies its worker and gives the job back when the system stops. */
async function untilAborted(_message: string, { signal }: JobContext): Promise<void> {
  await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }))
  throw signal.reason
}

async function residentMb(close: () => unknown): Promise<number> {
  await sleep(settleMs)
  const bytes = process.memoryUsage.rss()
  await close()
  return bytes / 1_000_000
}

const [task, folder, waiting] = process.argv.slice(2) as [MemoryTask, string, Waiting]
process.send!(await tasks[task](folder, waiting))
