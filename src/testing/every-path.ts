import type { HistoryEvent, Job, NewJob } from '../engine/job-system.ts'
import type { Handler } from '../handlers/define.ts'
import type { Step } from './interruptions.ts'
import { createTestSystem } from './test-system.ts'

export interface PathsOptions {
  /** The job's payload, as passed to `enqueue`. */
  readonly payload: unknown
  /** Called before each path, to reset the outside world to its state before any job. */
  readonly reset?: () => unknown
  /** How many paths to try; 50 by default. */
  readonly runs?: number
  /** Repeats the paths of a failure, which prints its seed. */
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
/** Steps on one path; more of them end every job. */
const stepsMax = 6

/**
 * Runs one job of the handler on many paths, chosen by fast-check: attempts that fail, time out, are cancelled or end with their process,
 * before and after the effect, and the same request twice. `invariant` is called when the job has ended, and throws if it sees a violation;
 * then this rejects with the shortest path that leads to it. Needs fast-check 3.15 or later, installed beside jobmachine.
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
