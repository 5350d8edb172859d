import { describe, expect, test } from 'vitest'
import { defaults } from '../../src/config.ts'
import { InvalidInputError } from '../../src/errors.ts'
import type { Naming } from '../../src/job/fields.ts'
import { toRow } from '../../src/job/request.ts'
import { newScheduleSchema } from '../../src/schedule/fields.ts'
import { parseSchedule } from '../../src/schedule/request.ts'

const job = { type: 'report', payload: { day: 'today' } }

function parse(schedule: unknown, naming: Naming = 'camelCase') {
  return parseSchedule(schedule, naming, (given) =>
    toRow(given, naming, '{"cause":"library"}', { settings: defaults, registry: null }),
  )
}

/** The paths of what is wrong, each with its message. */
function faultsOf(schedule: unknown, naming: Naming = 'camelCase'): string[] {
  try {
    parse(schedule, naming)
    return []
  } catch (error) {
    if (!(error instanceof InvalidInputError)) throw error
    return error.issues.map(({ path, message }) => `${path}: ${message}`)
  }
}

describe('a schedule that is right', () => {
  test('is completed with the defaults', () => {
    expect(parse({ name: 'daily-report', cron: ' 30  9 * * 1-5 ', job })).toEqual({
      name: 'daily-report',
      timing: { cron: '30 9 * * 1-5', everyMs: null, zone: 'UTC', startsAt: null, endsAt: null },
      job,
      overlap: 'allow',
      missed: 'one',
      jitterMs: 0,
    })
  })

  test('says the same in both namings', () => {
    const instant = '2030-01-31T09:30:00Z'
    const inLibrary = parse({
      name: 'poll',
      everyMs: 90_000,
      zone: 'Europe/Kyiv',
      job: { ...job, queue: 'slow', priority: 3, maxRetries: 0, timeoutMs: 5_000 },
      overlap: 'skip',
      missed: 'all',
      jitterMs: 10,
      startsAt: new Date(instant),
      endsAt: Date.parse(instant) + 1e9,
    })
    const overHttp = parse(
      {
        name: 'poll',
        every_ms: 90_000,
        zone: 'Europe/Kyiv',
        job: { ...job, queue: 'slow', priority: 3, max_retries: 0, timeout_ms: 5_000 },
        overlap: 'skip',
        missed: 'all',
        jitter_ms: 10,
        starts_at: instant,
        ends_at: '2030-02-11T23:16:40Z',
      },
      'snake_case',
    )

    expect(overHttp).toEqual(inLibrary)
    expect(inLibrary.timing).toMatchObject({ zone: 'Europe/Kyiv', startsAt: Date.parse(instant) })
  })

  test('ignores fields that are undefined', () => {
    expect(parse({ name: 'a', cron: '@daily', everyMs: undefined, job: { ...job, queue: undefined } }).job).toEqual(job)
  })
})

describe('a schedule that is wrong is refused with each fault and its path', () => {
  test.each([
    [null, [': must be an object that describes one schedule']],
    [[], [': must be an object that describes one schedule']],
    [{}, ['name: is required', 'job: is required', 'cron: is required, or everyMs for an interval']],
    [{ name: 'a b', cron: '@daily', job }, [/^name: must be 1 to 64 letters/]],
    [{ name: 'a', cron: 5, job }, ['cron: must be a text']],
    [{ name: 'a', cron: '@daily', job: [] }, ['job: must be an object that describes one job']],
    [{ name: 'a', cron: '@daily', job: { payload: 1 } }, ['job.type: is required']],
    [{ name: 'a', cron: '@daily', job: { type: 't', payload: 1, priorty: 2 } }, [/^job\.priorty: .*mean priority\?/]],
    [{ name: 'a', cron: '@daily', job: { type: 't', payload: { x: 1n } } }, [/^job\.payload\.x: /]],
    [{ name: 'a', cron: '@daily', job: { ...job, runAt: 5 } }, [/^job\.runAt: is decided by the schedule/]],
    [{ name: 'a', cron: '@daily', job: { ...job, idempotencyKey: 'k' } }, [/^job\.idempotencyKey: is decided by/]],
    [{ name: 'a', cron: '@daily', everyMs: 5_000, job }, ['everyMs: set either cron or everyMs, not both']],
    [{ name: 'a', everyMs: 999, job }, ['everyMs: must be a whole number of ms from 1000 to 31622400000']],
    [{ name: 'a', everyMs: 1_000.5, job }, [/^everyMs: must be a whole number/]],
    [{ name: 'a', everyMs: '5m', job }, [/^everyMs: must be a whole number/]],
    [{ name: 'a', cron: '@daily', zone: 'Berlin', job }, [/^zone: .*did you mean Europe\/Berlin\?/]],
    [{ name: 'a', cron: '@daily', overlap: 'forbid', job }, ['overlap: must be one of: allow, skip']],
    [{ name: 'a', cron: '@daily', missed: true, job }, ['missed: must be one of: skip, one, all']],
    [{ name: 'a', cron: '@daily', jitterMs: -1, job }, [/^jitterMs: must be a whole number of ms from 0 to 86400000/]],
    [{ name: 'a', cron: '@daily', startsAt: 'soon', job }, [/^startsAt: must be epoch ms, a Date or RFC 3339/]],
    [{ name: 'a', cron: '@daily', startsAt: 2e12, endsAt: 2e12, job }, ['endsAt: must be after startsAt']],
    [
      { name: 'a', cron: '@yearly', startsAt: '2030-02-01T00:00:00Z', endsAt: '2030-12-01T00:00:00Z', job },
      ['endsAt: is before the first tick from startsAt on'],
    ],
    [{ name: 'a', cron: '@daily', timezone: 'UTC', job }, ['timezone: is not a known field; did you mean zone?']],
    [{ name: 'a', pattern: '@daily', job }, [/^pattern: .*did you mean cron\?/, /^cron: is required/]],
    [
      { name: 'a', cron: '@daily', job, queue: 'q' },
      ['queue: is not a known field; it belongs in job: write job.queue'],
    ],
  ] as const)('%o', (schedule, expected) => {
    expect(faultsOf(schedule)).toEqual(
      expected.map((one) => (typeof one === 'string' ? one : expect.stringMatching(one))),
    )
  })

  test('in the names of HTTP, if it came from there', () => {
    const faults = faultsOf(
      { name: 'a', every_ms: 1, jitterMs: 5, starts_at: 5, job: { ...job, run_at: 'x' } },
      'snake_case',
    )

    expect(faults.map((fault) => fault.split(':')[0])).toEqual(['every_ms', 'starts_at', 'jitterMs', 'job.run_at'])
  })

  test('with a thousand unknown fields, at most a hundred are listed', () => {
    const many = Object.fromEntries(Array.from({ length: 1_000 }, (_, n) => [`x${n}`, 1]))

    expect(faultsOf({ name: 'a', cron: '@daily', job, ...many })).toHaveLength(100)
  })
})

test('what is thrown while a job is checked, and is not about the input, passes through', () => {
  const broken = () => {
    throw new TypeError('broken')
  }
  expect(() => parseSchedule({ name: 'a', cron: '@daily', job }, 'camelCase', broken)).toThrow(TypeError)
})

test('the schema for HTTP has every field under its name there', () => {
  const { shape } = newScheduleSchema as unknown as { shape: object }

  expect(Object.keys(shape)).toEqual(
    'name cron every_ms zone job overlap missed jitter_ms starts_at ends_at'.split(' '),
  )
})
