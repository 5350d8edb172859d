import type { EventCause } from '../machines/cause.ts'

/** `by`: who asks, which the history keeps: actor of 1 to 255 characters, reason of 1 to 1,000; the library by default. */
export interface CallerOptions {
  readonly by?: EventCause
}
