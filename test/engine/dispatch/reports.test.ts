import { describe, expect, test } from 'vitest'
import { lineOf, toLine } from '../../../src/engine/dispatch/log-line.ts'
import { Reports } from '../../../src/engine/dispatch/reports.ts'
import { logMax, type Report } from '../../../src/persistence/store.ts'
import { TestClock } from '../../../src/testing/test-clock.ts'
import { deferred } from '../../support/deferred.ts'

const lease = (id: number) => ({ id, leaseToken: 10 * id })
const line = (text: string) => lineOf(0, 'info', text, null)
const messagesOf = (report: Report | undefined) => report?.lines.map(({ message }) => message)

/** Reports with a clock of their own; what the store was told, in order, and how it answers. */
function aReports(answer: () => Promise<void> = async () => {}) {
  const clock = new TestClock(1_000_000)
  const calls: { readonly at: number; readonly told: readonly { id: number; report: Report }[] }[] = []
  const store = {
    report(told: (typeof calls)[number]['told']) {
      calls.push({ at: clock.now(), told })
      return answer()
    },
  }
  const reports = new Reports(store, clock.timers)
  const pass = async (ms: number) => {
    await clock.moveTo(clock.now() + ms)
    for (let turn = 0; turn < 10; turn++) await null
  }
  return { reports, clock, calls, pass }
}

describe('what a handler reports', () => {
  test('is written once a second, all jobs together, the last progress only', async () => {
    const { reports, calls, pass } = aReports()
    const [one, other] = [reports.open(lease(1)), reports.open(lease(2))]

    for (let tenth = 0; tenth < 30; tenth++) {
      one.progress(tenth)
      if (tenth === 5) other.line(line('hello'))
      await pass(100)
    }

    expect(calls.map(({ at }) => at)).toEqual([1_001_000, 1_002_000, 1_003_000])
    expect(calls[0]!.told.map(({ id, report }) => [id, report.progress, messagesOf(report)])).toEqual([
      [1, '9', []],
      [2, undefined, ['hello']],
    ])
    expect(calls.slice(1).map(({ told }) => told.map(({ report }) => report.progress))).toEqual([['19'], ['29']])
  })

  test('goes with the outcome if that is sooner, and nothing is written after it', async () => {
    const { reports, calls, clock, pass } = aReports()
    const attempt = reports.open(lease(1))
    attempt.progress({ done: 1, total: 2 })
    attempt.line(line('a'))

    expect(attempt.end()).toMatchObject({ progress: '{"done":1,"total":2}', lines: [{ message: 'a' }] })

    expect(clock.nextTimerAt).toBeNull()
    await pass(5_000)
    expect(calls).toEqual([])
  })

  test('waits until the write before has ended', async () => {
    const first = deferred()
    const { reports, calls, pass } = aReports(() => first.promise)
    const attempt = reports.open(lease(1))
    attempt.line(line('a'))
    await pass(1_000)
    attempt.line(line('b'))
    await pass(5_000)
    expect(calls).toHaveLength(1)

    first.resolve()
    await pass(0)
    await pass(1_000)

    expect(calls.map(({ told }) => messagesOf(told[0]!.report))).toEqual([['a'], ['b']])
  })

  test('is flushed at once if its handler is about to end its lease, after the write that is under way', async () => {
    const first = deferred()
    const { reports, calls, pass } = aReports(() => (calls.length === 1 ? first.promise : Promise.resolve()))
    const attempt = reports.open(lease(1))
    attempt.line(line('a'))
    await pass(1_000)
    attempt.line(line('b'))

    const flushed = attempt.flush()
    await pass(0)
    expect(calls).toHaveLength(1)
    first.resolve()
    await flushed

    expect(calls.map(({ told }) => messagesOf(told[0]!.report))).toEqual([['a'], ['b']])
    expect(attempt.end()).toBeUndefined()
  })

  test('is lost if it cannot be stored, except for the progress, and its log says how many lines were', async () => {
    let isAway = true
    const { reports, calls, pass } = aReports(() => (isAway ? Promise.reject(new Error('away')) : Promise.resolve()))
    const attempt = reports.open(lease(1))
    attempt.progress(1)
    for (const text of 'abc') attempt.line(line(text))
    await pass(1_000)
    isAway = false
    attempt.line(line('d'))
    await pass(1_000)

    const { report } = calls.at(-1)!.told[0]!
    expect(report.progress).toBe('1')
    expect(messagesOf(report)).toEqual([
      expect.stringMatching(/^3 lines before this one were dropped, and 3 of this attempt so far/),
      'd',
    ])
  })

  test('is bounded: of a flood the newest lines are kept, and the log says how many are not', async () => {
    const { reports, calls, pass } = aReports()
    const attempt = reports.open(lease(1))
    for (let second = 0; second < 2; second++) {
      for (let n = 0; n < 10_000; n++) attempt.line(line(`${n}`))
      await pass(1_000)
    }

    for (const { told } of calls) {
      const { lines } = told[0]!.report
      expect(lines).toHaveLength(logMax.lines)
      expect(lines.at(-1)!.message).toBe('9999')
      expect(lines[1]!.message).toBe('9001')
    }
    expect(calls.map(({ told }) => told[0]!.report.lines[0])).toMatchObject([
      { level: 'warn', message: expect.stringMatching(/^9001 lines .* 9001 of this attempt so far/) },
      { level: 'warn', message: expect.stringMatching(/^9001 lines .* 18002 of this attempt so far/) },
    ])
  })

  test('of long lines is bounded in bytes, of one attempt and of all together', () => {
    const { reports } = aReports()
    const long = lineOf(0, 'info', 'x'.repeat(1_000), JSON.stringify({ x: 'x'.repeat(1_900) }))
    const attempts = Array.from({ length: 40 }, (_, id) => reports.open(lease(id)))

    for (let n = 0; n < 200; n++) for (const attempt of attempts) attempt.line(long)

    const taken = attempts.map((attempt) => attempt.end()?.lines ?? [])
    const bytes = taken.map((lines) => lines.reduce((sum, line) => sum + line.bytes, 0))
    expect(Math.max(...bytes)).toBeLessThanOrEqual(logMax.bytes)
    expect(bytes.reduce((a, b) => a + b)).toBeLessThan(4_194_304 + 40 * 1_024)
    // Each says what it lacks.
    for (const [first] of taken) expect(first!.message).toMatch(/lines before this one were dropped/)
  })

  test('is written in calls of a thousand lines, so that others get their turns', async () => {
    const { reports, calls, pass } = aReports()
    for (let id = 1; id <= 5; id++) {
      const attempt = reports.open(lease(id))
      for (let n = 0; n < 400; n++) attempt.line(line(`${n}`))
    }

    await pass(1_000)

    expect(calls.map(({ told }) => told.map(({ id }) => id))).toEqual([[1, 2], [3, 4], [5]])
  })

  test.each([
    ['undefined', undefined, 'it is not a JSON value'],
    ['a function', () => {}, 'it is not a JSON value'],
    ['NaN', Number.NaN, 'it is not a JSON value'],
    ['a bigint', 1n, 'it cannot be written as JSON'],
    ['what is too large', 'é'.repeat(2_048), 'it has 4098 bytes as JSON; the most is 4096'],
  ])('is not kept if the progress is %s', (_, value, fault) => {
    const attempt = aReports().reports.open(lease(1))
    attempt.progress(7)

    expect(attempt.progress(value)).toContain(fault)

    expect(attempt.end()).toMatchObject({ progress: '7' })
  })
})

