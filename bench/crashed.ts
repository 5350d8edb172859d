import { cpSync } from 'node:fs'
import { Child } from './child.ts'
import { Engine } from './engine.ts'
import { openMillion } from './million.ts'
import { prepared } from './prepared.ts'
import type { Bench } from './question.ts'

/** Jobs that the process held when it was killed. */
export const orphanCount = 10_000

/** A folder with the file that such a process left, with a million more jobs queued; to be copied, not opened. */
export const openCrashed = prepared(async (bench: Bench): Promise<string> => {
  const { engine: million } = await openMillion.queued(bench)
  bench.progress.say(`killing a process that holds ${orphanCount} jobs`)
  const folder = bench.scratch.folder()
  cpSync(million, folder, { recursive: true })
  const engine = await Engine.open(folder, { workers: 1 })
  await engine.fill(orphanCount)
  await engine.close()
  const holder = new Child('crash-process.js', folder)
  await holder.next()
  await holder.kill()
  return folder
})
