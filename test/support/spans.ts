import { context, propagation, trace } from '@opentelemetry/api'
import {
  InMemorySpanExporter,
  NodeTracerProvider,
  type ReadableSpan,
  SimpleSpanProcessor,
} from '@opentelemetry/sdk-trace-node'
import { until } from './system.ts'
import { whenDone } from './temp.ts'

type Options = NonNullable<ConstructorParameters<typeof NodeTracerProvider>[0]>

/** What has ended so far, in that order. */
export interface Spans {
  all(): readonly ReadableSpan[]
  named(name: string): readonly ReadableSpan[]
  /** Waits until so many of that name have ended. */
  until(name: string, count?: number): Promise<readonly [ReadableSpan, ...ReadableSpan[]]>
}

/** Registers OpenTelemetry's SDK in this process, until the test ends. */
export function collectSpans({ spanProcessors = [], ...options }: Options = {}): Spans {
  const exporter = new InMemorySpanExporter()
  new NodeTracerProvider({
    ...options,
    spanProcessors: [...spanProcessors, new SimpleSpanProcessor(exporter)],
  }).register()
  whenDone(unregister)
  const named = (name: string) => exporter.getFinishedSpans().filter((span) => span.name === name)
  return {
    all: () => exporter.getFinishedSpans(),
    named,
    async until(name, count = 1) {
      await until(() => named(name).length >= count)
      return named(name) as [ReadableSpan, ...ReadableSpan[]]
    },
  }
}

export function unregister(): void {
  trace.disable()
  context.disable()
  propagation.disable()
}

/** What a span's context is as a header. */
export function traceparentOf(span: Pick<ReadableSpan, 'spanContext'>): string {
  const { traceId, spanId, traceFlags } = span.spanContext()
  return `00-${traceId}-${spanId}-0${traceFlags}`
}

/** The links of a span: what each is, and to which span. */
export function linksOf({ links }: ReadableSpan): (readonly [unknown, string])[] {
  return links.map(({ context, attributes }) => [
    attributes?.['jobmachine.link'],
    traceparentOf({ spanContext: () => context }),
  ])
}
