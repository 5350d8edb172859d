import { createRequire } from 'node:module'
import { context, propagation, ROOT_CONTEXT, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api'
import {
  AlwaysOffSampler,
  InMemorySpanExporter,
  SimpleSpanProcessor,
  type SpanProcessor,
} from '@opentelemetry/sdk-trace-node'
import * as conventions from '@opentelemetry/semantic-conventions/incubating'
import { describe, expect, test, vi } from 'vitest'
import { AdmissionGate } from '../../../src/engine/admission-gate.ts'
import { BackpressureError, PermanentError, SnoozeError } from '../../../src/errors.ts'
import { onPostgres } from '../../support/database.ts'
import { deferred } from '../../support/deferred.ts'
import { collectSpans, linksOf, traceparentOf, unregister } from '../../support/spans.ts'
import { openStore } from '../../support/store.ts'
import { openSystem, startSystem, until, untilCalled, untilState } from '../../support/system.ts'
import { whenDone } from '../../support/temp.ts'

const work = { type: 'work', payload: null }
const app = () => trace.getTracer('app')
const untilAborted = (_: unknown, { signal }: { signal: AbortSignal }) =>
  new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))

describe('an enqueue', () => {
  test('has a producer span below the active one, by the names of the conventions', async () => {
    const spans = collectSpans()
    const { system } = await openSystem({ runs: null })

    const { id, request } = await app().startActiveSpan('request', async (request) => {
      const { id } = await system.enqueue({ ...work, queue: 'images', delayMs: 1e6 })
      request.end()
      return { id, request }
    })

    const [span] = await spans.until('enqueue images')
    expect(span.kind).toBe(SpanKind.PRODUCER)
    expect(span.parentSpanContext?.spanId).toBe(request.spanContext().spanId)
    expect(span.attributes).toEqual({
      [conventions.ATTR_MESSAGING_SYSTEM]: 'jobmachine',
      [conventions.ATTR_MESSAGING_SYSTEM_NAME]: 'jobmachine',
      [conventions.ATTR_MESSAGING_OPERATION_NAME]: 'enqueue',
      [conventions.ATTR_MESSAGING_OPERATION_TYPE]: conventions.MESSAGING_OPERATION_TYPE_VALUE_SEND,
      [conventions.ATTR_MESSAGING_DESTINATION_NAME]: 'images',
      [conventions.ATTR_MESSAGING_MESSAGE_ID]: `${id}`,
      'jobmachine.job.type': 'work',
    })
    expect(span.status.code).toBe(SpanStatusCode.UNSET)
    expect((await system.find(id))?.traceId).toBe(request.spanContext().traceId)
    expect((await system.explain(id)).traceId).toBe(request.spanContext().traceId)
  })

  test('of many has one span, which all of them keep', async () => {
    const spans = collectSpans()
    const { system } = await openSystem({ runs: null })

    const jobs = await system.enqueue([work, { ...work, queue: 'other' }])

    const [span] = await spans.until('enqueue')
    expect(span.kind).toBe(SpanKind.PRODUCER)
    expect(span.attributes).toMatchObject({ [conventions.ATTR_MESSAGING_BATCH_MESSAGE_COUNT]: 2 })
    expect(span.attributes).not.toHaveProperty(conventions.ATTR_MESSAGING_DESTINATION_NAME)
    expect(span.attributes).not.toHaveProperty(conventions.ATTR_MESSAGING_MESSAGE_ID)
    for (const { id } of jobs) expect((await system.find(id))?.traceId).toBe(span.spanContext().traceId)
  })

  test('that stores nothing ends its span with the error', async () => {
    const spans = collectSpans()
    const { system } = await openSystem({ runs: null })
    await system.enqueue({ ...work, idempotencyKey: 'k' })

    await expect(system.enqueue({ ...work, idempotencyKey: 'k', priority: 1 })).rejects.toThrow()

    const [, span] = await spans.until('enqueue default', 2)
    expect(span).toMatchObject({
      status: { code: SpanStatusCode.ERROR },
      attributes: { [conventions.ATTR_ERROR_TYPE]: 'IdempotencyConflictError' },
      events: [{ name: 'exception' }],
    })
  })

  test('that is refused because too many wait leaves no span open', async () => {
    const open = new Set<string>()
    const counting: SpanProcessor = {
      onStart: (span) => void open.add(span.spanContext().spanId),
      onEnd: (span) => void open.delete(span.spanContext().spanId),
      forceFlush: async () => {},
      shutdown: async () => {},
    }
    collectSpans({ spanProcessors: [counting] })
    const { system } = await openSystem({ runs: null })
    const enter = vi.spyOn(AdmissionGate.prototype, 'enter').mockImplementation(() => {
      throw new BackpressureError('full', 1_000)
    })
    whenDone(() => enter.mockRestore())

    await expect(system.enqueue(work)).rejects.toThrow(BackpressureError)

    expect([...open]).toEqual([])
  })

  test('that is a replay leaves the job in the trace of the first', async () => {
    const spans = collectSpans()
    const { system } = await openSystem({ runs: null })

    const { id } = await system.enqueue({ ...work, idempotencyKey: 'k' })
    await system.enqueue({ ...work, idempotencyKey: 'k' })

    const [first, second] = await spans.until('enqueue default', 2)
    expect((await system.find(id))?.traceId).toBe(first.spanContext().traceId)
    expect(second?.attributes).toMatchObject({ [conventions.ATTR_MESSAGING_MESSAGE_ID]: `${id}` })
  })

  test('keeps no baggage', async () => {
    collectSpans()
    const seen: unknown[] = []
    const { system } = await startSystem({
      runs: { work: () => void seen.push(propagation.getBaggage(context.active())?.getAllEntries() ?? null) },
    })

    const baggage = propagation.createBaggage({ user: { value: 'ada' } })
    await context.with(propagation.setBaggage(ROOT_CONTEXT, baggage), () => system.enqueue(work))

    await until(() => seen.length === 1)
    expect(seen).toEqual([null])
  })
})

