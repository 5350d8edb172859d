import { Child } from './child.ts'
import { prepared } from './prepared.ts'
import type { Bench } from './question.ts'

export const million = 1_000_000

/** Whether jobs could run now, or in a year. */
export type Waiting = 'queued' | 'scheduled'

/** Files with 10^6 waiting jobs each, for the questions that need them. */
export interface Million {
  /** The folder of the engine's file. */
  readonly engine: string
  /** The folder of the bare limit's file. */
  readonly bare: string
  /** The memory of the process that filled the engine's file by calls of 1,000, in MB, when it had done so. */
  readonly filledMb: number
}

/** Created once for all; a question that removes jobs adds as many. */
export const openMillion: Readonly<Record<Waiting, (bench: Bench) => Promise<Million>>> = {
  queued: prepared((bench) => makeMillion(bench, 'queued')),
  scheduled: prepared((bench) => makeMillion(bench, 'scheduled')),
}

async function makeMillion({ scratch, progress }: Bench, waiting: Waiting): Promise<Million> {
  progress.say(`filling two files with a million ${waiting} jobs each`)
  const engine = scratch.folder()
  const bare = scratch.folder()
  const filled = await Promise.all([memoryOf('fill', engine, waiting), memoryOf('bare-fill', bare, waiting)])
  return { engine, bare, filledMb: filled[0] }
}

/** The tasks of `memory-process.ts`. */
export type MemoryTask = 'fill' | 'serve' | 'bare-fill' | 'bare-serve'

/** The memory of a separate process, in MB, when it has done `task` on the file in `folder`. */
export async function memoryOf(task: MemoryTask, folder: string, waiting: Waiting = 'queued'): Promise<number> {
  const child = new Child('memory-process.js', task, folder, waiting)
  const mb = await child.next<number>()
  await child.ended
  return mb
}
