import { describe, expect, test } from 'vitest'
import { parseCron } from '../../src/schedule/cron.ts'
import type { CronExpression } from '../../src/schedule/cron-expression.ts'
import { zoneIssues } from '../../src/schedule/zone.ts'

/** What is wrong with an expression, as one text. */
function faultOf(expression: unknown): string {
  const parsed = parseCron(expression, 'cron')
  return Array.isArray(parsed) ? parsed.map(({ message }) => message).join('; ') : 'nothing'
}

describe('an expression is refused with its field and a way to write it', () => {
  test.each([
    [undefined, 'such as "30 9 * * 1-5"'],
    ['', 'such as "30 9 * * 1-5"'],
    ['* * * *', 'not 4'],
    ['0 0 1 1 * * 2030', 'a year is not supported'],
    ['CRON_TZ=Europe/Berlin 0 9 * * *', 'the zone is a field of the schedule'],
    ['@reboot', 'enqueue a job when your program starts'],
    ['@every 5m', 'set an interval in ms'],
    ['@fortnightly', 'write @yearly, @annually'],
    ['10/15 * * * *', "minute '10/15': a step needs * or a range: write 10-59/15"],
    ['0 0 1/5 * *', 'write 1-31/5'],
    ['60 24 * * *', "minute '60': 60 is not 0 to 59; hour '24': 24 is not 0 to 23"],
    ['* * 0 13 8', 'day of week'],
    ['*/0 * * * *', 'the step must be 1 to 60, not 0'],
    ['*/90 * * * *', 'the step must be 1 to 60, not 90'],
    ['50-10 * * * *', 'write 50-59,0-10'],
    ['5-0 * * * *', 'write 5-59,0'],
    ['0 22-2 * * *', 'write 22-23,0-2'],
    ['0 0 * NOV-JAN *', 'write NOV-DEC,JAN'],
    ['0 0 * 11-2 *', 'write 11-12,1-2'],
    ['0 0 * * FRI-MON', 'write FRI-SUN,MON'],
    ['0 0 * * FRI-TUE', 'write FRI-SUN,MON-TUE'],
    ['0 0 * * 6-0', 'write 6-7'],
    ['0 0 * * 5-1', 'write 5-7,1'],
    ['0 0 * * 7-2', 'write 0-2'],
    ['*5 * * * *', 'write */5 for a step, or 5'],
    ['1,,2 * * * *', 'an element of the list is empty'],
    ['1-2-3 * * * *', 'a range has two ends: write 1-2'],
    ['? * * * *', 'only a day field may be ?: write *'],
    ['H * * * *', 'set a jitter to spread jobs'],
    ['H(0-29) * * * *', 'set a jitter to spread jobs'],
    ['* JAN * * *', "hour 'JAN'"],
    ['0 0 * * MONDAY', 'a name has three letters: write MON'],
    ['0 0 * SEPT *', 'a name has three letters: write SEP'],
    ['0 0 * * FRIL', 'write 5L'],
    ['0 0 * * L', 'write 5L for the last Friday'],
    ['0 0 L-3 * *', 'write L for the last day of a month'],
    ['0 0 32W * *', "day of month '32W'"],
    ['0 0 * * 5#6', 'must be 1 to 5'],
    ['0 0 30 2 *', 'never comes in month "2"; L is the last day of a month'],
    ['0 0 31 2 */7', 'never comes'],
    ['٣ * * * *', "minute '٣'"],
    ['１ * * * *', "minute '１'"],
    [`${'1,'.repeat(600)}1 * * * *`, 'at most 1000 characters'],
  ])('%s', (expression, expected) => {
    expect(faultOf(expression)).toContain(expected)
  })

  test('what is proposed is accepted', () => {
    const proposals = '10-59/15 50-59,0-10 5-59,0'.split(' ').map((minute) => `${minute} * * * *`)
    const days = 'FRI-SUN,MON FRI-SUN,MON-TUE 6-7 5-7,1 0-2 5L'.split(' ').map((day) => `0 0 * * ${day}`)
    const months = 'NOV-DEC,JAN 11-12,1-2'.split(' ').map((month) => `0 0 1 ${month} *`)

    expect([...proposals, ...days, ...months].map(faultOf).filter((fault) => fault !== 'nothing')).toEqual([])
  })
})

test.each([
  ['0 0 l,lw,15w * *', '0 0 L,LW,15W * *'],
  ['0 0 * jan-MAR fri#3,5l', '0 0 * 1-3 5#3,5L'],
  ['0 0 ? * 7', '0 0 * * SUN'],
])('%s means the same as %s', (one, other) => {
  const [a, b] = [one, other].map((text) => parseCron(text, 'cron') as CronExpression)

  for (let day = a!.nextDay(0)!; day < Date.UTC(1980, 0); day = a!.nextDay(day + 86_400_000)!)
    expect(b!.nextDay(day)).toBe(day)
})

test('an expression keeps its text, with single spaces', () => {
  expect(parseCron('\t@Daily ', 'cron')).toMatchObject({ text: '@Daily' })
  expect(parseCron(' 0  9\t* * mon-fri', 'cron')).toMatchObject({ text: '0 9 * * mon-fri' })
})

describe('a zone is refused with what to write', () => {
  test.each([
    [undefined, 'such as Europe/Berlin or UTC'],
    ['', 'such as Europe/Berlin or UTC'],
    ['Berlin', 'did you mean Europe/Berlin?'],
    ['new york', 'did you mean America/New_York?'],
    ['Europe/Berln', 'did you mean Europe/Berlin?'],
    ['GMT+3', 'not an offset; Etc/GMT-3 is always 3 hours east of Greenwich'],
    ['UTC-08', 'not an offset; Etc/GMT+8 is always 8 hours west of Greenwich'],
    ['+05:30', 'not an offset'],
    ['-0800', 'not an offset; Etc/GMT+8'],
    ['Etc/GMT+14', 'not an offset; Etc/GMT-14 is always 14 hours east'],
    ['BST', 'not an abbreviation: Node.js would take BST for Asia/Dhaka'],
    ['ist', 'not an abbreviation: Node.js would take ist for Asia/Calcutta'],
    ['PST', 'not an abbreviation: Node.js would take PST for America/Los_Angeles'],
    ['local', 'does not know "local"'],
    ['x'.repeat(100_000), 'does not know'],
  ])('%.20s', (zone, expected) => {
    const [issue] = zoneIssues(zone, 'zone')

    expect(issue).toMatchObject({ path: 'zone', message: expect.stringContaining(expected) })
    expect(issue!.message.length).toBeLessThan(300)
  })

  test.each('UTC GMT Etc/GMT+3 EST CET HST Europe/Kyiv Asia/Kolkata US/Pacific PST8PDT europe/berlin'.split(' '))(
    '%s is accepted',
    (zone) => {
      expect(zoneIssues(zone, 'zone')).toEqual([])
    },
  )

  test('every zone that Intl lists is accepted', () => {
    expect(Intl.supportedValuesOf('timeZone').flatMap((zone) => zoneIssues(zone, 'zone'))).toEqual([])
  })
})