describe('an attempt', () => {
  test('has a consumer span of a trace of its own, linked to the enqueue, also after a restart', async () => {
    const spans = collectSpans()
    const { system: before, path, clock } = await openSystem({ runs: null })
    const { id } = await before.enqueue(work)
    await before.stop()

    await startSystem({ database: path, clock, runs: { work() {} } })

    const [enqueue] = await spans.until('enqueue default')
    const [attempt] = await spans.until('process default')
    expect(attempt.kind).toBe(SpanKind.CONSUMER)
    expect(attempt.parentSpanContext).toBeUndefined()
    expect(attempt.spanContext().traceId).not.toBe(enqueue.spanContext().traceId)
    expect(linksOf(attempt)).toEqual([['enqueue', traceparentOf(enqueue)]])
    expect(attempt.attributes).toEqual({
      [conventions.ATTR_MESSAGING_SYSTEM]: 'jobmachine',
      [conventions.ATTR_MESSAGING_SYSTEM_NAME]: 'jobmachine',
      [conventions.ATTR_MESSAGING_OPERATION_NAME]: 'process',
      [conventions.ATTR_MESSAGING_OPERATION_TYPE]: conventions.MESSAGING_OPERATION_TYPE_VALUE_PROCESS,
      [conventions.ATTR_MESSAGING_DESTINATION_NAME]: 'default',
      [conventions.ATTR_MESSAGING_MESSAGE_ID]: `${id}`,
      'jobmachine.job.type': 'work',
      'jobmachine.job.attempt': 1,
      'jobmachine.job.max_attempts': 4,
      'jobmachine.attempt.outcome': 'succeed',
    })
    expect(attempt.status.code).toBe(SpanStatusCode.UNSET)
  })

  test('is active while its handler runs, whatever was active when the system started', async () => {
    const spans = collectSpans()
    const child = { ...work, type: 'child' }
    const { system } = await app().startActiveSpan('boot', () =>
      startSystem({
        runs: {
          async work() {
            await null
            app().startSpan('call').end()
            await system.enqueue(child)
          },
          child() {},
        },
      }),
    )

    await system.enqueue(work)

    const [, childAttempt] = await spans.until('process default', 2)
    const [attempt] = spans.named('process default')
    const [, childEnqueue] = spans.named('enqueue default')
    const { spanId } = attempt!.spanContext()
    expect(spans.named('call')[0]?.parentSpanContext?.spanId).toBe(spanId)
    expect(childEnqueue?.parentSpanContext?.spanId).toBe(spanId)
    expect(childAttempt?.parentSpanContext).toBeUndefined()
    expect(linksOf(childAttempt!)).toEqual([['enqueue', traceparentOf(childEnqueue!)]])
  })

  test('that fails has the error, and each retry a link to the attempt before, also after a restart', async () => {
    const spans = collectSpans()
    const runs = {
      work(_: unknown, { attempt }: { attempt: number }) {
        if (attempt < 3) throw new TypeError(`no luck ${attempt}`)
      },
    }
    const { system, clock, path } = await startSystem({ runs })
    const { id } = await system.enqueue(work)
    await untilState(system, id, 'retrying')
    clock.advance(10_000)
    await spans.until('process default', 2)
    await untilState(system, id, 'retrying')
    await system.stop()
    clock.advance(10_000)

    await startSystem({ database: path, clock, runs })

    const [first, second, third] = await spans.until('process default', 3)
    const enqueue = traceparentOf(spans.named('enqueue default')[0]!)
    expect(first).toMatchObject({
      status: { code: SpanStatusCode.ERROR, message: 'no luck 1' },
      attributes: { [conventions.ATTR_ERROR_TYPE]: 'TypeError', 'jobmachine.attempt.outcome': 'fail' },
      events: [{ name: 'exception', attributes: { [conventions.ATTR_EXCEPTION_MESSAGE]: 'no luck 1' } }],
    })
    expect(linksOf(first)).toEqual([['enqueue', enqueue]])
    expect(linksOf(second!)).toEqual([
      ['enqueue', enqueue],
      ['previous attempt', traceparentOf(first)],
    ])
    expect(linksOf(third!)).toEqual([
      ['enqueue', enqueue],
      ['previous attempt', traceparentOf(second!)],
    ])
    expect(third?.attributes).toMatchObject({ 'jobmachine.job.attempt': 3, 'jobmachine.attempt.outcome': 'succeed' })
  })

  test.each([
    [
      'throws a PermanentError',
      () => {
        throw new PermanentError('never')
      },
      'reject',
      'PermanentError',
    ],
    [
      'snoozes',
      () => {
        throw new SnoozeError(1_000)
      },
      'snooze',
      undefined,
    ],
  ])('that %s says so', async (_, run, outcome, error) => {
    const spans = collectSpans()
    const { system } = await startSystem({ runs: { work: run } })
    await system.enqueue(work)

    const [span] = await spans.until('process default')

    expect(span.attributes['jobmachine.attempt.outcome']).toBe(outcome)
    expect(span.attributes[conventions.ATTR_ERROR_TYPE]).toBe(error)
    expect(span.status.code).toBe(error ? SpanStatusCode.ERROR : SpanStatusCode.UNSET)
  })

  test('ends its span on a timeout, which is an error, though its handler goes on', async () => {
    const spans = collectSpans()
    const hold = deferred()
    const { system, clock } = await startSystem({ runs: { work: () => hold.promise } })
    const { id } = await system.enqueue({ ...work, timeoutMs: 50 })
    await untilCalled(system, id)
    clock.advance(50)
    clock.advance(60_000)

    const [span] = await spans.until('process default')

    expect(span.attributes).toMatchObject({
      [conventions.ATTR_ERROR_TYPE]: 'AttemptTimeoutError',
      'jobmachine.attempt.outcome': 'fail',
    })
    hold.resolve()
    await until(() => system.activity().workers.every(({ jobId }) => jobId === null))
    expect(spans.named('process default')).toHaveLength(1)
  })

  test('ends its span when its job is cancelled, or the system stops; neither is an error', async () => {
    const spans = collectSpans()
    const { system } = await startSystem({ runs: { work: untilAborted } })
    const [cancelled, stopped] = await system.enqueue([work, work])
    await untilCalled(system, cancelled!.id)
    await untilCalled(system, stopped!.id)

    await system.cancel(cancelled!.id)
    await spans.until('process default')
    await system.stop({ graceMs: 0 })

    const ended = spans.named('process default')
    expect(ended.map(({ attributes }) => attributes['jobmachine.attempt.outcome'])).toEqual(['cancel', 'release'])
    expect(ended.map(({ status }) => status.code)).toEqual([SpanStatusCode.UNSET, SpanStatusCode.UNSET])
  })

  test.skipIf(onPostgres)('ends its span when its lease is lost, which is an error', async () => {
    const spans = collectSpans()
    const leaseMs = 30_000
    const { system, clock, path } = await startSystem({ leaseMs, workers: 1, runs: { work: untilAborted } })
    const { id } = await system.enqueue(work)
    await untilCalled(system, id)
    const { store: other } = await openStore({ path, clock, leaseMs })
    await other.recoverOrphans()
    clock.advance(leaseMs / 3)

    const [span] = await spans.until('process default')

    expect(span).toMatchObject({
      status: { code: SpanStatusCode.ERROR },
      attributes: { [conventions.ATTR_ERROR_TYPE]: 'LeaseLostError', 'jobmachine.attempt.outcome': 'expire' },
    })
  })

  test('has the ids of its trace and its span in the lines that its handler logs', async () => {
    const spans = collectSpans()
    const fields: object[] = []
    const log = { debug() {}, info() {}, warn() {}, error() {}, child: (given: object) => (fields.push(given), log) }
    const { system } = await startSystem({ log, runs: { work: (_, { log }) => log.info({}, 'hello') } })
    await system.enqueue(work)

    const [span] = await spans.until('process default')

    const { traceId, spanId } = span.spanContext()
    expect(fields).toMatchObject([{ job_id: 1, trace_id: traceId, span_id: spanId }])
  })
})

