import { describe, expect, test } from 'vitest'
import { formatTick, previewTicks, timingWarnings } from '../../src/schedule/preview.ts'
import type { Timing } from '../../src/schedule/ticks.ts'

const at = Date.parse
const now = at('2026-11-29T12:00:00Z')
const timing = (cron: string, zone = 'Europe/Berlin'): Timing => ({
  cron,
  everyMs: null,
  zone,
  startsAt: null,
  endsAt: null,
})

test('a preview shows the next ticks in the zone, with its offset, and in UTC', () => {
  expect(previewTicks(timing('30 2 * * *'), 0, at('2026-03-28T12:00:00Z'), 2)).toEqual([
    { tick: at('2026-03-29T01:00:00Z'), utc: '2026-03-29T01:00:00Z', local: 'Sun 2026-03-29 03:00:00 +02:00' },
    { tick: at('2026-03-30T00:30:00Z'), utc: '2026-03-30T00:30:00Z', local: 'Mon 2026-03-30 02:30:00 +02:00' },
  ])
})

test('a preview has at most a hundred ticks, and fewer if the schedule ends', () => {
  expect(previewTicks(timing('* * * * *'), 0, now, 1e9)).toHaveLength(100)
  expect(previewTicks({ ...timing('* * * * *'), endsAt: now + 180_000 }, 0, now, 5)).toHaveLength(2)
  expect(previewTicks(timing('* * * * *'), 0, now, 0)).toEqual([])
})

test.each([
  ['Etc/GMT+3', 'Sun 2026-11-29 09:00:00 -03:00'],
  ['Asia/Kathmandu', 'Sun 2026-11-29 17:45:00 +05:45'],
  ['UTC', 'Sun 2026-11-29 12:00:00 +00:00'],
])('a tick shows its offset in %s', (zone, expected) => {
  expect(formatTick(now, zone)).toBe(expected)
})

test('a tick of an interval shows its fraction of a second, and an old offset its seconds', () => {
  expect(formatTick(now + 250, 'UTC')).toBe('Sun 2026-11-29 12:00:00.250 +00:00')
  expect(formatTick(at('1971-06-02T00:44:30Z'), 'Africa/Monrovia')).toBe('Wed 1971-06-02 00:00:00 -00:44:30')
})

describe('a warning is given for', () => {
  const cases: readonly { what: string; cron: string; zone?: string; expected: readonly string[] }[] = [
    {
      what: 'two day fields of which either is enough',
      cron: '0 0 13 * 5',
      expected: ['it runs on each day that is "13" of the month or "5" of'],
    },
    { what: 'a step that does not divide its field', cron: '*/7 * * * *', expected: ['*/7 is uneven'] },
    { what: 'the same as a range', cron: '0 0-23/5 * * *', expected: ['0-23/5 is uneven'] },
    {
      what: 'a fixed time in the next gap',
      cron: '30 2 * * *',
      expected: ['Europe/Berlin has no 02:30:00 on 2027-03-28', 'it runs at 03:00:00'],
    },
    { what: 'a name with a sign', cron: '0 12 * * *', zone: 'Etc/GMT+3', expected: ['is -03:00, west of Greenwich'] },
    { what: 'nothing if both day fields must match', cron: '0 0 1-7 * */7', expected: [] },
    { what: 'nothing if the step divides', cron: '*/15 */6 * * *', expected: [] },
    { what: 'nothing if the time is not in a gap', cron: '30 3 * * *', expected: [] },
    { what: 'nothing if the gap is on another day', cron: '30 2 * * 1', expected: [] },
    { what: 'nothing if it runs at each time that is shown', cron: '*/5 2 * * *', expected: [] },
    { what: 'nothing in a zone without gaps', cron: '30 2 * * *', zone: 'UTC', expected: [] },
  ]
  test.each(cases)('$what: $cron', ({ cron, zone, expected }) => {
    const warnings = timingWarnings(timing(cron, zone), now)

    expect(warnings).toHaveLength(Math.min(expected.length, 1))
    for (const part of expected) expect(warnings[0]).toContain(part)
  })

  test('an interval gets none', () => {
    expect(timingWarnings({ ...timing('x'), cron: null, everyMs: 5_000 }, now)).toEqual([])
  })
})