describe('a line', () => {
  const parsed = (fields: unknown) => JSON.parse(toLine(0, 'info', fields, 'm').fields!)

  test('has its message and its fields as they were when it was logged', () => {
    const fields = { n: 1, inner: { a: [1, null] } }
    const logged = toLine(5, 'warn', fields, 'it’s slow')
    fields.n = 2

    expect(logged).toMatchObject({
      at: 5,
      level: 'warn',
      message: 'it’s slow',
      fields: '{"n":1,"inner":{"a":[1,null]}}',
    })
    expect(toLine(0, 'info', {}, 'm').fields).toBeNull()
  })

  test('describes the errors among its fields', () => {
    expect(parsed({ err: new TypeError('no') })).toMatchObject({ err: { name: 'TypeError', message: 'no' } })
    expect(parsed(new RangeError('alone'))).toMatchObject({ err: { name: 'RangeError', message: 'alone' } })
  })

  test('may be a message alone, as loggers take it', () => {
    expect(toLine(0, 'info', 'alone', undefined)).toMatchObject({ message: 'alone', fields: null })
    expect(toLine(0, 'info', undefined, undefined)).toMatchObject({ message: '', fields: null })
  })

  test('is cut where it is long, and says so', () => {
    const { message, fields } = toLine(0, 'info', { short: 1, long: 'y'.repeat(9_000), last: 'z' }, 'x'.repeat(5_000))

    expect(message).toHaveLength(1_000)
    expect(JSON.parse(fields!)).toMatchObject({
      short: '1',
      long: expect.stringMatching(/^y+…$/),
      last: 'z',
      shortened: true,
    })
    const many = Object.fromEntries(Array.from({ length: 10_000 }, (_, n) => [`name${n}`, n]))
    expect(toLine(0, 'info', many, '').fields!.length).toBeLessThan(4_000)
  })

  test('is text that both databases store, and is made of anything', () => {
    const cyclic: Record<string, unknown> = { name: 'c' }
    cyclic.self = cyclic
    expect(toLine(0, 'info', { a: 1 }, 'nul \0 half \ud800').message).toBe('nul \ufffd half \ufffd')
    expect(parsed(cyclic)).toMatchObject({ name: 'c', shortened: true })
    expect(parsed({ big: 5n, symbol: Symbol('s') })).toMatchObject({ big: '5', symbol: 'Symbol(s)' })
    const hostile = {
      get value() {
        throw new Error('no')
      },
    }
    expect(parsed(hostile)).toMatchObject({ value: 'cannot be read' })
  })
})
