import { JobSystemError } from '../errors.ts'
import { isUnreadable } from '../job/row.ts'
import { traceIdOf } from '../job/trace-context.ts'
import type { LeaseEvent, Recovered, StoreEvent } from '../persistence/store.ts'
import type { SystemLog } from './job-system.ts'

/** What the engine writes to the log about the store and about jobs. */
export class EngineLog {
  readonly #log: SystemLog
  /** Jobs that were met and could not be read. */
  unreadable = 0

  constructor(log: SystemLog) {
    this.#log = log
  }

  storeEvent(event: StoreEvent): void {
    const log = this.#log
    switch (event.type) {
      case 'health':
        if (event.error) log.error({ reason: event.error }, 'commits fail')
        else log.info({}, 'commits succeed again')
        return
      case 'declaredDead':
        log.warn(
          { lost_jobs: event.leases },
          'this process was silent for longer than a lease: others declared it dead and run its jobs; it goes on as a new node',
        )
        return
      case 'nodeGone':
        log.warn(
          { node: event.node, jobs: event.leases },
          event.wasSilent
            ? 'another node was silent for longer than its lease: it is declared dead, and its jobs run again'
            : 'the jobs that another node left when it ended run again',
        )
        return
      case 'warning':
        if (event.message !== null) log.warn({ about: event.about }, event.message)
        else log.info({ about: event.about }, 'what was warned of is over')
        return
      case 'stalled':
        log.warn({ blocked_ms: event.ms }, 'the event loop was blocked; its leases were renewed meanwhile')
        return
      case 'clockJumped':
        log.warn(
          { by_ms: event.ms },
          'the clock jumped: it was set, or the machine slept; ended jobs are not removed until it has been steady for an hour',
        )
        return
      case 'file':
        log.warn({}, event.message)
        return
      case 'unhandled':
        log.warn({ types: event.types, count: event.count }, 'jobs without a handler here were set aside')
        return
      case 'unreadable':
        this.unreadable += event.ids.length
        log.error(
          { job_ids: event.ids },
          'jobs that cannot be read were set aside; `jobmachine verify` says what is wrong',
        )
    }
  }

  recovered({ wasStopping, ...recovered }: Recovered): void {
    const log = this.#log
    if (recovered.leased + recovered.running > 0) {
      const whose = wasStopping
        ? 'recovered the jobs of a process that ended while it was stopping; they count no crash'
        : 'recovered the jobs of a dead process'
      log.warn(recovered, whose)
    }
    if (recovered.suspects > 0) {
      log.warn(
        { suspects: recovered.suspects },
        'the process has ended more than once while these ran; they run first and alone',
      )
    }
  }

  failed(events: readonly LeaseEvent[]): void {
    for (const { id, event, error, traceparent } of events) {
      // The error of a snooze says what is wrong with the delay, which the handler's log has already said.
      if (!error || event === 'snooze') continue
      const trace = traceparent === undefined ? {} : { trace_id: traceIdOf({ traceparent }) }
      // Without the message, which may quote the payload; the job's history has it.
      this.#log.warn({ job_id: id, event, error: error.name, ...trace }, 'attempt failed')
      if (isUnreadable(error)) this.unreadable++
    }
  }

  refused(events: readonly LeaseEvent[]): void {
    for (const { id, event } of events)
      this.#log.warn({ job_id: id, event }, 'a result was not recorded because its lease was lost')
  }
}

/** What failed and is tried again: our own errors are expected, and any other is a fault. */
export function logFailure(log: SystemLog, error: unknown, message: string): void {
  if (error instanceof JobSystemError) log.warn({ reason: error.message }, message)
  else log.error({ err: error }, message)
}