describe('what a request says of its trace', () => {
  const traceId = '4bf92f3577b34da6a3ce929d0e0e4736'
  const traceparent = `00-${traceId}-00f067aa0ba902b7-01`

  test('is kept with each job where nobody traces, and its handler logs it', async () => {
    const fields: object[] = []
    const log = { debug() {}, info() {}, warn() {}, error() {}, child: (given: object) => (fields.push(given), log) }
    const { system } = await startSystem({ log, runs: { work: (_, { log }) => log.info({}, 'hello') } })

    const jobs = await system.submit([work, work], { traceparent })

    await until(() => fields.length === 2)
    for (const { id } of jobs) expect((await system.find(id))?.traceId).toBe(traceId)
    expect(fields).toMatchObject([{ trace_id: traceId }, { trace_id: traceId }])
  })

  test('is the parent of its enqueue, unless a span is active', async () => {
    const spans = collectSpans()
    const { system } = await openSystem({ runs: null })

    await system.submit(work, { traceparent, tracestate: 'vendor=1' })
    await app().startActiveSpan('server', async (server) => {
      await system.submit(work, { traceparent })
      server.end()
    })

    const [byHeader, byContext] = await spans.until('enqueue default', 2)
    expect(byHeader.parentSpanContext).toMatchObject({ traceId, spanId: '00f067aa0ba902b7', isRemote: true })
    expect(byHeader.spanContext()).toMatchObject({ traceId })
    expect(byHeader.spanContext().traceState?.serialize()).toBe('vendor=1')
    expect(byContext?.parentSpanContext?.spanId).toBe(spans.named('server')[0]?.spanContext().spanId)
  })

  test('comes to the attempt with its tracestate; one that is too long is left out', async () => {
    const spans = collectSpans()
    unregister()
    const { system, path, clock } = await openSystem({ runs: null })
    await system.submit(work, { traceparent, tracestate: 'vendor=1' })
    await system.submit(work, { traceparent, tracestate: `vendor=${'x'.repeat(512)}` })
    await system.submit(work, { traceparent: 'nonsense', tracestate: 'vendor=1' })
    await system.stop()
    const later = collectSpans()
    await startSystem({ database: path, clock, runs: { work() {} } })

    const attempts = await later.until('process default', 3)

    const states = attempts.map(({ links }) => links.map(({ context }) => context.traceState?.serialize() ?? null))
    expect(states).toEqual([['vendor=1'], [null], []])
    expect(spans.all()).toEqual([])
  })
})

