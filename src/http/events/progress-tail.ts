import type { JobProgress, JobSystem } from '../../engine/front-door.ts'
import { toJson } from '../reply.ts'
import { instantOf } from '../wire.ts'
import type { EventFilter } from './event-page.ts'

/** How far each look reaches back, in ms: a commit may become visible after one with a later instant. */
const overlapMs = 2_000

/** What jobs report as their progress, as it happens. */
export class ProgressTail {
  readonly #system: Pick<JobSystem, 'progressSince'>
  /** The latest instant that was seen; null before the first look. */
  #seenTo: number | null = null
  /** What the last look found: the instant of each job. */
  #told = new Map<number, number>()

  constructor(system: Pick<JobSystem, 'progressSince'>) {
    this.#system = system
  }

  /** What is new since the last look, the oldest first; nothing at the first. */
  async next(now: number): Promise<JobProgress[]> {
    const isFirst = this.#seenTo === null
    // The store's clock may be another one, and each may have been set back.
    const since = Math.min(this.#seenTo ?? 0, now)
    const found = await this.#system.progressSince(Math.max(since - overlapMs, 0))
    const fresh = found.filter(({ job, at }) => this.#told.get(job.id) !== at)
    this.#told = new Map(found.map(({ job, at }) => [job.id, at]))
    this.#seenTo = found[0]?.at ?? since
    return isFirst ? [] : fresh.reverse()
  }

  /** Nobody listens any more. */
  forget(): void {
    this.#seenTo = null
  }
}

/** The events that pass the filter. They have no id: a client that comes back is not told of what it missed, only of what comes. */
export function progressFrames(all: readonly JobProgress[], { state, type, queue, jobId }: EventFilter): string {
  // Progress is not a transition.
  if (state !== undefined) return ''
  return all
    .filter(
      ({ job }) =>
        (type === undefined || type === job.type) &&
        (queue === undefined || queue === job.queue) &&
        (jobId === undefined || jobId === job.id),
    )
    .map(({ job, progress, attempt, at }) => {
      const data = { job_id: job.id, progress, attempt, at: instantOf(at), type: job.type, queue: job.queue }
      return `event: progress\ndata: ${toJson(data)}\n\n`
    })
    .join('')
}
