import type { JobEvent, JobFacts } from './job-event.ts'

/** From this many crashes on a job is a suspect: it may have killed the process, so it runs first and alone. */
export const suspectCrashes = 2
/** How long a suspect runs alone, in ms. Then others may start beside it, unless its next crash is its last. */
export const exclusiveMs = 2_000
/** A job's last crash. After the one before it the job runs alone to its end, so that nothing else can have caused this one. */
export const crashesMax = 4

/** Whether a suspect runs alone to its end. */
export function isExclusiveToEnd({ crashes }: Pick<JobFacts, 'crashes'>): boolean {
  return crashes + 1 >= crashesMax
}

/** The conditions of the job machine's edges, by name. */
export const guards = {
  attemptsRemain: ({ context }: { context: JobFacts }) => context.attempt < context.maxAttempts,
  isBlocked: ({ event }: { event: JobEvent }) => event.type === 'enqueue' && event.blocked,
  runAtLiesAhead: ({ event }: { event: JobEvent }) =>
    (event.type === 'enqueue' || event.type === 'unblock' || event.type === 'amend') && event.delayed,
  mayCrashAgain: ({ context, event }: { context: JobFacts; event: JobEvent }) =>
    event.type === 'expire' && event.crashed && !isExclusiveToEnd(context),
  crashed: ({ event }: { event: JobEvent }) => event.type === 'expire' && event.crashed,
}
