import { describe, expect, test } from 'vitest'
import { RetentionRules, retentionProblems } from '../../src/job/retention.ts'
import { jobStates } from '../../src/machines/edges.ts'
import type { JobState } from '../../src/machines/job.ts'

describe('the rules of retention', () => {
  test('that can be followed have no problems', () => {
    const byState = { succeeded: { ms: 0, count: 1 }, dead: { ms: 1 }, cancelled: {} }

    expect(retentionProblems({ ...byState, types: { mail: byState, 'a.b:c-d_e': {}, constructor: {} } })).toEqual([])
    expect(retentionProblems({})).toEqual([])
  })

  test.each<[string, unknown, string]>([
    ['no object', 7, 'retention is 7; it must be an object, such as { dead: { ms: 7776000000 } }'],
    ['a list', [], 'retention is []; it must be an object, such as { dead: { ms: 7776000000 } }'],
    ['null', null, 'retention is null; it must be an object, such as { dead: { ms: 7776000000 } }'],
    [
      'a state misspelt',
      { succeded: { ms: 1 } },
      "retention.succeded: 'succeded' is not a state in which jobs have ended; did you mean succeeded?",
    ],
    [
      'a state that is no end',
      { running: { ms: 1 } },
      "retention.running: 'running' is not a state in which jobs have ended; they are succeeded, dead, cancelled",
    ],
    [
      'a number for a rule',
      { dead: 5 },
      'retention.dead is 5; it must be an object, such as { ms: 86400000, count: 1000 }',
    ],
    ['another bound', { dead: { age: 5 } }, "retention.dead.age: 'age' is not a bound; they are ms, count"],
    [
      'a time as text',
      { dead: { ms: '7d' } },
      "retention.dead.ms is '7d'; it must be a whole number from 0 to 3155760000000",
    ],
    [
      'a negative time',
      { dead: { ms: -1 } },
      'retention.dead.ms is -1; it must be a whole number from 0 to 3155760000000',
    ],
    [
      'no jobs at all',
      { dead: { count: 0 } },
      'retention.dead.count is 0; it must be a whole number from 1 to 1000000000',
    ],
    ['a type that cannot be', { types: { 'a b': {} } }, "retention.types.a b: 'a b' cannot be a type"],
    ['a list of types', { types: [] }, 'retention.types is []; it must be an object of types'],
    [
      'a number for a type',
      { types: { mail: 5 } },
      'retention.types.mail is 5; it must be an object, such as { dead: { ms: 7776000000 } }',
    ],
    [
      'a wrong rule of a type',
      { types: { mail: { dead: { ms: 1.5 } } } },
      'retention.types.mail.dead.ms is 1.5; it must be a whole number from 0 to 3155760000000',
    ],
  ])('that are %s are refused with their path', (_, given, problem) => {
    expect(retentionProblems(given)).toEqual([problem])
  })

  test('say how long a job is kept, and the shortest time of all', () => {
    const rules = new RetentionRules(500, {
      cancelled: { ms: 0 },
      dead: { ms: 900 },
      types: { mail: { succeeded: { ms: 100 }, dead: { count: 3 } }, constructor: {} },
    })

    expect(rules.msOf('succeeded', 'mail')).toBe(100)
    expect(rules.msOf('succeeded', 'other')).toBe(500)
    expect(rules.msOf('succeeded', 'toString')).toBe(500)
    expect(rules.msOf('cancelled', 'mail')).toBe(0)
    expect(rules.msOf('dead', 'mail')).toBe(900)
    expect(rules.msOf('running', 'mail')).toBe(0)
    expect(rules.shortestMs).toBe(100)
    expect(new RetentionRules(0).shortestMs).toBe(Number.POSITIVE_INFINITY)
    expect(new RetentionRules(500).msOf('dead', 'mail')).toBe(0)
  })

  test('say whether there may be more jobs than are kept', () => {
    const none = Object.fromEntries(jobStates.map((state) => [state, 0])) as Record<JobState, number>
    const rules = new RetentionRules(0, { succeeded: { count: 10 }, types: { mail: { dead: { count: 3 } } } })

    expect(rules.mayExceed({ ...none, succeeded: 10, dead: 3, cancelled: 99 })).toBe(false)
    expect(rules.mayExceed({ ...none, succeeded: 11 })).toBe(true)
    expect(rules.mayExceed({ ...none, dead: 4 })).toBe(true)
    expect(new RetentionRules(0).mayExceed({ ...none, succeeded: 1e9 })).toBe(false)
  })
})
