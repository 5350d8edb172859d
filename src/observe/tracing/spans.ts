import type * as OpenTelemetry from '@opentelemetry/api'
import type { TraceContext } from '../../job/trace-context.ts'
import type { LeaseEvent } from '../../machines/lease.ts'
import type { EnqueuedJob } from '../../persistence/store.ts'
import { fromSpanContext } from './span-context.ts'

type Api = typeof OpenTelemetry

/** Runs a step that may throw; returns null if it does. */
type Try = <T>(step: () => T) => T | null

/** The span of one call that enqueues. */
export class EnqueueSpan {
  readonly #api: Api
  readonly #span: OpenTelemetry.Span
  readonly #isBatch: boolean
  readonly #try: Try
  /** The context that the jobs keep; null if they keep none. */
  readonly context: TraceContext | null

  constructor(api: Api, span: OpenTelemetry.Span, context: TraceContext | null, isBatch: boolean, quietly: Try) {
    this.#api = api
    this.#span = span
    this.#isBatch = isBatch
    this.#try = quietly
    this.context = context
  }

  /** The jobs are on disk. */
  stored(jobs: readonly EnqueuedJob[]): void {
    this.#try(() => {
      if (!this.#isBatch) this.#span.setAttribute('messaging.message.id', `${jobs[0]!.id}`)
      this.#span.end()
    })
  }

  /** Nothing was stored. */
  failed(error: unknown): void {
    this.#try(() => {
      const { name, message } = error as Error
      fail(this.#api, this.#span, { name, message })
      this.#span.end()
    })
  }
}

/** The span of one attempt. */
export class AttemptSpan {
  readonly #api: Api
  readonly #span: OpenTelemetry.Span
  readonly #try: Try

  constructor(api: Api, span: OpenTelemetry.Span, quietly: Try) {
    this.#api = api
    this.#span = span
    this.#try = quietly
  }

  /** Calls `run` once with the span active, so that its spans are children of this one. */
  run<T>(run: () => T): T {
    const { context, ROOT_CONTEXT, trace } = this.#api
    let result: { readonly value: T } | undefined
    this.#try(() =>
      context.with(trace.setSpan(ROOT_CONTEXT, this.#span), () => {
        result = { value: run() }
      }),
    )
    return result ? result.value : run()
  }

  /** For the log, under the names that OpenTelemetry uses there. */
  get logFields(): object {
    const context = this.#try(() => this.#span.spanContext())
    return context ? { trace_id: context.traceId, span_id: context.spanId } : {}
  }

  /** Ends it. `event`: the committed outcome of the attempt, null if its lease was lost for `reason`. Returns the event to commit. */
  end<Event extends LeaseEvent | null>(event: Event, reason: Error | undefined): Event {
    const context = this.#try(() => {
      const lost = reason?.name === 'JobCancelledError' ? 'cancel' : 'expire'
      this.#span.setAttribute('jobmachine.attempt.outcome', event?.event ?? lost)
      if (event?.error && event.event !== 'snooze') fail(this.#api, this.#span, event.error)
      else if (!event && reason && lost === 'expire') fail(this.#api, this.#span, reason)
      this.#span.end()
      return fromSpanContext(this.#span.spanContext())
    })
    // A succeeded job has no other attempt.
    return event && context && event.event !== 'succeed' ? { ...event, traceparent: context.traceparent } : event
  }
}

function fail(
  api: Api,
  span: OpenTelemetry.Span,
  { name, message, stack }: { name: string; message: string; stack?: string },
): void {
  span.setAttribute('error.type', name)
  span.recordException({ name, message, ...(stack === undefined ? {} : { stack }) })
  span.setStatus({ code: api.SpanStatusCode.ERROR, message })
}
