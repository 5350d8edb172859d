import type { HistoryEvent, Job, NewJob } from '../engine/job-system.ts'
import type { Handler } from '../handlers/define.ts'
import type { Step } from './interruptions.ts'
import { createTestSystem } from './test-system.ts'

export interface PathsOptions {
  /** The job's, as it is handed in. */
  readonly payload: unknown
  /** Called before each path: the world outside as no job has touched it. */
  readonly reset?: () => unknown
  /** How many paths are tried; 50 unless given. */
  readonly runs?: number
  /** To try the same paths again, as a failure prints it. */
  readonly seed?: number
}

/** What became of a job on one path. */
export interface Path {
  readonly steps: readonly Step[]
  readonly job: Job
  readonly history: readonly HistoryEvent[]
}

const steps: readonly Step[] = [
  'succeed',
  'fail before effect',
  'fail after effect',
  'time out after effect',
  'crash before effect',
  'crash after effect, before commit',
  'cancel after effect',
  'enqueue again',
]
/** Of one path: more end a job before they are taken. */
const stepsMax = 6

/**
 * Runs one job of the handler on many paths, chosen by fast-check: attempts that fail, time out, are cancelled or end with their process, before
 * and after the effect, and the same request twice. `invariant` is called when the job has ended, and throws if what it sees must not be; then
 * this rejects with the shortest path on which it does. Needs fast-check, 3.15 or later, installed beside jobmachine.
 */
export async function everyPath<Output>(
  handler: Handler<Output>,
  invariant: (path: Path) => unknown,
  { payload, reset = () => {}, runs = 50, seed }: PathsOptions,
): Promise<void> {
  const { assert, array, asyncProperty, constantFrom } = await fastCheck()
  const system = await createTestSystem({ handlers: [handler] })
  let paths = 0
  try {
    const holds = asyncProperty(array(constantFrom(...steps), { maxLength: stepsMax }), async (path) => {
      await reset()
      const asked: NewJob = { type: handler.type, payload, idempotencyKey: `path ${++paths}` }
      const job = await system.follow(asked, path)
      await invariant({ steps: path, job, history: await system.system.history(job.id) })
    })
    await assert(holds, { numRuns: runs, ...(seed === undefined ? {} : { seed }) })
  } finally {
    await system.stop()
  }
}

async function fastCheck() {
  try {
    return await import('fast-check')
  } catch (error) {
    throw new Error('everyPath needs fast-check: npm install --save-dev fast-check', { cause: error })
  }
}
