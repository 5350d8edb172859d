import type * as OpenTelemetry from '@opentelemetry/api'
import type { NewJobRow } from '../../job/row.ts'
import { parseTraceContext, type TraceContext } from '../../job/trace-context.ts'
import type { LeasedJob } from '../../machines/lease.ts'
import { RegisteredTracer } from './registered-tracer.ts'
import { fromSpanContext, toSpanContext } from './span-context.ts'
import { AttemptSpan, EnqueueSpan } from './spans.ts'

/**
 * Creates OpenTelemetry's spans, if the process has registered a tracer provider, even if it does so later. Errors of a tracer, a sampler
 * or an exporter do not leave this class: the log reports them once.
 */
export class Tracing {
  readonly #warn: (fields: object, message: string) => void
  readonly #registered: RegisteredTracer
  #hasFailed = false

  constructor(warn: (fields: object, message: string) => void) {
    this.#warn = warn
    this.#registered = new RegisteredTracer(warn)
  }

  /**
   * Begins the span of an enqueue, within the span that is active, else within the one that the caller named. Null if nobody traces.
   * `isBatch`: the caller gave an array.
   */
  enqueue(jobs: readonly NewJobRow[], isBatch: boolean, caller: TraceContext | null): EnqueueSpan | null {
    const { current } = this.#registered
    if (!current) return null
    return this.#try(() => {
      const { api, tracer } = current
      const active = api.context.active()
      const isActive = api.isSpanContextValid(api.trace.getSpanContext(active) ?? api.INVALID_SPAN_CONTEXT)
      const parent = isActive || !caller ? active : api.trace.setSpanContext(active, toSpanContext(api, caller))
      const attributes = messaging('enqueue', 'send')
      const queue = common(jobs.map((job) => job.queue))
      const type = common(jobs.map((job) => job.type))
      if (queue !== undefined) attributes['messaging.destination.name'] = queue
      if (type !== undefined) attributes['jobmachine.job.type'] = type
      if (isBatch) attributes['messaging.batch.message_count'] = jobs.length
      const name = queue === undefined ? 'enqueue' : `enqueue ${queue}`
      const span = tracer.startSpan(name, { kind: api.SpanKind.PRODUCER, attributes }, parent)
      const context = fromSpanContext(span.spanContext()) ?? fromSpanContext(api.trace.getSpanContext(parent))
      return new EnqueueSpan(api, span, context, isBatch, this.#try)
    })
  }

  /** Begins the span of an attempt. Null if nobody traces. */
  attempt(job: LeasedJob): AttemptSpan | null {
    const { current } = this.#registered
    if (!current) return null
    return this.#try(() => {
      const { api, tracer } = current
      const { id, type, queue, attempt, maxAttempts, trace } = job
      const attributes = messaging('process', 'process')
      attributes['messaging.destination.name'] = queue
      attributes['messaging.message.id'] = `${id}`
      attributes['jobmachine.job.type'] = type
      attributes['jobmachine.job.attempt'] = attempt + 1
      attributes['jobmachine.job.max_attempts'] = maxAttempts
      const links: OpenTelemetry.Link[] = []
      const link = (kind: string, context: TraceContext | null) => {
        if (context) links.push({ context: toSpanContext(api, context), attributes: { 'jobmachine.link': kind } })
      }
      link('enqueue', parseTraceContext(trace?.traceparent, trace?.tracestate))
      link('previous attempt', parseTraceContext(trace?.lastAttempt))
      // A separate trace: an attempt may come a month after the request that enqueued it. Links connect both.
      const options = { kind: api.SpanKind.CONSUMER, attributes, links }
      const span = tracer.startSpan(`process ${queue}`, options, api.ROOT_CONTEXT)
      return new AttemptSpan(api, span, this.#try)
    })
  }

  readonly #try = <T>(step: () => T): T | null => {
    try {
      return step()
    } catch (error) {
      if (!this.#hasFailed) this.#warn({ err: error }, 'tracing failed; jobs run on without. It is told once')
      this.#hasFailed = true
      return null
    }
  }
}

/**
 * `messaging.system` until 1.44 of the conventions, `messaging.system.name` from 1.45 on. Others are set one by one, because a spread costs
 * more.
 */
function messaging(operation: string, type: string): OpenTelemetry.Attributes {
  return {
    'messaging.system': 'jobmachine',
    'messaging.system.name': 'jobmachine',
    'messaging.operation.name': operation,
    'messaging.operation.type': type,
  }
}

/** The value that all have; undefined if they differ. */
function common(values: readonly string[]): string | undefined {
  return values.every((value) => value === values[0]) ? values[0] : undefined
}
