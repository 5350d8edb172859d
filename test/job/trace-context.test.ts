import { propagation, ROOT_CONTEXT, trace } from '@opentelemetry/api'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { parseTraceContext, traceIdOf } from '../../src/job/trace-context.ts'
import { collectSpans } from '../support/spans.ts'

const traceId = '4bf92f3577b34da6a3ce929d0e0e4736'
const spanId = '00f067aa0ba902b7'
const traceparent = `00-${traceId}-${spanId}-01`

describe('a traceparent', () => {
  test('is kept as it is', () => {
    const parsed = parseTraceContext(traceparent)

    expect(parsed).toEqual({ traceparent, tracestate: null })
    expect(traceIdOf(parsed!)).toBe(traceId)
  })

  test('of a later version is kept as version 00, without what it has behind its flags', () => {
    expect(parseTraceContext(`cc-${traceId}-${spanId}-09-what-comes`)?.traceparent).toBe(`00-${traceId}-${spanId}-09`)
  })

  test.each([
    ['is missing', undefined],
    ['is empty', ''],
    ['comes twice', `${traceparent}, ${traceparent}`],
    ['has upper-case digits', traceparent.toUpperCase()],
    ['has a trace id of zeros', `00-${'0'.repeat(32)}-${spanId}-01`],
    ['has a span id of zeros', `00-${traceId}-${'0'.repeat(16)}-01`],
    ['has the version that is none', `ff-${traceId}-${spanId}-01`],
    ['has more than its version has', `${traceparent}-01`],
    ['is too short', traceparent.slice(0, -1)],
    ['is an array', [traceparent]],
  ])('that %s counts as none', (_, given) => {
    expect(parseTraceContext(given, 'a=1')).toBeNull()
  })

  test('is valid exactly if OpenTelemetry reads it', () => {
    collectSpans()
    const digits = (length: number, of: string) =>
      fc.string({ unit: fc.constantFrom(...of), minLength: length, maxLength: length })
    const header = fc
      .tuple(
        fc.constantFrom('00', '01', 'ff', 'cc', '0'),
        fc.oneof(digits(32, '0123456789abcdef'), digits(32, '0'), digits(32, '0aF')),
        fc.oneof(digits(16, '0123456789abcdef'), digits(16, '0')),
        fc.oneof(digits(2, '0123456789abcdef'), digits(1, '0')),
        fc.constantFrom('', '', '-', '-a', 'a'),
      )
      .map(([version, trace, span, flags, more]) => `${version}-${trace}-${span}-${flags}${more}`)

    fc.assert(
      fc.property(header, (text) => {
        const theirs = trace.getSpanContext(propagation.extract(ROOT_CONTEXT, { traceparent: text }))
        const ours = parseTraceContext(text)

        expect(ours && traceIdOf(ours)).toBe(theirs?.traceId ?? null)
      }),
      { numRuns: 500 },
    )
  })
})

describe('a tracestate', () => {
  const stateOf = (tracestate: unknown) => parseTraceContext(traceparent, tracestate)?.tracestate

  test.each([
    ['congo=t61rcWkgMzE,rojo=00f067aa0ba902b7', 'congo=t61rcWkgMzE,rojo=00f067aa0ba902b7'],
    ['a=1 ,\tb=2, ,', 'a=1,b=2'],
    ['fw529a3039@dt=FfAB, a=x y', 'fw529a3039@dt=FfAB,a=x y'],
  ])('such as %s is kept', (given, kept) => {
    expect(stateOf(given)).toBe(kept)
  })

  test('of 512 bytes is kept; one that is longer is ignored, and its traceparent kept', () => {
    const members = `a=${'x'.repeat(250)},b=${'y'.repeat(256)}`
    expect(members).toHaveLength(511)

    expect(stateOf(members.replace('b=', 'bc='))).toHaveLength(512)
    expect(stateOf(members.replace('b=', 'bcd='))).toBeNull()
  })

  test.each([
    ['is empty', ''],
    ['has a member without a value', 'a='],
    ['has a member without a key', '=1'],
    ['has a member without both', 'a'],
    ['has a key twice', 'a=1,b=2,a=3'],
    ['has a key in upper case', 'A=1'],
    ['has a character that is not ASCII', 'a=é'],
    ['has a line break', 'a=1\nb=2'],
    ['has 33 members', Array.from({ length: 33 }, (_, index) => `k${index}=1`).join()],
    ['is no text', 5],
  ])('that %s is ignored, and its traceparent kept', (_, given) => {
    expect(parseTraceContext(traceparent, given)).toEqual({ traceparent, tracestate: null })
  })
})
