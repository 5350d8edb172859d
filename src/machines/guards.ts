import type { JobEvent, JobFacts } from './job-event.ts'

/** Crashes from which on a job is a suspect: the process may have died of it, so it runs first and alone. */
export const suspectCrashes = 2
/** How long that is, in ms: then others may start beside it, unless its next crash is its last. */
export const exclusiveMs = 2_000
/** The crash that is a job's last. After the one before it runs alone to its end, so that nothing else can have caused this one. */
export const crashesMax = 4

/** Whether a suspect runs alone to its end. */
export function isExclusiveToEnd({ crashes }: Pick<JobFacts, 'crashes'>): boolean {
  return crashes + 1 >= crashesMax
}

/** The conditions of the job machine's edges, by name. */
export const guards = {
  attemptsRemain: ({ context }: { context: JobFacts }) => context.attempt < context.maxAttempts,
  runAtLiesAhead: ({ event }: { event: JobEvent }) => event.type === 'enqueue' && event.delayed,
  mayCrashAgain: ({ context, event }: { context: JobFacts; event: JobEvent }) =>
    event.type === 'expire' && event.crashed && !isExclusiveToEnd(context),
  crashed: ({ event }: { event: JobEvent }) => event.type === 'expire' && event.crashed,
}
