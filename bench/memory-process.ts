import { setTimeout as sleep } from 'node:timers/promises'
import type { JobContext } from '../src/index.ts'
import { Engine } from './engine.ts'
import { BareSqlite } from './limit.ts'
import { bulkBatch, limitBatch, payloadText, workers } from './load.ts'
import { type MemoryTask, million } from './million.ts'

/** Until allocations have calmed down. */
const settleMs = 1_000

/** Each leaves its file with a million queued jobs, and looks at the process just before it closes that. */
const tasks: Record<MemoryTask, (folder: string) => Promise<number>> = {
  async fill(folder) {
    const engine = await Engine.open(folder, { workers })
    await engine.fill(million)
    return residentMb(() => engine.close())
  },

  async serve(folder) {
    const engine = await Engine.open(folder, { workers, onRun: untilAborted })
    await engine.system.start()
    await engine.begun(workers)
    return residentMb(() => engine.close())
  },

  async 'bare-fill'(folder) {
    const bare = new BareSqlite(folder)
    const batch = Array.from({ length: bulkBatch }, () => payloadText)
    for (let count = 0; count < million; count += bulkBatch) bare.enqueue(batch)
    return residentMb(() => bare.close())
  },

  async 'bare-serve'(folder) {
    const bare = new BareSqlite(folder)
    bare.drain(limitBatch)
    return residentMb(() => bare.close())
  },
}

/** Keeps its worker busy and gives the job back when the system stops. */
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

const [task, folder] = process.argv.slice(2) as [MemoryTask, string]
console.log(await tasks[task](folder))
