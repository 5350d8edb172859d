import type { JobState, Transition } from '../../engine/front-door.ts'
import { eventView } from '../history-event.ts'
import { toJson } from '../reply.ts'

/** The transitions that a reader wants; all by default. `state` is the state that they lead to. */
export interface EventFilter {
  readonly state?: JobState
  readonly type?: string
  readonly queue?: string
  readonly jobId?: number
}

/** Transitions to be sent, each serialised once for all readers. */
export class EventPage {
  readonly #transitions: readonly Transition[]
  readonly #frames: string[] = []
  /** Readers at the same position with the same filter share one. */
  readonly #buffers = new Map<string, Buffer>()

  constructor(transitions: readonly Transition[]) {
    this.#transitions = transitions
  }

  /** The frames after the event `after` that pass the filter. */
  framesFor(filter: EventFilter, after: number): Buffer {
    const key = JSON.stringify([after, filter])
    const buffer = this.#buffers.get(key) ?? Buffer.from(this.#textFor(filter, after))
    this.#buffers.set(key, buffer)
    return buffer
  }

  #textFor(filter: EventFilter, after: number): string {
    let text = ''
    for (const [index, transition] of this.#transitions.entries()) {
      if (transition.id <= after || !isWanted(transition, filter)) continue
      this.#frames[index] ??= frameOf(transition)
      text += this.#frames[index]
    }
    return text
  }
}

function isWanted({ to, type, queue, jobId }: Transition, filter: EventFilter): boolean {
  return (
    (filter.state === undefined || filter.state === to) &&
    (filter.type === undefined || filter.type === type) &&
    (filter.queue === undefined || filter.queue === queue) &&
    (filter.jobId === undefined || filter.jobId === jobId)
  )
}

function frameOf(transition: Transition): string {
  const { id, jobId, type, queue } = transition
  const data = toJson({ job_id: jobId, ...eventView(transition), type, queue })
  return `id: ${id}\nevent: transition\ndata: ${data}\n\n`
}
