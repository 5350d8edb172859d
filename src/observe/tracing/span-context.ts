import type * as OpenTelemetry from '@opentelemetry/api'
import { parseTraceContext, type TraceContext, traceIdOf } from '../../job/trace-context.ts'

/** The stored trace context as an OpenTelemetry span context. */
export function toSpanContext(
  api: typeof OpenTelemetry,
  { traceparent, tracestate }: TraceContext,
): OpenTelemetry.SpanContext {
  return {
    traceId: traceIdOf({ traceparent }),
    spanId: traceparent.slice(36, 52),
    traceFlags: Number.parseInt(traceparent.slice(53), 16),
    isRemote: true,
    ...(tracestate === null ? {} : { traceState: api.createTraceState(tracestate) }),
  }
}

/** The reverse; null if it is not valid. */
export function fromSpanContext(context: OpenTelemetry.SpanContext | undefined): TraceContext | null {
  if (!context) return null
  const flags = context.traceFlags.toString(16).padStart(2, '0')
  return parseTraceContext(`00-${context.traceId}-${context.spanId}-${flags}`, context.traceState?.serialize())
}
