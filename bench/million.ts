import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { Bench } from './question.ts'

export const million = 1_000_000

/** Files with 10^6 queued jobs each, for the questions that need them. */
export interface Million {
  /** The folder of the engine's. */
  readonly engine: string
  /** The folder of the bare limit's. */
  readonly bare: string
  /** Of the process that filled the engine's by calls of 1,000, in MB, when it had done so. */
  readonly filledMb: number
}

const made = new WeakMap<Bench['scratch'], Promise<Million>>()

/** Made once for all; whoever takes jobs away puts as many in. */
export function openMillion(bench: Bench): Promise<Million> {
  const making = made.get(bench.scratch) ?? makeMillion(bench)
  made.set(bench.scratch, making)
  return making
}

async function makeMillion({ scratch, progress }: Bench): Promise<Million> {
  progress.say('filling two files with a million queued jobs each')
  const engine = scratch.folder()
  const bare = scratch.folder()
  await memoryOf('bare-fill', bare)
  return { engine, bare, filledMb: await memoryOf('fill', engine) }
}

/** What `memory-process.ts` can do. */
export type MemoryTask = 'fill' | 'serve' | 'bare-fill' | 'bare-serve'

/** What a process of its own takes, in MB, when it has done `task` on the file in `folder`. */
export async function memoryOf(task: MemoryTask, folder: string): Promise<number> {
  const script = join(import.meta.dirname, 'memory-process.js')
  const { stdout } = await promisify(execFile)(process.execPath, [script, task, folder])
  return Number(stdout)
}
