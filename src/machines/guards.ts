import type { JobEvent, JobFacts } from './job.ts'

/** The conditions of the job machine's edges, by name. */
export const guards = {
  attemptsRemain: ({ context }: { context: JobFacts }) => context.attempt < context.maxAttempts,
  runAtLiesAhead: ({ event }: { event: JobEvent }) => event.type === 'enqueue' && event.delayed,
}