describe('a system whose process', () => {
  test('registers a tracer after its start traces from then on, and no longer once it is gone', async () => {
    const { system } = await startSystem({ runs: { work() {} } })
    await untilState(system, (await system.enqueue(work)).id, 'succeeded')

    const spans = collectSpans()
    const { id } = await system.enqueue(work)
    await spans.until('process default')
    await untilState(system, id, 'succeeded')
    unregister()
    const after = await system.enqueue(work)

    await untilState(system, after.id, 'succeeded')
    expect(spans.all().map(({ name }) => name)).toEqual(['enqueue default', 'process default'])
    expect((await system.find(after.id))?.traceId).toBeNull()
  })

  test('samples nothing keeps the context of each job, and records nothing', async () => {
    const spans = collectSpans({ sampler: new AlwaysOffSampler() })
    const seen: unknown[] = []
    const { system } = await startSystem({
      runs: { work: () => void seen.push(trace.getActiveSpan()?.spanContext().traceFlags) },
    })

    const { id } = await system.enqueue(work)

    await untilState(system, id, 'succeeded')
    expect(seen).toEqual([0])
    expect((await system.find(id))?.traceId).toMatch(/^[0-9a-f]{32}$/)
    expect(spans.all()).toEqual([])
  })

  test.each(['onStart', 'onEnd'] as const)(
    'has a span processor that throws %s runs its jobs all the same, and is told once',
    async (step) => {
      const processor: SpanProcessor = {
        onStart() {},
        onEnd() {},
        shutdown: async () => {},
        forceFlush: async () => {},
        [step]() {
          throw new Error('out of order')
        },
      }
      collectSpans({ spanProcessors: [processor] })
      const { system, log } = await startSystem({
        runs: {
          work(_, { attempt }) {
            if (attempt === 1) throw new Error('no luck')
          },
        },
      })

      const jobs = await system.enqueue([work, work])

      for (const { id } of jobs) expect((await untilState(system, id, 'retrying')).attempt).toBe(1)
      expect(log.filter(({ message }) => message.startsWith('tracing failed'))).toHaveLength(1)
    },
  )

  test('has a tracer that throws runs its jobs once each', async () => {
    let calls = 0
    collectSpans()
    const broken = {
      startSpan: () => {
        throw new Error('no span')
      },
      startActiveSpan: () => {},
    }
    trace.disable()
    trace.setGlobalTracerProvider({ getTracer: () => broken as never })
    const { system } = await startSystem({ runs: { work: () => void calls++ } })

    const { id } = await system.enqueue(work)

    await untilState(system, id, 'succeeded')
    expect(calls).toBe(1)
  })

  test('has an exporter that fails runs its jobs', async () => {
    const exporter = new InMemorySpanExporter()
    exporter.export = () => {
      throw new Error('the collector is away')
    }
    collectSpans({ spanProcessors: [new SimpleSpanProcessor(exporter)] })
    const { system } = await startSystem({ runs: { work() {} } })

    const { id } = await system.enqueue(work)

    expect((await untilState(system, id, 'succeeded')).attempt).toBe(1)
  })

  test('registered its tracer with another copy of the API traces with it', async () => {
    const spans = collectSpans()
    registerWithAnotherCopy()
    const { system } = await startSystem({ runs: { work() {} } })

    await system.enqueue(work)

    expect(linksOf((await spans.until('process default'))[0])).toHaveLength(1)
  })

  test('registered its tracer with an older API than jobmachine loads is told so, once', async () => {
    const spans = collectSpans()
    registerWithAnotherCopy().version = '1.3.0'
    const { system, log } = await startSystem({ runs: { work() {} } })

    const { id } = await system.enqueue(work)

    await untilState(system, id, 'succeeded')
    expect(log.filter(({ message }) => message.includes('a newer version of @opentelemetry/api'))).toMatchObject([
      { level: 'warn', fields: { registered_by: '1.3.0' } },
    ])
    expect(spans.all()).toEqual([])
  })
})

/** What was registered is registered by another copy of the API, as a package that brings its own would; returns what is global of it. */
function registerWithAnotherCopy(): { version: string } {
  const require = createRequire(import.meta.url)
  const path = require.resolve('@opentelemetry/api')
  const own = new Map(
    Object.entries(require.cache).filter(([file]) => file.startsWith(path.slice(0, path.indexOf('build')))),
  )
  for (const file of own.keys()) delete require.cache[file]
  const copy: typeof import('@opentelemetry/api') = require('@opentelemetry/api')
  for (const [file, module] of own) require.cache[file] = module
  expect(copy.trace).not.toBe(trace)

  const provider = trace.getTracerProvider()
  trace.disable()
  copy.trace.setGlobalTracerProvider(provider)
  const registered = (globalThis as Record<symbol, { version: string }>)[Symbol.for('opentelemetry.js.api.1')]!
  const { version } = registered
  whenDone(() => {
    registered.version = version
    copy.trace.disable()
  })
  return registered
}
