import { type Job, jobStates, type ScheduleInfo, type Schedules } from '../engine/front-door.ts'

/** What an app's `redact` may look at in the job of a schedule: it is not stored, so it has no id and no history. */
function asJob({ job, createdAt }: ScheduleInfo): Job {
  const unset = { queue: 'default', priority: 0, maxRetries: 3, timeoutMs: null }
  const none = { startedAt: null, finishedAt: null, error: null, traceId: null, idempotencyKey: null }
  return {
    ...unset,
    ...none,
    id: 0,
    state: jobStates[0]!,
    attempt: 0,
    crashes: 0,
    runAt: createdAt,
    createdAt,
    ...job,
  } as Job
}

/** The same schedules, with `payloadOf` the job in place of each payload. */
export function redactedSchedules(schedules: Schedules, payloadOf: (job: Job) => unknown): Schedules {
  const withLess = (schedule: ScheduleInfo): ScheduleInfo => {
    return { ...schedule, job: { ...schedule.job, payload: payloadOf(asJob(schedule)) } }
  }
  return {
    async list(page) {
      const { schedules: all, nextCursor } = await schedules.list(page)
      return { schedules: all.map(withLess), nextCursor }
    },
    async find(name) {
      const schedule = await schedules.find(name)
      return schedule && withLess(schedule)
    },
    put: async (schedule, options) => withLess(await schedules.put(schedule, options)),
    submit: async (body, options) => withLess(await schedules.submit(body, options)),
    end: async (name, options) => withLess(await schedules.end(name, options)),
    pause: async (name, options) => withLess(await schedules.pause(name, options)),
    resume: async (name, options) => withLess(await schedules.resume(name, options)),
    trigger: (name, options) => schedules.trigger(name, options),
    preview: (name, options) => schedules.preview(name, options),
    previewNew: (body, options) => schedules.previewNew(body, options),
    history: (name, page) => schedules.history(name, page),
  }
}
